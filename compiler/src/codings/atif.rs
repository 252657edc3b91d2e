//! `atif`: thresholds of each timestep given as data (Castagnetti, Pegatoquet and Miramond, "Trainable
//! quantization for speedy spiking neural networks", Frontiers in Neuroscience 2023).
//!
//! ATIF-u has one threshold a layer, ATIF-nu one a timestep. Thresholds are real, in the unit of the
//! activation; a spike stands for their mean divided by T, and that factor is folded into the weights of
//! the next layer. Potentials start at 0 and are integers with [`FRACTION`] fractional bits.

use snnc_ir::{
    AccumulateNeuron, BiasPlacement, NodeId, Op, Presentation, Schedule, SpikingOp, TimeTable,
    Timing,
};

use super::recoder::{Layer, Recoded, Recoder, neuron, table};
use super::staircase::Line;
use super::{Initial, Options};

/// Fractional bits of potentials.
const FRACTION: u32 = 12;

const ONE: f64 = (1u64 << FRACTION) as f64;

/// Timesteps where nothing else says how many (the paper's).
const TIMESTEPS: usize = 4;

pub(super) fn recode(recoder: &mut Recoder<'_>, options: &Options) {
    let layers = recoder.layers();
    let longest = options.thresholds.values().map(Vec::len).filter(|&n| n > 1).max();
    let timesteps = options.timesteps.or(longest).unwrap_or(TIMESTEPS);
    let thresholds: Vec<(NodeId, Vec<f64>)> =
        layers.iter().map(|l| (l.id, thresholds(l, options, timesteps))).collect();
    // Units of payload that a spike in every timestep stands for.
    let worth: Vec<(NodeId, f64)> = layers
        .iter()
        .zip(&thresholds)
        .map(|(l, (_, t))| (l.id, mean(t) / f64::from(l.scale.first().copied().unwrap_or(1.0))))
        .collect();
    for (layer, (_, thresholds)) in layers.iter().zip(&thresholds) {
        if thresholds.iter().any(|t| !(t.is_finite() && *t > 0.0)) {
            recoder.refuse(layer.id, "a threshold is not positive", "correct `thresholds`");
            continue;
        }
        let lines: Option<Vec<Line>> = layer
            .staircases
            .as_ref()
            .filter(|_| layer.minimum == 0)
            .and_then(|s| s.iter().map(|s| s.nearest(layer.minimum)).collect());
        let Some(lines) = lines else {
            let reason = "only rectified activations have thresholds";
            recoder.refuse(layer.id, reason, "use `graded` or `few-spikes`");
            continue;
        };
        let Some(gains) = gains(recoder, &worth, layer.id, layer.channels) else { continue };
        let recoded = population(layer, &lines, thresholds, gains, options.initial);
        recoder.set(layer.id, recoded);
    }
    for id in recoder.read_outs() {
        read_out(recoder, &worth, id, timesteps);
    }
    recoder.present(Presentation::EveryTimestep);
    recoder.run_pools_on_totals();
    recoder.sum_outputs(|id| {
        let own = worth.iter().find(|(own, _)| *own == id).map_or(1.0, |(_, w)| *w);
        own / timesteps as f64
    });
    recoder.timing(Timing { timesteps, schedule: Schedule::Streaming });
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

fn thresholds(layer: &Layer, options: &Options, timesteps: usize) -> Vec<f64> {
    let largest = layer.maximum as f64 * f64::from(layer.scale.first().copied().unwrap_or(1.0));
    match options.thresholds.get(&layer.name).filter(|t| !t.is_empty()) {
        Some(given) => (0..timesteps).map(|t| given[t.min(given.len() - 1)]).collect(),
        None => vec![largest; timesteps],
    }
}

/// Factors of what comes through each port: codes in each timestep, or spikes of some worth.
fn gains(
    recoder: &mut Recoder<'_>,
    worth: &[(NodeId, f64)],
    id: NodeId,
    channels: usize,
) -> Option<Vec<Vec<i64>>> {
    let mut gains = Vec::new();
    for port in recoder.ports(id) {
        let of = |o: NodeId| worth.iter().find(|(own, _)| *own == o).map_or(1.0, |(_, w)| *w);
        let found: Vec<f64> = recoder.origins(port).into_iter().map(of).collect();
        match found.as_slice() {
            [first, rest @ ..] if rest.iter().all(|w| w == first) => {
                gains.push(vec![(first * ONE).round() as i64; channels]);
            }
            _ => {
                let reason = "branches whose spikes stand for different values are joined";
                recoder.refuse(id, reason, "use `graded`, `few-spikes` or `rate-sync`");
                return None;
            }
        }
    }
    Some(gains)
}

fn population(
    layer: &Layer,
    lines: &[Line],
    thresholds: &[f64],
    gains: Vec<Vec<i64>>,
    initial: Option<Initial>,
) -> Recoded {
    let scale = f64::from(layer.scale.first().copied().unwrap_or(1.0));
    let row = |l: &Line| -> Vec<i64> {
        // Potentials to one unit of the real activation.
        let unit = l.divisor as f64 / l.multiplier as f64 / scale;
        let constant = thresholds.iter().all(|t| *t == thresholds[0]);
        let steps = if constant { &thresholds[..1] } else { thresholds };
        steps.iter().map(|t| ((t * unit * ONE).round() as i64).max(1)).collect()
    };
    let rows: Vec<Vec<i64>> = lines.iter().map(row).collect();
    let initial = match initial.unwrap_or(Initial::Zero) {
        Initial::HalfThreshold => rows.iter().map(|r| r[0] / 2).collect(),
        Initial::Zero => vec![0; rows.len()],
    };
    let threshold: TimeTable = table(rows);
    Recoded {
        neuron: neuron(threshold, initial, 1).into(),
        gains,
        bias: vec![1 << FRACTION; layer.channels],
        bias_placement: BiasPlacement::EveryTimestep,
        range: (0, 1),
        scale: vec![(mean(thresholds) / thresholds.len() as f64) as f32],
    }
}

fn read_out(recoder: &mut Recoder<'_>, worth: &[(NodeId, f64)], id: NodeId, timesteps: usize) {
    let channels = recoder.graph[id].ty.shape.first().copied().unwrap_or(1);
    let Some(gains) = gains(recoder, worth, id, channels) else { return };
    let Op::Spiking(SpikingOp::Population(own)) = recoder.graph[id].op.clone() else { return };
    let factor = (timesteps as i64) << FRACTION;
    let shrink = |scale: &f32| (f64::from(*scale) / factor as f64) as f32;
    let recoded = Recoded {
        neuron: AccumulateNeuron.into(),
        gains,
        bias: vec![1 << FRACTION; channels],
        bias_placement: BiasPlacement::EveryTimestep,
        range: (
            own.minimum.min(0).saturating_mul(factor),
            own.maximum.max(0).saturating_mul(factor),
        ),
        scale: own.scale.iter().map(shrink).collect(),
    };
    recoder.set(id, recoded);
    for user in recoder.graph.users(id) {
        if let Op::Spiking(SpikingOp::Decoder(d)) = &mut recoder.graph[user].op {
            d.scale.iter_mut().for_each(|s| *s = shrink(s));
        }
    }
}
