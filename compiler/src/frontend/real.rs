//! Files with neurons in continuous time.

use std::path::Path;

use bytes::Bytes;
use snnc_backends::{Target, nir};
use snnc_ir::RealNetwork;

use crate::Error;
use crate::artefact::{Source, sha256_hex};

/// A network of neurons in continuous time, and the file it is from.
pub struct RealFile {
    /// The file.
    pub source: Source,
    /// The network, in NIR's primitives.
    pub network: RealNetwork,
}

/// Whether artefacts of a target can hold such a network.
pub(super) fn is_of(target: &str) -> bool {
    target == nir::Nir.name()
}

impl RealFile {
    /// The network in `content`, of an entry `name` of what `path` names; none where it is another kind of
    /// file, or one on integers that this compiler wrote.
    ///
    /// # Errors
    /// When it is a NIR file that cannot be read.
    pub(super) fn of(path: &Path, name: &str, content: Bytes) -> Result<Option<RealFile>, Error> {
        if !nir::is_nir(&content) || nir::Nir.recognises(name, &content) {
            return Ok(None);
        }
        let sha256 = sha256_hex(&content);
        let network = nir::real_network(content, name)
            .map_err(|e| Error::input("network", e.to_string(), "export it again"))?;
        let file = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        Ok(Some(RealFile { source: Source { file, sha256 }, network }))
    }
}
