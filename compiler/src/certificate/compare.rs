//! Compares the populations of an emitted network with the quantised graph, channel by channel.

use rayon::prelude::*;
use snnc_ir::analysis::{Interval, Intervals, intervals};
use snnc_ir::{Graph, IntegrateAndFire, NodeId, Op, PerChannel, Population, SpikingOp, TensorOp};

use super::borders::in_canonical_layout;
use super::copies::without_copies;
use super::frame::{self, Frame};
use super::inputs::{Inputs, factors, same_geometry};
use super::joins::Join;
use super::staircase::{Staircases, concluded};
use super::unit::other_unit;
use super::{Certificate, Difference, PopulationCertificate, Verdict, means, obligations};
use crate::passes::graded::Conversion;
use crate::reference::{Requantiser, Semantics};

/// Certifies `emitted`, whose populations carry the names of the canonical network, against ONNX
/// Runtime's arithmetic.
pub fn certify(quantised: &Graph, canonical: &Conversion, emitted: &Graph) -> Certificate {
    certify_against(Semantics::Ort, quantised, canonical, emitted)
}

/// Certifies `emitted` against the given reading of the quantised graph.
pub fn certify_against(
    semantics: Semantics,
    quantised: &Graph,
    canonical: &Conversion,
    emitted: &Graph,
) -> Certificate {
    let emitted = &*in_canonical_layout(canonical, without_copies(canonical, emitted));
    let Ok(reachable) = intervals(&canonical.network) else {
        return Certificate::concluded(semantics, Vec::new(), Vec::new());
    };
    // Populations are independent, so that their order is all that threads could change.
    let certified = |&(reference, source): &(NodeId, NodeId)| {
        let node = &canonical.network[reference];
        let statement = |verdict, method: String| {
            PopulationCertificate::new(&node.name, node.describe(), verdict, method)
        };
        match node.as_spiking() {
            Some(SpikingOp::Encoder(own)) => {
                let found = emitted.find(&node.name).and_then(|id| emitted[id].as_spiking());
                let same = matches!(found, Some(SpikingOp::Encoder(e))
                    if (e.scale, e.zero_point, e.minimum, e.maximum, e.rounding, e.offset)
                        == (own.scale, own.zero_point, own.minimum, own.maximum, own.rounding, own.offset)
                        && e.thresholds == own.thresholds);
                let folded = quantised[source].ty.quantisation.as_ref().and_then(|q| q.folded);
                Some(if let (true, Some(f)) = (same, folded) {
                    let text = format!(
                        "arithmetic before its quantiser is part of it: at most {} f32 numbers get another \
                         code than by the model, such as {:?}",
                        f.numbers, f.example
                    );
                    let differs = statement(Verdict::Differs, text);
                    PopulationCertificate { differing: f.numbers, ..differs }
                } else if same {
                    statement(Verdict::Proved, "the same codes are presented".into())
                } else {
                    statement(Verdict::Failed, "the input is encoded otherwise".into())
                })
            }
            Some(SpikingOp::Population(_)) => {
                let canonical = &canonical.network;
                let values = &reachable;
                let pair =
                    Pair { quantised, source, canonical, reference, emitted, semantics, values };
                let base = statement(Verdict::Failed, String::new());
                Some(match emitted.find(&node.name) {
                    Some(id) => pair.certify(id, reachable.potentials(reference), base),
                    None => statement(Verdict::Failed, "the population is missing".into()),
                })
            }
            _ => None,
        }
    };
    let populations = canonical.correspondence.par_iter().filter_map(certified).collect();
    Certificate::concluded(semantics, populations, obligations::check(&canonical.network, emitted))
}

/// A population of the canonical network, and the graph that is held against it.
struct Pair<'a> {
    quantised: &'a Graph,
    source: NodeId,
    canonical: &'a Graph,
    reference: NodeId,
    emitted: &'a Graph,
    semantics: Semantics,
    /// What can occur in the canonical network.
    values: &'a Intervals,
}

fn own_levels(own: &Population) -> (i64, i64) {
    let named = own.neuron.levels().map(|levels| (levels.low, levels.high));
    named.unwrap_or((own.minimum, own.maximum))
}

impl Pair<'_> {
    fn certify(
        &self,
        emitted: NodeId,
        potentials: &[Interval],
        base: PopulationCertificate,
    ) -> PopulationCertificate {
        let says = |verdict, method: &str| PopulationCertificate {
            verdict,
            method: method.into(),
            ..base.clone()
        };
        let (
            Some(Op::Spiking(SpikingOp::Population(own))),
            Some(Op::Spiking(SpikingOp::Population(theirs))),
        ) = (
            self.canonical.get(self.reference).map(|n| &n.op),
            self.emitted.get(emitted).map(|n| &n.op),
        )
        else {
            return says(Verdict::Failed, "it is no population");
        };
        let (Some(a), Some(b)) =
            (Inputs::of(self.canonical, self.reference), Inputs::of(self.emitted, emitted))
        else {
            return says(Verdict::Approximate, "its inputs are not projections");
        };
        if own.neuron.fires() && other_unit(own, theirs) {
            return says(Verdict::Approximate, "its payloads count in another unit");
        }
        let pairs = || a.ports.iter().zip(&b.ports);
        if a.ports.len() != b.ports.len() || pairs().any(|(x, y)| x.origin != y.origin) {
            return says(Verdict::Approximate, "its inputs come from other populations or pools");
        }
        let map = |graph: &Graph, id: NodeId| graph[id].ty.shape.iter().skip(1).product::<usize>();
        if map(self.emitted, emitted) > map(self.canonical, self.reference) {
            // Not shown to be right, but no fault either: readers may leave the border out.
            return says(Verdict::Approximate, "it lies in a larger map");
        }
        if !same_geometry(&b, &a) {
            return says(Verdict::Failed, "its windows have another geometry");
        }
        let channels = self.canonical[self.reference].ty.shape.first().copied().unwrap_or(1);
        let bias: Vec<i64> = (0..channels).map(|c| frame::bias(self.emitted, theirs, c)).collect();
        let frame = Frame::of(self.emitted, emitted, theirs);
        let requantiser = match self.quantised[self.source].as_tensor() {
            Some(TensorOp::Lookup { .. }) => None,
            _ => Requantiser::with(self.semantics, self.quantised, self.source),
        };
        if let (Some(r), Frame::Staircase { answer, .. }) = (&requantiser, &frame)
            && r.operands() == 2
        {
            return self.join(r, (&a, &b), &bias, answer).certify(base);
        }
        let Some(factors) = factors(&b, &a, channels) else {
            return match pairs().all(|(x, y)| x.alike(y)) {
                true => says(
                    Verdict::Approximate,
                    "its weights are not the quantised ones times a constant",
                ),
                false => says(Verdict::Failed, "its windows have another geometry"),
            };
        };
        let accumulators: Vec<Interval> = potentials
            .iter()
            .enumerate()
            .map(|(c, v)| Interval::new(v.low - own.bias_at(c), v.high - own.bias_at(c)))
            .collect();
        if !own.neuron.fires() {
            return self.read_out(emitted, own, theirs, (&factors, &bias), &accumulators, base);
        }
        if let Some(TensorOp::Lookup { .. }) = self.quantised[self.source].as_tensor()
            && theirs.neuron.single_shot(0, 0).is_some()
            && theirs.neuron.get::<IntegrateAndFire>().is_none()
        {
            return staircase_free(own, theirs, (&factors, &bias), &accumulators, base);
        }
        let table = |c: usize, v: i64| {
            own.neuron.single_shot(c, v.saturating_add(own.bias_at(c))).unwrap_or_default()
        };
        let levels = own_levels(own);
        let against = |reference, levels| Staircases {
            reference,
            levels,
            frame: &frame,
            factors: &factors,
            bias: &bias,
            accumulators: &accumulators,
        };
        match &requantiser {
            Some(r) if r.operands() == 1 => {
                let own_bias: Vec<i64> =
                    (0..channels).map(|c| own.bias_at(c) - r.whole_bias(c)).collect();
                let reference = |c: usize, v: i64| r.payload(c, &[v + own_bias[c]]);
                let found = against(&reference, (r.minimum(), r.maximum())).compare(base);
                means::with_ties(self.quantised, self.source, &accumulators, found)
            }
            // What several operands or a table make is proved of the canonical neuron.
            Some(r) => {
                let found = against(&table, levels).compare(base.clone());
                match found.verdict {
                    Verdict::Proved if r.operands() == 2 => {
                        let bias: Vec<i64> = (0..channels).map(|c| own.bias_at(c)).collect();
                        let answer =
                            |c: usize, v: i64| own.neuron.single_shot(c, v).unwrap_or_default();
                        self.join(r, (&a, &a), &bias, &answer).certify(base)
                    }
                    Verdict::Proved => says(Verdict::Approximate, "more than two operands meet"),
                    _ => found,
                }
            }
            None => against(&table, levels).compare(base),
        }
    }

    fn join<'b>(
        &'b self,
        requantiser: &'b Requantiser,
        inputs: (&'b Inputs<'b>, &'b Inputs<'b>),
        bias: &'b [i64],
        answer: &'b dyn Fn(usize, i64) -> i64,
    ) -> Join<'b> {
        let Pair { quantised, source, canonical, reference, values, .. } = *self;
        Join { requantiser, quantised, source, canonical, reference, values, inputs, bias, answer }
    }

    /// A read-out is equal if raw values are one constant times the reference's, bias included, and
    /// scores undo that constant.
    fn read_out(
        &self,
        emitted: NodeId,
        own: &Population,
        theirs: &Population,
        (factors, bias): (&[(i64, i64)], &[i64]),
        accumulators: &[Interval],
        base: PopulationCertificate,
    ) -> PopulationCertificate {
        let says = |verdict, method: String| PopulationCertificate {
            verdict,
            method,
            reachable: accumulators.iter().map(|i| i.high.abs_diff(i.low) + 1).sum(),
            ..base.clone()
        };
        if theirs.neuron.fires() {
            return says(Verdict::Approximate, "its potential is not read out".into());
        }
        let decoder = |graph: &Graph, id: NodeId| {
            graph.users(id).into_iter().find_map(|user| match graph[user].as_spiking() {
                Some(SpikingOp::Decoder(d)) => Some(d.clone()),
                _ => None,
            })
        };
        let (Some(a), Some(b)) =
            (decoder(self.canonical, self.reference), decoder(self.emitted, emitted))
        else {
            return says(Verdict::Failed, "its potential is not decoded".into());
        };
        let at = |v: &[f32], c: usize| *PerChannel::of(v).at(c);
        for (c, &(n, d)) in factors.iter().enumerate() {
            let zero = PerChannel::of(&b.zero).get(c).copied().unwrap_or(0);
            if i128::from(bias[c] - zero) * i128::from(d)
                != i128::from(own.bias_at(c)) * i128::from(n)
            {
                return says(Verdict::Approximate, format!("channel {c} reads out another bias"));
            }
            let (score, own_score) =
                (f64::from(at(&b.scale, c)) * n as f64 / d as f64, f64::from(at(&a.scale, c)));
            if ((score - own_score) / own_score).abs() > f64::from(f32::EPSILON) {
                return says(
                    Verdict::Approximate,
                    format!("channel {c} is decoded with another scale"),
                );
            }
        }
        says(
            Verdict::Proved,
            "weights and biases are the quantised ones times one constant a channel".into(),
        )
    }
}

/// A table is compared entry by entry.
fn staircase_free(
    own: &Population,
    theirs: &Population,
    (factors, bias): (&[(i64, i64)], &[i64]),
    accumulators: &[Interval],
    base: PopulationCertificate,
) -> PopulationCertificate {
    let mut differences = Vec::new();
    let mut reachable = 0;
    for (c, range) in accumulators.iter().enumerate() {
        for v in range.low..=range.high {
            reachable += 1;
            let (n, d) = factors[c];
            let a = own.neuron.single_shot(c, v + own.bias_at(c)).unwrap_or_default();
            let Some(b) = theirs.neuron.single_shot(c, v * n / d + bias[c]) else {
                return base;
            };
            if a != b {
                differences.push(Difference {
                    channel: c,
                    from: v,
                    to: v,
                    reference: a,
                    emitted: b,
                });
            }
        }
    }
    concluded(base, "every entry of the table was compared", reachable, reachable, differences)
}
