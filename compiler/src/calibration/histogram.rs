//! Histograms of activations that merge exactly, and what thresholds are chosen by.

use std::cmp::Ordering;

/// Counts of real numbers by the upper 16 bits of their f32 form: 128 bins to an octave, whatever the
/// range, so no range need be known beforehand, and adding counts in any order gives the same
/// histogram to the last bit.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    /// Bins that are not empty, ascending; there is one for every channel of every site, so that they
    /// lie close.
    bins: Vec<u16>,
    /// As many counts.
    counts: Vec<u64>,
    minimum: Option<f32>,
    maximum: Option<f32>,
}

impl Histogram {
    /// Counts every number; what is not finite has been refused before, and NaN is left out.
    pub fn extend(&mut self, values: &[f32]) {
        let mut keys = Vec::with_capacity(values.len());
        for &x in values.iter().filter(|x| !x.is_nan()) {
            keys.push((x.to_bits() >> 16) as u16);
            self.minimum = Some(self.minimum.map_or(x, |m| m.min(x)));
            self.maximum = Some(self.maximum.map_or(x, |m| m.max(x)));
        }
        keys.sort_unstable();
        let (bins, counts): (Vec<u16>, Vec<u64>) =
            keys.chunk_by(|a, b| a == b).map(|same| (same[0], same.len() as u64)).unzip();
        self.add(&bins, &counts);
    }

    /// Adds counts of bins in ascending order.
    fn add(&mut self, bins: &[u16], counts: &[u64]) {
        let union = {
            let (mut own, mut new) = (self.bins.iter().peekable(), bins.iter().peekable());
            std::iter::from_fn(|| match (own.peek(), new.peek()) {
                (None, None) => None,
                (Some(a), Some(b)) if a == b => own.next().and(new.next()),
                (Some(a), Some(b)) if a > b => new.next(),
                (None, Some(_)) => new.next(),
                _ => own.next(),
            })
            .count()
        };
        let (mut joined, mut sums) = (Vec::with_capacity(union), Vec::with_capacity(union));
        let (mut i, mut k) = (0, 0);
        while joined.len() < union {
            let order = match (self.bins.get(i), bins.get(k)) {
                (Some(own), Some(new)) => own.cmp(new),
                (Some(_), None) => Ordering::Less,
                (None, _) => Ordering::Greater,
            };
            let own = if order.is_le() { self.counts[i] } else { 0 };
            let new = if order.is_ge() { counts[k] } else { 0 };
            joined.push(if order.is_le() { self.bins[i] } else { bins[k] });
            sums.push(own + new);
            i += usize::from(order.is_le());
            k += usize::from(order.is_ge());
        }
        (self.bins, self.counts) = (joined, sums);
    }

    /// Adds another histogram's counts.
    pub fn merge(&mut self, other: &Histogram) {
        self.add(&other.bins, &other.counts);
        let join = |a: Option<f32>, b: Option<f32>, f: fn(f32, f32) -> f32| match (a, b) {
            (Some(a), Some(b)) => Some(f(a, b)),
            (a, b) => a.or(b),
        };
        self.minimum = join(self.minimum, other.minimum, f32::min);
        self.maximum = join(self.maximum, other.maximum, f32::max);
    }

    /// From stored parts, bins with their counts in ascending order.
    pub(super) fn from_parts(
        bins: impl IntoIterator<Item = (u16, u64)>,
        minimum: Option<f32>,
        maximum: Option<f32>,
    ) -> Self {
        let (bins, counts) = bins.into_iter().unzip();
        Histogram { bins, counts, minimum, maximum }
    }

    /// The stored parts: bins in ascending order, their counts, smallest and largest number.
    pub(super) fn parts(&self) -> (&[u16], &[u64], Option<f32>, Option<f32>) {
        (&self.bins, &self.counts, self.minimum, self.maximum)
    }

    /// Numbers counted.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Smallest number, 0 if there is none.
    pub fn minimum(&self) -> f32 {
        self.minimum.unwrap_or(0.0)
    }

    /// Largest number, 0 if there is none.
    pub fn maximum(&self) -> f32 {
        self.maximum.unwrap_or(0.0)
    }

    /// What was counted, every number times `factor`, which is positive.
    pub fn distribution(&self, factor: f64) -> Distribution {
        let point = |(&bin, &count): (&u16, &u64)| {
            // The lowest bin is 0 and numbers too small to matter.
            let bits = if bin & 0x7fff == 0 { 0 } else { (u32::from(bin) << 16) | 0x8000 };
            (f64::from(f32::from_bits(bits)) * factor, count)
        };
        Distribution {
            points: self.bins.iter().zip(&self.counts).map(point).collect(),
            minimum: f64::from(self.minimum()) * factor,
            maximum: f64::from(self.maximum()) * factor,
        }
    }
}

/// Numbers and how often each was seen.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Distribution {
    /// The middle of each bin and its count.
    pub points: Vec<(f64, u64)>,
    /// The smallest number, 0 if there is none.
    pub minimum: f64,
    /// The largest number, 0 if there is none.
    pub maximum: f64,
}

/// Half the width of a bin, relative to its middle.
const HALF_BIN: f64 = 1.0 / 256.0;

impl Distribution {
    /// Adds another's numbers.
    pub fn join(&mut self, other: &Distribution) {
        let first = self.points.is_empty();
        self.points.extend(&other.points);
        self.minimum = if first { other.minimum } else { self.minimum.min(other.minimum) };
        self.maximum = if first { other.maximum } else { self.maximum.max(other.maximum) };
    }

    /// Numbers counted.
    pub fn count(&self) -> u64 {
        self.points.iter().map(|p| p.1).sum()
    }

    /// Share of the numbers whose magnitude is above `limit`.
    pub fn share_above(&self, limit: f64) -> f64 {
        let above: u64 = self.points.iter().filter(|p| p.0.abs() > limit).map(|p| p.1).sum();
        above as f64 / self.count().max(1) as f64
    }

    /// Magnitude below which a share of the numbers lies that are not 0.
    pub fn percentile(&self, share: f64) -> f64 {
        let mut magnitudes: Vec<(f64, u64)> =
            self.points.iter().filter(|p| p.0 != 0.0).map(|p| (p.0.abs(), p.1)).collect();
        magnitudes.sort_by(|a, b| a.0.total_cmp(&b.0));
        let total: u64 = magnitudes.iter().map(|m| m.1).sum();
        let wanted = (share * total as f64).ceil() as u64;
        let mut below = 0;
        for (magnitude, count) in magnitudes {
            below += count;
            if below >= wanted {
                let upper = magnitude * (1.0 + HALF_BIN);
                return upper.min(self.maximum.max(-self.minimum));
            }
        }
        0.0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn order_and_split_do_not_matter() {
        let values: Vec<f32> =
            (0..5000).map(|i| ((i * 7919) % 1000) as f32 * 0.013 - 2.0).collect();
        let mut whole = Histogram::default();
        whole.extend(&values);
        let mut parts = Histogram::default();
        for chunk in values.chunks(777).rev() {
            let mut part = Histogram::default();
            part.extend(chunk);
            parts.merge(&part);
        }
        assert_eq!(whole, parts);
    }

    #[test]
    fn percentiles_leave_zeros_out() {
        let mut h = Histogram::default();
        h.extend(&[0.0; 900]);
        h.extend(&(1..=100).map(|i| i as f32).collect::<Vec<_>>());
        let h = h.distribution(1.0);
        assert!((h.percentile(0.5) - 50.0).abs() < 0.6, "{}", h.percentile(0.5));
        assert_eq!(h.percentile(1.0), 100.0);
    }

    #[test]
    fn bins_are_finer_than_a_hundredth() {
        for x in [1e-3f32, 0.7, 5.3, 1234.5, -0.02] {
            let mut h = Histogram::default();
            h.extend(&[x]);
            let (middle, count) = h.distribution(1.0).points[0];
            assert!(count == 1 && ((middle - f64::from(x)) / f64::from(x)).abs() < 0.004);
        }
    }

    proptest! {
        #[test]
        fn counts_are_those_of_a_map(parts in proptest::collection::vec(
            proptest::collection::vec(
                prop_oneof![-3f32..3f32, Just(0.0), Just(-0.0), Just(f32::NAN), any::<f32>()], 0..60),
            1..6,
        )) {
            let mut wanted: BTreeMap<u16, u64> = BTreeMap::new();
            let mut found = Histogram::default();
            for (i, part) in parts.iter().enumerate() {
                for x in part.iter().filter(|x| !x.is_nan()) {
                    *wanted.entry((x.to_bits() >> 16) as u16).or_insert(0) += 1;
                }
                if i % 2 == 0 {
                    found.extend(part);
                } else {
                    let mut other = Histogram::default();
                    other.extend(part);
                    found.merge(&other);
                }
            }
            let counted: BTreeMap<u16, u64> =
                found.bins.iter().copied().zip(found.counts.iter().copied()).collect();
            prop_assert_eq!(&counted, &wanted);
            prop_assert!(found.bins.is_sorted() && found.bins.len() == wanted.len());
        }
    }
}
