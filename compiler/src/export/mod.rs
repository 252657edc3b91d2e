//! A quantised network as ONNX: QuantizeLinear and DequantizeLinear around float32 operators
//! (QDQ), so that other programs see what was converted.
//!
//! Codes stand in the file as the tensors of integers that they are, under the names of the network's
//! nodes; an operator on codes reads them through DequantizeLinear. What is an exact integer in the
//! network, a sum of products, is a sum of reals in the file: a program that adds it up in single precision may
//! see another side of a tie, or of a threshold that is nearer than the rounding of that sum.

mod constants;
mod operators;
mod quantisers;
mod window;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use onnx_protobuf::{
    AttributeProto, AttributeType, DataType, Dimension, DimensionValue, GraphProto, Message,
    ModelProto, NodeProto, OperatorSetIdProto, TensorShapeProto, TensorType as OnnxType, TypeProto,
    TypeValue, ValueInfoProto,
};
use snnc_ir::{DType, Graph, NodeId, TensorOp, TensorType};

use crate::{Error, Problem};

/// The operator set of files: the first in which quantisers have 16-bit codes.
const OPSET: i64 = 21;
/// The version of the format that goes with it.
const IR_VERSION: i64 = 10;

/// What the file has for a node's value.
#[derive(Clone, Debug)]
enum Value {
    /// A tensor of codes of that name.
    Codes(String),
    /// A tensor of what the network's value stands for: reals, or numbers that are no codes.
    Plain(String),
}

/// A file that is being written.
struct Writer<'a> {
    graph: &'a Graph,
    file: GraphProto,
    values: BTreeMap<NodeId, Value>,
    /// Names of dequantised codes.
    reals: BTreeMap<NodeId, String>,
    names: BTreeSet<String>,
    problems: Vec<Problem>,
}

/// The ONNX file of a network of the quantised stage, or of tensor operators with quantisers.
///
/// # Errors
/// All operators that have no form in ONNX.
pub fn onnx(graph: &Graph) -> Result<Vec<u8>, Error> {
    let order = graph.order().map_err(|e| Error::internal("network", e))?;
    let mut writer = Writer {
        graph,
        file: GraphProto { name: graph.name.clone(), ..Default::default() },
        values: BTreeMap::new(),
        reals: BTreeMap::new(),
        names: BTreeSet::new(),
        problems: Vec::new(),
    };
    // What stands at the borders has the names of the model.
    for id in graph.inputs().into_iter().chain(graph.outputs()) {
        writer.names.insert(graph[id].name.clone());
    }
    for id in order {
        match writer.node(id) {
            Ok(value) => {
                writer.values.insert(id, value);
            }
            Err(Some(problem)) => writer.problems.push(problem),
            // Behind what has no form.
            Err(None) => {}
        }
    }
    if !writer.problems.is_empty() {
        return Err(Error::Unsupported(writer.problems));
    }
    Ok(model(writer.file).encode_to_vec())
}

fn model(graph: GraphProto) -> ModelProto {
    ModelProto {
        ir_version: IR_VERSION,
        producer_name: "snnc".into(),
        producer_version: env!("CARGO_PKG_VERSION").into(),
        graph: Some(graph),
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: OPSET }],
        ..Default::default()
    }
}

/// Why a node has no form in the file; none where an operand has none.
type Refused = Option<Problem>;

impl Writer<'_> {
    fn refuse<T>(&self, id: NodeId, reason: impl Into<String>) -> Result<T, Refused> {
        let place = format!("{} in ONNX", self.graph[id].describe());
        Err(Some(Problem::new(place, reason, "leave out --emit onnx")))
    }

    /// A name that is not taken yet, like this one.
    fn fresh(&mut self, name: &str) -> String {
        let mut fresh = name.to_owned();
        let mut count = 1;
        while !self.names.insert(fresh.clone()) {
            count += 1;
            fresh = format!("{name}.{count}");
        }
        fresh
    }

    /// Adds an operator; the name of its one output.
    fn add(
        &mut self,
        op: &str,
        inputs: &[&str],
        attributes: Vec<AttributeProto>,
        name: &str,
    ) -> String {
        let output = self.fresh(name);
        self.add_as(op, inputs, attributes, &output);
        output
    }

    /// Adds an operator whose output has just that name.
    fn add_as(&mut self, op: &str, inputs: &[&str], attributes: Vec<AttributeProto>, output: &str) {
        self.file.node.push(NodeProto {
            input: inputs.iter().map(|&i| i.to_owned()).collect(),
            output: vec![output.to_owned()],
            name: output.to_owned(),
            op_type: op.to_owned(),
            attribute: attributes,
            ..Default::default()
        });
    }

    /// The nodes of a node's operands.
    fn sources(&self, id: NodeId) -> Vec<NodeId> {
        self.graph.operands(id).iter().map(|operand| operand.source).collect()
    }

    /// The value of a node that was written.
    fn value(&self, id: NodeId) -> Result<Value, Refused> {
        self.values.get(&id).cloned().ok_or(None)
    }

    /// The name of what a node's value stands for.
    fn real(&mut self, id: NodeId) -> Result<String, Refused> {
        if let Some(known) = self.reals.get(&id) {
            return Ok(known.clone());
        }
        match self.value(id)? {
            Value::Plain(name) => Ok(name),
            Value::Codes(codes) => {
                let real = self.dequantised(id, &codes)?;
                self.reals.insert(id, real.clone());
                Ok(real)
            }
        }
    }

    fn port(&self, id: NodeId) -> ValueInfoProto {
        let node = &self.graph[id];
        let TensorType { dtype, shape, .. } = &node.ty;
        port(&node.name, *dtype, shape)
    }

    /// An input of the file.
    fn input(&mut self, id: NodeId) -> Result<Value, Refused> {
        let (port, name) = (self.port(id), self.graph[id].name.clone());
        self.file.input.push(port);
        match self.graph[id].ty.quantisation {
            Some(_) => Ok(Value::Codes(name)),
            None => Ok(Value::Plain(name)),
        }
    }

    /// An output of the file, which has what the network's value has.
    fn output(&mut self, id: NodeId) -> Result<Value, Refused> {
        let (port, name) = (self.port(id), self.graph[id].name.clone());
        let source = self.sources(id)[0];
        let given = match self.value(source)? {
            Value::Codes(codes) => codes,
            Value::Plain(plain) => plain,
        };
        self.add_as("Identity", &[&given], Vec::new(), &name);
        self.file.output.push(port);
        Ok(Value::Plain(name))
    }

    fn node(&mut self, id: NodeId) -> Result<Value, Refused> {
        let Some(op) = self.graph[id].as_tensor() else {
            return self.refuse(id, "is part of a spiking network");
        };
        match op {
            TensorOp::Input => self.input(id),
            TensorOp::Constant => self.constant(id),
            TensorOp::Output => self.output(id),
            _ => self.operator(id, op),
        }
    }
}

fn port(name: &str, dtype: DType, shape: &[usize]) -> ValueInfoProto {
    let extent = |&d: &usize| Dimension {
        value: Some(DimensionValue::Value(d as i64)),
        ..Default::default()
    };
    let shape = TensorShapeProto { dim: shape.iter().map(extent).collect() };
    let tensor = OnnxType { elem_type: element(dtype) as i32, shape: Some(shape) };
    let ty = TypeProto { value: Some(TypeValue::Tensor(tensor)), ..Default::default() };
    ValueInfoProto { name: name.to_owned(), r#type: Some(ty), ..Default::default() }
}

/// The element type of a tensor in the file; codes narrower than a byte are in bytes.
fn element(dtype: DType) -> DataType {
    match dtype {
        DType::Bool => DataType::Bool,
        DType::U2 | DType::U4 | DType::U8 => DataType::Uint8,
        DType::I2 | DType::I4 | DType::I8 => DataType::Int8,
        DType::U16 => DataType::Uint16,
        DType::I16 => DataType::Int16,
        DType::U32 => DataType::Uint32,
        DType::I32 => DataType::Int32,
        DType::U64 => DataType::Uint64,
        DType::I64 => DataType::Int64,
        DType::F16 => DataType::Float16,
        DType::Bf16 => DataType::Bfloat16,
        DType::F32 => DataType::Float,
        DType::F64 => DataType::Double,
    }
}

fn attribute(name: &str, kind: AttributeType) -> AttributeProto {
    AttributeProto { name: name.to_owned(), r#type: kind as i32, ..Default::default() }
}

fn integer(name: &str, value: i64) -> AttributeProto {
    AttributeProto { i: value, ..attribute(name, AttributeType::Int) }
}

fn float(name: &str, value: f32) -> AttributeProto {
    AttributeProto { f: value, ..attribute(name, AttributeType::Float) }
}

fn text(name: &str, value: &'static str) -> AttributeProto {
    AttributeProto {
        s: Bytes::from_static(value.as_bytes()),
        ..attribute(name, AttributeType::String)
    }
}

fn integers(name: &str, values: impl IntoIterator<Item = i64>) -> AttributeProto {
    AttributeProto { ints: values.into_iter().collect(), ..attribute(name, AttributeType::Ints) }
}
