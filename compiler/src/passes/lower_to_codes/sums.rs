//! Sums of accumulators, codes and biases: what is added, and how the sum is requantised.

use std::collections::HashSet;

use snnc_ir::{DType, NodeId, Origin, Quantisation, TensorOp};

use super::{Lowering, Value};
use crate::passes::rewrite::op;

impl Lowering<'_> {
    /// How a sum is requantised: sums of codes as ONNX Runtime adds reals, in f32; where an accumulator
    /// meets another operand exactly.
    pub(super) fn rule_of_sum(&self, terms: &[NodeId], q: &Quantisation) -> TensorOp {
        let operands: Vec<NodeId> =
            terms.iter().copied().filter(|&t| self.target[t].data.is_none()).collect();
        let accumulates = |&t: &NodeId| matches!(self.target[t].ty.dtype, DType::I32 | DType::I64);
        // An offset that is added before rounding is added in f32.
        if q.offset.is_empty() && operands.len() > 1 && operands.iter().any(accumulates) {
            TensorOp::RequantiseSum
        } else {
            TensorOp::Requantise
        }
    }

    /// Whether a neuron can add terms up and clamp the sum to the codes: with several activations, the
    /// range of payloads is one for all channels.
    pub(super) fn fits_sum(&self, q: &Quantisation, terms: &[NodeId]) -> bool {
        let activations = terms.iter().filter(|t| self.target[**t].data.is_none()).count();
        activations < 2 || q.zero_point.iter().all(|&z| z == q.zero_at(0))
    }

    pub(super) fn prepend_origins(&mut self, node: NodeId, origins: &[Origin]) {
        let own = std::mem::take(&mut self.target[node].origins);
        let mut all = origins.to_vec();
        all.extend(own.into_iter().filter(|o| !origins.contains(o)));
        self.target[node].origins = all;
    }

    pub(super) fn add(&mut self, id: NodeId, operands: &[(NodeId, Value)]) -> Value {
        let mut sums = Vec::new();
        for (operand, value) in operands {
            sums.push(match value {
                Value::Sum(terms, origins) => (terms.clone(), origins.clone()),
                Value::Dequantised(codes) => (vec![*codes], Vec::new()),
                Value::Constant => match self.channel_term(id, *operand) {
                    Some(term) => (vec![term], Vec::new()),
                    None => return self.function(id, operands),
                },
                Value::Function(_) | Value::Curve(_) | Value::Reals(_) => {
                    return self.function(id, operands);
                }
                _ => return self.unquantised(id, *operand),
            });
        }
        // A sum of two sums would be added in another order than the reals were; biases may be.
        let &[(ref a, ref first), (ref b, ref second)] = sums.as_slice() else {
            return Value::Failed;
        };
        let summands = |terms: &[NodeId]| {
            let constant = |t: &&NodeId| matches!(op(&self.target, **t), Some(TensorOp::Constant));
            terms.iter().filter(|t| !constant(t)).count()
        };
        let (a, b) = if summands(b) > 1 || summands(a) == 0 { (b, a) } else { (a, b) };
        if summands(b) > 1 {
            return self.unquantised(id, operands[0].0);
        }
        let mut origins = [self.source[id].origins.clone(), first.clone(), second.clone()].concat();
        let mut seen = HashSet::new();
        origins.retain(|o| seen.insert(o.clone()));
        let other_shape = |t: &NodeId| {
            let node = &self.target[*t];
            node.data.is_none() && node.ty.shape != self.source[id].ty.shape
        };
        if a.iter().chain(b).any(other_shape) {
            return self.obstacle(id, "adds arrays of different shapes", "expand the smaller one");
        }
        Value::Sum([a.as_slice(), b.as_slice()].concat(), origins)
    }
}
