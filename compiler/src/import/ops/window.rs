//! Convolution and pooling.

use snnc_ir::{NodeId, Pool, PoolKind, SumOrder, TensorOp, TensorType, Window, window_outputs};

use super::Outputs;
use crate::import::call::{Call, Failure};
use crate::import::importer::Importer;
use crate::import::limits;

/// The spatial dimensions of operand `x`.
fn spatial(importer: &Importer, x: NodeId) -> Result<Vec<usize>, Failure> {
    match importer.shape(x) {
        shape if shape.len() >= 3 => Ok(shape[2..].to_vec()),
        shape => Err(Failure::malformed(format!("an operand of shape {shape:?} has no map"))),
    }
}

/// The window that the attributes give; padding by `auto_pad` is worked out for `map`.
fn window(call: &Call, kernel: Vec<usize>, map: &[usize]) -> Result<Window, Failure> {
    let rank = map.len();
    if kernel.len() != rank {
        return Err(Failure::malformed(format!("a kernel {kernel:?} for a map {map:?}")));
    }
    let pads = call.counts("pads", rank * 2, 0, 0)?;
    let mut window = Window {
        kernel,
        strides: call.counts("strides", rank, 1, 1)?,
        dilations: call.counts("dilations", rank, 1, 1)?,
        before: pads[..rank].to_vec(),
        after: pads[rank..].to_vec(),
    };
    let upper = match call.string("auto_pad", "NOTSET")?.as_str() {
        "" | "NOTSET" => return Ok(window),
        "VALID" => None,
        "SAME_UPPER" => Some(true),
        "SAME_LOWER" => Some(false),
        other => return Err(Failure::malformed(format!("there is no auto_pad `{other}`"))),
    };
    for (i, &cells) in map.iter().enumerate() {
        let extent = (window.kernel[i].max(1) - 1) * window.dilations[i] + 1;
        let last = (cells.div_ceil(window.strides[i]).max(1) - 1) * window.strides[i];
        let total = if upper.is_some() { (last + extent).saturating_sub(cells) } else { 0 };
        let (small, large) = (total / 2, total - total / 2);
        (window.before[i], window.after[i]) =
            if upper == Some(true) { (small, large) } else { (large, small) };
    }
    Ok(window)
}

fn groups(call: &Call) -> Result<usize, Failure> {
    match call.int("group", 1)? {
        g @ 1..=limits::EXTENT => Ok(g as usize),
        g => Err(Failure::malformed(format!("{g} groups"))),
    }
}

/// The kernel from the attribute, or else from the weights at operand 1.
fn kernel(importer: &Importer, call: &Call, weights: NodeId) -> Result<Vec<usize>, Failure> {
    let shape = spatial(importer, weights)?;
    if call.has("kernel_shape") && call.counts("kernel_shape", shape.len(), 1, 1)? != shape {
        return Err(Failure::malformed(format!("kernel_shape is not that of weights {shape:?}")));
    }
    Ok(shape)
}

pub(crate) fn convolution(importer: &mut Importer, call: &Call) -> Outputs {
    let (x, weights) = (call.input(0)?, call.input(1)?);
    Ok(vec![convolve(importer, call, x, weights, call.optional(2))?])
}

/// A convolution with the attributes of `call` and other operands.
pub(crate) fn convolve(
    importer: &mut Importer,
    call: &Call,
    x: NodeId,
    weights: NodeId,
    bias: Option<NodeId>,
) -> Result<NodeId, Failure> {
    let kernel = kernel(importer, call, weights)?;
    let window = window(call, kernel, &spatial(importer, x)?)?;
    let op = TensorOp::Convolution { window, groups: groups(call)? };
    let operands: Vec<NodeId> = [Some(x), Some(weights), bias].into_iter().flatten().collect();
    importer.emit(call, op, &operands)
}

pub(crate) fn transposed_convolution(importer: &mut Importer, call: &Call) -> Outputs {
    let (x, weights) = (call.input(0)?, call.input(1)?);
    let map = spatial(importer, x)?;
    let kernel = kernel(importer, call, weights)?;
    if kernel.len() != map.len() {
        return Err(Failure::malformed(format!("a kernel {kernel:?} for a map {map:?}")));
    }
    let rank = map.len();
    let groups = groups(call)?;
    let pads = call.counts("pads", rank * 2, 0, 0)?;
    let strides = call.counts("strides", rank, 1, 1)?;
    let dilations = call.counts("dilations", rank, 1, 1)?;
    let (mut before, mut after) = (pads[..rank].to_vec(), pads[rank..].to_vec());
    let extra = call.counts("output_padding", rank, 0, 0)?;
    let stated = call.ints("output_shape")?.is_some();
    let wanted = call.counts("output_shape", rank, 0, 1)?;
    let auto_pad = call.string("auto_pad", "NOTSET")?;
    let mut shape = vec![importer.shape(x)[0], importer.shape(weights)[1] * groups];
    for i in 0..rank {
        let extent = (kernel[i].max(1) - 1) * dilations[i] + 1;
        let full = strides[i] * (map[i].max(1) - 1) + extra[i] + extent;
        let target = match auto_pad.as_str() {
            _ if stated => Some(wanted[i]),
            "SAME_UPPER" | "SAME_LOWER" => Some(map[i] * strides[i]),
            _ => None,
        };
        if let Some(target) = target {
            let total = full.saturating_sub(target);
            let (small, large) = (total / 2, total - total / 2);
            (before[i], after[i]) =
                if auto_pad == "SAME_UPPER" { (small, large) } else { (large, small) };
        }
        let cut = before[i] + after[i];
        let size = target.or_else(|| full.checked_sub(cut));
        shape.push(size.ok_or_else(|| Failure::malformed("more is cut than there is"))?);
    }
    let window = Window { kernel, strides, dilations, before, after };
    let op = TensorOp::TransposedConvolution { window, groups };
    let operands: Vec<NodeId> =
        [Some(x), Some(weights), call.optional(2)].into_iter().flatten().collect();
    Ok(vec![importer.emit_shaped(call, op, &operands, shape)?])
}

pub(crate) fn max_pool(importer: &mut Importer, call: &Call) -> Outputs {
    pool(importer, call, PoolKind::Max)
}

pub(crate) fn average_pool(importer: &mut Importer, call: &Call) -> Outputs {
    let padding_counts = call.flag("count_include_pad", false)?;
    pool(
        importer,
        call,
        if padding_counts { PoolKind::AverageWithPadding } else { PoolKind::Average },
    )
}

fn pool(importer: &mut Importer, call: &Call, kind: PoolKind) -> Outputs {
    let x = call.input(0)?;
    Ok(vec![pool_of(importer, call, x, kind)?])
}

/// A pooling with the attributes of `call` of another operand.
pub(crate) fn pool_of(
    importer: &mut Importer,
    call: &Call,
    x: NodeId,
    kind: PoolKind,
) -> Result<NodeId, Failure> {
    let map = spatial(importer, x)?;
    if !call.has("kernel_shape") {
        return Err(Failure::malformed("kernel_shape is missing"));
    }
    let window = window(call, call.counts("kernel_shape", map.len(), 1, 1)?, &map)?;
    let ceil = call.flag("ceil_mode", false)?;
    let counts =
        window_outputs(&window, &map, ceil).map_err(|e| Failure::malformed(e.to_string()))?;
    let from = importer.ty(x).clone();
    let shape = [&from.shape[..2], counts.as_slice()].concat();
    let ty = TensorType::new(from.dtype, shape);
    let order = order_of_sums(call.since, &window, &map);
    importer.emit_typed(call, TensorOp::Pool(Pool { kind, window, order }), &[x], ty)
}

/// Reals of a row with its padding that ONNX Runtime sums up column by column.
const LONGEST_ROW: usize = 2044;

/// The order in which ONNX Runtime adds up the cells of a window: by lanes where the one window is the
/// whole map, column by column where its vector kernels take the map. Versions with dilations (from 19
/// on) have neither.
fn order_of_sums(since: i64, window: &Window, map: &[usize]) -> SumOrder {
    let steps_by_one = window.strides.iter().all(|&s| s == 1);
    let last = window.rank().saturating_sub(1);
    let row = map.get(last).map_or(0, |width| {
        width.saturating_add(window.before[last]).saturating_add(window.after[last])
    });
    if since >= 19 {
        SumOrder::Cells
    } else if window.kernel == map && !window.is_padded() && steps_by_one {
        SumOrder::Lanes
    } else if window.rank() >= 2 && window.strides[last] <= 2 && row <= LONGEST_ROW {
        SumOrder::Columns
    } else {
        SumOrder::Cells
    }
}

pub(crate) fn global_average_pool(importer: &mut Importer, call: &Call) -> Outputs {
    global(importer, call, PoolKind::Average)
}

pub(crate) fn global_max_pool(importer: &mut Importer, call: &Call) -> Outputs {
    global(importer, call, PoolKind::Max)
}

fn global(importer: &mut Importer, call: &Call, kind: PoolKind) -> Outputs {
    let x = call.input(0)?;
    let window = Window::plain(&spatial(importer, x)?);
    let pool = Pool { kind, window, order: SumOrder::Lanes };
    Ok(vec![importer.emit(call, TensorOp::Pool(pool), &[x])?])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As onnxruntime 1.32 adds random maps, on AVX2 and AVX-512.
    #[test]
    fn the_order_of_sums_is_that_of_the_kernel_that_is_taken() {
        let window = |kernel: &[usize], strides: &[usize]| Window {
            strides: strides.to_vec(),
            ..Window::plain(kernel)
        };
        for (since, window, map, order) in [
            (11, window(&[2, 2], &[2, 2]), vec![8, 8], SumOrder::Columns),
            (19, window(&[2, 2], &[2, 2]), vec![8, 8], SumOrder::Cells),
            (11, window(&[3, 3], &[3, 3]), vec![9, 9], SumOrder::Cells),
            (11, window(&[2, 2], &[2, 2]), vec![2, 2044], SumOrder::Columns),
            (11, window(&[2, 2], &[2, 2]), vec![2, 2046], SumOrder::Cells),
            (11, window(&[7, 7], &[1, 1]), vec![7, 7], SumOrder::Lanes),
            (11, window(&[7, 7], &[8, 8]), vec![7, 7], SumOrder::Cells),
            (11, window(&[9], &[1]), vec![9], SumOrder::Lanes),
            (11, window(&[5], &[2]), vec![40], SumOrder::Cells),
            (11, window(&[2, 3, 2], &[1, 1, 1]), vec![4, 5, 6], SumOrder::Columns),
            (22, window(&[7, 7], &[1, 1]), vec![7, 7], SumOrder::Cells),
        ] {
            assert_eq!(order_of_sums(since, &window, &map), order, "{since} {window:?} {map:?}");
        }
    }
}
