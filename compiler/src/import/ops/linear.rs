//! Matrix products.

use snnc_ir::{Binary, DType, NodeId, Tensor, TensorOp};

use super::Outputs;
use crate::import::call::{Call, Failure};
use crate::import::importer::Importer;

pub(crate) fn mat_mul(importer: &mut Importer, call: &Call) -> Outputs {
    let (a, b) = (call.input(0)?, call.input(1)?);
    Ok(vec![importer.emit(call, TensorOp::MatrixProduct, &[a, b])?])
}

/// `alpha * A * B + beta * C`, with A and B transposed where the attributes say so.
pub(crate) fn gemm(importer: &mut Importer, call: &Call) -> Outputs {
    let (mut a, mut b) = (call.input(0)?, call.input(1)?);
    if importer.ty(a).shape.len() != 2 || importer.ty(b).shape.len() != 2 {
        return Err(Failure::malformed("both factors must be matrices"));
    }
    let transpose = TensorOp::Transpose { permutation: vec![1, 0] };
    if call.flag("transA", false)? {
        a = importer.emit(call, transpose.clone(), &[a])?;
    }
    if !call.flag("transB", false)? {
        b = importer.emit(call, transpose, &[b])?;
    }
    let (alpha, beta) = (call.float("alpha", 1.0)?, call.float("beta", 1.0)?);
    let bias = call.optional(2).filter(|_| beta != 0.0);
    let outputs = importer.shape(b)[0];
    if let Some(bias) = bias
        && alpha == 1.0
        && beta == 1.0
        && importer.shape(bias) == [outputs]
    {
        return Ok(vec![importer.emit(call, TensorOp::Dense, &[a, b, bias])?]);
    }
    let mut y = importer.emit(call, TensorOp::Dense, &[a, b])?;
    y = scaled(importer, call, y, alpha, "alpha")?;
    if let Some(bias) = bias {
        let bias = scaled(importer, call, bias, beta, "beta")?;
        let shape = importer.shape(y);
        y = importer.emit(call, TensorOp::Binary(Binary::Add), &[y, bias])?;
        if importer.shape(y) != shape {
            return Err(Failure::malformed("C has more elements than the product"));
        }
    }
    Ok(vec![y])
}

fn scaled(
    importer: &mut Importer,
    call: &Call,
    x: NodeId,
    factor: f32,
    name: &str,
) -> Result<NodeId, Failure> {
    if factor == 1.0 {
        return Ok(x);
    }
    if importer.ty(x).dtype != DType::F32 {
        return Err(Failure::unsupported(
            format!("{name} = {factor} with elements of type {}", importer.ty(x).dtype),
            "export with float32",
        ));
    }
    let factor = importer.literal(call, name, Tensor::from_f32(&[], &[factor]));
    importer.emit(call, TensorOp::Binary(Binary::Mul), &[x, factor])
}
