//! Ascending functions of single-precision reals, by their thresholds: reals in their order are integers.

use snnc_ir::Quantisation;

/// The smallest real with at least that code: minus infinity for the smallest code, none beyond the
/// largest.
pub(super) fn first_real(q: &Quantisation, channel: usize, code: i64) -> Option<f32> {
    first_reaching(|x| q.code(x, channel) >= code)
}

/// The smallest real from which on something holds, minus infinity where it always does; `None` where it
/// never does.
pub(super) fn first_reaching(holds: impl Fn(f32) -> bool) -> Option<f32> {
    let (mut low, mut high) = (key_of_real(f32::NEG_INFINITY), key_of_real(f32::INFINITY));
    if holds(real_of_key(low)) {
        return Some(real_of_key(low));
    }
    if !holds(real_of_key(high)) {
        return None;
    }
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if holds(real_of_key(middle)) { high = middle } else { low = middle }
    }
    Some(real_of_key(high))
}

/// Reals in their order are integers in theirs: the negative ones by their complement.
pub(super) fn real_of_key(key: i64) -> f32 {
    f32::from_bits(if key < 0 { (!key as u32) | 1 << 31 } else { key as u32 })
}

/// The integer of [`real_of_key`].
pub(super) fn key_of_real(real: f32) -> i64 {
    let magnitude = i64::from(real.to_bits() & !(1 << 31));
    if real.is_sign_negative() { !magnitude } else { magnitude }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_in_the_order_of_reals() {
        let reals =
            [f32::NEG_INFINITY, f32::MIN, -1.0, -1e-45, -0.0, 0.0, 1e-45, 1.0, f32::INFINITY];
        let keys = reals.map(key_of_real);
        assert!(keys.is_sorted_by(|a, b| a < b), "{keys:?}");
        assert_eq!(keys.map(real_of_key).map(f32::to_bits), reals.map(f32::to_bits));
        assert_eq!(key_of_real(0.0) - key_of_real(-0.0), 1, "neighbours have neighbouring keys");
    }

    #[test]
    fn the_first_real_of_a_code_is_its_threshold() {
        let q = Quantisation::per_tensor(0.5, 0, -4, 4);
        assert_eq!(first_real(&q, 0, 1), Some(0.25f32.next_up()));
        assert_eq!(first_real(&q, 0, 2), Some(0.75), "the tie is even");
        assert_eq!(first_real(&q, 0, 0), Some(-0.25));
        assert_eq!((first_real(&q, 0, -4), first_real(&q, 0, 5)), (Some(f32::NEG_INFINITY), None));
    }
}
