//! `rate`: spike counts of streaming neurons over T timesteps; not exact behind the first layer.
//!
//! With a constant current c the count is `clamp(floor((V0 + T c) / threshold), 0, T)` (Castagnetti,
//! Pegatoquet and Miramond, "Trainable quantization for speedy spiking neural networks", Frontiers in
//! Neuroscience 2023, equation 7), which is the quantised activation. Deeper layers see their current
//! come unevenly: spikes sent too early cannot be taken back, and late bursts do not get out.

use snnc_ir::Schedule;

use super::recoder::Recoder;
use super::streaming::{self, Plan};
use super::{Initial, Options};

pub(super) fn recode(recoder: &mut Recoder<'_>, options: &Options) {
    let longest = recoder.layers().iter().map(|l| l.maximum as usize).max().unwrap_or(1).max(1);
    let timesteps = options.timesteps.unwrap_or(longest);
    let plan = Plan {
        timesteps,
        schedule: Schedule::Streaming,
        presentations: timesteps,
        retracting: false,
        levels: |_, _| 1,
        exact: false,
        initial: options.initial.unwrap_or(Initial::HalfThreshold),
        reset: options.reset,
        leak: options.leak,
    };
    streaming::recode(recoder, &plan);
}
