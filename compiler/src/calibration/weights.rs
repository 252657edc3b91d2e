//! Rounding weights to few bits, channel by channel.

use rayon::prelude::*;
use snnc_ir::{DType, Tensor};
use snnc_runtime::kernels::rounding::{LANES, codes, weight_errors};
use snnc_runtime::kernels::{Isa, Kernels};

/// Clipping points are tried from the largest magnitude down by so many percent of it.
const PERCENTS: u8 = 70;
/// Between so many weights it is seen whether a clipping point can still be the best.
const STRETCH: usize = 256;

/// Codes of weights, the first dimension being channels, and the scale of each channel; see
/// [`quantise_row`]. Codes have 8 bits if `bits` are no more, else 16.
pub(super) fn quantise(value: &Tensor, bits: u8) -> (Tensor, Vec<f32>) {
    let channels = value.shape().first().copied().unwrap_or(1).max(1);
    // Reals are made row by row: all at once they would be as large as the weights.
    let reals = match value.dtype() {
        DType::F32 => value.bytes().clone(),
        _ => Tensor::from_f32(value.shape(), &value.to_f32()).bytes().clone(),
    };
    let length = (value.len() / channels).max(1);
    let (dtype, width) = if bits <= 8 { (DType::I8, 1) } else { (DType::I16, 2) };
    let mut bytes = vec![0u8; value.len() * width];
    let isa = Isa::of(Kernels::chosen());
    let row = |(row, bytes): (&[u8], &mut [u8])| {
        let row: Vec<f32> = row.as_chunks::<4>().0.iter().map(|&w| f32::from_le_bytes(w)).collect();
        let (codes, scale) = quantise_row(isa, &row, bits);
        for (bytes, code) in bytes.chunks_exact_mut(width).zip(codes) {
            bytes.copy_from_slice(&code.to_le_bytes()[..width]);
        }
        scale
    };
    let rows = reals.par_chunks(4 * length).zip(bytes.par_chunks_mut(length * width));
    let scale = rows.map(row).collect();
    let codes = Tensor::new(dtype, value.shape().to_vec(), bytes.into());
    // Bytes are as many as the shape of `value` has elements.
    (codes.unwrap_or_else(|_| Tensor::from_i64(dtype, &[0], &[])), scale)
}

/// Codes and scale of one channel's weights: symmetric, narrow (`-(2^(bits-1)-1) ..= 2^(bits-1)-1`),
/// the scale with the least squared error on a grid of clipping points from 100 % to 30 % of the
/// largest magnitude. Zeros get scale 1. `bits` are 2 to 16.
fn quantise_row(isa: Option<Isa>, row: &[f32], bits: u8) -> (Vec<i16>, f32) {
    let levels = ((1i64 << (bits - 1)) - 1) as f32;
    let reach = row.iter().fold(0f32, |m, w| m.max(w.abs()));
    if reach == 0.0 || !reach.is_finite() {
        return (vec![0; row.len()], 1.0);
    }
    let step = |percent: u8| reach * (1.0 - f32::from(percent) / 100.0) / levels;
    let Some(isa) = isa else {
        let scale = step(best_one_by_one(row, levels, step));
        let code = |w: &f32| code(*w, scale, levels) as i16;
        return (row.iter().map(code).collect(), scale);
    };
    let scale = step(best(isa, row, levels, step));
    let mut found = vec![0; row.len()];
    codes(isa, row, scale, levels, &mut found);
    (found, scale)
}

fn code(w: f32, scale: f32, levels: f32) -> f32 {
    (w / scale).round_ties_even().clamp(-levels, levels)
}

/// The clipping point of least error, of equals the first: the slow twin of [`best`].
fn best_one_by_one(row: &[f32], levels: f32, step: impl Fn(u8) -> f32) -> u8 {
    let error = |scale: f32| -> f64 {
        row.iter().map(|&w| f64::from(code(w, scale, levels) * scale - w).powi(2)).sum()
    };
    let mut best = (f64::INFINITY, 0);
    for percent in 0..=PERCENTS {
        let e = error(step(percent));
        if e < best.0 {
            best = (e, percent);
        }
    }
    best.1
}

/// The clipping point of least error, of equals the first. An error only grows along the row, so those
/// that are above the best of a whole row are left.
fn best(isa: Isa, row: &[f32], levels: f32, step: impl Fn(u8) -> f32) -> u8 {
    let mut best = (f64::INFINITY, 0);
    for first in (0..=PERCENTS).step_by(LANES) {
        let percents: [u8; LANES] = std::array::from_fn(|l| (first + l as u8).min(PERCENTS));
        let steps = percents.map(&step);
        let mut errors = [0.0; LANES];
        let hopeless = |errors: &[f64; LANES]| !errors.iter().any(|&e| e < best.0);
        for stretch in row.chunks(STRETCH) {
            weight_errors(isa, stretch, &steps, levels, &mut errors);
            if hopeless(&errors) {
                break;
            }
        }
        for (error, percent) in errors.into_iter().zip(percents) {
            if error < best.0 {
                best = (error, percent);
            }
        }
    }
    best.1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn isa() -> Option<Isa> {
        Isa::of(Kernels::best())
    }

    #[test]
    fn exact_codes_stay_exact() {
        let row: Vec<f32> = (-7..=7).map(|q| q as f32 * 0.25).collect();
        for isa in [None, isa()] {
            let (codes, scale) = quantise_row(isa, &row, 4);
            assert_eq!((codes, scale), ((-7..=7).collect(), 0.25));
            assert_eq!(quantise_row(isa, &[0.0; 3], 4), (vec![0; 3], 1.0));
            assert_eq!(quantise_row(isa, &[f32::INFINITY, 1.0], 4), (vec![0; 2], 1.0));
        }
    }

    #[test]
    fn clipping_an_outlier_pays_at_few_bits() {
        let mut row: Vec<f32> = (0..1000).map(|i| ((i % 21) as f32 - 10.0) * 0.01).collect();
        row.push(0.4);
        let (codes, scale) = quantise_row(isa(), &row, 4);
        assert!(scale < 0.4 / 7.0);
        assert!(codes.iter().all(|q| (-7..=7).contains(q)));
    }

    #[test]
    fn codes_are_stored_in_as_many_bytes_as_they_need() {
        let weights = Tensor::from_f32(&[2, 3], &[1.0, -0.5, 0.25, 0.0, 0.0, 0.0]);
        for (bits, dtype, most) in [(8, DType::I8, 127), (12, DType::I16, 2047)] {
            let (codes, scale) = quantise(&weights, bits);
            assert_eq!((codes.dtype(), codes.shape()), (dtype, [2, 3].as_slice()));
            let found = codes.to_i64().unwrap();
            assert!((found[0] - most).abs() < most / 20 && found[3..] == [0; 3], "{found:?}");
            assert_eq!(scale[1], 1.0);
        }
    }

    fn weight() -> impl Strategy<Value = f32> {
        prop_oneof![
            (-30i32..30).prop_map(|halves| halves as f32 * 0.125),
            -1f32..1f32,
            any::<f32>().prop_filter("finite", |x| x.is_finite()),
            Just(f32::NAN),
            Just(f32::MIN_POSITIVE / 8.0),
        ]
    }

    fn row() -> impl Strategy<Value = Vec<f32>> {
        let plain = || -1f32..1f32;
        prop_oneof![
            proptest::collection::vec(weight(), 0..40),
            proptest::collection::vec(plain(), 0..3 * STRETCH),
            // Halves of a step of 1/8 throughout.
            proptest::collection::vec((-15i32..=15).prop_map(|h| h as f32 / 16.0), 0..2 * STRETCH),
        ]
    }

    proptest! {
        #[test]
        fn all_clipping_points_at_once_are_one_by_one(row in row(), bits in 2u8..=16) {
            let slow = quantise_row(None, &row, bits);
            for isa in Kernels::ALL.into_iter().filter_map(Isa::of) {
                let fast = quantise_row(Some(isa), &row, bits);
                prop_assert_eq!(fast.1.to_bits(), slow.1.to_bits());
                prop_assert_eq!(&fast.0, &slow.0);
            }
        }
    }
}
