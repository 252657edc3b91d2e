//! Functions of two and more elements, and conversion of element types.

use snnc_ir::{Binary, DType, NodeId, Tensor, TensorOp, TensorType};

use super::Outputs;
use crate::import::call::{Call, Failure, axis};
use crate::import::data;
use crate::import::importer::Importer;

fn binary(importer: &mut Importer, call: &Call, function: Binary) -> Outputs {
    let a = call.input(0)?;
    let b = legacy_operand(importer, call, a, call.input(1)?)?;
    Ok(vec![emit(importer, call, function, a, b)?])
}

fn emit(
    importer: &mut Importer,
    call: &Call,
    function: Binary,
    a: NodeId,
    b: NodeId,
) -> Result<NodeId, Failure> {
    let same = importer.ty(a).dtype == importer.ty(b).dtype;
    if !same && function != Binary::Pow {
        return Err(Failure::malformed(format!(
            "the operands have elements of types {} and {}",
            importer.ty(a).dtype,
            importer.ty(b).dtype
        )));
    }
    let dtype = if function.is_comparison() { DType::Bool } else { importer.ty(a).dtype };
    importer.emit_typed(call, TensorOp::Binary(function), &[a, b], TensorType::new(dtype, []))
}

/// Up to version 6 operands broadcast only where `broadcast` says so, the second one's dimensions
/// beginning at `axis` of the first.
fn legacy_operand(
    importer: &mut Importer,
    call: &Call,
    a: NodeId,
    b: NodeId,
) -> Result<NodeId, Failure> {
    if call.since >= 7 || !call.flag("broadcast", false)? || !call.has("axis") {
        return Ok(b);
    }
    let rank = importer.ty(a).shape.len();
    let start = axis(call.int("axis", 0)?, rank)?;
    let mut shape = importer.shape(b);
    if start + shape.len() > rank {
        return Err(Failure::malformed("the second operand has too many dimensions"));
    }
    shape.resize(rank - start, 1);
    importer.emit_shaped(call, TensorOp::Reshape, &[b], shape)
}

macro_rules! binaries {
    ($($name:ident => $function:ident),* $(,)?) => {
        $(pub(crate) fn $name(importer: &mut Importer, call: &Call) -> Outputs {
            binary(importer, call, Binary::$function)
        })*
    };
}

binaries! {
    add => Add, and => And, div => Div, equal => Equal, greater => Greater,
    greater_or_equal => GreaterOrEqual, less => Less, less_or_equal => LessOrEqual, mul => Mul,
    or => Or, pow => Pow, sub => Sub,
}

/// A slope with a dimension fewer than the operand belongs to channels, as in (C) or (C, 1, 1).
pub(crate) fn p_relu(importer: &mut Importer, call: &Call) -> Outputs {
    let (x, mut slope) = (call.input(0)?, call.input(1)?);
    let (of, by) = (importer.shape(x), importer.shape(slope));
    if by.len() == 1 && of.len() > 2 && by[0] == of[1] && by[0] != 1 {
        let mut shape = vec![1; of.len() - 1];
        shape[0] = by[0];
        slope = importer.emit_shaped(call, TensorOp::Reshape, &[slope], shape)?;
    }
    Ok(vec![emit(importer, call, Binary::Slope, x, slope)?])
}

fn fold(importer: &mut Importer, call: &Call, function: Binary) -> Result<NodeId, Failure> {
    let operands = call.all_inputs()?;
    let mut result = operands[0];
    for &operand in &operands[1..] {
        result = emit(importer, call, function, result, operand)?;
    }
    Ok(result)
}

pub(crate) fn sum(importer: &mut Importer, call: &Call) -> Outputs {
    Ok(vec![fold(importer, call, Binary::Add)?])
}

pub(crate) fn max(importer: &mut Importer, call: &Call) -> Outputs {
    Ok(vec![fold(importer, call, Binary::Max)?])
}

pub(crate) fn min(importer: &mut Importer, call: &Call) -> Outputs {
    Ok(vec![fold(importer, call, Binary::Min)?])
}

pub(crate) fn mean(importer: &mut Importer, call: &Call) -> Outputs {
    let total = fold(importer, call, Binary::Add)?;
    if importer.ty(total).dtype != DType::F32 {
        return Err(Failure::unsupported("a mean of other elements than float32", ""));
    }
    let count = Tensor::from_f32(&[], &[call.inputs.len() as f32]);
    let count = importer.literal(call, "count", count);
    Ok(vec![emit(importer, call, Binary::Div, total, count)?])
}

pub(crate) fn select(importer: &mut Importer, call: &Call) -> Outputs {
    let (condition, a, b) = (call.input(0)?, call.input(1)?, call.input(2)?);
    let ty = TensorType::new(importer.ty(a).dtype, []);
    Ok(vec![importer.emit_typed(call, TensorOp::Select, &[condition, a, b], ty)?])
}

/// Up to version 5 the type is a name, later a number.
pub(crate) fn cast(importer: &mut Importer, call: &Call) -> Outputs {
    let x = call.input(0)?;
    let dtype = if call.since < 6 {
        named(&call.string("to", "")?)?
    } else {
        data::dtype(i32::try_from(call.int("to", 0)?).unwrap_or(-1))?
    };
    if importer.ty(x).dtype == dtype {
        return Ok(vec![x]);
    }
    Ok(vec![importer.emit_typed(call, TensorOp::Cast, &[x], TensorType::new(dtype, []))?])
}

fn named(name: &str) -> Result<DType, Failure> {
    use onnx_protobuf::DataType;
    (1..=28)
        .find(|&n| DataType::try_from(n).is_ok_and(|d: DataType| d.name() == name))
        .map_or_else(|| Err(Failure::malformed(format!("there is no type `{name}`"))), data::dtype)
}
