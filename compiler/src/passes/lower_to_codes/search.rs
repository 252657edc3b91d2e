//! The search for the arguments of a curve from which on codes are reached.

use std::collections::HashMap;

use snnc_ir::{DType, NodeId, Quantisation, TensorOp, TensorType};
use snnc_runtime::tensor::{Value as Array, evaluate};

use super::Lowering;
use super::function::Function;
use crate::passes::ascending::{key_of_real, real_of_key};
use crate::passes::rewrite::op;

/// Arguments that are tried at once.
const AT_ONCE: usize = 1 << 18;

/// A search for the arguments from which on codes are reached.
pub(super) struct Search<'a, 'b> {
    pub(super) lowering: &'a Lowering<'b>,
    /// The node whose reals are the argument.
    pub(super) of: NodeId,
    /// The nodes that make the function, in order.
    pub(super) nodes: &'a [NodeId],
    /// Channels that differ.
    pub(super) rows: usize,
    /// Smallest and largest code.
    pub(super) ends: (i64, i64),
    pub(super) code: &'a dyn Fn(usize, f32) -> i64,
}

impl Search<'_, '_> {
    /// Codes for arguments, `rows` of each level one after the other: `start` gives the real of an
    /// argument in a channel.
    fn codes_at(&self, reals: Vec<f32>) -> Option<Vec<i64>> {
        let values = self.apply(reals)?;
        let code = |(i, x): (usize, f32)| (self.code)(i % self.rows, x);
        Some(values.into_iter().enumerate().map(code).collect())
    }

    /// The curve of reals that lie as (arguments, channels).
    fn apply(&self, reals: Vec<f32>) -> Option<Vec<f32>> {
        let source = self.lowering.source;
        let rank = source[self.of].ty.shape.len();
        let mut shape = vec![1; rank];
        (shape[0], shape[1]) = (reals.len() / self.rows.max(1), self.rows);
        let mut known: HashMap<NodeId, Array> = HashMap::new();
        known.insert(self.of, Array::from_f32(&shape, reals).ok()?);
        for &node in self.nodes {
            let mut operands = Vec::new();
            for operand in source.sources(node) {
                let (value, dtype) = match known.get(&operand) {
                    Some(value) => (value.clone(), source[operand].ty.dtype),
                    None => {
                        let tensor = self.lowering.of_channels(node, operand)?;
                        (Array::from(&tensor), DType::F32)
                    }
                };
                let ty = TensorType::new(dtype, value.shape().to_vec());
                operands.push((value, ty));
            }
            let typed: Vec<(&Array, &TensorType)> = operands.iter().map(|(v, t)| (v, t)).collect();
            let ty = TensorType::new(source[node].ty.dtype, shape.clone());
            known.insert(node, evaluate(op(source, node)?, &typed, &ty).ok()?);
        }
        let last = self.nodes.last().unwrap_or(&self.of);
        Some(known.get(last)?.to_f32())
    }

    /// For each channel and level the least of `low..high` from which on its code is reached, `high` where
    /// it never is; arguments are integers whose real in a channel `real` says.
    fn bisected(
        &self,
        (low, high): (i64, i64),
        real: &dyn Fn(usize, i64) -> f32,
    ) -> Option<Vec<Vec<i64>>> {
        let levels = (self.ends.1 - self.ends.0) as usize;
        let mut found: Vec<Vec<i64>> = vec![Vec::with_capacity(levels); self.rows];
        let part = (AT_ONCE / self.rows.max(1)).max(1);
        for first in (0..levels).step_by(part) {
            let count = part.min(levels - first);
            let mut from = vec![low; count * self.rows];
            let mut to = vec![high; count * self.rows];
            while from.iter().zip(&to).any(|(a, b)| a < b) {
                let middle: Vec<i64> = from.iter().zip(&to).map(|(a, b)| a + (b - a) / 2).collect();
                let reals = middle.iter().enumerate().map(|(i, &v)| real(i % self.rows, v));
                let codes = self.codes_at(reals.collect())?;
                for (i, code) in codes.into_iter().enumerate() {
                    if from[i] >= to[i] {
                        continue;
                    }
                    if code > self.ends.0 + (first + i / self.rows) as i64 {
                        to[i] = middle[i];
                    } else {
                        from[i] = middle[i] + 1;
                    }
                }
            }
            for (i, v) in from.into_iter().enumerate() {
                found[i % self.rows].push(v);
            }
        }
        for row in &mut found {
            // The arithmetic of f32 may fall by a last digit where the function only rises.
            let mut least = i64::MIN;
            for v in row {
                least = least.max(*v);
                *v = least;
            }
        }
        Some(found)
    }

    /// Thresholds of an accumulator.
    pub(super) fn accumulators(&self, terms: &[NodeId]) -> Option<Vec<Vec<i64>>> {
        let target = &self.lowering.target;
        let constants: Vec<Option<Vec<i64>>> = terms
            .iter()
            .map(|&t| match op(target, t) {
                Some(TensorOp::Constant) => Some(target[t].data.as_ref()?.to_i64().ok()?),
                _ => None,
            })
            .collect();
        let scales: Option<Vec<&Quantisation>> =
            terms.iter().map(|&t| target[t].ty.quantisation.as_ref()).collect();
        let scales = scales?;
        let real = |channel: usize, v: i64| {
            let of = |(codes, q): (&Option<Vec<i64>>, &&Quantisation)| {
                let a = match codes {
                    Some(codes) => codes.get(channel).or(codes.first()).copied().unwrap_or(0),
                    None => v,
                };
                a as f32 * q.scale_at(channel)
            };
            let mut reals = constants.iter().zip(&scales).map(of);
            let first = reals.next().unwrap_or(0.0);
            reals.fold(first, |sum, x| sum + x)
        };
        let argument = constants.iter().position(Option::is_none)?;
        let q = scales[argument];
        self.bisected((q.minimum, q.maximum + 1), &real)
    }

    /// Thresholds of a graph input.
    pub(super) fn reals(&self) -> Option<Vec<Vec<f32>>> {
        let ends = (key_of_real(f32::NEG_INFINITY), key_of_real(f32::INFINITY));
        let found = self.bisected(ends, &|_, key| real_of_key(key))?;
        let row = |row: Vec<i64>| {
            let reals = row.into_iter().map(real_of_key).take_while(|t| *t < f32::INFINITY);
            reals.map(|t| t.max(f32::MIN)).collect()
        };
        Some(found.into_iter().map(row).collect())
    }

    /// Thresholds of codes, their zero point subtracted; an error where a channel's function falls.
    pub(super) fn codes(&self, function: &Function) -> Result<Option<Vec<Vec<i64>>>, ()> {
        let reals: Vec<f32> =
            function.reals.iter().flat_map(|&real| vec![real; self.rows]).collect();
        let Some(codes) = self.codes_at(reals) else { return Ok(None) };
        let q = self.lowering.quantisation(function.codes);
        let zero = q.map_or(0, |q| q.zero_at(0));
        let mut rows = Vec::with_capacity(self.rows);
        for channel in 0..self.rows {
            let own: Vec<i64> = codes.iter().skip(channel).step_by(self.rows).copied().collect();
            if !own.is_sorted() {
                return Err(());
            }
            let reached = |level: i64| {
                let index = own.partition_point(|&code| code < level);
                (index < own.len()).then(|| function.minimum + index as i64 - zero)
            };
            rows.push((self.ends.0 + 1..=self.ends.1).map_while(reached).collect());
        }
        Ok(Some(rows))
    }
}

#[cfg(test)]
mod tests {
    use snnc_ir::{Graph, verify};
    use snnc_runtime::tensor::{Program, Value as Array};

    use crate::passes::{self, Context};

    /// A dense layer of one input and three outputs, what `between` makes of it, and its quantiser; scales
    /// are powers of two up to the quantiser's, so that f32 computes both networks alike.
    fn network(between: &str, quantiser: &str) -> Graph {
        let text = format!(
            r#"snnir 1 tensor "curve" {{"timesteps":1,"schedule":"streaming"}}
%x = input () : f32[1,1]
%x_q = quantise {{"scale":[0.5],"zero_point":[0],"minimum":-128,"maximum":127}} (%x) : i8[1,1] quantised {{"scale":[0.5],"zero_point":[0],"minimum":-128,"maximum":127}}
%x_dq = dequantise {{"scale":[0.5],"zero_point":[0],"minimum":-128,"maximum":127}} (%x_q) : f32[1,1]
%w_q = constant () : i8[3,1]
  data i8[3,1] 1 3 -2
%w = dequantise {{"scale":[0.25,0.125,0.5],"zero_point":[0,0,0],"axis":0,"minimum":-128,"maximum":127}} (%w_q) : f32[3,1]
%fc = dense (%x_dq, %w) : f32[1,3]
%c = constant () : f32[3]
  data f32[3] 0.25 0.1 0.0
%n = constant () : f32[3]
  data f32[3] 0.25 -0.1 0.0
{between}
%y_q = {quantiser} (%f) : u8[1,3]
%y_dq = dequantise {{"scale":[0.3],"zero_point":[7],"minimum":0,"maximum":31}} (%y_q) : f32[1,3]
%v_q = constant () : i8[3,3]
  data i8[3,3] 1 0 0 0 1 0 0 0 1
%v = dequantise {{"scale":[1.0],"zero_point":[0],"minimum":-128,"maximum":127}} (%v_q) : f32[3,3]
%last = dense (%y_dq, %v) : f32[1,3]
%scores = output (%last) : f32[1,3]
"#
        );
        verify(Graph::from_text(&text).unwrap()).unwrap().into_inner()
    }

    const ROUNDING: &str = r#"quantise {"scale":[0.3],"zero_point":[7],"minimum":0,"maximum":31}"#;

    fn scores(graph: &Graph, x: f32) -> Vec<f32> {
        let program = Program::new(graph).unwrap();
        let x = Array::from_f32(&[1, 1], vec![x]).unwrap();
        program.run(&[x]).unwrap().first().unwrap().to_f32()
    }

    #[test]
    fn thresholds_answer_as_the_operators_do() {
        let functions = [
            r#"%f = binary "slope" (%fc, %c) : f32[1,3]"#,
            r#"%f = unary {"leaky-relu":{"alpha":0.1}} (%fc) : f32[1,3]"#,
            r#"%f = unary "tanh" (%fc) : f32[1,3]"#,
            r#"%f = binary "add" (%fc, %n) : f32[1,3]"#,
            "%a = binary \"mul\" (%fc, %c) : f32[1,3]\n%b = unary \"relu\" (%fc) : f32[1,3]\n%f = binary \"add\" (%a, %b) : f32[1,3]",
            "%a = unary \"neg\" (%fc) : f32[1,3]\n%f = unary \"neg\" (%a) : f32[1,3]",
        ];
        let steps = r#"threshold {"axis":1,"minimum":0,"rows":{"reals":[[-3.0,0.0,0.4],[-1.0,2.0],[0.0,0.0,5.5]]}}"#;
        for function in functions {
            for quantiser in [ROUNDING, steps] {
                let reals = network(function, quantiser);
                let codes = passes::quantised(reals.clone(), &mut Context::default()).unwrap();
                // What is added and rounded is a sum that has its own rule.
                let own = function.contains("\"add\" (%fc, %n)") && quantiser == ROUNDING;
                let searched = codes.to_text(Default::default()).contains("= threshold");
                assert_eq!(searched, !own, "{function}");
                for code in -128..128 {
                    let x = code as f32 / 2.0;
                    assert_eq!(scores(&codes, x), scores(&reals, x), "{function} {quantiser} {x}");
                }
            }
        }
    }

    #[test]
    fn what_falls_is_refused_by_its_name() {
        for function in [
            r#"%f = binary "slope" (%fc, %n) : f32[1,3] from [{"node":"odd","op":"PRelu"}]"#,
            r#"%f = unary "neg" (%fc) : f32[1,3] from [{"node":"odd","op":"Neg"}]"#,
            r#"%f = unary "abs" (%fc) : f32[1,3] from [{"node":"odd","op":"Abs"}]"#,
        ] {
            let reals = network(function, ROUNDING);
            let error = passes::quantised(reals, &mut Context::default()).unwrap_err();
            assert!(error.to_string().contains("`odd`"), "{error}");
        }
    }
}
