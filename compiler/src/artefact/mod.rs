//! Artefacts on disk: a folder for each target with a manifest, a certificate, the quantised network
//! that was compiled, and the target's own files.

mod manifest;
mod open;
mod store;

pub use manifest::{
    CertificateSummary, FileRow, HostOutput, HostRow, InputRow, Manifest, OutputRow, PopulationRow,
    Showing, Source,
};
pub use open::{Opened, open, same_network};
pub use store::{DirectoryFiles, sha256_hex, write_all};

/// Name of the manifest in an artefact's folder.
pub const MANIFEST: &str = "manifest.yaml";
/// Name of the certificate in an artefact's folder.
pub const CERTIFICATE: &str = "certificate.json";
/// Name of the quantised network against which the certificate was made.
pub const SOURCE: &str = "source.snn";
/// Name of the operators that the host applies to what the network shows.
pub const HOST: &str = "host.snn";
