//! What each population loses by few payload bits: where bits are best spent.

use serde::Serialize;

use super::{Distribution, Statistics, ThresholdMethod, quantised_error};

/// Signal to quantisation noise of one site.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SiteErrors {
    /// Name of the site.
    pub site: String,
    /// Values counted.
    pub values: u64,
    /// The largest magnitude.
    pub largest: f64,
    /// In dB, for each number of bits asked for; none where there is no noise.
    pub sqnr_db: Vec<Option<f64>>,
}

/// The errors of all sites with payloads of each number of `bits`, one threshold for each channel.
/// A site is signed if a negative value was seen.
///
/// The ratio is that of the mean squares of the value and of its rounding error (ATIF, Castagnetti et
/// al. 2023, equation 8).
pub fn site_errors(
    statistics: &Statistics,
    method: ThresholdMethod,
    bits: &[u8],
) -> Vec<SiteErrors> {
    let of_site = |(name, found): (&String, &super::SiteStatistics)| {
        let all = found.distribution(&[]);
        let signed = all.minimum < 0.0;
        let channels: Vec<Distribution> =
            found.channels.iter().map(|h| h.distribution(1.0)).collect();
        let ratio = |&bits: &u8| {
            let levels = if signed { (1i64 << (bits.max(2) - 1)) - 1 } else { (1i64 << bits) - 1 };
            let noise: f64 = channels
                .iter()
                .map(|d| {
                    let step = method.threshold(d, levels, signed) / levels as f64;
                    quantised_error(d, step, levels, signed)
                })
                .sum();
            let signal: f64 = all.points.iter().map(|(x, n)| x * x * *n as f64).sum();
            (noise > 0.0 && signal > 0.0).then(|| 10.0 * (signal / noise).log10())
        };
        SiteErrors {
            site: name.clone(),
            values: all.count(),
            largest: all.maximum.max(-all.minimum),
            sqnr_db: bits.iter().map(ratio).collect(),
        }
    };
    statistics.sites.iter().map(of_site).collect()
}

#[cfg(test)]
mod tests {
    use super::super::{Histogram, SiteStatistics};
    use super::*;

    #[test]
    fn a_bit_more_is_six_decibels_more() {
        let mut histogram = Histogram::default();
        histogram.extend(&(0..100_000).map(|i| i as f32 / 1e5).collect::<Vec<_>>());
        let site = SiteStatistics { channels: vec![histogram, Histogram::default()] };
        let statistics =
            Statistics { sites: [("site".to_owned(), site)].into(), ..Statistics::default() };
        let found = site_errors(&statistics, ThresholdMethod::LeastSquares, &[2, 3, 4]);
        let db: Vec<f64> = found[0].sqnr_db.iter().map(|x| x.unwrap()).collect();
        assert!(db.windows(2).all(|w| (5.0..7.5).contains(&(w[1] - w[0]))), "{db:?}");
        assert_eq!((found[0].values, found[0].largest > 0.99), (100_000, true));
    }
}
