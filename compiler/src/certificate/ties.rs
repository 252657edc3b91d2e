//! Accumulators at which single precision decides: where the rule and the same in exact rationals give
//! different payloads. A target that computes more exactly than ONNX Runtime differs from it just there.

use serde::Serialize;
use snnc_ir::analysis::{Interval, bisect_thresholds, intervals};
use snnc_ir::{Graph, NodeId, SpikingOp, TensorOp};

use crate::passes::graded::Conversion;
use crate::reference::{Requantiser, Semantics};

/// Accumulators up to this magnitude are looked at one by one: f32 holds each of them, or nearly, so that few
/// differ at a threshold.
const WALKED: u64 = 1 << 28;

/// Accumulators of one channel, bias included.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Tie {
    population: String,
    channel: usize,
    from: i64,
    to: i64,
    /// Payload by the rule.
    payload: i64,
    /// Payload in exact rationals.
    exact: i64,
}

/// All ties of the populations that requantise one accumulator.
pub(super) fn ties(quantised: &Graph, canonical: &Conversion) -> Vec<Tie> {
    let Ok(reachable) = intervals(&canonical.network) else { return Vec::new() };
    let mut found = Vec::new();
    for &(id, source) in &canonical.correspondence {
        let is_population =
            matches!(canonical.network[id].as_spiking(), Some(SpikingOp::Population(_)));
        if is_population && let Some((rule, exact)) = readings(quantised, source) {
            let name = &canonical.network[id].name;
            for (channel, range) in reachable.potentials(id).iter().enumerate() {
                of_channel(name, channel, *range, (&rule, &exact), &mut found);
            }
        }
    }
    found
}

/// The rule and its exact twin, where a node requantises one accumulator.
fn readings(quantised: &Graph, source: NodeId) -> Option<(Requantiser, Requantiser)> {
    let lone = quantised.sources(source).len() == 1;
    let requantises = matches!(quantised[source].as_tensor(), Some(TensorOp::Requantise));
    (lone && requantises).then_some(())?;
    Some((
        Requantiser::new(quantised, source)?,
        Requantiser::with(Semantics::Real, quantised, source)?,
    ))
}

/// Both readings change at nearly the same accumulators, so ties lie about the rule's thresholds.
fn of_channel(
    population: &str,
    channel: usize,
    range: Interval,
    (rule, exact): (&Requantiser, &Requantiser),
    found: &mut Vec<Tie>,
) {
    let payload = |r: &Requantiser, v: i64| r.payload(channel, &[v]);
    let levels = (rule.minimum(), rule.maximum());
    let span = (range.low, range.high);
    if range.magnitude() > WALKED {
        // Between neighbouring thresholds of either reading both stay as they are.
        let of = |r: &Requantiser| bisect_thresholds(|v| payload(r, v), span, levels);
        let mut cuts = [of(rule), of(exact), vec![span.0, span.1.saturating_add(1)]].concat();
        cuts.sort_unstable();
        cuts.dedup();
        for pair in cuts.windows(2) {
            let (from, to) = (pair[0], pair[1] - 1);
            let (payload, exact) = (payload(rule, from), payload(exact, from));
            if payload != exact {
                let population = population.to_owned();
                found.push(Tie { population, channel, from, to, payload, exact });
            }
        }
        return;
    }
    let mut add = |v: i64| -> bool {
        if v < span.0 || v > span.1 {
            return false;
        }
        let (payload, exact) = (payload(rule, v), payload(exact, v));
        if payload != exact {
            let population = population.to_owned();
            found.push(Tie { population, channel, from: v, to: v, payload, exact });
        }
        payload != exact
    };
    let mut last = None;
    for threshold in bisect_thresholds(|v| payload(rule, v), span, levels) {
        if last.replace(threshold) == Some(threshold) {
            continue;
        }
        (1..).map(|i| threshold - i).find(|&v| !add(v));
        (0..).map(|i| threshold + i).find(|&v| !add(v));
    }
}
