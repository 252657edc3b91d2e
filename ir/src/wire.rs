//! The wire form, `.snn`: protobuf, for files that programs read.
//!
//! Operators travel as their name and parameters (as in the text form); constants and weights as
//! raw little-endian bytes, so that decoding borrows them from the buffer.

use bytes::Bytes;
use prost::Message;
use serde_json::Value;

use crate::{
    DType, Graph, Node, NodeId, Op, Operand, Origin, Stage, Tensor, TensorError, TensorType, Timing,
};

/// Marks a file as ours: the first bytes of every `.snn`.
const MAGIC: &[u8; 8] = b"snnc.ir\x01";

/// Why bytes are not a graph.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// Another kind of file.
    #[error("not a .snn file (its first bytes are others)")]
    Magic,
    /// Not protobuf of this schema, or cut short.
    #[error("a damaged .snn file: {0}")]
    Decode(#[from] prost::DecodeError),
    /// A field holds what it must not.
    #[error("a damaged .snn file: node `{node}`: {reason}")]
    Node {
        /// Name of the node.
        node: String,
        /// What is wrong.
        reason: String,
    },
    /// A tensor's bytes do not match its shape.
    #[error("a damaged .snn file: {0}")]
    Tensor(#[from] TensorError),
}

#[derive(Clone, PartialEq, Message)]
struct WireGraph {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    stage: String,
    #[prost(string, tag = "3")]
    timing: String,
    #[prost(message, repeated, tag = "4")]
    nodes: Vec<WireNode>,
}

#[derive(Clone, PartialEq, Message)]
struct WireNode {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    op: String,
    #[prost(string, tag = "3")]
    parameters: String,
    #[prost(message, repeated, tag = "4")]
    operands: Vec<WireOperand>,
    #[prost(message, optional, tag = "5")]
    ty: Option<WireTensor>,
    #[prost(string, tag = "6")]
    quantisation: String,
    #[prost(message, optional, tag = "7")]
    data: Option<WireTensor>,
    #[prost(message, repeated, tag = "8")]
    origins: Vec<WireOrigin>,
}

#[derive(Clone, PartialEq, Message)]
struct WireOperand {
    /// Index in `WireGraph::nodes`.
    #[prost(uint32, tag = "1")]
    node: u32,
    #[prost(uint32, tag = "2")]
    delay: u32,
}

#[derive(Clone, PartialEq, Message)]
struct WireOrigin {
    #[prost(string, tag = "1")]
    node: String,
    #[prost(string, tag = "2")]
    op: String,
}

#[derive(Clone, PartialEq, Message)]
struct WireTensor {
    #[prost(string, tag = "1")]
    dtype: String,
    #[prost(uint64, repeated, tag = "2")]
    shape: Vec<u64>,
    #[prost(bytes = "bytes", tag = "3")]
    bytes: Bytes,
}

impl Graph {
    /// Whether the bytes claim to be a `.snn` file.
    pub fn is_wire(bytes: &[u8]) -> bool {
        bytes.starts_with(MAGIC)
    }

    /// The wire form, nodes in order of computation: equal graphs give equal bytes.
    pub fn to_wire(&self) -> Vec<u8> {
        let order = self.order().unwrap_or_else(|_| self.ids().collect());
        let index: std::collections::HashMap<NodeId, u32> =
            order.iter().enumerate().map(|(i, &id)| (id, i as u32)).collect();
        let nodes = order
            .iter()
            .map(|&id| {
                let node = &self[id];
                let (op, parameters) = node.op.to_parts();
                let operands = self.operands(id);
                WireNode {
                    name: node.name.clone(),
                    op,
                    parameters: if parameters.is_null() {
                        String::new()
                    } else {
                        parameters.to_string()
                    },
                    operands: operands
                        .iter()
                        .map(|o| WireOperand { node: index[&o.source], delay: o.delay })
                        .collect(),
                    ty: Some(WireTensor::of(&node.ty)),
                    quantisation: match &node.ty.quantisation {
                        Some(q) => serde_json::to_string(q).unwrap_or_default(),
                        None => String::new(),
                    },
                    data: node.data.as_ref().map(|data| WireTensor {
                        bytes: data.bytes().clone(),
                        ..WireTensor::of(&data.tensor_type())
                    }),
                    origins: node
                        .origins
                        .iter()
                        .map(|o| WireOrigin { node: o.node.clone(), op: o.op.clone() })
                        .collect(),
                }
            })
            .collect();
        let graph = WireGraph {
            name: self.name.clone(),
            stage: self.stage.name().to_owned(),
            timing: serde_json::to_string(&self.timing).unwrap_or_default(),
            nodes,
        };
        let mut out = Vec::with_capacity(MAGIC.len() + graph.encoded_len());
        out.extend_from_slice(MAGIC);
        // A vector grows, so that there is always room.
        let _ = graph.encode(&mut out);
        out
    }

    /// Decodes the wire form. The result is not verified.
    ///
    /// # Errors
    /// When the bytes are not those of a graph.
    pub fn from_wire(bytes: Bytes) -> Result<Graph, WireError> {
        if !Graph::is_wire(&bytes) {
            return Err(WireError::Magic);
        }
        let wire = WireGraph::decode(bytes.slice(MAGIC.len()..))?;
        let fault = |reason: String| WireError::Node { node: "header".into(), reason };
        let stage = [Stage::Tensor, Stage::Quantised, Stage::Spiking]
            .into_iter()
            .find(|s| s.name() == wire.stage);
        let stage = stage.ok_or_else(|| fault(format!("there is no stage `{}`", wire.stage)))?;
        let mut graph = Graph::new(wire.name, stage);
        graph.timing =
            serde_json::from_str::<Timing>(&wire.timing).map_err(|e| fault(e.to_string()))?;
        let mut ids = Vec::with_capacity(wire.nodes.len());
        let mut operands = Vec::with_capacity(wire.nodes.len());
        for node in wire.nodes {
            operands.push((node.name.clone(), node.operands.clone()));
            ids.push(graph.add(node.decode_node(stage)?, &[]));
        }
        for (&id, (name, wanted)) in ids.iter().zip(operands) {
            let mut list = Vec::with_capacity(wanted.len());
            for operand in wanted {
                let Some(&source) = ids.get(operand.node as usize) else {
                    return Err(WireError::Node {
                        node: name,
                        reason: "an operand is not there".into(),
                    });
                };
                list.push(Operand { source, delay: operand.delay });
            }
            graph.set_operands(id, &list);
        }
        Ok(graph)
    }
}

impl WireTensor {
    fn of(ty: &TensorType) -> Self {
        let shape = ty.shape.iter().map(|&d| d as u64).collect();
        WireTensor { dtype: ty.dtype.name().to_owned(), shape, bytes: Bytes::new() }
    }

    fn ty(&self) -> Result<TensorType, String> {
        let dtype = DType::from_name(&self.dtype)
            .ok_or_else(|| format!("there is no type `{}`", self.dtype))?;
        let shape = self.shape.iter().map(|&d| usize::try_from(d).map_err(|e| e.to_string()));
        Ok(TensorType::new(dtype, shape.collect::<Result<Vec<_>, _>>()?))
    }
}

impl WireNode {
    fn decode_node(self, stage: Stage) -> Result<Node, WireError> {
        let fault = |reason: String| WireError::Node { node: self.name.clone(), reason };
        let parameters = match self.parameters.as_str() {
            "" => Value::Null,
            text => serde_json::from_str(text).map_err(|e| fault(e.to_string()))?,
        };
        let op = Op::from_parts(stage, &self.op, parameters).map_err(fault)?;
        let mut ty =
            self.ty.as_ref().ok_or_else(|| fault("it has no type".into()))?.ty().map_err(fault)?;
        if !self.quantisation.is_empty() {
            ty.quantisation =
                Some(serde_json::from_str(&self.quantisation).map_err(|e| fault(e.to_string()))?);
        }
        let data = match &self.data {
            Some(wire) => {
                let ty = wire.ty().map_err(fault)?;
                Some(Tensor::new(ty.dtype, ty.shape, wire.bytes.clone())?)
            }
            None => None,
        };
        let origins = self
            .origins
            .iter()
            .map(|o| Origin { node: o.node.clone(), op: o.op.clone() })
            .collect();
        Ok(Node { name: self.name, op, ty, data, origins })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::PrintOptions;

    fn graph() -> Graph {
        Graph::from_text(
            r#"snnir 1 quantised "q" {"timesteps":1,"schedule":"streaming"}
%x = input () : u8[1,2] quantised {"scale":[0.1],"zero_point":[3],"minimum":0,"maximum":255}
%w = constant () : i4[3,2]
  data i4[3,2] 1 -8 7 0 0 2
%y = dense (%x, %w) : i32[1,3] from [{"node":"fc","op":"Gemm"}]
%out = output (%y) : i32[1,3]
"#,
        )
        .unwrap()
    }

    #[test]
    fn wire_and_text_agree() {
        let bytes = graph().to_wire();
        let again = Graph::from_wire(bytes.clone().into()).unwrap();
        assert_eq!(
            again.to_text(PrintOptions::default()),
            graph().to_text(PrintOptions::default())
        );
        assert_eq!(again.to_wire(), bytes);
    }

    /// Message -> field number -> (name, type), as the published schema has them.
    type Schema = HashMap<String, HashMap<u64, (String, String)>>;

    fn published() -> Schema {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../checker/snnc_check/snn.proto");
        let (mut schema, mut message) = (Schema::new(), String::new());
        for line in std::fs::read_to_string(path).unwrap().lines() {
            let words: Vec<&str> = line.trim().trim_end_matches(';').split_whitespace().collect();
            match words.as_slice() {
                ["message", name, "{"] => message = (*name).to_owned(),
                ["repeated", kind, name, "=", number] | [kind, name, "=", number] => {
                    let field = ((*name).to_owned(), (*kind).to_owned());
                    schema
                        .entry(message.clone())
                        .or_default()
                        .insert(number.parse().unwrap(), field);
                }
                _ => {}
            }
        }
        schema
    }

    fn varint(bytes: &mut &[u8]) -> u64 {
        let mut value = 0;
        for shift in (0..).step_by(7) {
            let (&byte, rest) = bytes.split_first().unwrap();
            *bytes = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
        }
        value
    }

    /// Reads a message by the schema alone; `seen` gets every field with what it holds.
    fn by_schema(
        schema: &Schema,
        message: &str,
        mut bytes: &[u8],
        seen: &mut HashMap<String, Vec<u8>>,
    ) {
        while !bytes.is_empty() {
            let tag = varint(&mut bytes);
            let (name, kind) = &schema[message][&(tag >> 3)];
            let content = match tag & 7 {
                0 => {
                    assert!(kind.starts_with("uint"), "{message}.{name}");
                    varint(&mut bytes).to_le_bytes().to_vec()
                }
                2 => {
                    let length = varint(&mut bytes) as usize;
                    let (content, rest) = bytes.split_at(length);
                    bytes = rest;
                    content.to_vec()
                }
                other => panic!("wire type {other}"),
            };
            if schema.contains_key(kind) {
                by_schema(schema, kind, &content, seen);
            }
            seen.insert(format!("{message}.{name}"), content);
        }
    }

    #[test]
    fn the_published_schema_reads_every_field() {
        let mut graph = Graph::from_text(
            r#"snnir 1 quantised "q" {"timesteps":1,"schedule":"streaming"}
%x = input () : u8[1,2] quantised {"scale":[0.1],"zero_point":[3],"minimum":0,"maximum":255}
%w = constant () : i4[3,2]
  data i4[3,2] 1 -8 7 0 0 2
%y = dense (%x, %w) : i32[1,3] from [{"node":"fc","op":"Gemm"}]
%t = transpose {"permutation":[1,0]} (%y) : i32[3,1]
%out = output (%t) : i32[3,1]
"#,
        )
        .unwrap();
        let sum = graph.find("y").unwrap();
        let recurrent: Vec<Operand> =
            graph.operands(sum).iter().map(|o| Operand { delay: 3, ..*o }).collect();
        graph.set_operands(sum, &recurrent);
        let bytes = graph.to_wire();
        let (schema, mut seen) = (published(), HashMap::new());
        by_schema(&schema, "Graph", &bytes[MAGIC.len()..], &mut seen);
        for (message, fields) in &schema {
            for (name, _) in fields.values() {
                assert!(seen.contains_key(&format!("{message}.{name}")), "{message}.{name}");
            }
        }
        let text = |field: &str| String::from_utf8(seen[field].clone()).unwrap();
        assert_eq!(text("Graph.stage"), "quantised");
        assert_eq!((text("Origin.node"), text("Origin.op")), ("fc".into(), "Gemm".into()));
        assert_eq!(seen["Operand.delay"], 3u64.to_le_bytes());
        assert!(text("Node.quantisation").contains("zero_point"));
    }

    #[test]
    fn damaged_files_are_errors() {
        let bytes = graph().to_wire();
        assert!(matches!(Graph::from_wire(Bytes::from_static(b"\x08\x01")), Err(WireError::Magic)));
        for length in MAGIC.len()..bytes.len() {
            let _ = Graph::from_wire(Bytes::copy_from_slice(&bytes[..length])).map(crate::verify);
        }
        for position in MAGIC.len()..bytes.len() {
            let mut changed = bytes.clone();
            changed[position] ^= 0x15;
            let _ = Graph::from_wire(changed.into()).map(crate::verify);
        }
    }
}
