//! Convolutions and dense layers on codes.

use std::collections::HashSet;

use snnc_ir::{DType, Node, NodeId, Quantisation, Tensor, TensorOp, TensorType};

use super::{CALIBRATE, Lowering, Value, accumulator};
use crate::passes::rewrite::{constant, op};

/// Part of a unit by which a bias may miss a whole number: exporters compute scales whose last digit
/// differs.
const NEARLY_WHOLE: f64 = 1e-2;

/// Weights as integers without zero point, and their scales.
struct Weights {
    codes: Tensor,
    /// The dimension of the outputs.
    axis: usize,
    /// How many outputs there are.
    outputs: usize,
    /// One, or one for each output.
    scale: Vec<f32>,
    minimum: i64,
    maximum: i64,
}

/// A bias before it is in units of the accumulator.
struct Bias {
    /// The real value for each output.
    reals: Vec<f64>,
    /// The integers and their scales, if the model gives them.
    stated: Option<(Vec<i64>, Vec<f32>)>,
}

impl Lowering<'_> {
    /// Puts a layer on codes: weights and bias become integers, the result an accumulator.
    pub(super) fn layer(&mut self, id: NodeId, operands: &[(NodeId, Value)]) -> Value {
        let Value::Dequantised(x) = operands[0].1 else {
            return self.unquantised(id, operands[0].0);
        };
        let Some(q) = self.quantisation(x).filter(|q| q.axis.is_none()).cloned() else {
            return self.obstacle(id, "takes channels of different scales", CALIBRATE);
        };
        let Some(mut weights) = self.weights(id, operands[1].0) else {
            return self.obstacle(
                id,
                "its weights are no codes with one scale for each output",
                CALIBRATE,
            );
        };
        let outputs = weights.outputs;
        let bias = match operands.get(2) {
            None => None,
            Some(&(operand, _)) => match self.bias(operand, outputs) {
                Some(bias) => Some(bias),
                None => return self.obstacle(id, "its bias is no constant", CALIBRATE),
            },
        };
        let s_x = q.scale_at(0);
        let units: Vec<f32> = weights.scale.iter().map(|s_w| s_x * s_w).collect();
        // A bias between two units of the accumulator is added where reals are requantised.
        let apart = bias
            .as_ref()
            .filter(|bias| bias.in_units(&units).1 > NEARLY_WHOLE && self.is_requantised(id))
            .map(|bias| self.real_bias(id, bias));
        let bias = if apart.is_some() { None } else { bias };
        if let Some(bias) = &bias {
            self.widen(id, &mut weights, s_x, bias);
        }
        let scale: Vec<f32> = weights.scale.iter().map(|s_w| s_x * s_w).collect();
        if scale.iter().any(|s| !(*s > 0.0 && s.is_finite())) {
            return self.obstacle(
                id,
                "the scale of its accumulator is 0 in single precision",
                CALIBRATE,
            );
        }
        let bias = bias.map(|bias| self.rounded(id, &bias, &scale));
        let name = self.source[id].name.clone();
        let mut sources = vec![x, self.add_weights(&name, id, weights)];
        if let Some(bias) = bias {
            let value = Tensor::from_i64(DType::I32, &[outputs], &bias);
            let q =
                Quantisation { axis: (scale.len() > 1).then_some(0), ..accumulator(scale.clone()) };
            sources.push(self.add_parameter(&format!("{name}.bias"), id, value, q));
        }
        let ty = TensorType::new(DType::I32, self.source[id].ty.shape.clone());
        let ty = ty.quantised(accumulator(scale));
        match op(self.source, id).cloned() {
            Some(operator) => {
                let node = self.copy(id, operator, ty, &sources);
                let terms = std::iter::once(node).chain(apart).collect();
                Value::Sum(terms, self.source[id].origins.clone())
            }
            None => Value::Failed,
        }
    }

    fn add_parameter(&mut self, name: &str, id: NodeId, value: Tensor, q: Quantisation) -> NodeId {
        let ty = value.tensor_type().quantised(q);
        let name = self.names.fresh(name);
        let node = Node::tensor(name, TensorOp::Constant, ty).with_data(value);
        self.target.add(node.with_origins(&self.source[id].origins.clone()), &[])
    }

    fn add_weights(&mut self, name: &str, id: NodeId, weights: Weights) -> NodeId {
        let Weights { codes, axis, scale, minimum, maximum, .. } = weights;
        let q = match scale[..] {
            [one] => Quantisation::per_tensor(one, 0, minimum, maximum),
            _ => Quantisation::per_axis(scale, axis, minimum, maximum),
        };
        self.add_parameter(&format!("{name}.codes"), id, codes, q)
    }

    /// Weights that are codes along outputs; zero points are subtracted, which may take more bits. Those
    /// of a transposed convolution have the outputs of a group in their second dimension.
    fn weights(&self, layer: NodeId, id: NodeId) -> Option<Weights> {
        let (codes, q) = self.parameter(id)?;
        let (axis, groups) = match op(self.source, layer)? {
            TensorOp::TransposedConvolution { groups, .. } => (1, *groups),
            _ => (0, 1),
        };
        let shape = codes.shape();
        if q.axis.is_some_and(|own| own != axis || groups > 1) || codes.is_empty() {
            return None;
        }
        let outputs = shape.get(axis)? * groups;
        let part = |codes, scale, minimum, maximum| {
            Some(Weights { codes, axis, outputs, scale, minimum, maximum })
        };
        if q.zero_point.iter().all(|&z| z == 0) {
            return part(codes.clone(), q.scale.clone(), q.minimum, q.maximum);
        }
        let row = shape[axis + 1..].iter().product::<usize>().max(1);
        let values = codes.to_i64().ok()?;
        let zero = |i: usize| q.zero_at(i / row % shape[axis]);
        let centred = |(i, &c): (usize, &i64)| c.saturating_sub(zero(i));
        let values: Vec<i64> = values.iter().enumerate().map(centred).collect();
        let low = q.zero_point.iter().map(|z| q.minimum.saturating_sub(*z)).min()?;
        let high = q.zero_point.iter().map(|z| q.maximum.saturating_sub(*z)).max()?;
        part(Tensor::from_integers(shape, &values), q.scale.clone(), low, high)
    }

    fn bias(&self, id: NodeId, outputs: usize) -> Option<Bias> {
        if let Some(value) = constant(self.source, id) {
            let reals: Vec<f64> = value.to_f32().into_iter().map(f64::from).collect();
            return (reals.len() == outputs).then_some(Bias { reals, stated: None });
        }
        let (codes, q) = self.parameter(id)?;
        let values = codes.to_i64().ok()?;
        let at = |i: usize, c: i64| c.saturating_sub(q.zero_at(i));
        let codes: Vec<i64> = values.iter().enumerate().map(|(i, &c)| at(i, c)).collect();
        let reals = codes.iter().enumerate().map(|(i, &c)| c as f64 * f64::from(q.scale_at(i)));
        let bias = Bias { reals: reals.collect(), stated: Some((codes.clone(), q.scale.clone())) };
        (codes.len() == outputs).then_some(bias)
    }

    /// Where weights are so small that the bias exceeds 32 bits in units of the accumulator, the
    /// weights get a coarser scale: they cannot matter beside such a bias.
    fn widen(&mut self, id: NodeId, weights: &mut Weights, s_x: f32, bias: &Bias) {
        let limit = f64::from(1u32 << 30);
        let s_x = f64::from(s_x);
        let per_output = weights.scale.len() > 1;
        let needed = |scale: f32, b: f64| (b.abs() / (s_x * limit)) as f32 > scale;
        let scale_at = |w: &Weights, i: usize| w.scale[if per_output { i } else { 0 }];
        let few: Vec<usize> = (0..bias.reals.len())
            .filter(|&i| needed(scale_at(weights, i), bias.reals[i]))
            .collect();
        // Of a transposed convolution the weights of an output are no row; its bias is clamped.
        let (Some(_), Ok(mut values), 0) = (few.first(), weights.codes.to_i64(), weights.axis)
        else {
            return;
        };
        let row = values.len() / bias.reals.len().max(1);
        if !per_output {
            weights.scale = vec![weights.scale[0]; bias.reals.len()];
        }
        for &i in &few {
            let coarse = (bias.reals[i].abs() / (s_x * limit)) as f32;
            let ratio = weights.scale[i] / coarse;
            for value in &mut values[i * row..(i + 1) * row] {
                *value = (*value as f32 * ratio).round_ties_even() as i64;
            }
            weights.scale[i] = coarse;
        }
        weights.codes = Tensor::from_integers(weights.codes.shape(), &values);
        let text = format!(
            "the weights of {} of its outputs vanish beside the bias and are quantised anew",
            few.len()
        );
        self.context.note(self.source[id].describe(), text);
    }

    /// The bias in units of the accumulator. Where the model's own units differ from these it is
    /// rounded, and the user told by how much.
    fn rounded(&mut self, id: NodeId, bias: &Bias, scale: &[f32]) -> Vec<i64> {
        let (values, worst) = bias.in_units(scale);
        if worst > NEARLY_WHOLE {
            let text = format!(
                "the bias is rounded to units of the accumulator, by at most {worst:.2} of a unit"
            );
            self.context.note(self.source[id].describe(), text);
        }
        values
    }

    /// Whether what the layer makes is rounded again in any case before it leaves the network.
    fn is_requantised(&self, id: NodeId) -> bool {
        let mut pending = self.source.users(id);
        let mut seen: HashSet<NodeId> = pending.iter().copied().collect();
        while let Some(next) = pending.pop() {
            match op(self.source, next) {
                Some(TensorOp::Quantise(_)) => {}
                Some(TensorOp::Output) | None => return false,
                _ => {
                    pending.extend(self.source.users(next).into_iter().filter(|u| seen.insert(*u)))
                }
            }
        }
        true
    }

    /// The bias as a term of its own, exactly: an f32 is an integer of 24 bits times a power of two.
    fn real_bias(&mut self, id: NodeId, bias: &Bias) -> NodeId {
        let parts = |&real: &f64| {
            let (mut mantissa, mut exponent) = (f64::from(real as f32), 0i32);
            while mantissa != 0.0 && mantissa.abs() < f64::from(1u32 << 23) && exponent > -120 {
                (mantissa, exponent) = (mantissa * 2.0, exponent - 1);
            }
            (mantissa.round_ties_even() as i64, (exponent as f32).exp2())
        };
        let (codes, scale): (Vec<i64>, Vec<f32>) = bias.reals.iter().map(parts).unzip();
        self.add_term(id, &codes, scale)
    }

    /// A constant of one value for each channel as a term of a sum, `None` if it is of another shape.
    pub(super) fn channel_term(&mut self, id: NodeId, operand: NodeId) -> Option<NodeId> {
        let own = &self.source[id].ty.shape;
        let channels = *own.get(1)?;
        let shape = &self.source[operand].ty.shape;
        let trailing = own.len().checked_sub(shape.len())?;
        let along = |(axis, &extent): (usize, &usize)| {
            extent == if axis + trailing == 1 { channels } else { 1 }
        };
        if channels < 2 || !shape.iter().enumerate().all(along) {
            return None;
        }
        let bias = self.bias(operand, channels)?;
        Some(match &bias.stated {
            Some((codes, scale)) => self.add_term(id, codes, scale.clone()),
            None => self.real_bias(id, &bias),
        })
    }

    /// A term of one code for each channel; one scale, or one for each.
    fn add_term(&mut self, id: NodeId, codes: &[i64], scale: Vec<f32>) -> NodeId {
        let mut shape = vec![1; self.source[id].ty.shape.len()];
        shape[1] = codes.len();
        let value = Tensor::from_i64(DType::I32, &shape, codes);
        let (minimum, maximum) = (i64::from(i32::MIN), i64::from(i32::MAX));
        let q = match scale[..] {
            [one] => Quantisation::per_tensor(one, 0, minimum, maximum),
            _ => Quantisation::per_axis(scale, 1, minimum, maximum),
        };
        let name = format!("{}.bias", self.source[id].name);
        self.add_parameter(&name, id, value, q)
    }
}

impl Bias {
    /// The bias in units of `scale`, one or one for each output, and how far a value is from a whole
    /// number of units at most.
    fn in_units(&self, scale: &[f32]) -> (Vec<i64>, f64) {
        let at = |v: &[f32], i: usize| v[if v.len() == 1 { 0 } else { i }];
        let (low, high) = (f64::from(i32::MIN), f64::from(i32::MAX));
        let mut worst = 0f64;
        let mut values = Vec::with_capacity(self.reals.len());
        for (i, real) in self.reals.iter().enumerate() {
            if let Some((codes, scales)) = &self.stated
                && at(scales, i) == at(scale, i)
            {
                values.push(codes[i]);
                continue;
            }
            let exact = real / f64::from(at(scale, i));
            let rounded = exact.round_ties_even().clamp(low, high);
            worst = worst.max((exact - rounded).abs());
            values.push(rounded as i64);
        }
        (values, worst)
    }
}
