//! Compares the populations of an emitted network with the quantised graph, channel by channel.

use snnc_ir::analysis::{Interval, bisect_thresholds, intervals};
use snnc_ir::{
    Connectivity, Graph, Neuron, NodeId, Op, Population, Projection, SigmaDeltaRole, SpikingOp,
    TensorOp,
};

use super::{Certificate, Difference, PopulationCertificate, Verdict, obligations};
use crate::passes::graded::Conversion;
use crate::reference::Requantiser;

/// At most so many pairs of payloads are tried for a residual addition.
const EXHAUSTIVE_PAIRS: i64 = 1 << 16;

/// Certifies `emitted`, whose populations carry the names of the canonical network.
pub fn certify(quantised: &Graph, canonical: &Conversion, emitted: &Graph) -> Certificate {
    let Ok(reachable) = intervals(&canonical.network) else {
        return Certificate::concluded(Vec::new(), Vec::new());
    };
    let mut populations = Vec::new();
    for &(reference, source) in &canonical.correspondence {
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
                    if (e.scale, e.zero_point, e.minimum, e.maximum)
                        == (own.scale, own.zero_point, own.minimum, own.maximum));
                populations.push(if same {
                    statement(Verdict::Proved, "the same codes are presented".into())
                } else {
                    statement(Verdict::Failed, "the input is encoded otherwise".into())
                });
            }
            Some(SpikingOp::Population(_)) => {
                let pair =
                    Pair { quantised, source, canonical: &canonical.network, reference, emitted };
                let base = statement(Verdict::Failed, String::new());
                populations.push(match emitted.find(&node.name) {
                    Some(id) => pair.certify(id, reachable.potentials(reference), base),
                    None => statement(Verdict::Failed, "the population is missing".into()),
                });
            }
            _ => {}
        }
    }
    Certificate::concluded(populations, obligations::check(&canonical.network, emitted))
}

/// A population of the canonical network, and the graph that is held against it.
struct Pair<'a> {
    quantised: &'a Graph,
    source: NodeId,
    canonical: &'a Graph,
    reference: NodeId,
    emitted: &'a Graph,
}

/// The synapses of one population, port by port.
struct Inputs<'a> {
    ports: Vec<(&'a Projection, Vec<i64>, String)>,
}

impl<'a> Inputs<'a> {
    fn of(graph: &'a Graph, population: NodeId) -> Option<Self> {
        let mut ports = Vec::new();
        for id in graph.sources(population) {
            let mut id = id;
            // Pooling of potentials commutes with any monotone neuron.
            while let Some(SpikingOp::MaxPool { .. }) = graph[id].as_spiking() {
                id = graph.source(id, 0)?;
            }
            let Op::Spiking(SpikingOp::Projection(p)) = &graph[id].op else { return None };
            let weights = graph[id].data.as_ref()?.to_i64().ok()?;
            ports.push((p, weights, origin(graph, graph.source(id, 0)?)?));
        }
        Some(Inputs { ports })
    }

    /// Weights of the synapses of `channel` on port `port`, shift and gain included.
    fn row(&self, port: usize, channel: usize, channels: usize) -> Vec<i64> {
        let (projection, weights, _) = &self.ports[port];
        let gain = projection.gain_at(channel);
        let length = weights.len() / channels.max(1);
        let row = match projection.connectivity {
            Connectivity::OneToOne if weights.len() == 1 => &weights[..],
            _ => &weights[channel * length..(channel + 1) * length],
        };
        row.iter().enumerate().map(|(i, &w)| (w * gain) << self.shift(port, i, row.len())).collect()
    }

    fn shift(&self, port: usize, synapse: usize, synapses: usize) -> u8 {
        let shifts = &self.ports[port].0.input_shift;
        match shifts.len() {
            0 => 0,
            n => shifts[synapse * n / synapses.max(1)],
        }
    }
}

/// Names of the populations whose payloads reach `id` through pools and joins.
fn origin(graph: &Graph, id: NodeId) -> Option<String> {
    match graph[id].as_spiking()? {
        SpikingOp::MaxPool { .. } => origin(graph, graph.source(id, 0)?),
        SpikingOp::Concatenate { .. } => {
            let names: Option<Vec<_>> =
                graph.sources(id).into_iter().map(|s| origin(graph, s)).collect();
            Some(names?.join("+"))
        }
        // A population that only turns the input into changes stands for the encoder.
        SpikingOp::Population(p) if matches!(&p.neuron, Neuron::SigmaDelta(n) if n.role == SigmaDeltaRole::Delta) => {
            origin(graph, graph.source(id, 0)?)
        }
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
        if a.ports.len() != b.ports.len() || a.ports.iter().zip(&b.ports).any(|(x, y)| x.2 != y.2) {
            return says(Verdict::Approximate, "its inputs come from other populations");
        }
        if !matches!(own.neuron, Neuron::Accumulate) && other_unit(own, theirs) {
            return says(Verdict::Approximate, "its payloads count in another unit");
        }
        let channels = self.canonical[self.reference].ty.shape.first().copied().unwrap_or(1);
        let mut factors = Vec::with_capacity(channels);
        for c in 0..channels {
            let rows = |inputs: &Inputs<'_>| {
                (0..inputs.ports.len()).flat_map(|p| inputs.row(p, c, channels)).collect::<Vec<_>>()
            };
            match factor(&rows(&b), &rows(&a)) {
                Some(k) => factors.push(k),
                None => {
                    return says(
                        Verdict::Approximate,
                        "its weights are not the quantised ones times a constant",
                    );
                }
            }
        }
        let accumulators: Vec<Interval> = potentials
            .iter()
            .enumerate()
            .map(|(c, v)| Interval::new(v.low - own.bias_at(c), v.high - own.bias_at(c)))
            .collect();
        if matches!(own.neuron, Neuron::Accumulate) {
            return self.read_out(emitted, own, theirs, &factors, &accumulators, base);
        }
        if let Some(TensorOp::Lookup { .. }) = self.quantised[self.source].as_tensor() {
            return staircase_free(own, theirs, &factors, &accumulators, base);
        }
        let Some(requantiser) = Requantiser::new(self.quantised, self.source) else {
            return says(Verdict::Failed, "the reference requantises without scales");
        };
        if theirs.neuron.single_shot(0, 0).is_none() {
            return says(Verdict::Approximate, "its neuron answers over several timesteps");
        }
        if requantiser.operands() > 1 {
            return self.sum_of_operands(&requantiser, &a, own, theirs, base);
        }
        thresholds(&requantiser, own, theirs, &factors, &accumulators, base)
    }

    /// A read-out is equal if raw values are one constant times the reference's, bias included, and
    /// scores undo that constant.
    fn read_out(
        &self,
        emitted: NodeId,
        own: &Population,
        theirs: &Population,
        factors: &[(i64, i64)],
        accumulators: &[Interval],
        base: PopulationCertificate,
    ) -> PopulationCertificate {
        let says = |verdict, method: String| PopulationCertificate {
            verdict,
            method,
            reachable: accumulators.iter().map(|i| (i.high - i.low) as u64 + 1).sum(),
            ..base.clone()
        };
        if !matches!(theirs.neuron, Neuron::Accumulate) {
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
            if (theirs.bias_at(c) - zero) * d != own.bias_at(c) * n {
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
        theirs: &Population,
        base: PopulationCertificate,
    ) -> PopulationCertificate {
        let Ok(values) = intervals(self.canonical) else { return base };
        let projections = self.canonical.sources(self.reference);
        let channels = self.canonical[self.reference].ty.shape.first().copied().unwrap_or(1);
        let payloads: Vec<Option<Interval>> = projections
            .iter()
            .zip(&inputs.ports)
            .map(|(&p, (projection, ..))| {
                let source = self.canonical.source(p, 0)?;
                let all = values.values(source).iter().copied().reduce(Interval::union);
                (projection.connectivity == Connectivity::OneToOne).then_some(all).flatten()
            })
            .collect();
        if let [Some(a), Some(b)] = payloads.as_slice()
            && (a.high - a.low + 1) * (b.high - b.low + 1) <= EXHAUSTIVE_PAIRS
        {
            let mut differing = 0;
            for c in 0..channels {
                for x in a.low..=a.high {
                    for y in b.low..=b.high {
                        let v = inputs.ports[0].0.gain_at(c) * x + inputs.ports[1].0.gain_at(c) * y;
                        let sent = theirs.neuron.single_shot(c, v + theirs.bias_at(c));
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

/// Whether one unit of payload stands for another real value than in the canonical network.
pub(super) fn other_unit(own: &Population, theirs: &Population) -> bool {
    !theirs.scale.is_empty() && theirs.scale.iter().any(|s| *s != own.scale[0])
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
    let Neuron::Graded(neuron) = &own.neuron else { return f64::INFINITY };
    let mut worst = 0f64;
    for c in 0..channels {
        let divisor = neuron.divisor[if neuron.divisor.len() == 1 { 0 } else { c }] as f64;
        let mut error = 0f64;
        let mut magnitude = own.bias_at(c).unsigned_abs() as f64 / divisor;
        for (port, (&p, (projection, ..))) in projections.iter().zip(&inputs.ports).enumerate() {
            let gain = projection.gain_at(c);
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
    factors: &[(i64, i64)],
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
            let Some(b) = theirs.neuron.single_shot(c, v * n / d + theirs.bias_at(c)) else {
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

fn concluded(
    base: PopulationCertificate,
    method: &str,
    thresholds: u64,
    reachable: u64,
    differences: Vec<Difference>,
) -> PopulationCertificate {
    PopulationCertificate {
        verdict: if differences.is_empty() { Verdict::Proved } else { Verdict::Differs },
        method: method.into(),
        thresholds,
        reachable,
        differing: differences.iter().map(|d| (d.to - d.from) as u64 + 1).sum(),
        differences,
        ..base
    }
}

/// Compares thresholds, channel by channel, in units of the reference's accumulator without bias.
fn thresholds(
    requantiser: &Requantiser,
    own: &Population,
    theirs: &Population,
    factors: &[(i64, i64)],
    accumulators: &[Interval],
    base: PopulationCertificate,
) -> PopulationCertificate {
    let (minimum, maximum) = (requantiser.minimum(), requantiser.maximum());
    let mut differences = Vec::new();
    let (mut compared, mut reachable) = (0, 0);
    for (c, range) in accumulators.iter().enumerate() {
        let span = (range.low, range.high);
        let reference = |v: i64| requantiser.payload(c, &[v + own.bias_at(c)]);
        let expected = bisect_thresholds(reference, span, (minimum, maximum));
        let (n, d) = factors[c];
        let potential = |v: i64| v * n / d + theirs.bias_at(c);
        let answer = |v: i64| theirs.neuron.single_shot(c, potential(v)).unwrap_or(i64::MIN);
        // Outside the reference's range of payloads a threshold of the emitted neuron counts too.
        let levels = (answer(range.low).min(minimum), answer(range.high).max(maximum));
        let found: Vec<i64> = (levels.0 + 1..=levels.1)
            .map(|level| emitted_threshold(theirs, c, level, (n, d), span, answer))
            .collect();
        let expected: Vec<i64> = (levels.0 + 1..=levels.1)
            .map(|level| match usize::try_from(level - minimum - 1) {
                Ok(index) => expected.get(index).copied().unwrap_or(range.high + 1),
                Err(_) => range.low,
            })
            .collect();
        compared += expected.len() as u64;
        reachable += (range.high - range.low) as u64 + 1;
        let mut cuts: Vec<i64> = expected
            .iter()
            .zip(&found)
            .filter(|(a, b)| a != b)
            .flat_map(|(&a, &b)| [a, b])
            .collect();
        cuts.sort_unstable();
        cuts.dedup();
        for pair in cuts.windows(2) {
            let (a, b) = (reference(pair[0]), answer(pair[0]));
            if a != b {
                let (from, to) = (pair[0], pair[1] - 1);
                differences.push(Difference { channel: c, from, to, reference: a, emitted: b });
            }
        }
    }
    concluded(
        base,
        "thresholds were compared on all reachable accumulators",
        compared,
        reachable,
        differences,
    )
}

/// The smallest reachable accumulator at which the emitted neuron sends at least `level`: in closed
/// form where there is one, else by bisection.
fn emitted_threshold(
    theirs: &Population,
    channel: usize,
    level: i64,
    (numerator, denominator): (i64, i64),
    (low, high): (i64, i64),
    answer: impl Fn(i64) -> i64,
) -> i64 {
    let potential = match &theirs.neuron {
        Neuron::Graded(n) if level > n.minimum && level <= n.maximum => {
            Some(n.threshold(channel, level))
        }
        Neuron::Thresholds(n) => {
            let row = &n.thresholds[if n.thresholds.len() == 1 { 0 } else { channel }];
            usize::try_from(level - n.minimum - 1).ok().and_then(|i| row.get(i)).copied()
        }
        _ => None,
    };
    match potential {
        Some(potential) => {
            let needed = i128::from(potential - theirs.bias_at(channel)) * i128::from(denominator);
            let v = -(-needed).div_euclid(i128::from(numerator));
            v.clamp(i128::from(low), i128::from(high) + 1) as i64
        }
        None => bisect_thresholds(answer, (low, high), (level - 1, level))[0],
    }
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
