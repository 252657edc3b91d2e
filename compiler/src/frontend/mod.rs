//! The front door: what a file that a user names is, decided once and for every command.
//!
//! A folder is an artefact. A file is what its content says: neurons in continuous time (NIR that others
//! wrote), the format of a target, or else an ONNX model, which is imported once and is then either a
//! spiking network whose neurons are written out, or a network in tensor operators.

mod model;
mod real;
mod spiking;

use std::path::Path;

use crate::Error;
use snnc_backends::{TARGETS, Target};

use crate::artefact::{self, Folder};
use crate::import::{self, ImportOptions};
use crate::passes::Context;

pub use model::{Kind, Model, TensorModel};
pub use real::RealFile;
pub use spiking::SpikingModel;

/// What a file holds.
pub enum Content {
    /// A folder that `compile` wrote, or a file of a target's format that stands alone.
    Artefact(Box<artefact::Opened>),
    /// A network of neurons in continuous time, alone or in an artefact's folder.
    Real(Box<RealFile>),
    /// An ONNX model.
    Model(Box<Model>),
}

/// Opens a file of any kind.
///
/// # Errors
/// When there is no such file, it is damaged, or is a model that cannot be imported.
pub fn open(path: &Path, options: &ImportOptions) -> Result<Content, Error> {
    open_with(path, options, &mut Context::default())
}

/// As [`open`]; passes that bring a model to its canonical form report to `context`.
///
/// # Errors
/// As [`open`].
pub fn open_with(
    path: &Path,
    options: &ImportOptions,
    context: &mut Context,
) -> Result<Content, Error> {
    match read(path, options.mmap)? {
        Ok(content) => Ok(content),
        Err(bytes) => {
            let imported = import::load_read(bytes, path, options)?;
            let model = Model::of(imported, path, context)?;
            Ok(Content::Model(Box::new(model)))
        }
    }
}

/// Opens a file unless it is a model: that is not imported, and none.
///
/// # Errors
/// When there is no such file, or it is damaged.
pub fn open_compiled(path: &Path) -> Result<Option<Content>, Error> {
    // Mapped: of a large model only the beginning is looked at.
    Ok(read(path, true)?.ok())
}

/// Opens an ONNX model.
///
/// # Errors
/// When the file cannot be read or imported.
pub fn model(path: &Path, options: &ImportOptions) -> Result<Model, Error> {
    model_with(path, options, &mut Context::default())
}

/// As [`fn@model`]; passes that bring it to its canonical form report to `context`.
///
/// # Errors
/// As [`fn@model`].
pub fn model_with(
    path: &Path,
    options: &ImportOptions,
    context: &mut Context,
) -> Result<Model, Error> {
    Model::of(import::load(path, options)?, path, context)
}

/// What a file holds that is no model, or the bytes of one that can only be a model.
fn read(path: &Path, mapped: bool) -> Result<Result<Content, bytes::Bytes>, Error> {
    if !path.exists() {
        let place = format!("`{}`", path.display());
        return Err(Error::input(place, "does not exist", "check the path"));
    }
    let folder = if path.is_dir() { Some(path) } else { artefact::folder_of_manifest(path) };
    if let Some(folder) = folder {
        let folder = Folder::open(folder)?;
        let (target, name, content) = folder.entry();
        let targets: Vec<&dyn Target> = target.into_iter().collect();
        if let Some(real) = RealFile::of(path, (name, &content), &targets)? {
            return Ok(Ok(Content::Real(Box::new(real))));
        }
        return Ok(Ok(Content::Artefact(Box::new(folder.opened()?))));
    }
    let content = artefact::content(path, mapped)?;
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    if let Some(real) = RealFile::of(path, (&name, &content), TARGETS)? {
        return Ok(Ok(Content::Real(Box::new(real))));
    }
    match artefact::bare(path, &content)? {
        Some(opened) => Ok(Ok(Content::Artefact(Box::new(opened)))),
        None => Ok(Err(content)),
    }
}
