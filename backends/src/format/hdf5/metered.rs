//! The file as the library sees it.

use bytes::Bytes;
use hdf5_pure::{FormatError, Source};
use std::sync::atomic::{AtomicU64, Ordering};

/// How often a file may be read over, on average. Headers are read again for every question about
/// an object; real networks need less than 3, small files of many small objects 20.
const REREADS: u64 = 64;

/// Bytes that may be read of a file of any size.
const MIN_BYTES: u64 = 16 << 20;

/// What a read costs beside its bytes, so that reads of nothing come to an end too.
const READ_COST: u64 = 64;

/// A file in memory that can be read only so much.
///
/// The tables of a hostile file may lead to each other in circles, or to one table in many ways.
/// The library counts depth only, and would follow them for years.
pub(super) struct Metered {
    bytes: Bytes,
    left: AtomicU64,
}

impl Metered {
    /// All of a file, and how much of it may be read.
    pub(super) fn new(bytes: Bytes) -> Self {
        let left = (bytes.len() as u64).saturating_mul(REREADS).max(MIN_BYTES);
        Self { bytes, left: AtomicU64::new(left) }
    }
}

impl Source for Metered {
    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), FormatError> {
        let cost = READ_COST + buf.len() as u64;
        self.left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(cost))
            .map_err(|_| FormatError::Source("its tables lead in circles".to_owned()))?;
        let len = buf.len() as u64;
        let found = offset
            .checked_add(len)
            .ok_or(FormatError::OffsetOverflow { offset, length: len })
            .and_then(|end| {
                let (start, end) = (usize::try_from(offset).ok(), usize::try_from(end).ok());
                start.zip(end).and_then(|(start, end)| self.bytes.get(start..end)).ok_or(
                    FormatError::UnexpectedEof {
                        expected: end.unwrap_or(usize::MAX),
                        available: self.bytes.len(),
                    },
                )
            })?;
        buf.copy_from_slice(found);
        Ok(())
    }
}
