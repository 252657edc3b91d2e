//! Sums over weights and windows.

use snnc_ir::Window;

/// `W x + b`.
pub(super) fn dense(weights: &[f32], bias: Option<&[f32]>, x: &[f32]) -> Vec<f32> {
    let rows = weights.chunks_exact(x.len().max(1)).enumerate();
    rows.map(|(i, row)| {
        let sum: f32 = row.iter().zip(x).map(|(w, x)| w * x).sum();
        sum + bias.and_then(|b| b.get(i)).copied().unwrap_or(0.0)
    })
    .collect()
}

/// Position of the `index`-th cell of a block with these sides.
fn place(mut index: usize, sides: &[usize]) -> Vec<usize> {
    let mut position = vec![0; sides.len()];
    for axis in (0..sides.len()).rev() {
        position[axis] = index % sides[axis].max(1);
        index /= sides[axis].max(1);
    }
    position
}

/// Cells of the map that lie in the window at `output`, with the window's cell that each meets.
fn cells(window: &Window, output: &[usize], spatial: &[usize]) -> Vec<(usize, usize)> {
    let all: usize = window.kernel.iter().product();
    let inside = |cell: usize| {
        let offset = place(cell, &window.kernel);
        let mut index = 0;
        for axis in 0..spatial.len() {
            let along = output[axis] * window.strides[axis] + offset[axis] * window.dilations[axis];
            let along = along.checked_sub(window.before[axis]).filter(|&p| p < spatial[axis])?;
            index = index * spatial[axis] + along;
        }
        Some((cell, index))
    };
    (0..all).filter_map(inside).collect()
}

/// Cross-correlation of a (C, ..) map, as [`snnc_ir::RealOp::Convolution`].
pub(super) fn convolution(
    window: &Window,
    groups: usize,
    (weights, bias): (&[f32], &[f32]),
    (x, shape): (&[f32], &[usize]),
    outputs: &[usize],
) -> Vec<f32> {
    let Some((&channels, spatial)) = shape.split_first() else { return Vec::new() };
    let (filters, plane): (usize, usize) = (bias.len(), spatial.iter().product());
    let kernel: usize = window.kernel.iter().product();
    let (inner, group) = (channels / groups.max(1), (filters / groups.max(1)).max(1));
    let windows: usize = outputs.iter().product();
    let mut y = vec![0.0; filters * windows];
    for at in 0..windows {
        let met = cells(window, &place(at, outputs), spatial);
        for f in 0..filters {
            let mut sum = bias[f];
            for c in 0..inner {
                let source = ((f / group) * inner + c) * plane;
                let own = (f * inner + c) * kernel;
                for &(cell, index) in &met {
                    sum += weights[own + cell] * x[source + index];
                }
            }
            y[f * windows + at] = sum;
        }
    }
    y
}

/// Sum or mean over windows of a (C, H, W) map.
pub(super) fn pool(
    window: &Window,
    mean: bool,
    (x, shape): (&[f32], &[usize]),
    outputs: &[usize],
) -> Vec<f32> {
    let Some((&channels, spatial)) = shape.split_first() else { return Vec::new() };
    let (plane, windows): (usize, usize) = (spatial.iter().product(), outputs.iter().product());
    let divisor = if mean { window.kernel.iter().product::<usize>() as f32 } else { 1.0 };
    let mut y = vec![0.0; channels * windows];
    for at in 0..windows {
        let met = cells(window, &place(at, outputs), spatial);
        for c in 0..channels {
            let sum: f32 = met.iter().map(|(_, index)| x[c * plane + index]).sum();
            y[c * windows + at] = sum / divisor;
        }
    }
    y
}
