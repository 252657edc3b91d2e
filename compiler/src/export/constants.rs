//! Constants of the file.

use bytes::Bytes;
use onnx_protobuf::{DataType, TensorProto};
use snnc_ir::{DType, NodeId};

use super::{Refused, Value, Writer, element};

impl Writer<'_> {
    /// A constant of the network.
    pub(super) fn constant(&mut self, id: NodeId) -> Result<Value, Refused> {
        let graph = self.graph;
        let node = &graph[id];
        let Some(tensor) = &node.data else { return self.refuse(id, "has no value") };
        // Constants that nothing reads any more have none either.
        if graph.users(id).is_empty() {
            return Ok(Value::Plain(String::new()));
        }
        let name = self.fresh(&node.name);
        let shape = tensor.shape().to_vec();
        let packed = tensor.dtype().bits() < 8;
        match tensor.to_i64() {
            Ok(values) if packed => {
                let bytes = values.iter().map(|&v| v as u8).collect::<Vec<u8>>();
                self.initializer(&name, element(tensor.dtype()), &shape, bytes.into());
            }
            _ => {
                let bytes = tensor.bytes().clone();
                self.initializer(&name, element(tensor.dtype()), &shape, bytes);
            }
        }
        Ok(match node.ty.quantisation {
            Some(_) => Value::Codes(name),
            None => Value::Plain(name),
        })
    }

    fn initializer(&mut self, name: &str, kind: DataType, shape: &[usize], raw: Bytes) {
        self.file.initializer.push(TensorProto {
            dims: shape.iter().map(|&d| d as i64).collect(),
            data_type: kind as i32,
            name: name.to_owned(),
            raw_data: raw,
            ..Default::default()
        });
    }

    /// A constant of reals.
    pub(super) fn reals(&mut self, name: &str, shape: &[usize], values: &[f32]) -> String {
        let name = self.fresh(name);
        let raw: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.initializer(&name, DataType::Float, shape, raw.into());
        name
    }

    /// A constant of integers in the type of the file for `dtype`.
    pub(super) fn numbers(
        &mut self,
        name: &str,
        dtype: DType,
        shape: &[usize],
        values: &[i64],
    ) -> String {
        let name = self.fresh(name);
        let bytes = dtype.bits().div_ceil(8);
        let raw: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()[..bytes].to_vec()).collect();
        self.initializer(&name, element(dtype), shape, raw.into());
        name
    }
}
