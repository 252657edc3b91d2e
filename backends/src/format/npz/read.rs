//! Reading, one member at a time.

use super::{EXTENSION, NpzError};
use crate::format::Limits;
use crate::format::npy::{Header, MAX_PREAMBLE_LEN, NpyArray};
use bytes::Bytes;
use std::collections::HashMap;
use std::io::{Cursor, Read, Write};
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
        self.member(name, |member| match member.compression() {
            CompressionMethod::Stored => self.read_stored(name, &member),
            _ => read_compressed(name, member),
        })
    }

    /// Bytes of the NPY file that the array called `name` is inflated to, as the directory declares them;
    /// `None` when there is no such array or it is not compressed.
    ///
    /// # Errors
    /// The member is damaged or promises more than the limits allow.
    pub fn inflated_len(&self, name: &str) -> Result<Option<u64>, NpzError> {
        let len = self.member(name, |member| {
            Ok((member.compression() != CompressionMethod::Stored).then(|| member.size()))
        })?;
        Ok(len.flatten())
    }

    /// Inflates the array called `name` to `out`, as an NPY file, piece by piece: for arrays that had better
    /// not be in memory as a whole. Returns whether there is such an array.
    ///
    /// # Errors
    /// As [`Npz::get`], and when `out` takes no more; what was written by then is not to be used.
    pub fn inflate(&self, name: &str, out: &mut impl Write) -> Result<bool, NpzError> {
        Ok(self.member(name, |member| inflate(name, member, out))?.is_some())
    }

    /// Opens a member that the limits allow.
    fn member<T>(
        &self,
        name: &str,
        read: impl FnOnce(ZipFile<'_, Cursor<Bytes>>) -> Result<T, NpzError>,
    ) -> Result<Option<T>, NpzError> {
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
        read(member).map(Some)
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
fn read_compressed(name: &str, member: ZipFile<'_, Cursor<Bytes>>) -> Result<NpyArray, NpzError> {
    let mut content = Vec::new();
    let header = inflate(name, member, &mut content)?;
    content.shrink_to_fit();
    let data = Bytes::from(content).slice(header.preamble_len..);
    header.into_array(data).map_err(|source| NpzError::Array { name: name.to_owned(), source })
}

/// Writes what a member holds to `out`.
///
/// The header comes first and has to promise what the directory declares, so that a bomb is known
/// before it goes off. Memory or file then grows with the data that arrives.
fn inflate(
    name: &str,
    member: ZipFile<'_, Cursor<Bytes>>,
    out: &mut impl Write,
) -> Result<Header, NpzError> {
    const PIECE: usize = 64 << 10;
    let declared = member.size();
    let broken =
        |source: std::io::Error| NpzError::Member { name: name.to_owned(), source: source.into() };
    let unwritten = |source| NpzError::Output { name: name.to_owned(), source };

    let mut piece = Vec::new();
    // One byte more than declared, to notice when there is more.
    let mut member = member.take(declared.saturating_add(1));
    (&mut member).take(MAX_PREAMBLE_LEN as u64).read_to_end(&mut piece).map_err(broken)?;
    let header = Header::parse(&piece)
        .map_err(|source| NpzError::Array { name: name.to_owned(), source })?;
    let promised = header.preamble_len as u64 + header.data_len as u64;
    if promised != declared {
        return Err(size_error(name, declared, promised, "its NPY header"));
    }
    let mut found = 0;
    while !piece.is_empty() {
        out.write_all(&piece).map_err(unwritten)?;
        found += piece.len() as u64;
        piece.clear();
        (&mut member).take(PIECE as u64).read_to_end(&mut piece).map_err(broken)?;
    }
    if found != declared {
        return Err(size_error(name, declared, found, "what was inflated"));
    }
    Ok(header)
}

fn size_error(name: &str, declared: u64, found: u64, evidence: &'static str) -> NpzError {
    NpzError::Size { name: name.to_owned(), declared, found, evidence }
}
