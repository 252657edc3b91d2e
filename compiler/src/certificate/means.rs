//! Means of windows: where ONNX Runtime's sum in f32 may be rounded otherwise than the sum of codes.
//!
//! The mean of codes lies halfway between two codes for whole runs of accumulators where the scales are
//! equal. ONNX Runtime adds reals there, whose last bits decide; the integer rule has ties, and rounds
//! them to the even code.

use std::collections::HashMap;

use snnc_ir::analysis::Interval;
use snnc_ir::{Graph, NodeId, PoolKind, Rounding, TensorOp};

use super::PopulationCertificate;

/// Half a unit in the last place of an f32, relative.
const ROUNDING: f64 = 1.0 / (1 << 24) as f64;

/// One mean: `accumulator * ratio` is rounded.
struct Mean {
    ratio: f64,
    /// How far the real that ONNX Runtime rounds may be from that of the integer rule, relative to the
    /// sum of magnitudes.
    error: f64,
    /// 1/2 where the nearest code is taken, 0 where it is the one above or below.
    halfway: f64,
    levels: (i64, i64),
}

impl Mean {
    fn of(quantised: &Graph, requantised: NodeId) -> Option<Mean> {
        let &[mut pool] = quantised.sources(requantised).as_slice() else { return None };
        while let Some(TensorOp::Reshape) = quantised[pool].as_tensor() {
            pool = quantised.source(pool, 0)?;
        }
        let Some(TensorOp::Pool(p)) = quantised[pool].as_tensor() else { return None };
        let cells = p.window.kernel.iter().product::<usize>() as f64;
        let source = &quantised[quantised.source(pool, 0)?].ty;
        let units = match p.kind {
            PoolKind::Sum => cells,
            PoolKind::EvenSum { .. } => {
                let outputs = quantised[pool].ty.shape.get(2..)?;
                p.common(source.shape.get(2..)?, outputs)? as f64
            }
            _ => return None,
        };
        let codes = source.quantisation.as_ref()?;
        let own = quantised[requantised].ty.quantisation.as_ref()?;
        let nearest = matches!(
            own.rounding,
            Rounding::HalfEven | Rounding::HalfAway | Rounding::HalfTowardZero
        );
        Some(Mean {
            ratio: f64::from(codes.scale_at(0)) / units / f64::from(own.scale_at(0)),
            // A product for each cell, a sum for each further one, two quotients; the rule's own scale of
            // the sum, ratio and product.
            error: (cells + 6.0) * ROUNDING,
            halfway: if nearest { 0.5 } else { 0.0 },
            levels: (own.minimum - own.zero_at(0), own.maximum - own.zero_at(0)),
        })
    }

    /// Accumulators of `range` that are so near to a tie that the order of an f32 sum may decide.
    fn ties(&self, range: Interval) -> u64 {
        let one_sign = range.low >= 0 || range.high <= 0;
        let size = |v: i64| if one_sign { v.unsigned_abs() } else { range.magnitude() } as f64;
        let is_tie = |v: i64| {
            let level = v as f64 * self.ratio - self.halfway;
            (level - level.round()).abs() <= self.error * size(v) * self.ratio
        };
        let (mut count, mut next) = (0, range.low);
        for level in self.levels.0..self.levels.1 + i64::from(self.halfway == 0.0) {
            let at = (level as f64 + self.halfway) / self.ratio;
            let reach = self.error * size(at as i64) + 1.0;
            let first = ((at - reach).floor() as i64).max(next);
            let last = ((at + reach).ceil() as i64).min(range.high);
            count += (first..=last).filter(|&v| is_tie(v)).count() as u64;
            next = next.max(last.saturating_add(1));
        }
        count
    }
}

/// The statement with the number of accumulators whose rounding ONNX Runtime's f32 sum may decide
/// otherwise, where the population is a mean.
pub(super) fn with_ties(
    quantised: &Graph,
    requantised: NodeId,
    accumulators: &[Interval],
    mut found: PopulationCertificate,
) -> PopulationCertificate {
    let Some(mean) = Mean::of(quantised, requantised) else { return found };
    let mut known: HashMap<Interval, u64> = HashMap::new();
    found.mean_ties =
        accumulators.iter().map(|&v| *known.entry(v).or_insert_with(|| mean.ties(v))).sum();
    if found.mean_ties > 0 {
        found.method += &format!(
            "; equal to the integer rule, f32 ties may fall otherwise: at most {} of {} accumulators",
            found.mean_ties, found.reachable
        );
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean(ratio: f64, cells: f64) -> Mean {
        Mean { ratio, error: (cells + 6.0) * ROUNDING, halfway: 0.5, levels: (0, 255) }
    }

    #[test]
    fn halves_of_equal_scales_are_ties() {
        // Four cells: every fourth accumulator lies halfway.
        assert_eq!(mean(0.25, 4.0).ties(Interval::new(0, 1020)), 255);
        assert_eq!(mean(0.25, 4.0).ties(Interval::new(0, 7)), 2);
        // Nine cells have no middle.
        assert_eq!(mean(1.0 / 9.0, 9.0).ties(Interval::new(0, 2295)), 0);
    }

    #[test]
    fn what_lies_next_to_a_tie_counts() {
        let near = 0.25 * (1.0 + 3.0 * ROUNDING);
        assert_eq!(mean(near, 4.0).ties(Interval::new(0, 1020)), 255);
        assert_eq!(mean(0.2501, 4.0).ties(Interval::new(0, 40)), 0);
    }
}
