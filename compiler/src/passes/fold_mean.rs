//! Makes a sum over windows part of the layer that alone reads it.
//!
//! Behind the lowering to codes a mean is a sum of codes in a smaller unit, so that a convolution or a
//! dense layer of such sums is one of the codes themselves, with larger windows.

use snnc_ir::{Graph, Node, NodeId, Pool, PoolKind, Tensor, TensorOp, Window, window_outputs};

use super::rewrite::{Names, constant, inherit_before, op, set_op, set_sources, used_once};
use super::{Context, Meaning, Pass};
use crate::Error;

pub(super) const PASS: Pass = Pass {
    name: "fold-mean",
    summary: "makes a sum over windows part of the weights of the layer that alone reads it",
    meaning: Meaning::Kept,
    run,
};

/// Weights may become as many as this, or four times as many as they are.
const WEIGHTS: usize = 1 << 18;

fn run(graph: &mut Graph, _: &mut Context) -> Result<bool, Error> {
    let mut names = Names::of(graph);
    let mut changed = false;
    for id in super::order(graph)? {
        if graph.get(id).is_some() {
            changed |= fold(graph, &mut names, id).is_some();
        }
    }
    Ok(changed)
}

fn fold(graph: &mut Graph, names: &mut Names, layer: NodeId) -> Option<()> {
    let read = graph.source(layer, 0)?;
    // A map with one cell of each channel may be read as features.
    let flattened = matches!(op(graph, read), Some(TensorOp::Reshape)).then_some(read);
    let sum = match flattened {
        Some(reshape) => graph.source(reshape, 0)?,
        None => read,
    };
    let TensorOp::Pool(pool) = op(graph, sum)?.clone() else { return None };
    if pool.kind != PoolKind::Sum || !used_once(graph, sum) || !used_once(graph, read) {
        return None;
    }
    let codes = graph.source(sum, 0)?;
    let (map, pooled) = (graph[codes].ty.shape.clone(), graph[sum].ty.shape.clone());
    let old = graph.source(layer, 1)?;
    let weights = constant(graph, old)?;
    let values = weights.to_i64().ok()?;
    let most = WEIGHTS.max(4 * values.len());
    let (operator, shape, values) = match op(graph, layer)? {
        TensorOp::Convolution { window, groups } if flattened.is_none() => {
            let composed = composed(&pool, window, &map[2..], &pooled[2..])?;
            let own = graph[layer].ty.shape.get(2..)?;
            if window_outputs(&composed, &map[2..], false).ok()? != own {
                return None;
            }
            let shape = [&weights.shape()[..2], composed.kernel.as_slice()].concat();
            (shape.iter().product::<usize>() <= most).then_some(())?;
            let values = spread(&values, window, &pool.window, &composed.kernel);
            (TensorOp::Convolution { window: composed, groups: *groups }, shape, values)
        }
        // A whole map becomes one cell: a convolution by a kernel of its size.
        TensorOp::Dense if pooled[2..].iter().all(|&n| n == 1) && is_whole(&pool, &map[2..]) => {
            let [outputs, inputs] = *weights.shape() else { return None };
            let cells: usize = map[2..].iter().product();
            (inputs == map[1] && outputs * inputs * cells <= most).then_some(())?;
            let values = values.iter().flat_map(|&w| std::iter::repeat_n(w, cells)).collect();
            (TensorOp::Dense, vec![outputs, inputs * cells], values)
        }
        _ => return None,
    };
    // Where sums overlap, weights add up.
    let value = Tensor::from_integers(&shape, &values);
    let mut ty = graph[old].ty.clone();
    (ty.shape, ty.dtype) = (shape, value.dtype());
    let cells: usize = pool.window.kernel.iter().product();
    if let Some(q) = &mut ty.quantisation {
        // The codes count in the unit of the whole sum now.
        q.scale.iter_mut().for_each(|s| *s /= cells as f32);
        q.minimum = values.iter().copied().fold(q.minimum, i64::min);
        q.maximum = values.iter().copied().fold(q.maximum, i64::max);
    }
    let name = names.fresh(&format!("{}.spread", graph[old].name));
    let node = Node::tensor(name, TensorOp::Constant, ty).with_data(value);
    let weights = graph.add(node.with_origins(&graph[old].origins.clone()), &[]);
    let x = match operator {
        TensorOp::Dense => {
            let mut ty = graph[codes].ty.clone();
            ty.shape = vec![map[0], map[1..].iter().product()];
            if ty.quantisation.as_ref().is_some_and(|q| q.axis.is_some()) {
                return None;
            }
            let name = names.fresh(&format!("{}.cells", graph[codes].name));
            let node = Node::tensor(name, TensorOp::Reshape, ty);
            graph.add(node.with_origins(&graph[codes].origins.clone()), &[codes])
        }
        _ => codes,
    };
    let mut sources = graph.sources(layer);
    (sources[0], sources[1]) = (x, weights);
    set_op(graph, layer, operator);
    set_sources(graph, layer, &sources);
    inherit_before(graph, sum, layer);
    Some(())
}

/// Whether the window of a pool is the whole map.
fn is_whole(pool: &Pool, map: &[usize]) -> bool {
    pool.window.kernel == map
        && !pool.window.is_padded()
        && pool.window.dilations.iter().all(|&d| d == 1)
}

/// The window of a convolution of sums as one of their cells; `None` where its padding, which holds zeros,
/// would meet cells of the map.
fn composed(pool: &Pool, window: &Window, map: &[usize], pooled: &[usize]) -> Option<Window> {
    let (w, p) = (window, &pool.window);
    let mut composed = Window::plain(&vec![1; w.rank()]);
    for i in 0..w.rank() {
        if p.dilations[i] != 1 {
            return None;
        }
        let padded = w.before[i] + w.after[i] > 0;
        // Sums beside the map are 0 only if none of their cells lies in it.
        let apart =
            p.kernel[i] <= p.strides[i] && p.before[i] == 0 && pooled[i] * p.strides[i] >= map[i];
        if padded && !apart {
            return None;
        }
        composed.kernel[i] = (w.kernel[i] - 1) * w.dilations[i] * p.strides[i] + p.kernel[i];
        composed.strides[i] = w.strides[i] * p.strides[i];
        composed.before[i] = w.before[i] * p.strides[i] + p.before[i];
        // As much as the last window needs.
        let outputs = (w.before[i] + pooled[i] + w.after[i])
            .checked_sub((w.kernel[i] - 1) * w.dilations[i] + 1)?
            / w.strides[i]
            + 1;
        let reach = (outputs - 1) * composed.strides[i] + composed.kernel[i];
        composed.after[i] = reach.saturating_sub(composed.before[i] + map[i]);
    }
    Some(composed)
}

/// Each weight at all the cells of its sum.
fn spread(values: &[i64], window: &Window, pool: &Window, kernel: &[usize]) -> Vec<i64> {
    let place = |mut index: usize, extents: &[usize]| {
        let mut at = vec![0; extents.len()];
        for (axis, &extent) in extents.iter().enumerate().rev() {
            at[axis] = index % extent;
            index /= extent;
        }
        at
    };
    let (taps, cells) =
        (window.kernel.iter().product::<usize>(), pool.kernel.iter().product::<usize>());
    let all: usize = kernel.iter().product();
    let mut targets = vec![Vec::with_capacity(cells); taps];
    for (tap, targets) in targets.iter_mut().enumerate() {
        let at = place(tap, &window.kernel);
        for cell in 0..cells {
            let within = place(cell, &pool.kernel);
            let along =
                |axis: usize| at[axis] * window.dilations[axis] * pool.strides[axis] + within[axis];
            targets.push((0..kernel.len()).fold(0, |index, a| index * kernel[a] + along(a)));
        }
    }
    let mut made = vec![0; values.len() / taps.max(1) * all];
    for (index, &weight) in values.iter().enumerate() {
        for &target in &targets[index % taps] {
            made[index / taps * all + target] += weight;
        }
    }
    made
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use snnc_ir::{DType, TensorType};
    use snnc_runtime::tensor::{Value, evaluate};

    use super::*;

    fn window(
        kernel: usize,
        stride: usize,
        dilation: usize,
        before: usize,
        after: usize,
    ) -> Window {
        let both = |n: usize| vec![n, n];
        Window {
            kernel: both(kernel),
            strides: both(stride),
            dilations: both(dilation),
            before: both(before),
            after: both(after),
        }
    }

    proptest! {
        #[test]
        fn a_convolution_of_sums_is_one_of_cells(
            extent in 1usize..9,
            (pool_kernel, pool_stride, pool_before) in (1usize..4, 1usize..4, 0usize..2),
            (kernel, stride, dilation, before, after) in (1usize..4, 1usize..3, 1usize..3, 0usize..3, 0usize..3),
        ) {
            let summed = window(pool_kernel, pool_stride, 1, pool_before, 0);
            let pool = Pool::new(PoolKind::Sum, summed);
            let layer = window(kernel, stride, dilation, before, after);
            let map = [extent, extent];
            let Ok(pooled) = window_outputs(&pool.window, &map, false) else { return Ok(()) };
            let Ok(outputs) = window_outputs(&layer, &pooled, false) else { return Ok(()) };
            let Some(composed) = composed(&pool, &layer, &map, &pooled) else { return Ok(()) };
            prop_assert_eq!(window_outputs(&composed, &map, false), Ok(outputs.clone()));
            let ty = |spatial: &[usize]| TensorType::new(DType::I32, [&[1, 1], spatial].concat());
            let cells = (0..extent * extent).map(|i| (i * 7 % 11) as i64 - 4).collect();
            let x = Value::from_i64(&ty(&map).shape, cells).unwrap();
            let weights: Vec<i64> = (0..kernel * kernel).map(|i| (i * 5 % 7) as i64 - 3).collect();
            let spread = spread(&weights, &layer, &pool.window, &composed.kernel);
            let sums = evaluate(&TensorOp::Pool(pool), &[(&x, &ty(&map))], &ty(&pooled)).unwrap();
            let convolved = |x: &Value, spatial: &[usize], w: Vec<i64>, window: &Window| {
                let w_ty = ty(&window.kernel);
                let w = Value::from_i64(&w_ty.shape, w).unwrap();
                let op = TensorOp::Convolution { window: window.clone(), groups: 1 };
                evaluate(&op, &[(x, &ty(spatial)), (&w, &w_ty)], &ty(&outputs)).unwrap()
            };
            prop_assert_eq!(
                convolved(&sums, &pooled, weights, &layer),
                convolved(&x, &map, spread, &composed)
            );
        }
    }
}
