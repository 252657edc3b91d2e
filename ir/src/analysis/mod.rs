//! What can be proved of a spiking network without running it.

mod interval;
mod saturation;
mod staircase;

pub use crate::interval::{Interval, signed_bits};
pub use interval::{Intervals, intervals, sum_interval, sum_of_runs};
pub use saturation::{Saturation, outside, saturations};
pub use staircase::{Fraction, StraightLine, bisect_thresholds};
