//! A network that was trained as a spiking one, as current-based neurons.
//!
//! NetX's neuron is that of snnTorch's `Synaptic` and, without a current, of every leaky
//! integrate-and-fire neuron that is reset to 0: `u = u (1 - du) + a; v = v (1 - dv) + u + bias`, with
//! decays in 1/4096. All neurons of a layer share a threshold: that of each channel goes into its weights.

use std::collections::HashMap;

use snnc_ir::{
    Comparison, CurrentBasedNeuron, DType, Decoder, Encoder, Graph, Neuron, Node, NodeId,
    Population, Presentation, Projection, Readout, SpikingOp, Stage, Tensor, Timing, Verified,
};

use super::net::{BIAS_EXPONENT, DECAY_ONE};
use super::rate::{Real, best_unit, like, top};
use super::read::{accumulator, population};
use super::{emit, weights};
use crate::trained::{Layer, Reset, composed, layers};
use crate::{EmitError, Legalised, Note, Violation};

/// The network in NetX's current-based arithmetic.
///
/// # Errors
/// Everything in the network that NetX cannot hold.
pub(super) fn legalise(network: &Verified) -> Result<Legalised, Vec<Violation>> {
    let network = &super::verified(composed(network), Vec::new(), Vec::new())?.network;
    let layers = layers(network)?;
    let mut violations: Vec<Violation> =
        layers.iter().filter_map(|l| refused(network, l)).collect();
    for input in network.inputs() {
        violations.extend(refused_input(network, input));
    }
    if !violations.is_empty() {
        return Err(violations);
    }
    let mut work = Work {
        network,
        graph: Graph::new(network.name.clone(), Stage::Spiking),
        notes: Vec::new(),
    };
    work.build(&layers)?;
    let latency = layers.len();
    work.graph.timing =
        Timing { timesteps: network.timing.timesteps + latency, ..Timing::default() };
    // What the format has no word for is known when it is written.
    if let Err(error) = emit::net(&work.graph) {
        return Err(vec![match error {
            EmitError::Node { node, reason } => {
                Violation { node, reason, remedy: "use another target".into() }
            }
            other => Violation {
                node: "the network".into(),
                reason: other.to_string(),
                remedy: "use another target".into(),
            },
        }]);
    }
    super::verified(work.graph, work.notes, Vec::new())
}

/// Why NetX has no such neuron.
fn refused(network: &Graph, layer: &Layer) -> Option<Violation> {
    let node = &network[layer.population];
    if layer.threshold.is_none() {
        let reason = "is a read-out that does not fire, and NetX shows spikes";
        return Some(Violation::new(node, reason, "end the network with neurons that fire"));
    }
    let last = |u: NodeId| matches!(network[u].as_spiking(), Some(SpikingOp::Decoder(d)) if d.readout == Readout::Last);
    if network.users(layer.population).into_iter().any(last) {
        let reason = "shows its last timestep alone, and NetX counts the spikes of all";
        return Some(Violation::new(node, reason, "show the spikes of all timesteps"));
    }
    let (reason, remedy) = match &layer.reset {
        Reset::Hard(value) if *value == 0.0 => {
            if layer.initial.iter().all(|&v| v == 0.0) {
                return None;
            }
            (
                "begins with a potential, and NetX's neurons begin at 0",
                "train with an initial potential of 0",
            )
        }
        Reset::Hard(_) => (
            "is reset to another value than 0, the only one of NetX",
            "train with v_reset=0, or compile for spleat or reference",
        ),
        Reset::Soft(_) => (
            "has a soft reset, which NetX's neurons have not: firing sets them to 0",
            "train with a reset to 0 (snnTorch: reset_mechanism='zero', SpikingJelly: v_reset=0), or compile for spleat or reference",
        ),
        Reset::None => {
            ("is not reset, as all neurons of NetX are", "compile for spleat or reference")
        }
    };
    Some(Violation::new(node, reason, remedy))
}

/// Why NetX has no such input.
fn refused_input(network: &Graph, input: NodeId) -> Option<Violation> {
    let node = &network[input];
    let Some(SpikingOp::Encoder(e)) = node.as_spiking() else { return None };
    let spikes = e.scale == 1.0 && e.zero_point == 0 && e.minimum >= 0 && e.maximum <= 1;
    if spikes {
        return None;
    }
    let reason = format!(
        "takes numbers from {} to {} in steps of {}; synapses of NetX take spikes, 0 or 1",
        (e.minimum - e.zero_point) as f64 * f64::from(e.scale),
        (e.maximum - e.zero_point) as f64 * f64::from(e.scale),
        e.scale
    );
    let remedy = "train on spikes (events, or a population that encodes), or compile for spleat or reference";
    Some(Violation::new(node, reason, remedy))
}

struct Work<'a> {
    network: &'a Graph,
    graph: Graph,
    notes: Vec<Note>,
}

impl Work<'_> {
    /// Copies every node in NetX's arithmetic.
    fn build(&mut self, layers: &[Layer]) -> Result<(), Vec<Violation>> {
        let order = self.network.order().unwrap_or_default();
        let mut copies = HashMap::new();
        for &id in &order {
            let node = &self.network[id];
            let copy = match node.as_spiking() {
                Some(SpikingOp::Encoder(_)) => {
                    Node { name: node.name.clone(), ..like(node, input()) }
                }
                Some(SpikingOp::Decoder(_)) => {
                    let decoder =
                        Decoder { readout: Readout::Sum, scale: vec![1.0], zero: Vec::new() };
                    let mut copy =
                        Node { name: node.name.clone(), ..like(node, SpikingOp::Decoder(decoder)) };
                    copy.ty.dtype = DType::F32;
                    copy
                }
                Some(SpikingOp::Population(_)) => {
                    let Some(layer) = layers.iter().find(|l| l.population == id) else { continue };
                    self.layer(layer, &copies)?
                }
                // Synapses get their weights with their population, by which these are scaled.
                Some(SpikingOp::Projection(p)) => {
                    let projection = Projection {
                        binary: true,
                        delays: p.delays.clone(),
                        accumulator: accumulator(p.connectivity != snnc_ir::Connectivity::Dense),
                        ..Projection::exact(p.connectivity.clone())
                    };
                    let op = SpikingOp::Projection(projection);
                    Node { name: node.name.clone(), data: node.data.clone(), ..like(node, op) }
                }
                _ => Node { data: node.data.clone(), ..node.clone() },
            };
            copies.insert(id, self.graph.add(copy, &[]));
        }
        self.connect(&order, &copies);
        Ok(())
    }

    /// Every synapse takes one timestep, as recurrent ones already do.
    fn connect(&mut self, order: &[NodeId], copies: &HashMap<NodeId, NodeId>) {
        for &id in order {
            let Some(&copy) = copies.get(&id) else { continue };
            let synapses = matches!(self.network[id].as_spiking(), Some(SpikingOp::Projection(_)));
            for operand in self.network.operands(id) {
                if let Some(&source) = copies.get(&operand.source) {
                    let delay = if synapses { operand.delay.max(1) } else { operand.delay };
                    self.graph.connect(source, copy, delay);
                }
            }
        }
    }

    /// The neurons of one layer; its projections get their integers.
    fn layer(
        &mut self,
        layer: &Layer,
        copies: &HashMap<NodeId, NodeId>,
    ) -> Result<Node, Vec<Violation>> {
        let node = &self.network[layer.population];
        let thresholds = layer.threshold.as_deref().unwrap_or(&[1.0]);
        let threshold = |c: usize| thresholds[c.min(thresholds.len() - 1)];
        let channels = thresholds.len();
        let scaled = |weights: &[f64]| {
            let width = (weights.len() / channels).max(1);
            weights.iter().enumerate().map(|(i, w)| w / threshold(i / width)).collect::<Vec<f64>>()
        };
        let real = Real {
            weights: layer.projections.iter().flat_map(|(_, w)| scaled(w)).collect(),
            bias: layer.drive.iter().enumerate().map(|(c, b)| b / threshold(c)).collect(),
            fires: Some(0),
        };
        let Some(top) = top(&real) else {
            let reason = "all its weights are 0, so that nothing reaches its neurons";
            return Err(vec![Violation::new(node, reason, "remove the layer, or train it")]);
        };
        let unit = best_unit(top, &real);
        for (id, weights) in &layer.projections {
            let mut whole: Vec<i64> =
                scaled(weights).iter().map(|w| (w * unit).round() as i64).collect();
            self.repair(*id, layer, &mut whole)?;
            let Some(&copy) = copies.get(id) else { continue };
            let shape = self.network[*id].data.as_ref().map(|d| d.shape().to_vec());
            self.graph[copy].data = Some(Tensor::from_integers(&shape.unwrap_or_default(), &whole));
        }
        let bias: Vec<i64> = real.bias.iter().map(|b| (b * unit).round() as i64).collect();
        let [current_decay, voltage_decay] = [layer.current_decay, layer.decay]
            .map(|kept| ((1.0 - kept) * DECAY_ONE as f64).round() as i64);
        self.note(layer, unit, [current_decay, voltage_decay]);
        // Potentials that do not decay are whole multiples of the threshold's unit.
        let whole = voltage_decay == 0 && current_decay == DECAY_ONE;
        let below = i64::from(whole && layer.comparison == Comparison::AtLeast);
        let neuron = Neuron::CurrentBased(CurrentBasedNeuron {
            current_decay,
            voltage_decay,
            threshold: unit as i64 - below,
            bias: if bias.iter().all(|&b| b == 0) { Vec::new() } else { bias },
            bias_exponent: BIAS_EXPONENT,
            fires: true,
            reset: None,
        });
        let population: Population = population(neuron);
        Ok(Node { name: node.name.clone(), ..like(node, SpikingOp::Population(population)) })
    }

    /// Keeps NetX's loader from changing the weights of a dense layer with one matrix; those of a
    /// recurrent one share a format, and are refused when it does not hold them.
    fn repair(
        &mut self,
        id: NodeId,
        layer: &Layer,
        whole: &mut [i64],
    ) -> Result<(), Vec<Violation>> {
        let dense = matches!(self.network[id].as_spiking(),
            Some(SpikingOp::Projection(p)) if p.connectivity == snnc_ir::Connectivity::Dense);
        if !dense || layer.projections.len() > 1 {
            return Ok(());
        }
        match weights::repair(whole) {
            Ok(0) => Ok(()),
            Ok(n) => {
                self.notes.push(Note {
                    node: self.network[id].describe(),
                    text: format!(
                        "{n} weights changed by one: NetX would have rounded a smallest weight of minus \
                         a power of two"
                    ),
                });
                Ok(())
            }
            Err(fault) => {
                Err(vec![Violation::new(&self.network[id], fault.to_string(), fault.remedy())])
            }
        }
    }

    fn note(&mut self, layer: &Layer, unit: f64, decays: [i64; 2]) {
        let node = self.network[layer.population].describe();
        let [current, voltage] = decays;
        let mut text = format!(
            "approximate: weights of 8 bits for a threshold of {unit:.0}; decays {current} and {voltage} \
             of 4096 for {} and {} kept",
            layer.current_decay, layer.decay
        );
        if layer.drive.iter().any(|&b| b != 0.0) {
            text += "; its bias begins before the first spikes arrive";
        }
        if layer.settled {
            text += ", and without the time that the current takes to rise";
        }
        self.notes.push(Note { node, text });
    }
}

/// Spikes that come in time, as a file without input neurons takes them.
fn input() -> SpikingOp {
    let wide = i64::from(i32::MAX);
    SpikingOp::Encoder(Encoder {
        scale: 1.0,
        zero_point: 0,
        minimum: -wide,
        maximum: wide,
        offset: None,
        rounding: Default::default(),
        thresholds: Vec::new(),
        presentation: Presentation::InTime,
    })
}
