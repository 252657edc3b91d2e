//! Integrate-and-fire neurons on integers for a network that was trained in single precision.
//!
//! Weights of each channel are scaled so that the largest fills its bits; threshold, reset, bias and
//! initial potential take the same scale. A decay of `1 - 2^-k` is one subtraction, any other `kept / 2^s`:
//! `u = v >> s; v = kept * u`, with the `s` that errs least between a decay that is too coarse and a
//! potential of too few levels. Half of `2^s` is added in each timestep, so that the shift rounds to the
//! nearest.

use snnc_ir::{
    BiasPlacement, Comparison, Graph, IntegrateAndFire, Leak, Neuron, Node, NodeId, Op, Population,
    Projection, Readout, Reset as IntegerReset, SpikingOp, Tensor, TimeTable, Verified, verify,
};

use super::{Layer, Reset, composed, layers};
use crate::{Note, Violation};

/// Fractional bits that a decay may have.
const DECAY_BITS: std::ops::RangeInclusive<u8> = 1..=12;
/// How near a decay must be to `1 - 2^-k` to be taken as that.
const SAME: f64 = 1e-6;
/// What biases, resets and initial potentials come to at most, in units of the potential. Thresholds have 30 bits
/// at most, so that more of either decides every timestep alone; and a decay of 12 bits keeps it within 64.
const LARGEST: f64 = (1u64 << 40) as f64;

/// The network with weights of `weight_bits` bits, sign included, and what that loses.
///
/// # Errors
/// Every neuron that does not integrate and fire, all at once.
pub fn integrating(
    network: &Verified,
    weight_bits: u8,
) -> Result<(Verified, Vec<Note>), Vec<Violation>> {
    let network = composed(network);
    let layers = layers(&network)?;
    let refused: Vec<Violation> = layers.iter().filter_map(|l| refused(&network, l)).collect();
    if !refused.is_empty() {
        return Err(refused);
    }
    let quantised: Vec<Quantised> =
        layers.iter().map(|layer| Quantised::of(layer, weight_bits)).collect();
    let too_large = layers.iter().zip(&quantised).flat_map(|(l, q)| q.too_large(&network, l));
    let too_large: Vec<Violation> = too_large.collect();
    if !too_large.is_empty() {
        return Err(too_large);
    }
    let mut graph = network.clone();
    let mut notes = Vec::new();
    for (layer, quantised) in layers.iter().zip(&quantised) {
        notes.push(Note {
            node: network[layer.population].describe(),
            text: quantised.loss(layer, weight_bits),
        });
        quantised.install(&mut graph, layer);
    }
    match verify(graph) {
        Ok(graph) => Ok((graph, notes)),
        Err(errors) => Err(errors
            .iter()
            .map(|e| Violation {
                node: "the network on integers".into(),
                reason: e.to_string(),
                remedy: "train smaller weights against the threshold".into(),
            })
            .collect()),
    }
}

/// Why there is no such neuron.
fn refused(network: &Graph, layer: &Layer) -> Option<Violation> {
    let node = &network[layer.population];
    if layer.current_decay > 0.0 {
        let reason = "has a synaptic current that decays by itself, for which there is no memory";
        let remedy = "train neurons without (alpha = 0), or compile for reference";
        return Some(Violation::new(node, reason, remedy));
    }
    if layer.threshold.is_some() {
        return None;
    }
    let readouts = network.users(layer.population);
    let sums = readouts.into_iter().all(|u| match network[u].as_spiking() {
        // What is sent in each timestep is added up, or the potential keeps all of it.
        Some(SpikingOp::Decoder(d)) => match d.readout {
            Readout::Sum => layer.decay == 0.0,
            Readout::Last => layer.decay == 1.0 || network.timing.timesteps == 1,
        },
        _ => false,
    });
    if !sums || layer.initial.iter().any(|&v| v != 0.0) {
        let reason = "is a read-out that keeps a share of its potential, or shows the last timestep alone; read-outs add up all timesteps";
        let remedy =
            "compile for reference, or show the sum or the mean over time of the last layer";
        return Some(Violation::new(node, reason, remedy));
    }
    None
}

/// The numbers of one layer.
struct Quantised {
    /// Integers to one of the model's units, for each channel: of sums, and of compared potentials.
    sums: Vec<f64>,
    potentials: Vec<f64>,
    leak: Leak,
}

impl Quantised {
    fn of(layer: &Layer, weight_bits: u8) -> Quantised {
        let channels = layer.initial.len();
        let most = ((1i64 << (weight_bits - 1)) - 1) as f64;
        let mut largest = vec![0.0f64; channels];
        for (_, weights) in &layer.projections {
            let width = (weights.len() / channels).max(1);
            for (i, w) in weights.iter().enumerate() {
                match weights.len() {
                    1 => largest.iter_mut().for_each(|m| *m = m.max(w.abs())),
                    _ => largest[i / width] = largest[i / width].max(w.abs()),
                }
            }
        }
        // A channel that nothing reaches is driven by its bias alone. Thresholds are kept within 30
        // bits, which a weight that is nothing beside its threshold would pass.
        let sum = |c: usize| {
            let by_weight = if largest[c] > 0.0 { most / largest[c] } else { most };
            let threshold = layer.threshold.as_ref().map_or(0.0, |t| t[c]);
            by_weight.min(f64::from(1 << 30) / threshold)
        };
        let mut sums: Vec<f64> = (0..channels).map(sum).collect();
        // What all channels have in common needs one scale.
        let shared = layer.projections.iter().any(|(_, weights)| weights.len() == 1);
        if shared || matches!(layer.reset, Reset::Hard(value) if value != 0.0) {
            let least = sums.iter().copied().fold(f64::INFINITY, f64::min);
            sums.fill(least);
        }
        let leak = match &layer.threshold {
            Some(threshold) => {
                let levels = (0..channels).map(|c| sums[c] * threshold[c]);
                leak(layer.decay, levels.fold(f64::INFINITY, f64::min))
            }
            None => Leak::None,
        };
        let shift = match leak {
            Leak::Averaging { shift, .. } => shift,
            _ => 0,
        };
        let potentials = sums.iter().map(|s| s / f64::from(1u32 << shift)).collect();
        Quantised { sums, potentials, leak }
    }

    /// What no integer holds once it has the scale of the weights.
    fn too_large(&self, network: &Graph, layer: &Layer) -> Vec<Violation> {
        let largest = |scale: &[f64], values: &[f64]| {
            values.iter().zip(scale).map(|(v, s)| (v * s).abs()).fold(0.0, f64::max)
        };
        let reset = match &layer.reset {
            Reset::None => 0.0,
            Reset::Soft(amount) => largest(&self.potentials, amount),
            Reset::Hard(value) => largest(&self.potentials, &[*value]),
        };
        let found = [
            ("a bias", largest(&self.sums, &layer.drive)),
            ("an initial potential", largest(&self.potentials, &layer.initial)),
            ("a reset", reset),
        ];
        let found = found.into_iter().filter(|(_, value)| *value > LARGEST || value.is_nan());
        let violation = |(what, value): (&str, f64)| {
            let reason = format!(
                "has {what} of {value:.1e} units of its potential, where its weights have the scale of \
                 integers; at most {LARGEST:.0e} can be held"
            );
            let remedy = "train it of the size of weights and threshold";
            Violation::new(&network[layer.population], reason, remedy)
        };
        found.map(violation).collect()
    }

    /// What is not as it was trained.
    fn loss(&self, layer: &Layer, weight_bits: u8) -> String {
        let (mut noise, mut signal) = (0.0, 0.0);
        for (_, weights) in &layer.projections {
            let width = (weights.len() / self.sums.len()).max(1);
            for (i, w) in weights.iter().enumerate() {
                let scale = self.sums[(i / width).min(self.sums.len() - 1)];
                let error = (w * scale).round() / scale - w;
                noise += error * error;
                signal += w * w;
            }
        }
        let relative = if signal > 0.0 { (noise / signal).sqrt() } else { 0.0 };
        let decay = match self.leak {
            Leak::None => String::new(),
            Leak::Subtracting { shift } => format!(", decay {} as 1 - 2^-{shift}", layer.decay),
            Leak::Averaging { shift, kept } => {
                format!(", decay {} as {kept}/{}", layer.decay, 1u32 << shift)
            }
        };
        let Some(threshold) = &layer.threshold else {
            let bits = "approximate: weights of";
            return format!("{bits} {weight_bits} bits (RMS error {relative:.1e} of them)");
        };
        let levels = self.potentials.iter().zip(threshold).map(|(s, t)| s * t);
        format!(
            "approximate: weights of {weight_bits} bits (RMS error {:.1e} of them){decay}, thresholds \
             at {:.0} units of the potential or more",
            relative,
            levels.fold(f64::INFINITY, f64::min)
        )
    }

    fn install(&self, graph: &mut Graph, layer: &Layer) {
        for (id, weights) in &layer.projections {
            let width = (weights.len() / self.sums.len()).max(1);
            let whole = |(i, w): (usize, &f64)| {
                (w * self.sums[(i / width).min(self.sums.len() - 1)]).round() as i64
            };
            let weights: Vec<i64> = weights.iter().enumerate().map(whole).collect();
            let node: &mut Node = &mut graph[*id];
            let shape = node.data.as_ref().map(|d| d.shape().to_vec()).unwrap_or_default();
            node.data = Some(Tensor::from_integers(&shape, &weights));
            if let Op::Spiking(SpikingOp::Projection(p)) = &mut node.op {
                *p = Projection {
                    delays: p.delays.clone(),
                    ..Projection::exact(p.connectivity.clone())
                };
            }
        }
        let population = match &layer.threshold {
            Some(threshold) => self.population(layer, threshold),
            None => self.readout(graph, layer),
        };
        if let Op::Spiking(SpikingOp::Population(p)) = &mut graph[layer.population].op {
            *p = Population { coding: p.coding, ..population };
        }
    }

    /// A read-out; its decoders get the unit of each channel.
    fn readout(&self, graph: &mut Graph, layer: &Layer) -> Population {
        let bias: Vec<i64> =
            layer.drive.iter().zip(&self.sums).map(|(d, s)| (d * s).round() as i64).collect();
        let steps = i64::try_from(graph.timing.timesteps).unwrap_or(i64::MAX);
        for user in graph.users(layer.population) {
            if let Op::Spiking(SpikingOp::Decoder(d)) = &mut graph[user].op {
                let scale = |(c, s): (usize, &f64)| {
                    let own = d.scale.get(c).or(d.scale.first()).copied().unwrap_or(1.0);
                    (f64::from(own) / s) as f32
                };
                d.scale = self.sums.iter().enumerate().map(scale).collect();
                d.readout = Readout::Last;
            }
        }
        // As much as every synapse brings in every timestep.
        let mut most = bias.iter().map(|b| b.saturating_abs()).max().unwrap_or(0);
        for (id, _) in &layer.projections {
            let sent = graph.source(*id, 0).map_or(1, |source| largest(graph, source));
            let weights =
                graph[*id].data.as_ref().and_then(|d| d.to_i64().ok()).unwrap_or_default();
            let width = (weights.len() / self.sums.len()).max(1);
            let sum = |row: &[i64]| row.iter().map(|w| w.saturating_abs()).sum::<i64>();
            let row = weights.chunks(width).map(sum).max().unwrap_or(0);
            most = most.saturating_add(row.saturating_mul(sent));
        }
        let most = most.saturating_mul(steps);
        Population {
            coding: snnc_ir::Coding::Rate,
            bias: if bias.iter().all(|&b| b == 0) { Vec::new() } else { bias },
            bias_placement: BiasPlacement::EveryTimestep,
            neuron: Neuron::Accumulate,
            minimum: -most,
            maximum: most,
            scale: self.sums.iter().map(|s| (1.0 / s) as f32).collect(),
        }
    }

    fn population(&self, layer: &Layer, thresholds: &[f64]) -> Population {
        let channels = 0..self.sums.len();
        let at = |scale: &[f64], values: &[f64], c: usize| (values[c] * scale[c]).round() as i64;
        let (half, kept) = match self.leak {
            Leak::Averaging { shift, kept } => (1i64 << (shift - 1), kept),
            _ => (0, 1),
        };
        let threshold = |c: usize| {
            let exact = thresholds[c] * self.potentials[c];
            let least = match layer.comparison {
                Comparison::AtLeast => exact.ceil(),
                Comparison::Above => exact.floor() + 1.0,
            };
            (least as i64).max(1)
        };
        let reset = match &layer.reset {
            Reset::None => IntegerReset::SoftBy(TimeTable::constant(0)),
            Reset::Soft(amount) => IntegerReset::SoftBy(TimeTable::per_channel(
                channels.clone().map(|c| at(&self.potentials, amount, c)),
            )),
            Reset::Hard(value) => {
                IntegerReset::Hard((value * self.potentials.first().unwrap_or(&1.0)).round() as i64)
            }
        };
        let bias: Vec<i64> =
            channels.clone().map(|c| at(&self.sums, &layer.drive, c) + half).collect();
        Population {
            coding: snnc_ir::Coding::Rate,
            bias: if bias.iter().all(|&b| b == 0) { Vec::new() } else { bias },
            bias_placement: BiasPlacement::EveryTimestep,
            neuron: Neuron::IntegrateAndFire(IntegrateAndFire {
                threshold: TimeTable::per_channel(channels.clone().map(threshold)),
                initial: channels.map(|c| kept * at(&self.potentials, &layer.initial, c)).collect(),
                leak: self.leak,
                reset,
                maximum: 1,
                comparison: Comparison::AtLeast,
                signed_limit: None,
                decode: None,
            }),
            minimum: 0,
            maximum: 1,
            scale: vec![1.0],
        }
    }
}

/// The largest payload of a node, whatever its sign.
fn largest(graph: &Graph, id: NodeId) -> i64 {
    match graph[id].as_spiking() {
        Some(SpikingOp::Encoder(e)) => {
            let payload = |code: i64| code.saturating_sub(e.zero_point).saturating_abs();
            payload(e.minimum).max(payload(e.maximum))
        }
        Some(SpikingOp::Population(_)) => 1,
        _ => graph.sources(id).into_iter().map(|s| largest(graph, s)).max().unwrap_or(1),
    }
}

/// The leak for a decay, where a threshold is `levels` units of the sums.
fn leak(decay: f64, levels: f64) -> Leak {
    if decay == 1.0 {
        return Leak::None;
    }
    let halvings = (-(1.0 - decay).log2()).round().clamp(1.0, 30.0);
    if (1.0 - (-halvings).exp2() - decay).abs() < SAME {
        return Leak::Subtracting { shift: halvings as u8 };
    }
    let kept = |shift: u8| (decay * f64::from(1u32 << shift)).round();
    let error = |shift: u8| {
        let parts = f64::from(1u32 << shift);
        (decay - kept(shift) / parts).abs() + 0.5 * parts / levels
    };
    let best = DECAY_BITS.min_by(|a, b| error(*a).total_cmp(&error(*b))).unwrap_or(1);
    Leak::Averaging { shift: best, kept: kept(best) as i64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decays_take_the_form_that_errs_least() {
        assert_eq!(leak(1.0, 1e4), Leak::None);
        assert_eq!(leak(0.5, 1e4), Leak::Subtracting { shift: 1 });
        assert_eq!(leak(0.9375, 1e4), Leak::Subtracting { shift: 4 });
        let Leak::Averaging { shift, kept } = leak(0.9, 1e6) else { panic!() };
        assert!((kept as f64 / f64::from(1u32 << shift) - 0.9).abs() < 1e-3, "{kept} >> {shift}");
        // With few levels of potential a coarse decay loses less than a coarse potential.
        let Leak::Averaging { shift: coarse, .. } = leak(0.9, 100.0) else { panic!() };
        assert!(coarse < shift, "{coarse} and {shift}");
    }
}
