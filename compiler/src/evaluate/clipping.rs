//! How many of the samples' numbers lie outside what an input takes.

use snnc_ir::{Graph, Op, SpikingOp, TensorOp};

use super::Runner;
use crate::data::Dataset;

/// Samples that are looked at.
const SAMPLES: usize = 64;
/// From this share on it is said.
const NOTED: f64 = 0.01;

/// What an input takes: smallest and largest, and the step between two codes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct InputRange {
    /// Of reals, where they become codes.
    reals: Option<(f64, f64, f64)>,
    /// Of integers.
    codes: Option<(i64, i64)>,
}

impl InputRange {
    /// Of the input of a graph of any stage, if it has one.
    pub(super) fn of(graph: &Graph) -> InputRange {
        // Several inputs are one sample, whose numbers have no range in common.
        let &[input] = graph.inputs().as_slice() else { return InputRange::default() };
        let levels = |scale: f32, zero: f64, (low, high): (i64, i64)| {
            let scale = f64::from(scale);
            Some(((low as f64 - zero) * scale, (high as f64 - zero) * scale, scale))
        };
        if let Op::Spiking(SpikingOp::Encoder(e)) = &graph[input].op {
            let codes = (e.minimum, e.maximum);
            // Thresholds say nothing of what lies beyond them.
            if !e.thresholds.is_empty() {
                return InputRange { reals: None, codes: Some(codes) };
            }
            let zero = e.offset.map_or(e.zero_point as f64, f64::from);
            return InputRange { reals: levels(e.scale, zero, codes), codes: Some(codes) };
        }
        let quantised = |id| match graph[id].as_tensor() {
            Some(TensorOp::Quantise(q)) if q.axis.is_none() => {
                levels(q.scale_at(0), q.zero_at(0) as f64, (q.minimum, q.maximum))
            }
            _ => None,
        };
        let users: Option<Vec<_>> = graph.users(input).into_iter().map(quantised).collect();
        // Where the input is read in several ways, the widest counts.
        let widest =
            |a: (f64, f64, f64), b: (f64, f64, f64)| (a.0.min(b.0), a.1.max(b.1), a.2.max(b.2));
        let reals = users.and_then(|all| all.into_iter().reduce(widest));
        InputRange { reals, codes: graph[input].ty.dtype.integer_range() }
    }
}

impl Runner {
    /// Share of the first samples' numbers that are clipped, by a step or more, where it is worth a word.
    pub fn clipped(&self, data: &Dataset) -> Option<f64> {
        let (mut outside, mut all) = (0usize, 0usize);
        for index in 0..data.len().min(SAMPLES) {
            let counted = match (self.takes_reals, self.range.reals, self.range.codes) {
                (true, Some((low, high, step)), _) => {
                    let values = data.reals(index, self.scaling);
                    let out =
                        |x: &&f32| f64::from(**x) < low - step || f64::from(**x) > high + step;
                    (values.iter().filter(out).count(), values.len())
                }
                (false, _, Some((low, high))) => {
                    let values = data.integers(index, self.scaling);
                    (values.iter().filter(|x| !(low..=high).contains(*x)).count(), values.len())
                }
                _ => return None,
            };
            outside += counted.0;
            all += counted.1;
        }
        let share = outside as f64 / all.max(1) as f64;
        (share >= NOTED).then_some(share)
    }
}

/// What to say of numbers that are clipped.
pub(crate) fn text(share: f64) -> String {
    format!(
        "{:.0} % of the samples' numbers lie outside the input's range and are clipped: see whether they are \
         scaled as the model expects (--input-scale and --input-offset, or `input` in snnc.yaml, scale integers)",
        100.0 * share
    )
}
