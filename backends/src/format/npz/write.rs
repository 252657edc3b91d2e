//! Writing, one member after the other.

use super::{EXTENSION, NpzError};
use crate::format::npy::NpyArray;
use std::collections::BTreeSet;
use std::io::{Cursor, Write};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, System, ZipWriter};

/// Longest file name that a zip directory can hold, in bytes.
const MAX_NAME_LEN: usize = u16::MAX as usize;

/// How the members of an archive are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// As they are, like `numpy.savez`. The same bytes with every version of every library.
    #[default]
    Stored,
    /// Deflated, like `numpy.savez_compressed`. The same bytes with the same version of the
    /// compression library only.
    Deflated,
}

/// Writer of an NPZ file in memory.
///
/// Members come in the order in which they are added and are all dated 1 January 1980, so that the
/// same arrays give the same bytes.
pub struct NpzWriter {
    zip: ZipWriter<Cursor<Vec<u8>>>,
    names: BTreeSet<String>,
    options: SimpleFileOptions,
}

impl std::fmt::Debug for NpzWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NpzWriter").field("names", &self.names).finish_non_exhaustive()
    }
}

impl NpzWriter {
    /// An archive without arrays.
    pub fn new(compression: Compression) -> Self {
        let method = match compression {
            Compression::Stored => CompressionMethod::Stored,
            Compression::Deflated => CompressionMethod::Deflated,
        };
        // Everything that the library would take from its features or from the machine is given.
        let options = SimpleFileOptions::default()
            .compression_method(method)
            .last_modified_time(DateTime::DEFAULT)
            .system(System::Unix)
            .unix_permissions(0o644);
        Self { zip: ZipWriter::new(Cursor::default()), names: BTreeSet::new(), options }
    }

    /// Adds `array` under `name`, to which `.npy` is appended.
    ///
    /// # Errors
    /// [`NpzError::Duplicate`] or [`NpzError::Name`] for a name that is taken or cannot be stored,
    /// [`NpzError::Array`] for an array that contradicts itself.
    pub fn add(&mut self, name: &str, array: &NpyArray) -> Result<(), NpzError> {
        check_name(name)?;
        let content =
            array.to_bytes().map_err(|source| NpzError::Array { name: name.to_owned(), source })?;
        if !self.names.insert(name.to_owned()) {
            return Err(NpzError::Duplicate { name: name.to_owned() });
        }
        // Deflate can make incompressible data a little larger, hence the margin.
        let options = self.options.large_file(content.len() >= (u32::MAX - (1 << 24)) as usize);
        self.zip
            .start_file(format!("{name}{EXTENSION}"), options)
            .and_then(|()| Ok(self.zip.write_all(&content)?))
            .map_err(|source| NpzError::Member { name: name.to_owned(), source })
    }

    /// The bytes of the file.
    ///
    /// # Errors
    /// [`NpzError::Archive`] when the directory cannot be written.
    pub fn finish(self) -> Result<Vec<u8>, NpzError> {
        let bytes = self.zip.finish().map_err(NpzError::Archive)?;
        Ok(bytes.into_inner())
    }
}

/// Refuses names that readers would change or could not find again.
fn check_name(name: &str) -> Result<(), NpzError> {
    let reason = if name.is_empty() {
        "it is empty"
    } else if name.contains('\0') {
        // Python's zipfile cuts a name off there.
        "it holds a NUL character"
    } else if name.len() + EXTENSION.len() > MAX_NAME_LEN {
        "it is longer than 65535 bytes"
    } else {
        return Ok(());
    };
    Err(NpzError::Name { name: name.to_owned(), reason })
}
