//! Makes one quantiser of several that quantise the same reals.

use snnc_ir::{
    DType, Graph, Node, NodeId, Quantisation, TensorOp, TensorType, ThresholdRows, Thresholds,
};

use super::ascending::first_real;
use super::rewrite::{Names, inherit, op, set_op, set_sources};
use super::{Context, Meaning, Pass};
use crate::Error;

pub(super) const PASS: Pass = Pass {
    name: "share-quantisers",
    summary: "makes one quantiser of several that quantise the same reals, where codes of one say those \
              of the other, or their thresholds together do",
    meaning: Meaning::Kept,
    run,
};

/// Codes of more levels are not tabulated.
const LEVELS: i64 = 1 << 16;

fn run(graph: &mut Graph, _: &mut Context) -> Result<bool, Error> {
    let mut names = Names::of(graph);
    let mut changed = false;
    for real in super::order(graph)? {
        // What was merged is gone.
        if graph.get(real).is_none_or(|node| node.ty.dtype != DType::F32) {
            continue;
        }
        // Merging may leave quantisers that others follow from: as often as there are any.
        while merge(graph, real).is_some() {
            changed = true;
        }
        if matches!(op(graph, real), Some(TensorOp::Input)) {
            changed |= join(graph, &mut names, real).is_some();
        }
    }
    Ok(changed)
}

/// Merges two quantisers of `real`; `None` if none follows from another.
fn merge(graph: &mut Graph, real: NodeId) -> Option<()> {
    let quantiser = |id: &NodeId| matches!(op(graph, *id), Some(TensorOp::Quantise(_)));
    let mut found: Vec<NodeId> = graph.users(real).into_iter().filter(quantiser).collect();
    found.sort_unstable();
    found.dedup();
    for &kept in &found {
        for &other in found.iter().filter(|&&other| other != kept) {
            let (Some(TensorOp::Quantise(q)), Some(TensorOp::Quantise(r))) =
                (op(graph, kept), op(graph, other))
            else {
                continue;
            };
            if q == r && graph[kept].ty == graph[other].ty {
                inherit(graph, other, kept);
                graph.replace_uses(other, kept);
                graph.remove(other);
                return Some(());
            }
            if let Some(table) = table(q, r) {
                let minimum = q.minimum;
                graph[other].ty.quantisation = Some(r.clone());
                set_op(graph, other, TensorOp::Lookup { minimum, table });
                set_sources(graph, other, &[kept]);
                return Some(());
            }
        }
    }
    None
}

/// Gives an input that several quantisers quantise one set of codes, which says those of each: its
/// thresholds are theirs together. A quantiser becomes a table of the joint codes.
fn join(graph: &mut Graph, names: &mut Names, input: NodeId) -> Option<()> {
    let quantiser = |id: &NodeId| match op(graph, *id) {
        Some(TensorOp::Quantise(q)) => Some((*id, q.clone())),
        _ => None,
    };
    let mut found: Vec<_> = graph.users(input).iter().filter_map(quantiser).collect();
    found.sort_unstable_by_key(|(id, _)| *id);
    let few = |q: &Quantisation| {
        q.axis.is_none()
            && q.maximum.checked_sub(q.minimum).is_some_and(|n| (0..LEVELS).contains(&n))
    };
    if found.len() < 2 || !found.iter().all(|(_, q)| few(q)) {
        return None;
    }
    let mut row: Vec<f32> = Vec::new();
    for (_, q) in &found {
        let reals = (q.minimum + 1..=q.maximum).filter_map(|code| first_real(q, 0, code));
        row.extend(reals.filter(|t| t.is_finite()));
    }
    row.sort_unstable_by(f32::total_cmp);
    row.dedup();
    let maximum = row.len() as i64;
    if maximum >= LEVELS {
        return None;
    }
    let finest = found.iter().map(|(_, q)| q.scale_at(0)).reduce(f32::min)?;
    let folded = found.iter().filter_map(|(_, q)| q.folded).max_by_key(|f| f.numbers);
    let q = Quantisation { folded, ..Quantisation::per_tensor(finest, 0, 0, maximum) };
    let dtype = if maximum < 256 { DType::U8 } else { DType::I32 };
    let ty = TensorType::new(dtype, graph[input].ty.shape.clone()).quantised(q);
    let representatives: Vec<f32> = [f32::MIN].into_iter().chain(row.iter().copied()).collect();
    let thresholds = Thresholds { axis: 1, minimum: 0, rows: ThresholdRows::Reals(vec![row]) };
    let name = names.fresh(&format!("{}.codes", graph[input].name));
    let node = Node::tensor(name, TensorOp::Threshold(thresholds), ty);
    let joint = graph.add(node.with_origins(&graph[found[0].0].origins.clone()), &[input]);
    for (id, q) in found {
        let table = representatives.iter().map(|&real| q.code(real, 0)).collect();
        graph[id].ty.quantisation = Some(q);
        set_op(graph, id, TensorOp::Lookup { minimum: 0, table });
        set_sources(graph, id, &[joint]);
    }
    Some(())
}

/// The code of `coarse` for each code of `fine`, if it is one for all reals that have that code.
fn table(fine: &Quantisation, coarse: &Quantisation) -> Option<Vec<i64>> {
    let levels = fine.maximum.checked_sub(fine.minimum)?;
    if fine.axis.is_some() || coarse.axis.is_some() || !(0..LEVELS).contains(&levels) {
        return None;
    }
    (fine.minimum..=fine.maximum)
        .map(|code| {
            // Both are monotone: what the ends of an interval have, all between do.
            let (first, last) = (first_real(fine, 0, code), first_real(fine, 0, code + 1));
            let last = last.map_or(f32::INFINITY, f32::next_down);
            let first = first?;
            (first > last || coarse.code(first, 0) == coarse.code(last, 0))
                .then(|| coarse.code(first, 0))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_coarser_quantiser_follows_where_its_thresholds_are_among_the_finer_ones() {
        let fine = Quantisation::per_tensor(0.25, 3, 0, 15);
        let narrower = Quantisation { minimum: 3, maximum: 9, ..fine.clone() };
        let found = table(&fine, &narrower).unwrap();
        assert_eq!(found[..5], [3, 3, 3, 3, 4]);
        assert_eq!(table(&narrower, &fine), None, "what is clipped is not known any more");
        let other = Quantisation { scale: vec![0.3], ..fine.clone() };
        assert_eq!(table(&fine, &other), None);
        let relabelled = Quantisation::per_tensor(0.25, 13, 10, 25);
        let found = table(&fine, &relabelled).unwrap();
        assert_eq!(found, (10..=25).collect::<Vec<i64>>());
    }
}
