//! What all codings share: the layers of the network, and changing them in place.

use std::collections::BTreeSet;

use snnc_ir::analysis::{Intervals, intervals};
use snnc_ir::{
    BiasPlacement, Coding, Graph, IntegrateAndFire, Neuron, NodeId, Op, Population, Presentation,
    Projection, Readout, SpikingOp, TimeTable, Timing,
};

use super::staircase::{self, Staircase};
use crate::{Error, Problem};

/// A threshold that no potential reaches.
pub(super) const NEVER: i64 = i64::MAX >> 2;

/// A canonical network on its way to another coding.
pub(super) struct Recoder<'a> {
    coding: Coding,
    canonical: &'a Graph,
    pub(super) graph: Graph,
    intervals: Intervals,
    problems: Vec<Problem>,
}

/// One population whose neuron fires.
pub(super) struct Layer {
    pub(super) id: NodeId,
    pub(super) name: String,
    pub(super) channels: usize,
    /// Smallest payload, 0 or negative.
    pub(super) minimum: i64,
    /// Largest payload, 0 or positive.
    pub(super) maximum: i64,
    /// Real value of one unit of payload.
    pub(super) scale: Vec<f32>,
    /// One for each channel; none if the neuron is not monotone.
    pub(super) staircases: Option<Vec<Staircase>>,
}

/// What a population becomes.
pub(super) struct Recoded {
    pub(super) neuron: Neuron,
    /// Factor of all that reaches channel `c` through port `p`: `gains[p][c]`.
    pub(super) gains: Vec<Vec<i64>>,
    /// Factor of the bias of each channel.
    pub(super) bias: Vec<i64>,
    pub(super) bias_placement: BiasPlacement,
    /// Range of one timestep's payload.
    pub(super) range: (i64, i64),
    /// Real value of one unit of payload.
    pub(super) scale: Vec<f32>,
}

impl<'a> Recoder<'a> {
    pub(super) fn new(coding: Coding, canonical: &'a Graph) -> Result<Self, Error> {
        let intervals = intervals(canonical).map_err(Error::network)?;
        let graph = canonical.clone();
        Ok(Recoder { coding, canonical, graph, intervals, problems: Vec::new() })
    }

    pub(super) fn finish(self) -> Result<Graph, Error> {
        if self.problems.is_empty() {
            Ok(self.graph)
        } else {
            Err(Error::Unsupported(self.problems))
        }
    }

    pub(super) fn refuse(&mut self, id: NodeId, reason: impl Into<String>, remedy: &str) {
        let reason = format!("{} in the coding `{}`", reason.into(), self.coding);
        self.problems.push(Problem::new(self.canonical[id].describe(), reason, remedy));
    }

    /// A wrong number of timesteps.
    pub(super) fn too_few(&mut self, timesteps: usize, needed: usize) {
        let reason = format!("{timesteps} timesteps are too few for `{}`", self.coding);
        let remedy = format!("use at least {needed}, or leave --timesteps out");
        self.problems.push(Problem::new("--timesteps", reason, remedy));
    }

    fn population(&self, id: NodeId) -> Option<&Population> {
        match self.canonical[id].as_spiking() {
            Some(SpikingOp::Population(p)) => Some(p),
            _ => None,
        }
    }

    /// All populations that fire, in the order of the graph.
    pub(super) fn layers(&self) -> Vec<Layer> {
        let layer = |id: NodeId| {
            let p = self.population(id)?;
            if !p.neuron.fires() {
                return None;
            }
            let (minimum, maximum) = staircase::levels(p);
            Some(Layer {
                id,
                name: self.canonical[id].name.clone(),
                channels: self.canonical[id].ty.shape.first().copied().unwrap_or(1),
                minimum: minimum.min(0),
                maximum: maximum.max(0),
                scale: p.scale.clone(),
                staircases: staircase::of(p, self.intervals.potentials(id)),
            })
        };
        self.canonical.ids().filter_map(layer).collect()
    }

    /// All read-outs: populations that only accumulate.
    pub(super) fn read_outs(&self) -> Vec<NodeId> {
        let is = |id: &NodeId| self.population(*id).is_some_and(|p| !p.neuron.fires());
        self.canonical.ids().filter(is).collect()
    }

    /// Encoders and populations whose payloads reach `id` through pools, joins and synapses.
    pub(super) fn origins(&self, id: NodeId) -> BTreeSet<NodeId> {
        match self.canonical[id].as_spiking() {
            Some(SpikingOp::Encoder(_) | SpikingOp::Population(_)) => BTreeSet::from([id]),
            _ => self.canonical.sources(id).into_iter().flat_map(|s| self.origins(s)).collect(),
        }
    }

    /// Projections of a population, in port order.
    pub(super) fn ports(&self, id: NodeId) -> Vec<NodeId> {
        self.canonical.sources(id)
    }

    /// Changes a population and the gains of its projections.
    pub(super) fn set(&mut self, id: NodeId, recoded: Recoded) {
        let channels = self.canonical[id].ty.shape.first().copied().unwrap_or(1);
        let Some(own) = self.population(id).cloned() else { return };
        for (port, gains) in self.ports(id).into_iter().zip(&recoded.gains) {
            let Some(SpikingOp::Projection(p)) = self.canonical[port].as_spiking() else {
                self.refuse(id, "potentials are pooled, which has no form", "use `graded`");
                return;
            };
            let Some(gain) = product(channels, |c| p.gain_at(c).checked_mul(gains[c])) else {
                self.refuse(id, "potentials exceed 64 bits", "use fewer timesteps");
                return;
            };
            let projection = Projection { gain: compact(gain, 1), ..p.clone() };
            self.graph[port].op = Op::Spiking(SpikingOp::Projection(projection));
        }
        let Some(bias) = product(channels, |c| own.bias_at(c).checked_mul(recoded.bias[c])) else {
            self.refuse(id, "a bias exceeds 64 bits", "use fewer timesteps");
            return;
        };
        let population = Population {
            coding: self.coding,
            bias: compact(bias, 0),
            bias_placement: recoded.bias_placement,
            neuron: recoded.neuron,
            minimum: recoded.range.0,
            maximum: recoded.range.1,
            scale: recoded.scale,
        };
        self.graph[id].op = Op::Spiking(SpikingOp::Population(population));
    }

    /// Lets a population that stays as it is add its bias once, behind the barrier.
    pub(super) fn after_barrier(&mut self, id: NodeId) {
        if let Op::Spiking(SpikingOp::Population(p)) = &mut self.graph[id].op {
            p.bias_placement = BiasPlacement::AfterLastTimestep;
        }
    }

    /// When inputs are presented.
    pub(super) fn present(&mut self, presentation: Presentation) {
        for id in self.graph.inputs() {
            if let Op::Spiking(SpikingOp::Encoder(e)) = &mut self.graph[id].op {
                e.presentation = presentation;
            }
        }
    }

    /// Lets max pools work on running totals.
    pub(super) fn run_pools_on_totals(&mut self) {
        let ids: Vec<NodeId> = self.graph.ids().collect();
        for id in ids {
            if let Op::Spiking(SpikingOp::MaxPool { window }) = self.graph[id].op.clone() {
                self.graph[id].op = Op::Spiking(SpikingOp::RunningMaxPool { window });
            }
        }
    }

    /// Lets outputs that show payloads show their sums; `unit` is what one unit of a population's
    /// payload is worth in the canonical network.
    pub(super) fn sum_outputs(&mut self, unit: impl Fn(NodeId) -> f64) {
        for output in self.graph.outputs() {
            let Some(source) = self.graph.source(output, 0) else { continue };
            if self.population(source).is_some_and(|p| !p.neuron.fires()) {
                continue;
            }
            let worth = self.origins(source).into_iter().map(&unit).next().unwrap_or(1.0);
            if let Op::Spiking(SpikingOp::Decoder(d)) = &mut self.graph[output].op {
                d.readout = Readout::Sum;
                d.scale.iter_mut().for_each(|s| *s = (f64::from(*s) * worth) as f32);
            }
        }
    }

    pub(super) fn timing(&mut self, timing: Timing) {
        self.graph.timing = timing;
    }
}

fn product(channels: usize, each: impl Fn(usize) -> Option<i64>) -> Option<Vec<i64>> {
    (0..channels).map(each).collect()
}

/// One entry where all are equal; none where that is what none means.
pub(super) fn compact(values: Vec<i64>, none: i64) -> Vec<i64> {
    match values.first() {
        Some(&first) if values.iter().all(|&v| v == first) => {
            if first == none {
                Vec::new()
            } else {
                vec![first]
            }
        }
        _ => values,
    }
}

/// A table with one row where all channels' rows are equal.
pub(super) fn table(mut rows: Vec<Vec<i64>>) -> TimeTable {
    if rows.windows(2).all(|pair| pair[0] == pair[1]) {
        rows.truncate(1);
    }
    TimeTable(rows)
}

/// The neuron without leak, comparing with `>=`.
pub(super) fn neuron(threshold: TimeTable, initial: Vec<i64>, maximum: i64) -> IntegrateAndFire {
    let initial = match initial.first() {
        Some(&first) if initial.iter().all(|&v| v == first) => vec![first],
        _ => initial,
    };
    IntegrateAndFire {
        threshold,
        reset: snnc_ir::Reset::Soft,
        initial,
        leak: snnc_ir::Leak::None,
        maximum,
        comparison: snnc_ir::Comparison::AtLeast,
        signed_limit: None,
        decode: None,
    }
}
