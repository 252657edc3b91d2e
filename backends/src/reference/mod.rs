//! The reference target: the spiking network itself, in the project's own wire form.

use snnc_ir::{Coding, Graph, Verified};

use crate::{
    Artefact, Capabilities, EmitError, File, FileSource, FitRow, Legalised, ReadError, Target,
    TargetOptions, Trained, Violation,
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

    fn capabilities(&self) -> Capabilities {
        Capabilities { trained: Trained::InSinglePrecision, ..Capabilities::BYTES }
    }

    fn description(&self) -> String {
        "Writes network.snn, the spiking IR as protobuf. It has no limits and every coding; the other\n\
         targets are compared with it."
            .into()
    }

    fn legalise(
        &self,
        network: &Verified,
        options: &TargetOptions,
    ) -> Result<Legalised, Vec<Violation>> {
        options.check(self.name(), self.options())?;
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

#[cfg(test)]
mod tests {
    use snnc_ir::{PrintOptions, verify};

    use super::*;
    use crate::MemoryFiles;

    const NETWORK: &str = r#"snnir 1 spiking "tiny" {"timesteps":1,"schedule":"streaming"}
%image = encoder {"scale":0.5,"zero_point":0,"minimum":0,"maximum":15,"presentation":"once"} () : i64[2] from [{"node":"q","op":"QuantizeLinear"}]
%fc.synapses = projection {"connectivity":"dense","accumulator":{"bits":64,"overflow":"error"}} (%image) : i64[2]
  data i8[2,2] 3 -4 0 7
%fc = population {"coding":"graded","bias":[1,-2],"neuron":{"graded":{"multiplier":[5,3],"offset":[8,8],"divisor":[16,16],"minimum":0,"maximum":15}},"minimum":0,"maximum":15,"scale":[0.25]} (%fc.synapses) : i64[2]
%scores = decoder {"readout":"last","scale":[0.25]} (%fc) : f32[2]
"#;

    fn emitted() -> Artefact {
        let network = verify(Graph::from_text(NETWORK).unwrap()).unwrap();
        let options = TargetOptions::default();
        Reference.emit(&Reference.legalise(&network, &options).unwrap(), &options).unwrap()
    }

    #[test]
    fn what_is_emitted_reads_back_as_printed() {
        let artefact = emitted();
        assert_eq!(artefact.files, emitted().files, "emitted twice, the same bytes");
        let read = Reference.read(&MemoryFiles::from(&artefact), ENTRY).unwrap();
        insta::assert_snapshot!(read.to_text(PrintOptions::default()));
    }

    #[test]
    fn a_damaged_file_is_refused() {
        let mut artefact = emitted();
        artefact.files[0].content.truncate(40);
        assert!(Reference.read(&MemoryFiles::from(&artefact), ENTRY).is_err());
        assert!(!Reference.recognises(ENTRY, b"other"));
    }
}
