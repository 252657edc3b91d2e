//! Removes a quantiser that gives back the codes that were dequantised before it.

use snnc_ir::{Graph, NodeId, Quantisation, Rounding, TensorOp};

use super::merge_clip::same_scale;
use super::rewrite::{inherit, op};
use super::{Context, Meaning, Pass};
use crate::Error;

pub(super) const PASS: Pass = Pass {
    name: "cancel-quantise",
    summary: "removes a quantiser that gives back the codes that were dequantised before it",
    meaning: Meaning::Kept,
    run,
};

/// Codes that are tried one by one are at most so many.
const MOST_CODES: i64 = 1 << 16;

fn run(graph: &mut Graph, _: &mut Context) -> Result<bool, Error> {
    let mut changed = false;
    for id in super::order(graph)? {
        changed |= cancel(graph, id).is_some();
    }
    Ok(changed)
}

/// `(c - z) * s / s` rounds to the nearest `c - z` again for every code below 2^22, as the two roundings
/// to f32 err by less than a quarter together. In other directions of rounding it may not: each code is
/// tried.
fn cancel(graph: &mut Graph, id: NodeId) -> Option<()> {
    let TensorOp::Quantise(q) = op(graph, id)? else { return None };
    let real = graph.source(id, 0)?;
    let TensorOp::Dequantise(given) = op(graph, real)? else { return None };
    let codes = graph.source(real, 0)?;
    let small = |v: i64| v.unsigned_abs() < 1 << 22;
    let fits = q.minimum <= given.minimum && given.maximum <= q.maximum;
    let bounded = small(given.minimum) && small(given.maximum);
    let same_type = graph[codes].ty.dtype == graph[id].ty.dtype;
    let whole = given.zero_point.iter().all(|&z| small(z));
    if !same_scale(q, given) || !fits || !bounded || !whole || !same_type || !gives_back(q, given) {
        return None;
    }
    inherit(graph, id, codes);
    graph.replace_uses(id, codes);
    Some(())
}

/// Whether every code of `given` is its own code again.
fn gives_back(q: &Quantisation, given: &Quantisation) -> bool {
    let nearest =
        !matches!(q.rounding, Rounding::Floor | Rounding::Ceil | Rounding::Up | Rounding::Down);
    if nearest && q.offset.is_empty() {
        return true;
    }
    let few = given.maximum - given.minimum < MOST_CODES;
    let own = |channel| move |code| q.code(given.real(code, channel), channel) == code;
    few && (0..q.scale.len()).all(|c| (given.minimum..=given.maximum).all(own(c)))
}
