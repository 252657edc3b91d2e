//! Tensors whose elements lie in files beside the model.

use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};

use bytes::Bytes;
use onnx_protobuf::TensorProto;

use super::call::Failure;
use crate::mmap;

/// The files beside a model, each opened once.
pub(crate) struct Store {
    base: Option<PathBuf>,
    mapped: bool,
    files: HashMap<String, Bytes>,
}

impl Store {
    /// Files in the folder `base`; without a folder no file is read.
    pub(crate) fn new(base: Option<&Path>, mapped: bool) -> Self {
        Store { base: base.map(Path::to_path_buf), mapped, files: HashMap::new() }
    }

    /// The bytes of an external tensor that takes `expected` bytes.
    ///
    /// The location must stay within the model's folder, links followed: a model from elsewhere
    /// could otherwise read any file of its user.
    pub(crate) fn read(&mut self, proto: &TensorProto, expected: usize) -> Result<Bytes, Failure> {
        let Some(location) = proto.external_entry("location") else {
            return Err(Failure::malformed("external data without a location"));
        };
        let number = |key: &str, default: usize| match proto.external_entry(key) {
            None => Ok(default),
            Some(text) => text.parse::<usize>().map_err(|_| {
                Failure::malformed(format!("the {key} `{text}` of external data is no number"))
            }),
        };
        let offset = number("offset", 0)?;
        let length = number("length", expected)?;
        let file = self.open(location)?;
        let end = offset.checked_add(length).filter(|&end| end <= file.len());
        let Some(end) = end else {
            return Err(Failure::malformed(format!(
                "external data at {offset} with {length} bytes, but `{location}` has {}",
                file.len()
            )));
        };
        Ok(file.slice(offset..end))
    }

    fn open(&mut self, location: &str) -> Result<Bytes, Failure> {
        if let Some(bytes) = self.files.get(location) {
            return Ok(bytes.clone());
        }
        let outside = |why: &str| {
            Failure::malformed(format!("the location `{location}` of external data {why}"))
        };
        let Some(base) = &self.base else {
            return Err(outside("cannot be read, as the model's folder is not known"));
        };
        let plain = Path::new(location).components().all(|c| matches!(c, Component::Normal(_)));
        if location.is_empty() || !plain || location.contains(['\\', '\0', ':']) {
            return Err(outside("is not a plain path below the model's folder"));
        }
        let resolve = |path: &Path| {
            path.canonicalize().map_err(|e| {
                Failure::Malformed(
                    format!("external data `{location}` cannot be read: {e}"),
                    "keep the file in the folder of the model".into(),
                )
            })
        };
        let (folder, path) = (resolve(base)?, resolve(&base.join(location))?);
        if !path.starts_with(&folder) {
            return Err(outside("leaves the model's folder"));
        }
        let bytes = mmap::read(&path, self.mapped)
            .map_err(|e| Failure::malformed(format!("`{location}` cannot be read: {e}")))?;
        self.files.insert(location.to_owned(), bytes.clone());
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use onnx_protobuf::StringStringEntryProto;

    fn proto(entries: &[(&str, &str)]) -> TensorProto {
        let entry = |&(key, value): &(&str, &str)| StringStringEntryProto {
            key: key.into(),
            value: value.into(),
        };
        TensorProto { external_data: entries.iter().map(entry).collect(), ..Default::default() }
    }

    #[test]
    fn slices_of_files_below_the_folder_only() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("model");
        std::fs::create_dir(&inner).unwrap();
        std::fs::write(inner.join("w.bin"), [1, 2, 3, 4]).unwrap();
        std::fs::write(folder.path().join("secret"), [9; 4]).unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink("../secret", inner.join("link")).unwrap();
        for mapped in [false, true] {
            let mut store = Store::new(Some(&inner), mapped);
            let part = proto(&[("location", "w.bin"), ("offset", "1"), ("length", "2")]);
            assert_eq!(store.read(&part, 2).unwrap().as_ref(), [2, 3]);
            let huge = usize::MAX.to_string();
            for bad in [
                vec![("location", "../secret")],
                vec![("location", "link")],
                vec![("location", "/etc/hostname")],
                vec![("location", "a\\b")],
                vec![("location", "missing")],
                vec![("location", "")],
                vec![],
                vec![("location", "w.bin"), ("offset", "3"), ("length", "2")],
                vec![("location", "w.bin"), ("offset", huge.as_str())],
                vec![("location", "w.bin"), ("offset", "-1")],
            ] {
                assert!(store.read(&proto(&bad), 2).is_err(), "{bad:?}");
            }
        }
    }
}
