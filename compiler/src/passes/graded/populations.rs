//! Populations: neurons with exactly the thresholds of a requantisation, and the synapses onto them.

use std::borrow::Cow;
use std::collections::HashMap;

use rayon::prelude::*;
use snnc_ir::analysis::{Interval, StraightLine, bisect_thresholds, sum_of_runs};
use snnc_ir::{
    AccumulateNeuron, Coding, Connectivity, DType, GradedNeuron, LookupNeuron, Neuron, Node,
    NodeId, PerChannel, Population, Projection, SpikingOp, Tensor, TensorOp, ThresholdTable,
};

use super::join::{self, Join};
use super::{Converter, Form, Payloads, Synapses, unbatched};
use crate::reference::Requantiser;

impl Converter<'_> {
    /// Adds the synapses as a projection; returns it and the interval of its sums, gain excluded.
    pub(super) fn project(
        &mut self,
        id: NodeId,
        population: &str,
        synapses: &Synapses,
        gain: Vec<i64>,
    ) -> Option<(NodeId, Vec<Interval>)> {
        let s = synapses;
        let own_shape = self.network[s.source.node].ty.shape.clone();
        let misplaced = s.source.order.is_some() || s.source.shape != own_shape;
        match &s.connectivity {
            Connectivity::Dense => {}
            Connectivity::OneToOne if s.source.order.is_none() => {}
            _ if misplaced => {
                self.problem(id, "a reshaped or transposed map goes into a convolution", "");
                return None;
            }
            _ => {}
        }
        let weights = placed(s);
        let sums = sums(s, &weights, &own_shape);
        let mut projection = Projection::exact(s.connectivity.clone());
        projection.gain = gain;
        let name = self.network.fresh_name(&format!("{population}.synapses"));
        let node = Node::spiking(name, SpikingOp::Projection(projection), s.shape.clone())
            .with_data(integers(s, &weights))
            .with_origins(&self.quantised[id].origins);
        Some((self.network.add(node, &[s.source.node]), sums))
    }

    pub(super) fn population(&mut self, id: NodeId) -> Form {
        let Some(requantiser) = Requantiser::new(self.quantised, id) else {
            return self.problem(id, "requantises without scales", "");
        };
        let mut parts = Vec::new();
        let operands = self.quantised.sources(id).len();
        for (port, source) in self.quantised.sources(id).into_iter().enumerate() {
            if matches!(self.quantised[source].as_tensor(), Some(TensorOp::Constant)) {
                continue;
            }
            match self.form(id, port) {
                Form::Sum(s) => parts.push(*s),
                // Copied on the way.
                Form::Moved(moved) => match self.copying(source, &moved) {
                    Some(s) => parts.push(s),
                    None => return Form::Nothing,
                },
                Form::Payloads(p) if p.order.is_some() && operands > 1 => {
                    match self.copying(source, &p.into()) {
                        Some(s) => parts.push(s),
                        None => return Form::Nothing,
                    }
                }
                Form::Payloads(p) => match self.one_to_one(id, port, p) {
                    Some(s) => parts.push(s),
                    None => return Form::Nothing,
                },
                Form::Nothing => return Form::Nothing,
                _ => return self.problem(id, "one of its inputs is not quantised", "quantise it"),
            }
        }
        let shape = parts[0].shape.clone();
        let seen = unbatched(&self.quantised[id].ty.shape);
        let wanted = self.named(id, SpikingOp::Concatenate { axis: 0 }, &shape).name;
        let channels = shape.first().copied().unwrap_or(1);
        let single = parts.len() == 1;
        let mut projections = Vec::new();
        if parts.len() > 2 {
            return self.problem(id, "more than two activations are added", "add them two by two");
        }
        // What a bias has beyond whole units is in the thresholds, of a sum all that constants bring.
        let mut bias: Vec<i64> = match single {
            true => (0..channels).map(|c| requantiser.whole_bias(c)).collect(),
            false => vec![0; channels],
        };
        let joins = match parts.as_slice() {
            [a, b] => self.joins(&requantiser, [a, b], channels),
            _ => Vec::new(),
        };
        let mut potentials: Vec<Interval> = bias.iter().map(|&b| Interval::new(b, b)).collect();
        for (port, part) in parts.iter().enumerate() {
            let mut gain: Vec<i64> = joins.iter().map(|j| j.gains[port]).collect();
            if gain.iter().all(|&g| g == 1) {
                gain.clear();
            }
            let Some((projection, sums)) = self.project(id, &wanted, part, gain.clone()) else {
                return Form::Nothing;
            };
            projections.push(projection);
            for c in 0..channels {
                let gain = gain.get(c).copied().unwrap_or(1);
                let own = gain * PerChannel::of(&part.bias).get(c).copied().unwrap_or(0);
                bias[c] += own;
                potentials[c] =
                    potentials[c].plus(sums[c].times(gain)).plus(Interval::new(own, own));
            }
        }
        let neuron = if single {
            fitted(&requantiser, &potentials)
        } else {
            join::neuron(&requantiser, &joins, &potentials)
        };
        let range: Vec<Interval> = (0..channels)
            .map(|c| {
                let sent = |v| neuron.single_shot(c, v).unwrap_or_default();
                Interval::new(sent(potentials[c].low), sent(potentials[c].high)).with_zero()
            })
            .collect();
        let population = Population {
            coding: Coding::Graded,
            bias: if bias.iter().all(|&b| b == 0) { Vec::new() } else { bias },
            bias_placement: Default::default(),
            neuron,
            minimum: requantiser.minimum().min(0),
            maximum: requantiser.maximum().max(0),
            scale: requantiser.output_scale(),
        };
        let node =
            Node { name: wanted, ..self.named(id, SpikingOp::Population(population), &shape) };
        let node = self.network.add(node, &projections);
        self.correspondence.push((node, id));
        Form::Payloads(Payloads { node, shape: seen, order: None, range })
    }

    /// The gains of two operands, channel by channel; channels that are one function share theirs.
    fn joins(&self, r: &Requantiser, parts: [&Synapses; 2], channels: usize) -> Vec<Join> {
        let ranges = parts.map(|part| {
            let own_shape = &self.network[part.source.node].ty.shape;
            let bias = |c: usize| PerChannel::of(&part.bias).get(c).copied().unwrap_or(0);
            let sums = sums(part, &placed(part), own_shape);
            let ranges = sums.into_iter().enumerate();
            ranges.map(|(c, s)| s.plus(Interval::new(bias(c), bias(c)))).collect::<Vec<_>>()
        });
        let key = |c: usize| (r.signature(c), ranges[0][c], ranges[1][c]);
        let mut places: HashMap<_, usize> = HashMap::new();
        let mut first = Vec::new();
        let place = |c: usize| {
            *places.entry(key(c)).or_insert_with(|| {
                first.push(c);
                first.len() - 1
            })
        };
        let place: Vec<usize> = (0..channels).map(place).collect();
        // Channels are independent, so that their order is all that threads could change.
        let found: Vec<Join> =
            first.par_iter().map(|&c| join::join(r, c, [ranges[0][c], ranges[1][c]])).collect();
        place.into_iter().map(|i| found[i].clone()).collect()
    }

    /// Payloads that go into a population unweighted.
    fn one_to_one(&mut self, id: NodeId, port: usize, source: Payloads) -> Option<Synapses> {
        let operand = self.quantised.source(id, port)?;
        let q = self.quantised[operand].ty.quantisation.as_ref()?;
        let scale = q.scale.clone();
        let shape = self.network[source.node].ty.shape.clone();
        // One table for all neurons does not ask in which shape they stand, only in which order.
        let uniform = Requantiser::new(self.quantised, id).is_none_or(|r| r.is_uniform());
        let alike = self.quantised.sources(id).len() == 1 && uniform;
        if source.order.is_some() || (source.shape != shape && !alike) {
            return self.copying(operand, &source.into());
        }
        let channels = shape.first().copied().unwrap_or(1);
        Some(Synapses {
            source,
            connectivity: Connectivity::OneToOne,
            weights: vec![1; channels],
            weight_shape: vec![channels],
            bias: Vec::new(),
            scale,
            shape,
            codes: None,
        })
    }

    pub(super) fn lookup(&mut self, id: NodeId, minimum: i64, table: &[i64]) -> Form {
        let (Form::Payloads(source), Some(operand)) =
            (self.plain_where_moved(id), self.quantised.source(id, 0))
        else {
            return Form::Nothing;
        };
        let zero =
            |id: NodeId| self.quantised[id].ty.quantisation.as_ref().map_or(0, |q| q.zero_at(0));
        let (zero_in, zero_out) = (zero(operand), zero(id));
        let seen = source.shape.clone();
        // Payloads that keep their numbers and only mean another real need no neuron.
        if table.iter().zip(minimum - zero_in..).all(|(&code, payload)| code - zero_out == payload)
        {
            return Form::Payloads(source);
        }
        let Some(synapses) = self.one_to_one(id, 0, source) else { return Form::Nothing };
        let table: Vec<i64> = table.iter().map(|code| code - zero_out).collect();
        let low = table.iter().copied().min().unwrap_or(0).min(0);
        let high = table.iter().copied().max().unwrap_or(0).max(0);
        let scale =
            self.quantised[id].ty.quantisation.as_ref().map_or_else(Vec::new, |q| q.scale.clone());
        let population = Population {
            coding: Coding::Graded,
            bias: Vec::new(),
            bias_placement: Default::default(),
            neuron: LookupNeuron { minimum: minimum - zero_in, table }.into(),
            minimum: low,
            maximum: high,
            scale,
        };
        let shape = synapses.shape.clone();
        let node = self.named(id, SpikingOp::Population(population), &shape);
        let Some((projection, _)) = self.project(id, &node.name, &synapses, Vec::new()) else {
            return Form::Nothing;
        };
        let node = self.network.add(node, &[projection]);
        self.correspondence.push((node, id));
        let channels = shape.first().copied().unwrap_or(1);
        let range = vec![Interval::new(low, high); channels];
        Form::Payloads(Payloads { node, shape: seen, order: None, range })
    }

    /// The operand as payloads, of a node of their own where they are moved.
    fn plain_where_moved(&mut self, id: NodeId) -> Form {
        match self.form(id, 0) {
            Form::Payloads(p) if p.order.is_none() => Form::Payloads(p),
            Form::Nothing => Form::Nothing,
            _ => self.plain(id, 0),
        }
    }

    /// A population that only accumulates: its potential is the network's answer.
    pub(super) fn read_out(&mut self, linear: NodeId, synapses: &Synapses) -> Form {
        if let Some(known) = self.host.read.get(&linear) {
            return Form::Scores(known.clone(), synapses.scale.clone());
        }
        let wanted = self.named(linear, SpikingOp::Concatenate { axis: 0 }, &synapses.shape).name;
        let Some((projection, sums)) = self.project(linear, &wanted, synapses, Vec::new()) else {
            return Form::Nothing;
        };
        let range: Vec<Interval> = sums
            .iter()
            .enumerate()
            .map(|(c, sum)| {
                let bias = synapses.bias.get(c).or(synapses.bias.first()).copied().unwrap_or(0);
                sum.plus(Interval::new(bias, bias)).with_zero()
            })
            .collect();
        let whole = range.iter().copied().reduce(Interval::union).unwrap_or(Interval::new(0, 0));
        let population = Population {
            coding: Coding::Graded,
            bias: synapses.bias.clone(),
            bias_placement: Default::default(),
            neuron: AccumulateNeuron.into(),
            minimum: whole.low,
            maximum: whole.high,
            scale: synapses.scale.clone(),
        };
        let node = Node {
            name: wanted,
            ..self.named(linear, SpikingOp::Population(population), &synapses.shape)
        };
        let node = self.network.add(node, &[projection]);
        self.correspondence.push((node, linear));
        let shape = synapses.shape.clone();
        let shown = Payloads { node, shape, order: None, range };
        self.host.read.insert(linear, shown.clone());
        Form::Scores(shown, synapses.scale.clone())
    }
}

/// The weights in the order of the source's neurons.
fn placed(s: &Synapses) -> Cow<'_, [i64]> {
    let mut weights = Cow::Borrowed(&*s.weights);
    if let (Connectivity::Dense, Some(order)) = (&s.connectivity, &s.source.order) {
        let inputs = order.len();
        let rows = weights.to_mut().chunks_mut(inputs).zip(s.weights.chunks(inputs));
        for (row, old) in rows {
            for (place, &neuron) in order.iter().enumerate() {
                row[neuron] = old[place];
            }
        }
    }
    weights
}

/// Weights that are compared together.
const PART: usize = 1 << 12;

/// The weights as a tensor, the quantised network's own if it has the same bytes.
fn integers(s: &Synapses, weights: &[i64]) -> Tensor {
    let low = weights.iter().copied().min().unwrap_or(0);
    let high = weights.iter().copied().max().unwrap_or(0);
    let dtype = DType::narrowest_signed(low, high);
    let same = |own: &&Tensor| {
        let alike = |(i, part): (usize, &[i64])| {
            own.part_to_i64(i * PART..i * PART + part.len()).is_ok_and(|own| own == part)
        };
        own.dtype() == dtype
            && own.shape() == s.weight_shape
            && own.len() == weights.len()
            && weights.chunks(PART).enumerate().all(alike)
    };
    match s.codes.iter().find(same) {
        Some(own) => own.clone(),
        None => Tensor::from_i64(dtype, &s.weight_shape, weights),
    }
}

/// Interval of each channel's sum.
fn sums(s: &Synapses, weights: &[i64], own_shape: &[usize]) -> Vec<Interval> {
    let channels = s.shape.first().copied().unwrap_or(1);
    let ranges = &s.source.range;
    match &s.connectivity {
        Connectivity::OneToOne => {
            (0..channels).map(|c| ranges[c].times(weights[c]).with_zero()).collect()
        }
        Connectivity::Dense => {
            let inputs: usize = own_shape.iter().product();
            let plane = inputs / ranges.len().max(1);
            let rows = weights.chunks(inputs.max(1)).map(|row| sum_of_runs(row, ranges, plane));
            let rows: Vec<Interval> = rows.collect();
            // Of targets shaped as a map several belong to a channel.
            let each = (rows.len() / channels.max(1)).max(1);
            let union = |own: &[Interval]| own.iter().copied().reduce(Interval::union);
            rows.chunks(each).filter_map(union).collect()
        }
        Connectivity::Convolution { groups, .. } => {
            let per_group = s.weight_shape[1];
            let taps: usize = s.weight_shape[2..].iter().product();
            let outputs_per_group = channels / groups;
            let rows = weights.chunks((per_group * taps).max(1)).enumerate();
            rows.map(|(c, row)| {
                let first = c / outputs_per_group * per_group;
                sum_of_runs(row, ranges.get(first..).unwrap_or_default(), taps)
            })
            .collect()
        }
    }
}

/// The neuron with exactly the reference's thresholds on the reachable potentials: multiply and
/// shift where every channel has a straight line, else a table.
fn fitted(requantiser: &Requantiser, potentials: &[Interval]) -> Neuron {
    let (minimum, maximum) = (requantiser.minimum(), requantiser.maximum());
    let fit = |(c, v): (usize, &Interval)| {
        let whole_bias = requantiser.whole_bias(c);
        let answer = |v: i64| requantiser.payload(c, &[v - whole_bias]);
        let thresholds = bisect_thresholds(answer, (v.low, v.high), (minimum, maximum));
        let line = StraightLine::new(&thresholds, (v.low, v.high), minimum).fit_shift(46);
        (thresholds, line)
    };
    // Channels are independent, so that their order is all that threads could change.
    let fitted = potentials.par_iter().enumerate().map(fit);
    let (thresholds, lines): (Vec<Vec<i64>>, Vec<Option<_>>) = fitted.unzip();
    let lines: Option<Vec<(i64, i64, u8)>> = lines.into_iter().collect();
    match lines {
        Some(lines) => GradedNeuron {
            multiplier: lines.iter().map(|l| l.0).collect(),
            offset: lines.iter().map(|l| l.1).collect(),
            divisor: lines.iter().map(|l| 1 << l.2).collect(),
            minimum,
            maximum,
        }
        .into(),
        None => ThresholdTable { thresholds, minimum }.into(),
    }
}
