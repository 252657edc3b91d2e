//! Writing folders so that a failed run changes nothing, and reading files without leaving a folder.

use std::fs;
use std::path::{Component, Path, PathBuf};

use bytes::Bytes;
use sha2::{Digest, Sha256};
use snnc_backends::{File, FileSource, ReadError};

use super::MANIFEST;
use crate::Error;

/// SHA-256 in hexadecimal.
pub fn sha256_hex(content: &[u8]) -> String {
    Sha256::digest(content).iter().map(|b| format!("{b:02x}")).collect()
}

/// Writes each `(name, files)` as the folder `directory/name`. All of them are written beside first and
/// renamed last; a folder of that name is replaced only if it holds an earlier artefact.
///
/// # Errors
/// When something cannot be written; the output directory is then as it was.
pub fn write_all(directory: &Path, artefacts: &[(String, Vec<File>)]) -> Result<(), Error> {
    let fail = |path: &Path, e: &dyn std::fmt::Display| {
        Error::input(
            format!("`{}`", path.display()),
            format!("cannot be written: {e}"),
            "choose another folder with -o",
        )
    };
    for (name, _) in artefacts {
        let target = directory.join(name);
        if target.exists() && !target.join(MANIFEST).is_file() {
            let reason = "exists, and is not an artefact of snnc";
            return Err(Error::usage(
                format!("`{}`", target.display()),
                reason,
                "remove it, or choose another folder with -o",
            ));
        }
    }
    let existed = directory.is_dir();
    fs::create_dir_all(directory).map_err(|e| fail(directory, &e))?;
    let result = stage_and_rename(directory, artefacts, &fail);
    if result.is_err() && !existed {
        // Only an empty folder goes: whatever else is in it is not ours.
        let _ = fs::remove_dir(directory);
    }
    result
}

fn stage_and_rename(
    directory: &Path,
    artefacts: &[(String, Vec<File>)],
    fail: &dyn Fn(&Path, &dyn std::fmt::Display) -> Error,
) -> Result<(), Error> {
    let staging = tempfile::Builder::new()
        .prefix(".snnc-")
        .tempdir_in(directory)
        .map_err(|e| fail(directory, &e))?;
    for (name, files) in artefacts {
        for file in files {
            let path = staging.path().join(name).join(&file.path);
            let parent = path.parent().unwrap_or(staging.path());
            fs::create_dir_all(parent).map_err(|e| fail(&path, &e))?;
            fs::write(&path, &file.content).map_err(|e| fail(&path, &e))?;
        }
    }
    let mut moved: Vec<(PathBuf, PathBuf, bool)> = Vec::new();
    for (name, _) in artefacts {
        let (fresh, target) = (staging.path().join(name), directory.join(name));
        let old = staging.path().join(format!("{name}.old"));
        let had = target.exists();
        let swapped = (if had { fs::rename(&target, &old) } else { Ok(()) })
            .and_then(|()| fs::rename(&fresh, &target));
        if let Err(e) = swapped {
            if had && !target.exists() {
                let _ = fs::rename(&old, &target);
            }
            for (target, old, had) in moved.iter().rev() {
                let _ = fs::remove_dir_all(target);
                if *had {
                    let _ = fs::rename(old, target);
                }
            }
            return Err(fail(&target, &e));
        }
        moved.push((target, old, had));
    }
    Ok(())
}

/// The files of one folder.
#[derive(Clone, Debug)]
pub struct DirectoryFiles {
    root: PathBuf,
}

impl DirectoryFiles {
    /// The files below `root`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        DirectoryFiles { root: root.into() }
    }
}

impl FileSource for DirectoryFiles {
    fn read(&self, path: &str) -> Result<Bytes, ReadError> {
        let inside = Path::new(path).components().all(|c| matches!(c, Component::Normal(_)));
        if !inside || path.contains(['\\', '\0']) {
            return Err(ReadError::Malformed {
                file: path.to_owned(),
                place: "path".into(),
                reason: "a path must stay inside the artefact's folder".into(),
            });
        }
        let full = self.root.join(path);
        match fs::read(&full) {
            Ok(content) => Ok(content.into()),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                Err(ReadError::Missing(path.to_owned()))
            }
            Err(source) => Err(ReadError::Io { file: path.to_owned(), source }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(text: &str) -> Vec<File> {
        vec![File::new(MANIFEST, text), File::new("deep/file", text)]
    }

    #[test]
    fn folders_are_replaced_whole_and_others_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let out = directory.path().join("out");
        write_all(&out, &[("a".into(), files("1"))]).unwrap();
        fs::write(out.join("a/stale"), "").unwrap();
        write_all(&out, &[("a".into(), files("2"))]).unwrap();
        assert_eq!(fs::read_to_string(out.join("a/deep/file")).unwrap(), "2");
        assert!(!out.join("a/stale").exists());
        fs::create_dir(out.join("mine")).unwrap();
        let refused = write_all(&out, &[("a".into(), files("3")), ("mine".into(), files("3"))]);
        assert_eq!(refused.unwrap_err().exit_code(), 2);
        assert_eq!(fs::read_to_string(out.join("a/deep/file")).unwrap(), "2");
        assert_eq!(fs::read_dir(&out).unwrap().count(), 2, "nothing is left behind");
    }

    #[test]
    fn paths_stay_inside() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("secret"), "x").unwrap();
        fs::create_dir(directory.path().join("in")).unwrap();
        let files = DirectoryFiles::new(directory.path().join("in"));
        assert!(matches!(files.read("../secret"), Err(ReadError::Malformed { .. })));
        assert!(matches!(files.read("nothing"), Err(ReadError::Missing(_))));
    }
}
