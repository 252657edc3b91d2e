//! Normalisation, and operators that do nothing when a network is not being trained.

use snnc_ir::TensorOp;

use super::Outputs;
use crate::import::call::{Call, Failure};
use crate::import::importer::Importer;

pub(crate) fn batch_normalisation(importer: &mut Importer, call: &Call) -> Outputs {
    let training = call.flag("training_mode", false)?;
    if training || !call.flag("spatial", true)? {
        return Err(Failure::unsupported(
            "batch normalisation in training mode or for each pixel",
            "export the model in evaluation mode",
        ));
    }
    let operands: Vec<_> = (0..5).map(|i| call.input(i)).collect::<Result<_, _>>()?;
    let channels = importer.shape(operands[0]).get(1).copied().unwrap_or(1);
    if operands[1..].iter().any(|&o| importer.shape(o) != [channels]) {
        return Err(Failure::malformed(format!(
            "scale, bias, mean and variance must have {channels} entries"
        )));
    }
    let epsilon = call.float("epsilon", 1e-5)?;
    Ok(vec![importer.emit(call, TensorOp::BatchNormalisation { epsilon }, &operands)?])
}

pub(crate) fn identity(_: &mut Importer, call: &Call) -> Outputs {
    Ok(vec![call.input(0)?])
}

pub(crate) fn dropout(importer: &mut Importer, call: &Call) -> Outputs {
    if call.optional(2).is_some() && importer.integers(call, 2)?.iter().any(|&t| t != 0) {
        return Err(Failure::unsupported(
            "dropout in training mode",
            "export the model in evaluation mode",
        ));
    }
    Ok(vec![call.input(0)?])
}
