//! From what the decoders of a network show to the outputs of its model.

use snnc_ir::{Graph, NodeId, Op, SpikingOp, TensorOp, TensorType};
use snnc_runtime::spiking::Output;
use snnc_runtime::tensor::{Program, Value};

use crate::Error;
use crate::passes::graded::DECODER;

/// One output of a model: its ONNX name, and its type with the batch of one sample.
#[derive(Clone, Debug, PartialEq)]
pub struct OutputPort {
    /// Name.
    pub name: String,
    /// Element type and shape.
    pub ty: TensorType,
}

impl OutputPort {
    /// The outputs of a graph of a tensor stage.
    pub(super) fn all(graph: &Graph) -> Vec<OutputPort> {
        let port = |id: NodeId| OutputPort {
            name: graph[id].name.clone(),
            ty: TensorType { quantisation: None, ..graph[id].ty.clone() },
        };
        graph.outputs().into_iter().map(port).collect()
    }
}

/// The values of all outputs for one sample, and the scores by which its class is told.
pub(super) struct Values {
    pub outputs: Vec<Value>,
    pub scores: Vec<f32>,
}

/// The operators behind the decoders of a network, made ready to run.
pub(super) struct Host {
    shown: Vec<Shown>,
    body: Body,
    pub outputs: Vec<OutputPort>,
}

enum Body {
    /// Each output is what one decoder shows.
    Plain(Vec<usize>),
    /// Operators, and the node whose values are the scores where the first output is none.
    Program(Box<Program>, Option<NodeId>),
}

/// One input of the host's graph.
struct Shown {
    /// The decoder's place among the outputs of the network.
    decoder: usize,
    ty: TensorType,
    scale: Vec<f32>,
    zero: Vec<i64>,
}

impl Host {
    /// Outputs that are the decoders' scores, under their names.
    pub fn none(network: &Graph) -> Host {
        let mut outputs = Vec::new();
        let mut shown = Vec::new();
        for (decoder, id) in network.outputs().into_iter().enumerate() {
            let shape = [&[1], network[id].ty.shape.as_slice()].concat();
            let ty = TensorType::new(snnc_ir::DType::F32, shape);
            outputs.push(OutputPort { name: network[id].name.clone(), ty: ty.clone() });
            shown.push(Shown { decoder, ty, scale: Vec::new(), zero: Vec::new() });
        }
        Host { body: Body::Plain((0..outputs.len()).collect()), shown, outputs }
    }

    /// The graph `host` behind the decoders of `network`.
    ///
    /// # Errors
    /// When it names a decoder that is not there, or cannot be run.
    pub fn new(network: &Graph, host: &Graph) -> Result<Host, Error> {
        let decoders = network.outputs();
        let mut shown = Vec::new();
        for id in host.inputs() {
            let node = &host[id];
            let name = node.origins.iter().find(|o| o.op == DECODER).map(|o| o.node.as_str());
            let found = decoders.iter().position(|&d| Some(network[d].name.as_str()) == name);
            let Some(decoder) = found.filter(|&d| network[decoders[d]].ty.len() == node.ty.len())
            else {
                let reason = format!("the host takes `{}`, which nothing shows", node.name);
                return Err(Error::network(reason));
            };
            let (scale, zero) = match &network[decoders[decoder]].op {
                Op::Spiking(SpikingOp::Decoder(d)) => (d.scale.clone(), d.zero.clone()),
                _ => Default::default(),
            };
            shown.push(Shown { decoder, ty: node.ty.clone(), scale, zero });
        }
        let inputs = host.inputs();
        let sources = host.outputs().into_iter().map(|id| host.source(id, 0));
        let plain = sources.map(|source| inputs.iter().position(|&input| Some(input) == source));
        let body = match plain.collect::<Option<Vec<usize>>>() {
            Some(plain) => Body::Plain(plain),
            None => {
                let program = Program::new(host).map_err(Error::network)?;
                Body::Program(Box::new(program), choice(host))
            }
        };
        Ok(Host { shown, body, outputs: OutputPort::all(host) })
    }

    /// The outputs for what the decoders have shown.
    ///
    /// # Errors
    /// When an operator has no result.
    pub fn values(&self, shown: &[Output]) -> Result<Values, Error> {
        let value = |s: &Shown| {
            let output =
                shown.get(s.decoder).ok_or_else(|| Error::network("there is no output"))?;
            s.value(output).map_err(Error::network)
        };
        match &self.body {
            Body::Plain(places) => {
                let outputs: Result<Vec<Value>, Error> =
                    places.iter().map(|&i| value(&self.shown[i])).collect();
                let outputs = outputs?;
                let scores = outputs.first().map(Value::to_f32).unwrap_or_default();
                Ok(Values { outputs, scores })
            }
            Body::Program(program, choice) => {
                let inputs: Result<Vec<Value>, Error> = self.shown.iter().map(value).collect();
                run(program, &inputs?, *choice)
            }
        }
    }
}

impl Shown {
    fn value(&self, output: &Output) -> Result<Value, snnc_runtime::tensor::RunError> {
        if self.ty.dtype.is_float() {
            return Value::from_f32(&self.ty.shape, output.scores.clone());
        }
        let n = output.raw.len();
        let at = |len: usize, i: usize| if len == 1 { 0 } else { i * len / n.max(1) };
        let range = self.ty.quantisation.as_ref().map_or((i64::MIN, i64::MAX), |q| {
            let (low, high) = self.ty.dtype.integer_range().unwrap_or((q.minimum, q.maximum));
            (q.minimum.max(low), q.maximum.min(high))
        });
        let integer = |(i, &raw): (usize, &i64)| {
            let zero = if self.zero.is_empty() { 0 } else { self.zero[at(self.zero.len(), i)] };
            let scale =
                if self.scale.is_empty() { 1.0 } else { self.scale[at(self.scale.len(), i)] };
            scaled(raw.saturating_sub(zero), scale).clamp(range.0, range.1)
        };
        Value::from_i64(&self.ty.shape, output.raw.iter().enumerate().map(integer).collect())
    }
}

/// `raw * scale` as a whole number. Codings that count in parts of a unit have the scale 1/n in single
/// precision, which does not say large products to the unit.
fn scaled(raw: i64, scale: f32) -> i64 {
    if scale == 1.0 {
        return raw;
    }
    let parts = (1.0 / f64::from(scale)).round();
    if parts >= 1.0 && (1.0 / parts) as f32 == scale {
        return (raw as f64 / parts).round_ties_even() as i64;
    }
    (raw as f64 * f64::from(scale)).round_ties_even() as i64
}

/// Runs a program whose first output are scores, or the class that node `choice` has the scores of.
pub(super) fn run(
    program: &Program,
    inputs: &[Value],
    choice: Option<NodeId>,
) -> Result<Values, Error> {
    let mut scores = None;
    let outcome = program.run_with(inputs, &mut |id, value| {
        if Some(id) == choice {
            scores = Some(value.to_f32());
        }
    });
    let outputs: Vec<Value> =
        outcome.map_err(Error::network)?.outputs.into_iter().map(|(_, value)| value).collect();
    let Some(first) = outputs.first() else { return Err(Error::network("there is no output")) };
    let scores = scores.unwrap_or_else(|| first.to_f32());
    Ok(Values { outputs, scores })
}

/// Where the first output is the class of one sample, the node whose largest value chooses it.
pub(super) fn choice(graph: &Graph) -> Option<NodeId> {
    let mut next = graph.source(*graph.outputs().first()?, 0)?;
    loop {
        match graph[next].as_tensor()? {
            TensorOp::ArgMax { axis } => {
                let scores = graph.source(next, 0)?;
                let shape = &graph[scores].ty.shape;
                let single = shape.iter().enumerate().all(|(i, &d)| i == *axis || d == 1);
                return (*axis > 0 && single).then_some(scores);
            }
            TensorOp::Cast | TensorOp::Reshape => next = graph.source(next, 0)?,
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use snnc_ir::{Graph, verify};
    use snnc_runtime::spiking::{Network, Sample};

    use super::*;

    const NETWORK: &str = r#"snnir 1 spiking "two" {"timesteps":1,"schedule":"streaming"}
%x = encoder {"scale":0.5,"zero_point":0,"minimum":-9,"maximum":9,"presentation":"once"} () : i64[2]
%codes = decoder {"readout":"last","scale":[1.0],"zero":[-3]} (%x) : f32[2]
%reals = decoder {"readout":"last","scale":[0.5]} (%x) : f32[2]
"#;
    const HOST: &str = r#"snnir 1 quantised "two" {"timesteps":1,"schedule":"streaming"}
%r = input () : f32[1,2] from [{"node":"reals","op":"decoder"}]
%c = input () : u8[1,2] quantised {"scale":[0.5],"zero_point":[3],"minimum":0,"maximum":8} from [{"node":"codes","op":"decoder"}]
%class = arg-max {"axis":1} (%r) : i64[1]
%label = output (%class) : i64[1]
%y = output (%c) : u8[1,2] quantised {"scale":[0.5],"zero_point":[3],"minimum":0,"maximum":8}
"#;

    fn graph(text: &str) -> Graph {
        verify(Graph::from_text(text).unwrap()).unwrap().into_inner()
    }

    #[test]
    fn decoders_are_found_by_name_and_integers_get_their_zero_back() {
        let (network, graph) = (graph(NETWORK), graph(HOST));
        let host = Host::new(&network, &graph).unwrap();
        let names: Vec<&str> = host.outputs.iter().map(|port| port.name.as_str()).collect();
        assert_eq!(names, ["label", "y"]);
        let shown = |x: [f32; 2]| {
            let network = Network::new(&network).unwrap();
            let outcome = network.run(&[Sample::Real(x.to_vec())]).unwrap();
            host.values(&outcome.outputs).unwrap()
        };
        let values = shown([-1.0, 1.5]);
        assert_eq!(values.outputs[0].as_i64().unwrap(), [1]);
        // -2 and 3 units and the zero point 3; what a type cannot hold is clipped.
        assert_eq!(values.outputs[1].as_i64().unwrap(), [1, 6]);
        assert_eq!(shown([-4.0, 4.0]).outputs[1].as_i64().unwrap(), [0, 8]);
        // A class is told by the scores that it is the largest of.
        assert_eq!(values.scores, [-1.0, 1.5]);
    }

    #[test]
    fn a_host_that_takes_what_nothing_shows_is_refused() {
        let network = graph(NETWORK);
        for (old, new) in [(r#""reals""#, r#""nothing""#), ("f32[1,2]", "f32[1,3]")] {
            let host = graph(&HOST.replace(old, new));
            assert!(Host::new(&network, &host).is_err(), "{new}");
        }
    }

    #[test]
    fn whole_numbers_come_back_from_parts_of_a_unit() {
        for parts in [1i64, 3, 7, 15, 255, 4096] {
            let scale = (1.0 / parts as f64) as f32;
            for unit in [0i64, 1, -5, 70_000, -16_777_217, 2_000_000_011] {
                assert_eq!(scaled(unit * parts, scale), unit, "{unit} in parts of 1/{parts}");
            }
        }
        assert_eq!(scaled(3, 2.5), 8);
    }
}
