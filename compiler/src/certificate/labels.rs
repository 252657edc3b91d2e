//! Whether an artefact can answer another class than the reference, sample by sample, without running it.
//!
//! The reference's run says every accumulator; the certificate says at which of them a population answers otherwise. From there
//! intervals of the deviation are taken through the network (interval arithmetic: sound, and wide where much
//! deviates). A population that is proved deviates only by what reaches it; one that differs also where the
//! accumulators that are listed can occur. For Loihi's sigma-delta neurons, of which no equality is claimed, the deviation follows from
//! the reference's accumulators by the weights and units of the artefact: they neither round to codes nor saturate at the largest.

use std::collections::HashMap;

use snnc_ir::{Graph, NodeId, PerChannel, Population, SigmaDeltaNeuron, SigmaDeltaRole, SpikingOp};

use super::deviation::{EQUAL, Span, Synapses, pooled};
use super::{Certificate, Difference, Verdict, certify};
use crate::passes::graded::Conversion;

/// What is known of the class that an artefact answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Label {
    /// It is the reference's.
    Stable,
    /// Nothing.
    Unknown,
    /// It is another.
    Changed,
}

/// How a population answers to an accumulator of the reference.
enum Answer {
    /// As the reference, but at the accumulators that are listed for each channel, in ascending order.
    Listed(Vec<Vec<Difference>>),
    /// As sigma-delta neurons.
    Linear(Box<Linear>),
}

/// A sigma-delta population: state = `factor * accumulator + sum(error * code) + sum(weight * deviation)`.
struct Linear {
    /// For each channel, state per unit of the reference's accumulator.
    factor: Vec<f64>,
    /// Weights per code of their sources, and how far they are from the reference's times the factor.
    weights: Synapses,
    errors: Synapses,
    /// State that is added before rectifying.
    bias: Vec<f64>,
    /// Codes per unit of payload; none for a read-out.
    unit: Option<Vec<f64>>,
    /// For a read-out, the raw value of the reference at state 0, and per unit of state.
    shown: Vec<(f64, f64)>,
    /// Changes that are sent in a frame, each cut to whole units.
    cuts: f64,
}

/// An artefact whose labels can be certified.
pub struct Labels<'a> {
    canonical: &'a Graph,
    order: Vec<NodeId>,
    answers: HashMap<NodeId, Answer>,
    synapses: HashMap<NodeId, Synapses>,
}

/// What is known of one node in one sample.
type Spans = HashMap<NodeId, Vec<Span>>;

impl<'a> Labels<'a> {
    /// For the artefact `emitted` of `quantised` with that certificate.
    ///
    /// # Errors
    /// Why nothing can be said of any sample.
    pub fn new(
        quantised: &Graph,
        canonical: &'a Conversion,
        emitted: &Graph,
        certificate: &Certificate,
    ) -> Result<Labels<'a>, String> {
        let network = &canonical.network;
        let reference = certify(quantised, canonical, network);
        if reference.verdict != Verdict::Proved {
            return Err("the reference's own form is not proved for this model".into());
        }
        if let Some(open) = certificate.obligations.iter().find(|o| !o.holds) {
            return Err(format!("of `{}` it does not hold that {}", open.subject, open.claim));
        }
        let order = network.order().map_err(|e| e.to_string())?;
        let mut labels =
            Labels { canonical: network, order, answers: HashMap::new(), synapses: HashMap::new() };
        for &id in &labels.order {
            let name = &network[id].name;
            match network[id].as_spiking() {
                Some(SpikingOp::Projection(_)) => {
                    let found = Synapses::of(network, id);
                    let found =
                        found.ok_or_else(|| format!("`{name}` has synapses with delays"))?;
                    labels.synapses.insert(id, found);
                }
                Some(SpikingOp::Encoder(_)) => match certificate.population(name) {
                    Some(p) if p.verdict == Verdict::Proved => {}
                    _ => {
                        return Err(format!("of `{name}` it is not proved that it sends the same"));
                    }
                },
                Some(SpikingOp::Population(own)) => {
                    let answer = labels.answer(id, own, emitted, certificate);
                    labels.answers.insert(id, answer?);
                }
                Some(SpikingOp::MaxPool { .. } | SpikingOp::Decoder(_)) => {}
                Some(SpikingOp::Concatenate { axis: 0 }) => {}
                _ => return Err(format!("`{name}` is of a kind that is not followed")),
            }
        }
        Ok(labels)
    }

    fn answer(
        &self,
        id: NodeId,
        own: &Population,
        emitted: &Graph,
        certificate: &Certificate,
    ) -> Result<Answer, String> {
        let name = &self.canonical[id].name;
        let channels = self.canonical[id].ty.shape.first().copied().unwrap_or(1);
        let Some(statement) = certificate.population(name) else {
            return Err(format!("the certificate says nothing of `{name}`"));
        };
        let mut listed = vec![Vec::new(); channels];
        match statement.verdict {
            Verdict::Proved => return Ok(Answer::Listed(listed)),
            // Where operands meet, pairs that differ are counted and not listed.
            Verdict::Differs if statement.witness.is_none() => {
                for d in &statement.differences {
                    listed.get_mut(d.channel).ok_or("a channel that is not there")?.push(*d);
                }
                for row in &mut listed {
                    row.sort_by_key(|d| d.from);
                }
                return Ok(Answer::Listed(listed));
            }
            _ => {}
        }
        let linear = self.linear(id, own, emitted);
        let reason = || format!("`{name}` is {} ({})", statement.verdict, statement.method);
        linear.map(|l| Answer::Linear(Box::new(l))).ok_or_else(reason)
    }

    /// The population as sigma-delta neurons with the same synapses, if it is that in `emitted`.
    fn linear(&self, id: NodeId, own: &Population, emitted: &Graph) -> Option<Linear> {
        let network = self.canonical;
        let found = emitted.find(&network[id].name)?;
        let Some(SpikingOp::Population(theirs)) = emitted[found].as_spiking() else { return None };
        let neuron = theirs.neuron.get::<SigmaDeltaNeuron>()?;
        let (&[port], &[synapses]) =
            (network.sources(id).as_slice(), emitted.sources(found).as_slice())
        else {
            return None;
        };
        let source = emitted.source(synapses, 0)?;
        let (reference, given) = (self.synapses.get(&port)?, Synapses::of(emitted, synapses)?);
        let fires = neuron.role == SigmaDeltaRole::SigmaDelta;
        if neuron.threshold != 0 || !given.alike(reference) || fires != own.neuron.fires() {
            return None;
        }
        let sent = codes_per_payload(network, network.source(port, 0)?, emitted, source)?;
        let channels = network[id].ty.shape.first().copied().unwrap_or(1).max(1);
        let width = given.weights.len() / channels;
        let (mut factor, mut errors, mut weights) = (Vec::new(), Vec::new(), Vec::new());
        for c in 0..channels {
            let from = given.source_channels(c);
            let row = &given.weights[c * width..(c + 1) * width];
            let unit = |i: usize| *PerChannel::of(&sent).at(from[i]);
            let per_code: Vec<f64> = row.iter().enumerate().map(|(i, w)| w / unit(i)).collect();
            let wanted = &reference.weights[c * width..(c + 1) * width];
            let square: f64 = wanted.iter().map(|w| w * w).sum();
            let product: f64 = wanted.iter().zip(&per_code).map(|(a, b)| a * b).sum();
            let times = if square > 0.0 { product / square } else { 0.0 };
            errors.extend(per_code.iter().zip(wanted).map(|(w, own)| w - times * own));
            weights.extend(per_code);
            factor.push(times);
        }
        let shift = u32::from(neuron.spike_exponent) + u32::from(neuron.state_exponent);
        let at = |v: &[i64], c: usize| PerChannel::of(v).get(c).copied().unwrap_or(0);
        let bias = (0..channels).map(|c| (at(&neuron.bias, c) << shift) as f64).collect();
        let payload = f64::from(1u32 << neuron.state_exponent);
        let unit = match fires {
            true => Some(units(own, theirs)?.iter().map(|u| u / payload).collect()),
            false => None,
        };
        let shown = match fires {
            true => Vec::new(),
            false => shown((network, id), (emitted, found), channels)?,
        };
        Some(Linear {
            factor,
            weights: given.with(weights),
            errors: given.with(errors),
            bias,
            unit,
            shown,
            cuts: emitted.timing.timesteps as f64 * payload,
        })
    }

    /// What is known of a sample of which `values` are what each node of the canonical network showed.
    pub fn judge(&self, values: &HashMap<NodeId, Vec<i64>>) -> Label {
        let mut spans: Spans = HashMap::new();
        for &id in &self.order {
            let found = match self.canonical[id].as_spiking() {
                Some(SpikingOp::Decoder(_)) => return self.decide(id, values, &spans),
                _ => self.spans(id, values, &spans),
            };
            match found {
                Some(found) if found.iter().any(|s| *s != EQUAL) => {
                    spans.insert(id, found);
                }
                Some(_) => {}
                None => return Label::Unknown,
            }
        }
        Label::Unknown
    }

    fn spans(
        &self,
        id: NodeId,
        values: &HashMap<NodeId, Vec<i64>>,
        spans: &Spans,
    ) -> Option<Vec<Span>> {
        let network = self.canonical;
        let sources = network.sources(id);
        let count = network[id].ty.len();
        match network[id].as_spiking()? {
            SpikingOp::Encoder(_) => Some(Vec::new()),
            SpikingOp::Projection(_) => {
                let Some(found) = spans.get(sources.first()?) else { return Some(Vec::new()) };
                Some(self.synapses.get(&id)?.carry(found))
            }
            SpikingOp::MaxPool { window } => {
                let source = *sources.first()?;
                let Some(found) = spans.get(&source) else { return Some(Vec::new()) };
                let shapes = (&network[source].ty.shape[..], &network[id].ty.shape[..]);
                Some(pooled(window, shapes, values.get(&source)?, found, values.get(&id)?))
            }
            SpikingOp::Concatenate { .. } => {
                let part = |s: &NodeId| match spans.get(s) {
                    Some(found) => found.clone(),
                    None => vec![EQUAL; network[*s].ty.len()],
                };
                Some(sources.iter().flat_map(part).collect())
            }
            SpikingOp::Population(p) => {
                let mut sum = vec![0i64; count];
                let mut span = vec![EQUAL; count];
                for source in &sources {
                    sum.iter_mut().zip(values.get(source)?).for_each(|(s, v)| *s += v);
                    if let Some(found) = spans.get(source) {
                        let add = |(s, f): (&mut Span, &Span)| *s = (s.0 + f.0, s.1 + f.1);
                        span.iter_mut().zip(found).for_each(add);
                    }
                }
                let sent = values.get(&id)?;
                match self.answers.get(&id)? {
                    Answer::Listed(listed) => self.listed(id, p, listed, (&sum, &span, sent)),
                    Answer::Linear(linear) => {
                        let projection = *sources.first()?;
                        let source = network.source(projection, 0)?;
                        Some(linear.answer(&sum, values.get(&source)?, spans.get(&source), sent, p))
                    }
                }
            }
            _ => None,
        }
    }

    /// Payloads at both ends of what an accumulator can be: the answer never falls.
    fn listed(
        &self,
        id: NodeId,
        p: &Population,
        listed: &[Vec<Difference>],
        (sum, span, sent): (&[i64], &[Span], &[i64]),
    ) -> Option<Vec<Span>> {
        let plane = self.canonical[id].ty.shape.iter().skip(1).product::<usize>().max(1);
        let one = |i: usize| -> Option<Span> {
            let (channel, (low, high)) = (i / plane, span[i]);
            if !p.neuron.fires() {
                return Some(span[i]);
            }
            if span[i] == EQUAL && listed[channel].is_empty() {
                return Some(EQUAL);
            }
            let answer = |v: i64| -> Option<f64> {
                let row = &listed[channel];
                let at = row.partition_point(|d| d.to < v);
                let payload = match row.get(at) {
                    Some(d) if d.from <= v => d.emitted,
                    _ => p.neuron.single_shot(channel, v + p.bias_at(channel))?,
                };
                Some((payload - sent[i]) as f64)
            };
            // Accumulators are whole; what rounding of f64 adds is far below a half.
            Some((
                answer(sum[i] + (low - 1e-6).ceil() as i64)?,
                answer(sum[i] + (high + 1e-6).floor() as i64)?,
            ))
        };
        (0..sum.len()).map(one).collect()
    }

    /// The scores' spans decide.
    fn decide(&self, id: NodeId, values: &HashMap<NodeId, Vec<i64>>, spans: &Spans) -> Label {
        let Some(SpikingOp::Decoder(d)) = self.canonical[id].as_spiking() else {
            return Label::Unknown;
        };
        let Some(source) = self.canonical.source(id, 0) else { return Label::Unknown };
        let (Some(raw), span) = (values.get(&source), spans.get(&source)) else {
            return Label::Unknown;
        };
        let score = |c: usize| -> (f64, f64, f64) {
            let zero = PerChannel::of(&d.zero).get(c).copied().unwrap_or(0);
            let scale = f64::from(*PerChannel::of(&d.scale).at(c));
            let (low, high) = span.map_or(EQUAL, |s| s[c]);
            let at = |off: f64| scale * ((raw[c] - zero) as f64 + off);
            (at(low), at(0.0), at(high))
        };
        let scores: Vec<_> = (0..raw.len()).map(score).collect();
        let mut best = 0;
        for (c, s) in scores.iter().enumerate() {
            if s.1 > scores[best].1 {
                best = c;
            }
        }
        let Some(&(low, _, high)) = scores.get(best) else { return Label::Unknown };
        // Scores are f32 numbers of raw values below 2^31, of a scale that is one.
        let room = |a: f64, b: f64| 2f64.powi(-20) * a.abs().max(b.abs());
        let others = || scores.iter().enumerate().filter(|(c, _)| *c != best).map(|(_, s)| s);
        if others().all(|s| low - s.2 > room(low, s.2)) {
            Label::Stable
        } else if others().any(|s| s.0 - high > room(s.0, high)) {
            Label::Changed
        } else {
            Label::Unknown
        }
    }
}

impl Linear {
    /// Spans of what is sent, or shown, for accumulators without bias and the codes of the sources.
    fn answer(
        &self,
        sums: &[i64],
        codes: &[i64],
        deviation: Option<&Vec<Span>>,
        sent: &[i64],
        own: &Population,
    ) -> Vec<Span> {
        let exact: Vec<Span> = codes.iter().map(|&x| (x as f64, x as f64)).collect();
        let errors = self.errors.carry(&exact);
        let brought = deviation.map(|d| self.weights.carry(d));
        let plane = (sums.len() / self.factor.len().max(1)).max(1);
        let one = |i: usize| -> Span {
            let c = i / plane;
            let base = self.factor[c] * sums[i] as f64;
            let (low, high) = brought.as_ref().map_or(EQUAL, |b| b[i]);
            // Sums of products in f64.
            let slack = 1e-9 * (base.abs() + errors[i].0.abs() + errors[i].1.abs()) + 1e-6;
            let state = (base + errors[i].0 + low - slack, base + errors[i].1 + high + slack);
            let at = |v: &[f64], c: usize| *PerChannel::of(v).at(c);
            match &self.unit {
                Some(unit) => {
                    let rectified = |state: f64| (state + self.bias[c]).max(0.0);
                    let (low, high) = (rectified(state.0) - self.cuts, rectified(state.1));
                    let code = sent[i] as f64;
                    (low * at(unit, c) - code, high * at(unit, c) - code)
                }
                None => {
                    let (start, per) = self.shown[c];
                    let raw = (sums[i] + own.bias_at(c)) as f64;
                    (start + per * state.0 - raw, start + per * state.1 - raw)
                }
            }
        };
        (0..sums.len()).map(one).collect()
    }
}

/// Codes of the reference that a unit of payload is worth, channel by channel or one for all.
fn units(own: &Population, theirs: &Population) -> Option<Vec<f64>> {
    let at = |v: &[f32], c: usize| PerChannel::of(v).get(c).map(|&s| f64::from(s));
    let channels = own.scale.len().max(theirs.scale.len());
    (0..channels).map(|c| Some(at(&theirs.scale, c)? / at(&own.scale, c)?)).collect()
}

fn codes_per_payload(
    canonical: &Graph,
    reference: NodeId,
    emitted: &Graph,
    source: NodeId,
) -> Option<Vec<f64>> {
    let Some(SpikingOp::Population(theirs)) = emitted[source].as_spiking() else { return None };
    match canonical[reference].as_spiking()? {
        SpikingOp::Population(own) if emitted[source].name == canonical[reference].name => {
            units(own, theirs)
        }
        SpikingOp::Encoder(e) if theirs.neuron.encodes() => {
            Some(theirs.scale.iter().map(|&s| f64::from(s) / f64::from(e.scale)).collect())
        }
        _ => None,
    }
}

/// For each channel the reference's raw value that state 0 shows, and that a unit of state does.
fn shown(
    (canonical, reference): (&Graph, NodeId),
    (emitted, found): (&Graph, NodeId),
    channels: usize,
) -> Option<Vec<(f64, f64)>> {
    let decoder = |graph: &Graph, id: NodeId| {
        graph.users(id).into_iter().find_map(|user| match graph[user].as_spiking() {
            Some(SpikingOp::Decoder(d)) => Some(d.clone()),
            _ => None,
        })
    };
    let (own, theirs) = (decoder(canonical, reference)?, decoder(emitted, found)?);
    let at = |v: &[f32], c: usize| PerChannel::of(v).get(c).map(|&s| f64::from(s));
    let zero = |v: &[i64], c: usize| PerChannel::of(v).get(c).copied().unwrap_or(0) as f64;
    let line = |c: usize| {
        let per = at(&theirs.scale, c)? / at(&own.scale, c)?;
        Some((zero(&own.zero, c) - per * zero(&theirs.zero, c), per))
    };
    (0..channels).map(line).collect()
}
