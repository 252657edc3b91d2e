//! Networks with several inputs: a sample is all of their elements, one input after the other.

use snnc_ir::{Graph, NodeId, Op, TensorOp, TensorType};
use snnc_runtime::tensor::Value;

use crate::Error;

/// One input as data files name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// Its ONNX name.
    pub name: String,
    /// Whether it takes reals; unknown of a file without a manifest.
    pub real: Option<bool>,
    /// Elements of one sample.
    pub len: usize,
}

/// Whether anything reads an input.
fn is_read(graph: &Graph, id: NodeId) -> bool {
    !graph.users(id).is_empty()
}

/// The inputs of a graph that anything reads, in their order.
pub fn ports(graph: &Graph) -> Vec<Port> {
    let port = |id: NodeId| Port {
        name: graph[id].name.clone(),
        real: match &graph[id].op {
            Op::Tensor(TensorOp::Input) => Some(graph[id].ty.dtype.is_float()),
            _ => None,
        },
        len: graph[id].ty.len(),
    };
    graph.inputs().into_iter().filter(|&id| is_read(graph, id)).map(port).collect()
}

/// How a sample is cut into the inputs of a tensor graph.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Cut {
    /// Types of all inputs, and whether the sample has it.
    inputs: Vec<(TensorType, bool)>,
}

impl Cut {
    /// For a graph of a tensor stage.
    pub fn of(graph: &Graph) -> Cut {
        let input = |id: NodeId| (graph[id].ty.clone(), is_read(graph, id));
        Cut { inputs: graph.inputs().into_iter().map(input).collect() }
    }

    fn several(&self) -> bool {
        self.inputs.len() > 1
    }

    /// The shape in which a whole sample is asked for, the batch of one included.
    pub fn batched(&self) -> Vec<usize> {
        match self.inputs.as_slice() {
            [(ty, _)] => ty.shape.clone(),
            inputs => {
                let read = inputs.iter().filter(|(_, read)| *read);
                vec![1, read.map(|(ty, _)| ty.len()).sum()]
            }
        }
    }

    /// Whether any input takes reals.
    pub fn takes_reals(&self) -> bool {
        self.inputs.iter().any(|(ty, read)| *read && ty.dtype.is_float())
            || self.inputs.first().is_none_or(|(ty, _)| ty.dtype.is_float())
    }

    /// The inputs of a sample that was asked for in [`Cut::batched`] shape; what nothing reads is 0.
    ///
    /// # Errors
    /// When the sample has too few elements.
    pub fn values(&self, sample: Value) -> Result<Vec<Value>, Error> {
        if !self.several() {
            return Ok(vec![sample]);
        }
        let mut first = 0;
        let mut value = |(ty, read): &(TensorType, bool)| {
            let range = first..first + if *read { ty.len() } else { 0 };
            first = range.end;
            let short = || Error::network("a sample has too few elements");
            if ty.dtype.is_float() {
                let all = sample.to_f32();
                let mut own: Vec<f32> = all.get(range).ok_or_else(short)?.to_vec();
                own.resize(ty.len(), 0.0);
                return Value::from_f32(&ty.shape, own).map_err(Error::network);
            }
            let mut own: Vec<i64> = match sample.as_i64() {
                Some(all) => all.get(range).ok_or_else(short)?.to_vec(),
                None => {
                    let (low, high) = ty.dtype.integer_range().unwrap_or((i64::MIN, i64::MAX));
                    let whole = |x: &f32| (x.round_ties_even() as i64).clamp(low, high);
                    sample.to_f32().get(range).ok_or_else(short)?.iter().map(whole).collect()
                }
            };
            own.resize(ty.len(), 0);
            Value::from_i64(&ty.shape, own).map_err(Error::network)
        };
        self.inputs.iter().map(&mut value).collect()
    }
}
