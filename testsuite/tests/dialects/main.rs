//! Models in the dialects of quantisation, imported and run, against what the dialects define.

mod biases;
mod finite;
mod inputs;
mod outputs;
mod qonnx;

use onnx_protobuf::Bytes;
use snnc::import::from_bytes;
use snnc::passes::graded::{self, Conversion};
use snnc::passes::{self, Context, Means};
use snnc_ir::Graph;
use snnc_runtime::spiking::{Network, Sample};
use snnc_runtime::tensor::{Program, Value};

/// The model as ONNX states it, in canonical form.
pub(crate) fn canonical(bytes: Bytes) -> Graph {
    let imported = from_bytes(bytes, "case", None, &Default::default()).unwrap();
    passes::canonicalise(imported.graph, &mut Context::default()).unwrap()
}

/// The model on integer codes.
pub(crate) fn quantised(bytes: Bytes) -> Graph {
    let mut context = Context { means: Means::Single, ..Context::default() };
    passes::quantised(canonical(bytes), &mut context).unwrap()
}

/// The canonical spiking network.
pub(crate) fn converted(bytes: Bytes) -> (Graph, Conversion) {
    let graph = quantised(bytes);
    let conversion = graded::convert(&graph).unwrap();
    (graph, conversion)
}

/// Every output of a tensor graph.
pub(crate) fn run(graph: &Graph, inputs: &[Value]) -> Vec<Vec<f32>> {
    let outputs = Program::new(graph).unwrap().run(inputs).unwrap();
    outputs.outputs.iter().map(|(_, value)| value.to_f32()).collect()
}

/// Every output of a spiking network.
pub(crate) fn spike(network: &Graph, samples: &[Sample]) -> Vec<Vec<f32>> {
    let network = Network::new(network).unwrap();
    network.run(samples).unwrap().outputs.into_iter().map(|o| o.scores).collect()
}
