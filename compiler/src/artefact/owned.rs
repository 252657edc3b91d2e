//! Whether a folder holds an artefact and nothing else, so that it may be replaced.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{FORMAT, FileRow, MANIFEST, sha256_hex};
use crate::Problem;

/// The part of a manifest that says which files belong to the artefact.
#[derive(Deserialize)]
struct Listing {
    format: String,
    files: Vec<FileRow>,
}

/// What keeps a folder from being replaced.
#[derive(Debug)]
pub(super) struct InTheWay {
    /// Each thing, with what can be done.
    pub(super) problems: Vec<Problem>,
    /// Whether something of it could not be read, so that what it is is not known.
    pub(super) unread: bool,
}

/// At most so many files are named.
const NAMED: usize = 8;

/// Whether something is at `folder`; what is there is an artefact, every file of it listed in its manifest
/// and unchanged, or an empty folder.
///
/// # Errors
/// What else is there, or cannot be looked at.
pub(super) fn replaceable(folder: &Path) -> Result<bool, InTheWay> {
    let problem = |path: &Path, reason: String| {
        let help = "move it elsewhere, or choose another folder with -o";
        Problem::new(format!("`{}`", path.display()), reason, help)
    };
    let one = |path: &Path, reason: String| InTheWay {
        problems: vec![problem(path, reason)],
        unread: false,
    };
    let unread = |path: &Path, e: io::Error| InTheWay {
        unread: true,
        ..one(path, format!("cannot be read: {e}"))
    };
    let Ok(metadata) = fs::symlink_metadata(folder) else { return Ok(false) };
    if !metadata.is_dir() {
        return Err(one(folder, "exists, and is no folder".into()));
    }
    let found = walk(folder, Path::new("")).map_err(|(path, e)| unread(&folder.join(path), e))?;
    if found.is_empty() {
        return Ok(true);
    }
    let manifest = folder.join(MANIFEST);
    let text = match found.iter().any(|f| f.regular && f.path == Path::new(MANIFEST)) {
        true => fs::read(&manifest).map_err(|e| unread(&manifest, e))?,
        false => Vec::new(),
    };
    let listing = serde_yaml::from_slice(&text).ok().filter(|l: &Listing| l.format == FORMAT);
    let Some(listing) = listing else {
        let files: Vec<String> =
            found.iter().take(NAMED).map(|f| format!("`{}`", f.path.display())).collect();
        let more = if found.len() > NAMED { ", .." } else { "" };
        let reason =
            format!("exists, and is not an artefact of snnc: it holds {}{more}", files.join(", "));
        return Err(one(folder, reason));
    };
    let rows: BTreeMap<PathBuf, &FileRow> =
        listing.files.iter().map(|row| (PathBuf::from(&row.path), row)).collect();
    let (mut problems, mut any_unread) = (Vec::new(), false);
    for file in found.iter().filter(|f| f.path != Path::new(MANIFEST)) {
        let full = folder.join(&file.path);
        let reason = match rows.get(&file.path) {
            None => "is not part of the artefact in whose folder it lies".into(),
            Some(_) if !file.regular => {
                "is a link or a device in the place of an artefact's file".into()
            }
            Some(row) => match fs::read(&full) {
                Ok(content) if sha256_hex(&content) == row.sha256 => continue,
                Ok(_) => "was changed since it was compiled".into(),
                Err(e) => {
                    any_unread = true;
                    format!("cannot be read: {e}")
                }
            },
        };
        problems.push(problem(&full, reason));
    }
    let more = problems.len().saturating_sub(NAMED);
    problems.truncate(NAMED);
    if more > 0 {
        problems.push(problem(folder, format!("holds {more} more such files")));
    }
    match problems.is_empty() {
        true => Ok(true),
        false => Err(InTheWay { problems, unread: any_unread }),
    }
}

/// Something in a folder that is no folder itself.
struct Found {
    /// Path below the folder.
    path: PathBuf,
    /// Whether it is a regular file, and no link, device or pipe.
    regular: bool,
}

/// Everything below `root/inner` that is no folder, in the order of names; links are not followed.
fn walk(root: &Path, inner: &Path) -> Result<Vec<Found>, (PathBuf, std::io::Error)> {
    let fail = |e| (inner.to_owned(), e);
    let mut found = Vec::new();
    let entries: Result<Vec<fs::DirEntry>, _> =
        fs::read_dir(root.join(inner)).map_err(fail)?.collect();
    let mut entries = entries.map_err(fail)?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = inner.join(entry.file_name());
        let kind = entry.file_type().map_err(fail)?;
        if kind.is_dir() {
            found.extend(walk(root, &path)?);
        } else {
            found.push(Found { path, regular: kind.is_file() });
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An artefact's folder with one file in a folder of its own.
    fn artefact(folder: &Path) {
        let row = FileRow { path: "deep/file".into(), bytes: 2, sha256: sha256_hex(b"42") };
        let yaml = serde_yaml::to_string(&[row]).unwrap();
        fs::create_dir_all(folder.join("deep")).unwrap();
        fs::write(folder.join(MANIFEST), format!("format: {FORMAT}\nversion: 1\nfiles:\n{yaml}"))
            .unwrap();
        fs::write(folder.join("deep/file"), "42").unwrap();
    }

    /// What is said of a folder that was made so.
    fn said(make: impl Fn(&Path)) -> Result<bool, String> {
        let directory = tempfile::tempdir().unwrap();
        let folder = directory.path().join("a");
        fs::create_dir(&folder).unwrap();
        make(&folder);
        let text = |p: Problem| p.reason + " " + p.place.rsplit('/').next().unwrap_or_default();
        replaceable(&folder)
            .map_err(|all| all.problems.into_iter().map(text).collect::<Vec<_>>().join("; "))
    }

    #[test]
    fn an_artefact_and_an_empty_folder_may_go() {
        assert_eq!(replaceable(Path::new("there is no such folder")).ok(), Some(false));
        assert_eq!(said(|_| ()), Ok(true));
        assert_eq!(said(artefact), Ok(true));
        // What is missing of it is no loss.
        let missing = |f: &Path| {
            artefact(f);
            fs::remove_file(f.join("deep/file")).unwrap();
        };
        assert_eq!(said(missing), Ok(true));
    }

    #[test]
    fn whatever_else_is_there_stays_and_is_named() {
        let with = |name: &'static str, text: &'static str| {
            said(move |f| {
                artefact(f);
                fs::create_dir_all(f.join(name).parent().unwrap()).unwrap();
                fs::write(f.join(name), text).unwrap();
            })
            .unwrap_err()
        };
        for name in ["notes.txt", "deep/thesis.tex", ".hidden", "other/notes"] {
            let text = with(name, "mine");
            assert!(text.contains("is not part of the artefact"), "{text}");
            assert!(text.contains(name.rsplit('/').next().unwrap()), "{text}");
        }
        assert!(with("deep/file", "43").contains("was changed"));
        for manifest in ["", "format: other\nfiles: []\n", "- 1\n", "files: []\n"] {
            let text = with(MANIFEST, manifest);
            assert!(text.contains("not an artefact") && text.contains("deep/file"), "{text}");
        }
        let own = said(|f| fs::write(f.join(MANIFEST), "my: manifest\n").unwrap()).unwrap_err();
        assert!(own.contains("not an artefact"), "{own}");
    }

    #[cfg(unix)]
    #[test]
    fn links_are_no_files_of_an_artefact() {
        use std::os::unix::fs::symlink;
        let linked = said(|f| {
            artefact(f);
            fs::rename(f.join("deep/file"), f.join("../file")).unwrap();
            symlink("../../file", f.join("deep/file")).unwrap();
        });
        assert!(linked.unwrap_err().contains("is a link"));
        let directory = tempfile::tempdir().unwrap();
        artefact(&directory.path().join("real"));
        symlink("real", directory.path().join("alias")).unwrap();
        assert!(replaceable(&directory.path().join("alias")).is_err());
    }
}
