//! Files that commands write: never over what was read, never in the place of a device or a pipe.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::artefact::{Unfinished, sync_folder};
use crate::{Error, Problem, mmap, read_files};

/// That files can be written at `outputs`, options with paths, before any work is done: each is free or a
/// regular file, no two are the same, and none is one of `inputs` or lies in a folder that is.
///
/// # Errors
/// All that speaks against it.
pub(super) fn check(outputs: &[(&str, Option<&Path>)], inputs: &[&Path]) -> Result<(), Error> {
    checked(outputs, inputs, destination)
}

/// As [`check`], but folders may be missing: [`write_file_and_folder`] makes them.
///
/// # Errors
/// As [`check`].
pub(super) fn check_making_folders(
    outputs: &[(&str, Option<&Path>)],
    inputs: &[&Path],
) -> Result<(), Error> {
    let destination = |path: &Path| match new_folder(path) {
        Some(folder) => free(&folder).map(|()| path.to_owned()),
        None => destination(path),
    };
    checked(outputs, inputs, destination)
}

/// The folder of a file that is not there yet.
fn new_folder(path: &Path) -> Option<PathBuf> {
    let folder = folder_of(path);
    (fs::symlink_metadata(folder).is_err() && path.file_name().is_some()).then(|| folder.to_owned())
}

/// That a folder which is not there can be made: the first of those above it that exists is a folder.
fn free(folder: &Path) -> Result<(), String> {
    let mut above = folder.ancestors().skip(1).map(|p| match p.as_os_str().is_empty() {
        true => Path::new("."),
        false => p,
    });
    match above.find(|p| fs::symlink_metadata(p).is_ok()) {
        Some(first) if first.is_dir() => Ok(()),
        _ => Err("would lie in what is no folder".into()),
    }
}

fn checked(
    outputs: &[(&str, Option<&Path>)],
    inputs: &[&Path],
    destination: impl Fn(&Path) -> Result<PathBuf, String>,
) -> Result<(), Error> {
    let mut problems = Vec::new();
    let mut taken: Vec<PathBuf> = Vec::new();
    for &(option, path) in outputs {
        let Some(path) = path else { continue };
        match destination(path) {
            Ok(file) => {
                let full = absolute(&file);
                let over = inputs.iter().find(|input| {
                    input
                        .canonicalize()
                        .is_ok_and(|i| i == full || (i.is_dir() && full.starts_with(&i)))
                });
                let reason = match over {
                    Some(input) if input.canonicalize().is_ok_and(|i| i == full) => {
                        Some("would overwrite an input".to_owned())
                    }
                    Some(input) => Some(format!("lies in the artefact `{}`", input.display())),
                    None if taken.contains(&full) => Some("is written twice".to_owned()),
                    None => None,
                };
                taken.push(full);
                problems.extend(
                    reason
                        .map(|reason| problem(&format!("{option} `{}`", path.display()), &reason)),
                );
            }
            Err(reason) => {
                problems.push(problem(&format!("{option} `{}`", path.display()), &reason))
            }
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(Error::Usage(problems)) }
}

fn problem(place: &str, reason: &str) -> Problem {
    Problem::new(place, reason, "choose another path")
}

/// The path with its folder resolved.
fn absolute(file: &Path) -> PathBuf {
    let parent = folder_of(file).canonicalize();
    match (parent, file.file_name()) {
        (Ok(parent), Some(name)) => parent.join(name),
        _ => file.to_owned(),
    }
}

fn folder_of(file: &Path) -> &Path {
    file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Where a file for `path` goes: links are followed.
///
/// # Errors
/// Why it cannot go there.
fn destination(path: &Path) -> Result<PathBuf, String> {
    let Ok(metadata) = fs::symlink_metadata(path) else {
        if path.file_name().is_none() {
            return Err("is no name of a file".into());
        }
        return match fs::metadata(folder_of(path)) {
            Ok(m) if m.is_dir() => Ok(path.to_owned()),
            Ok(_) => Err("would lie in what is no folder".into()),
            Err(e) => Err(format!("cannot be written: its folder: {e}")),
        };
    };
    if metadata.is_symlink() {
        let target =
            path.canonicalize().map_err(|e| format!("is a link that leads nowhere: {e}"))?;
        return destination(&target);
    }
    match metadata {
        m if m.is_dir() => Err("is a folder".into()),
        m if m.is_file() => Ok(path.to_owned()),
        _ => Err("is a device or a pipe, in whose place a file would be put".into()),
    }
}

/// Names of files that are being written begin so.
const PREFIX: &str = ".snnc-";
/// And end so.
const SUFFIX: &str = ".part";

/// Writes a file beside, brings it to the disk, then renames it: a failed run leaves nothing half written, and
/// what a killed one left is removed by the next that writes into that folder.
pub(super) fn write_file(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let place = || format!("`{}`", path.display());
    let file =
        destination(path).map_err(|reason| Error::usage(place(), reason, "choose another path"))?;
    mmap::unchanged()?;
    if read_files::was_read(&file) {
        return Err(Error::usage(place(), "would overwrite an input", "choose another path"));
    }
    write(&file, bytes).map_err(|e| {
        Error::input(place(), format!("cannot be written: {e}"), "choose another path")
    })
}

/// As [`write_file`]; its folder is made where there is none.
pub(super) fn write_file_and_folder(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    if let Some(folder) = new_folder(path) {
        fs::create_dir_all(&folder).map_err(|e| {
            let place = format!("`{}`", folder.display());
            Error::input(place, format!("cannot be made: {e}"), "choose another path")
        })?;
    }
    write_file(path, bytes)
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = folder_of(path);
    clean(folder);
    let mut builder = tempfile::Builder::new();
    builder.prefix(PREFIX).suffix(SUFFIX);
    // Temporary files are private by default; an answer is a file like any other.
    #[cfg(unix)]
    let mode = <fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o666);
    #[cfg(unix)]
    builder.permissions(mode);
    let make = || builder.tempfile_in(folder);
    let (mut file, _unfinished) = Unfinished::make(make, tempfile::NamedTempFile::path)?;
    let _ = file.as_file().try_lock();
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    sync_folder(folder)
}

/// Removes what killed runs left in a folder: files of such a name that no living program has locked.
fn clean(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let ours = name.starts_with(PREFIX) && name.ends_with(SUFFIX);
        if ours
            && entry.file_type().is_ok_and(|t| t.is_file())
            && let Ok(file) = fs::File::open(entry.path())
            && file.try_lock().is_ok()
        {
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<String> =
            entries.map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_replaced_and_what_dead_runs_left_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at(".snnc-dead.part"), "half").unwrap();
        fs::write(at(".snnc-mine"), "x").unwrap();
        let living = fs::File::create(at(".snnc-living.part")).unwrap();
        living.lock().unwrap();
        fs::write(at("out"), "old").unwrap();
        write_file(&at("out"), b"new").unwrap();
        assert_eq!(fs::read_to_string(at("out")).unwrap(), "new");
        assert_eq!(names(folder.path()), [".snnc-living.part", ".snnc-mine", "out"]);
    }

    #[test]
    fn what_is_read_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("model"), "x").unwrap();
        fs::create_dir(at("artefact")).unwrap();
        let model = at("model");
        let inside = at("artefact/new");
        let check = |path: &Path| check(&[("-o", Some(path))], &[&model, &at("artefact")]);
        assert!(check(&at("free")).is_ok());
        for path in [&model, &at("artefact/../model"), &inside, &at("artefact"), &at("none/free")] {
            assert_eq!(check(path).unwrap_err().exit_code(), 2, "{}", path.display());
        }
        let twice = [("-o", Some(Path::new("a"))), ("--trace", Some(Path::new("./a")))];
        assert!(super::check(&twice, &[]).is_err());
        read_files::watch();
        read_files::note(&model);
        assert!(write_file(&model, b"y").is_err());
        assert_eq!(fs::read_to_string(&model).unwrap(), "x");
    }

    #[test]
    fn folders_are_made_where_that_is_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("file"), "x").unwrap();
        let check = |path: &Path| check_making_folders(&[("-o", Some(path))], &[&at("file")]);
        assert!(check(&at("file/new/page")).is_err());
        assert!(check(&at("file/page")).is_err());
        assert!(check(&at("file")).is_err());
        assert!(check(&at("new/deep/page")).is_ok() && !at("new").exists());
        write_file_and_folder(&at("new/deep/page"), b"text").unwrap();
        assert_eq!(fs::read_to_string(at("new/deep/page")).unwrap(), "text");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn links_are_followed_and_devices_and_pipes_stay() {
        use rustix::fs::{CWD, FileType, Mode, mknodat};
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        mknodat(CWD, at("pipe"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        std::os::unix::fs::symlink("real", at("link")).unwrap();
        assert!(write_file(&at("link"), b"x").is_err(), "it leads nowhere");
        fs::write(at("real"), "old").unwrap();
        write_file(&at("link"), b"new").unwrap();
        assert_eq!(fs::read_to_string(at("real")).unwrap(), "new");
        assert!(fs::symlink_metadata(at("link")).unwrap().is_symlink());
        std::os::unix::fs::symlink("real", at("alias")).unwrap();
        assert!(check(&[("-o", Some(&at("alias")))], &[&at("real")]).is_err());
        for path in [at("pipe"), "/dev/null".into(), "/dev/full".into()] {
            assert_eq!(write_file(&path, b"x").unwrap_err().exit_code(), 2);
            assert!(!fs::symlink_metadata(&path).unwrap().is_file());
        }
    }
}
