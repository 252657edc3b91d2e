//! Functions of the reals that one array of codes stands for, as tables.

use snnc_ir::{DType, NodeId, Pool, PoolKind, Quantisation, TensorOp, TensorType};
use snnc_runtime::tensor::{Value as Array, evaluate};

use super::{CALIBRATE, Lowering, Value};
use crate::passes::rewrite::{constant, op, quantised_constant};

/// Codes of more levels are not tabulated.
const LEVELS: i64 = 1 << 16;

/// A real for each code of an array.
#[derive(Clone)]
pub(super) struct Function {
    pub(super) codes: NodeId,
    pub(super) minimum: i64,
    pub(super) reals: Vec<f32>,
}

/// Every code of a range, if they are not too many.
pub(super) fn levels(minimum: i64, maximum: i64) -> Option<std::ops::RangeInclusive<i64>> {
    let count = maximum.checked_sub(minimum)?;
    (0..LEVELS).contains(&count).then_some(minimum..=maximum)
}

/// Whether every window of a mean counts as many cells as the kernel has.
pub(super) fn uniform_windows(pool: &Pool, map: &[usize], outputs: &[usize]) -> bool {
    let window = &pool.window;
    let inside = |i: usize| {
        let extent = (window.kernel[i] - 1) * window.dilations[i] + 1;
        let end = (outputs[i].max(1) - 1) * window.strides[i] + extent;
        let padded = window.before[i] + map[i] + window.after[i];
        match pool.kind {
            PoolKind::Average => window.before[i] == 0 && end <= map[i],
            _ => end <= padded,
        }
    };
    (0..window.rank()).all(inside)
}

impl Function {
    /// Codes that stand for exactly these reals, if they are whole multiples of the smallest.
    pub(super) fn grid(&self) -> Option<Quantisation> {
        let step = self.reals.iter().map(|r| r.abs()).filter(|r| *r > 0.0).reduce(f32::min)?;
        let units = |real: &f32| {
            let units = (real / step).round();
            (units.abs() < LEVELS as f32 && units * step == *real).then_some(units as i64)
        };
        let units: Vec<i64> = self.reals.iter().map(units).collect::<Option<_>>()?;
        let (low, high) = (*units.iter().min()?, *units.iter().max()?);
        Some(Quantisation::per_tensor(step, 0, low.min(0), high.max(0)))
    }
}

impl Lowering<'_> {
    /// The identity on the reals that `codes` stand for.
    pub(super) fn function_of(&mut self, codes: NodeId, _operand: NodeId) -> Option<Function> {
        let q = self.quantisation(codes).filter(|q| q.axis.is_none())?;
        let reals = levels(q.minimum, q.maximum)?.map(|c| q.real(c, 0)).collect();
        Some(Function { codes, minimum: q.minimum, reals })
    }

    /// An operator on one element, or on two of which one is a constant or a function of the same
    /// codes; else one on what an accumulator, codes or an input make, channel by channel.
    pub(super) fn function(&mut self, id: super::NodeId, operands: &[(NodeId, Value)]) -> Value {
        let tabulated = |(operand, value): &(NodeId, Value)| match value {
            Value::Function(_) | Value::Dequantised(_) => true,
            Value::Constant => self.scalar(*operand).is_some(),
            _ => false,
        };
        // What the host can compute behind the last layer takes no neurons.
        if !self.tail.contains(&id)
            && !operands.iter().all(tabulated)
            && let Some(curve) = self.curve(id, operands)
        {
            return curve;
        }
        self.tabulated(id, operands)
    }

    fn tabulated(&mut self, id: super::NodeId, operands: &[(NodeId, Value)]) -> Value {
        let mut functions: Vec<Result<Function, f32>> = Vec::with_capacity(operands.len());
        for (operand, value) in operands {
            let function = match value {
                Value::Function(function) => Some(Ok(function.clone())),
                Value::Dequantised(codes) => self.function_of(*codes, *operand).map(Ok),
                Value::Constant => self.scalar(*operand).map(Err),
                _ => None,
            };
            match function {
                Some(function) => functions.push(function),
                None => return self.unquantised(id, *operand),
            }
        }
        let known: Vec<NodeId> =
            functions.iter().filter_map(|f| f.as_ref().ok()).map(|f| f.codes).collect();
        if let Some(common) = known.iter().find_map(|&codes| self.on_codes_of(&functions, codes)) {
            functions = common;
        }
        let Some(first) = functions.iter().find_map(|f| f.as_ref().ok()).cloned() else {
            return self.obstacle(id, "computes a constant that is not evaluated", "");
        };
        let same = |f: &Result<Function, f32>| f.as_ref().map_or(true, |f| f.codes == first.codes);
        if !functions.iter().all(same)
            || self.target[first.codes].ty.shape != self.source[id].ty.shape
        {
            return self.obstacle(
                id,
                "combines two activations in a way that has no form on codes",
                "only sums of activations can be expressed",
            );
        }
        match self.applied(id, &functions, first.reals.len()) {
            Some(reals) => Value::Function(Function { reals, ..first }),
            None => self.obstacle(id, "cannot be tabulated", CALIBRATE),
        }
    }

    /// The operands as functions of `codes`, if all are.
    fn on_codes_of(
        &self,
        operands: &[Result<Function, f32>],
        codes: NodeId,
    ) -> Option<Vec<Result<Function, f32>>> {
        let moved = |operand: &Result<Function, f32>| match operand {
            Ok(function) => self.traced_to(function.clone(), codes).map(Ok),
            Err(value) => Some(Err(*value)),
        };
        operands.iter().map(moved).collect()
    }

    /// A function of codes that tables make from `codes`, as a function of these.
    fn traced_to(&self, mut function: Function, codes: NodeId) -> Option<Function> {
        while function.codes != codes {
            let TensorOp::Lookup { minimum, table } = op(&self.target, function.codes)? else {
                return None;
            };
            let before = self.target.source(function.codes, 0)?;
            let q = self.quantisation(before).filter(|q| q.axis.is_none())?;
            let real = |code: i64| {
                let entry = *table.get(usize::try_from(code - minimum).ok()?)?;
                function.reals.get(usize::try_from(entry - function.minimum).ok()?).copied()
            };
            let reals = levels(q.minimum, q.maximum)?.map(real).collect::<Option<Vec<f32>>>()?;
            function = Function { codes: before, minimum: q.minimum, reals };
        }
        Some(function)
    }

    /// The operator of node `id` on every level at once.
    fn applied(
        &self,
        id: NodeId,
        operands: &[Result<Function, f32>],
        levels: usize,
    ) -> Option<Vec<f32>> {
        let arrays: Option<Vec<Array>> = operands
            .iter()
            .map(|o| match o {
                Ok(function) => Array::from_f32(&[levels], function.reals.clone()).ok(),
                Err(value) => Array::from_f32(&[levels], vec![*value; levels]).ok(),
            })
            .collect();
        let arrays = arrays?;
        let ty = TensorType::new(DType::F32, [levels]);
        let typed: Vec<(&Array, &TensorType)> = arrays.iter().map(|a| (a, &ty)).collect();
        let result = evaluate(op(self.source, id)?, &typed, &ty).ok()?;
        let reals = result.as_f32()?.to_vec();
        (!reals.iter().any(|r| r.is_nan())).then_some(reals)
    }

    /// The one real of a constant.
    fn scalar(&self, id: NodeId) -> Option<f32> {
        if let Some(value) = constant(self.source, id) {
            return (value.len() == 1 && value.dtype().is_float()).then(|| value.to_f32()[0]);
        }
        let (codes, q) = quantised_constant(self.source, id)?;
        let &[code] = codes.to_i64().ok()?.as_slice() else { return None };
        Some(q.real(code, 0))
    }

    /// The codes of a function: the same codes, a requantisation, or a table.
    pub(super) fn requantise_function(
        &mut self,
        id: NodeId,
        function: Function,
        ty: TensorType,
        q: &Quantisation,
    ) -> Value {
        let Function { codes, minimum, reals } = function;
        let table: Vec<i64> = reals.iter().map(|&real| q.code(real, 0)).collect();
        let ends = (table.iter().min(), table.iter().max());
        let tight = match (levels(q.minimum, q.maximum), ends) {
            (None, (Some(&minimum), Some(&maximum))) => {
                Quantisation { minimum, maximum, ..q.clone() }
            }
            _ => q.clone(),
        };
        let (q, ty) = (&tight, ty.quantised(tight.clone()));
        let operator = if self.is_rescaling(codes, minimum, &table, q) {
            TensorOp::Requantise
        } else {
            TensorOp::Lookup { minimum, table }
        };
        Value::Codes(self.copy(id, operator, ty, &[codes]))
    }

    /// Whether requantising gives the table for every code.
    fn is_rescaling(&self, codes: NodeId, minimum: i64, table: &[i64], q: &Quantisation) -> bool {
        let Some(from) = self.quantisation(codes) else { return false };
        let multiplier = from.scale_at(0) / q.scale_at(0);
        table.iter().zip(minimum..).all(|(&entry, code)| {
            q.code_of_units((code - from.zero_at(0)) as f32 * multiplier, 0) == entry
        })
    }
}
