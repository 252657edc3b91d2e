//! The reference target: the spiking network itself, in the project's own wire form.

use snnc_ir::{Coding, Graph, Verified};

use crate::{
    Artefact, EmitError, File, FileSource, FitRow, Legalised, ReadError, Target, TargetOptions,
    Violation,
};

/// Writes `network.snn`.
pub struct Reference;

const ENTRY: &str = "network.snn";

impl Target for Reference {
    fn name(&self) -> &'static str {
        "reference"
    }

    fn summary(&self) -> &'static str {
        "the spiking network in snnc's own form, without limits"
    }

    fn codings(&self) -> &'static [Coding] {
        &Coding::ALL
    }

    fn description(&self) -> String {
        "Writes network.snn, the spiking IR as protobuf. It has no limits and every coding; the other\n\
         targets are held against it."
            .into()
    }

    fn legalise(&self, network: &Verified, _: &TargetOptions) -> Result<Legalised, Vec<Violation>> {
        let neurons =
            network.ids().filter(|&id| !network.sources(id).is_empty()).map(|id| &network[id]);
        let weights = neurons.filter_map(|n| n.data.as_ref()).map(|w| w.bytes().len() as u64).sum();
        let fit =
            vec![FitRow { resource: "weights (bytes)".into(), used: weights, available: None }];
        Ok(Legalised { network: network.clone(), notes: Vec::new(), fit })
    }

    fn emit(&self, network: &Legalised, _: &TargetOptions) -> Result<Artefact, EmitError> {
        Ok(Artefact { files: vec![File::new(ENTRY, network.network.to_wire())] })
    }

    fn recognises(&self, _: &str, content: &[u8]) -> bool {
        Graph::is_wire(content)
    }

    fn read(&self, files: &dyn FileSource, entry: &str) -> Result<Graph, ReadError> {
        Graph::from_wire(files.read(entry)?).map_err(|e| ReadError::Malformed {
            file: entry.to_owned(),
            place: "graph".into(),
            reason: e.to_string(),
        })
    }
}
