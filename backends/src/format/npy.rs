//! NPY: one array with its type and shape, the format of `numpy.save`.
//!
//! Versions 1.0, 2.0 and 3.0 are read; version 1.0 is written, the same bytes as `numpy.save`
//! writes. Types of one number per element are supported; object, structured, text and date
//! arrays are refused, since reading those would need Python's own machinery.

mod array;
mod convert;
mod header;
#[cfg(test)]
mod tests;

pub use array::{NpyArray, NpyType};
pub(crate) use header::{Header, MAGIC, MAX_PREAMBLE_LEN};

use bytes::Bytes;
use thiserror::Error;

/// Why bytes are not a readable NPY array, or an array cannot be written or converted.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NpyError {
    /// The bytes do not start with the magic string of the format.
    #[error("not an NPY file: it does not start with \\x93NUMPY")]
    NotNpy,
    /// The bytes end inside the header.
    #[error("the NPY header is cut off: {needed} bytes needed, {found} found")]
    Truncated {
        /// Bytes up to the end of the header, as far as is known.
        needed: usize,
        /// Bytes there are.
        found: usize,
    },
    /// A format version that does not exist (yet).
    #[error("NPY version {major}.{minor} is not supported (1.0, 2.0 and 3.0 are)")]
    UnsupportedVersion {
        /// Major version.
        major: u8,
        /// Minor version.
        minor: u8,
    },
    /// The header is longer than any array of plain numbers needs.
    #[error("the NPY header is {len} bytes long, more than the {limit} that are accepted")]
    HeaderTooLong {
        /// Length of the header text in bytes.
        len: u64,
        /// Largest accepted length in bytes.
        limit: usize,
    },
    /// The header is not the dictionary that the format prescribes.
    #[error("malformed NPY header at byte {offset}: {reason}")]
    MalformedHeader {
        /// Position in the header text, in bytes.
        offset: usize,
        /// What was expected there.
        reason: &'static str,
    },
    /// The element type is not a plain number.
    #[error("NPY element type {descr} is not supported: {reason}")]
    UnsupportedType {
        /// The type as the header gives it.
        descr: String,
        /// Why not.
        reason: &'static str,
    },
    /// The number of bytes that the shape asks for does not fit the address space.
    #[error("an array of shape {shape:?} is too large to address")]
    ShapeOverflow {
        /// The shape, outermost dimension first.
        shape: Vec<usize>,
    },
    /// More dimensions than NumPy can hold.
    #[error("an array of {rank} dimensions is not supported, at most {limit} are")]
    TooManyDimensions {
        /// Number of dimensions.
        rank: usize,
        /// Largest supported number.
        limit: usize,
    },
    /// Shape and type ask for another number of bytes than there are.
    #[error("{dtype} of shape {shape:?} needs {expected} bytes of data, found {found}")]
    LengthMismatch {
        /// Element type.
        dtype: NpyType,
        /// The shape, outermost dimension first.
        shape: Vec<usize>,
        /// Bytes that type and shape ask for.
        expected: usize,
        /// Bytes there are.
        found: usize,
    },
    /// A value cannot be held by the type asked for.
    #[error("element {index} of the {from} array, {value}, cannot be held by {to}")]
    NotRepresentable {
        /// Position of the element in C order.
        index: usize,
        /// The element.
        value: String,
        /// Type of the array.
        from: NpyType,
        /// Type asked for.
        to: &'static str,
    },
}

impl NpyArray {
    /// Reads an NPY file, all of `bytes`.
    ///
    /// Little-endian data in C order is shared with `bytes`, not copied. Big-endian and Fortran
    /// order data is converted.
    ///
    /// # Errors
    /// Whatever is wrong with the file; bytes after the array are wrong too.
    pub fn read(bytes: impl Into<Bytes>) -> Result<Self, NpyError> {
        let bytes = bytes.into();
        let header = Header::parse(&bytes)?;
        let data = bytes.slice(header.preamble_len..);
        header.into_array(data)
    }

    /// Writes an NPY file, version 1.0: the bytes that `numpy.save` gives for this array.
    ///
    /// # Errors
    /// [`NpyError::LengthMismatch`] or [`NpyError::ShapeOverflow`] when the fields of `self`
    /// contradict each other, [`NpyError::TooManyDimensions`] beyond 64.
    pub fn to_bytes(&self) -> Result<Vec<u8>, NpyError> {
        self.check()?;
        let mut out = header::write(self.dtype, &self.shape)?;
        out.extend_from_slice(&self.data);
        Ok(out)
    }
}
