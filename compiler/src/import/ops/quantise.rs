//! QuantizeLinear and DequantizeLinear, of ONNX and of com.microsoft.

use snnc_ir::{DType, NodeId, Quantisation, TensorOp, TensorType};

use super::Outputs;
use crate::import::call::{Call, Failure, axis};
use crate::import::data;
use crate::import::importer::Importer;

pub(crate) fn quantise_linear(importer: &mut Importer, call: &Call) -> Outputs {
    let mut x = call.input(0)?;
    let stated = i32::try_from(call.int("output_dtype", 0)?).unwrap_or(-1);
    let dtype = match (call.optional(2), stated) {
        (Some(zero), _) => importer.ty(zero).dtype,
        (None, 0) => DType::U8,
        (None, number) => data::dtype(number)?,
    };
    if !importer.ty(x).dtype.is_float() {
        x = importer.emit_typed(call, TensorOp::Cast, &[x], TensorType::new(DType::F32, []))?;
    }
    let rank = importer.ty(x).shape.len();
    let quantisation = parameters(importer, call, (1, 2), dtype, rank)?;
    Ok(vec![quantise(importer, call, "", x, dtype, quantisation)?])
}

pub(crate) fn dequantise_linear(importer: &mut Importer, call: &Call) -> Outputs {
    let x = call.input(0)?;
    let ty = importer.ty(x).clone();
    let quantisation = parameters(importer, call, (1, 2), ty.dtype, ty.shape.len())?;
    let real = dequantise(importer, call, "", x, quantisation)?;
    let scale = importer.ty(call.input(1)?).dtype;
    if scale == DType::F32 {
        return Ok(vec![real]);
    }
    Ok(vec![importer.emit_typed(call, TensorOp::Cast, &[real], TensorType::new(scale, []))?])
}

/// Adds a quantiser, as a part of a call that is more than that.
pub(crate) fn quantise(
    importer: &mut Importer,
    call: &Call,
    part: &str,
    x: NodeId,
    dtype: DType,
    quantisation: Quantisation,
) -> Result<NodeId, Failure> {
    fits(&quantisation, &importer.ty(x).shape)?;
    let ty = TensorType::new(dtype, []);
    importer.emit_part(call, part, TensorOp::Quantise(quantisation), &[x], ty)
}

/// Adds a dequantiser, as a part of a call that is more than that.
pub(crate) fn dequantise(
    importer: &mut Importer,
    call: &Call,
    part: &str,
    x: NodeId,
    quantisation: Quantisation,
) -> Result<NodeId, Failure> {
    fits(&quantisation, &importer.ty(x).shape)?;
    let ty = TensorType::new(DType::F32, []);
    importer.emit_part(call, part, TensorOp::Dequantise(quantisation), &[x], ty)
}

/// Several scales must be as many as the extent of their axis.
fn fits(quantisation: &Quantisation, shape: &[usize]) -> Result<(), Failure> {
    let found = quantisation.scale.len();
    match quantisation.axis.map(|axis| shape.get(axis)) {
        None => Ok(()),
        Some(Some(&extent)) if found == extent => Ok(()),
        _ => Err(Failure::malformed(format!("{found} scales do not fit the shape {shape:?}"))),
    }
}

/// The quantisation given by the operands at `(scale, zero point)` for codes of type `dtype` in a
/// value of rank `rank`; scales along the attribute `axis`.
pub(crate) fn parameters(
    importer: &Importer,
    call: &Call,
    (scale, zero): (usize, usize),
    dtype: DType,
    rank: usize,
) -> Result<Quantisation, Failure> {
    if call.int("block_size", 0)? != 0 {
        return Err(Failure::unsupported(
            "blocked quantisation: a scale for each block of elements",
            "quantise with one scale for each tensor or channel",
        ));
    }
    // Values of rank 1 may state the default axis 1.
    let stated = call.int("axis", 1)?;
    let along = if rank <= 1 { Ok(0) } else { axis(stated, rank) };
    quantisation(importer, call, (scale, zero), dtype, along)
}

/// As [`parameters`], with the axis given.
pub(crate) fn quantisation(
    importer: &Importer,
    call: &Call,
    (scale, zero): (usize, usize),
    dtype: DType,
    along: Result<usize, Failure>,
) -> Result<Quantisation, Failure> {
    let Some((minimum, maximum)) = dtype.integer_range() else {
        return Err(Failure::malformed(format!("codes of type {dtype}")));
    };
    let scales = importer.reals(call, scale)?;
    if importer.ty(call.input(scale)?).shape.len() > 1 {
        return Err(Failure::unsupported(
            "scales in more than one dimension",
            "quantise with one scale for each tensor or channel",
        ));
    }
    if scales.is_empty() || scales.iter().any(|s| !(*s > 0.0 && s.is_finite())) {
        return Err(Failure::malformed("every scale must be positive and finite"));
    }
    let zeros = match call.optional(zero) {
        Some(_) => importer.integers(call, zero)?,
        None => vec![0; scales.len()],
    };
    if zeros.len() != scales.len() {
        return Err(Failure::malformed(format!(
            "{} zero points for {} scales",
            zeros.len(),
            scales.len()
        )));
    }
    let mut quantisation = Quantisation::per_tensor(scales[0], zeros[0], minimum, maximum);
    if scales.len() > 1 {
        quantisation.axis = Some(along?);
        (quantisation.scale, quantisation.zero_point) = (scales, zeros);
    }
    Ok(quantisation)
}
