//! Convolutions and dense layers on codes.

use std::collections::HashSet;

use snnc_ir::{DType, Node, NodeId, PerChannel, Quantisation, Tensor, TensorOp, TensorType, exact};

use super::{CALIBRATE, Lowering, Value, accumulator};
use crate::passes::rewrite::{constant, op};

/// Part of itself by which a bias may miss a whole number of units: two roundings to f32, in which
/// exporters compute the product of the scales or the bias.
const SAME: f64 = 2.4e-7;

/// Largest bias in units of the accumulator: what prepared neurons hold beside the largest sum, and as
/// fine as any f32 that the bias was.
const LARGEST_BIAS: u32 = 1 << 28;

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
        let Some(x) = self.codes_of(&operands[0]) else {
            return self.unquantised(id, operands[0].0);
        };
        let Some(q) = self.quantisation(x).cloned() else {
            return self.obstacle(id, "takes codes without a scale", CALIBRATE);
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
        let Some(units) = self.units(id, &q, &mut weights) else {
            return self.obstacle(
                id,
                "takes channels whose scales lie too far apart for one accumulator",
                "use one scale for the whole activation",
            );
        };
        if let (Some(bias), 1) = (&bias, units.len()) {
            self.leave_out(id, &mut weights, &q, bias);
        }
        let at = |v: &[f32], i: usize| *PerChannel::of(v).at(i);
        let scales = units.len().max(weights.scale.len());
        let scale: Vec<f32> = (0..scales).map(|i| at(&units, i) * at(&weights.scale, i)).collect();
        if scale.iter().any(|s| !(*s > 0.0 && s.is_finite())) {
            return self.obstacle(id, "the scale of its accumulator is 0 in float32", CALIBRATE);
        }
        // A bias between two units of the accumulator is added where reals are requantised. Of what is
        // read out the accumulator has the whole units, and the host adds the rest.
        let reach = weights.reach(&q);
        let wide = reach.iter().any(|&r| r > f64::from(i32::MAX));
        let dtype = if wide { DType::I64 } else { DType::I32 };
        let (bias, apart) = match bias {
            None => (None, None),
            Some(bias) => match bias.in_units(&scale, &reach, most_of(wide) as f64) {
                Some(codes) => (Some(codes), None),
                None if self.is_requantised(id) => (None, Some(self.real_bias(id, &bias))),
                None => {
                    let (whole, rest) = bias.split(&scale, &reach, wide);
                    (Some(whole), Some(self.real_bias(id, &rest)))
                }
            },
        };
        let name = self.source[id].name.clone();
        let mut sources = vec![x, self.add_weights(&name, id, weights)];
        if let Some(bias) = bias {
            let value = Tensor::from_i64(dtype, &[outputs], &bias);
            let axis = (scale.len() > 1).then_some(0);
            let q = Quantisation { axis, ..accumulator(scale.clone(), most_of(wide)) };
            sources.push(self.add_parameter(&format!("{name}.bias"), id, value, q));
        }
        let ty = TensorType::new(dtype, self.source[id].ty.shape.clone());
        let ty = ty.quantised(accumulator(scale, most_of(wide)));
        match op(self.source, id).cloned() {
            Some(operator) => {
                let node = self.copy(id, operator, ty, &sources);
                let terms = std::iter::once(node).chain(apart).collect();
                Value::Sum(terms, self.source[id].origins.clone())
            }
            None => Value::Failed,
        }
    }

    /// The real value of one unit of an operand, for each output or one for all. Channels of different scales
    /// come to one unit by integer factors on their weights: an f32 is an integer times a power of two. `None`
    /// where these do not fit.
    fn units(&self, id: NodeId, q: &Quantisation, weights: &mut Weights) -> Option<Vec<f32>> {
        if q.scale.len() == 1 {
            return Some(q.scale.clone());
        }
        if q.axis != Some(1) || weights.axis != 0 {
            return None;
        }
        let groups = match op(self.source, id)? {
            TensorOp::Convolution { groups, .. } => *groups,
            _ => 1,
        };
        let shape = weights.codes.shape().to_vec();
        let inputs = *shape.get(1)?;
        let taps: usize = shape[2..].iter().product();
        let mut values = weights.codes.to_i64().ok()?;
        let mut units = Vec::with_capacity(weights.outputs);
        let mut known: Option<(usize, Vec<i64>, f32)> = None;
        for output in 0..weights.outputs {
            let group = output / (weights.outputs / groups).max(1);
            if known.as_ref().is_none_or(|k| k.0 != group) {
                let scales = q.scale.get(group * inputs..(group + 1) * inputs)?;
                let (factors, unit) = common_unit(scales)?;
                known = Some((group, factors, unit));
            }
            let (_, factors, unit) = known.as_ref()?;
            units.push(*unit);
            for (input, factor) in factors.iter().enumerate() {
                let first = (output * inputs + input) * taps;
                for value in &mut values[first..first + taps] {
                    *value = value.checked_mul(*factor)?;
                }
            }
        }
        weights.minimum = values.iter().copied().min().unwrap_or(0).min(weights.minimum);
        weights.maximum = values.iter().copied().max().unwrap_or(0).max(weights.maximum);
        weights.codes = Tensor::from_integers(&shape, &values);
        let fits = weights.reach(q).iter().all(|&r| r < MOST_WIDE as f64 / 4.0);
        fits.then_some(units)
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
        // In f32, as DequantizeLinear gives it.
        let reals = codes.iter().enumerate().map(|(i, &c)| f64::from(c as f32 * q.scale_at(i)));
        let bias = Bias { reals: reals.collect(), stated: Some((codes.clone(), q.scale.clone())) };
        (codes.len() == outputs).then_some(bias)
    }

    /// Leaves out the weights of outputs whose codes they cannot change beside the bias: the code is the
    /// same at both ends of what the accumulator reaches. Their bias is one unit of a scale of their own,
    /// where it would be more units of the accumulator than fit.
    fn leave_out(&mut self, id: NodeId, weights: &mut Weights, q: &Quantisation, bias: &Bias) {
        let most = f64::from(LARGEST_BIAS);
        let s_x = q.scale_at(0);
        let reach = weights.reach(q);
        let outputs = bias.reals.len();
        let unit = |w: &Weights, i: usize| f64::from(s_x * *PerChannel::of(&w.scale).at(i));
        let few: Vec<usize> = (0..outputs)
            .filter(|&i| {
                let (real, unit) = (bias.reals[i], unit(weights, i));
                let own = (real.abs() / f64::from(s_x)) as f32;
                let outweighs =
                    real.abs() / unit > most && own.is_normal() && (own * s_x).is_normal();
                outweighs && (reach[i] == 0.0 || self.is_one_code(id, real, reach[i] * unit))
            })
            .collect();
        // Of a transposed convolution the weights of an output are no row.
        let (Some(_), Ok(mut values), 0) = (few.first(), weights.codes.to_i64(), weights.axis)
        else {
            return;
        };
        let row = values.len() / outputs.max(1);
        if weights.scale.len() == 1 {
            weights.scale = vec![weights.scale[0]; outputs];
        }
        for &i in &few {
            values[i * row..(i + 1) * row].fill(0);
            weights.scale[i] = (bias.reals[i].abs() / f64::from(s_x)) as f32;
        }
        weights.codes = Tensor::from_integers(weights.codes.shape(), &values);
        let text = format!(
            "the weights of {} of its outputs cannot change a code and are left out",
            few.len()
        );
        self.context.note(self.source[id].describe(), text);
    }

    /// Whether all that reads the node are quantisers, and each gives all reals within `reach` of `real`
    /// the same code.
    fn is_one_code(&self, id: NodeId, real: f64, reach: f64) -> bool {
        // More than sums in f32 can be off.
        let reach = 1.01 * reach + 1e-6 * real.abs();
        let (low, high) = ((real - reach) as f32, (real + reach) as f32);
        let one = |user: NodeId| match op(self.source, user) {
            Some(TensorOp::Quantise(q)) => q.axis.is_none() && q.code(low, 0) == q.code(high, 0),
            _ => false,
        };
        let users = self.source.users(id);
        !users.is_empty() && users.into_iter().all(one)
    }

    /// Whether what the layer makes is rounded again in any case before it leaves the network.
    fn is_requantised(&self, id: NodeId) -> bool {
        let mut pending = self.source.users(id);
        let mut seen: HashSet<NodeId> = pending.iter().copied().collect();
        while let Some(next) = pending.pop() {
            match op(self.source, next) {
                Some(TensorOp::Quantise(_) | TensorOp::Threshold(_)) => {}
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
        let term = |&real: &f64| {
            let real = real as f32;
            if real == 0.0 {
                return (0, 1.0);
            }
            let (mantissa, exponent) = exact::parts(real.abs());
            let code = mantissa as i64 * if real < 0.0 { -1 } else { 1 };
            (code, f64::from(exponent).exp2() as f32)
        };
        let (codes, scale): (Vec<i64>, Vec<f32>) = bias.reals.iter().map(term).unzip();
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
        let exact = |codes: &[i64]| codes.iter().all(|c| c.unsigned_abs() < 1 << 24);
        Some(match &bias.stated {
            Some((codes, scale)) if exact(codes) => self.add_term(id, codes, scale.clone()),
            _ => self.real_bias(id, &bias),
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

/// The largest accumulator of 64 bits that is used, so that sums of two have room.
const MOST_WIDE: i64 = 1 << 60;

/// The largest accumulator.
fn most_of(wide: bool) -> i64 {
    if wide { MOST_WIDE } else { i64::from(i32::MAX) }
}

/// Integers and a unit whose products are exactly the given positive numbers; `None` where an integer would
/// take more than 40 bits.
fn common_unit(scales: &[f32]) -> Option<(Vec<i64>, f32)> {
    let odd = |&scale: &f32| {
        let (mantissa, exponent) = exact::parts(scale);
        let zeros = mantissa.trailing_zeros();
        ((mantissa >> zeros) as i64, exponent + zeros as i32)
    };
    let parts: Vec<(i64, i32)> = scales.iter().map(odd).collect();
    let least = parts.iter().map(|p| p.1).min()?;
    let factor = |&(mantissa, exponent): &(i64, i32)| {
        let shift = exponent - least;
        (shift < 40 && mantissa.ilog2() as i32 + shift < 40).then(|| mantissa << shift)
    };
    let factors: Vec<i64> = parts.iter().map(factor).collect::<Option<_>>()?;
    let divisor = factors.iter().fold(0, |a, &b| exact::gcd(a, b.into())) as i64;
    let unit = (divisor as f64 * f64::from(least).exp2()) as f32;
    let factors = factors.iter().map(|f| f / divisor.max(1)).collect();
    unit.is_normal().then_some((factors, unit))
}

impl Weights {
    /// For each output the largest magnitude of its accumulator, for codes of `q`.
    fn reach(&self, q: &Quantisation) -> Vec<f64> {
        let largest = |zero: &i64| q.maximum.abs_diff(*zero).max(q.minimum.abs_diff(*zero));
        let most = q.zero_point.iter().map(largest).max().unwrap_or(0) as f64;
        let codes = self.codes.to_i64().unwrap_or_default();
        let sum = |row: &[i64]| row.iter().map(|w| w.unsigned_abs() as f64).sum::<f64>() * most;
        // Of a transposed convolution the weights of an output are no row.
        if self.axis != 0 {
            return vec![sum(&codes); self.outputs];
        }
        codes.chunks((codes.len() / self.outputs.max(1)).max(1)).map(sum).collect()
    }
}

impl Bias {
    /// The nearest whole numbers of units that the accumulator holds together with the sum, and the rest of the bias.
    fn split(&self, scale: &[f32], reach: &[f64], wide: bool) -> (Vec<i64>, Bias) {
        let one = |(i, &real): (usize, &f64)| {
            let unit = f64::from(*PerChannel::of(scale).at(i));
            let whole = (real / unit).round_ties_even();
            let fits = whole.abs() + reach.get(i).copied().unwrap_or(0.0) <= most_of(wide) as f64;
            let whole = if fits { whole } else { 0.0 };
            (whole as i64, real - whole * unit)
        };
        let (whole, reals) = self.reals.iter().enumerate().map(one).unzip();
        (whole, Bias { reals, stated: None })
    }

    /// The bias in units of `scale`, one or one for each output, if it is one to the last digits of f32:
    /// a code of the model's whose scale is that of the accumulator, or a real that is a whole number of
    /// units. None if another is, or if it exceeds 32 bits together with the sum that `reach` bounds.
    fn in_units(&self, scale: &[f32], reach: &[f64], most: f64) -> Option<Vec<i64>> {
        let at = |v: &[f32], i: usize| f64::from(*PerChannel::of(v).at(i));
        let code = |(i, &real): (usize, &f64)| {
            let unit = at(scale, i);
            let code = match &self.stated {
                Some((codes, scales)) if (at(scales, i) / unit - 1.0).abs() <= SAME => codes[i],
                _ => {
                    let rounded = (real / unit).round_ties_even();
                    ((rounded * unit - real).abs() <= SAME * real.abs())
                        .then_some(rounded as i64)?
                }
            };
            let reach = reach.get(i).copied().unwrap_or(0.0);
            (code.unsigned_abs() as f64 + reach <= most).then_some(code)
        };
        self.reals.iter().enumerate().map(code).collect()
    }
}
