//! The requantisation `RNE(f32(acc) * M)` as integer inequalities, exactly.
//!
//! With `|acc| < 2^24`, `f32(acc)` is acc, and `M = m * 2^e` with an integer m. The product is the real
//! `acc * m * 2^e`, rounded to 24 bits. It reaches the f32 number t if it is above the middle between t
//! and its predecessor, or on it where t's last bit is 0. A level L is reached at `t = L - 1/2` if L is
//! even, else at the next f32 number (IEEE 754, roundTiesToEven, twice). So every level is one inequality
//! `acc * A >= K` in integers, and no solver has to know of floating point.

use snnc_ir::analysis::Interval;
use snnc_ir::{Graph, NodeId, Rounding, TensorOp};

use super::term::{number, staircase};

/// One channel's requantisation of one accumulator.
pub(super) struct Rule {
    /// `M`.
    ratio: f32,
    /// Smallest and largest payload.
    levels: (i64, i64),
}

impl Rule {
    /// The rule of node `id` of the quantised graph, if it requantises one accumulator.
    pub(super) fn of(graph: &Graph, id: NodeId, channel: usize) -> Option<Rule> {
        let &[source] = graph.sources(id).as_slice() else { return None };
        if !matches!(graph[id].as_tensor(), Some(TensorOp::Requantise)) {
            return None;
        }
        let (input, output) =
            (graph[source].ty.quantisation.as_ref()?, graph[id].ty.quantisation.as_ref()?);
        let zero = output.zero_at(channel);
        let ratio = input.scale_at(channel) / output.scale_at(channel);
        let nearest = output.rounding == Rounding::HalfEven && output.offset.is_empty();
        let plain = nearest && ratio.is_normal() && ratio > 0.0;
        let levels = (output.minimum - zero, output.maximum - zero);
        plain.then_some(Rule { ratio, levels })
    }

    /// The payload for the accumulator `variable` of a range.
    pub(super) fn term(&self, variable: &str, range: Interval) -> Result<String, String> {
        let limit = 1 << 24;
        if range.low <= -limit || range.high >= limit {
            return Err("its accumulators are beyond 24 bits, where f32 rounds them".into());
        }
        let steps: Vec<(String, i128)> = (self.levels.0 + 1..=self.levels.1)
            .map(|level| (self.reaches(variable, level), i128::from(level)))
            .collect();
        Ok(staircase(&steps, self.levels.0.into()))
    }

    /// `payload >= level` as an inequality on the accumulator.
    fn reaches(&self, variable: &str, level: i64) -> String {
        let half = level as f32 - 0.5;
        let target = if level % 2 == 0 { half } else { half.next_up() };
        let inclusive = target.to_bits() & 1 == 0;
        // The middle of two neighbours has one bit more, which f64 holds.
        let middle = (f64::from(target.next_down()) + f64::from(target)) / 2.0;
        let (m, e) = parts(self.ratio.into());
        let (k, f) = parts(middle);
        let least = e.min(f);
        let (factor, bound) = (m << (e - least), k << (f - least));
        let relation = if inclusive { ">=" } else { ">" };
        format!("({relation} (* {} {variable}) {})", number(factor), number(bound))
    }
}

/// `x = mantissa * 2^exponent`, the mantissa odd (or 0).
fn parts(x: f64) -> (i128, i32) {
    let bits = x.abs().to_bits();
    let exponent = ((bits >> 52) & 0x7ff) as i32 - 1075;
    let mantissa = (bits & ((1 << 52) - 1)) | (1 << 52);
    let zeros = mantissa.trailing_zeros();
    let odd = i128::from(mantissa >> zeros);
    (if x < 0.0 { -odd } else { odd }, exponent + zeros as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether `acc` satisfies `(>= (* A acc) K)`, as written.
    fn holds(inequality: &str, acc: i64) -> bool {
        let inner = &inequality[1..inequality.len() - 1];
        let (relation, rest) = inner.split_once(' ').unwrap();
        let (product, bound) = rest.split_once(") ").unwrap();
        let factor: i128 = product["(* ".len()..].split(' ').next().unwrap().parse().unwrap();
        let negative = bound.starts_with("(- ");
        let bound: i128 = bound.trim_start_matches("(- ").trim_end_matches(')').parse().unwrap();
        let bound = if negative { -bound } else { bound };
        let left = factor * i128::from(acc);
        if relation == ">=" { left >= bound } else { left > bound }
    }

    #[test]
    fn inequalities_are_the_arithmetic_of_f32() {
        let ratios = [0.5f32, 0.25, 0.1, 1.0 / 3.0, 0.007_867_525, 1.5, 0.000_123_4, 0.018_750_01];
        for ratio in ratios {
            let rule = Rule { ratio, levels: (-20, 20) };
            for level in -19..=20i64 {
                let inequality = rule.reaches("acc", level);
                let near = (level as f32 / ratio) as i64;
                for acc in near - 40..near + 40 {
                    if acc.abs() < 1 << 24 {
                        let payload = (acc as f32 * ratio).round_ties_even() as i64;
                        let found = holds(&inequality, acc);
                        assert_eq!(found, payload >= level, "{ratio} {level} {acc}: {inequality}");
                    }
                }
            }
        }
    }
}
