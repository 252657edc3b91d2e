//! Networks that are opened once and answer many times: what the command line runs for each command, and
//! the bindings keep.

pub mod answers;

use std::path::Path;

use snnc_ir::{Graph, Presentation, SpikingOp};

use crate::Error;
use crate::artefact::Opened;
use crate::driver::AS_TRAINED;
use crate::evaluate::Runner;
use crate::feed::{Feed, Given};
use crate::frontend::{self, Content, Model};
use crate::import::ImportOptions;
use crate::inputs::{self, Port};

pub use answers::Arrays;

/// A network on integers or in tensor operators, which most commands run.
pub enum Loaded {
    /// An artefact.
    Artefact(Box<Opened>),
    /// A model: on integer codes where it could be brought to them.
    Model(Box<Graph>),
}

impl Loaded {
    /// The inputs of the network as data files name them.
    pub fn ports(&self) -> Vec<Port> {
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

    /// What runs the network on an input as it is `given`; with `reference` also the quantised network
    /// beside it, where an artefact holds it.
    ///
    /// # Errors
    /// When it cannot be run.
    pub fn runner(&self, given: Given, reference: bool) -> Result<Runner, Error> {
        match self {
            Loaded::Model(graph) => Runner::tensor(graph, Feed::of_model(graph, given).scaling),
            Loaded::Artefact(opened) => {
                let input = opened.manifest.as_ref().and_then(|m| m.inputs.first());
                let Feed { takes_reals, scaling, .. } = Feed::of_artefact(input, given);
                let source = opened.source.as_ref().filter(|_| reference);
                let runner = Runner::spiking(&opened.network, source, takes_reals, scaling)?;
                let runner = runner.with_ports(self.ports());
                let runner = match &opened.host {
                    Some(host) => runner.with_host(host)?,
                    None => runner,
                };
                Ok(runner.with_memories(opened.memories.clone()))
            }
        }
    }

    /// Opens an artefact's folder, or an ONNX model in tensor operators. `None` for what is run otherwise:
    /// networks that spike in single precision or were trained to spike, networks in continuous time, and
    /// files of a target without manifest, which do not say for how long they run.
    ///
    /// # Errors
    /// When the file cannot be read or imported.
    pub fn open(path: &Path, options: &ImportOptions) -> Result<Option<Loaded>, Error> {
        Ok(match frontend::open(path, options)? {
            Content::Artefact(opened) if takes_samples(&opened) => Some(Loaded::Artefact(opened)),
            Content::Artefact(_) | Content::Real(_) => None,
            Content::Model(model) => match *model {
                Model::Spiking(_) => None,
                Model::Tensor(model) => Some(Loaded::Model(Box::new(model.runnable()))),
            },
        })
    }
}

/// Whether an artefact holds a network that was trained as a spiking one, whose samples have time.
pub fn trained(opened: &Opened) -> bool {
    let coding = opened.manifest.as_ref().and_then(|m| m.options.get("code"));
    coding.is_some_and(|coding| coding == AS_TRAINED)
}

/// Whether an artefact says all that is needed to run samples without time.
fn takes_samples(opened: &Opened) -> bool {
    let network = &opened.network;
    let in_time = network.inputs().iter().any(|&input| {
        let op = network[input].as_spiking();
        matches!(op, Some(SpikingOp::Encoder(e)) if e.presentation == Presentation::InTime)
    });
    opened.manifest.is_some() && !network.is_float() && !trained(opened) && !in_time
}
