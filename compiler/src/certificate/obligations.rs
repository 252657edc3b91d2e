//! What must hold besides equal thresholds, so that the argument about single neurons carries to the
//! network: payloads fit their width, accumulators never overflow, every neuron answers once its
//! input is complete, biases come once a frame, state starts afresh.

use snnc_ir::analysis::intervals;
use snnc_ir::{BiasPlacement, Graph, Neuron, NodeId, Overflow, Presentation, Schedule, SpikingOp};

use super::Obligation;
use super::compare::other_unit;

/// Checks all obligations of `emitted`; `canonical` says which populations there must be.
pub(super) fn check(canonical: &Graph, emitted: &Graph) -> Vec<Obligation> {
    let mut list = Vec::new();
    let mut say = |subject: &str, claim: String, holds: bool| {
        list.push(Obligation { subject: subject.to_owned(), claim, holds });
    };
    let Ok(order) = emitted.order() else {
        say("network", "the nodes have an order".into(), false);
        return list;
    };
    let timesteps = emitted.timing.timesteps;
    let single = timesteps == 1;
    let synchronous = emitted.timing.schedule != Schedule::Streaming;
    let hops = order.iter().any(|&id| emitted.operands(id).iter().any(|o| o.delay > 0));
    let sigma_delta = order.iter().any(|&id| is_sigma_delta(emitted, id));
    say(
        "network",
        "a neuron answers when all of a frame has arrived (one timestep, a barrier, or changes only)".into(),
        (single && !hops) || synchronous || sigma_delta,
    );
    if hops && sigma_delta {
        say(
            "network",
            format!("{timesteps} timesteps reach the last population"),
            timesteps > depth(emitted, &order),
        );
    }
    let bounds = intervals(emitted).unwrap_or_default();
    for &id in &order {
        let node = &emitted[id];
        match node.as_spiking() {
            Some(SpikingOp::Projection(p))
                if p.accumulator.overflow != Overflow::Error || p.accumulator.bits < 64 =>
            {
                let bits = p.accumulator.bits;
                let sum = |(c, i): (usize, &snnc_ir::analysis::Interval)| {
                    i.magnitude() / p.gain_at(c).unsigned_abs().max(1)
                };
                let worst =
                    i128::from(bounds.values(id).iter().enumerate().map(sum).max().unwrap_or(0));
                let holds = bits >= 64 || worst < 1i128 << (bits - 1);
                say(&node.name, format!("sums up to {worst} fit {bits} bits"), holds);
            }
            Some(SpikingOp::Population(p)) => {
                if let Some(own) = canonical.find(&node.name)
                    && let Some(SpikingOp::Population(own)) = canonical[own].as_spiking()
                    && single
                    && !matches!(own.neuron, Neuron::Accumulate)
                    && !other_unit(own, p)
                {
                    let bits = own.payload_bits();
                    let fits = p.minimum <= own.minimum && p.maximum >= own.maximum;
                    say(&node.name, format!("payloads of {bits} bits are carried"), fits);
                }
                let once =
                    single || p.bias_placement != BiasPlacement::EveryTimestep || p.bias.is_empty();
                if !sigma_delta {
                    say(&node.name, "its bias is added once a frame".into(), once);
                }
            }
            Some(SpikingOp::Encoder(e)) => {
                let once = single || e.presentation != Presentation::EveryTimestep || sigma_delta;
                say(&node.name, "the input is presented once a frame".into(), once);
            }
            _ => {}
        }
    }
    list
}

fn is_sigma_delta(graph: &Graph, id: NodeId) -> bool {
    matches!(graph[id].as_spiking(), Some(SpikingOp::Population(p)) if matches!(p.neuron, Neuron::SigmaDelta(_)))
}

/// Timesteps that a change takes from the input to the last population.
fn depth(graph: &Graph, order: &[NodeId]) -> usize {
    let mut reached = std::collections::HashMap::new();
    for &id in order {
        let arrival =
            |o: &snnc_ir::Operand| reached.get(&o.source).copied().unwrap_or(0) + o.delay as usize;
        let latest = graph.operands(id).iter().map(arrival).max().unwrap_or(0);
        reached.insert(id, latest);
    }
    reached.into_values().max().unwrap_or(0)
}
