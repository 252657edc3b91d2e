//! One operator on given operands.

use snnc_ir::{TensorOp, TensorType, infer_tensor_output};

use super::convolution::{Convolution, Transposed, accumulate};
use super::product::{Dense, MatrixProduct};
use super::value::element_count;
use super::{RunError, Value, codes, elementwise, movement, pool, reduce};

/// Applies one operator to operands of the types stated with them; `ty` is the type of the result.
///
/// # Errors
/// When operands, types and operator do not go together, or the operation has no result: an index
/// outside its array, a sum outside its accumulator. Inputs and constants have no operands to be
/// computed from.
pub fn evaluate(
    op: &TensorOp,
    operands: &[(&Value, &TensorType)],
    ty: &TensorType,
) -> Result<Value, RunError> {
    for (value, ty) in operands {
        if !value.fits(ty) {
            return Err(value.misfit(ty));
        }
    }
    let types: Vec<&TensorType> = operands.iter().map(|(_, ty)| *ty).collect();
    check(op, &types, ty)?;
    apply(op, operands, ty)
}

/// Checks all that [`apply`] relies on.
pub(super) fn check(
    op: &TensorOp,
    operands: &[&TensorType],
    ty: &TensorType,
) -> Result<(), RunError> {
    element_count(&ty.shape)?;
    let inferred = infer_tensor_output(op, operands, ty)?;
    if inferred.shape != ty.shape {
        return Err(RunError::Type { stated: ty.shape.clone(), inferred: inferred.shape });
    }
    Ok(())
}

/// Applies an operator whose operands' types [`check`] accepted.
pub(super) fn apply(
    op: &TensorOp,
    operands: &[(&Value, &TensorType)],
    ty: &TensorType,
) -> Result<Value, RunError> {
    use TensorOp::*;
    let x = |i: usize| {
        operands.get(i).map(|o| o.0).ok_or(RunError::Unsupported("has no operands to compute from"))
    };
    let value = match op {
        Input | Constant => return Err(RunError::Unsupported("is given, not computed")),
        Output => x(0)?.clone(),
        Reshape => x(0)?.reshaped(&ty.shape)?,
        Quantise(q) => codes::quantise(x(0)?, q, ty)?,
        Dequantise(q) => codes::dequantise(x(0)?, q, ty)?,
        Requantise => codes::requantise(operands, ty)?,
        RequantiseSum => codes::requantise_sum(operands, ty)?,
        Lookup { minimum, table } => codes::lookup(x(0)?, *minimum, table, ty)?,
        Threshold(t) => codes::threshold(x(0)?, operands[0].1, t, ty)?,
        Convolution { window, groups } => {
            let kernel = self::Convolution::new(window, *groups, x(0)?.shape(), x(1)?.shape(), ty)?;
            accumulate(&kernel, operands, ty)?
        }
        TransposedConvolution { window, groups } => {
            let kernel = Transposed::new(window, *groups, x(0)?.shape(), x(1)?.shape(), ty)?;
            accumulate(&kernel, operands, ty)?
        }
        Dense => {
            let [outputs, inputs] = [0, 1].map(|i| operands[1].1.shape[i]);
            accumulate(&self::Dense { inputs, outputs, rows: ty.shape[0] }, operands, ty)?
        }
        MatrixProduct => {
            let kernel = self::MatrixProduct::new(x(0)?.shape(), x(1)?.shape(), &ty.shape);
            accumulate(&kernel, operands, ty)?
        }
        Pool(p) => pool::pool(p, x(0)?, operands[0].1, ty)?,
        Unary(f) => elementwise::unary(*f, x(0)?, ty)?,
        Binary(f) => elementwise::binary(*f, x(0)?, x(1)?, ty)?,
        Clip { minimum, maximum } => elementwise::clip(x(0)?, *minimum, *maximum, ty)?,
        Cast => elementwise::cast(x(0)?, ty)?,
        Select => elementwise::select(x(0)?, x(1)?, x(2)?, ty)?,
        BatchNormalisation { epsilon } => reduce::batch_normalisation(operands, *epsilon, ty)?,
        Reduce { axes, mean } => reduce::reduce(x(0)?, axes, *mean, ty)?,
        Softmax { axis } => reduce::softmax(x(0)?, *axis, ty)?,
        ArgMax { axis } => reduce::arg_max(&codes::comparable(x(0)?, operands[0].1)?, *axis, ty)?,
        Transpose { permutation } => movement::transpose(x(0)?, permutation, ty)?,
        Concatenate { axis } => movement::concatenate(operands, *axis, ty)?,
        Pad { before, value, .. } => movement::pad(x(0)?, before, *value, ty)?,
        Slice { start, step } => movement::slice(x(0)?, start, step, ty)?,
        Gather { axis } => movement::gather(x(0)?, x(1)?, *axis, ty)?,
        Expand => movement::expand(x(0)?, ty)?,
        Upsample { factors } => movement::upsample(x(0)?, factors, ty)?,
    };
    let value = elementwise::rounded(value, ty.dtype)?;
    if value.fits(ty) { Ok(value) } else { Err(value.misfit(ty)) }
}
