//! Compares the populations of an emitted network with the quantised graph, channel by channel.

use std::cell::OnceCell;

use rayon::prelude::*;
use snnc_ir::analysis::{Interval, intervals};
use snnc_ir::{
    Connectivity, GradedNeuron, Graph, IntegrateAndFire, NodeId, Op, Population, Projection,
    SpikingOp, Tensor, TensorOp, Window,
};

use super::copies::without_copies;
use super::frame::{self, Frame};
use super::staircase::{Staircases, concluded};
use super::{Certificate, Difference, PopulationCertificate, Verdict, obligations};
use crate::passes::graded::Conversion;
use crate::reference::{Requantiser, Semantics};

/// At most so many pairs of payloads are tried for a residual addition.
const EXHAUSTIVE_PAIRS: i64 = 1 << 16;

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
    let emitted = &*without_copies(canonical, emitted);
    let Ok(reachable) = intervals(&canonical.network) else {
        return Certificate::concluded(semantics, Vec::new(), Vec::new());
    };
    // Populations are independent, so that their order is all that threads could change.
    let certified = |&(reference, source): &(NodeId, NodeId)| {
        let node = &canonical.network[reference];
        let statement = |verdict, method: String| PopulationCertificate {
            population: node.name.clone(),
            node: node.describe(),
            verdict,
            method,
            thresholds: 0,
            reachable: 0,
            differing: 0,
            differences: Vec::new(),
            bound: None,
            measured: None,
        };
        match node.as_spiking() {
            Some(SpikingOp::Encoder(own)) => {
                let found = emitted.find(&node.name).and_then(|id| emitted[id].as_spiking());
                let same = matches!(found, Some(SpikingOp::Encoder(e))
                    if (e.scale, e.zero_point, e.minimum, e.maximum, e.rounding, e.offset)
                        == (own.scale, own.zero_point, own.minimum, own.maximum, own.rounding, own.offset));
                Some(if same {
                    statement(Verdict::Proved, "the same codes are presented".into())
                } else {
                    statement(Verdict::Failed, "the input is encoded otherwise".into())
                })
            }
            Some(SpikingOp::Population(_)) => {
                let canonical = &canonical.network;
                let pair = Pair { quantised, source, canonical, reference, emitted, semantics };
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
}

/// Whether one unit of payload stands for another real value than in the canonical network; a
/// population that does not say is taken to be in its unit.
pub(super) fn other_unit(own: &Population, theirs: &Population) -> bool {
    let at = |v: &[f32], c: usize| v[if v.len() == 1 { 0 } else { c }];
    let channels = own.scale.len().max(theirs.scale.len());
    !own.scale.is_empty()
        && !theirs.scale.is_empty()
        && (0..channels).any(|c| at(&own.scale, c) != at(&theirs.scale, c))
}

fn own_levels(own: &Population) -> (i64, i64) {
    let named = own.neuron.levels().map(|levels| (levels.low, levels.high));
    named.unwrap_or((own.minimum, own.maximum))
}

/// The synapses of one population, port by port.
struct Inputs<'a> {
    ports: Vec<Port<'a>>,
}

struct Port<'a> {
    projection: &'a Projection,
    tensor: &'a Tensor,
    /// The tensor's integers, once they are asked for.
    weights: OnceCell<Vec<i64>>,
    /// Which populations reach the port, and through which pools.
    origin: String,
    /// How many times a payload comes in a frame.
    presentations: i64,
}

impl<'a> Inputs<'a> {
    fn of(graph: &'a Graph, population: NodeId) -> Option<Self> {
        let mut ports = Vec::new();
        for id in graph.sources(population) {
            let mut id = id;
            // Pooling of potentials commutes with any monotone neuron.
            let mut pools = String::new();
            while let Some(SpikingOp::MaxPool { window }) = graph[id].as_spiking() {
                pools += &geometry(window);
                id = graph.source(id, 0)?;
            }
            let Op::Spiking(SpikingOp::Projection(projection)) = &graph[id].op else { return None };
            let tensor = graph[id].data.as_ref().filter(|t| !t.dtype().is_float())?;
            let source = graph.source(id, 0)?;
            let origin = pools + &origin(graph, source)?;
            let presentations = frame::presentations(graph, source)?;
            let weights = OnceCell::new();
            ports.push(Port { projection, tensor, weights, origin, presentations });
        }
        Some(Inputs { ports })
    }

    /// What a frame's payload brings `channel` through each synapse of port `port`.
    fn row(&self, port: usize, channel: usize, channels: usize) -> Vec<i64> {
        let Port { projection, tensor, weights, presentations, .. } = &self.ports[port];
        let weights = weights.get_or_init(|| tensor.to_i64().unwrap_or_default());
        let gain = projection.gain_at(channel).saturating_mul(*presentations);
        let length = weights.len() / channels.max(1);
        let row = match projection.connectivity {
            Connectivity::OneToOne if weights.len() == 1 => &weights[..],
            _ => &weights[channel * length..(channel + 1) * length],
        };
        let brought = |(i, &w): (usize, &i64)| {
            w.saturating_mul(gain).saturating_mul(1 << self.shift(port, i, row.len()))
        };
        row.iter().enumerate().map(brought).collect()
    }

    /// Whether a payload brings the same through each synapse of `other`, weight by weight.
    fn same_as(&self, other: &Inputs<'_>) -> bool {
        let same = |(a, b): (&Port<'_>, &Port<'_>)| {
            let (p, q) = (a.projection, b.projection);
            let layout = |p: &Projection| matches!(p.connectivity, Connectivity::OneToOne);
            (a.presentations, &p.gain, &p.input_shift, layout(p))
                == (b.presentations, &q.gain, &q.input_shift, layout(q))
                && a.tensor == b.tensor
        };
        self.ports.len() == other.ports.len() && self.ports.iter().zip(&other.ports).all(same)
    }

    fn shift(&self, port: usize, synapse: usize, synapses: usize) -> u8 {
        let shifts = &self.ports[port].projection.input_shift;
        match shifts.len() {
            0 => 0,
            n => shifts[synapse * n / synapses.max(1)],
        }
    }
}

fn geometry(w: &Window) -> String {
    format!("max {:?} {:?} {:?} {:?} of ", w.kernel, w.strides, w.dilations, w.before)
}

/// Names of the populations whose payloads reach `id` through pools and joins.
fn origin(graph: &Graph, id: NodeId) -> Option<String> {
    match graph[id].as_spiking()? {
        SpikingOp::MaxPool { window } | SpikingOp::RunningMaxPool { window } => {
            Some(geometry(window) + &origin(graph, graph.source(id, 0)?)?)
        }
        SpikingOp::Concatenate { .. } => {
            let names: Option<Vec<_>> =
                graph.sources(id).into_iter().map(|s| origin(graph, s)).collect();
            Some(names?.join("+"))
        }
        // A population that only turns the input into changes stands for the encoder.
        SpikingOp::Population(p) if p.neuron.encodes() => origin(graph, graph.source(id, 0)?),
        _ => Some(graph[id].name.clone()),
    }
}

/// The positive factor `numerator / denominator` by which `row` is `reference`, if there is one.
fn factor(row: &[i64], reference: &[i64]) -> Option<(i64, i64)> {
    if row.len() != reference.len() {
        return None;
    }
    let mut ratio: Option<(i64, i64)> = None;
    for (&a, &b) in row.iter().zip(reference) {
        match (a, b) {
            (0, 0) => {}
            (0, _) | (_, 0) => return None,
            _ if a.signum() != b.signum() => return None,
            _ => match ratio {
                None => ratio = Some((a.abs(), b.abs())),
                Some((n, d)) => {
                    if i128::from(a.abs()) * i128::from(d) != i128::from(b.abs()) * i128::from(n) {
                        return None;
                    }
                }
            },
        }
    }
    Some(ratio.unwrap_or((1, 1)))
}

/// For each channel the factor by which all its synapses of `inputs` are those of `reference`.
fn factors(
    inputs: &Inputs<'_>,
    reference: &Inputs<'_>,
    channels: usize,
) -> Option<Vec<(i64, i64)>> {
    if inputs.same_as(reference) {
        return Some(vec![(1, 1); channels]);
    }
    let rows = |inputs: &Inputs<'_>, c: usize| -> Vec<i64> {
        (0..inputs.ports.len()).flat_map(|p| inputs.row(p, c, channels)).collect()
    };
    (0..channels).map(|c| factor(&rows(inputs, c), &rows(reference, c))).collect()
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
        let moved = |(x, y): (&Port<'_>, &Port<'_>)| match (
            &x.projection.connectivity,
            &y.projection.connectivity,
        ) {
            // Padding after the last window that is used moves none of them: the maps' sizes say how
            // many there are.
            (
                Connectivity::Convolution { window: a, groups: g },
                Connectivity::Convolution { window: b, groups: h },
            ) => geometry(a) != geometry(b) || g != h,
            _ => false,
        };
        let map = |graph: &Graph, id: NodeId| graph[id].ty.shape.iter().skip(1).product::<usize>();
        if map(self.emitted, emitted) > map(self.canonical, self.reference) {
            // Not shown to be right, but no fault either: readers may leave the border out.
            return says(Verdict::Approximate, "it lies in a larger map");
        }
        if pairs().any(moved) {
            return says(Verdict::Failed, "its windows have another geometry");
        }
        let channels = self.canonical[self.reference].ty.shape.first().copied().unwrap_or(1);
        let Some(factors) = factors(&b, &a, channels) else {
            let reason = "its weights are not the quantised ones times a constant";
            return says(Verdict::Approximate, reason);
        };
        let accumulators: Vec<Interval> = potentials
            .iter()
            .enumerate()
            .map(|(c, v)| Interval::new(v.low - own.bias_at(c), v.high - own.bias_at(c)))
            .collect();
        let bias: Vec<i64> = (0..channels).map(|c| frame::bias(self.emitted, theirs, c)).collect();
        if !own.neuron.fires() {
            return self.read_out(emitted, own, theirs, (&factors, &bias), &accumulators, base);
        }
        if let Some(TensorOp::Lookup { .. }) = self.quantised[self.source].as_tensor()
            && theirs.neuron.single_shot(0, 0).is_some()
            && theirs.neuron.get::<IntegrateAndFire>().is_none()
        {
            return staircase_free(own, theirs, (&factors, &bias), &accumulators, base);
        }
        let frame = Frame::of(self.emitted, emitted, theirs);
        let requantiser = match self.quantised[self.source].as_tensor() {
            Some(TensorOp::Lookup { .. }) => None,
            _ => Requantiser::with(self.semantics, self.quantised, self.source),
        };
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
                against(&reference, (r.minimum(), r.maximum())).compare(base)
            }
            // What several operands or a table make is proved of the canonical neuron.
            Some(r) => {
                let found = against(&table, levels).compare(base.clone());
                match found.verdict {
                    Verdict::Proved => self.sum_of_operands(r, &a, own, base),
                    _ => found,
                }
            }
            None => against(&table, levels).compare(base),
        }
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
        let at = |v: &[f32], c: usize| v[if v.len() == 1 { 0 } else { c }];
        for (c, &(n, d)) in factors.iter().enumerate() {
            let zero = b.zero.get(if b.zero.len() == 1 { 0 } else { c }).copied().unwrap_or(0);
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

    /// A residual addition: every pair of payloads if there are few, else a bound on the error of the
    /// common scale.
    fn sum_of_operands(
        &self,
        requantiser: &Requantiser,
        inputs: &Inputs<'_>,
        own: &Population,
        base: PopulationCertificate,
    ) -> PopulationCertificate {
        let Ok(values) = intervals(self.canonical) else { return base };
        let projections = self.canonical.sources(self.reference);
        let channels = self.canonical[self.reference].ty.shape.first().copied().unwrap_or(1);
        let payloads: Vec<Option<Interval>> = projections
            .iter()
            .zip(&inputs.ports)
            .map(|(&p, port)| {
                let source = self.canonical.source(p, 0)?;
                let all = values.values(source).iter().copied().reduce(Interval::union);
                (port.projection.connectivity == Connectivity::OneToOne).then_some(all).flatten()
            })
            .collect();
        if let [Some(a), Some(b)] = payloads.as_slice()
            && (a.high - a.low + 1) * (b.high - b.low + 1) <= EXHAUSTIVE_PAIRS
        {
            let mut differing = 0;
            let gain = |port: usize, c: usize| inputs.ports[port].projection.gain_at(c);
            for c in 0..channels {
                for x in a.low..=a.high {
                    for y in b.low..=b.high {
                        let v = gain(0, c) * x + gain(1, c) * y;
                        let sent = own.neuron.single_shot(c, v + own.bias_at(c));
                        differing += u64::from(sent != Some(requantiser.payload(c, &[x, y])));
                    }
                }
            }
            let pairs = ((a.high - a.low + 1) * (b.high - b.low + 1)) as u64 * channels as u64;
            return PopulationCertificate {
                verdict: if differing == 0 { Verdict::Proved } else { Verdict::Differs },
                method: "every pair of payloads was tried".into(),
                reachable: pairs,
                differing,
                ..base
            };
        }
        let bound = common_scale_bound(requantiser, inputs, &projections, &values, own, channels);
        PopulationCertificate {
            verdict: Verdict::Approximate,
            method: "accumulators of different scale meet on a common scale".into(),
            bound: Some(bound),
            ..base
        }
    }
}

/// Largest distance, in units of payload, between the potential on the common scale and the reference's
/// f32 sum before rounding: the gains' rounding, and four roundings of f32 for each operand.
fn common_scale_bound(
    requantiser: &Requantiser,
    inputs: &Inputs<'_>,
    projections: &[NodeId],
    values: &snnc_ir::analysis::Intervals,
    own: &Population,
    channels: usize,
) -> f64 {
    let Some(neuron) = own.neuron.get::<GradedNeuron>() else { return f64::INFINITY };
    let mut worst = 0f64;
    for c in 0..channels {
        let divisor = neuron.divisor[if neuron.divisor.len() == 1 { 0 } else { c }] as f64;
        let mut error = 0f64;
        let mut magnitude = own.bias_at(c).unsigned_abs() as f64 / divisor;
        for (port, (&p, synapses)) in projections.iter().zip(&inputs.ports).enumerate() {
            let gain = synapses.projection.gain_at(c);
            let sum = values.values(p).get(c).map_or(0, |i| i.magnitude()) as f64;
            let ratio = requantiser.ratio(port, c);
            error += sum / gain.max(1) as f64 * (ratio - gain as f64 / divisor).abs();
            magnitude += sum / divisor;
        }
        worst = worst
            .max(error + 4.0 * inputs.ports.len() as f64 * magnitude * f64::from(f32::EPSILON));
    }
    worst
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_a_multiple_or_not() {
        assert_eq!(factor(&[2, 0, -4], &[1, 0, -2]), Some((2, 1)));
        assert_eq!(factor(&[3, 6], &[2, 4]), Some((3, 2)));
        assert_eq!(factor(&[0, 0], &[0, 0]), Some((1, 1)));
        for (row, reference) in
            [([2, 1], [1, 0]), ([2, 0], [1, 1]), ([2, 5], [1, 2]), ([-1, -2], [1, 2])]
        {
            assert_eq!(factor(&row, &reference), None);
        }
    }
}
