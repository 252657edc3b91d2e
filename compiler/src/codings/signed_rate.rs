//! `signed-rate`: spike counts that can be taken back (QFFS, Li, Ma and Furber 2022; ST-BIF, You et al.
//! 2024), run until nothing changes any more.
//!
//! A neuron fires +1 while its potential is at the threshold and fewer than q have been sent, and -1
//! while it is negative and more than the least. Potential plus threshold times the count is V0 plus all
//! that came in; at rest the potential is in `0..threshold`, or the count at its end, so the count is
//! the quantised activation of all that came in. With inputs at rest a count moves by one a timestep
//! toward it, so after T timesteps each layer rests at most as many timesteps after the one before as it
//! has levels. Biases come in each of the T timesteps and the sums are T-fold, so no share is rounded.

use snnc_ir::{Leak, Schedule};

use super::recoder::Recoder;
use super::streaming::{self, Plan};
use super::{Initial, Options, ResetRule};

pub(super) fn recode(recoder: &mut Recoder<'_>, options: &Options) {
    let layers = recoder.layers();
    let longest = layers.iter().map(|l| l.maximum.max(-l.minimum) as usize).max().unwrap_or(1);
    let timesteps = options.timesteps.unwrap_or(longest.max(1));
    let plan = Plan {
        timesteps,
        schedule: Schedule::UntilSettled,
        presentations: timesteps,
        retracting: true,
        levels: |_, _| 1,
        exact: true,
        initial: Initial::HalfThreshold,
        reset: ResetRule::Soft,
        leak: Leak::None,
    };
    streaming::recode(recoder, &plan);
}
