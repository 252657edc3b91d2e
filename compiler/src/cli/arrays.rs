//! Arrays that commands write.

use std::path::Path;

use snnc_backends::format::npy::NpyArray;
use snnc_backends::format::npz::{Compression, NpzWriter};

use super::output::write_file;
use crate::Error;

pub(super) use crate::loaded::answers::{Arrays, array_fault, integers, reals};

/// Writes arrays under their names.
pub(super) fn write_npz(path: &Path, arrays: &[(String, NpyArray)]) -> Result<(), Error> {
    let mut npz = NpzWriter::new(Compression::Stored);
    for (name, array) in arrays {
        npz.add(name, array).map_err(array_fault)?;
    }
    write_file(path, &npz.finish().map_err(array_fault)?)
}
