//! Files with neurons in continuous time.

use std::path::Path;

use bytes::Bytes;
use snnc_backends::Target;
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

impl RealFile {
    /// The network in `content`, of an entry `name` of what `path` names, in the format of one of `targets`;
    /// none where it is another kind of file.
    ///
    /// # Errors
    /// When it is such a file and cannot be read.
    pub(super) fn of(
        path: &Path,
        (name, content): (&str, &Bytes),
        targets: &[&'static dyn Target],
    ) -> Result<Option<RealFile>, Error> {
        for target in targets {
            let network = target
                .read_real(name, content.clone())
                .map_err(|e| Error::input("network", e.to_string(), "export it again"))?;
            if let Some(network) = network {
                let file = path.file_name().map(|n| n.to_string_lossy().into_owned());
                let (file, sha256) = (file.unwrap_or_default(), sha256_hex(content));
                return Ok(Some(RealFile { source: Source { file, sha256 }, network }));
            }
        }
        Ok(None)
    }
}
