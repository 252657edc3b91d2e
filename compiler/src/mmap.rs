//! Reading files, by mapping them into memory or by copying.
//!
//! What another program does to a file while it is mapped is seen through the map: bytes change, and a page
//! that a truncated file no longer has ends the process by SIGBUS. So only models are mapped under their own
//! name, whose weights are most of what a command reads and often more than it needs; samples are copied to a
//! file without a name when they are too large for memory. [`unchanged`] says whether mapped files are still
//! what they were, and commands ask before they write anything. The program takes the signal (`main.rs`).

use std::fs::{File, Metadata};
use std::io::{self, Read, Seek};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::SystemTime;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::{Error, Problem, read_files};

/// A file that is mapped, as it was when it was opened.
struct Mapped {
    path: PathBuf,
    file: File,
    state: State,
    map: memmap2::Mmap,
}

/// What tells that a file was written to: its length and the time of its last change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    len: u64,
    modified: Option<SystemTime>,
}

impl State {
    fn of(metadata: &Metadata) -> State {
        State { len: metadata.len(), modified: metadata.modified().ok() }
    }
}

/// The bytes of a mapped file, alive as long as anything refers to them.
struct Shared(Arc<Mapped>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.0.map
    }
}

/// Files that are mapped under their own names.
static MAPPED: Mutex<Vec<Weak<Mapped>>> = Mutex::new(Vec::new());

/// Files that had changed when the last reference to their map went, of a process that runs one command.
static CHANGED: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());
/// How many commands run that must map nothing.
static FORBIDDEN: AtomicUsize = AtomicUsize::new(0);

/// While this lives, nothing is mapped.
pub(crate) struct Forbidden(());

/// Lets nothing be mapped, as `--no-mmap` says.
pub(crate) fn forbid() -> Forbidden {
    FORBIDDEN.fetch_add(1, Ordering::Relaxed);
    Forbidden(())
}

impl Drop for Forbidden {
    fn drop(&mut self) {
        FORBIDDEN.fetch_sub(1, Ordering::Relaxed);
    }
}

fn forbidden() -> bool {
    FORBIDDEN.load(Ordering::Relaxed) > 0
}

impl Mapped {
    fn has_changed(&self) -> bool {
        self.file.metadata().map_or(true, |now| State::of(&now) != self.state)
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        if read_files::watched() && self.has_changed() {
            locked(&CHANGED).push(self.path.clone());
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Opens a file that is to be read, and says how it is now.
fn open(path: &Path) -> io::Result<(File, Metadata)> {
    let file = File::open(path)?;
    read_files::note(path);
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        return Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a directory"));
    }
    Ok((file, metadata))
}

/// The bytes of a file, mapped if `mapped` and the file can be mapped, else copied.
pub(crate) fn read(path: &Path, mapped: bool) -> io::Result<Bytes> {
    let (mut file, metadata) = open(path)?;
    if mapped
        && !forbidden()
        && metadata.is_file()
        && metadata.len() > 0
        && let Ok(map) = map(&file)
    {
        let (path, state) = (path.to_owned(), State::of(&metadata));
        let mapped = Arc::new(Mapped { path, file, state, map });
        let mut all = locked(&MAPPED);
        all.retain(|other| other.strong_count() > 0);
        all.push(Arc::downgrade(&mapped));
        return Ok(Bytes::from_owner(Shared(mapped)));
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    same(&file, &metadata)?;
    Ok(bytes.into())
}

/// Why a file cannot be copied.
#[derive(Debug)]
pub(crate) enum CopyError {
    /// The file cannot be read.
    Read(io::Error),
    /// The copy cannot be written.
    Aside(io::Error),
}

/// The bytes of a file in a copy that nobody else can change: in memory, or if `aside` in a file without a
/// name that is mapped.
pub(crate) fn copy(path: &Path, aside: bool) -> Result<Bytes, CopyError> {
    if !aside || forbidden() {
        return read(path, false).map_err(CopyError::Read);
    }
    let (mut file, metadata) = open(path).map_err(CopyError::Read)?;
    let mut copy = tempfile::tempfile().map_err(CopyError::Aside)?;
    // Whichever side it fails on, space for the copy is what lacks most often.
    io::copy(&mut file, &mut copy).map_err(CopyError::Aside)?;
    same(&file, &metadata).map_err(CopyError::Read)?;
    unnamed(copy).map_err(CopyError::Aside)
}

/// The SHA-256 of a file in hexadecimal, read piece by piece.
pub(crate) fn sha256(path: &Path) -> io::Result<String> {
    let (mut file, metadata) = open(path)?;
    let (mut digest, mut piece) = (Sha256::new(), vec![0; 1 << 16]);
    loop {
        match file.read(&mut piece)? {
            0 => break,
            n => digest.update(&piece[..n]),
        }
    }
    same(&file, &metadata)?;
    Ok(digest.finalize().iter().map(|b| format!("{b:02x}")).collect())
}

/// That a file is still what it was before it was read.
fn same(file: &File, before: &Metadata) -> io::Result<()> {
    let after = file.metadata()?;
    // Pipes and devices have neither a length nor an age.
    if before.is_file() && State::of(&after) != State::of(before) {
        return Err(io::Error::other("it was changed while it was read"));
    }
    Ok(())
}

/// That no file that is mapped has changed since it was opened; in a process that runs one command, no file
/// that was.
///
/// # Errors
/// All that have.
pub(crate) fn unchanged() -> Result<(), Error> {
    let living: Vec<Arc<Mapped>> = locked(&MAPPED).iter().filter_map(Weak::upgrade).collect();
    let mut changed = locked(&CHANGED).clone();
    changed.extend(living.iter().filter(|m| m.has_changed()).map(|m| m.path.clone()));
    changed.sort();
    changed.dedup();
    let problem = |path: &PathBuf| {
        let place = format!("`{}`", path.display());
        let help = "run the command again when it is whole, or read it into memory with --no-mmap";
        Problem::new(place, "was changed while it was read", help)
    };
    let problems: Vec<Problem> = changed.iter().map(problem).collect();
    if problems.is_empty() { Ok(()) } else { Err(Error::Input(problems)) }
}

/// The bytes of a file without a name, which nobody else can change; mapped if that is possible.
pub(crate) fn unnamed(mut file: File) -> io::Result<Bytes> {
    if !forbidden()
        && let Ok(map) = map(&file)
    {
        return Ok(Bytes::from_owner(map));
    }
    let mut bytes = Vec::new();
    file.seek(io::SeekFrom::Start(0))?;
    file.read_to_end(&mut bytes)?;
    Ok(bytes.into())
}

/// A 100 MB model opens in the time of its node list, as weights are paged in when they are used.
#[allow(unsafe_code)]
fn map(file: &File) -> io::Result<memmap2::Mmap> {
    // SAFETY: a mapped file must not be truncated or changed by another process while the map is
    // alive; no program can rule that out of a file with a name. The requirement is passed on to the
    // user by `load`, who can turn mapping off; `unchanged` finds most breaches of it.
    unsafe { memmap2::Mmap::map(file) }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_mapped_file_that_changes_is_named_and_none_is_mapped_where_that_is_forbidden() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model");
        fs::write(&path, [7; 100]).unwrap();
        let named = |error: &Error| error.to_string().contains(&path.display().to_string());
        let bytes = read(&path, true).unwrap();
        assert!(unchanged().map_or_else(|e| !named(&e), |()| true));
        File::options().write(true).open(&path).unwrap().set_len(60).unwrap();
        let error = unchanged().unwrap_err();
        assert_eq!(error.exit_code(), 4);
        assert!(named(&error), "{error}");
        drop(bytes);
        // In a process of many commands, what nothing refers to any more is not asked about.
        if !read_files::watched() {
            assert!(unchanged().map_or_else(|e| !named(&e), |()| true));
        }
        // In the same test, as it is forbidden to all of the process.
        let guard = forbid();
        let bytes = read(&path, true).unwrap();
        drop(guard);
        fs::write(&path, [8; 50]).unwrap();
        assert_eq!(bytes.as_ref(), [7; 60]);
    }

    #[test]
    fn copies_stay_what_they_were() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data");
        fs::write(&path, [7; 100]).unwrap();
        let copies = [copy(&path, false).unwrap(), copy(&path, true).unwrap()];
        let sum = sha256(&path).unwrap();
        assert_eq!(sum, crate::artefact::sha256_hex(&[7; 100]));
        File::options().write(true).open(&path).unwrap().set_len(0).unwrap();
        assert!(copies.iter().all(|bytes| bytes.as_ref() == [7; 100]));
        assert_ne!(sha256(&path).unwrap(), sum);
    }

    #[test]
    fn what_changes_while_it_is_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data");
        fs::write(&path, [7; 100]).unwrap();
        let (file, metadata) = open(&path).unwrap();
        assert!(same(&file, &metadata).is_ok());
        fs::write(&path, [7; 99]).unwrap();
        assert!(same(&file, &metadata).is_err());
    }
}
