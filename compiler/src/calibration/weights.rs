//! Rounding weights to few bits, channel by channel.

/// Codes and scale of one channel's weights: symmetric, narrow (`-(2^(bits-1)-1) ..= 2^(bits-1)-1`),
/// the scale with the least squared error on a grid of clipping points from 100 % to 30 % of the
/// largest magnitude. Zeros get scale 1.
pub(super) fn quantise_row(row: &[f32], bits: u8) -> (Vec<i64>, f32) {
    let levels = ((1i64 << (bits - 1)) - 1) as f32;
    let reach = row.iter().fold(0f32, |m, w| m.max(w.abs()));
    if reach == 0.0 || !reach.is_finite() {
        return (vec![0; row.len()], 1.0);
    }
    let codes =
        |scale: f32| row.iter().map(move |w| (w / scale).round_ties_even().clamp(-levels, levels));
    let error = |scale: f32| -> f64 {
        codes(scale).zip(row).map(|(q, w)| f64::from(q * scale - w).powi(2)).sum()
    };
    let mut best = (f64::INFINITY, reach / levels);
    for percent in 0..=70u8 {
        let scale = reach * (1.0 - f32::from(percent) / 100.0) / levels;
        let e = error(scale);
        if e < best.0 {
            best = (e, scale);
        }
    }
    (codes(best.1).map(|q| q as i64).collect(), best.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_codes_stay_exact() {
        let row: Vec<f32> = (-7..=7).map(|q| q as f32 * 0.25).collect();
        let (codes, scale) = quantise_row(&row, 4);
        assert_eq!((codes, scale), ((-7..=7).collect(), 0.25));
        assert_eq!(quantise_row(&[0.0; 3], 4), (vec![0; 3], 1.0));
    }

    #[test]
    fn clipping_an_outlier_pays_at_few_bits() {
        let mut row: Vec<f32> = (0..1000).map(|i| ((i % 21) as f32 - 10.0) * 0.01).collect();
        row.push(0.4);
        let (codes, scale) = quantise_row(&row, 4);
        assert!(scale < 0.4 / 7.0);
        assert!(codes.iter().all(|q| (-7..=7).contains(q)));
    }
}
