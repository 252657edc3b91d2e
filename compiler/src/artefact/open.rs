//! Opening what a user names: an artefact's folder, or a bare file of a target's format.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use snnc_backends::{FileSource, LayerMemories, MemoryFiles, ReadError, TARGETS, Target, target};
use snnc_ir::{Graph, Stage};

use super::files::listed;
use super::{CERTIFICATE, DirectoryFiles, MANIFEST, Manifest, SOURCE};
use crate::certificate::Certificate;
use crate::mmap;
use crate::{Error, Problem};

/// An artefact that was read back.
#[derive(Clone)]
pub struct Opened {
    /// The target whose format it has.
    pub target: &'static dyn Target,
    /// The network.
    pub network: Graph,
    /// Its memories on the device, where its format lays them out.
    pub memories: Vec<LayerMemories>,
    /// What the folder says of it; a bare file has none.
    pub manifest: Option<Manifest>,
    /// The quantised network from which it was compiled, if the folder holds it.
    pub source: Option<Graph>,
    /// What the host makes of what the network shows, if it does anything.
    pub host: Option<Graph>,
    /// The certificate, if the folder holds one.
    pub certificate: Option<Certificate>,
}

/// Opens `path` if it is an artefact; `None` if it is a file of none of the targets' formats.
///
/// # Errors
/// When it is an artefact that is damaged, or cannot be read at all.
pub fn open(path: &Path) -> Result<Option<Opened>, Error> {
    if path.is_dir() {
        return Folder::open(path)?.opened().map(Some);
    }
    if let Some(folder) = folder_of_manifest(path) {
        return Folder::open(folder)?.opened().map(Some);
    }
    // Mapped: of a large model of another kind only the beginning is looked at.
    bare(path, &content(path, true)?)
}

/// The folder that a manifest's path names.
pub(crate) fn folder_of_manifest(path: &Path) -> Option<&Path> {
    (path.file_name()? == MANIFEST && path.is_file()).then(|| beside(path))
}

/// The folder in which a file lies.
fn beside(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// The bytes of a file that a user names.
///
/// # Errors
/// When it is a device, or cannot be read.
pub(crate) fn content(path: &Path, mapped: bool) -> Result<Bytes, Error> {
    let place = || format!("`{}`", path.display());
    if !path.is_file() {
        let help = "name a file or an artefact's folder";
        return Err(Error::input(place(), "is a device or a pipe", help));
    }
    mmap::read(path, mapped)
        .map_err(|e| Error::input(place(), format!("cannot be read: {e}"), "check the path"))
}

/// The network of a file that stands alone, if it is of a target's format.
///
/// # Errors
/// When it is damaged.
pub(crate) fn bare(path: &Path, content: &[u8]) -> Result<Option<Opened>, Error> {
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let Some(target) = TARGETS.iter().copied().find(|t| t.recognises(&name, content)) else {
        return Ok(None);
    };
    let files = DirectoryFiles::new(path.parent().unwrap_or(Path::new(".")));
    let network = verified(target.read(&files, &name).map_err(|e| read_error(&e))?, &name)?;
    let memories = target.memories(&files, &name).map_err(|e| read_error(&e))?;
    let (manifest, source, host, certificate) = (None, None, None, None);
    Ok(Some(Opened { target, network, memories, manifest, source, host, certificate }))
}

fn read_error(error: &ReadError) -> Error {
    Error::Input(vec![Problem::new("artefact", error.to_string(), "compile the model again")])
}

fn verified(graph: Graph, file: &str) -> Result<Graph, Error> {
    match snnc_ir::verify(graph) {
        Ok(graph) => Ok(graph.into_inner()),
        Err(errors) => {
            let problem =
                |e: &snnc_ir::VerifyError| Problem::new(format!("`{file}`"), e.to_string(), "");
            Err(Error::Input(errors.iter().map(problem).collect()))
        }
    }
}

/// An artefact's folder: its manifest, and all files that it lists, checked.
pub(crate) struct Folder<'a> {
    path: &'a Path,
    manifest: Manifest,
    files: MemoryFiles,
}

/// The artefacts in a folder that is none itself, in the order of their names; `None` where there are none.
pub fn artefacts_in(folder: &Path) -> Option<Vec<PathBuf>> {
    if folder.join(MANIFEST).exists() {
        return None;
    }
    let entries = std::fs::read_dir(folder).ok()?;
    let mut found: Vec<PathBuf> = entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.join(MANIFEST).is_file())
        .collect();
    found.sort();
    (!found.is_empty()).then_some(found)
}

impl<'a> Folder<'a> {
    /// Reads the manifest in a folder and the files that it lists.
    ///
    /// # Errors
    /// When it is no artefact, or one that is damaged.
    pub(crate) fn open(path: &'a Path) -> Result<Folder<'a>, Error> {
        let text = DirectoryFiles::new(path).read(MANIFEST).map_err(|e| {
            let help = match artefacts_in(path) {
                None => "name a folder that `snnc compile` wrote".to_owned(),
                Some(all) => {
                    let all: Vec<String> =
                        all.iter().map(|p| format!("`{}`", p.display())).collect();
                    format!("name one of the artefacts in it: {}", all.join(", "))
                }
            };
            Error::input(format!("`{}`", path.display()), e.to_string(), help)
        })?;
        let text = String::from_utf8_lossy(&text).into_owned();
        let manifest = Manifest::parse(&text, MANIFEST)?;
        // What is not listed has no sum, and is not read.
        let files = listed(path, &manifest.files).map_err(Error::Input)?;
        let folder = Folder { path, manifest, files };
        if !folder.files.0.contains_key(&folder.manifest.entry) {
            let reason = format!("does not list its entry file `{}`", folder.manifest.entry);
            return Err(Error::input(folder.place(), reason, "compile the model again"));
        }
        Ok(folder)
    }

    fn place(&self) -> String {
        format!("`{}`", self.path.join(MANIFEST).display())
    }

    /// The target, if there is one of that name, and name and content of the entry file.
    pub(crate) fn entry(&self) -> (Option<&'static dyn Target>, &str, Bytes) {
        let entry = &self.manifest.entry;
        let content = self.files.0.get(entry).cloned().unwrap_or_default();
        (target(&self.manifest.target), entry, content)
    }

    /// The graph in one of the files; none where it is of another stage.
    fn graph(&self, name: &str) -> Result<Option<Graph>, Error> {
        let bytes = self.files.read(name).map_err(|e| read_error(&e))?;
        let graph = Graph::from_wire(bytes)
            .map_err(|e| Error::input(format!("`{name}`"), e.to_string(), ""))?;
        let graph = verified(graph, name)?;
        Ok((graph.stage == Stage::Quantised).then_some(graph))
    }

    fn lists(&self, name: &str) -> bool {
        self.manifest.files.iter().any(|f| f.path == name)
    }

    /// What the host does behind the network.
    fn host(&self) -> Result<Option<Graph>, Error> {
        match &self.manifest.host {
            None => Ok(None),
            Some(row) if self.lists(&row.file) => match self.graph(&row.file)? {
                Some(host) => Ok(Some(host)),
                None => {
                    let reason = "is no graph in tensor operators";
                    let file = format!("`{}`", self.path.join(&row.file).display());
                    Err(Error::input(file, reason, "compile the model again"))
                }
            },
            Some(row) => {
                let reason = format!("names `{}`, which is not among its files", row.file);
                Err(Error::input(self.place(), reason, "compile the model again"))
            }
        }
    }

    /// The artefact.
    ///
    /// # Errors
    /// When it is damaged, or of a target that there is not.
    pub(crate) fn opened(self) -> Result<Opened, Error> {
        let manifest = &self.manifest;
        let Some(target) = target(&manifest.target) else {
            let reason = format!("names the unknown target `{}`", manifest.target);
            let help = "compile the model with this version of snnc";
            return Err(Error::input(self.place(), reason, help));
        };
        let mut network = target.read(&self.files, &manifest.entry).map_err(|e| read_error(&e))?;
        manifest.apply(&mut network, MANIFEST)?;
        let network = verified(network, &manifest.entry)?;
        let memories = target.memories(&self.files, &manifest.entry).map_err(|e| read_error(&e))?;
        let source = if self.lists(SOURCE) { self.graph(SOURCE)? } else { None };
        let host = self.host()?;
        let certificate = if self.lists(CERTIFICATE) {
            let bytes = self.files.read(CERTIFICATE).map_err(|e| read_error(&e))?;
            let parsed = serde_json::from_slice(&bytes);
            Some(parsed.map_err(|e| Error::input(format!("`{CERTIFICATE}`"), e.to_string(), ""))?)
        } else {
            None
        };
        let manifest = Some(self.manifest);
        Ok(Opened { target, network, memories, manifest, source, host, certificate })
    }
}

/// Whether two networks are the same, names of projections and element types of weights aside.
///
/// # Errors
/// The first difference.
pub fn same_network(a: &Graph, b: &Graph) -> Result<(), String> {
    if a.timing != b.timing {
        return Err(format!("{:?} against {:?}", a.timing, b.timing));
    }
    let (Ok(left), Ok(right)) = (a.order(), b.order()) else { return Err("no order".into()) };
    if left.len() != right.len() {
        return Err(format!("{} nodes against {}", left.len(), right.len()));
    }
    let place = |order: &[snnc_ir::NodeId], id| order.iter().position(|&o| o == id);
    for (&x, &y) in left.iter().zip(&right) {
        let (n, m) = (&a[x], &b[y]);
        if n.op != m.op {
            return Err(format!("`{}`: {:?} against {:?}", n.name, n.op, m.op));
        }
        if n.ty.shape != m.ty.shape {
            return Err(format!("`{}`: {:?} against {:?}", n.name, n.ty.shape, m.ty.shape));
        }
        let data = |node: &snnc_ir::Node| {
            let reals = |d: &snnc_ir::Tensor| d.dtype().is_float().then(|| d.to_f32());
            node.data.as_ref().map(|d| (d.shape().to_vec(), d.to_i64().ok(), reals(d)))
        };
        // Equal bytes need not be turned into numbers.
        if n.data != m.data && data(n) != data(m) {
            return Err(format!("`{}`: other weights", n.name));
        }
        let operands = |g: &Graph, order: &[_], id| {
            g.operands(id).iter().map(|o| (place(order, o.source), o.delay)).collect::<Vec<_>>()
        };
        if operands(a, &left, x) != operands(b, &right, y) {
            return Err(format!("`{}`: other inputs", n.name));
        }
    }
    Ok(())
}
