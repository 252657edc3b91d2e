//! What commands share: targets by name, networks that are opened, and what runs them.

use std::path::Path;

use snnc_backends::{TARGETS, Target, TargetOption, target};

use super::args::{Common, DataArgs, Format, ImportArgs, TargetsArgs};
use super::config::{given, import_options};
use super::{render, tables};
use crate::artefact;
use crate::data::Scaling;
use crate::evaluate::Runner;
use crate::feed::{Feed, Given};
use crate::inputs::{self, Port};
use crate::pipeline;
use crate::reference::Semantics;
use crate::{Error, Problem, import};

/// Resolves names of targets; all unknown ones at once.
pub(super) fn resolve_targets(names: &[String]) -> Result<Vec<&'static dyn Target>, Error> {
    let known = || TARGETS.iter().map(|t| t.name()).collect::<Vec<_>>().join(", ");
    let (mut found, mut problems) = (Vec::new(), Vec::new());
    if names.iter().any(|name| name == "all") {
        return Ok(TARGETS.to_vec());
    }
    for name in names {
        match target(name) {
            Some(t) if found.iter().any(|f: &&dyn Target| f.name() == t.name()) => {}
            Some(t) => found.push(t),
            None => problems.push(Problem::new(
                "--target",
                format!("there is no target `{name}`"),
                format!("there are {}, and all", known()),
            )),
        }
    }
    if problems.is_empty() { Ok(found) } else { Err(Error::Usage(problems)) }
}

pub(super) fn semantics(name: &str) -> Result<Semantics, Error> {
    Semantics::from_name(name).ok_or_else(|| {
        let reason = format!("there is no reference `{name}`");
        Error::usage("--reference", reason, "there are ort, real, fixed")
    })
}

/// A network that a command runs.
pub(super) enum Loaded {
    /// An artefact.
    Artefact(Box<artefact::Opened>),
    /// A model: its runner, and whether it could be brought to integer codes.
    Model(Box<snnc_ir::Graph>),
}

/// Opens an artefact or a model of integers; the content decides which it is.
pub(super) fn load(path: &Path, import: &ImportArgs) -> Result<Loaded, Error> {
    match load_any(path, import)? {
        Any::Integer(loaded) => Ok(loaded),
        Any::Float(..) => Err(Error::usage(
            format!("`{}`", path.display()),
            "spikes in single precision, which this command does not measure",
            "run it with `snnc run`",
        )),
    }
}

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
}

/// Opens an artefact or a model; the content decides which it is.
pub(super) fn load_any(path: &Path, import: &ImportArgs) -> Result<Any, Error> {
    if !path.exists() {
        return Err(Error::input(
            format!("`{}`", path.display()),
            "does not exist",
            "check the path",
        ));
    }
    if super::reals::open(path)?.is_some() {
        let place = format!("`{}`", path.display());
        let remedy = "`snnc run` runs it, `snnc compile --target nir` writes it anew";
        return Err(Error::usage(place, "is a network on reals", remedy));
    }
    if let Some(opened) = artefact::open(path)? {
        return Ok(match opened.network.is_float() {
            true => {
                let rows = opened.manifest.iter().flat_map(|m| &m.outputs);
                let showing = rows.map(|o| o.showing).collect();
                let input = opened.manifest.as_ref().and_then(|m| m.inputs.first());
                let scaling = Feed::of_artefact(input, Given::default()).scaling;
                Any::Float(Box::new(Floating { graph: opened.network, showing, scaling }))
            }
            false => Any::Integer(Loaded::Artefact(Box::new(opened))),
        });
    }
    let imported = import::load(path, &import_options(import)?)?;
    if import::spiking::seems_spiking(&imported.graph) {
        match import::spiking::recognise(&imported.graph) {
            Ok(found) => {
                for (node, text) in &found.notes {
                    render::note(node, text);
                }
                let (showing, scaling) = (found.showing(), Scaling::AS_IS);
                let graph = found.network;
                return Ok(Any::Float(Box::new(Floating { graph, showing, scaling })));
            }
            Err(error @ Error::Input(_)) => return Err(error),
            // It may compare for other reasons, and runs as ONNX states it.
            Err(error) => {
                for p in error.problems() {
                    let text = format!("is run without spiking neurons: {}", p.reason);
                    render::note(&p.place, &text);
                }
            }
        }
    }
    let graph = pipeline::runnable_of(imported)?;
    Ok(Any::Integer(Loaded::Model(Box::new(graph))))
}

impl Loaded {
    /// The inputs of the network as data files name them.
    pub(super) fn ports(&self) -> Vec<Port> {
        match self {
            Loaded::Model(graph) => inputs::ports(graph),
            Loaded::Artefact(opened) => {
                let rows = opened.manifest.as_ref().map(|m| &m.inputs);
                let mut ports = inputs::ports(&opened.network);
                for port in &mut ports {
                    let row = rows.and_then(|rows| rows.iter().find(|r| r.name == port.name));
                    port.real = row.map(|r| r.dtype.starts_with('f') || r.dtype.starts_with("bf"));
                }
                ports
            }
        }
    }
}

/// What runs a network, as the options of data say.
pub(super) fn runner(loaded: &Loaded, data: &DataArgs, reference: bool) -> Result<Runner, Error> {
    match loaded {
        Loaded::Model(graph) => Runner::tensor(graph, Feed::of_model(graph, given(data)?).scaling),
        Loaded::Artefact(opened) => {
            let input = opened.manifest.as_ref().and_then(|m| m.inputs.first());
            let Feed { takes_reals, scaling, .. } = Feed::of_artefact(input, given(data)?);
            let source = opened.source.as_ref().filter(|_| reference);
            let runner = Runner::spiking(&opened.network, source, takes_reals, scaling)?;
            let runner = runner.with_ports(loaded.ports());
            let runner = match &opened.host {
                Some(host) => runner.with_host(host)?,
                None => runner,
            };
            Ok(runner.with_memories(opened.memories.clone()))
        }
    }
}

/// `targets`
pub(super) fn targets(args: &TargetsArgs, common: &Common) -> Result<(), Error> {
    let chosen = match &args.name {
        Some(name) => resolve_targets(std::slice::from_ref(name))?,
        None => TARGETS.to_vec(),
    };
    let codings = |t: &dyn Target| t.codings().iter().map(|c| c.name()).collect::<Vec<_>>();
    let options = |t: &dyn Target| {
        let row = |o: &TargetOption| serde_json::json!({ "key": o.shown(), "values": o.values.to_string(), "summary": o.summary });
        t.options().iter().map(row).collect::<Vec<_>>()
    };
    if common.format == Format::Json {
        let row = |t: &&dyn Target| serde_json::json!({ "name": t.name(), "summary": t.summary(), "codings": codings(*t), "devices": t.devices(), "options": options(*t), "description": t.description() });
        return render::json(&chosen.iter().map(row).collect::<Vec<_>>());
    }
    if args.name.is_some() {
        for t in chosen {
            render::line(format_args!("{}: {}\n\n{}", t.name(), t.summary(), t.description()));
            render::line(format_args!("\ncodings: {}", codings(t).join(", ")));
            if !t.devices().is_empty() {
                render::line(format_args!("devices: {}", t.devices().join(", ")));
            }
            for option in t.options() {
                let (key, values) = (option.shown(), option.values);
                render::line(format_args!("--set {key}=..: {}; {values}", option.summary));
            }
        }
        return Ok(());
    }
    let rows: Vec<Vec<String>> = chosen
        .iter()
        .map(|t| vec![t.name().to_owned(), t.summary().to_owned(), codings(*t).join(", ")])
        .collect();
    render::line(tables::table(&["target", "what it is", "codings, the default first"], &rows, 3));
    Ok(())
}
