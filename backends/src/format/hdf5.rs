//! HDF5: a tree of groups and datasets, the container of Lava NetX (`.net`) and NIR (`.nir`).
//!
//! A file is read whole into an [`Hdf5Tree`] and written whole from one. What those two formats use
//! is supported: numbers, booleans, and text of fixed or variable length. Attributes, links other
//! than hard ones and committed types are passed over when reading, and nothing of the kind is
//! written: every dataset is contiguous, without compression and without dates.
//!
//! A dataset of any other type stays in the tree as [`Hdf5Value::Unreadable`], since most files
//! hold some that nobody asks for; to ask for it is the error.
//!
//! Known gaps of the library in use: a file is refused when a group in the oldest format has a soft
//! link, and a dataset is unreadable when it can grow along one dimension in the newest format.
//! When the library panics on a damaged file, the caller gets an error and the panic hook a report
//! from a thread called `hdf5`.
//!
//! This module is the only one that knows which library does the work.

mod metered;
mod read;
#[cfg(test)]
mod tests;
mod tree;
mod value;
mod write;

pub use tree::{Hdf5Node, Hdf5Tree};
pub use value::{Hdf5Strings, Hdf5Value, StringEncoding};

use super::LimitExceeded;
use super::npy::NpyError;
use hdf5_pure::FloatingPointLayout;
use thiserror::Error;

/// Most groups inside each other, in files of either direction. A file may name a group as its
/// own member, and then has no bottom.
const MAX_DEPTH: usize = 64;

/// IEEE 754 binary16.
const BINARY16: FloatingPointLayout = FloatingPointLayout {
    bit_offset: 0,
    bit_precision: 16,
    exponent_location: 10,
    exponent_size: 5,
    mantissa_location: 0,
    mantissa_size: 10,
    exponent_bias: 15,
};

/// What the HDF5 library says, whichever it is.
type LibraryError = Box<dyn std::error::Error + Send + Sync>;

/// Why bytes are not a readable HDF5 file, why a tree cannot be written, or why it does not hold
/// what is asked for. Paths are as they were asked for, or from the root without a leading slash.
#[derive(Debug, Error)]
pub enum Hdf5Error {
    /// The bytes do not start with the signature of the format.
    #[error("not an HDF5 file")]
    NotHdf5,
    /// The structure of the file is damaged, or the tree cannot be laid out.
    #[error("HDF5 group {path:?} cannot be read or written")]
    Structure {
        /// The group, empty for the root.
        path: String,
        /// What the HDF5 library says.
        #[source]
        source: LibraryError,
    },
    /// The HDF5 library gave up on a damaged file in an unorderly way.
    #[error("the HDF5 file is damaged: {reason}")]
    Damaged {
        /// What the HDF5 library says.
        reason: String,
    },
    /// Groups contain each other deeper than any real file, likely in a circle.
    #[error("HDF5 group {path:?} is nested deeper than {limit} levels")]
    TooDeep {
        /// The group.
        path: String,
        /// Levels allowed.
        limit: usize,
    },
    /// There are more links to objects than the file has room for, likely in circles.
    #[error("HDF5 group {path:?} has more members than a file of this size can hold")]
    TooManyObjects {
        /// The group where counting stopped.
        path: String,
    },
    /// A dataset expands to more than the limits allow.
    #[error("HDF5 dataset {path:?} asks for too much memory")]
    Limit {
        /// The dataset.
        path: String,
        /// The limit, and what it is asked for.
        source: LimitExceeded,
    },
    /// There is nothing of that name.
    #[error("there is no {path:?} in the HDF5 file")]
    NotFound {
        /// The path asked for.
        path: String,
    },
    /// There is something else of that name.
    #[error("{path:?} in the HDF5 file should be {expected}, but is {found}")]
    WrongKind {
        /// The path asked for.
        path: String,
        /// What was asked for.
        expected: &'static str,
        /// What is there.
        found: String,
    },
    /// A dataset that is there, but of a type that is not supported, or damaged.
    #[error("HDF5 dataset {path:?} cannot be read: {reason}")]
    Unreadable {
        /// The dataset.
        path: String,
        /// Why not.
        reason: String,
    },
    /// The numbers of a dataset contradict its shape or do not fit the type asked for.
    #[error("the numbers of HDF5 dataset {path:?} cannot be used")]
    Value {
        /// The dataset.
        path: String,
        /// What is wrong with them.
        source: NpyError,
    },
    /// Text that HDF5 cannot store as it is.
    #[error("the text of HDF5 dataset {path:?} cannot be written: {reason}")]
    Text {
        /// The dataset.
        path: String,
        /// Why not.
        reason: &'static str,
    },
    /// A name that no object can have, or that is taken.
    #[error("{path:?} cannot name an HDF5 object: {reason}")]
    Name {
        /// The path.
        path: String,
        /// Why not.
        reason: &'static str,
    },
}
