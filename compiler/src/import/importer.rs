//! The state of one import: the graph as far as it is built, and what went wrong.

use std::collections::HashMap;

use snnc_ir::{
    DType, Graph, Node, NodeId, Op, Origin, Stage, Tensor, TensorOp, TensorType, infer_output,
};

use super::call::{Call, Failure};
use super::external::Store;
use super::limits;
use crate::Problem;
use crate::fold;

/// The state of one import.
pub(crate) struct Importer {
    /// The graph as far as it is built.
    pub graph: Graph,
    /// What the user should know.
    pub notes: Vec<(String, String)>,
    /// Nodes that cannot be imported.
    pub unsupported: Vec<Problem>,
    /// Contradictions in the file.
    pub malformed: Vec<Problem>,
    /// Files beside the model.
    pub store: Store,
    names: HashMap<String, usize>,
    budget: usize,
}

impl Importer {
    pub(crate) fn new(name: &str, store: Store, budget: usize) -> Self {
        Importer {
            graph: Graph::new(name, Stage::Tensor),
            notes: Vec::new(),
            unsupported: Vec::new(),
            malformed: Vec::new(),
            store,
            names: HashMap::new(),
            budget,
        }
    }

    /// Records why the node cannot be imported.
    pub(crate) fn fail(&mut self, place: &str, failure: Failure) {
        match failure {
            Failure::Unsupported(reason, remedy) => {
                self.unsupported.push(Problem::new(place, reason, remedy));
            }
            Failure::Malformed(reason, remedy) => {
                self.malformed.push(Problem::new(place, reason, remedy));
            }
        }
    }

    /// A name that no node has yet: `wanted`, or `wanted` with a number.
    pub(crate) fn unique(&mut self, wanted: &str) -> String {
        let wanted = if wanted.is_empty() { "value" } else { wanted };
        if !self.names.contains_key(wanted) {
            self.names.insert(wanted.to_owned(), 0);
            return wanted.to_owned();
        }
        loop {
            let count = self.names.entry(wanted.to_owned()).or_default();
            *count += 1;
            let name = format!("{wanted}.{count}");
            if !self.names.contains_key(&name) {
                self.names.insert(name.clone(), 0);
                return name;
            }
        }
    }

    /// The type of a value.
    pub(crate) fn ty(&self, id: NodeId) -> &TensorType {
        &self.graph[id].ty
    }

    /// The shape of a value.
    pub(crate) fn shape(&self, id: NodeId) -> Vec<usize> {
        self.graph[id].ty.shape.clone()
    }

    /// The value, if it is a constant.
    pub(crate) fn constant(&self, id: NodeId) -> Option<&Tensor> {
        let node = &self.graph[id];
        matches!(node.op, Op::Tensor(TensorOp::Constant)).then_some(node.data.as_ref()).flatten()
    }

    /// The integers of operand `index`, which must be a constant.
    pub(crate) fn integers(&self, call: &Call, index: usize) -> Result<Vec<i64>, Failure> {
        let id = call.input(index)?;
        let Some(tensor) = self.constant(id) else {
            return Err(Failure::unsupported(
                format!("operand {index} is computed while the network runs"),
                "export with fixed shapes, or simplify the model",
            ));
        };
        tensor.to_i64().map_err(|e| Failure::malformed(e.to_string()))
    }

    /// The reals of operand `index`, which must be a constant.
    pub(crate) fn reals(&self, call: &Call, index: usize) -> Result<Vec<f32>, Failure> {
        match self.constant(call.input(index)?) {
            Some(tensor) => {
                let values = tensor.to_f32();
                match values.iter().position(|v| v.is_nan()) {
                    None => Ok(values),
                    Some(i) => Err(Failure::malformed(format!(
                        "operand {index}, `{}`, holds NaN at index {i}",
                        self.graph[call.input(index)?].name
                    ))),
                }
            }
            None => Err(Failure::unsupported(
                format!("operand {index} is computed while the network runs"),
                "make it a constant of the model",
            )),
        }
    }

    /// The one real of operand `index`, which must be a constant.
    pub(crate) fn scalar(&self, call: &Call, index: usize) -> Result<f32, Failure> {
        match self.reals(call, index)?[..] {
            [value] => Ok(value),
            _ => Err(Failure::malformed(format!("operand {index} must be one number"))),
        }
    }

    /// Adds a constant.
    pub(crate) fn add_constant(&mut self, name: &str, value: Tensor, origins: &[Origin]) -> NodeId {
        let name = self.unique(name);
        self.graph.add(Node::constant(name, value).with_origins(origins), &[])
    }

    /// Adds a constant that belongs to a call.
    pub(crate) fn literal(&mut self, call: &Call, what: &str, value: Tensor) -> NodeId {
        let name = format!("{}.{what}", call.origin.node);
        self.add_constant(&name, value, std::slice::from_ref(&call.origin))
    }

    /// Takes bytes from the budget for constants that the file does not hold.
    pub(crate) fn spend(&mut self, dtype: DType, shape: &[usize]) -> Result<(), Failure> {
        let bytes = limits::elements(shape).and_then(|n| dtype.byte_len(n));
        match bytes.and_then(|b| self.budget.checked_sub(b)) {
            Some(left) => {
                self.budget = left;
                Ok(())
            }
            None => Err(Failure::unsupported(
                format!("a constant {dtype}{shape:?} that is computed would take too much memory"),
                "simplify the model, so that it holds the constant",
            )),
        }
    }

    /// Adds an operator whose type has the element type of the first operand.
    pub(crate) fn emit(
        &mut self,
        call: &Call,
        op: TensorOp,
        operands: &[NodeId],
    ) -> Result<NodeId, Failure> {
        let dtype = operands.first().map_or(DType::F32, |&id| self.ty(id).dtype);
        self.emit_typed(call, op, operands, TensorType::new(dtype, []))
    }

    /// Adds an operator to a shape that the operator does not give by itself.
    pub(crate) fn emit_shaped(
        &mut self,
        call: &Call,
        op: TensorOp,
        operands: &[NodeId],
        shape: Vec<usize>,
    ) -> Result<NodeId, Failure> {
        let dtype = operands.first().map_or(DType::F32, |&id| self.ty(id).dtype);
        self.emit_typed(call, op, operands, TensorType::new(dtype, shape))
    }

    /// Adds an operator; the shape of `ty` counts where the operator does not give it by itself.
    /// Arithmetic on constants is evaluated if it is on integers or has a small result.
    pub(crate) fn emit_typed(
        &mut self,
        call: &Call,
        op: TensorOp,
        operands: &[NodeId],
        ty: TensorType,
    ) -> Result<NodeId, Failure> {
        self.emit_part(call, "", op, operands, ty)
    }

    /// As [`Importer::emit_typed`], for an operator that is only a part of the call and is named
    /// after it and `part`.
    pub(crate) fn emit_part(
        &mut self,
        call: &Call,
        part: &str,
        op: TensorOp,
        operands: &[NodeId],
        ty: TensorType,
    ) -> Result<NodeId, Failure> {
        let too_large = |shape: &[usize]| {
            Failure::malformed(format!("a value of shape {shape:?} is too large"))
        };
        limits::elements(&ty.shape).ok_or_else(|| too_large(&ty.shape))?;
        let name = match part {
            "" => self.unique(&call.origin.node),
            part => self.unique(&format!("{}.{part}", call.origin.node)),
        };
        let node = Node::tensor(name.clone(), op, ty);
        let node = node.with_origins(std::slice::from_ref(&call.origin));
        let id = self.graph.add(node, operands);
        let inferred = infer_output(&self.graph, id)
            .map_err(|e| Failure::malformed(e.to_string()))
            .and_then(|ty| match limits::elements(&ty.shape) {
                Some(_) => Ok(ty),
                None => Err(too_large(&ty.shape)),
            });
        match inferred {
            Ok(ty) => self.graph[id].ty = ty,
            Err(failure) => {
                self.graph.remove(id);
                self.names.remove(&name);
                return Err(failure);
            }
        }
        match self.evaluated(id) {
            Some(value) => {
                self.spend(value.dtype(), value.shape())?;
                self.graph.remove(id);
                let origins = std::slice::from_ref(&call.origin);
                Ok(self.graph.add(Node::constant(name, value).with_origins(origins), &[]))
            }
            None => Ok(id),
        }
    }

    /// The value of a node that computes integers, or a few reals such as a scale, from constants.
    /// Weights wait for the passes, which know what they are.
    fn evaluated(&self, id: NodeId) -> Option<Tensor> {
        let ty = &self.graph[id].ty;
        let quantiser = matches!(
            self.graph[id].as_tensor(),
            Some(TensorOp::Quantise(_) | TensorOp::Dequantise(_))
        );
        if quantiser || (ty.dtype.is_float() && ty.len() > limits::SMALL) {
            return None;
        }
        let sources = self.graph.sources(id);
        let operands: Option<Vec<&Tensor>> = sources.iter().map(|&s| self.constant(s)).collect();
        if ty.dtype.byte_len(ty.len())? > self.budget {
            return None;
        }
        fold::evaluate(self.graph[id].as_tensor()?, &operands?, ty)
    }
}
