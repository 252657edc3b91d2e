//! Makes one quantiser of several that quantise the same reals.

use snnc_ir::{DType, Graph, NodeId, Quantisation, TensorOp};

use super::rewrite::{inherit, op, set_op, set_sources};
use super::{Context, Meaning, Pass};
use crate::Error;

pub(super) const PASS: Pass = Pass {
    name: "share-quantisers",
    summary: "makes one quantiser of several that quantise the same reals, where codes of one say those \
              of the other",
    meaning: Meaning::Kept,
    run,
};

/// Codes of more levels are not tabulated.
const LEVELS: i64 = 1 << 16;

fn run(graph: &mut Graph, _: &mut Context) -> Result<bool, Error> {
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

/// The code of `coarse` for each code of `fine`, if it is one for all reals that have that code.
fn table(fine: &Quantisation, coarse: &Quantisation) -> Option<Vec<i64>> {
    let levels = fine.maximum.checked_sub(fine.minimum)?;
    if fine.axis.is_some() || coarse.axis.is_some() || !(0..LEVELS).contains(&levels) {
        return None;
    }
    (fine.minimum..=fine.maximum)
        .map(|code| {
            // Both are monotone: what the ends of an interval have, all between do.
            let (first, last) = (first_real(fine, code), first_real(fine, code + 1));
            let last = last.map_or(f32::INFINITY, f32::next_down);
            let first = first?;
            (first > last || coarse.code(first, 0) == coarse.code(last, 0))
                .then(|| coarse.code(first, 0))
        })
        .collect()
}

/// The smallest real with at least that code: minus infinity for the smallest code, none beyond the
/// largest.
fn first_real(q: &Quantisation, code: i64) -> Option<f32> {
    let of = |key: i64| f32::from_bits(if key < 0 { (!key as u32) | 1 << 31 } else { key as u32 });
    // Reals in their order are integers in theirs: the negative ones by their complement.
    let infinity = i64::from(f32::INFINITY.to_bits());
    let (mut low, mut high) = (!infinity, infinity);
    if q.code(of(low), 0) >= code {
        return Some(of(low));
    }
    if q.code(of(high), 0) < code {
        return None;
    }
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if q.code(of(middle), 0) >= code { high = middle } else { low = middle }
    }
    Some(of(high))
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

    #[test]
    fn the_first_real_of_a_code_is_its_threshold() {
        let q = Quantisation::per_tensor(0.5, 0, -4, 4);
        assert_eq!(first_real(&q, 1), Some(0.25f32.next_up()));
        assert_eq!(first_real(&q, 2), Some(0.75), "the tie is even");
        assert_eq!(first_real(&q, 0), Some(-0.25));
        assert_eq!((first_real(&q, -4), first_real(&q, 5)), (Some(f32::NEG_INFINITY), None));
    }
}
