//! Means of codes over windows, and values that are codes already.

use snnc_ir::{DType, NodeId, Pool, PoolKind, Quantisation, TensorOp, TensorType};

use super::{CALIBRATE, Lowering, Value, accumulator, function};
use crate::passes::Means;
use crate::passes::rewrite::op;

impl Lowering<'_> {
    /// The codes whose reals a value is, `None` if there are none: what was dequantised, a sum over windows,
    /// or a function of codes whose reals are whole numbers of one step.
    pub(super) fn codes_of(&mut self, (operand, value): &(NodeId, Value)) -> Option<NodeId> {
        match value {
            Value::Dequantised(codes) => Some(*codes),
            Value::Sum(terms, _) => {
                let &[term] = terms.as_slice() else { return None };
                let pooled = matches!(op(&self.target, term), Some(TensorOp::Pool(_)));
                pooled.then_some(term)
            }
            Value::Function(function) => {
                let q = function.grid()?;
                let shape = self.source[*operand].ty.shape.clone();
                let dtype = DType::narrowest_signed(q.minimum, q.maximum);
                let ty = TensorType::new(dtype, shape).quantised(q.clone());
                let made = self.requantise_function(*operand, function.clone(), ty, &q);
                let Value::Codes(codes) = made else { return None };
                // Whoever reads it next finds the codes.
                self.values.insert(*operand, Value::Dequantised(codes));
                Some(codes)
            }
            _ => None,
        }
    }

    /// A mean over windows: the sum of the codes, in units of a part of their scale.
    pub(super) fn mean(&mut self, id: NodeId, pool: &Pool, operand: &(NodeId, Value)) -> Value {
        let Some(codes) = self.codes_of(operand) else {
            return self.unquantised(id, operand.0);
        };
        let q = self.quantisation(codes).cloned();
        let Some(q) = q.filter(|q| q.axis.is_none_or(|axis| axis == 1)) else {
            return self.obstacle(id, "averages channels of different scales", CALIBRATE);
        };
        if self.context.means == Means::Single && self.is_quantised(id) {
            return self.on_reals(id, std::slice::from_ref(operand));
        }
        let map = self.target[codes].ty.shape[2..].to_vec();
        let outputs = self.source[id].ty.shape[2..].to_vec();
        let cells: usize = pool.window.kernel.iter().product();
        let (kind, common) = if function::uniform_windows(pool, &map, &outputs) {
            (PoolKind::Sum, cells)
        } else {
            let padding = pool.kind == PoolKind::AverageWithPadding;
            let Some(common) = pool.common(&map, &outputs) else {
                return self.obstacle(
                    id,
                    "the numbers of cells in its means are too many for one unit",
                    "count the padding (count_include_pad), or do not pad",
                );
            };
            (PoolKind::EvenSum { padding }, common)
        };
        let scale = q.scale.iter().map(|s| s / common as f32).collect();
        let ty = TensorType::new(DType::I32, self.source[id].ty.shape.clone());
        let sum = TensorOp::Pool(Pool::new(kind, pool.window.clone()));
        let ty = ty.quantised(reached(&q, common, accumulator(scale, i64::from(i32::MAX)), {
            self.is_quantised(id)
        }));
        let node = self.copy(id, sum, ty, &[codes]);
        Value::Sum(vec![node], self.source[id].origins.clone())
    }

    /// A layout operator on what codes stand for moves the codes.
    pub(super) fn layout_of_reals(&mut self, id: NodeId, operands: &[(NodeId, Value)]) -> Value {
        let pads =
            matches!(op(self.source, id), Some(TensorOp::Pad { value, .. }) if *value != 0.0);
        let mut codes = Vec::with_capacity(operands.len());
        for operand in operands {
            let value = match &operand.1 {
                Value::Constant => Value::Constant,
                _ if pads => return self.on_reals(id, operands),
                _ => match self.codes_of(operand) {
                    Some(codes) if self.is_centred(codes) => Value::Codes(codes),
                    _ => return self.on_reals(id, operands),
                },
            };
            codes.push((operand.0, value));
        }
        match self.layout(id, &codes) {
            Value::Codes(codes) => {
                // Constants that are reals are no type of codes.
                self.target[codes].ty.dtype = self
                    .target
                    .source(codes, 0)
                    .map_or(DType::I32, |source| self.target[source].ty.dtype);
                Value::Dequantised(codes)
            }
            other => other,
        }
    }

    /// Whether the code 0 stands for the real 0.
    fn is_centred(&self, codes: NodeId) -> bool {
        self.quantisation(codes).is_some_and(|q| q.zero_point.iter().all(|&z| z == 0))
    }
}

/// The quantisation of a sum over windows; with the range that it reaches, where it is codes for others.
fn reached(q: &Quantisation, units: usize, whole: Quantisation, requantised: bool) -> Quantisation {
    if requantised {
        return whole;
    }
    let ends = |code: i64| q.zero_point.iter().map(move |zero| code - zero);
    let low = ends(q.minimum).min().unwrap_or(0).min(0);
    let high = ends(q.maximum).max().unwrap_or(0).max(0);
    let units = i64::try_from(units).unwrap_or(i64::MAX);
    let (minimum, maximum) = (low.saturating_mul(units), high.saturating_mul(units));
    Quantisation { minimum, maximum, ..whole }
}
