//! The operators of QONNX, as Brevitas, QKeras and FINN write them. They take and give reals that
//! lie on a grid, so they become a quantiser and a dequantiser.

use snnc_ir::{
    Binary, DType, NodeId, Quantisation, Rounding, Tensor, TensorOp, TensorType, ThresholdRows,
    Thresholds,
};

use super::Outputs;
use super::quantise::{dequantise, quantise};
use crate::import::call::{Call, Failure};
use crate::import::importer::Importer;
use crate::import::limits;

fn rounding(call: &Call, default: &str) -> Result<Rounding, Failure> {
    let mode = call.string("rounding_mode", default)?.to_ascii_uppercase();
    Ok(match mode.as_str() {
        "ROUND" | "HALF_EVEN" => Rounding::HalfEven,
        "CEIL" => Rounding::Ceil,
        "FLOOR" => Rounding::Floor,
        "UP" => Rounding::Up,
        "DOWN" | "ROUND_TO_ZERO" => Rounding::Down,
        "HALF_UP" => Rounding::HalfAway,
        "HALF_DOWN" => Rounding::HalfTowardZero,
        other => return Err(Failure::malformed(format!("there is no rounding_mode `{other}`"))),
    })
}

/// The smallest and largest code of `bits` bits, and the narrowest type of whole bytes for them. As
/// QONNX's executor has them, in f32, where `2^(bits - 1) - 1` of more than 25 bits is `2^(bits - 1)`.
fn range(call: &Call, bits: f32) -> Result<(i64, i64, DType), Failure> {
    if !bits.is_finite() {
        return Err(Failure::malformed(format!("a width of {bits} bits")));
    }
    if bits.fract() != 0.0 || !(1.0..=32.0).contains(&bits) {
        return Err(Failure::unsupported(
            format!("a width of {bits} bits"),
            "quantise to a whole number of bits, at most 32",
        ));
    }
    let bits = bits as u32;
    let narrow = i64::from(call.flag("narrow", false)?);
    let (minimum, maximum) = if call.flag("signed", true)? {
        (-(1i64 << (bits - 1)) + narrow, (1i64 << (bits - 1)) - 1)
    } else {
        (0, (1i64 << bits) - 1 - narrow)
    };
    let (minimum, maximum) = (minimum as f32 as i64, maximum as f32 as i64);
    let types = if minimum < 0 {
        [DType::I8, DType::I16, DType::I32]
    } else {
        [DType::U8, DType::U16, DType::U32]
    };
    let fits = |d: &DType| d.integer_range().is_some_and(|(l, h)| l <= minimum && maximum <= h);
    let dtype = types.into_iter().find(fits).unwrap_or(DType::I64);
    Ok((minimum, maximum, dtype))
}

/// Scales or zero points broadcast as in NumPy: the axis along which they vary, and the values.
fn along(
    importer: &Importer,
    call: &Call,
    index: usize,
    rank: usize,
) -> Result<(Option<usize>, Vec<f32>), Failure> {
    let values = importer.reals(call, index)?;
    let shape = importer.shape(call.input(index)?);
    let mut varying = shape.iter().enumerate().filter(|(_, d)| **d != 1);
    match (varying.next(), varying.next()) {
        (None, _) if !values.is_empty() => Ok((None, values)),
        (Some((i, _)), None) if shape.len() <= rank => Ok((Some(i + rank - shape.len()), values)),
        _ => Err(Failure::unsupported(
            format!("parameters of shape {shape:?}"),
            "quantise with one scale for each tensor or channel",
        )),
    }
}

/// How a `Quant` quantises, and the zero points, which may be fractions: codes are
/// `round(clip(x / scale + zero))`, reals `(code - zero) * scale`, each operation in f32.
struct Quant {
    /// The zero points are the whole numbers at or below the model's.
    quantisation: Quantisation,
    dtype: DType,
    /// What the model's zero points have beyond those, from 0 to below 1; one, or one for each channel.
    fractions: Vec<f32>,
}

fn quantisation(importer: &Importer, call: &Call) -> Result<Quant, Failure> {
    let rank = importer.ty(call.input(0)?).shape.len();
    let (minimum, maximum, dtype) = range(call, importer.scalar(call, 3)?)?;
    let (scale_axis, scale) = along(importer, call, 1, rank)?;
    let (zero_axis, zero) = along(importer, call, 2, rank)?;
    if scale_axis.is_some() && zero_axis.is_some() && scale_axis != zero_axis {
        return Err(Failure::unsupported("scales and zero points along different axes", ""));
    }
    if scale.iter().any(|s| !(*s > 0.0 && s.is_finite())) {
        return Err(Failure::malformed("every scale must be positive and finite"));
    }
    if zero.iter().any(|z| !z.is_finite()) {
        return Err(Failure::malformed("every zero point must be finite"));
    }
    if zero.iter().any(|z| z.abs() > limits::EXTENT as f32) {
        return Err(Failure::unsupported("a zero point that is too large", ""));
    }
    let count = scale.len().max(zero.len());
    let zero: Vec<f32> = (0..count).map(|i| zero[i % zero.len()]).collect();
    let quantisation = Quantisation {
        scale: (0..count).map(|i| scale[i % scale.len()]).collect(),
        zero_point: zero.iter().map(|z| z.floor() as i64).collect(),
        axis: scale_axis.or(zero_axis),
        minimum,
        maximum,
        rounding: rounding(call, "ROUND")?,
        offset: if zero.iter().all(|z| *z == 0.0) { Vec::new() } else { zero.clone() },
        folded: None,
    };
    Ok(Quant { quantisation, dtype, fractions: zero.iter().map(|z| z - z.floor()).collect() })
}

/// A signed code of one bit is a sign.
pub(crate) fn quant(importer: &mut Importer, call: &Call) -> Outputs {
    let x = call.input(0)?;
    if importer.scalar(call, 3)? == 1.0 && call.flag("signed", true)? {
        return sign_quant(importer, call);
    }
    let Quant { quantisation: q, dtype, fractions } = quantisation(importer, call)?;
    if fractions.iter().any(|f| *f != 0.0)
        && let Some((codes, q)) = stretched(importer, x, &q)?
    {
        importer.spend(codes.dtype(), codes.shape())?;
        let codes = importer.literal(call, "codes", codes);
        return Ok(vec![dequantise(importer, call, "", codes, q)?]);
    }
    let codes = quantise(importer, call, "codes", x, dtype, q.clone())?;
    if fractions.iter().all(|f| *f == 0.0) {
        return Ok(vec![dequantise(importer, call, "", codes, q)?]);
    }
    let real = dequantise(importer, call, "whole", codes, q.clone())?;
    let missing: Vec<f32> = fractions.iter().enumerate().map(|(i, f)| f * q.scale_at(i)).collect();
    let mut shape = vec![1; q.axis.map_or(0, |axis| importer.ty(x).shape.len() - axis)];
    if let Some(first) = shape.first_mut() {
        *first = missing.len();
    }
    let missing = importer.literal(call, "fraction", Tensor::from_f32(&shape, &missing));
    Ok(vec![binary(importer, call, "", Binary::Sub, real, missing)?])
}

/// Codes of a constant whose zero points are fractions, in units so small that the zero points are whole:
/// a power of two of them, at most 256, is one of the model's, so that all reals keep their bits.
fn stretched(
    importer: &Importer,
    x: NodeId,
    q: &Quantisation,
) -> Result<Option<(Tensor, Quantisation)>, Failure> {
    let Some(value) = importer.constant(x) else { return Ok(None) };
    let whole = |units: &i64| q.offset.iter().all(|z| (z * *units as f32).fract() == 0.0);
    let Some(units) = (0..=8).map(|e| 1i64 << e).find(whole) else { return Ok(None) };
    let shape = value.shape();
    let (extent, inner) = match q.axis {
        None => (1, value.len().max(1)),
        Some(axis) => (shape[axis].max(1), shape[axis + 1..].iter().product::<usize>().max(1)),
    };
    if q.axis.is_some() && extent != q.scale.len() {
        let found = q.scale.len();
        return Err(Failure::malformed(format!("{found} scales do not fit the shape {shape:?}")));
    }
    let zero = |c: usize| (q.offset_at(c).unwrap_or(0.0) * units as f32) as i64;
    let code = |(i, real): (usize, f32)| {
        let channel = i / inner % extent;
        q.code(real, channel) * units - zero(channel)
    };
    let codes: Vec<i64> = value.to_f32().into_iter().enumerate().map(code).collect();
    let finer = Quantisation {
        scale: q.scale.iter().map(|s| s / units as f32).collect(),
        zero_point: vec![0; q.zero_point.len()],
        minimum: codes.iter().copied().min().unwrap_or(0).min(0),
        maximum: codes.iter().copied().max().unwrap_or(0).max(0),
        offset: Vec::new(),
        ..q.clone()
    };
    Ok(Some((Tensor::from_integers(shape, &codes), finer)))
}

/// `Quant` of one signed bit: the sign of `x / scale + zero`, less the zero point, in units of the scale.
/// Without a zero point it is [`bipolar_quant`].
fn sign_quant(importer: &mut Importer, call: &Call) -> Outputs {
    if importer.reals(call, 2)?.iter().any(|z| *z != 0.0) {
        return Err(Failure::unsupported(
            "a sign with a zero point",
            "use a zero point of 0 for one signed bit",
        ));
    }
    bipolar_quant(importer, call)
}

/// `scale` where x is not negative, else `-scale`. As codes 0 and 1 this is a floor:
/// `clamp(floor(x / scale) + 1, 0, 1)`, of which the reals are `2 * scale * code - scale`.
pub(crate) fn bipolar_quant(importer: &mut Importer, call: &Call) -> Outputs {
    let x = call.input(0)?;
    let (axis, scale) = along(importer, call, 1, importer.ty(x).shape.len())?;
    if scale.iter().any(|s| !(*s > 0.0 && s.is_finite())) {
        return Err(Failure::malformed("every scale must be positive and finite"));
    }
    if let Some(value) = importer.constant(x) {
        let signs: Vec<i64> =
            value.to_f32().iter().map(|v| if *v >= 0.0 { 1 } else { -1 }).collect();
        let signs = Tensor::from_i64(DType::I8, value.shape(), &signs);
        importer.spend(DType::I8, signs.shape())?;
        let signs = importer.literal(call, "signs", signs);
        let zero_point = vec![0; scale.len()];
        let (minimum, maximum, rounding) = (-1, 1, Rounding::HalfEven);
        let offset = Vec::new();
        let q = Quantisation {
            scale,
            zero_point,
            axis,
            minimum,
            maximum,
            rounding,
            offset,
            folded: None,
        };
        return Ok(vec![dequantise(importer, call, "", signs, q)?]);
    }
    let &[scale] = scale.as_slice() else {
        return Err(Failure::unsupported(
            "signs of channels with different scales",
            "use one scale for the whole activation",
        ));
    };
    let floor =
        Quantisation { rounding: Rounding::Floor, ..Quantisation::per_tensor(scale, 1, 0, 1) };
    let codes = quantise(importer, call, "codes", x, DType::U8, floor)?;
    let doubled = Quantisation::per_tensor(2.0 * scale, 0, 0, 1);
    let real = dequantise(importer, call, "", codes, doubled)?;
    let half = importer.literal(call, "half", Tensor::from_f32(&[], &[scale]));
    Ok(vec![binary(importer, call, "sign", Binary::Sub, real, half)?])
}

fn binary(
    importer: &mut Importer,
    call: &Call,
    part: &str,
    function: Binary,
    a: NodeId,
    b: NodeId,
) -> Result<NodeId, Failure> {
    let dtype = if function.is_comparison() { DType::Bool } else { DType::F32 };
    importer.emit_part(call, part, TensorOp::Binary(function), &[a, b], TensorType::new(dtype, []))
}

/// Drops the lowest bits of a code. Version 1 has five operands and keeps the scale; version 2 has
/// the result's scale as operand 4 and bounds the result.
pub(crate) fn trunc(importer: &mut Importer, call: &Call) -> Outputs {
    let x = call.input(0)?;
    let newer = call.inputs.len() >= 6;
    let (scale, zero) = (importer.scalar(call, 1)?, importer.scalar(call, 2)?);
    let given = importer.scalar(call, 3)?;
    let out_scale = if newer { importer.scalar(call, 4)? } else { scale };
    let kept = importer.scalar(call, if newer { 5 } else { 4 })?;
    let positive = |s: f32| s > 0.0 && s.is_finite();
    if !positive(scale) || !positive(out_scale) {
        return Err(Failure::malformed("every scale must be positive and finite"));
    }
    // Version 2 divides by the power of two that is nearest to the ratio of the scales.
    let dropped = if newer { (out_scale / scale).log2().round_ties_even() } else { given - kept };
    if zero != 0.0 || dropped.fract() != 0.0 || !(0.0..=30.0).contains(&dropped) {
        return Err(Failure::unsupported(
            format!("truncation from {given} to {kept} bits with zero point {zero}"),
            "use a zero point of 0 and whole numbers of bits",
        ));
    }
    let (low, high) = (i64::from(i32::MIN), i64::from(i32::MAX));
    let whole = Quantisation::per_tensor(scale, 0, low, high);
    let codes = quantise(importer, call, "whole", x, DType::I32, whole)?;
    // A power of two: the division by it is exact.
    let part = Quantisation::per_tensor((-dropped).exp2(), 0, low, high);
    let real = dequantise(importer, call, "part", codes, part)?;
    let (minimum, maximum, dtype) =
        if newer { range(call, kept)? } else { (low, high, DType::I32) };
    let mode = rounding(call, "FLOOR")?;
    let rounded =
        Quantisation { rounding: mode, ..Quantisation::per_tensor(1.0, 0, minimum, maximum) };
    let codes = quantise(importer, call, "codes", real, dtype, rounded)?;
    let q = Quantisation::per_tensor(out_scale, 0, minimum, maximum);
    Ok(vec![dequantise(importer, call, "", codes, q)?])
}

/// `out_bias + out_scale * (number of thresholds that x reaches)`, thresholds (C or 1, T).
pub(crate) fn multi_threshold(importer: &mut Importer, call: &Call) -> Outputs {
    let x = call.input(0)?;
    let rank = importer.ty(x).shape.len();
    let shape = importer.shape(call.input(1)?);
    let thresholds = importer.reals(call, 1)?;
    let &[channels, count] = shape.as_slice() else {
        return Err(Failure::malformed(format!("thresholds of shape {shape:?}")));
    };
    if count == 0 || count > 65535 || rank < 2 || channels == 0 {
        return Err(Failure::unsupported(
            format!("{count} thresholds for {rank} dimensions"),
            "use activations of 1 to 16 bits",
        ));
    }
    if thresholds.iter().any(|t| t.is_nan()) {
        return Err(Failure::malformed("a threshold is NaN"));
    }
    let axis = match call.string("data_layout", "")?.as_str() {
        "" if rank == 3 => 2,
        layout => layout.find('C').unwrap_or(1),
    };
    let Some(&extent) = importer.ty(x).shape.get(axis) else {
        let text = format!("`data_layout` puts channels at {axis} of {rank} dimensions");
        return Err(Failure::malformed(text));
    };
    if channels != 1 && extent != channels {
        let text = format!("{channels} rows of thresholds for {extent} channels");
        return Err(Failure::malformed(text));
    }
    let (scale, bias) = (call.float("out_scale", 1.0)?, call.float("out_bias", 0.0)?);
    if !scale.is_finite() || !bias.is_finite() {
        return Err(Failure::malformed("`out_scale` and `out_bias` must be finite"));
    }
    // How many are reached does not depend on their order. Every finite real reaches minus infinity, and the
    // least of them as well; none reaches infinity.
    let row = |row: &[f32]| {
        let finite = row.iter().filter(|t| **t != f32::INFINITY);
        let mut row: Vec<f32> = finite.map(|t| t.max(f32::MIN)).collect();
        row.sort_unstable_by(f32::total_cmp);
        row
    };
    let rows = ThresholdRows::Reals(thresholds.chunks(count).map(row).collect());
    // A real of a code is a whole number of steps from the real 0 where the bias is.
    let zero = -bias / scale;
    let whole = scale > 0.0 && zero.fract() == 0.0 && zero.abs() < 1e6;
    let (step, zero) = match (whole, scale > 0.0) {
        (true, _) => (scale, zero as i64),
        (false, true) => (scale, 0),
        (false, false) => (1.0, 0),
    };
    let dtype = if count < 256 { DType::U8 } else { DType::U16 };
    let q = Quantisation::per_tensor(step, zero, 0, count as i64);
    let codes = importer.emit_part(
        call,
        "codes",
        TensorOp::Threshold(Thresholds { axis, minimum: 0, rows }),
        &[x],
        TensorType::new(dtype, []).quantised(q.clone()),
    )?;
    let mut y = dequantise(importer, call, if whole { "" } else { "steps" }, codes, q)?;
    if scale <= 0.0 {
        let factor = importer.literal(call, "scale", Tensor::from_f32(&[], &[scale]));
        y = binary(importer, call, "scaled", Binary::Mul, y, factor)?;
    }
    if !whole && bias != 0.0 {
        let bias = importer.literal(call, "bias", Tensor::from_f32(&[], &[bias]));
        y = binary(importer, call, "", Binary::Add, y, bias)?;
    }
    Ok(vec![y])
}
