//! Files as manifests and certificates list them: by name, length and digest.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use snnc_backends::File;

/// The compiled model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// File name without folders.
    pub file: String,
    /// SHA-256 of its content, hexadecimal.
    pub sha256: String,
}

/// One file of an artefact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRow {
    /// Path below the artefact's folder.
    pub path: String,
    /// Length.
    pub bytes: u64,
    /// SHA-256 of the content, hexadecimal.
    pub sha256: String,
}

impl FileRow {
    /// Of a file that is about to be written.
    pub fn of(file: &File) -> FileRow {
        FileRow {
            path: file.path.clone(),
            bytes: file.content.len() as u64,
            sha256: sha256_hex(&file.content),
        }
    }
}

/// SHA-256 in hexadecimal.
pub fn sha256_hex(content: &[u8]) -> String {
    Sha256::digest(content).iter().map(|b| format!("{b:02x}")).collect()
}
