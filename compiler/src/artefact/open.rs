//! Opening what a user names: an artefact's folder, or a bare file of a target's format.

use std::path::Path;

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
    let shown = path.display();
    if path.is_dir() {
        return open_directory(path).map(Some);
    }
    if !path.is_file() {
        let help = "name a file or an artefact's folder";
        return Err(Error::input(format!("`{shown}`"), "is a device or a pipe", help));
    }
    // Mapped: of a large model of another kind only the beginning is looked at.
    let content = mmap::read(path, true).map_err(|e| {
        Error::input(format!("`{shown}`"), format!("cannot be read: {e}"), "check the path")
    })?;
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    if name == MANIFEST {
        let parent = path.parent().unwrap_or(Path::new("."));
        return open_directory(if parent.as_os_str().is_empty() { Path::new(".") } else { parent })
            .map(Some);
    }
    let Some(target) = TARGETS.iter().copied().find(|t| t.recognises(&name, &content)) else {
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

/// Name and content of the entry file in an artefact's folder, if it is one of that target; all of its
/// files are checked.
///
/// # Errors
/// When it is an artefact that is damaged.
pub fn entry_of(folder: &Path, target: &str) -> Result<Option<(String, Bytes)>, Error> {
    // Of artefacts of other targets only the manifest is read; what is wrong with it is said when they are
    // opened.
    let Ok(text) = DirectoryFiles::new(folder).read(MANIFEST) else { return Ok(None) };
    let manifest = Manifest::parse(&String::from_utf8_lossy(&text), MANIFEST);
    if manifest.is_ok_and(|m| m.target != target) {
        return Ok(None);
    }
    let (manifest, files) = open_folder(folder)?;
    Ok(files.0.get(&manifest.entry).map(|content| (manifest.entry.clone(), content.clone())))
}

/// The manifest in a folder, and all files that it lists, checked.
fn open_folder(path: &Path) -> Result<(Manifest, MemoryFiles), Error> {
    let files = DirectoryFiles::new(path);
    let place = format!("`{}`", path.join(MANIFEST).display());
    let text = files.read(MANIFEST).map_err(|e| {
        Error::input(
            format!("`{}`", path.display()),
            e.to_string(),
            "name a folder that `snnc compile` wrote",
        )
    })?;
    let text = String::from_utf8_lossy(&text).into_owned();
    let manifest = Manifest::parse(&text, MANIFEST)?;
    // What is not listed has no sum, and is not read.
    let files = listed(path, &manifest.files).map_err(Error::Input)?;
    if !files.0.contains_key(&manifest.entry) {
        let reason = format!("does not list its entry file `{}`", manifest.entry);
        return Err(Error::input(place, reason, "compile the model again"));
    }
    Ok((manifest, files))
}

fn open_directory(path: &Path) -> Result<Opened, Error> {
    let (manifest, files) = open_folder(path)?;
    let place = format!("`{}`", path.join(MANIFEST).display());
    let Some(target) = target(&manifest.target) else {
        let reason = format!("names the unknown target `{}`", manifest.target);
        return Err(Error::input(place, reason, "compile the model with this version of snnc"));
    };
    let mut network = target.read(&files, &manifest.entry).map_err(|e| read_error(&e))?;
    manifest.apply(&mut network, MANIFEST)?;
    let network = verified(network, &manifest.entry)?;
    let memories = target.memories(&files, &manifest.entry).map_err(|e| read_error(&e))?;
    let listed = |name: &str| manifest.files.iter().any(|f| f.path == name);
    let graph = |name: &str| -> Result<Option<Graph>, Error> {
        let bytes = files.read(name).map_err(|e| read_error(&e))?;
        let graph = Graph::from_wire(bytes)
            .map_err(|e| Error::input(format!("`{name}`"), e.to_string(), ""))?;
        let graph = verified(graph, name)?;
        Ok((graph.stage == Stage::Quantised).then_some(graph))
    };
    let source = if listed(SOURCE) { graph(SOURCE)? } else { None };
    let host = match &manifest.host {
        None => None,
        Some(row) if listed(&row.file) => match graph(&row.file)? {
            Some(host) => Some(host),
            None => {
                let reason = "is no graph in tensor operators";
                let file = format!("`{}`", path.join(&row.file).display());
                return Err(Error::input(file, reason, "compile the model again"));
            }
        },
        Some(row) => {
            let reason = format!("names `{}`, which is not among its files", row.file);
            return Err(Error::input(place, reason, "compile the model again"));
        }
    };
    let certificate = if listed(CERTIFICATE) {
        let bytes = files.read(CERTIFICATE).map_err(|e| read_error(&e))?;
        let parsed = serde_json::from_slice(&bytes);
        Some(parsed.map_err(|e| Error::input(format!("`{CERTIFICATE}`"), e.to_string(), ""))?)
    } else {
        None
    };
    Ok(Opened { target, network, memories, manifest: Some(manifest), source, host, certificate })
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
