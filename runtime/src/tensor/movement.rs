//! Operators that move elements and compute nothing.

use snnc_ir::TensorType;

use super::layout::{Split, broadcast_strides, offsets, strides};
use super::{Data, RunError, Value};

/// The elements of `x` at `sources`, in the shape of `ty`.
fn moved(
    x: &Value,
    ty: &TensorType,
    sources: impl Iterator<Item = usize>,
) -> Result<Value, RunError> {
    match x.data() {
        Data::F32(v) => Value::from_f32(&ty.shape, sources.map(|i| v[i]).collect()),
        Data::Int(v) => Value::from_i64(&ty.shape, sources.map(|i| v[i]).collect()),
    }
}

pub(super) fn transpose(
    x: &Value,
    permutation: &[usize],
    ty: &TensorType,
) -> Result<Value, RunError> {
    let inner = strides(x.shape());
    let permuted: Vec<isize> = permutation.iter().map(|&p| inner[p]).collect();
    moved(x, ty, offsets(&ty.shape, &permuted, 0))
}

pub(super) fn expand(x: &Value, ty: &TensorType) -> Result<Value, RunError> {
    moved(x, ty, offsets(&ty.shape, &broadcast_strides(x.shape(), &ty.shape), 0))
}

pub(super) fn slice(
    x: &Value,
    start: &[usize],
    step: &[isize],
    ty: &TensorType,
) -> Result<Value, RunError> {
    let inner = strides(x.shape());
    if ty.is_empty() {
        return moved(x, ty, std::iter::empty());
    }
    // A step that is never taken may be any number.
    let stepped: Vec<isize> =
        (0..step.len()).map(|d| if ty.shape[d] > 1 { inner[d] * step[d] } else { 0 }).collect();
    let first = start.iter().zip(&inner).map(|(&s, &i)| s * i as usize).sum();
    moved(x, ty, offsets(&ty.shape, &stepped, first))
}

pub(super) fn upsample(x: &Value, factors: &[usize], ty: &TensorType) -> Result<Value, RunError> {
    // Each dimension becomes two, the second of which repeats.
    let inner = strides(x.shape());
    let shape: Vec<usize> = x.shape().iter().zip(factors).flat_map(|(&d, &f)| [d, f]).collect();
    let repeated: Vec<isize> = inner.iter().flat_map(|&s| [s, 0]).collect();
    moved(x, ty, offsets(&shape, &repeated, 0))
}

pub(super) fn concatenate(
    operands: &[(&Value, &TensorType)],
    axis: usize,
    ty: &TensorType,
) -> Result<Value, RunError> {
    fn joined<T: Copy>(parts: &[(&[T], usize)], outer: usize, total: usize) -> Vec<T> {
        let mut all = Vec::with_capacity(total);
        for o in 0..outer {
            for (part, run) in parts {
                all.extend_from_slice(&part[o * run..(o + 1) * run]);
            }
        }
        all
    }
    let outer = Split::at(&ty.shape, axis).outer;
    let run = |v: &Value| v.shape()[axis..].iter().product::<usize>();
    let values = operands.iter().map(|(v, _)| *v);
    if operands.iter().all(|(v, _)| v.as_f32().is_some()) {
        let parts: Vec<_> = values.filter_map(|v| Some((v.as_f32()?, run(v)))).collect();
        Value::from_f32(&ty.shape, joined(&parts, outer, ty.len()))
    } else {
        let parts: Option<Vec<_>> = values.map(|v| Some((v.as_i64()?, run(v)))).collect();
        let parts = parts.ok_or(RunError::Mixed)?;
        Value::from_i64(&ty.shape, joined(&parts, outer, ty.len()))
    }
}

pub(super) fn pad(
    x: &Value,
    before: &[isize],
    value: f64,
    ty: &TensorType,
) -> Result<Value, RunError> {
    fn padded<T: Copy>(x: (&[T], &[usize]), before: &[isize], fill: T, shape: &[usize]) -> Vec<T> {
        let (elements, from) = x;
        let mut all = vec![fill; shape.iter().product()];
        // The part of the array that remains: where it begins in either, and how far it reaches.
        let first: Vec<usize> = before.iter().map(|b| b.min(&0).unsigned_abs()).collect();
        let target: Vec<usize> = before.iter().map(|b| b.max(&0).unsigned_abs()).collect();
        let kept: Vec<usize> = (0..shape.len())
            .map(|d| from[d].saturating_sub(first[d]).min(shape[d].saturating_sub(target[d])))
            .collect();
        if kept.contains(&0) {
            return all;
        }
        let (read, write) = (strides(from), strides(shape));
        let origin = |at: &[usize], strides: &[isize]| {
            at.iter().zip(strides).map(|(&a, &s)| a * s as usize).sum()
        };
        let sources = offsets(&kept, &read, origin(&first, &read));
        for (to, from) in offsets(&kept, &write, origin(&target, &write)).zip(sources) {
            all[to] = elements[from];
        }
        all
    }
    let shape = &ty.shape;
    match x.data() {
        Data::F32(v) => Value::from_f32(shape, padded((v, x.shape()), before, value as f32, shape)),
        Data::Int(v) => Value::from_i64(shape, padded((v, x.shape()), before, value as i64, shape)),
    }
}

pub(super) fn gather(
    x: &Value,
    indices: &Value,
    axis: usize,
    ty: &TensorType,
) -> Result<Value, RunError> {
    let Split { outer, axis: size, inner } = Split::at(x.shape(), axis);
    let position = |&index: &i64| {
        let wrapped = if index < 0 { index.saturating_add(size as i64) } else { index };
        usize::try_from(wrapped).ok().filter(|&i| i < size).ok_or(RunError::Index {
            index,
            low: -(size as i64),
            high: size as i64 - 1,
        })
    };
    let positions: Vec<usize> =
        super::codes::integers(indices)?.iter().map(position).collect::<Result<_, _>>()?;
    let sources = (0..outer).flat_map(|o| {
        positions.iter().flat_map(move |p| {
            let start = (o * size + p) * inner;
            start..start + inner
        })
    });
    moved(x, ty, sources)
}
