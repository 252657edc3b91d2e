//! Operators of com.microsoft that take codes and give codes, as onnxruntime's quantiser writes
//! them. They become what they stand for: dequantisers, the operator on reals, and a quantiser.

use snnc_ir::{Binary, DType, NodeId, PoolKind, TensorOp, TensorType, Unary, Window};

use super::Outputs;
use super::qoperator::{bias, codes, plus, real};
use super::window::pool_of;
use crate::import::call::{Call, Failure, axis};
use crate::import::importer::Importer;

fn binary(importer: &mut Importer, call: &Call, function: Binary) -> Outputs {
    let a = real(importer, call, "a", 0, (1, 2), 1)?;
    let b = real(importer, call, "b", 3, (4, 5), 1)?;
    let y = importer.emit(call, TensorOp::Binary(function), &[a, b])?;
    codes(importer, call, y, (6, 7), importer.ty(call.input(0)?).dtype)
}

pub(crate) fn add(importer: &mut Importer, call: &Call) -> Outputs {
    binary(importer, call, Binary::Add)
}

pub(crate) fn mul(importer: &mut Importer, call: &Call) -> Outputs {
    binary(importer, call, Binary::Mul)
}

/// An operator on one array of codes: operands code, scale, zero point, and those of the result.
fn mapped(
    importer: &mut Importer,
    call: &Call,
    of: impl FnOnce(&mut Importer, NodeId) -> Result<NodeId, Failure>,
) -> Outputs {
    let x = real(importer, call, "x", 0, (1, 2), 1)?;
    let y = of(importer, x)?;
    codes(importer, call, y, (3, 4), importer.ty(call.input(0)?).dtype)
}

pub(crate) fn leaky_relu(importer: &mut Importer, call: &Call) -> Outputs {
    let alpha = call.float("alpha", 0.01)?;
    mapped(importer, call, |i, x| i.emit(call, TensorOp::Unary(Unary::LeakyRelu { alpha }), &[x]))
}

pub(crate) fn sigmoid(importer: &mut Importer, call: &Call) -> Outputs {
    mapped(importer, call, |i, x| i.emit(call, TensorOp::Unary(Unary::Sigmoid), &[x]))
}

pub(crate) fn softmax(importer: &mut Importer, call: &Call) -> Outputs {
    let shape = importer.shape(call.input(0)?);
    let axis = call.axis("axis", -1, shape.len())?;
    let last = shape[axis + 1..].iter().all(|&d| d == 1);
    if call.int("opset", 13)? < 13 && !last {
        return Err(Failure::unsupported("softmax over several dimensions of codes", ""));
    }
    mapped(importer, call, |i, x| i.emit(call, TensorOp::Softmax { axis }, &[x]))
}

/// Lets `of` see channels first where the attribute says that they are last.
fn channels_first(
    importer: &mut Importer,
    call: &Call,
    x: NodeId,
    of: impl FnOnce(&mut Importer, NodeId) -> Result<NodeId, Failure>,
) -> Result<NodeId, Failure> {
    let rank = importer.ty(x).shape.len();
    if !call.flag("channels_last", false)? || rank < 3 {
        return of(importer, x);
    }
    let ty = || TensorType::new(DType::F32, []);
    let first: Vec<usize> = [0, rank - 1].into_iter().chain(1..rank - 1).collect();
    let last: Vec<usize> = std::iter::once(0).chain(2..rank).chain([1]).collect();
    let first = TensorOp::Transpose { permutation: first };
    let x = importer.emit_part(call, "channels_first", first, &[x], ty())?;
    let y = of(importer, x)?;
    let last = TensorOp::Transpose { permutation: last };
    importer.emit_part(call, "channels_last", last, &[y], ty())
}

pub(crate) fn average_pool(importer: &mut Importer, call: &Call) -> Outputs {
    let all = call.flag("count_include_pad", false)?;
    let kind = if all { PoolKind::AverageWithPadding } else { PoolKind::Average };
    mapped(importer, call, |i, x| channels_first(i, call, x, |i, x| pool_of(i, call, x, kind)))
}

pub(crate) fn global_average_pool(importer: &mut Importer, call: &Call) -> Outputs {
    mapped(importer, call, |i, x| {
        channels_first(i, call, x, |i, x| {
            let shape = i.shape(x);
            let Some(map) = shape.get(2..).filter(|m| !m.is_empty()) else {
                return Err(Failure::malformed(format!(
                    "an operand of shape {shape:?} has no map"
                )));
            };
            let window = Window::plain(map);
            let pool = snnc_ir::Pool::new(PoolKind::Average, window);
            i.emit(call, TensorOp::Pool(pool), &[x])
        })
    })
}

pub(crate) fn reduce_mean(importer: &mut Importer, call: &Call) -> Outputs {
    let shape = importer.shape(call.input(0)?);
    let stated = call.ints("axes")?.unwrap_or_default();
    let mut axes = stated.iter().map(|&a| axis(a, shape.len())).collect::<Result<Vec<_>, _>>()?;
    if axes.is_empty() {
        axes = (0..shape.len()).collect();
    }
    axes.sort_unstable();
    axes.dedup();
    let target = super::reduce::reduced(&shape, &axes, call.flag("keepdims", true)?);
    mapped(importer, call, |i, x| {
        i.emit_shaped(call, TensorOp::Reduce { axes, mean: true }, &[x], target)
    })
}

/// Scale and zero point of the result come first, then codes, scale and zero point of each operand.
pub(crate) fn concat(importer: &mut Importer, call: &Call) -> Outputs {
    let mut operands = Vec::new();
    for code in (2..call.inputs.len()).step_by(3) {
        operands.push(real(importer, call, "x", code, (code + 1, code + 2), 1)?);
    }
    let Some(&first) = operands.first() else {
        return Err(Failure::malformed("there are no operands"));
    };
    let axis = call.axis("axis", 1, importer.ty(first).shape.len())?;
    let y = importer.emit(call, TensorOp::Concatenate { axis }, &operands)?;
    codes(importer, call, y, (0, 1), importer.ty(call.input(2)?).dtype)
}

pub(crate) fn select(importer: &mut Importer, call: &Call) -> Outputs {
    let a = real(importer, call, "a", 1, (2, 3), 1)?;
    let b = real(importer, call, "b", 4, (5, 6), 1)?;
    let ty = TensorType::new(DType::F32, []);
    let y = importer.emit_typed(call, TensorOp::Select, &[call.input(0)?, a, b], ty)?;
    codes(importer, call, y, (7, 8), importer.ty(call.input(1)?).dtype)
}

/// Without a scale for the result the result is real.
pub(crate) fn gemm(importer: &mut Importer, call: &Call) -> Outputs {
    let alpha = call.float("alpha", 1.0)?;
    if alpha != 1.0 {
        return Err(Failure::unsupported(format!("alpha = {alpha}"), "fold it into the weights"));
    }
    let transposed = call.flag("transB", false)?;
    let mut a = real(importer, call, "a", 0, (1, 2), 0)?;
    let mut b = real(importer, call, "b", 3, (4, 5), usize::from(!transposed))?;
    let bias = bias(importer, call, 6, (1, 4))?;
    let turn = TensorOp::Transpose { permutation: vec![1, 0] };
    let ty = || TensorType::new(DType::F32, []);
    if call.flag("transA", false)? {
        a = importer.emit_part(call, "a.transposed", turn.clone(), &[a], ty())?;
    }
    if !transposed {
        b = importer.emit_part(call, "b.transposed", turn, &[b], ty())?;
    }
    let outputs = importer.shape(b).first().copied().unwrap_or(0);
    let y = match bias {
        Some(c) if importer.shape(c) == [outputs] => {
            importer.emit(call, TensorOp::Dense, &[a, b, c])?
        }
        _ => {
            let y = importer.emit(call, TensorOp::Dense, &[a, b])?;
            plus(importer, call, y, bias)?
        }
    };
    match call.optional(7) {
        Some(_) => codes(importer, call, y, (7, 8), importer.ty(call.input(0)?).dtype),
        None => Ok(vec![y]),
    }
}

pub(crate) fn mat_mul_integer_to_float(importer: &mut Importer, call: &Call) -> Outputs {
    let rank = |index: usize| Ok::<_, Failure>(importer.ty(call.input(index)?).shape.len());
    let (row, column) = (rank(0)?.saturating_sub(2), rank(1)?.saturating_sub(1));
    let a = real(importer, call, "a", 0, (2, 4), row)?;
    let b = real(importer, call, "b", 1, (3, 5), column)?;
    let y = importer.emit(call, TensorOp::MatrixProduct, &[a, b])?;
    Ok(vec![plus(importer, call, y, call.optional(6))?])
}
