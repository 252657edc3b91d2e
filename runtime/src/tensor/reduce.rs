//! Operators along axes: sums, means, softmax, the largest element, batch normalisation.

use snnc_ir::TensorType;

use super::elementwise::wrapped;
use super::layout::{Split, offsets, strides};
use super::sums::aligned_lanes;
use super::{Data, RunError, Value};

/// Sum or mean over `axes`, in the order of the elements, the last dimensions alone as ONNX Runtime
/// adds them ([`snnc_ir::SumOrder::AlignedLanes`]). The mean of integers is cut to an integer.
pub(super) fn reduce(
    x: &Value,
    axes: &[usize],
    mean: bool,
    ty: &TensorType,
) -> Result<Value, RunError> {
    let kept: Vec<usize> =
        x.shape().iter().enumerate().map(|(i, &d)| if axes.contains(&i) { 1 } else { d }).collect();
    let folded: Vec<isize> = strides(&kept)
        .into_iter()
        .enumerate()
        .map(|(i, s)| if axes.contains(&i) { 0 } else { s })
        .collect();
    let target = offsets(x.shape(), &folded, 0);
    let cells = ty.len();
    let count: usize =
        x.shape().iter().enumerate().filter(|(i, _)| axes.contains(i)).map(|(_, d)| d).product();
    match x.data() {
        Data::F32(v) => {
            // The last dimensions lie together in memory, and are added up by packets.
            let rank = x.shape().len();
            let first = rank.saturating_sub(axes.len());
            let together = count > 0 && axes.iter().copied().eq(first..rank);
            let mut sums = vec![0f32; cells];
            if together {
                let rows = v.chunks_exact(count).enumerate();
                let row = |(i, row): (usize, &[f32])| aligned_lanes(row, i * count);
                sums.iter_mut().zip(rows.map(row)).for_each(|(s, row)| *s = row);
            } else {
                v.iter().zip(target).for_each(|(x, i)| sums[i] += x);
            }
            if mean {
                sums.iter_mut().for_each(|s| *s /= count as f32);
            }
            Value::from_f32(&ty.shape, sums)
        }
        Data::Int(v) => {
            let mut sums = vec![0i64; cells];
            v.iter().zip(target).for_each(|(x, i)| sums[i] = sums[i].wrapping_add(*x));
            if mean && count > 0 {
                sums.iter_mut().for_each(|s| *s /= count as i64);
            }
            Value::from_i64(&ty.shape, sums.into_iter().map(|s| wrapped(s, ty.dtype)).collect())
        }
    }
}

/// Softmax along `axis`, the largest element subtracted first.
pub(super) fn softmax(x: &Value, axis: usize, ty: &TensorType) -> Result<Value, RunError> {
    let mut y = x.as_f32().ok_or(RunError::Elements(ty.dtype))?.to_vec();
    let Split { outer, axis, inner } = split(x.shape(), axis)?;
    for o in 0..outer {
        for i in 0..inner {
            let lane = || (0..axis).map(move |a| (o * axis + a) * inner + i);
            let largest = lane().map(|k| y[k]).fold(f32::NEG_INFINITY, f32::max);
            lane().for_each(|k| y[k] = (y[k] - largest).exp());
            let sum: f32 = lane().map(|k| y[k]).sum();
            lane().for_each(|k| y[k] /= sum);
        }
    }
    Value::from_f32(&ty.shape, y)
}

/// Index of the largest element along `axis`, the first of equals.
pub(super) fn arg_max(x: &Value, axis: usize, ty: &TensorType) -> Result<Value, RunError> {
    fn indices<T: PartialOrd>(x: &[T], Split { outer, axis, inner }: Split) -> Vec<i64> {
        let mut all = Vec::with_capacity(outer * inner);
        for o in 0..outer {
            for i in 0..inner {
                let at = |a: usize| &x[(o * axis + a) * inner + i];
                let best = (1..axis).fold(0, |best, a| if at(a) > at(best) { a } else { best });
                all.push(best as i64);
            }
        }
        all
    }
    let split = split(x.shape(), axis)?;
    if split.axis == 0 {
        return Err(RunError::Unsupported("nothing is the largest of no elements"));
    }
    let indices = match x.data() {
        Data::F32(v) => indices(v, split),
        Data::Int(v) => indices(v, split),
    };
    Value::from_i64(&ty.shape, indices)
}

fn split(shape: &[usize], axis: usize) -> Result<Split, RunError> {
    if axis < shape.len() {
        Ok(Split::at(shape, axis))
    } else {
        Err(RunError::Unsupported("the axis is none of the operand's"))
    }
}

/// `(x - mean) / sqrt(variance + epsilon) * scale + bias`, each of the four with one element for
/// each channel, the second dimension of `x`.
pub(super) fn batch_normalisation(
    operands: &[(&Value, &TensorType)],
    epsilon: f32,
    ty: &TensorType,
) -> Result<Value, RunError> {
    let reals = |i: usize| operands[i].0.as_f32().ok_or(RunError::Elements(ty.dtype));
    let x = reals(0)?;
    let split = split(&ty.shape, 1)?;
    let parameters = [reals(1)?, reals(2)?, reals(3)?, reals(4)?];
    if parameters.iter().any(|p| p.len() != split.axis) {
        return Err(RunError::Unsupported("parameters have another number of channels"));
    }
    let [scale, bias, mean, variance] = parameters;
    let mut y = Vec::with_capacity(x.len());
    for (i, map) in x.chunks_exact(split.inner.max(1)).enumerate() {
        let c = i % split.axis;
        let deviation = (variance[c] + epsilon).sqrt();
        y.extend(map.iter().map(|x| (x - mean[c]) / deviation * scale[c] + bias[c]));
    }
    Value::from_f32(&ty.shape, y)
}
