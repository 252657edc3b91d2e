//! Evaluation of single operators on constants, by the interpreter.

use snnc_ir::{DType, Tensor, TensorOp, TensorType};
use snnc_runtime::tensor::{Value, evaluate as interpret};

/// The value of `op` on constants, in type `ty`; `None` where it has none, or where the
/// interpreter's single precision would lose digits of the operands.
pub(crate) fn evaluate(op: &TensorOp, operands: &[&Tensor], ty: &TensorType) -> Option<Tensor> {
    if operands.iter().any(|o| o.dtype() == DType::F64) || ty.dtype == DType::F64 {
        return None;
    }
    // Keeps the bytes where they are, perhaps in a mapped file.
    if let (TensorOp::Reshape, [x]) = (op, operands) {
        return x.reshaped(ty.shape.clone()).ok();
    }
    let values: Vec<Value> = operands.iter().map(|&o| Value::from(o)).collect();
    let types: Vec<TensorType> = operands.iter().map(|o| o.tensor_type()).collect();
    let operands: Vec<(&Value, &TensorType)> = values.iter().zip(&types).collect();
    interpret(op, &operands, ty).ok()?.to_tensor(ty.dtype).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_and_packed_codes_are_evaluated() {
        let x = Tensor::from_i64(DType::I64, &[3], &[4, -2, 7]);
        let index = Tensor::from_i64(DType::I64, &[], &[2]);
        let ty = TensorType::new(DType::I64, []);
        let picked = evaluate(&TensorOp::Gather { axis: 0 }, &[&x, &index], &ty).unwrap();
        assert_eq!(picked.to_i64().unwrap(), [7]);
        let codes = Tensor::new(DType::I4, vec![1, 3], vec![0x8f, 0x07].into()).unwrap();
        let ty = TensorType::new(DType::I4, [3, 1]);
        let permutation = vec![1, 0];
        let turned = evaluate(&TensorOp::Transpose { permutation }, &[&codes], &ty).unwrap();
        assert_eq!(turned.to_i64().unwrap(), [-1, -8, 7]);
    }
}
