//! Reductions along axes.

use snnc_ir::{DType, TensorOp, TensorType, Unary};

use super::Outputs;
use crate::import::call::{Call, Failure, axis};
use crate::import::importer::Importer;

pub(crate) fn reduce_mean(importer: &mut Importer, call: &Call) -> Outputs {
    reduce(importer, call, true, call.since >= 18)
}

pub(crate) fn reduce_sum(importer: &mut Importer, call: &Call) -> Outputs {
    reduce(importer, call, false, call.since >= 13)
}

/// The axes are an operand in newer versions, an attribute in older ones; none means all.
fn reduce(importer: &mut Importer, call: &Call, mean: bool, operand: bool) -> Outputs {
    let x = call.input(0)?;
    let shape = importer.shape(x);
    let stated = if !operand {
        call.ints("axes")?.map(<[i64]>::to_vec)
    } else if call.optional(1).is_some() {
        Some(importer.integers(call, 1)?)
    } else {
        None
    };
    let stated = stated.unwrap_or_default();
    if stated.is_empty() && call.flag("noop_with_empty_axes", false)? {
        return Ok(vec![x]);
    }
    let mut axes = stated.iter().map(|&a| axis(a, shape.len())).collect::<Result<Vec<_>, _>>()?;
    if stated.is_empty() {
        axes = (0..shape.len()).collect();
    }
    axes.sort_unstable();
    axes.dedup();
    let target = reduced(&shape, &axes, call.flag("keepdims", true)?);
    Ok(vec![importer.emit_shaped(call, TensorOp::Reduce { axes, mean }, &[x], target)?])
}

pub(super) fn reduced(shape: &[usize], axes: &[usize], keep: bool) -> Vec<usize> {
    let dims = shape.iter().enumerate();
    dims.filter_map(|(i, &d)| match (axes.contains(&i), keep) {
        (false, _) => Some(d),
        (true, true) => Some(1),
        (true, false) => None,
    })
    .collect()
}

pub(crate) fn arg_max(importer: &mut Importer, call: &Call) -> Outputs {
    let x = call.input(0)?;
    let shape = importer.shape(x);
    if call.flag("select_last_index", false)? {
        return Err(Failure::unsupported("the last of equal largest elements", ""));
    }
    let axis = call.axis("axis", 0, shape.len())?;
    let target = reduced(&shape, &[axis], call.flag("keepdims", true)?);
    let ty = TensorType::new(DType::I64, target);
    Ok(vec![importer.emit_typed(call, TensorOp::ArgMax { axis }, &[x], ty)?])
}

/// Up to version 11 the elements from `axis` on count as one dimension.
pub(crate) fn softmax(importer: &mut Importer, call: &Call) -> Outputs {
    let x = call.input(0)?;
    let shape = importer.shape(x);
    let default = if call.since < 13 { 1 } else { -1 };
    let axis = call.axis("axis", default, shape.len())?;
    let later: usize = shape[axis + 1..].iter().product();
    if call.since >= 13 || later == 1 {
        return Ok(vec![importer.emit(call, TensorOp::Softmax { axis }, &[x])?]);
    }
    let matrix = vec![shape[..axis].iter().product(), shape[axis..].iter().product()];
    let x = importer.emit_shaped(call, TensorOp::Reshape, &[x], matrix)?;
    let y = importer.emit(call, TensorOp::Softmax { axis: 1 }, &[x])?;
    Ok(vec![importer.emit_shaped(call, TensorOp::Reshape, &[y], shape)?])
}

pub(crate) fn log_softmax(importer: &mut Importer, call: &Call) -> Outputs {
    let y = softmax(importer, call)?;
    Ok(vec![importer.emit(call, TensorOp::Unary(Unary::Log), &y)?])
}
