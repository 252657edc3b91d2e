//! Small ONNX models, written out node by node.

use onnx_protobuf::{
    AttributeProto, AttributeType, Bytes, DataType, Dimension, DimensionValue, GraphProto, Message,
    ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto, TensorType,
    TypeProto, TypeValue, ValueInfoProto,
};

/// The domain of QONNX's operators.
pub const QONNX: &str = "qonnx.custom_op.general";

/// A model under construction.
#[derive(Clone, Debug, Default)]
pub struct Builder {
    graph: GraphProto,
}

impl Builder {
    /// A model without nodes.
    pub fn new() -> Self {
        Builder { graph: GraphProto { name: "case".into(), ..Default::default() } }
    }

    /// Adds a graph input.
    pub fn input(&mut self, name: &str, kind: DataType, shape: &[usize]) -> &mut Self {
        self.graph.input.push(value(name, kind, shape));
        self
    }

    /// Names a value as a graph output.
    pub fn output(&mut self, name: &str, kind: DataType, shape: &[usize]) -> &mut Self {
        self.graph.output.push(value(name, kind, shape));
        self
    }

    /// Adds a constant of reals.
    pub fn reals(&mut self, name: &str, shape: &[usize], values: &[f32]) -> &mut Self {
        let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.constant(name, DataType::Float, shape, bytes)
    }

    /// Adds a constant of integers in a type of whole bytes.
    pub fn integers(
        &mut self,
        name: &str,
        kind: DataType,
        shape: &[usize],
        values: &[i64],
    ) -> &mut Self {
        let width = match kind {
            DataType::Int8 | DataType::Uint8 => 1,
            DataType::Int16 | DataType::Uint16 => 2,
            DataType::Int32 | DataType::Uint32 => 4,
            _ => 8,
        };
        let bytes = values.iter().flat_map(|v| v.to_le_bytes().into_iter().take(width)).collect();
        self.constant(name, kind, shape, bytes)
    }

    fn constant(
        &mut self,
        name: &str,
        kind: DataType,
        shape: &[usize],
        bytes: Vec<u8>,
    ) -> &mut Self {
        self.graph.initializer.push(TensorProto {
            name: name.into(),
            data_type: kind as i32,
            dims: shape.iter().map(|&d| d as i64).collect(),
            raw_data: bytes.into(),
            ..Default::default()
        });
        self
    }

    /// Adds a node of ONNX, named after its result.
    pub fn node(
        &mut self,
        op: &str,
        inputs: &[&str],
        output: &str,
        attributes: &[AttributeProto],
    ) -> &mut Self {
        self.node_of("", op, inputs, output, attributes)
    }

    /// Adds a node of another domain, named after its result.
    pub fn node_of(
        &mut self,
        domain: &str,
        op: &str,
        inputs: &[&str],
        output: &str,
        attributes: &[AttributeProto],
    ) -> &mut Self {
        self.graph.node.push(NodeProto {
            name: output.into(),
            domain: domain.into(),
            op_type: op.into(),
            input: inputs.iter().map(|&i| i.to_owned()).collect(),
            output: vec![output.into()],
            attribute: attributes.to_vec(),
            ..Default::default()
        });
        self
    }

    /// The file's bytes, of opset 19 and QONNX's version 2.
    pub fn bytes(&self) -> Bytes {
        let opset = |domain: &str, version| OperatorSetIdProto { domain: domain.into(), version };
        let model = ModelProto {
            ir_version: 9,
            opset_import: vec![opset("", 19), opset(QONNX, 2)],
            graph: Some(self.graph.clone()),
            ..Default::default()
        };
        model.encode_to_vec().into()
    }
}

fn value(name: &str, kind: DataType, shape: &[usize]) -> ValueInfoProto {
    let dim = |&d: &usize| Dimension {
        value: Some(DimensionValue::Value(d as i64)),
        ..Default::default()
    };
    let shape = Some(TensorShapeProto { dim: shape.iter().map(dim).collect() });
    let tensor = TensorType { elem_type: kind as i32, shape };
    let ty = TypeProto { value: Some(TypeValue::Tensor(tensor)), ..Default::default() };
    ValueInfoProto { name: name.into(), r#type: Some(ty), ..Default::default() }
}

/// An attribute of one integer.
pub fn int(name: &str, i: i64) -> AttributeProto {
    let r#type = AttributeType::Int as i32;
    AttributeProto { name: name.into(), i, r#type, ..Default::default() }
}

/// An attribute of integers.
pub fn ints(name: &str, ints: &[i64]) -> AttributeProto {
    let (ints, r#type) = (ints.to_vec(), AttributeType::Ints as i32);
    AttributeProto { name: name.into(), ints, r#type, ..Default::default() }
}

/// An attribute of one real.
pub fn float(name: &str, f: f32) -> AttributeProto {
    let r#type = AttributeType::Float as i32;
    AttributeProto { name: name.into(), f, r#type, ..Default::default() }
}

/// An attribute of text.
pub fn string(name: &str, text: &str) -> AttributeProto {
    let (s, r#type) = (text.as_bytes().to_vec().into(), AttributeType::String as i32);
    AttributeProto { name: name.into(), s, r#type, ..Default::default() }
}
