//! `sigma-delta`: changes of the value, as graded signed spikes.
//!
//! The potential sums up changes; what is sent is the change of the requantised sum, `clamp(floor(V /
//! S), -sent, q - sent)` with a soft reset, so that a delta threshold of one unit of payload loses
//! nothing. Presented once, a frame is answered in one sweep; presented as changes of the frame before,
//! so is the next one.

use snnc_ir::{Leak, Schedule};

use super::recoder::Recoder;
use super::streaming::{self, Plan};
use super::{Initial, Options, ResetRule};

pub(super) fn recode(recoder: &mut Recoder<'_>, options: &Options) {
    let plan = Plan {
        timesteps: options.timesteps.unwrap_or(1),
        schedule: Schedule::Streaming,
        presentations: 1,
        retracting: true,
        levels: |layer, _| (layer.maximum - layer.minimum).max(1),
        exact: true,
        initial: Initial::HalfThreshold,
        reset: ResetRule::Soft,
        leak: Leak::None,
    };
    streaming::recode(recoder, &plan);
}
