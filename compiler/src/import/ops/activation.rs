//! Functions of one element.

use snnc_ir::{Binary, DType, Tensor, TensorOp, TensorType, Unary};

use super::Outputs;
use crate::import::call::{Call, Failure};
use crate::import::importer::Importer;

fn unary(importer: &mut Importer, call: &Call, function: Unary) -> Outputs {
    let x = call.input(0)?;
    Ok(vec![importer.emit(call, TensorOp::Unary(function), &[x])?])
}

macro_rules! plain {
    ($($name:ident => $function:ident),* $(,)?) => {
        $(pub(crate) fn $name(importer: &mut Importer, call: &Call) -> Outputs {
            unary(importer, call, Unary::$function)
        })*
    };
}

plain! {
    abs => Abs, ceil => Ceil, erf => Erf, exp => Exp, floor => Floor, hard_swish => HardSwish,
    log => Log, neg => Neg, reciprocal => Reciprocal, relu => Relu, round => Round,
    sigmoid => Sigmoid, sign => Sign, softplus => Softplus, sqrt => Sqrt, tanh => Tanh,
}

pub(crate) fn not(importer: &mut Importer, call: &Call) -> Outputs {
    let x = call.input(0)?;
    let ty = TensorType::new(DType::Bool, []);
    Ok(vec![importer.emit_typed(call, TensorOp::Unary(Unary::Not), &[x], ty)?])
}

pub(crate) fn leaky_relu(importer: &mut Importer, call: &Call) -> Outputs {
    unary(importer, call, Unary::LeakyRelu { alpha: call.float("alpha", 0.01)? })
}

/// `x * sigmoid(alpha x)`
pub(crate) fn swish(importer: &mut Importer, call: &Call) -> Outputs {
    let x = call.input(0)?;
    let ty = importer.ty(x).clone();
    let alpha = call.float("alpha", 1.0)?;
    let mut inner = x;
    if alpha != 1.0 {
        let factor = importer.literal(call, "alpha", Tensor::from_f32(&[], &[alpha]));
        let product = TensorOp::Binary(Binary::Mul);
        inner = importer.emit_part(call, "scaled", product, &[x, factor], ty.clone())?;
    }
    let sigmoid = TensorOp::Unary(Unary::Sigmoid);
    let gate = importer.emit_part(call, "gate", sigmoid, &[inner], ty)?;
    Ok(vec![importer.emit(call, TensorOp::Binary(Binary::Mul), &[x, gate])?])
}

pub(crate) fn hard_sigmoid(importer: &mut Importer, call: &Call) -> Outputs {
    let (alpha, beta) = (call.float("alpha", 0.2)?, call.float("beta", 0.5)?);
    unary(importer, call, Unary::HardSigmoid { alpha, beta })
}

/// Bounds are attributes up to version 6 and operands from version 11 on. A bound that is computed
/// while the network runs becomes a maximum or minimum; the upper one comes last, so it wins.
pub(crate) fn clip(importer: &mut Importer, call: &Call) -> Outputs {
    let mut x = call.input(0)?;
    if call.since < 11 {
        let minimum = call.has("min").then(|| call.float("min", 0.0)).transpose()?;
        let maximum = call.has("max").then(|| call.float("max", 0.0)).transpose()?;
        let (minimum, maximum) = (minimum.map(f64::from), maximum.map(f64::from));
        return Ok(vec![importer.emit(call, TensorOp::Clip { minimum, maximum }, &[x])?]);
    }
    let mut bounds = [None, None];
    for (index, function) in [(1, Binary::Max), (2, Binary::Min)] {
        let Some(bound) = call.optional(index) else { continue };
        let Some(tensor) = importer.constant(bound) else {
            x = importer.emit(call, TensorOp::Binary(function), &[x, bound])?;
            continue;
        };
        let value = match tensor.to_i64() {
            Ok(values) => values.first().map(|&v| v as f64),
            Err(_) => tensor.to_f32().first().map(|&v| f64::from(v)),
        };
        let (1, Some(value)) = (tensor.len(), value) else {
            return Err(Failure::malformed("a bound must be one number"));
        };
        bounds[index - 1] = Some(value);
    }
    let [minimum, maximum] = bounds;
    if minimum.is_none() && maximum.is_none() {
        return Ok(vec![x]);
    }
    Ok(vec![importer.emit(call, TensorOp::Clip { minimum, maximum }, &[x])?])
}
