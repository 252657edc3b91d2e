//! What is computed on reals behind the last layer, where codes and accumulators become reals.

use snnc_ir::query::is_movement;
use snnc_ir::{Binary, DType, Node, NodeId, Quantisation, Tensor, TensorOp, TensorType};

use super::{Lowering, Value};
use crate::passes::rewrite::op;
use crate::passes::tail::is_host;

/// What reals in the new graph are those of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Source {
    /// A node of the old graph.
    Old(NodeId),
    /// Codes or accumulators of the new graph.
    New(NodeId),
}

/// Whether an operator at an output has a form on codes as well, which then is to be preferred: means
/// are sums of codes, layout moves codes as it moves reals, and whole numbers are codes of scale 1.
pub(super) fn may_be_on_codes(op: &TensorOp) -> bool {
    match op {
        TensorOp::Pool(pool) => !pool.is_of_codes(),
        TensorOp::Cast => true,
        other => !is_host(other) || is_movement(other),
    }
}

impl Lowering<'_> {
    /// An operator on reals behind the last layer or before the first. A quantiser there makes codes
    /// that no population sends.
    pub(super) fn on_reals(&mut self, id: NodeId, operands: &[(NodeId, Value)]) -> Value {
        let mut sources = Vec::with_capacity(operands.len());
        for operand in operands {
            let node = match &operand.1 {
                Value::Codes(codes) => Some(*codes),
                _ => self.reals(id, operand),
            };
            match node {
                Some(node) => sources.push(node),
                None => return Value::Failed,
            }
        }
        let ty = self.source[id].ty.clone();
        match op(self.source, id).cloned() {
            Some(TensorOp::Quantise(q)) => {
                let ty = ty.quantised(q.clone());
                Value::Codes(self.copy(id, TensorOp::Quantise(q), ty, &sources))
            }
            Some(operator @ TensorOp::Threshold(_)) => {
                Value::Codes(self.copy(id, operator, ty, &sources))
            }
            Some(operator) => Value::Reals(self.copy(id, operator, ty, &sources)),
            None => Value::Failed,
        }
    }

    /// The value as reals computed in the new graph, as outputs and what leads to them need it.
    pub(super) fn reals(
        &mut self,
        id: NodeId,
        (operand, value): &(NodeId, Value),
    ) -> Option<NodeId> {
        match value {
            Value::Reals(node) => Some(*node),
            Value::Dequantised(codes) => self.dequantised(*operand, *codes),
            Value::Sum(terms, _) => self.sum_of(*operand, terms),
            Value::Constant => self.constant_of(*operand),
            Value::Function(_) | Value::Curve(_) => self.function_on_reals(id, *operand),
            Value::Codes(_) | Value::Failed => {
                self.unquantised(id, *operand);
                None
            }
        }
    }

    fn dequantised(&mut self, of: NodeId, codes: NodeId) -> Option<NodeId> {
        if let Some(&known) = self.reals.get(&Source::New(codes)) {
            return Some(known);
        }
        let q: Quantisation = self.quantisation(codes)?.clone();
        let ty = TensorType::new(DType::F32, self.target[codes].ty.shape.clone());
        let node = &self.source[of];
        let (name, origins) = (format!("{}.real", node.name), node.origins.clone());
        let node = self.add_node(&name, TensorOp::Dequantise(q), ty, &origins, &[codes]);
        self.reals.insert(Source::New(codes), node);
        Some(node)
    }

    /// Terms as reals, added in their order.
    fn sum_of(&mut self, of: NodeId, terms: &[NodeId]) -> Option<NodeId> {
        if let [only] = terms {
            return self.dequantised(of, *only);
        }
        if let Some(&known) = self.reals.get(&Source::Old(of)) {
            return Some(known);
        }
        let shape = self.source[of].ty.shape.clone();
        let (name, origins) = (self.source[of].name.clone(), self.source[of].origins.clone());
        let mut sum = None;
        for &term in terms {
            // A bias has one element for each channel, which an addition repeats.
            let real = match self.target[term].data.clone() {
                Some(codes) => self.reals_of_constant(of, term, &codes)?,
                None => self.dequantised(of, term)?,
            };
            sum = Some(match sum {
                None => real,
                Some(sum) => {
                    let ty = TensorType::new(DType::F32, shape.clone());
                    let add = TensorOp::Binary(Binary::Add);
                    self.add_node(&format!("{name}.sum"), add, ty, &origins, &[sum, real])
                }
            });
        }
        self.reals.insert(Source::Old(of), sum?);
        sum
    }

    /// The reals of a constant of the new graph, which has one code for each channel.
    fn reals_of_constant(&mut self, of: NodeId, term: NodeId, codes: &Tensor) -> Option<NodeId> {
        let q = self.quantisation(term)?;
        let codes_of = codes.to_i64().ok()?;
        let reals: Vec<f32> =
            codes_of.iter().enumerate().map(|(c, &code)| q.real(code, c)).collect();
        let name = self.names.fresh(&format!("{}.bias", self.source[of].name));
        let node = Node::constant(name, Tensor::from_f32(codes.shape(), &reals));
        Some(self.target.add(node.with_origins(&self.source[of].origins.clone()), &[]))
    }

    /// A constant of the old graph, or what computes it.
    fn constant_of(&mut self, of: NodeId) -> Option<NodeId> {
        if let Some(&known) = self.reals.get(&Source::Old(of)) {
            return Some(known);
        }
        let sources = self.source.sources(of);
        let sources: Option<Vec<NodeId>> =
            sources.into_iter().map(|source| self.constant_of(source)).collect();
        let mut node = self.source[of].clone();
        node.name = self.names.fresh(&format!("{}.host", node.name));
        let node = self.target.add(node, &sources?);
        self.reals.insert(Source::Old(of), node);
        Some(node)
    }

    /// A function of codes that a table would make, on reals.
    fn function_on_reals(&mut self, id: NodeId, of: NodeId) -> Option<NodeId> {
        if let Some(&known) = self.reals.get(&Source::Old(of)) {
            return Some(known);
        }
        let mut sources = Vec::new();
        for source in self.source.sources(of) {
            let value = self.values.get(&source).cloned().unwrap_or(Value::Failed);
            sources.push(self.reals(id, &(source, value))?);
        }
        let operator = op(self.source, of)?.clone();
        let node = &self.source[of];
        let (name, ty, origins) = (node.name.clone(), node.ty.clone(), node.origins.clone());
        let node = self.add_node(&format!("{name}.host"), operator, ty, &origins, &sources);
        self.reals.insert(Source::Old(of), node);
        Some(node)
    }
}
