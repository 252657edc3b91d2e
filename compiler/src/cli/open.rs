//! What users name, opened once: each command takes of what the front door found what it can work on, and
//! one wording refuses the rest.

use std::path::Path;

use super::args::{DataArgs, ImportArgs};
use super::config::{given, import_options};
use super::render;
pub(super) use crate::artefact::artefacts_in;
use crate::data::Scaling;
use crate::evaluate::Runner;
use crate::feed::{Feed, Given};
use crate::frontend::{self, Content, Kind, Model, RealFile, SpikingModel, TensorModel};
use crate::passes::Context;

pub(super) use crate::loaded::Loaded;
use crate::{Error, artefact};

/// A network that spikes in single precision.
pub(super) struct Floating {
    /// The network.
    pub(super) graph: snnc_ir::Graph,
    /// When the model shows its outputs.
    pub(super) showing: Vec<artefact::Showing>,
    /// How integer data becomes its input, where the command line does not say.
    pub(super) scaling: Scaling,
}

/// A network that `run` runs.
pub(super) enum Any {
    /// An artefact, or a model.
    Integer(Loaded),
    /// Either of them that spikes in single precision.
    Float(Box<Floating>),
    /// Neurons in continuous time.
    Real(Box<RealFile>),
}

/// Opens a network of any kind.
pub(super) fn load_any(path: &Path, import: &ImportArgs) -> Result<Any, Error> {
    load_as(path, import, |model| Ok(as_it_stands(model)))
}

/// Opens a network of any kind; `run` gives what is run of a model in tensor operators.
fn load_as(
    path: &Path,
    import: &ImportArgs,
    run: impl FnOnce(TensorModel) -> Result<snnc_ir::Graph, Error>,
) -> Result<Any, Error> {
    let found = frontend::open(path, &import_options(import)?)?;
    Ok(match found {
        Content::Real(file) => Any::Real(file),
        Content::Artefact(opened) if opened.network.is_float() => {
            Any::Float(Box::new(of_artefact(*opened)))
        }
        Content::Artefact(opened) => Any::Integer(Loaded::Artefact(opened)),
        Content::Model(model) => match *model {
            Model::Spiking(model) => Any::Float(Box::new(of_model(*model))),
            Model::Tensor(model) => Any::Integer(Loaded::Model(Box::new(run(*model)?))),
        },
    })
}

fn of_artefact(opened: artefact::Opened) -> Floating {
    let rows = opened.manifest.iter().flat_map(|m| &m.outputs);
    let showing = rows.map(|o| o.showing).collect();
    let input = opened.manifest.as_ref().and_then(|m| m.inputs.first());
    let scaling = Feed::of_artefact(input, Given::default()).scaling;
    Floating { graph: opened.network, showing, scaling }
}

fn of_model(model: SpikingModel) -> Floating {
    for (node, text) in model.model.iter().flat_map(|(_, found)| &found.notes) {
        render::note(node, text);
    }
    let showing = model.showing();
    Floating { graph: model.network.into_inner(), showing, scaling: Scaling::AS_IS }
}

/// The network of a model as ONNX states it, with a word where it looks as if it spiked.
fn as_it_stands(model: TensorModel) -> snnc_ir::Graph {
    if let Kind::Comparing(problems) = &model.kind {
        for p in problems {
            let text = format!("is run without spiking neurons: {}", p.reason);
            render::note(&p.place, &text);
        }
    }
    model.runnable()
}

fn usage(path: &Path, reason: &str, remedy: &str) -> Error {
    Error::usage(format!("`{}`", path.display()), reason, remedy)
}

/// What commands say that have no use for neurons in continuous time.
fn is_real(path: &Path) -> Error {
    let remedy = "`snnc run` runs it, `snnc compile --target nir` rewrites it";
    usage(path, "is a continuous-time network", remedy)
}

/// Opens an artefact or a model that is measured: on integers or in tensor operators.
pub(super) fn load(path: &Path, import: &ImportArgs) -> Result<Loaded, Error> {
    on_integers(path, load_any(path, import)?)
}

/// Opens an artefact or a model that is to become spikes.
pub(super) fn load_convertible(path: &Path, import: &ImportArgs) -> Result<Loaded, Error> {
    let run = |model: TensorModel| model.convertible().map(|()| model.runnable());
    on_integers(path, load_as(path, import, run)?)
}

fn on_integers(path: &Path, found: Any) -> Result<Loaded, Error> {
    match found {
        Any::Integer(loaded) => Ok(loaded),
        Any::Real(_) => Err(is_real(path)),
        Any::Float(_) => Err(in_single_precision(path)),
    }
}

fn in_single_precision(path: &Path) -> Error {
    let reason = "spikes in float32, which this command does not measure";
    usage(path, reason, "run it with `snnc run`")
}

/// Opens an artefact on integers; models are not imported.
pub(super) fn artefact(path: &Path) -> Result<artefact::Opened, Error> {
    match frontend::open_compiled(path)? {
        Some(Content::Artefact(opened)) if opened.network.is_float() => {
            Err(in_single_precision(path))
        }
        Some(Content::Artefact(opened)) => Ok(*opened),
        Some(Content::Real(_)) => Err(is_real(path)),
        Some(Content::Model(_)) | None => {
            let help = "name a folder that `snnc compile` wrote";
            Err(usage(path, "is no artefact", help))
        }
    }
}

/// What `compile` can work on.
pub(super) enum Compilable {
    Real(Box<RealFile>),
    Spiking(Box<SpikingModel>),
    Tensor(Box<TensorModel>),
}

/// Opens a model of any kind that `compile` takes; passes report to `context`.
pub(super) fn compilable(
    path: &Path,
    import: &ImportArgs,
    context: &mut Context,
) -> Result<Compilable, Error> {
    match frontend::open_with(path, &import_options(import)?, context)? {
        Content::Real(file) => Ok(Compilable::Real(file)),
        Content::Artefact(_) => {
            let help = "name the model that it was compiled from";
            Err(usage(path, "is compiled already", help))
        }
        Content::Model(model) => match *model {
            Model::Spiking(model) => Ok(Compilable::Spiking(model)),
            Model::Tensor(model) => {
                model.convertible()?;
                Ok(Compilable::Tensor(model))
            }
        },
    }
}

/// Opens a model in tensor operators that can become spikes.
pub(super) fn tensor(path: &Path, import: &ImportArgs) -> Result<TensorModel, Error> {
    match compilable(path, import, &mut Context::default())? {
        Compilable::Real(_) => Err(is_real(path)),
        Compilable::Tensor(model) => Ok(*model),
        Compilable::Spiking(_) => {
            let remedy = "`snnc compile` takes it as it was trained";
            Err(usage(path, "spikes already, in float32", remedy))
        }
    }
}

/// What runs a network, as the options of data say.
pub(super) fn runner(loaded: &Loaded, data: &DataArgs, reference: bool) -> Result<Runner, Error> {
    loaded.runner(given(data)?, reference)
}
