//! Constants and operators that change nothing but the shape.

use bytes::Bytes;
use snnc_ir::{DType, NodeId, Tensor, TensorOp};

use super::Outputs;
use crate::import::call::{Call, Failure, axis};
use crate::import::importer::Importer;
use crate::import::{data, limits};

pub(crate) fn constant(importer: &mut Importer, call: &Call) -> Outputs {
    let value = if let Some(proto) = call.tensor("value")? {
        data::tensor(proto, &mut importer.store)?
    } else if call.has("value_float") {
        Tensor::from_f32(&[], &[call.float("value_float", 0.0)?])
    } else if let Some(values) = call.floats("value_floats")? {
        Tensor::from_f32(&[values.len()], values)
    } else if call.has("value_int") {
        Tensor::from_i64(DType::I64, &[], &[call.int("value_int", 0)?])
    } else if let Some(values) = call.ints("value_ints")? {
        Tensor::from_i64(DType::I64, &[values.len()], values)
    } else {
        return Err(Failure::unsupported("a sparse constant or one of strings", ""));
    };
    let origins = std::slice::from_ref(&call.origin);
    Ok(vec![importer.add_constant(&call.origin.node, value, origins)])
}

pub(crate) fn constant_of_shape(importer: &mut Importer, call: &Call) -> Outputs {
    let shape = data::shape(&importer.integers(call, 0)?)?;
    let one = match call.tensor("value")? {
        Some(proto) => data::tensor(proto, &mut importer.store)?,
        None => Tensor::from_f32(&[], &[0.0]),
    };
    if one.len() != 1 || one.dtype().bits() < 8 {
        return Err(Failure::unsupported("a value that is not one element of whole bytes", ""));
    }
    importer.spend(one.dtype(), &shape)?;
    let count = shape.iter().product();
    let bytes = Bytes::from(one.bytes().repeat(count));
    let value =
        Tensor::new(one.dtype(), shape, bytes).map_err(|e| Failure::malformed(e.to_string()))?;
    Ok(vec![importer.literal(call, "value", value)])
}

fn integers(importer: &mut Importer, call: &Call, shape: &[usize], values: &[i64]) -> NodeId {
    importer.literal(call, "value", Tensor::from_i64(DType::I64, shape, values))
}

pub(crate) fn shape(importer: &mut Importer, call: &Call) -> Outputs {
    let shape: Vec<i64> = importer.shape(call.input(0)?).iter().map(|&d| d as i64).collect();
    let rank = shape.len() as i64;
    let place = |v: i64| (if v < 0 { v.saturating_add(rank) } else { v }).clamp(0, rank) as usize;
    let (start, end) = (place(call.int("start", 0)?), place(call.int("end", rank)?));
    let part = shape.get(start..end).unwrap_or_default().to_vec();
    Ok(vec![integers(importer, call, &[part.len()], &part)])
}

pub(crate) fn size(importer: &mut Importer, call: &Call) -> Outputs {
    let size = importer.ty(call.input(0)?).len() as i64;
    Ok(vec![integers(importer, call, &[], &[size])])
}

fn reshaped(importer: &mut Importer, call: &Call, x: NodeId, shape: Vec<usize>) -> Outputs {
    if importer.shape(x) == shape {
        return Ok(vec![x]);
    }
    Ok(vec![importer.emit_shaped(call, TensorOp::Reshape, &[x], shape)?])
}

/// In the target shape 0 keeps a dimension (unless `allowzero`) and -1 takes what is left.
pub(crate) fn reshape(importer: &mut Importer, call: &Call) -> Outputs {
    let x = call.input(0)?;
    let target = if call.since < 5 {
        call.ints("shape")?.unwrap_or_default().to_vec()
    } else {
        importer.integers(call, 1)?
    };
    let from = importer.shape(x);
    let zero_keeps = !call.flag("allowzero", false)?;
    let wrong = || Failure::malformed(format!("{from:?} cannot be reshaped to {target:?}"));
    let mut shape = Vec::with_capacity(target.len());
    let mut open = None;
    for (index, &dim) in target.iter().enumerate() {
        shape.push(match dim {
            0 if zero_keeps => *from.get(index).ok_or_else(wrong)?,
            -1 if open.is_none() => {
                open = Some(index);
                1
            }
            d => usize::try_from(d).map_err(|_| wrong())?,
        });
    }
    let known = limits::elements(&shape).ok_or_else(wrong)?;
    let total: usize = from.iter().product();
    if let Some(index) = open {
        if known == 0 || !total.is_multiple_of(known) {
            return Err(wrong());
        }
        shape[index] = total / known;
    }
    reshaped(importer, call, x, shape)
}

pub(crate) fn flatten(importer: &mut Importer, call: &Call) -> Outputs {
    let x = call.input(0)?;
    let from = importer.shape(x);
    let rank = from.len();
    let stated = call.int("axis", 1)?;
    let split = if stated == rank as i64 { rank } else { axis(stated, rank)? };
    let shape = vec![from[..split].iter().product(), from[split..].iter().product()];
    reshaped(importer, call, x, shape)
}

/// Axes as an attribute in older versions, an operand from version 13 on.
fn stated_axes(importer: &Importer, call: &Call) -> Result<Option<Vec<i64>>, Failure> {
    if call.since < 13 {
        return Ok(call.ints("axes")?.map(<[i64]>::to_vec));
    }
    call.optional(1).map(|_| importer.integers(call, 1)).transpose()
}

pub(crate) fn squeeze(importer: &mut Importer, call: &Call) -> Outputs {
    let x = call.input(0)?;
    let from = importer.shape(x);
    let gone: Vec<usize> = match stated_axes(importer, call)? {
        Some(axes) => axes.iter().map(|&a| axis(a, from.len())).collect::<Result<_, _>>()?,
        None => (0..from.len()).filter(|&i| from[i] == 1).collect(),
    };
    if gone.iter().any(|&i| from[i] != 1) {
        return Err(Failure::malformed(format!("a dimension of {from:?} that goes is not 1")));
    }
    let stays = |&(i, _): &(usize, &usize)| !gone.contains(&i);
    let shape = from.iter().enumerate().filter(stays).map(|(_, &d)| d).collect();
    reshaped(importer, call, x, shape)
}

pub(crate) fn unsqueeze(importer: &mut Importer, call: &Call) -> Outputs {
    let x = call.input(0)?;
    let from = importer.shape(x);
    let axes = stated_axes(importer, call)?.unwrap_or_default();
    let rank = from.len() + axes.len();
    if rank > limits::RANK {
        return Err(Failure::malformed("too many dimensions"));
    }
    let added: Vec<usize> = axes.iter().map(|&a| axis(a, rank)).collect::<Result<_, _>>()?;
    let mut rest = from.iter();
    let mut shape = Vec::with_capacity(rank);
    for index in 0..rank {
        if added.contains(&index) {
            shape.push(1);
        } else {
            let dim = rest.next().ok_or_else(|| Failure::malformed("an axis is given twice"))?;
            shape.push(*dim);
        }
    }
    if rest.next().is_some() {
        return Err(Failure::malformed("an axis is given twice"));
    }
    reshaped(importer, call, x, shape)
}

/// Most copies of a dimension that `Tile` makes.
const MOST_COPIES: usize = 1 << 12;

/// Repeats along each dimension.
pub(crate) fn tile(importer: &mut Importer, call: &Call) -> Outputs {
    let mut x = call.input(0)?;
    let mut shape = importer.shape(x);
    let repeats = data::shape(&importer.integers(call, 1)?)?;
    if repeats.len() != shape.len() {
        return Err(Failure::malformed(format!(
            "{} repeats for the shape {shape:?}",
            repeats.len()
        )));
    }
    for (axis, &count) in repeats.iter().enumerate().filter(|(_, count)| **count != 1) {
        let one = shape[axis] == 1;
        shape[axis] = shape[axis]
            .checked_mul(count)
            .ok_or_else(|| Failure::malformed("repeats a dimension beyond what a number holds"))?;
        x = match one {
            true => importer.emit_shaped(call, TensorOp::Expand, &[x], shape.clone())?,
            false if count > MOST_COPIES => {
                let reason = format!("{count} copies along a dimension");
                return Err(Failure::unsupported(reason, "repeat in fewer copies"));
            }
            false => {
                let op = TensorOp::Concatenate { axis };
                importer.emit_shaped(call, op, &vec![x; count], shape.clone())?
            }
        };
    }
    Ok(vec![x])
}

pub(crate) fn expand(importer: &mut Importer, call: &Call) -> Outputs {
    let x = call.input(0)?;
    let from = importer.shape(x);
    let target = data::shape(&importer.integers(call, 1)?)?;
    let rank = from.len().max(target.len());
    let dim = |s: &[usize], i: usize| (i + s.len()).checked_sub(rank).map_or(1, |j| s[j]);
    let shape: Vec<usize> = (0..rank)
        .map(|i| match (dim(&from, i), dim(&target, i)) {
            (d, 1) => d,
            (1, d) => d,
            (d, _) => d,
        })
        .collect();
    if from == shape {
        return Ok(vec![x]);
    }
    Ok(vec![importer.emit_shaped(call, TensorOp::Expand, &[x], shape)?])
}
