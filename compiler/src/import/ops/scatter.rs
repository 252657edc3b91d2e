//! Writing rows into an array.

use snnc_ir::TensorOp;

use super::Outputs;
use crate::import::call::{Call, Failure};
use crate::import::importer::Importer;

/// ScatterND that replaces one row along the first dimension: what lies before, the row, what lies
/// after. Exporters collect timesteps so.
pub(crate) fn scatter_nd(importer: &mut Importer, call: &Call) -> Outputs {
    let (x, updates) = (call.input(0)?, call.input(2)?);
    let refuse = || {
        Failure::unsupported(
            "it writes more than one row along the first dimension",
            "export the model without writing into arrays",
        )
    };
    if call.string("reduction", "none")? != "none" {
        return Err(refuse());
    }
    let shape = importer.shape(x);
    let indices = importer.integers(call, 1)?;
    let (Some(&rows), &[at]) = (shape.first(), indices.as_slice()) else {
        return Err(refuse());
    };
    let row: Vec<usize> = [&[1], &shape[1..]].concat();
    if importer.shape(updates) != row || importer.shape(call.input(1)?) != [1, 1] {
        return Err(refuse());
    }
    let at = if at < 0 { at + rows as i64 } else { at };
    let Some(at) = usize::try_from(at).ok().filter(|&at| at < rows) else {
        return Err(Failure::malformed(format!("row {at} of {rows}")));
    };
    let mut parts = Vec::with_capacity(3);
    for (from, to, is_new) in [(0, at, false), (at, at + 1, true), (at + 1, rows, false)] {
        if is_new {
            parts.push(updates);
        } else if from < to {
            let mut start = vec![0; shape.len()];
            start[0] = from;
            let step = vec![1; shape.len()];
            let part = [&[to - from], &shape[1..]].concat();
            parts.push(importer.emit_shaped(call, TensorOp::Slice { start, step }, &[x], part)?);
        }
    }
    match parts[..] {
        [only] => Ok(vec![only]),
        _ => Ok(vec![importer.emit(call, TensorOp::Concatenate { axis: 0 }, &parts)?]),
    }
}
