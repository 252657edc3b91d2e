//! Reading files, by mapping them into memory or by copying.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::Path;

use bytes::Bytes;

use crate::read_files;

/// The bytes of a file, mapped if `mapped` and the file can be mapped, else copied.
pub(crate) fn read(path: &Path, mapped: bool) -> io::Result<Bytes> {
    let mut file = File::open(path)?;
    read_files::note(path);
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        return Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a directory"));
    }
    if mapped
        && metadata.is_file()
        && metadata.len() > 0
        && let Ok(map) = map(&file)
    {
        return Ok(Bytes::from_owner(map));
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(bytes.into())
}

/// The bytes of a file without a name, which nobody else can change; mapped if that is possible.
pub(crate) fn unnamed(mut file: File) -> io::Result<Bytes> {
    if let Ok(map) = map(&file) {
        return Ok(Bytes::from_owner(map));
    }
    let mut bytes = Vec::new();
    file.seek(io::SeekFrom::Start(0))?;
    file.read_to_end(&mut bytes)?;
    Ok(bytes.into())
}

/// The one use of `unsafe` outside the runtime's kernels: a 100 MB model opens in the time of its
/// node list, as weights are paged in when they are used.
#[allow(unsafe_code)]
fn map(file: &File) -> io::Result<memmap2::Mmap> {
    // SAFETY: a mapped file must not be truncated or changed by another process while the map is
    // alive; no program can rule that out. The requirement is passed on to the user by `load`, who
    // can turn mapping off.
    unsafe { memmap2::Mmap::map(file) }
}
