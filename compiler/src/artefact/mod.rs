//! Artefacts on disk: a folder for each target with a manifest, a certificate, the quantised network
//! that was compiled, and the target's own files.

mod files;
mod manifest;
mod open;
mod owned;
mod store;

pub use crate::listed::{FileRow, Source, sha256_hex};
pub use crate::showing::Showing;
pub use files::DirectoryFiles;
pub use manifest::{
    CertificateSummary, HostOutput, HostRow, InputRow, Manifest, OutputRow, PopulationRow,
};
pub(crate) use open::{Folder, bare, content, folder_of_manifest};
pub use open::{Opened, artefacts_in, open, same_network};
pub(crate) use store::{Unfinished, sync_folder};
pub use store::{abandon, check_free, write_all};

/// What every manifest says its format is.
pub const FORMAT: &str = "snnc-artefact";
/// Name of the manifest in an artefact's folder.
pub const MANIFEST: &str = "manifest.yaml";
/// Name of the certificate in an artefact's folder.
pub const CERTIFICATE: &str = "certificate.json";
/// Name of the quantised network against which the certificate was made.
pub const SOURCE: &str = "source.snn";
/// Name of the same network as ONNX, where it was asked for.
pub const QUANTISED: &str = "quantised.onnx";
/// Name of the operators that the host applies to what the network shows.
pub const HOST: &str = "host.snn";
