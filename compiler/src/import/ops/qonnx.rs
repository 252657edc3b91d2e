//! The operators of QONNX, as Brevitas, QKeras and FINN write them. They take and give reals that
//! lie on a grid, so they become a quantiser and a dequantiser.

use snnc_ir::{Binary, DType, NodeId, Quantisation, Rounding, Tensor, TensorOp, TensorType};

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

/// The smallest and largest code of `bits` bits, and the narrowest type of whole bytes for them.
fn range(call: &Call, bits: f32) -> Result<(i64, i64, DType), Failure> {
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

fn quantisation(importer: &Importer, call: &Call) -> Result<(Quantisation, DType), Failure> {
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
    if zero.iter().any(|z| z.fract() != 0.0 || z.abs() > limits::EXTENT as f32) {
        return Err(Failure::unsupported("a zero point that is no whole number", ""));
    }
    let count = scale.len().max(zero.len());
    let quantisation = Quantisation {
        scale: (0..count).map(|i| scale[i % scale.len()]).collect(),
        zero_point: (0..count).map(|i| zero[i % zero.len()] as i64).collect(),
        axis: scale_axis.or(zero_axis),
        minimum,
        maximum,
        rounding: rounding(call, "ROUND")?,
    };
    Ok((quantisation, dtype))
}

/// A signed code of one bit is a sign.
pub(crate) fn quant(importer: &mut Importer, call: &Call) -> Outputs {
    let x = call.input(0)?;
    if importer.scalar(call, 3)? == 1.0 && call.flag("signed", true)? {
        return bipolar_quant(importer, call);
    }
    let (q, dtype) = quantisation(importer, call)?;
    let codes = quantise(importer, call, "codes", x, dtype, q.clone())?;
    Ok(vec![dequantise(importer, call, "", codes, q)?])
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
        let q = Quantisation { scale, zero_point, axis, minimum, maximum, rounding };
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
    let dropped = given - kept;
    let positive = |s: f32| s > 0.0 && s.is_finite();
    if !positive(scale) || !positive(out_scale) {
        return Err(Failure::malformed("every scale must be positive and finite"));
    }
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
    if count == 0 || count > 255 || rank < 2 {
        return Err(Failure::unsupported(
            format!("{count} thresholds for {rank} dimensions"),
            "use activations of 1 to 8 bits",
        ));
    }
    let last = call.string("data_layout", "NCHW")?.ends_with('C');
    let mut of_channels = vec![channels];
    if !last {
        of_channels.resize(rank - 1, 1);
    }
    let mut total: Option<NodeId> = None;
    for level in 0..count {
        let values: Vec<f32> = (0..channels).map(|c| thresholds[c * count + level]).collect();
        let value = importer.literal(call, "threshold", Tensor::from_f32(&of_channels, &values));
        let reached = binary(importer, call, "reached", Binary::GreaterOrEqual, x, value)?;
        let ty = TensorType::new(DType::F32, []);
        let reached = importer.emit_part(call, "step", TensorOp::Cast, &[reached], ty)?;
        total = Some(match total {
            None => reached,
            Some(sum) => binary(importer, call, "steps", Binary::Add, sum, reached)?,
        });
    }
    let mut y = total.ok_or_else(|| Failure::malformed("there are no thresholds"))?;
    let (scale, bias) = (call.float("out_scale", 1.0)?, call.float("out_bias", 0.0)?);
    if scale != 1.0 {
        let scale = importer.literal(call, "scale", Tensor::from_f32(&[], &[scale]));
        y = binary(importer, call, "scaled", Binary::Mul, y, scale)?;
    }
    if bias != 0.0 {
        let bias = importer.literal(call, "bias", Tensor::from_f32(&[], &[bias]));
        y = binary(importer, call, "", Binary::Add, y, bias)?;
    }
    Ok(vec![y])
}
