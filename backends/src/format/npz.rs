//! NPZ: named arrays in a zip archive, the format of `numpy.savez` and `numpy.savez_compressed`.
//!
//! The name of an array is an opaque key. It may look like a path, as names of ONNX nodes do
//! (`/conv1/Conv`), and is never used as one.

mod read;
#[cfg(test)]
mod tests;
mod write;

pub use read::Npz;
pub use write::{Compression, NpzWriter};

use super::LimitExceeded;
use super::npy::NpyError;
use thiserror::Error;
use zip::result::ZipError;

/// File extension of every array inside the archive, not part of its name.
const EXTENSION: &str = ".npy";

/// Why bytes are not a readable NPZ file, or an array cannot be added to one.
#[derive(Debug, Error)]
pub enum NpzError {
    /// The bytes are not a zip archive, or its directory is damaged.
    #[error("not a readable zip archive")]
    Archive(#[source] ZipError),
    /// Two members share their bytes, which no honest writer does and which lets a small archive
    /// hold any amount of data.
    #[error("members of the zip archive overlap")]
    Overlap,
    /// Two members have the same name.
    #[error("the zip archive holds {name:?} more than once")]
    Duplicate {
        /// Name of the array; empty when the archive does not tell which one it is.
        name: String,
    },
    /// The name cannot be stored.
    #[error("{name:?} cannot name an array in a zip archive: {reason}")]
    Name {
        /// Name of the array.
        name: String,
        /// Why not.
        reason: &'static str,
    },
    /// A member is damaged, encrypted, or compressed in an unsupported way.
    #[error("member {name:?} of the zip archive cannot be read or written")]
    Member {
        /// Name of the array.
        name: String,
        /// What the zip layer says.
        #[source]
        source: ZipError,
    },
    /// A member is not the array that was stored: its checksum differs.
    #[error("member {name:?} of the zip archive is damaged: its checksum differs")]
    Checksum {
        /// Name of the array.
        name: String,
    },
    /// A member expands to more than the limits allow.
    #[error("member {name:?} of the zip archive asks for too much memory")]
    Limit {
        /// Name of the array.
        name: String,
        /// The limit, and what it is asked for.
        source: LimitExceeded,
    },
    /// The zip directory, the NPY header and the data disagree about the size of a member.
    #[error(
        "member {name:?} of the zip archive should hold {declared} bytes, but {found} by {evidence}"
    )]
    Size {
        /// Name of the array.
        name: String,
        /// Bytes by the directory of the archive.
        declared: u64,
        /// Bytes by other evidence.
        found: u64,
        /// What that evidence is.
        evidence: &'static str,
    },
    /// What was inflated cannot be written.
    #[error("member {name:?} of the zip archive cannot be written where it is inflated to")]
    Output {
        /// Name of the array.
        name: String,
        /// What the output says.
        #[source]
        source: std::io::Error,
    },
    /// A member is not a readable array, or an array contradicts itself.
    #[error("member {name:?} of the zip archive is not a readable array")]
    Array {
        /// Name of the array.
        name: String,
        /// What is wrong with it.
        source: NpyError,
    },
}
