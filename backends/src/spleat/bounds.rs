//! How far a membrane potential can go, whatever the input: so that no adder ever overflows.
//!
//! The bound holds for any order of events: within a timestep the potential takes part of the
//! negative or of the positive synapses' sum, and no more.

use snnc_ir::analysis::Interval;

use super::layer::Kind;

/// What is known of one channel.
#[derive(Clone, Copy, Debug)]
pub struct ChannelDrive {
    /// What all synapses can bring in one timestep, 0 included.
    pub synapses: Interval,
    /// Bias.
    pub bias: i64,
    /// Potential at the start.
    pub initial: i64,
    /// Potential after a hard reset, if there is one.
    pub hard_reset: Option<i64>,
    /// How far one reset can take the potential below 0, and how far up; 0 where it subtracts what
    /// the comparison found.
    pub resets: Interval,
}

/// Every value that the membrane of a channel can hold in `timesteps` timesteps, in the middle of
/// a timestep too; `barrier` for neurons that take their bias once, after the last of them.
pub fn membrane(kind: Kind, drive: &ChannelDrive, timesteps: usize, barrier: bool) -> Interval {
    let steps = i64::try_from(timesteps).unwrap_or(i64::MAX);
    let (bias, within) = (drive.bias, drive.synapses.with_zero());
    let mut start = Interval::new(drive.initial, drive.initial);
    if let Some(v) = drive.hard_reset {
        start = start.union(Interval::new(v, v));
    }
    // The potential goes its way down from 0 or above after each soft reset.
    let start = if timesteps > 1 { start.with_zero() } else { start };
    let once = Interval::new(bias.min(0), bias.max(0));
    let resets = drive.resets.times(steps).with_zero();
    if barrier {
        return start.plus(within.times(steps)).plus(once).plus(resets).with_zero();
    }
    match kind {
        Kind::LeakyAveraging { shift, kept } => averaging(start, drive, shift, kept, steps),
        // A leak toward 0 never goes beyond what would be there without it.
        _ => {
            let net = within.plus(Interval::new(bias, bias)).with_zero();
            start.plus(net.times(steps - 1)).plus(within).plus(once).plus(resets).with_zero()
        }
    }
}

/// Steps the interval `kept * ((a + x + b) >> shift)`, which settles or ends with the timesteps.
fn averaging(start: Interval, drive: &ChannelDrive, shift: u8, kept: i64, steps: i64) -> Interval {
    let (within, bias) = (drive.synapses.with_zero(), drive.bias);
    let hard = drive.hard_reset.unwrap_or(0);
    let shift = shift.min(62);
    let net = within.plus(Interval::new(bias, bias));
    let mut held = start;
    let mut seen = held;
    for _ in 0..steps.min(4096) {
        let during = held.with_zero().plus(within).plus(Interval::new(bias.min(0), bias.max(0)));
        let u = held.plus(net);
        // A reset brings the potential nearer to 0, to where it was, or as far as its table says.
        let u = Interval::new(u.low >> shift, u.high >> shift)
            .union(Interval::new(hard, hard))
            .with_zero();
        let high = u.high.saturating_add(drive.resets.high);
        let u = u.union(Interval::new(drive.resets.low, high));
        let next = held.union(u.times(kept.max(1))).union(u);
        seen = seen.union(during).union(next);
        if next == held {
            break;
        }
        held = next;
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_run_leaves_the_bound(
            steps in prop::collection::vec(prop::collection::vec(-20i64..20, 1..5), 1..7),
            bias in -15i64..15, initial in -9i64..9, threshold in 1i64..30, most in 1i64..5, kind in 0..3, hard in prop::option::of(-5i64..5), table in prop::option::of(-9i64..60),
        ) {
            let kind = [Kind::IntegrateAndFire, Kind::LeakyAveraging { shift: 2, kept: 3 }, Kind::LeakySubtracting { shift: 1 }][kind as usize];
            let sums = |sign: i64| steps.iter().map(|s| s.iter().map(|&x| (x * sign).max(0)).sum::<i64>()).max().unwrap_or(0);
            let synapses = Interval::new(-sums(-1), sums(1));
            let amount = table.unwrap_or(threshold);
            let resets = match hard {
                Some(_) => Interval::new(0, 0),
                None => Interval::new(((threshold - amount) * most).min(0), (-amount * most).max(0)),
            };
            let drive = ChannelDrive { synapses, bias, initial, hard_reset: hard, resets };
            let bound = membrane(kind, &drive, steps.len(), false);
            let inside = |v: i64| bound.low <= v && v <= bound.high;
            let mut v = initial;
            for step in &steps {
                for x in step {
                    v += x;
                    prop_assert!(inside(v), "{} {:?}", v, bound);
                }
                let mut u = v + bias;
                prop_assert!(inside(u), "{} {:?}", u, bound);
                if let Kind::LeakyAveraging { shift, .. } = kind { u >>= shift; }
                let z = u.div_euclid(threshold).clamp(0, most);
                u = match hard { Some(r) if z > 0 => r, _ => u - z * amount };
                v = match kind {
                    Kind::LeakyAveraging { kept, .. } => kept * u,
                    Kind::LeakySubtracting { shift } => u - (u >> shift),
                    _ => u,
                };
                prop_assert!(inside(v), "{} {:?}", v, bound);
            }
        }
    }
}
