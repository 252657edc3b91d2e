//! How much memory a compressed or sparse container may ask for.

use thiserror::Error;

/// Expansion is not judged below this size, where it cannot hurt: a few bytes of deflate rightly
/// hold a megabyte of zeros.
const RATIO_FLOOR_BYTES: u64 = 16 << 20;

/// Bounds on what one container may expand to.
///
/// The defaults let through everything an honest writer makes: deflate cannot expand by more than
/// 1032, so a larger promise is a lie whatever the data is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest size of one array after decompression, in bytes.
    pub max_member_bytes: u64,
    /// Largest ratio of decompressed to stored bytes, judged only beyond 16 MiB.
    pub max_ratio: u64,
}

impl Default for Limits {
    /// 4 GiB for one array, 1100 times the stored size.
    fn default() -> Self {
        Self { max_member_bytes: 4 << 30, max_ratio: 1100 }
    }
}

impl Limits {
    /// Refuses `stored` bytes that claim to be `expanded` bytes.
    pub(crate) fn check(&self, stored: u64, expanded: u64) -> Result<(), LimitExceeded> {
        if expanded > self.max_member_bytes {
            return Err(LimitExceeded::Size { expanded, limit: self.max_member_bytes });
        }
        if expanded > self.budget(stored) {
            return Err(LimitExceeded::Ratio { stored, expanded, limit: self.max_ratio });
        }
        Ok(())
    }

    /// The most that `stored` bytes may expand to, all members together.
    pub(crate) fn budget(&self, stored: u64) -> u64 {
        stored.saturating_mul(self.max_ratio).max(RATIO_FLOOR_BYTES)
    }
}

/// A container promises more data than [`Limits`] allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum LimitExceeded {
    /// One array is larger than [`Limits::max_member_bytes`].
    #[error("expands to {expanded} bytes, more than the limit of {limit} bytes")]
    Size {
        /// Bytes after decompression.
        expanded: u64,
        /// The limit in force, in bytes.
        limit: u64,
    },
    /// The expansion is larger than [`Limits::max_ratio`].
    #[error("expands from {stored} to {expanded} bytes, more than the limit of {limit} times")]
    Ratio {
        /// Bytes in the container.
        stored: u64,
        /// Bytes after decompression.
        expanded: u64,
        /// The ratio in force.
        limit: u64,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_deflate_can_do_is_allowed() {
        let limits = Limits::default();
        assert_eq!(limits.check(1 << 20, 1032 << 20), Ok(()));
        assert_eq!(limits.check(1, RATIO_FLOOR_BYTES), Ok(()));
    }

    #[test]
    fn an_impossible_ratio_is_refused_beyond_the_floor() {
        let error = Limits::default().check(1, RATIO_FLOOR_BYTES + 1);
        assert!(matches!(error, Err(LimitExceeded::Ratio { .. })), "{error:?}");
    }

    #[test]
    fn a_member_beyond_the_cap_is_refused_whatever_its_ratio() {
        let error = Limits::default().check(u64::MAX, (4 << 30) + 1);
        assert!(matches!(error, Err(LimitExceeded::Size { .. })), "{error:?}");
    }
}
