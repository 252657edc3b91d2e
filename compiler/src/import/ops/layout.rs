//! Operators that move elements without changing them.

use snnc_ir::{DType, NodeId, Tensor, TensorOp};

use super::Outputs;
use crate::import::call::{Call, Failure, axis};
use crate::import::importer::Importer;
use crate::import::limits;

pub(crate) fn transpose(importer: &mut Importer, call: &Call) -> Outputs {
    let x = call.input(0)?;
    let rank = importer.ty(x).shape.len();
    let permutation: Vec<usize> = match call.ints("perm")? {
        Some(perm) => perm.iter().map(|&p| axis(p, rank)).collect::<Result<_, _>>()?,
        None => (0..rank).rev().collect(),
    };
    Ok(vec![importer.emit(call, TensorOp::Transpose { permutation }, &[x])?])
}

/// Up to version 1 the axis may be omitted, which means 1.
pub(crate) fn concat(importer: &mut Importer, call: &Call) -> Outputs {
    let operands = call.all_inputs()?;
    let axis = call.axis("axis", 1, importer.ty(operands[0]).shape.len())?;
    Ok(vec![importer.emit(call, TensorOp::Concatenate { axis }, &operands)?])
}

pub(crate) fn gather(importer: &mut Importer, call: &Call) -> Outputs {
    let (x, mut indices) = (call.input(0)?, call.input(1)?);
    let shape = importer.shape(x);
    let axis = call.axis("axis", 0, shape.len())?;
    if let Some(values) = importer.constant(indices).map(|t| t.to_i64().unwrap_or_default()) {
        let extent = shape[axis] as i64;
        if values.iter().any(|&v| v < -extent || v >= extent) {
            return Err(Failure::malformed(format!("an index beyond {extent} elements")));
        }
        if values.iter().any(|&v| v < 0) {
            let wrapped: Vec<i64> =
                values.iter().map(|&v| if v < 0 { v + extent } else { v }).collect();
            let value = Tensor::from_i64(DType::I64, &importer.shape(indices), &wrapped);
            indices = importer.literal(call, "indices", value);
        }
    }
    Ok(vec![importer.emit(call, TensorOp::Gather { axis }, &[x, indices])?])
}

/// Counts are an attribute up to version 2 (`paddings` in version 1), an operand later.
pub(crate) fn pad(importer: &mut Importer, call: &Call) -> Outputs {
    let x = call.input(0)?;
    let rank = importer.ty(x).shape.len();
    let mode = call.string("mode", "constant")?;
    if mode != "constant" {
        return Err(Failure::unsupported(
            format!("padding by `{mode}`"),
            "pad with a constant, which spikes can carry",
        ));
    }
    let (pads, value) = if call.since < 11 {
        let name = if call.since < 2 { "paddings" } else { "pads" };
        (call.ints(name)?.unwrap_or_default().to_vec(), call.float("value", 0.0)?)
    } else {
        let value = call.optional(2).map(|_| importer.scalar(call, 2)).transpose()?;
        (importer.integers(call, 1)?, value.unwrap_or(0.0))
    };
    let axes: Vec<usize> = match call.optional(3) {
        Some(_) => {
            let stated = importer.integers(call, 3)?;
            stated.iter().map(|&a| axis(a, rank)).collect::<Result<_, _>>()?
        }
        None => (0..rank).collect(),
    };
    let in_range = |&p: &i64| (-limits::EXTENT..=limits::EXTENT).contains(&p);
    if pads.len() != axes.len() * 2 || !pads.iter().all(in_range) {
        return Err(Failure::malformed(format!("pads {pads:?} for {} axes", axes.len())));
    }
    let (mut before, mut after) = (vec![0isize; rank], vec![0isize; rank]);
    for (i, &axis) in axes.iter().enumerate() {
        (before[axis], after[axis]) = (pads[i] as isize, pads[i + axes.len()] as isize);
    }
    let op = TensorOp::Pad { before, after, value: f64::from(value) };
    Ok(vec![importer.emit(call, op, &[x])?])
}

/// Bounds are attributes up to version 9, operands later; they are clamped as Python does.
pub(crate) fn slice(importer: &mut Importer, call: &Call) -> Outputs {
    let x = call.input(0)?;
    let shape = importer.shape(x);
    let rank = shape.len();
    let attribute = |name: &str| Ok(call.ints(name)?.map(<[i64]>::to_vec));
    let operand = |index: usize| call.optional(index).map(|_| importer.integers(call, index));
    let (starts, ends, axes, steps) = if call.since < 10 {
        (attribute("starts")?, attribute("ends")?, attribute("axes")?, None)
    } else {
        let [starts, ends, axes, steps] = [1, 2, 3, 4].map(|i| operand(i).transpose());
        (starts?, ends?, axes?, steps?)
    };
    let (starts, ends) = (starts.unwrap_or_default(), ends.unwrap_or_default());
    let axes = axes.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = steps.unwrap_or_else(|| vec![1; starts.len()]);
    if [ends.len(), axes.len(), steps.len()] != [starts.len(); 3] {
        return Err(Failure::malformed("starts, ends, axes and steps differ in length"));
    }
    let (mut start, mut step, mut target) = (vec![0; rank], vec![1isize; rank], shape.clone());
    for i in 0..starts.len() {
        let axis = axis(axes[i], rank)?;
        let part = range(starts[i], ends[i], steps[i], shape[axis])?;
        (start[axis], step[axis], target[axis]) = part;
    }
    Ok(vec![importer.emit_shaped(call, TensorOp::Slice { start, step }, &[x], target)?])
}

/// First index, step and number of elements of a Python slice of `extent` elements.
fn range(start: i64, end: i64, step: i64, extent: usize) -> Result<(usize, isize, usize), Failure> {
    let n = extent as i64;
    let wrap = |v: i64| if v < 0 { v.saturating_add(n) } else { v };
    let most = limits::ELEMENTS as i64;
    let step = step.clamp(-most, most);
    let (first, count) = match step {
        0 => return Err(Failure::malformed("a slice with step 0")),
        1.. => {
            let (first, last) = (wrap(start).clamp(0, n), wrap(end).clamp(0, n));
            (
                first,
                (last - first).max(0).div_euclid(step)
                    + i64::from((last - first).max(0) % step != 0),
            )
        }
        _ => {
            let (first, last) = (wrap(start).clamp(-1, n - 1), wrap(end).clamp(-1, n - 1));
            let span = (first - last).max(0);
            (first, span.div_euclid(-step) + i64::from(span % -step != 0))
        }
    };
    Ok((first.clamp(0, n) as usize, step as isize, count as usize))
}

/// Sizes are an attribute up to version 11 and an operand later; without sizes the parts are equal,
/// and from version 18 on the last one may be smaller.
pub(crate) fn split(importer: &mut Importer, call: &Call) -> Outputs {
    let x = call.input(0)?;
    let shape = importer.shape(x);
    let axis = call.axis("axis", 0, shape.len())?;
    let parts = call.node.output.len();
    let stated = if call.since < 13 {
        call.ints("split")?.map(<[i64]>::to_vec)
    } else {
        call.optional(1).map(|_| importer.integers(call, 1)).transpose()?
    };
    let extent = shape[axis];
    let sizes: Vec<usize> = match stated {
        Some(sizes) => sizes.iter().map(|&s| usize::try_from(s).unwrap_or(usize::MAX)).collect(),
        None => {
            let part = extent.div_ceil(parts.max(1));
            (0..parts).map(|i| part.min(extent.saturating_sub(i * part))).collect()
        }
    };
    let total = sizes.iter().try_fold(0usize, |sum, &s| sum.checked_add(s));
    if sizes.len() != parts || total != Some(extent) {
        return Err(Failure::malformed(format!("{sizes:?} do not split {extent} into {parts}")));
    }
    let mut first = 0;
    let mut outputs = Vec::with_capacity(parts);
    for size in sizes {
        let mut start = vec![0; shape.len()];
        let mut target = shape.clone();
        (start[axis], target[axis]) = (first, size);
        let op = TensorOp::Slice { start, step: vec![1; shape.len()] };
        outputs.push(importer.emit_shaped(call, op, &[x], target)?);
        first += size;
    }
    Ok(outputs)
}

fn block(call: &Call) -> Result<usize, Failure> {
    match call.int("blocksize", 0)? {
        b @ 1..=0xffff => Ok(b as usize),
        b => Err(Failure::malformed(format!("blocks of {b}"))),
    }
}

fn through(
    importer: &mut Importer,
    call: &Call,
    split: Vec<usize>,
    permutation: Vec<usize>,
    target: Vec<usize>,
) -> Outputs {
    let x = importer.emit_shaped(call, TensorOp::Reshape, &[call.input(0)?], split)?;
    let x = importer.emit(call, TensorOp::Transpose { permutation }, &[x])?;
    Ok(vec![importer.emit_shaped(call, TensorOp::Reshape, &[x], target)?])
}

pub(crate) fn depth_to_space(importer: &mut Importer, call: &Call) -> Outputs {
    let shape = importer.shape(call.input(0)?);
    let b = block(call)?;
    let &[n, c, h, w] = shape.as_slice() else {
        return Err(Failure::malformed(format!("an operand of shape {shape:?}")));
    };
    if c % (b * b) != 0 {
        return Err(Failure::malformed(format!("{c} channels in blocks of {b} by {b}")));
    }
    let depth = c / (b * b);
    let target = vec![n, depth, h * b, w * b];
    match call.string("mode", "DCR")?.as_str() {
        "DCR" => {
            through(importer, call, vec![n, b, b, depth, h, w], vec![0, 3, 4, 1, 5, 2], target)
        }
        "CRD" => {
            through(importer, call, vec![n, depth, b, b, h, w], vec![0, 1, 4, 2, 5, 3], target)
        }
        other => Err(Failure::malformed(format!("there is no mode `{other}`"))),
    }
}

pub(crate) fn space_to_depth(importer: &mut Importer, call: &Call) -> Outputs {
    let shape = importer.shape(call.input(0)?);
    let b = block(call)?;
    let &[n, c, h, w] = shape.as_slice() else {
        return Err(Failure::malformed(format!("an operand of shape {shape:?}")));
    };
    if h % b != 0 || w % b != 0 {
        return Err(Failure::malformed(format!("a map of {h} by {w} in blocks of {b}")));
    }
    let split = vec![n, c, h / b, b, w / b, b];
    through(importer, call, split, vec![0, 3, 5, 1, 2, 4], vec![n, c * b * b, h / b, w / b])
}

/// How an index of the result becomes one of the operand.
struct Sampling {
    transformation: String,
    nearest: String,
}

impl Sampling {
    fn source(&self, index: usize, scale: f64, from: usize, to: usize) -> Option<usize> {
        let x = index as f64;
        let position = match self.transformation.as_str() {
            "asymmetric" => x / scale,
            "half_pixel" => (x + 0.5) / scale - 0.5,
            "pytorch_half_pixel" if to == 1 => 0.0,
            "pytorch_half_pixel" => (x + 0.5) / scale - 0.5,
            "align_corners" if to == 1 => 0.0,
            "align_corners" => x * (from as f64 - 1.0) / (to as f64 - 1.0),
            _ => return None,
        };
        let rounded = match self.nearest.as_str() {
            "round_prefer_floor" => (position - 0.5).ceil(),
            "round_prefer_ceil" => (position + 0.5).floor(),
            "floor" => position.floor(),
            "ceil" => position.ceil(),
            _ => return None,
        };
        Some(rounded.clamp(0.0, from as f64 - 1.0) as usize)
    }
}

pub(crate) fn resize(importer: &mut Importer, call: &Call) -> Outputs {
    let x = call.input(0)?;
    let shape = importer.shape(x);
    if call.has("axes") || call.string("keep_aspect_ratio_policy", "stretch")? != "stretch" {
        return Err(Failure::unsupported("resizing along some axes only", "give all scales"));
    }
    let (scales, sizes) = if call.since < 11 { (1, usize::MAX) } else { (2, 3) };
    let given =
        |index: usize| call.optional(index).filter(|&id| !importer.ty(id).is_empty()).is_some();
    let scales: Vec<f64> = if given(scales) {
        importer.reals(call, scales)?.iter().map(|&s| f64::from(s)).collect()
    } else if sizes != usize::MAX && given(sizes) {
        let sizes = importer.integers(call, sizes)?;
        sizes.iter().zip(&shape).map(|(&s, &d)| s as f64 / d.max(1) as f64).collect()
    } else {
        return Err(Failure::malformed("neither scales nor sizes are given"));
    };
    let (transformation, nearest) = if call.since < 11 {
        ("asymmetric".to_owned(), "floor".to_owned())
    } else {
        (
            call.string("coordinate_transformation_mode", "half_pixel")?,
            call.string("nearest_mode", "round_prefer_floor")?,
        )
    };
    sampled(importer, call, x, &scales, &Sampling { transformation, nearest })
}

pub(crate) fn upsample(importer: &mut Importer, call: &Call) -> Outputs {
    let x = call.input(0)?;
    let scales = if call.since < 9 {
        call.floats("scales")?.unwrap_or_default().to_vec()
    } else {
        importer.reals(call, 1)?
    };
    let scales: Vec<f64> = scales.iter().map(|&s| f64::from(s)).collect();
    let sampling = Sampling { transformation: "asymmetric".into(), nearest: "floor".into() };
    sampled(importer, call, x, &scales, &sampling)
}

/// Repetition where every scale is whole and nothing shifts, else selection by index.
fn sampled(
    importer: &mut Importer,
    call: &Call,
    mut x: NodeId,
    scales: &[f64],
    sampling: &Sampling,
) -> Outputs {
    let mode = call.string("mode", "nearest")?;
    if mode != "nearest" {
        return Err(Failure::unsupported(
            format!("interpolation by `{mode}`"),
            "use mode `nearest`, or a transposed convolution",
        ));
    }
    let shape = importer.shape(x);
    if scales.len() != shape.len() {
        return Err(Failure::malformed(format!("{} scales for {shape:?}", scales.len())));
    }
    let mut factors = vec![1; shape.len()];
    for (axis, (&scale, &from)) in scales.iter().zip(&shape).enumerate() {
        if scale == 1.0 {
            continue;
        }
        let to = (from as f64 * scale + 1e-6).floor();
        if !(scale > 0.0 && to >= 1.0 && to <= limits::EXTENT as f64) {
            return Err(Failure::malformed(format!("a scale of {scale} for {from} elements")));
        }
        let to = to as usize;
        let sources = (0..to).map(|i| sampling.source(i, scale, from, to));
        let Some(sources) = sources.collect::<Option<Vec<_>>>() else {
            return Err(Failure::unsupported(
                format!("sampling by `{}` and `{}`", sampling.transformation, sampling.nearest),
                "use half_pixel or asymmetric sampling",
            ));
        };
        let whole = to / from.max(1);
        if to == whole * from && sources.iter().enumerate().all(|(i, &s)| s == i / whole) {
            factors[axis] = whole;
            continue;
        }
        let indices: Vec<i64> = sources.iter().map(|&s| s as i64).collect();
        importer.spend(DType::I64, &[to])?;
        let indices = Tensor::from_i64(DType::I64, &[to], &indices);
        let indices = importer.literal(call, "indices", indices);
        x = importer.emit(call, TensorOp::Gather { axis }, &[x, indices])?;
    }
    if factors.iter().all(|&f| f == 1) {
        return Ok(vec![x]);
    }
    Ok(vec![importer.emit(call, TensorOp::Upsample { factors }, &[x])?])
}
