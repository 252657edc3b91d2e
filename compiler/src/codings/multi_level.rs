//! `multi-level`: integrate and fire sending up to N a timestep, for T timesteps (burst spikes, LM-HT;
//! Castagnetti, Pegatoquet and Miramond, "All in one timestep", 2025).
//!
//! N is the least that lets N T reach the largest payload. At T = 1 the neuron sees all of its input
//! before it answers, so it is exact; a payload of n costs one spike. At more timesteps it is `rate` in
//! larger steps.

use snnc_ir::{Leak, Schedule};

use super::recoder::{Layer, Recoder};
use super::streaming::{self, Plan};
use super::{Initial, Options, ResetRule};

fn levels(layer: &Layer, timesteps: usize) -> i64 {
    let most = layer.maximum.max(-layer.minimum).max(1);
    most.div_euclid(timesteps as i64) + i64::from(most.rem_euclid(timesteps as i64) != 0)
}

pub(super) fn recode(recoder: &mut Recoder<'_>, options: &Options) {
    let timesteps = options.timesteps.unwrap_or(1);
    let signed = recoder.layers().iter().any(|l| l.minimum < 0);
    let plan = Plan {
        timesteps,
        schedule: Schedule::Streaming,
        presentations: timesteps,
        retracting: timesteps == 1 && signed,
        levels,
        exact: timesteps == 1,
        initial: options.initial.unwrap_or(Initial::HalfThreshold),
        reset: ResetRule::Soft,
        leak: Leak::None,
    };
    streaming::recode(recoder, &plan);
}
