//! Models whose spiking neurons are written out.

use snnc_backends::Note;
use snnc_ir::{Graph, Verified};

use crate::artefact::{Showing, Source};
use crate::import::spiking::Recognised;

/// A spiking network in single precision and the file it came from.
pub struct SpikingModel {
    /// The file.
    pub source: Source,
    /// Name and version of the tool that wrote the file; may be empty.
    pub producer: String,
    /// Operator sets that the file imports: domain and version.
    pub opsets: Vec<(String, i64)>,
    /// The network, verified.
    pub network: Verified,
    /// Notes of import.
    pub notes: Vec<Note>,
    /// The tensor graph and what was read out of it, where there is one.
    pub model: Option<(Graph, Recognised)>,
}

impl SpikingModel {
    /// A network that is from no file.
    pub fn alone(network: Verified) -> Self {
        let source = Source { file: String::new(), sha256: String::new() };
        let (producer, opsets, notes) = (String::new(), Vec::new(), Vec::new());
        SpikingModel { source, producer, opsets, network, notes, model: None }
    }

    /// When the model shows each output.
    pub fn showing(&self) -> Vec<Showing> {
        self.model.as_ref().map(|(_, recognised)| recognised.showing()).unwrap_or_default()
    }
}
