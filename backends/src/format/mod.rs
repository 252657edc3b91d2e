//! Container formats that the backends and the command line share.
//!
//! Every reader here takes bytes of unknown origin that are already in memory and every writer
//! returns bytes; nothing in this module touches a file system. Readers never panic, and what they
//! allocate is bounded by what the input really holds (see [`Limits`]). Writers give the same
//! bytes for the same values: no dates, no host names, no map order.
//!
//! * [`npy`]: one array (`.npy`)
//! * [`npz`]: named arrays in a zip archive (`.npz`)
//! * [`read_array_file`]: either of the two
//! * [`events`]: recordings of event cameras (ATIS `.bin`, and `.npz` with t, x, y, p)
//! * [`hdf5`]: a tree of named datasets (`.net` of Lava NetX, `.nir`)

pub mod events;
pub mod hdf5;
mod limits;
pub mod npy;
pub mod npz;

pub use limits::{LimitExceeded, Limits};

use bytes::Bytes;
use npy::{NpyArray, NpyError};
use npz::{Npz, NpzError};
use thiserror::Error;

/// First bytes of a zip archive with members.
const ZIP_MAGIC: &[u8] = b"PK\x03\x04";

/// First bytes of a zip archive without members.
const EMPTY_ZIP_MAGIC: &[u8] = b"PK\x05\x06";

/// A file of arrays, as [`read_array_file`] found it.
#[derive(Clone, Debug)]
pub enum ArrayFile {
    /// One array without a name.
    Npy(NpyArray),
    /// Any number of named arrays, decoded on request.
    Npz(Npz),
}

/// Why bytes are not a readable file of arrays.
#[derive(Debug, Error)]
pub enum ArrayFileError {
    /// It is an NPY file, but not a readable one.
    #[error(transparent)]
    Npy(#[from] NpyError),
    /// It is a zip archive, but not a readable one.
    #[error(transparent)]
    Npz(#[from] NpzError),
    /// It is something else.
    #[error("neither an NPY nor an NPZ file: it starts with \"{}\"", .start.escape_ascii())]
    Unrecognised {
        /// The first bytes, at most eight.
        start: Vec<u8>,
    },
}

/// Reads an NPY or NPZ file. The content decides which one it is.
///
/// # Errors
/// The bytes are neither, or are damaged. The arrays of an NPZ file are not looked at yet.
pub fn read_array_file(bytes: impl Into<Bytes>) -> Result<ArrayFile, ArrayFileError> {
    const SHOWN: usize = 8;
    let bytes = bytes.into();
    if bytes.starts_with(npy::MAGIC) {
        Ok(ArrayFile::Npy(NpyArray::read(bytes)?))
    } else if bytes.starts_with(ZIP_MAGIC) || bytes.starts_with(EMPTY_ZIP_MAGIC) {
        Ok(ArrayFile::Npz(Npz::open(bytes)?))
    } else {
        Err(ArrayFileError::Unrecognised { start: bytes[..bytes.len().min(SHOWN)].to_vec() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use npz::{Compression, NpzWriter};

    #[test]
    fn the_content_tells_the_formats_apart() {
        let array = NpyArray::from_u8([2], &[1, 2]).unwrap();
        let npy = read_array_file(array.to_bytes().unwrap()).unwrap();
        assert!(matches!(npy, ArrayFile::Npy(read) if read == array));

        let mut writer = NpzWriter::new(Compression::Stored);
        let empty = NpzWriter::new(Compression::Stored).finish().unwrap();
        assert!(
            matches!(read_array_file(empty), Ok(ArrayFile::Npz(npz)) if npz.names().len() == 0)
        );
        writer.add("x", &array).unwrap();
        let npz = read_array_file(writer.finish().unwrap()).unwrap();
        assert!(matches!(npz, ArrayFile::Npz(npz) if npz.get("x").unwrap() == Some(array)));
    }

    #[test]
    fn other_files_are_named_by_their_first_bytes() {
        let error = read_array_file(&b"\x89HDF\r\n\x1a\n and more"[..]).unwrap_err().to_string();
        assert!(error.ends_with(r#"starts with "\x89HDF\r\n\x1a\n""#), "{error}");
        let error = read_array_file(&b""[..]).unwrap_err();
        assert!(matches!(error, ArrayFileError::Unrecognised { .. }), "{error}");
        let error = read_array_file(&b"\x93NUMPY\x09\x00"[..]).unwrap_err();
        assert!(matches!(error, ArrayFileError::Npy(_)), "{error}");
        let error = read_array_file(&b"PK\x03\x04"[..]).unwrap_err();
        assert!(matches!(error, ArrayFileError::Npz(_)), "{error}");
    }
}
