//! Reading, one member at a time.

use super::{EXTENSION, NpzError};
use crate::format::Limits;
use crate::format::npy::{Header, MAX_PREAMBLE_LEN, NpyArray};
use bytes::Bytes;
use std::collections::HashMap;
use std::io::{Cursor, Read};
use zip::read::ZipFile;
use zip::{CompressionMethod, ZipArchive};

/// An NPZ file whose arrays are decoded when they are asked for.
#[derive(Clone, Debug)]
pub struct Npz {
    bytes: Bytes,
    archive: ZipArchive<Cursor<Bytes>>,
    /// Names in the order of the archive.
    names: Vec<String>,
    /// Position in the archive by name.
    members: HashMap<String, usize>,
    limits: Limits,
}

impl Npz {
    /// Reads the directory of an NPZ file, under the default [`Limits`].
    ///
    /// # Errors
    /// See [`Npz::open_with`].
    pub fn open(bytes: impl Into<Bytes>) -> Result<Self, NpzError> {
        Self::open_with(bytes, Limits::default())
    }

    /// Reads the directory of an NPZ file. The limits apply to each array as it is decoded.
    ///
    /// # Errors
    /// [`NpzError::Archive`], [`NpzError::Duplicate`] or [`NpzError::Overlap`]. Arrays are not
    /// looked at yet, a damaged one does not stand in the way of the others.
    pub fn open_with(bytes: impl Into<Bytes>, limits: Limits) -> Result<Self, NpzError> {
        let bytes = bytes.into();
        let mut archive = ZipArchive::new(Cursor::new(bytes.clone())).map_err(NpzError::Archive)?;
        if archive.has_duplicate_names() {
            return Err(NpzError::Duplicate { name: String::new() });
        }
        if archive.has_overlapping_files().map_err(NpzError::Archive)? {
            return Err(NpzError::Overlap);
        }
        let mut names = Vec::new();
        let mut members = HashMap::new();
        for index in 0..archive.len() {
            let entry = archive.by_index_data(index).map_err(NpzError::Archive)?;
            if entry.is_dir() {
                continue;
            }
            let file_name = entry.name().map_err(NpzError::Archive)?;
            let name = file_name.strip_suffix(EXTENSION).unwrap_or(&file_name).to_owned();
            if members.insert(name.clone(), index).is_some() {
                return Err(NpzError::Duplicate { name });
            }
            names.push(name);
        }
        Ok(Self { bytes, archive, names, members, limits })
    }

    /// Names of the arrays, without `.npy`, in the order of the archive.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// Decodes the array called `name`, or `None` when there is none.
    ///
    /// Every call decodes anew. An array that is stored without compression shares the bytes of
    /// the file.
    ///
    /// # Errors
    /// The member is damaged, is not an array, or promises more than the limits allow.
    pub fn get(&self, name: &str) -> Result<Option<NpyArray>, NpzError> {
        let Some(&index) = self.members.get(name) else {
            return Ok(None);
        };
        // A clone shares directory and bytes; only the position in the file is its own.
        let mut archive = self.archive.clone();
        let member = archive
            .by_index(index)
            .map_err(|source| NpzError::Member { name: name.to_owned(), source })?;
        let stored = member.compressed_size().min(self.bytes.len() as u64);
        self.limits
            .check(stored, member.size())
            .map_err(|source| NpzError::Limit { name: name.to_owned(), source })?;
        let array = match member.compression() {
            CompressionMethod::Stored => self.read_stored(name, &member)?,
            _ => read_compressed(name, member)?,
        };
        Ok(Some(array))
    }

    /// An array that lies in the file as it is.
    fn read_stored(
        &self,
        name: &str,
        member: &ZipFile<'_, Cursor<Bytes>>,
    ) -> Result<NpyArray, NpzError> {
        let found = member.compressed_size();
        if found != member.size() {
            return Err(size_error(name, member.size(), found, "what is stored"));
        }
        let content = member
            .data_start()
            .and_then(|start| {
                let start = usize::try_from(start).ok()?;
                let end = start.checked_add(usize::try_from(found).ok()?)?;
                (end <= self.bytes.len()).then(|| self.bytes.slice(start..end))
            })
            .ok_or_else(|| size_error(name, found, self.bytes.len() as u64, "the whole file"))?;
        if crc32fast::hash(&content) != member.crc32() {
            return Err(NpzError::Checksum { name: name.to_owned() });
        }
        NpyArray::read(content).map_err(|source| NpzError::Array { name: name.to_owned(), source })
    }
}

/// An array that has to be inflated.
///
/// The header comes first and has to promise what the directory declares, so that a bomb is known
/// before it goes off. Memory then grows with the data that arrives.
fn read_compressed(name: &str, member: ZipFile<'_, Cursor<Bytes>>) -> Result<NpyArray, NpzError> {
    let declared = member.size();
    let broken =
        |source: std::io::Error| NpzError::Member { name: name.to_owned(), source: source.into() };
    let not_an_array = |source| NpzError::Array { name: name.to_owned(), source };

    let mut content = Vec::new();
    // One byte more than declared, to notice when there is more.
    let mut member = member.take(declared.saturating_add(1));
    (&mut member).take(MAX_PREAMBLE_LEN as u64).read_to_end(&mut content).map_err(broken)?;
    let header = Header::parse(&content).map_err(not_an_array)?;
    let promised = header.preamble_len as u64 + header.data_len as u64;
    if promised != declared {
        return Err(size_error(name, declared, promised, "its NPY header"));
    }
    member.read_to_end(&mut content).map_err(broken)?;
    if content.len() as u64 != declared {
        return Err(size_error(name, declared, content.len() as u64, "what was inflated"));
    }
    content.shrink_to_fit();
    let data = Bytes::from(content).slice(header.preamble_len..);
    header.into_array(data).map_err(not_an_array)
}

fn size_error(name: &str, declared: u64, found: u64, evidence: &'static str) -> NpzError {
    NpzError::Size { name: name.to_owned(), declared, found, evidence }
}
