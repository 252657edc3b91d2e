//! Arrays that commands write.

use std::path::Path;

use snnc_backends::format::npy::NpyArray;
use snnc_backends::format::npz::{Compression, NpzWriter};

use super::output::write_file;
use crate::Error;

/// Arrays with their names.
pub(super) type Arrays = Vec<(String, NpyArray)>;

/// An array that cannot be made is a fault of the compiler.
pub(super) fn array_fault(e: impl std::fmt::Display) -> Error {
    Error::internal("answer", e)
}

/// An array of reals.
pub(super) fn reals(shape: &[usize], values: impl Iterator<Item = f32>) -> Result<NpyArray, Error> {
    NpyArray::from_f32(shape.to_vec(), &values.collect::<Vec<_>>()).map_err(array_fault)
}

pub(super) fn integers(shape: &[usize], values: &[i64]) -> Result<NpyArray, Error> {
    NpyArray::from_i64(shape.to_vec(), values).map_err(array_fault)
}

/// Writes arrays under their names.
pub(super) fn write_npz(path: &Path, arrays: &[(String, NpyArray)]) -> Result<(), Error> {
    let mut npz = NpzWriter::new(Compression::Stored);
    for (name, array) in arrays {
        npz.add(name, array).map_err(array_fault)?;
    }
    write_file(path, &npz.finish().map_err(array_fault)?)
}
