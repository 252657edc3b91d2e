//! What must hold besides equal thresholds, so that the argument about single neurons carries to the
//! network: payloads fit their width, sums and potentials never overflow, every neuron answers once its
//! input is complete, biases come whole, pools see what they can compare.

use snnc_ir::analysis::{Interval, Intervals, intervals};
use snnc_ir::{
    BiasPlacement, Coding, Graph, IntegrateAndFire, NodeId, Operand, Overflow, Population,
    Presentation, Projection, Schedule, SpikingOp,
};

use super::Obligation;
use super::unit::other_unit;

/// Checks all obligations of `emitted`; `canonical` says which populations there must be.
pub(super) fn check(canonical: &Graph, emitted: &Graph) -> Vec<Obligation> {
    let mut checker = Checker { canonical, emitted, list: Vec::new() };
    let Ok(order) = emitted.order() else {
        checker.say("network", "the nodes have an order".into(), false);
        return checker.list;
    };
    checker.network(&order);
    let bounds = intervals(emitted).unwrap_or_default();
    for &id in &order {
        match emitted[id].as_spiking() {
            Some(SpikingOp::Projection(p)) => checker.projection(id, p, &bounds),
            Some(SpikingOp::Population(p)) => {
                checker.population(id, p);
                checker.potential(id, p, &bounds);
            }
            Some(SpikingOp::Encoder(e)) => {
                let folded = order.iter().any(|&id| fires(emitted, id));
                let once = emitted.timing.timesteps == 1
                    || e.presentation != Presentation::EveryTimestep
                    || folded
                    || order.iter().any(|&id| is_sigma_delta(emitted, id));
                let claim = "the input comes once a frame, or all sums are as many fold";
                checker.say(&emitted[id].name, claim.into(), once);
            }
            Some(SpikingOp::MaxPool { .. }) => checker.pool(id),
            _ => {}
        }
    }
    checker.list
}

struct Checker<'a> {
    canonical: &'a Graph,
    emitted: &'a Graph,
    list: Vec<Obligation>,
}

impl Checker<'_> {
    fn say(&mut self, subject: &str, claim: String, holds: bool) {
        self.list.push(Obligation { subject: subject.to_owned(), claim, holds });
    }

    fn network(&mut self, order: &[NodeId]) {
        let emitted = self.emitted;
        let timesteps = emitted.timing.timesteps;
        let synchronous = emitted.timing.schedule != Schedule::Streaming;
        let hops = order.iter().any(|&id| emitted.operands(id).iter().any(|o| o.delay > 0));
        let sigma_delta = order.iter().any(|&id| is_sigma_delta(emitted, id));
        // Codings that answer before their input is complete are measured, not proved.
        let lossy = order.iter().any(|&id| streams(emitted, id));
        self.say(
            "network",
            "a neuron answers when all of a frame has arrived (one timestep, a barrier, a settled \
             state, or changes only)"
                .into(),
            (timesteps == 1 && !hops) || synchronous || sigma_delta || lossy,
        );
        if hops && sigma_delta {
            let claim = format!("{timesteps} timesteps reach the last population");
            self.say("network", claim, timesteps > depth(emitted, order));
        }
        if emitted.timing.schedule == Schedule::UntilSettled {
            self.say("network", "no path leads back, so it settles".into(), !hops);
        }
    }

    fn projection(&mut self, id: NodeId, p: &Projection, bounds: &Intervals) {
        let bits = p.accumulator.bits;
        if p.accumulator.overflow == Overflow::Error && bits >= 64 {
            return;
        }
        // A bound of a multiple of the gain: the accumulator itself never holds it.
        let reached = bounds.values(id).iter().enumerate().map(|(c, i)| i.over(p.gain_at(c)));
        let sums = reached.fold(Interval::new(0, 0), Interval::union);
        let holds = sums.bits() <= bits;
        let claim = format!("sums from {} to {} fit {bits} bits", sums.low, sums.high);
        self.say(&self.emitted[id].name.clone(), claim, holds);
    }

    fn population(&mut self, id: NodeId, p: &Population) {
        let (timing, name) = (self.emitted.timing, self.emitted[id].name.clone());
        let single = timing.timesteps == 1;
        let own = self.canonical.find(&name).and_then(|own| self.canonical[own].as_spiking());
        if let Some(SpikingOp::Population(own)) = own
            && single
            && own.neuron.fires()
            && !other_unit(own, p)
        {
            let fits = p.minimum <= own.minimum && p.maximum >= own.maximum;
            self.say(&name, format!("payloads of {} bits are carried", own.payload_bits()), fits);
        }
        if let (Some(n), false) = (p.neuron.get::<IntegrateAndFire>(), single) {
            let worth = n.decode.iter().flat_map(|d| d.0.iter().flatten()).copied();
            let most = worth.max().unwrap_or(1).saturating_mul(n.maximum);
            let claim = format!("spikes worth up to {most} are carried");
            self.say(&name, claim, p.maximum >= most || p.maximum == 0);
        }
        let barrier = timing.schedule == Schedule::LayerSynchronous;
        match p.coding {
            Coding::FewSpikes | Coding::RateSync if !single => {
                let claim = "a barrier holds it back until its input is complete";
                self.say(&name, claim.into(), barrier);
            }
            Coding::SignedRate => {
                let settles = timing.schedule == Schedule::UntilSettled;
                self.say(&name, "it runs until no potential calls for a spike".into(), settles);
            }
            _ => {}
        }
        if !is_sigma_delta(self.emitted, id) {
            let folded = !barrier && self.emitted.ids().any(|id| fires(self.emitted, id));
            let every = p.bias_placement == BiasPlacement::EveryTimestep;
            let whole = single || p.bias.is_empty() || !every || folded;
            let claim = "its bias comes once a frame, or as many fold as its input";
            self.say(&name, claim.into(), whole);
        }
    }

    /// What a whole frame brings fits the membrane potential of 64 bits.
    fn potential(&mut self, id: NodeId, p: &Population, bounds: &Intervals) {
        let Some(n) = p.neuron.get::<IntegrateAndFire>() else { return };
        let steps = self.emitted.timing.timesteps as u128;
        let brought = bounds.potentials(id).iter().map(|i| u128::from(i.magnitude())).max();
        let start = n.initial.iter().map(|v| u128::from(v.unsigned_abs())).max();
        let worst = brought.unwrap_or(0).saturating_mul(steps).saturating_add(start.unwrap_or(0));
        let claim = format!("potentials up to {worst} fit 64 bits");
        self.say(&self.emitted[id].name.clone(), claim, worst < 1 << 62);
    }

    /// A pool of single timesteps takes the maximum of whole frames only where a larger payload covers a
    /// smaller one in each of them.
    fn pool(&mut self, id: NodeId) {
        let timing = self.emitted.timing;
        let potentials = self.emitted.source(id, 0).is_some_and(|s| {
            matches!(self.emitted[s].as_spiking(), Some(SpikingOp::Projection(_)))
        });
        if timing.timesteps == 1 || (potentials && timing.schedule == Schedule::Streaming) {
            return;
        }
        let covers = timing.schedule == Schedule::LayerSynchronous
            && sends_runs(self.emitted, id)
            && !potentials;
        let claim = "in each timestep a larger payload covers a smaller one";
        self.say(&self.emitted[id].name.clone(), claim.into(), covers);
    }
}

/// Whether all trains that reach `id` are runs of single spikes from the first timestep on.
fn sends_runs(graph: &Graph, id: NodeId) -> bool {
    match graph[id].as_spiking() {
        Some(SpikingOp::Encoder(e)) => e.presentation == Presentation::Once,
        Some(SpikingOp::Population(p)) => p.neuron.get::<IntegrateAndFire>().is_some_and(|n| {
            n.maximum == 1
                && n.decode.is_none()
                && n.threshold.0.iter().all(|row| row.is_sorted())
                && n.leak == snnc_ir::Leak::None
        }),
        _ => graph.sources(id).into_iter().all(|s| sends_runs(graph, s)),
    }
}

/// Whether `id` integrates and fires.
fn fires(graph: &Graph, id: NodeId) -> bool {
    matches!(graph[id].as_spiking(), Some(SpikingOp::Population(p))
        if p.neuron.get::<IntegrateAndFire>().is_some())
}

/// Whether `id` is of a coding that answers while its input still comes.
fn streams(graph: &Graph, id: NodeId) -> bool {
    let lossy = |c| matches!(c, Coding::Rate | Coding::MultiLevel | Coding::Atif);
    matches!(graph[id].as_spiking(), Some(SpikingOp::Population(p)) if lossy(p.coding))
        && fires(graph, id)
}

fn is_sigma_delta(graph: &Graph, id: NodeId) -> bool {
    matches!(graph[id].as_spiking(), Some(SpikingOp::Population(p)) if p.neuron.sends_changes())
}

/// Timesteps that a change takes from the input to the last population.
fn depth(graph: &Graph, order: &[NodeId]) -> usize {
    let mut reached = std::collections::HashMap::new();
    for &id in order {
        let arrival = |o: &Operand| reached.get(&o.source).copied().unwrap_or(0) + o.delay as usize;
        let latest = graph.operands(id).iter().map(arrival).max().unwrap_or(0);
        reached.insert(id, latest);
    }
    reached.into_values().max().unwrap_or(0)
}
