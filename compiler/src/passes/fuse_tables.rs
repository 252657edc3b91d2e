//! Makes one staircase of a requantisation and of a table that nothing else stands between.

use snnc_ir::analysis::bisect_thresholds;
use snnc_ir::{Graph, NodeId, Quantisation, TensorOp, ThresholdRows, Thresholds};

use super::ascending::first_reaching;
use super::rewrite::{inherit_before, op, set_op, set_sources, used_once};
use super::{Context, Meaning, Pass};
use crate::Error;
use crate::reference::Requantiser;

pub(super) const PASS: Pass = Pass {
    name: "fuse-tables",
    summary: "makes a table that does not fall part of the thresholds of the codes before it",
    meaning: Meaning::Kept,
    run,
};

/// Most thresholds of a node, over all of its channels.
const MOST_THRESHOLDS: usize = 1 << 20;

fn run(graph: &mut Graph, _: &mut Context) -> Result<bool, Error> {
    let mut changed = false;
    for id in super::order(graph)? {
        if graph.get(id).is_some() {
            changed |= fuse(graph, id).is_some();
        }
    }
    Ok(changed)
}

/// A table of codes: for each code from `minimum` on another.
struct Table<'a> {
    minimum: i64,
    codes: &'a [i64],
}

impl Table<'_> {
    fn at(&self, code: i64) -> i64 {
        let last = self.codes.len().saturating_sub(1) as i64;
        let index = code.saturating_sub(self.minimum).clamp(0, last);
        self.codes.get(index as usize).copied().unwrap_or(0)
    }

    fn ends(&self) -> (i64, i64) {
        let end = |code: Option<&i64>| code.copied().unwrap_or(0);
        (end(self.codes.first()), end(self.codes.last()))
    }
}

fn fuse(graph: &mut Graph, id: NodeId) -> Option<()> {
    let TensorOp::Lookup { minimum, table } = op(graph, id)?.clone() else { return None };
    let before = graph.source(id, 0)?;
    let zero = |id: NodeId| {
        let q = graph[id].ty.quantisation.as_ref()?;
        q.axis.is_none().then(|| q.zero_at(0))
    };
    let (zero_in, zero_out) = (zero(before)?, zero(id)?);
    // Payloads that keep their numbers need no neuron as it is.
    let kept =
        table.iter().zip(minimum - zero_in..).all(|(code, payload)| code - zero_out == payload);
    if kept || !table.is_sorted() || !used_once(graph, before) || graph[id].ty.shape.len() < 2 {
        return None;
    }
    let table = Table { minimum, codes: &table };
    let (fused, source) = match op(graph, before)? {
        TensorOp::Requantise => requantised(graph, before, &table)?,
        TensorOp::Quantise(q) if q.axis.is_none() => {
            (quantised(q, &table)?, graph.source(before, 0)?)
        }
        TensorOp::Threshold(t) => (compared(t, &table)?, graph.source(before, 0)?),
        _ => return None,
    };
    let folded = graph[before].ty.quantisation.as_ref().and_then(|q| q.folded);
    if let Some(q) = &mut graph[id].ty.quantisation {
        // What joined the quantiser before is part of this one.
        q.folded = folded.or(q.folded);
    }
    set_op(graph, id, TensorOp::Threshold(fused));
    set_sources(graph, id, &[source]);
    inherit_before(graph, before, id);
    Some(())
}

/// Thresholds of the one accumulator that node `id` requantises.
fn requantised(graph: &Graph, id: NodeId, table: &Table<'_>) -> Option<(Thresholds, NodeId)> {
    let constant = |s: &NodeId| matches!(op(graph, *s), Some(TensorOp::Constant));
    let mut arguments = graph.sources(id).into_iter().filter(|s| !constant(s));
    let (argument, None) = (arguments.next()?, arguments.next()) else { return None };
    let own = graph[argument].ty.quantisation.as_ref()?;
    let requantiser = Requantiser::new(graph, id)?;
    let zero_out = graph[id].ty.quantisation.as_ref()?.zero_at(0);
    let zero_in = own.zero_at(0);
    if own.zero_point.iter().any(|z| *z != zero_in) {
        return None;
    }
    let channels = if requantiser.is_uniform() { 1 } else { *graph[id].ty.shape.get(1)? };
    let (low, high) = table.ends();
    if usize::try_from(high - low).ok()?.checked_mul(channels)? > MOST_THRESHOLDS {
        return None;
    }
    let row = |channel: usize| {
        let answer = |v: i64| table.at(requantiser.payload(channel, &[v]) + zero_out);
        bisect_thresholds(answer, (own.minimum - zero_in, own.maximum - zero_in), (low, high))
    };
    let rows = ThresholdRows::Integers((0..channels).map(row).collect());
    Some((Thresholds { axis: 1, minimum: low, rows }, argument))
}

/// Thresholds of the reals that are quantised.
fn quantised(q: &Quantisation, table: &Table<'_>) -> Option<Thresholds> {
    let (low, high) = table.ends();
    if usize::try_from(high - low).ok()? > MOST_THRESHOLDS {
        return None;
    }
    let reached = |level: i64| first_reaching(|x| table.at(q.code(x, 0)) >= level);
    let row = (low + 1..=high).map_while(reached).take_while(|t| *t < f32::INFINITY);
    let rows = ThresholdRows::Reals(vec![row.map(|t| t.max(f32::MIN)).collect()]);
    Some(Thresholds { axis: 1, minimum: low, rows })
}

/// Thresholds by thresholds: those at which the table's code rises, as often as it does.
fn compared(t: &Thresholds, table: &Table<'_>) -> Option<Thresholds> {
    let low = table.at(t.minimum);
    let steps = |count: usize| -> Vec<usize> {
        let codes = (0..=count).map(|n| table.at(t.minimum + n as i64));
        let codes: Vec<i64> = codes.collect();
        let rises = |n: usize| usize::try_from(codes[n + 1] - codes[n]).unwrap_or(0);
        (0..count).flat_map(|n| std::iter::repeat_n(n, rises(n))).collect()
    };
    fn chosen<T: Copy>(rows: &[Vec<T>], steps: impl Fn(usize) -> Vec<usize>) -> Vec<Vec<T>> {
        rows.iter().map(|row| steps(row.len()).into_iter().map(|n| row[n]).collect()).collect()
    }
    let rows = match &t.rows {
        ThresholdRows::Reals(rows) => ThresholdRows::Reals(chosen(rows, steps)),
        ThresholdRows::Integers(rows) => ThresholdRows::Integers(chosen(rows, steps)),
    };
    let fits = rows.most().checked_mul(rows.len())? <= MOST_THRESHOLDS;
    fits.then_some(Thresholds { axis: t.axis, minimum: low, rows })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_of_thresholds_keeps_the_codes() {
        let rows = ThresholdRows::Integers(vec![vec![-5, 0, 4], vec![2]]);
        let t = Thresholds { axis: 1, minimum: 1, rows };
        let table = Table { minimum: 1, codes: &[-3, -3, 0, 7] };
        let fused = compared(&t, &table).unwrap();
        for channel in 0..2 {
            for v in -8..9 {
                let wanted = t.of_integer(channel, v).map(|code| table.at(code));
                assert_eq!(fused.of_integer(channel, v), wanted, "{channel} {v}");
            }
        }
    }

    #[test]
    fn a_table_of_a_quantiser_keeps_the_codes() {
        let q = Quantisation::per_tensor(0.5, 1, 0, 3);
        let table = Table { minimum: 0, codes: &[-1, 1, 1, 4] };
        let fused = quantised(&q, &table).unwrap();
        for x in [-9.0f32, -0.76, -0.75, -0.25, -0.2, 0.0, 0.25, 0.74, 0.75, 1.0, 8.0] {
            assert_eq!(fused.of_real(0, x), Some(table.at(q.code(x, 0))), "{x}");
        }
    }
}
