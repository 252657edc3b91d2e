//! Which files were read, so that none of them is overwritten by an answer.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// Whether files are remembered: a process that runs one command does so.
static WATCHED: AtomicBool = AtomicBool::new(false);
static READ: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// From now on files are remembered. A process that runs several commands, of which one reads what another
/// wrote, does without.
pub(crate) fn watch() {
    WATCHED.store(true, Ordering::Relaxed);
}

/// Whether this process runs one command, and remembers what it reads.
pub(crate) fn watched() -> bool {
    WATCHED.load(Ordering::Relaxed)
}

/// Remembers that a file was read.
pub(crate) fn note(path: &Path) {
    if watched()
        && let Ok(path) = path.canonicalize()
    {
        READ.lock().unwrap_or_else(PoisonError::into_inner).insert(path);
    }
}

/// Whether the file was read by this process, under this name or by a link.
pub(crate) fn was_read(path: &Path) -> bool {
    let read = READ.lock().unwrap_or_else(PoisonError::into_inner);
    path.canonicalize().is_ok_and(|path| read.contains(&path))
}
