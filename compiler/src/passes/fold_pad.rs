//! Moves padding with zeros into the window behind it.

use snnc_ir::{Graph, NodeId, PoolKind, TensorOp};

use super::rewrite::{inherit, op, set_op, set_sources};
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
    let pad = graph.source(id, 0)?;
    let TensorOp::Pad { before, after, value } = op(graph, pad)? else { return None };
    let rank = before.len();
    let positive = |p: &[isize]| p.iter().map(|&p| usize::try_from(p).ok()).collect();
    let (before, after): (Option<Vec<usize>>, Option<Vec<usize>>) =
        (positive(before), positive(after));
    let (before, after) = (before?, after?);
    let spatial_only = rank >= 3 && before[..2] == [0, 0] && after[..2] == [0, 0];
    if *value != 0.0 || !spatial_only || !graph[pad].ty.dtype.is_float() {
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
    let mut sources = graph.sources(id);
    sources[0] = graph.source(pad, 0)?;
    set_op(graph, id, changed);
    set_sources(graph, id, &sources);
    inherit(graph, pad, id);
    Some(())
}
