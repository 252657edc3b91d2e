//! Writing folders: each is the old one or the new one, whole, whatever stops the program.
//!
//! New folders are written into a staging folder beside the old ones, and brought to the disk. A journal in
//! it then says that all of them are there, and each takes its place by one exchange of two names. What a
//! run that died left behind is found by the next one that writes there: where there is a journal, it
//! finishes what that lists, else it forgets the staging folder. A lock tells the living from the dead.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::owned::replaceable;
use super::{MANIFEST, sha256_hex};
use crate::Error;

/// How names of staging folders begin.
const PREFIX: &str = ".snnc-";
/// The file in a staging folder that is locked as long as its program runs.
const LOCK: &str = "lock";
/// What that file says: a staging folder is told by it, not by its name.
const MAGIC: &[u8] = b"snnc staging folder 1\n";
/// The file that says that all new folders are there.
const JOURNAL: &str = "journal.json";

/// What happens on the way, one step at a time, so that tests can fail or die at each.
type Step<'a> = &'a (dyn Fn(&'static str) -> io::Result<()> + Sync);

/// Staging folders of this process, so that a signal can take them away.
static STAGED: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());
/// Held while folders take their places.
static COMMITTING: Mutex<()> = Mutex::new(());

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// For a program that is about to end by a signal: waits until folders that take their places have done so,
/// and removes what is not finished. Nothing is written after.
pub fn abandon() {
    // Nobody begins to commit any more.
    std::mem::forget(locked(&COMMITTING));
    // Nor to write what would be left.
    let mut staged = locked(&STAGED);
    for path in staged.drain(..) {
        let folder = path.is_dir();
        let _ = if folder { remove(&path, &|_| Ok(())) } else { fs::remove_file(&path) };
    }
    std::mem::forget(staged);
}

/// A file or folder that a signal takes away while this lives.
pub(crate) struct Unfinished(PathBuf);

impl Unfinished {
    /// Makes something at a path; a signal comes before or after, and not in between.
    pub(crate) fn make<T>(
        make: impl FnOnce() -> io::Result<T>,
        path: impl Fn(&T) -> &Path,
    ) -> io::Result<(T, Self)> {
        let mut staged = locked(&STAGED);
        let made = make()?;
        let path = path(&made).to_owned();
        staged.push(path.clone());
        Ok((made, Unfinished(path)))
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        locked(&STAGED).retain(|path| *path != self.0);
    }
}

/// That each `directory/name` is free, or holds an artefact and nothing else.
///
/// # Errors
/// Everything that is in the way.
pub fn check_free<'a>(
    directory: &Path,
    names: impl IntoIterator<Item = &'a str>,
) -> Result<(), Error> {
    let found = names.into_iter().filter_map(|name| replaceable(&directory.join(name)).err());
    let (mut problems, mut unread) = (Vec::new(), false);
    for found in found {
        problems.extend(found.problems);
        unread |= found.unread;
    }
    match (problems.is_empty(), unread) {
        (true, _) => Ok(()),
        (false, true) => Err(Error::Input(problems)),
        (false, false) => Err(Error::Usage(problems)),
    }
}

/// Writes each `(name, files)` as the folder `directory/name`, all of them or none. A folder of that name is
/// replaced only if it holds an earlier artefact and nothing else.
///
/// # Errors
/// When something cannot be written; the output directory is then as it was.
pub fn write_all(
    directory: &Path,
    artefacts: &[(String, Vec<snnc_backends::File>)],
) -> Result<(), Error> {
    write_with(directory, artefacts, &|_| Ok(()))
}

fn write_with(
    directory: &Path,
    artefacts: &[(String, Vec<snnc_backends::File>)],
    step: Step<'_>,
) -> Result<(), Error> {
    check_free(directory, artefacts.iter().map(|(name, _)| name.as_str()))?;
    let made = first_missing(directory);
    let fail = |e: io::Error| {
        let place = format!("`{}`", directory.display());
        Error::input(
            place,
            format!("cannot be written: {e}"),
            "see to it, or choose another folder with -o",
        )
    };
    let result = fs::create_dir_all(directory)
        .and_then(|()| Staging::new(directory, step))
        .and_then(|staging| staging.fill(artefacts, step)?.commit(directory, artefacts, step));
    if result.is_err()
        && let Some(first) = made
    {
        // Only empty folders go: whatever else is in them is not ours.
        for folder in directory.ancestors().take_while(|f| f.starts_with(&first)) {
            let _ = fs::remove_dir(folder);
        }
    }
    result.map_err(fail)
}

/// The outermost folder that would have to be made for `directory`.
fn first_missing(directory: &Path) -> Option<PathBuf> {
    let missing = |f: &&Path| !f.as_os_str().is_empty() && !f.exists();
    directory.ancestors().take_while(missing).last().map(Path::to_owned)
}

/// A lock on a folder, where its file system has such locks; released when it is dropped.
fn lock_folder(folder: &Path) -> Option<File> {
    let file = File::open(folder).ok()?;
    file.lock().ok()?;
    Some(file)
}

#[derive(Serialize, Deserialize)]
struct Journal {
    folders: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    name: String,
    /// SHA-256 of the new manifest, which tells the new folder from the old one.
    manifest: String,
}

/// The folder in which new artefacts are written.
struct Staging {
    path: PathBuf,
    /// Locked until the program ends or drops it.
    lock: File,
    _unfinished: Unfinished,
    /// Whether what is in it must stay, for the next run to finish.
    kept: bool,
}

impl Staging {
    /// A new one in `directory`, in which what dead runs left is finished and removed before.
    fn new(directory: &Path, step: Step<'_>) -> io::Result<Staging> {
        let guard = lock_folder(directory);
        step("recover")?;
        recover(directory)?;
        step("make the staging folder")?;
        let mut builder = tempfile::Builder::new();
        let make = || builder.prefix(PREFIX).tempdir_in(directory);
        let (made, unfinished) = Unfinished::make(make, tempfile::TempDir::path)?;
        step("write its lock")?;
        let mut lock = File::create_new(made.path().join(LOCK))?;
        lock.write_all(MAGIC)?;
        // A file system without locks cannot tell the dead from the living, and keeps both.
        let _ = lock.try_lock();
        drop(guard);
        Ok(Staging { path: made.keep(), lock, _unfinished: unfinished, kept: false })
    }

    /// Writes all files, and brings them to the disk.
    fn fill(
        self,
        artefacts: &[(String, Vec<snnc_backends::File>)],
        step: Step<'_>,
    ) -> io::Result<Self> {
        let all = artefacts.iter().flat_map(|(name, files)| files.iter().map(move |f| (name, f)));
        let all: Vec<(PathBuf, &snnc_backends::File)> =
            all.map(|(name, file)| (self.path.join(name).join(&file.path), file)).collect();
        let mut folders: Vec<&Path> = all.iter().filter_map(|(path, _)| path.parent()).collect();
        folders.extend(all.iter().flat_map(|(path, _)| path.ancestors().skip(1)));
        folders.retain(|f| f.starts_with(&self.path));
        folders.sort_unstable();
        folders.dedup();
        for folder in &folders {
            step("make a folder")?;
            fs::create_dir_all(folder)?;
        }
        all.par_iter().try_for_each(|(path, file)| {
            step("make a file")?;
            let mut out = File::create_new(path)?;
            step("write a file")?;
            out.write_all(&file.content)?;
            step("sync a file")?;
            out.sync_all()
        })?;
        for folder in folders {
            step("sync a folder")?;
            sync_folder(folder)?;
        }
        Ok(self)
    }

    /// Lets every folder take its place.
    fn commit(
        mut self,
        directory: &Path,
        artefacts: &[(String, Vec<snnc_backends::File>)],
        step: Step<'_>,
    ) -> io::Result<()> {
        let entry = |(name, files): &(String, Vec<snnc_backends::File>)| {
            let manifest = files.iter().find(|f| f.path == MANIFEST);
            let content = manifest.map_or(&[][..], |f| &f.content);
            Entry { name: name.clone(), manifest: sha256_hex(content) }
        };
        let journal = Journal { folders: artefacts.iter().map(entry).collect() };
        let text = serde_json::to_vec(&journal).map_err(io::Error::other)?;
        let (_committing, _guard) = (locked(&COMMITTING), lock_folder(directory));
        step("write the journal")?;
        let draft = self.path.join("journal.draft");
        let mut file = File::create_new(&draft)?;
        file.write_all(&text)?;
        step("sync the journal")?;
        file.sync_all()?;
        step("name the journal")?;
        fs::rename(draft, self.path.join(JOURNAL))?;
        step("sync the staging folder")?;
        sync_folder(&self.path)?;
        step("sync the directory")?;
        sync_folder(directory)?;
        let mut done: Vec<&str> = Vec::new();
        for entry in &journal.folders {
            let placed = step("place a folder").and_then(|()| self.place(directory, &entry.name));
            if let Err(e) = placed {
                // Back to how it was; what cannot be undone stays beside, under its name.
                let undone = done.iter().rev().try_for_each(|name| self.take_back(directory, name));
                match undone {
                    Ok(()) => fs::remove_file(self.path.join(JOURNAL))?,
                    Err(_) => self.kept = true,
                }
                return Err(e);
            }
            done.push(&entry.name);
        }
        step("sync the directory again")?;
        sync_folder(directory)?;
        // What cannot be removed now is removed by the next run.
        let _ = remove(&self.path, step);
        Ok(())
    }

    /// Exchanges the new folder of that name with the old one, if there is one.
    fn place(&self, directory: &Path, name: &str) -> io::Result<()> {
        place(&self.path.join(name), &directory.join(name))
    }

    /// Undoes [`Staging::place`].
    fn take_back(&self, directory: &Path, name: &str) -> io::Result<()> {
        let (own, target) = (self.path.join(name), directory.join(name));
        if own.exists() { place(&own, &target) } else { fs::rename(&target, &own) }
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        let _ = remove(&self.path, &|_| Ok(()));
        let _ = self.lock.unlock();
    }
}

/// Removes a staging folder: its journal first, so that nobody finishes what is half removed, and its lock
/// last, so that the next run knows what is left of it.
fn remove(staging: &Path, step: Step<'_>) -> io::Result<()> {
    step("remove the journal")?;
    match fs::remove_file(staging.join(JOURNAL)) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    for entry in fs::read_dir(staging)? {
        let entry = entry?;
        if entry.file_name() != LOCK {
            step("remove a part")?;
            let path = entry.path();
            let folder = entry.file_type()?.is_dir();
            if folder { fs::remove_dir_all(path)? } else { fs::remove_file(path)? }
        }
    }
    step("remove the lock")?;
    fs::remove_file(staging.join(LOCK))?;
    step("remove the staging folder")?;
    fs::remove_dir(staging)
}

/// Puts the folder `fresh` in the place of `target`; what was there is at `fresh` then.
fn place(fresh: &Path, target: &Path) -> io::Result<()> {
    if fs::symlink_metadata(target).is_err() {
        return fs::rename(fresh, target);
    }
    match exchange(fresh, target) {
        Err(e) if cannot_exchange(&e) => place_by_two(fresh, target),
        other => other,
    }
}

/// For file systems that cannot exchange names: the old folder goes aside, the new one takes its place. A run
/// that dies between leaves its journal, by which the next one finishes.
fn place_by_two(fresh: &Path, target: &Path) -> io::Result<()> {
    let aside = fresh.with_extension("old");
    fs::rename(target, &aside)?;
    if let Err(e) = fs::rename(fresh, target) {
        fs::rename(&aside, target)?;
        return Err(e);
    }
    fs::rename(&aside, fresh)
}

#[cfg(target_os = "linux")]
fn exchange(a: &Path, b: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    Ok(renameat_with(CWD, a, CWD, b, RenameFlags::EXCHANGE)?)
}

#[cfg(not(target_os = "linux"))]
fn exchange(_: &Path, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Whether the file system, or the system, has no exchange of names.
fn cannot_exchange(e: &io::Error) -> bool {
    use io::ErrorKind::{InvalidInput, Unsupported};
    matches!(e.kind(), InvalidInput | Unsupported)
}

/// Brings the names in a folder to the disk.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    match File::open(folder).and_then(|f| f.sync_all()) {
        // Some systems open no folders, some file systems do not sync them.
        Err(e)
            if matches!(
                e.kind(),
                io::ErrorKind::PermissionDenied | io::ErrorKind::InvalidInput
            ) =>
        {
            Ok(())
        }
        other => other,
    }
}

/// Finishes what runs that died in `directory` had decided, and removes what they left. The caller holds the
/// lock of `directory`.
fn recover(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let folder = fs::symlink_metadata(&path).is_ok_and(|m| m.is_dir());
        if !folder || !name.starts_with(PREFIX) {
            continue;
        }
        match fs::read(path.join(LOCK)) {
            Ok(content) if content == MAGIC => {}
            // It died before its lock was written.
            Ok(content) if MAGIC.starts_with(&content) => {
                let _ = fs::remove_file(path.join(LOCK)).and_then(|()| fs::remove_dir(&path));
                continue;
            }
            Ok(_) => continue,
            Err(_) => {
                // Only an empty one goes.
                let _ = fs::remove_dir(&path);
                continue;
            }
        }
        let Ok(lock) = File::open(path.join(LOCK)) else { continue };
        // What cannot be finished stays for another run, and is in nobody's way.
        if lock.try_lock().is_ok() && finish(directory, &path).is_ok() {
            let _ = remove(&path, &|_| Ok(()));
        }
    }
    Ok(())
}

/// Places every folder that a journal lists and that has not taken its place.
fn finish(directory: &Path, staging: &Path) -> io::Result<()> {
    let Ok(text) = fs::read(staging.join(JOURNAL)) else { return Ok(()) };
    let Ok(journal) = serde_json::from_slice::<Journal>(&text) else { return Ok(()) };
    for Entry { name, manifest } in journal.folders {
        let plain = Path::new(&name).file_name().is_some_and(|f| f == name.as_str());
        let (fresh, target) = (staging.join(&name), directory.join(&name));
        let is_new = |folder: &Path| {
            fs::read(folder.join(MANIFEST)).is_ok_and(|content| sha256_hex(&content) == manifest)
        };
        // What was put there meanwhile is not ours to replace.
        if plain && is_new(&fresh) && !is_new(&target) && replaceable(&target).is_ok() {
            place(&fresh, &target)?;
        }
    }
    sync_folder(directory)
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
