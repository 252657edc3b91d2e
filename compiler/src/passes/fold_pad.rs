//! Moves padding with zeros into the window behind it.

use snnc_ir::{Graph, NodeId, PoolKind, TensorOp};

use super::rewrite::{inherit, op, set_op, set_sources, used_once};
use super::{Context, Meaning, Pass};
use crate::Error;

pub(super) const PASS: Pass = Pass {
    name: "fold-pad",
    summary: "moves padding with zeros into the convolution or mean behind it",
    meaning: Meaning::Kept,
    run,
};

fn run(graph: &mut Graph, _: &mut Context) -> Result<bool, Error> {
    let mut changed = false;
    for id in super::order(graph)? {
        changed |= fold(graph, id).is_some();
    }
    Ok(changed)
}

fn fold(graph: &mut Graph, id: NodeId) -> Option<()> {
    let operand = graph.source(id, 0)?;
    // Codes are padded before they are dequantised, with the code of zero.
    let (pad, zero, dequantiser) = match op(graph, operand)? {
        TensorOp::Dequantise(q) if q.axis.is_none() && used_once(graph, operand) => {
            (graph.source(operand, 0)?, q.zero_at(0) as f64, Some(operand))
        }
        _ => (operand, 0.0, None),
    };
    let TensorOp::Pad { before, after, value } = op(graph, pad)? else { return None };
    let rank = before.len();
    let positive = |p: &[isize]| p.iter().map(|&p| usize::try_from(p).ok()).collect();
    let (before, after): (Option<Vec<usize>>, Option<Vec<usize>>) =
        (positive(before), positive(after));
    let (before, after) = (before?, after?);
    let spatial_only = rank >= 3 && before[..2] == [0, 0] && after[..2] == [0, 0];
    let codes = !graph[pad].ty.dtype.is_float();
    if *value != zero || !spatial_only || codes != dequantiser.is_some() {
        return None;
    }
    if dequantiser.is_some() && !used_once(graph, pad) {
        return None;
    }
    let mut changed = op(graph, id)?.clone();
    let window = match &mut changed {
        TensorOp::Convolution { window, .. } => window,
        TensorOp::Pool(pool) if pool.kind == PoolKind::AverageWithPadding => &mut pool.window,
        // Without padding of its own both kinds of mean are the same.
        TensorOp::Pool(pool) if pool.kind == PoolKind::Average && !pool.window.is_padded() => {
            pool.kind = PoolKind::AverageWithPadding;
            &mut pool.window
        }
        _ => return None,
    };
    for i in 0..window.rank() {
        window.before[i] += before[i + 2];
        window.after[i] += after[i + 2];
    }
    let unpadded = graph.source(pad, 0)?;
    if let Some(dequantiser) = dequantiser {
        let shape = graph[unpadded].ty.shape.clone();
        graph[dequantiser].ty.shape = shape;
        set_sources(graph, dequantiser, &[unpadded]);
    } else {
        let mut sources = graph.sources(id);
        sources[0] = unpadded;
        set_sources(graph, id, &sources);
    }
    set_op(graph, id, changed);
    inherit(graph, pad, id);
    Some(())
}
