//! What NetX makes of the weights of a dense layer when it loads them.
//!
//! lava-dl 0.6.0 fits a weight format of at most 8 bits to each matrix, and lava-nc 0.10.0 cuts the
//! weights to that format. Most matrices within -256..=254 come through unchanged; these are the
//! exceptions that this module knows, so that the reader sees what NetX runs, and the emitter
//! never writes a matrix that would change.

use super::net::WEIGHTS;

/// Why a matrix has no form in NetX.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum WeightFault {
    /// The loader takes the logarithm of an infinite scale and stops.
    #[error("all weights are 0, which NetX cannot load")]
    AllZero,
    /// A minimum of -2^k among odd weights is cut to a fraction.
    #[error("NetX cuts the weight {0} to a fraction")]
    Fraction(i64),
    /// Nothing of -1 or -2 survives the format when no weight is positive, and one step up is 0.
    #[error("its weights are all 0, -1 or -2, which NetX cuts to nothing")]
    Vanishing,
}

impl WeightFault {
    /// What a user can do about it.
    pub(super) fn remedy(self) -> &'static str {
        match self {
            Self::AllZero => "remove the layer, or train it",
            Self::Fraction(_) => "change that weight by one",
            Self::Vanishing => "multiply its weights, biases and thresholds by 3, or train it",
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sign {
    Mixed,
    Excitatory,
    Inhibitory,
}

/// The matrix that NetX runs for the matrix `weights` of a file.
pub(super) fn loaded(weights: &[i64]) -> Result<Vec<i64>, WeightFault> {
    loaded_together(&[weights]).map(|mut matrices| matrices.remove(0))
}

/// The matrices that NetX runs for matrices that share one format, as the forward and the
/// recurrent weights of a layer do.
pub(super) fn loaded_together(matrices: &[&[i64]]) -> Result<Vec<Vec<i64>>, WeightFault> {
    let all = || matrices.iter().copied().flatten().copied();
    let (highest, lowest) = (all().max().unwrap_or(0), all().min().unwrap_or(0));
    if highest == 0 && lowest == 0 {
        return Err(WeightFault::AllZero);
    }
    let (low, high) = WEIGHTS;
    let clipped = (highest > high && lowest < 0) || (lowest < low && highest > 0);
    let clip = |w: i64| if clipped { w.clamp(low, high) } else { w };
    let (highest, lowest) = (clip(highest), clip(lowest));

    // The loader calls a matrix without a positive weight inhibitory only if no weight is 0.
    let sign = if highest < 0 {
        Sign::Inhibitory
    } else if lowest >= 0 {
        Sign::Excitatory
    } else {
        Sign::Mixed
    };
    let signed = i32::from(sign == Sign::Mixed);
    let shift = spare_bits(sign, lowest, highest) + signed;
    let even = all().fold(8, |bits, w| bits.min(clip(w).trailing_zeros() as i32)) - signed;
    let format = Format { shift, stored_bits: 8 - shift - even };
    matrices.iter().map(|m| m.iter().map(|&w| clip(w)).collect()).map(|m| format.cut(m)).collect()
}

/// A weight format: weights are shifted left, and stored in some bits.
struct Format {
    shift: i32,
    stored_bits: i32,
}

impl Format {
    /// What the process model makes of one matrix.
    fn cut(&self, mut weights: Vec<i64>) -> Result<Vec<i64>, WeightFault> {
        let highest = weights.iter().copied().max().unwrap_or(0);
        let lowest = weights.iter().copied().min().unwrap_or(0);
        // It looks at the signs once more, and counts 0 with the inhibitory ones.
        let sign = if lowest >= 0 {
            Sign::Excitatory
        } else if highest <= 0 {
            Sign::Inhibitory
        } else {
            Sign::Mixed
        };
        let (floor, cut) = match sign {
            Sign::Mixed => (WEIGHTS.0, 9 - self.stored_bits),
            _ => (0, 8 - self.stored_bits),
        };
        // NumPy's shifts by a negative number leave nothing.
        if self.shift < 0 || cut < 0 {
            return Ok(vec![0; weights.len()]);
        }
        let flip = if sign == Sign::Inhibitory { -1 } else { 1 };
        for w in &mut weights {
            let wide = flip * (*w << self.shift);
            let stored = flip * ((wide.clamp(floor, 255) >> cut) << cut);
            if stored & ((1 << self.shift) - 1) != 0 {
                return Err(WeightFault::Fraction(*w));
            }
            *w = stored >> self.shift;
        }
        Ok(weights)
    }
}

/// `floor(log2(scale))` for the largest `scale` that keeps the weights within 8 bits.
fn spare_bits(sign: Sign, lowest: i64, highest: i64) -> i32 {
    // scale >= 2^k exactly when value * 2^k <= limit, for the values that bound it.
    let fits = |k: i32| {
        let within = |value: i64, limit: i64| {
            if k >= 0 { value << k.min(40) <= limit } else { value <= limit << -k }
        };
        match sign {
            Sign::Mixed => {
                (highest <= 0 || within(highest, 127)) && (lowest >= 0 || within(-lowest, 128))
            }
            Sign::Inhibitory => within(-lowest, 256),
            Sign::Excitatory => within(highest, 255),
        }
    };
    (-40..=40).rev().find(|&k| fits(k)).unwrap_or(-40)
}

/// Changes as little as needed for NetX to run the matrix as it is written; returns how many
/// weights changed, each by one.
///
/// # Errors
/// An all-zero matrix cannot be loaded whatever is done, and one of nothing but 0, -1 and -2 has no
/// neighbour that could be; the weights are then left as they were.
pub(super) fn repair(weights: &mut [i64]) -> Result<usize, WeightFault> {
    if weights.iter().all(|&w| w == 0) {
        return Err(WeightFault::AllZero);
    }
    let mut repaired = weights.to_vec();
    let mut changed = 0;
    // A matrix without positive weights loses precision only where its minimum is -2^k.
    for _ in 0..8 {
        match loaded(&repaired) {
            Ok(runs) if runs == repaired => {
                weights.copy_from_slice(&repaired);
                return Ok(changed);
            }
            Err(WeightFault::AllZero) => break,
            _ => {}
        }
        let lowest = repaired.iter().copied().min().unwrap_or(0);
        for w in repaired.iter_mut().filter(|w| **w == lowest) {
            *w += 1;
            changed += 1;
        }
    }
    Err(WeightFault::Vanishing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_losses_are_reproduced() {
        let cases: [(&[i64], &[i64]); 9] = [
            (&[-128, -2, -4, -4], &[-126, -2, -4, -4]),
            (&[-64, 0, -4], &[-62, 0, -4]),
            (&[-128, 0, -4], &[-126, 0, -4]),
            (&[-256, -2], &[-254, -2]),
            (&[256, 0], &[0, 0]),
            (&[-257, -1], &[0, 0]),
            (&[300, -1], &[254, -1]),
            (&[-300, 4], &[-256, 4]),
            (&[255, 3, 0], &[255, 3, 0]),
        ];
        for (file, runs) in cases {
            assert_eq!(loaded(file).unwrap(), runs, "{file:?}");
        }
        assert_eq!(loaded(&[0, 0]), Err(WeightFault::AllZero));
        assert_eq!(loaded(&[-64, -3, 0]), Err(WeightFault::Fraction(-64)));
    }

    #[test]
    fn matrices_that_share_a_format_can_lose_each_other() {
        // Alone the second matrix would come through; beside a mixed one its bits are miscounted.
        let together = loaded_together(&[&[-127, 99], &[178, 129]]).unwrap();
        assert_eq!(together, [vec![-127, 99], vec![0, 0]]);
        assert_eq!(loaded(&[178, 129]).unwrap(), [178, 129]);
    }

    #[test]
    fn a_power_of_two_minimum_is_moved_by_one() {
        let mut w = vec![-64, -3, 0];
        assert_eq!(repair(&mut w), Ok(1));
        assert_eq!(w, [-63, -3, 0]);
        assert_eq!(repair(&mut [0, 0]), Err(WeightFault::AllZero));
    }

    #[test]
    fn what_only_a_zero_could_replace_is_refused_unchanged() {
        for file in [vec![-1], vec![-1, 0], vec![-2, -1], vec![-2, 0]] {
            let mut w = file.clone();
            assert_ne!(loaded(&w), Ok(w.clone()));
            assert_eq!(repair(&mut w), Err(WeightFault::Vanishing));
            assert_eq!(w, file);
        }
        assert_eq!(repair(&mut [-3, -1, 0]), Ok(0));
    }

    proptest! {
        #[test]
        fn fine_mixed_weights_come_through(mut w in prop::collection::vec(-127i64..=127, 2..20)) {
            w.push(1);
            w.push(-1);
            prop_assert_eq!(loaded(&w).unwrap(), w);
        }

        #[test]
        fn excitatory_weights_come_through(mut w in prop::collection::vec(0i64..=255, 1..20)) {
            w.push(7);
            prop_assert_eq!(loaded(&w).unwrap(), w);
        }

        #[test]
        fn repaired_weights_come_through(w in prop::collection::vec(-127i64..=127, 1..20)) {
            let mut repaired = w.clone();
            match repair(&mut repaired) {
                Ok(_) => prop_assert_eq!(loaded(&repaired).unwrap(), repaired),
                Err(_) => prop_assert!(w.iter().all(|w| (-2..=0).contains(w))),
            }
        }

        #[test]
        fn small_weights_are_repaired_or_refused(w in prop::collection::vec(-4i64..=1, 1..4)) {
            let mut repaired = w.clone();
            match repair(&mut repaired) {
                Ok(_) => prop_assert_eq!(loaded(&repaired).unwrap(), repaired),
                Err(_) => prop_assert!(w.iter().all(|w| (-2..=0).contains(w))),
            }
        }
    }
}
