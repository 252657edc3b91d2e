//! Sums against the width of their accumulator: one variable for each synapse of one target.

use snnc_ir::analysis::{Interval, Intervals};
use snnc_ir::{Connectivity, Graph, NodeId};

use super::term::{Script, number};
use super::{Kind, hull, projection, title};

/// The obligation of the projection at `port`; `None` where its accumulator is of 64 bits.
pub(super) fn script(
    graph: &Graph,
    port: NodeId,
    bounds: &Intervals,
    channel: usize,
) -> Option<Script> {
    let (id, p) = projection(graph, port)?;
    let bits = p.accumulator.bits;
    if bits >= 64 {
        return None;
    }
    let source = graph.source(id, 0)?;
    let weights = graph[id].data.as_ref()?.to_i64().ok()?;
    let channels = graph[id].ty.shape.first().copied()?.max(1);
    let length = weights.len() / channels;
    let row = weights.get(channel * length..(channel + 1) * length)?;
    let each = bounds.values(source);
    let of = |synapse: usize| -> Option<Interval> {
        let place = match &p.connectivity {
            Connectivity::Dense => synapse * each.len() / row.len(),
            Connectivity::OneToOne => channel,
            Connectivity::Convolution { groups, .. } => {
                let per_group = each.len() / groups;
                let first = channel / (channels / groups).max(1) * per_group;
                first + synapse * per_group / row.len()
            }
        };
        each.get(place).copied()
    };
    let shift = |synapse: usize| match p.input_shift.len() {
        0 => 0,
        n => p.input_shift[synapse * n / row.len().max(1)],
    };
    let mut script = Script::new(&title(&graph[id].name, channel, Kind::Width));
    let mut terms = Vec::new();
    for (i, &w) in row.iter().enumerate().filter(|(_, w)| **w != 0) {
        // Silence is always possible, so that the sum of any part of the synapses is one of these too.
        script.variable(&format!("x{i}"), hull(of(i)?, 0));
        terms.push(format!("(* {} x{i})", number(i128::from(w) << shift(i))));
    }
    let sum = match terms.len() {
        0 => "0".to_owned(),
        1 => terms.remove(0),
        _ => format!("(+ {})", terms.join(" ")),
    };
    script.define("sum", &sum);
    let half = 1i128 << (bits - 1);
    script.assert(&format!("(or (< sum {}) (> sum {}))", number(-half), number(half - 1)));
    Some(script)
}
