//! Operators of ONNX that take codes and give codes or integer sums.
//!
//! They become what they are defined by: dequantisers, the operator on reals, and a quantiser.

use snnc_ir::{Binary, DType, NodeId, Quantisation, TensorOp, TensorType};

use super::Outputs;
use super::quantise::{dequantise, quantisation, quantise};
use super::window::convolve;
use crate::import::call::{Call, Failure};
use crate::import::importer::Importer;

/// The reals of the codes at operand `code`, scale and zero point being the operands at `by`, with
/// `axis` the axis of several scales.
pub(super) fn real(
    importer: &mut Importer,
    call: &Call,
    part: &str,
    code: usize,
    by: (usize, usize),
    axis: usize,
) -> Result<NodeId, Failure> {
    let x = call.input(code)?;
    let q = quantisation(importer, call, by, importer.ty(x).dtype, Ok(axis))?;
    dequantise(importer, call, part, x, q)
}

/// The codes of reals, scale and zero point being the operands at `by`. Without a zero point they
/// are of type `default`.
pub(super) fn codes(
    importer: &mut Importer,
    call: &Call,
    x: NodeId,
    by: (usize, usize),
    default: DType,
) -> Outputs {
    let dtype = call.optional(by.1).map_or(default, |zero| importer.ty(zero).dtype);
    let q = quantisation(importer, call, by, dtype, Ok(1))?;
    Ok(vec![quantise(importer, call, "codes", x, dtype, q)?])
}

/// The reals of a bias in units of the product of two scales.
pub(super) fn bias(
    importer: &mut Importer,
    call: &Call,
    operand: usize,
    scales: (usize, usize),
) -> Result<Option<NodeId>, Failure> {
    let Some(bias) = call.optional(operand) else { return Ok(None) };
    let (x, w) = (importer.scalar(call, scales.0)?, importer.reals(call, scales.1)?);
    let scale: Vec<f32> = w.iter().map(|w| x * w).collect();
    let Some((minimum, maximum)) = importer.ty(bias).dtype.integer_range() else {
        return Err(Failure::malformed("the bias must be integers"));
    };
    let q = match scale[..] {
        [one] => Quantisation::per_tensor(one, 0, minimum, maximum),
        _ => Quantisation::per_axis(scale, 0, minimum, maximum),
    };
    dequantise(importer, call, "bias", bias, q).map(Some)
}

pub(crate) fn convolution(importer: &mut Importer, call: &Call) -> Outputs {
    if call.flag("channels_last", false)? {
        return Err(Failure::unsupported(
            "channels last",
            "export before onnxruntime's layout optimisations",
        ));
    }
    let x = real(importer, call, "x", 0, (1, 2), 1)?;
    let weights = real(importer, call, "weights", 3, (4, 5), 0)?;
    let bias = bias(importer, call, 8, (1, 4))?;
    let y = convolve(importer, call, x, weights, bias)?;
    codes(importer, call, y, (6, 7), importer.ty(call.input(0)?).dtype)
}

/// Scales of the first factor may vary by row, of the second by column.
fn factors(
    importer: &mut Importer,
    call: &Call,
    a: (usize, (usize, usize)),
    b: (usize, (usize, usize)),
) -> Result<[NodeId; 2], Failure> {
    let rank = |index: usize| Ok::<_, Failure>(importer.ty(call.input(index)?).shape.len());
    let (row, column) = (rank(a.0)?.saturating_sub(2), rank(b.0)?.saturating_sub(1));
    Ok([real(importer, call, "a", a.0, a.1, row)?, real(importer, call, "b", b.0, b.1, column)?])
}

pub(crate) fn product(importer: &mut Importer, call: &Call) -> Outputs {
    let operands = factors(importer, call, (0, (1, 2)), (3, (4, 5)))?;
    let y = importer.emit(call, TensorOp::MatrixProduct, &operands)?;
    codes(importer, call, y, (6, 7), importer.ty(call.input(0)?).dtype)
}

/// The reals of integers with the scale 1, so that sums of their products are whole numbers.
fn whole(
    importer: &mut Importer,
    call: &Call,
    part: &str,
    code: usize,
    zero: usize,
    axis: usize,
) -> Result<NodeId, Failure> {
    let x = call.input(code)?;
    let Some((minimum, maximum)) = importer.ty(x).dtype.integer_range() else {
        return Err(Failure::malformed(format!("operand {code} must be integers")));
    };
    let zeros = match call.optional(zero) {
        Some(_) => importer.integers(call, zero)?,
        None => vec![0],
    };
    let q = match zeros[..] {
        [one] => Quantisation::per_tensor(1.0, one, minimum, maximum),
        _ => Quantisation {
            zero_point: zeros.clone(),
            ..Quantisation::per_axis(vec![1.0; zeros.len()], axis, minimum, maximum)
        },
    };
    dequantise(importer, call, part, x, q)
}

fn as_integers(importer: &mut Importer, call: &Call, x: NodeId) -> Outputs {
    let ty = TensorType::new(DType::I32, []);
    Ok(vec![importer.emit_part(call, "integers", TensorOp::Cast, &[x], ty)?])
}

pub(crate) fn convolution_of_integers(importer: &mut Importer, call: &Call) -> Outputs {
    let x = whole(importer, call, "x", 0, 2, 1)?;
    let weights = whole(importer, call, "weights", 1, 3, 0)?;
    let y = convolve(importer, call, x, weights, None)?;
    as_integers(importer, call, y)
}

pub(crate) fn product_of_integers(importer: &mut Importer, call: &Call) -> Outputs {
    let rank = |index: usize| Ok::<_, Failure>(importer.ty(call.input(index)?).shape.len());
    let (row, column) = (rank(0)?.saturating_sub(2), rank(1)?.saturating_sub(1));
    let a = whole(importer, call, "a", 0, 2, row)?;
    let b = whole(importer, call, "b", 1, 3, column)?;
    let y = importer.emit(call, TensorOp::MatrixProduct, &[a, b])?;
    as_integers(importer, call, y)
}

/// Adds a bias of reals, if there is one.
pub(super) fn plus(
    importer: &mut Importer,
    call: &Call,
    y: NodeId,
    bias: Option<NodeId>,
) -> Result<NodeId, Failure> {
    match bias {
        None => Ok(y),
        Some(bias) => {
            let ty = TensorType::new(DType::F32, []);
            importer.emit_part(call, "sum", TensorOp::Binary(Binary::Add), &[y, bias], ty)
        }
    }
}
