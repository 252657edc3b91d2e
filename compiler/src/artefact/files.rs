//! Reading files of an artefact without leaving its folder.

use std::fs::File;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use bytes::Bytes;
use snnc_backends::{FileSource, MemoryFiles, ReadError};

use super::{FileRow, MANIFEST, sha256_hex};
use crate::{Problem, read_files};

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

    /// The file of that path, opened, and its length. Links are followed as long as they stay inside the
    /// folder; what is no regular file is refused, unopened.
    fn open(&self, path: &str) -> Result<(File, u64), ReadError> {
        let malformed = |reason: &str| ReadError::Malformed {
            file: path.to_owned(),
            place: "path".into(),
            reason: reason.into(),
        };
        if !is_inside(path) {
            return Err(malformed("a path must stay inside the artefact's folder"));
        }
        let failed = |source: std::io::Error| match source.kind() {
            std::io::ErrorKind::NotFound => ReadError::Missing(path.to_owned()),
            _ => ReadError::Io { file: path.to_owned(), source },
        };
        let root = if self.root.as_os_str().is_empty() { Path::new(".") } else { &self.root };
        let full = root.join(path).canonicalize().map_err(failed)?;
        if !full.starts_with(root.canonicalize().map_err(failed)?) {
            return Err(malformed("it is a link out of the artefact's folder"));
        }
        // What changes in between is caught by opening without waiting, and looking again.
        let regular = |is_file: bool| if is_file { Ok(()) } else { Err(malformed(NOT_REGULAR)) };
        regular(full.metadata().map_err(failed)?.is_file())?;
        read_files::note(&full);
        let file = open_without_waiting(&full).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        regular(metadata.is_file())?;
        Ok((file, metadata.len()))
    }
}

/// Why a folder, a device or a pipe is not read.
const NOT_REGULAR: &str = "it is no regular file";

/// Whether a path names a file below the folder that it is meant for.
fn is_inside(path: &str) -> bool {
    let normal = Path::new(path).components().all(|c| matches!(c, Component::Normal(_)));
    normal && !path.is_empty() && !path.contains(['\\', '\0'])
}

/// Opens a file; a pipe that took its place meanwhile does not make the program wait for a writer.
fn open_without_waiting(path: &Path) -> std::io::Result<File> {
    let mut options = File::options();
    options.read(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(
        &mut options,
        rustix::fs::OFlags::NONBLOCK.bits() as i32,
    );
    options.open(path)
}

impl FileSource for DirectoryFiles {
    fn read(&self, path: &str) -> Result<Bytes, ReadError> {
        let (mut file, length) = self.open(path)?;
        let mut content = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
        match file.read_to_end(&mut content) {
            Ok(_) => Ok(content.into()),
            Err(source) => Err(ReadError::Io { file: path.to_owned(), source }),
        }
    }
}

/// All files that a manifest lists, each regular, inside the folder and with the listed content. Nothing
/// else of the folder is to be seen in them.
///
/// # Errors
/// All that is wrong with them.
pub(super) fn listed(folder: &Path, rows: &[FileRow]) -> Result<MemoryFiles, Vec<Problem>> {
    let source = DirectoryFiles::new(folder);
    let (mut files, mut problems) = (MemoryFiles::default(), Vec::new());
    for row in rows {
        let mut problem = |reason: String| {
            let place = format!("`{}`", folder.join(&row.path).display());
            problems.push(Problem::new(place, reason, "compile the model again"));
        };
        if row.path == MANIFEST || files.0.contains_key(&row.path) {
            problem("is listed twice".into());
            continue;
        }
        // A file of another length need not be read.
        let content = source.open(&row.path).and_then(|(_, length)| {
            if length == row.bytes { source.read(&row.path).map(Some) } else { Ok(None) }
        });
        match content {
            Ok(Some(content)) if sha256_hex(&content) == row.sha256 => {
                files.0.insert(row.path.clone(), content);
            }
            Ok(Some(_)) => problem(CHANGED.into()),
            Ok(None) => problem(format!("{CHANGED}, as is its length")),
            Err(e) => problem(e.to_string()),
        }
    }
    if problems.is_empty() { Ok(files) } else { Err(problems) }
}

const CHANGED: &str = "was changed since it was compiled: its SHA-256 is another";

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn paths_stay_inside() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("secret"), "x").unwrap();
        let inside = directory.path().join("in");
        fs::create_dir_all(inside.join("deep")).unwrap();
        fs::write(inside.join("own"), "y").unwrap();
        let files = DirectoryFiles::new(&inside);
        for path in ["../secret", "", "/etc/passwd", "deep/../own", "a\\b", "a\0b"] {
            assert!(matches!(files.read(path), Err(ReadError::Malformed { .. })), "{path:?}");
        }
        assert!(matches!(files.read("nothing"), Err(ReadError::Missing(_))));
        assert!(matches!(files.read("deep"), Err(ReadError::Malformed { .. })));
        #[cfg(unix)]
        {
            use std::os::unix::fs::symlink;
            symlink(directory.path().join("secret"), inside.join("out")).unwrap();
            symlink(directory.path(), inside.join("up")).unwrap();
            symlink("own", inside.join("alias")).unwrap();
            symlink("/dev/zero", inside.join("zeros")).unwrap();
            for path in ["out", "up/secret", "zeros"] {
                assert!(matches!(files.read(path), Err(ReadError::Malformed { .. })), "{path}");
            }
            assert_eq!(files.read("alias").unwrap(), "y");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_pipe_is_refused_and_not_waited_for() {
        use rustix::fs::{CWD, FileType, Mode, mknodat};
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join("pipe");
        mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let files = DirectoryFiles::new(directory.path());
        assert!(matches!(files.read("pipe"), Err(ReadError::Malformed { .. })));
    }

    #[test]
    fn only_what_is_listed_and_unchanged_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let row = |path: &str, content: &str| FileRow {
            path: path.into(),
            bytes: content.len() as u64,
            sha256: sha256_hex(content.as_bytes()),
        };
        for name in ["a", "b", "c"] {
            fs::write(directory.path().join(name), name).unwrap();
        }
        let files = listed(directory.path(), &[row("a", "a"), row("b", "b")]).unwrap();
        assert!(files.read("b").is_ok() && files.read("c").is_err());
        let wrong = [row("a", "x"), row("b", "xx"), row("c", "c"), row("c", "c"), row("d", "d")];
        let problems = listed(directory.path(), &wrong).unwrap_err();
        assert_eq!(problems.len(), 4, "{problems:?}");
    }
}
