//! `rate-sync`: spike counts, each layer integrating all timesteps before it fires.
//!
//! Behind the barrier the neuron holds `v = multiplier * potential + offset`; without further input a
//! soft reset by the threshold S lets it fire while `v >= S`, so `floor(v / S)` times, at most q. Where
//! a channel's thresholds are on no straight line, the threshold of timestep t is that of payload t
//! itself and nothing is subtracted: the neuron fires as long as its potential is at the rising
//! threshold, which is any staircase. In both cases a train is a run of spikes from the first
//! timestep on, and of two trains the longer covers the other: the maximum in each timestep is the
//! maximum of the counts, so max pools stay as they are.

use snnc_ir::{BiasPlacement, NegativeSpikes, Presentation, Reset, Schedule, TimeTable, Timing};

use super::Options;
use super::recoder::{Layer, NEVER, Recoded, Recoder, neuron, table};
use super::staircase::Staircase;

pub(super) fn recode(recoder: &mut Recoder<'_>, options: &Options) {
    let layers = recoder.layers();
    let spikes = |l: &Layer| l.maximum.max(-l.minimum) as usize;
    let longest = layers.iter().map(spikes).max().unwrap_or(1).max(1);
    let timesteps = options.timesteps.unwrap_or(longest);
    if timesteps < longest {
        return recoder.too_few(timesteps, longest);
    }
    for layer in &layers {
        let Some(staircases) = &layer.staircases else {
            let reason = "its table does not ascend, which a spike count cannot express";
            recoder.refuse(layer.id, reason, "use `graded` or `few-spikes`");
            continue;
        };
        let recoded = population(layer, staircases, timesteps, recoder.ports(layer.id).len());
        recoder.set(layer.id, recoded);
    }
    for id in recoder.read_outs() {
        recoder.after_barrier(id);
    }
    recoder.present(Presentation::Once);
    recoder.sum_outputs(|_| 1.0);
    recoder.timing(Timing { timesteps, schedule: Schedule::LayerSynchronous });
}

/// One channel: thresholds, resets and negative thresholds by timestep, multiplier and offset.
struct Channel {
    threshold: Vec<i64>,
    amount: Vec<i64>,
    below: Vec<i64>,
    multiplier: i64,
    offset: i64,
}

fn channel(layer: &Layer, s: &Staircase, timesteps: usize) -> Channel {
    let steps = 0..timesteps as i64;
    match s.line.filter(|l| l.odd == 0) {
        Some(l) => Channel {
            threshold: steps
                .clone()
                .map(|t| if t < layer.maximum { l.divisor } else { NEVER })
                .collect(),
            amount: vec![l.divisor; timesteps],
            below: steps.map(|t| if t < -layer.minimum { -1 } else { -NEVER }).collect(),
            multiplier: l.multiplier,
            offset: l.offset,
        },
        None => {
            // Smallest potential with payload at least `level`.
            let at = |level: i64| {
                let index = level - layer.minimum - 1;
                usize::try_from(index).ok().and_then(|i| s.thresholds.get(i)).copied()
            };
            Channel {
                threshold: steps.clone().map(|t| at(t + 1).unwrap_or(NEVER)).collect(),
                amount: vec![0; timesteps],
                below: steps
                    .map(|t| match at(-t) {
                        Some(threshold) if t < -layer.minimum => threshold - 1,
                        _ => -NEVER,
                    })
                    .collect(),
                multiplier: 1,
                offset: 0,
            }
        }
    }
}

fn population(layer: &Layer, staircases: &[Staircase], timesteps: usize, ports: usize) -> Recoded {
    let channels: Vec<Channel> = staircases.iter().map(|s| channel(layer, s, timesteps)).collect();
    let rows = |of: fn(&Channel) -> &Vec<i64>| -> TimeTable {
        let constant = channels.iter().all(|c| of(c).iter().all(|v| *v == of(c)[0]));
        let length = if constant { 1 } else { timesteps };
        table(channels.iter().map(|c| of(c)[..length].to_vec()).collect())
    };
    let initial = channels.iter().map(|c| c.offset).collect();
    let mut n = neuron(rows(|c| &c.threshold), initial, 1);
    let straight = staircases.iter().all(|s| s.line.is_some_and(|l| l.odd == 0));
    if !straight || layer.minimum < 0 || layer.maximum < timesteps as i64 {
        n.reset = Reset::SoftBy(rows(|c| &c.amount));
    }
    if layer.minimum < 0 {
        n.signed_limit = Some(NegativeSpikes::Below(rows(|c| &c.below)));
    }
    let multipliers: Vec<i64> = channels.iter().map(|c| c.multiplier).collect();
    Recoded {
        neuron: n.into(),
        gains: vec![multipliers.clone(); ports],
        bias: multipliers,
        bias_placement: BiasPlacement::AfterLastTimestep,
        range: (layer.minimum.max(-1), layer.maximum.min(1)),
        scale: layer.scale.clone(),
    }
}
