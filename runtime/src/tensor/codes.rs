//! Codes and the real numbers that they stand for.

use snnc_ir::{Quantisation, Rounding, Tensor, TensorType, Thresholds};

use super::layout::{Channels, Split, broadcast_strides, offsets};
use super::value::element_count;
use super::{Data, RunError, Value};

/// The integers of a value.
pub(super) fn integers(value: &Value) -> Result<&[i64], RunError> {
    value.as_i64().ok_or(RunError::Mixed)
}

/// `code - zero point` for every element; an array without quantisation has zero points 0.
pub(super) fn centred(value: &Value, ty: &TensorType) -> Result<Vec<i64>, RunError> {
    let codes = integers(value)?;
    match &ty.quantisation {
        Some(q) if q.zero_point.iter().any(|&z| z != 0) => {
            let channels = Channels::new(q, value.shape())?.each();
            Ok(codes.iter().zip(channels).map(|(c, i)| c.saturating_sub(q.zero_at(i))).collect())
        }
        _ => Ok(codes.to_vec()),
    }
}

/// ONNX QuantizeLinear.
pub(super) fn quantise(x: &Value, q: &Quantisation, ty: &TensorType) -> Result<Value, RunError> {
    let reals = x.as_f32().ok_or(RunError::Elements(ty.dtype))?;
    let (run, channels) = Channels::new(q, x.shape())?.runs();
    let mut codes = Vec::with_capacity(reals.len());
    if run > 0 {
        for (chunk, channel) in reals.chunks_exact(run).zip(channels) {
            match Nearest::of(q, channel) {
                Some(nearest) => codes.extend(chunk.iter().map(|&real| nearest.code(real))),
                None => codes.extend(chunk.iter().map(|&real| q.code(real, channel))),
            }
        }
    }
    Value::from_i64(&ty.shape, codes)
}

/// [`Quantisation::code`] of one channel for few enough levels, without a call for each element.
struct Nearest {
    scale: f32,
    /// The range of codes with the zero point subtracted.
    low: f32,
    high: f32,
    zero: i64,
}

impl Nearest {
    /// Above this, and below it negated, single precision rounds every sum with it to an integer, ties
    /// to even, as long as the other summand is smaller than a third of it.
    const WHOLE: f32 = 12_582_912.0;

    fn of(q: &Quantisation, channel: usize) -> Option<Nearest> {
        // An axis of length 0 has neither.
        q.zero_point.first().and(q.scale.first())?;
        let zero = q.zero_at(channel);
        let (low, high) = (q.minimum.checked_sub(zero)?, q.maximum.checked_sub(zero)?);
        let few = |end: i64| end.unsigned_abs() < 1 << 22;
        // NaN becomes the zero point, which has to be a code itself.
        let after = q.rounding == Rounding::HalfEven && q.offset.is_empty();
        (after && few(low) && few(high) && low <= 0 && high >= 0).then(|| Nearest {
            scale: q.scale_at(channel),
            low: low as f32,
            high: high as f32,
            zero,
        })
    }

    #[inline]
    fn code(&self, real: f32) -> i64 {
        self.level(real / self.scale)
    }

    /// The code of a real in units of the scale.
    #[inline]
    fn level(&self, scaled: f32) -> i64 {
        // Both ends are integers, so that it is the same to stop at them before rounding.
        let stopped = if scaled.is_nan() { 0.0 } else { scaled.max(self.low).min(self.high) };
        let rounded = (stopped + Nearest::WHOLE) - Nearest::WHOLE;
        i64::from(rounded as i32) + self.zero
    }
}

/// ONNX DequantizeLinear.
pub(super) fn dequantise(x: &Value, q: &Quantisation, ty: &TensorType) -> Result<Value, RunError> {
    let codes = integers(x)?;
    let (run, channels) = Channels::new(q, x.shape())?.runs();
    let mut reals = Vec::with_capacity(codes.len());
    if run > 0 {
        for (chunk, channel) in codes.chunks_exact(run).zip(channels) {
            extend(&mut reals, chunk, q, channel);
        }
    }
    Value::from_f32(&ty.shape, reals)
}

/// [`dequantise`] of stored codes, which are unpacked part by part.
pub(super) fn dequantise_stored(
    codes: &Tensor,
    q: &Quantisation,
    ty: &TensorType,
) -> Result<Value, RunError> {
    const PART: usize = 1 << 12;
    let count = element_count(codes.shape())?;
    let (run, channels) = Channels::new(q, codes.shape())?.runs();
    let mut reals = Vec::with_capacity(count);
    if run > 0 {
        for (first, channel) in (0..count).step_by(run).zip(channels) {
            for part in (first..first + run).step_by(PART) {
                let part = codes.part_to_i64(part..(first + run).min(part + PART));
                let part = part.map_err(|_| RunError::Mixed)?;
                extend(&mut reals, &part, q, channel);
            }
        }
    }
    Value::from_f32(&ty.shape, reals)
}

fn extend(reals: &mut Vec<f32>, codes: &[i64], q: &Quantisation, channel: usize) {
    let (zero, scale) = (q.zero_at(channel), q.scale_at(channel));
    if zero == 0 {
        reals.extend(codes.iter().map(|&code| code as f32 * scale));
    } else {
        reals.extend(codes.iter().map(|code| code.saturating_sub(zero) as f32 * scale));
    }
}

/// What codes of the result stand for.
fn of_result(ty: &TensorType) -> Result<&Quantisation, RunError> {
    let reason = "the result has none";
    ty.quantisation.as_ref().ok_or(RunError::Quantisation { shape: ty.shape.clone(), reason })
}

/// The two forms of requantisation; every step is one `f32` operation.
pub(super) fn requantise(
    operands: &[(&Value, &TensorType)],
    ty: &TensorType,
) -> Result<Value, RunError> {
    let q = of_result(ty)?;
    let own = Channels::new(q, &ty.shape)?;
    if let ([(value, operand)], Some(nearest), 1) = (operands, Nearest::of(q, 0), q.scale.len())
        && q.zero_point.len() == 1
    {
        return rescaled(value, operand, q, &nearest, ty);
    }
    let scaled: Vec<f32> = match operands {
        [(value, operand)] => {
            let s = operand.quantisation.as_ref().ok_or(RunError::NotQuantised(0))?;
            let channels = Channels::new(s, value.shape())?.each().zip(own.each());
            let multiplied = |(a, (i, o)): (i64, _)| a as f32 * (s.scale_at(i) / q.scale_at(o));
            centred(value, operand)?.into_iter().zip(channels).map(multiplied).collect()
        }
        _ => {
            let mut sums = vec![0f32; ty.len()];
            for (port, (value, operand)) in operands.iter().enumerate() {
                let reals = reals_of(value, operand, port)?;
                let at = offsets(&ty.shape, &broadcast_strides(value.shape(), &ty.shape), 0);
                // The first product is the sum itself: adding it to 0 would lose the sign of -0.
                for (sum, i) in sums.iter_mut().zip(at) {
                    *sum = if port == 0 { reals[i] } else { *sum + reals[i] };
                }
            }
            sums.into_iter().zip(own.each()).map(|(sum, o)| sum / q.scale_at(o)).collect()
        }
    };
    let code = |(x, o): (f32, usize)| q.code_of_units(x, o);
    Value::from_i64(&ty.shape, scaled.into_iter().zip(own.each()).map(code).collect())
}

/// Sums of accumulators in exact rationals; where an offset is added before rounding, in f32 as it is.
pub(super) fn requantise_sum(
    operands: &[(&Value, &TensorType)],
    ty: &TensorType,
) -> Result<Value, RunError> {
    let q = of_result(ty)?;
    if !q.offset.is_empty() {
        return requantise(operands, ty);
    }
    let mut terms: Vec<Vec<(i64, f32)>> = Vec::with_capacity(operands.len());
    for (port, (value, operand)) in operands.iter().enumerate() {
        let s = operand.quantisation.as_ref().ok_or(RunError::NotQuantised(port))?;
        let channels = Channels::new(s, value.shape())?.each();
        let with_scale = |(a, i): (i64, usize)| (a, s.scale_at(i));
        let own: Vec<_> =
            centred(value, operand)?.into_iter().zip(channels).map(with_scale).collect();
        let at = offsets(&ty.shape, &broadcast_strides(value.shape(), &ty.shape), 0);
        terms.push(at.map(|i| own[i]).collect());
    }
    let mut each = vec![(0, 1.0); operands.len()];
    let code = |(place, channel): (usize, usize)| {
        each.iter_mut().zip(&terms).for_each(|(each, all)| *each = all[place]);
        let level = q.level_of_sum(&each, channel);
        level.saturating_add(q.zero_at(channel)).clamp(q.minimum, q.maximum)
    };
    let own = Channels::new(q, &ty.shape)?;
    Value::from_i64(&ty.shape, own.each().enumerate().map(code).collect())
}

/// One operand in the codes of a whole tensor's one scale, to the nearest.
fn rescaled(
    value: &Value,
    operand: &TensorType,
    q: &Quantisation,
    nearest: &Nearest,
    ty: &TensorType,
) -> Result<Value, RunError> {
    let s = operand.quantisation.as_ref().ok_or(RunError::NotQuantised(0))?;
    let (run, channels) = Channels::new(s, value.shape())?.runs();
    let mut codes = Vec::with_capacity(value.len());
    for (chunk, channel) in integers(value)?.chunks_exact(run.max(1)).zip(channels) {
        let (factor, zero) = (s.scale_at(channel) / q.scale_at(0), s.zero_at(channel));
        let level = |&a: &i64| nearest.level(a.saturating_sub(zero) as f32 * factor);
        codes.extend(chunk.iter().map(level));
    }
    Value::from_i64(&ty.shape, codes)
}

/// `f32(code - zero point) * scale` for every element of operand `port`.
fn reals_of(value: &Value, ty: &TensorType, port: usize) -> Result<Vec<f32>, RunError> {
    let q = ty.quantisation.as_ref().ok_or(RunError::NotQuantised(port))?;
    let channels = Channels::new(q, value.shape())?.each();
    let real = |(a, i): (i64, usize)| a as f32 * q.scale_at(i);
    Ok(centred(value, ty)?.into_iter().zip(channels).map(real).collect())
}

pub(super) fn lookup(
    x: &Value,
    minimum: i64,
    table: &[i64],
    ty: &TensorType,
) -> Result<Value, RunError> {
    let entry = |&code: &i64| {
        let found = code.checked_sub(minimum).and_then(|i| table.get(usize::try_from(i).ok()?));
        found.copied().ok_or_else(|| {
            let high = minimum.saturating_add(table.len() as i64 - 1);
            RunError::Index { index: code, low: minimum, high }
        })
    };
    let codes = integers(x)?.iter().map(entry).collect::<Result<_, _>>()?;
    Value::from_i64(&ty.shape, codes)
}

/// The code of each element by the thresholds of its channel.
pub(super) fn threshold(
    x: &Value,
    of: &TensorType,
    thresholds: &Thresholds,
    ty: &TensorType,
) -> Result<Value, RunError> {
    let misfit = |reason| RunError::Quantisation { shape: ty.shape.clone(), reason };
    let fits = |n: &&usize| **n == thresholds.rows.len();
    let (inner, extent) = match ty.shape.get(thresholds.axis).filter(fits) {
        Some(&extent) => (Split::at(&ty.shape, thresholds.axis).inner, extent),
        None if thresholds.rows.len() == 1 => (1, 1),
        None => return Err(misfit("thresholds have another number of channels")),
    };
    let channel = |i: usize| i / inner.max(1) % extent.max(1);
    let codes: Option<Vec<i64>> = match x.data() {
        Data::F32(x) => {
            x.iter().enumerate().map(|(i, &x)| thresholds.of_real(channel(i), x)).collect()
        }
        Data::Int(_) => {
            let codes = centred(x, of)?.into_iter().enumerate();
            codes.map(|(i, v)| thresholds.of_integer(channel(i), v)).collect()
        }
    };
    Value::from_i64(&ty.shape, codes.ok_or(RunError::Mixed)?)
}

/// The elements as reals, where codes of several scales have to be compared.
pub(super) fn comparable(value: &Value, ty: &TensorType) -> Result<Value, RunError> {
    match (value.data(), &ty.quantisation) {
        (Data::Int(_), Some(q)) if q.scale.len() > 1 || q.zero_point.len() > 1 => {
            Value::from_f32(value.shape(), reals_of(value, ty, 0)?)
        }
        _ => Ok(value.clone()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn nearest_codes_are_those_of_the_definition(
            real in prop_oneof![any::<f32>(), -40f32..40.0, (-300i32..300).prop_map(|n| n as f32 * 0.25)],
            scale in prop_oneof![Just(0.5f32), 0.001f32..3.0, Just(f32::MIN_POSITIVE), Just(f32::INFINITY)],
            zero in -200i64..300, minimum in -300i64..1, levels in 0i64..600,
        ) {
            let q = Quantisation::per_tensor(scale, zero, minimum, minimum + levels);
            if let Some(nearest) = Nearest::of(&q, 0) {
                prop_assert_eq!(nearest.code(real), q.code(real, 0));
            }
        }
    }
}
