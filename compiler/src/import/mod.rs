//! From an ONNX file to the tensor IR.
//!
//! One node of ONNX becomes one or a few operators of [`snnc_ir::TensorOp`], chosen by domain,
//! name and version of the operator's definition (see [`mod@registry`]). Every dialect of
//! quantisation becomes [`snnc_ir::TensorOp::Quantise`] and [`snnc_ir::TensorOp::Dequantise`].
//! Shapes are inferred here and held against what the file says; integer arithmetic on constants,
//! which is how exporters write shapes, is evaluated on the way. Weights stay where they are: the
//! constants of the graph borrow the bytes of the file.
//!
//! Nothing in the file is trusted: lengths, dimensions, names and nesting are checked, and what an
//! import allocates beyond the file itself is bounded by [`limits`].

mod call;
mod data;
mod external;
mod importer;
pub mod limits;
mod model;
mod ops;
mod registry;
mod samples;
mod signatures;
pub mod spiking;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use snnc_ir::Graph;

use crate::mmap;
use crate::{Error, Problem};

/// What the user says about a model beside the file.
#[derive(Clone, Debug)]
pub struct ImportOptions {
    /// Extents of symbolic dimensions by name, from `--dim NAME=N`.
    pub dims: BTreeMap<String, usize>,
    /// Shapes of inputs by name, from `--input-shape NAME:SHAPE`; they win over the file's.
    pub shapes: BTreeMap<String, Vec<usize>>,
    /// Whether files are mapped into memory instead of read; see [`load`].
    pub mmap: bool,
    /// Samples for the model: their shape says what symbolic dimensions are, where nothing else does.
    pub samples: Option<PathBuf>,
}

impl Default for ImportOptions {
    fn default() -> Self {
        ImportOptions { dims: BTreeMap::new(), shapes: BTreeMap::new(), mmap: true, samples: None }
    }
}

/// A network as it was imported.
#[derive(Clone, Debug)]
pub struct Imported {
    /// The network in the tensor stage, verified.
    pub graph: Graph,
    /// What the user should know, each with the node or input concerned.
    pub notes: Vec<(String, String)>,
    /// The operator sets that the file imports: domain (`""` is ONNX's own) and version.
    pub opsets: Vec<(String, i64)>,
    /// Name and version of the tool that wrote the file; may be empty.
    pub producer: String,
    /// The digest of the file.
    pub digest: FileDigest,
}

/// The digest of a model file, made when it is asked for: that reads the whole file, which an import does
/// not.
#[derive(Clone, Debug)]
pub struct FileDigest {
    file: Bytes,
    sha256: OnceLock<String>,
}

impl FileDigest {
    /// SHA-256 of the file in hexadecimal, without external data.
    pub fn sha256(&self) -> &str {
        let digest = || Sha256::digest(&self.file).iter().map(|b| format!("{b:02x}")).collect();
        self.sha256.get_or_init(digest)
    }
}

/// Imports an ONNX file.
///
/// With [`ImportOptions::mmap`] the file must not change while the result is in use; that it has not by the
/// end of the import is checked.
///
/// # Errors
/// [`Error::Input`] if the file (or one that holds its external data) cannot be read, is malformed
/// or contradicts itself; [`Error::Unsupported`] with every node that cannot be imported.
pub fn load(path: &Path, options: &ImportOptions) -> Result<Imported, Error> {
    let bytes = mmap::read(path, options.mmap).map_err(|e| {
        let place = path.display().to_string();
        Error::input(place, format!("cannot be read: {e}"), "give the path of an .onnx file")
    })?;
    load_read(bytes, path, options)
}

/// As [`load`], for a file that was read already.
///
/// # Errors
/// As [`load`].
pub(crate) fn load_read(
    bytes: Bytes,
    path: &Path,
    options: &ImportOptions,
) -> Result<Imported, Error> {
    let place = path.display().to_string();
    let base = path.parent().map(|p| if p.as_os_str().is_empty() { Path::new(".") } else { p });
    let name = path.file_stem().map_or_else(|| place.clone(), |s| s.to_string_lossy().into_owned());
    let imported = import(bytes, &place, &name, base, options);
    // Of a file that changes meanwhile, that is what is to be said, whatever else was found in it.
    mmap::unchanged()?;
    imported
}

/// Imports the bytes of an ONNX file. `name` becomes the network's name and stands for the file in
/// messages; `base` is the folder in which external data is looked for, none is read without it.
///
/// # Errors
/// As [`load`].
pub fn from_bytes(
    bytes: Bytes,
    name: &str,
    base: Option<&Path>,
    options: &ImportOptions,
) -> Result<Imported, Error> {
    import(bytes, name, name, base, options)
}

fn import(
    bytes: Bytes,
    place: &str,
    name: &str,
    base: Option<&Path>,
    options: &ImportOptions,
) -> Result<Imported, Error> {
    tracing::debug!(file = place, "imports");
    let model = model::decode(bytes.clone(), place)?;
    let opsets = model.opset_import.iter().map(|o| (o.domain.clone(), o.version)).collect();
    let producer = [model.producer_name.as_str(), model.producer_version.as_str()]
        .iter()
        .filter(|s| !s.is_empty())
        .copied()
        .collect::<Vec<_>>()
        .join(" ");
    let budget = limits::FOLDED_BYTES.saturating_add(bytes.len());
    let store = external::Store::new(base, options.mmap);
    let is_option =
        |p: &Problem| p.place.strip_prefix(place).is_some_and(|rest| rest.starts_with(": --"));
    let built = model::build(&model, place, name, store, options, budget);
    let (graph, notes) = built.map_err(|error| match error {
        // What options name wrongly is no fault of the file.
        Error::Input(all) if all.iter().all(is_option) => Error::Usage(all),
        other => other,
    })?;
    let digest = FileDigest { file: bytes, sha256: OnceLock::new() };
    Ok(Imported { graph, notes, opsets, producer, digest })
}
