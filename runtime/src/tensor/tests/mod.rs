//! Each operator on values computed by hand, and the loops against slow twins.

mod arithmetic;
mod codes;
mod hostile;
mod movement;
mod packed;
mod programs;
mod windows;

use snnc_ir::{DType, TensorOp, TensorType};

use super::{RunError, Value, evaluate};

/// Reals.
pub fn reals(shape: &[usize], elements: &[f32]) -> (Value, TensorType) {
    let value = Value::from_f32(shape, elements.to_vec()).unwrap();
    (value, TensorType::new(DType::F32, shape))
}

/// Integers of type `dtype`.
pub fn integers(dtype: DType, shape: &[usize], elements: &[i64]) -> (Value, TensorType) {
    let value = Value::from_i64(shape, elements.to_vec()).unwrap();
    (value, TensorType::new(dtype, shape))
}

/// Applies an operator.
pub fn apply(
    op: TensorOp,
    operands: &[&(Value, TensorType)],
    ty: TensorType,
) -> Result<Value, RunError> {
    let operands: Vec<_> = operands.iter().map(|(value, ty)| (value, ty)).collect();
    evaluate(&op, &operands, &ty)
}

/// Applies an operator whose result is reals.
pub fn to_reals(op: TensorOp, operands: &[&(Value, TensorType)], shape: &[usize]) -> Vec<f32> {
    apply(op, operands, TensorType::new(DType::F32, shape)).unwrap().as_f32().unwrap().to_vec()
}

/// Applies an operator whose result is integers.
pub fn to_integers(
    op: TensorOp,
    operands: &[&(Value, TensorType)],
    dtype: DType,
    shape: &[usize],
) -> Vec<i64> {
    apply(op, operands, TensorType::new(dtype, shape)).unwrap().as_i64().unwrap().to_vec()
}
