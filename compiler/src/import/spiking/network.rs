//! The spiking graph of the neurons that were found.

use std::collections::HashMap;

use snnc_ir::{
    Coding, Connectivity, FloatNeuron, Graph, Node, NodeId, Origin, Population, Schedule,
    SpikingOp, Stage, Timing,
};

mod readout;
mod synapses;

use super::expression::{Expression, Id, LayerKind, Table, Values, zip};
use super::flow::{Affine, Flow, Flows, Term};
use super::formula::Formula;
use super::frames::Framed;
use super::linear::{by_channel, shortened};
use super::neurons::{Found, Neurons, equal, single, zero};
use super::{Recognised, Shown};
use crate::Problem;

const SAME: &str = "export a network that does the same in every timestep";

pub(super) struct Builder<'a> {
    framed: &'a Framed,
    table: &'a Table,
    found: &'a Found,
    flows: Flows<'a>,
    graph: Graph,
    /// Shapes that convolutions and pools want of what they read.
    wanted: HashMap<Id, Vec<usize>>,
    encoders: HashMap<usize, NodeId>,
    populations: Vec<NodeId>,
    /// What was built of flows that are no sources.
    built: Vec<(Flow, NodeId)>,
    shown: Vec<Shown>,
    notes: Vec<(String, String)>,
    problems: Vec<Problem>,
}

/// What flows into a population: `gain * (pieces + bias) + drive`.
struct Intake {
    pieces: Vec<Piece>,
    gain: Values,
    bias: Values,
    drive: Values,
}

/// `after * layer(before * of)`, without the layer's bias.
struct Piece {
    of: Flow,
    layer: Option<usize>,
    before: Values,
    after: Values,
}

/// Builds the network, named `name`.
///
/// # Errors
/// Everything that differs between timesteps, or stands in between neurons without a form.
pub(super) fn build(
    source: &Graph,
    framed: &Framed,
    found: &Found,
) -> Result<Recognised, Vec<Problem>> {
    let timesteps = found.neurons.iter().map(|n| n.membranes.len()).max().unwrap_or(1);
    let mut graph = Graph::new(source.name.clone(), Stage::Spiking);
    graph.timing = Timing { timesteps, schedule: Schedule::Streaming };
    let mut builder = Builder {
        framed,
        table: &framed.table,
        found,
        flows: Flows::new(&framed.table, found, framed.inputs.len()),
        graph,
        wanted: wanted(&framed.table),
        encoders: HashMap::new(),
        populations: Vec::new(),
        built: Vec::new(),
        shown: Vec::new(),
        notes: Vec::new(),
        problems: Vec::new(),
    };
    builder.run(source);
    if !builder.problems.is_empty() {
        return Err(builder.problems);
    }
    let name = |&id: &NodeId| builder.graph[id].name.clone();
    let populations: Vec<String> = builder.populations.iter().map(name).collect();
    Ok(Recognised {
        formula: Formula::of(source, framed, found, populations),
        network: builder.graph,
        shown: builder.shown,
        notes: builder.notes,
    })
}

/// Shapes that convolutions and pools want of inputs and spikes.
fn wanted(table: &Table) -> HashMap<Id, Vec<usize>> {
    let mut wanted = HashMap::new();
    for id in 0..table.len() {
        let Expression::Layer { layer, source } = table.get(id) else { continue };
        let found = &table.layers[*layer];
        if matches!(found.kind, LayerKind::Synapses(Connectivity::Dense)) {
            continue;
        }
        let mut at = *source;
        while let Expression::Sum(a, b) | Expression::Product(a, b) = table.get(at)
            && table.values(*b).is_some()
        {
            at = *a;
        }
        wanted.insert(at, found.input.clone());
    }
    wanted
}

impl Builder<'_> {
    fn run(&mut self, source: &Graph) {
        let found = self.found;
        let plans: Vec<_> = found.neurons.iter().map(|n| self.plan(n)).collect();
        if !self.problems.is_empty() {
            return;
        }
        let mut intakes = Vec::with_capacity(plans.len());
        for (neurons, (sum, initial)) in found.neurons.iter().zip(plans.into_iter().flatten()) {
            let wanted = neurons.origin.as_ref().map_or("neurons", |o| o.node.as_str());
            let name = self.graph.fresh_name(wanted);
            let mut neuron = neurons.neuron.clone();
            let intake = self.intake(sum, neuron.current.is_some());
            take(&mut neuron, &intake);
            if !zero(&initial) {
                neuron.initial = single(&initial);
            }
            let shape = self.shape_of(neurons);
            let node = population(name, neuron, &shape, neurons.origin.as_ref());
            let id = self.graph.add(node, &[]);
            self.populations.push(id);
            intakes.push(intake);
        }
        for (layer, intake) in intakes.into_iter().enumerate() {
            let id = self.populations[layer];
            if intake.pieces.is_empty() {
                let place = self.graph[id].describe();
                self.problems.push(Problem::new(place, "gets no input", "connect the layer"));
            }
            self.connect(source, id, intake.pieces);
        }
        self.outputs(source);
        let mut inputs: Vec<usize> = self.encoders.keys().copied().collect();
        inputs.sort_unstable();
        for &input in inputs.iter().skip(1) {
            let place = source[self.framed.inputs[input]].describe();
            let reason = "is a second input, which is no state that an output gives back";
            let remedy = "join the inputs to one, and let every state be an input and an output";
            self.problem(place, reason, remedy);
        }
    }

    /// The shape of a layer's map: a row of neurons takes that which convolutions want of it.
    fn shape_of(&self, neurons: &Neurons) -> Vec<usize> {
        let spikes = |&(&z, _): &(&Id, &(usize, usize))| self.wanted.contains_key(&z);
        let own = neurons.shape.clone();
        if own.len() != 1 {
            return own;
        }
        let at = |m: &Id| {
            self.found.spikes.iter().filter(spikes).find(|(_, (layer, _))| {
                self.found.neurons.get(*layer).is_some_and(|n| n.membranes.first() == Some(m))
            })
        };
        let shape = neurons.membranes.first().and_then(at).map(|(z, _)| self.wanted[z].clone());
        shape.filter(|s| s.iter().product::<usize>() == own[0]).unwrap_or(own)
    }

    /// What flows into a layer, the same in all timesteps, and the potential before the first.
    fn plan(&mut self, neurons: &Neurons) -> Option<(Affine, Values)> {
        match self.planned(neurons) {
            Ok(plan) => Some(plan),
            Err(reason) => {
                let place = neurons.origin.as_ref();
                let place =
                    place.map_or_else(|| "a neuron".into(), |o| format!("{} `{}`", o.op, o.node));
                self.problem(place, reason, SAME);
                None
            }
        }
    }

    fn problem(&mut self, place: String, reason: impl Into<String>, remedy: &str) {
        let problem = Problem::new(place, reason, remedy);
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    fn planned(&mut self, neurons: &Neurons) -> Result<(Affine, Values), String> {
        let last = neurons.inputs.len() - 1;
        let shape = neurons.shape.as_slice();
        let mut sum = self.flows.sum(&neurons.inputs[last], (last, shape))?;
        sum.constant = shortened(zip(&sum.constant, &neurons.inside, |a, b| a + b));
        let mut initial = vec![0.0];
        if last == 0 {
            return Ok((sum, initial));
        }
        for (t, inputs) in neurons.inputs.iter().enumerate() {
            let own = self.flows.sum(inputs, (t, shape))?;
            // What comes back from neurons of timesteps before is not there at the beginning.
            let expected = self.flows.begun(&sum, t);
            let first = neurons.first.as_ref().filter(|_| t == 0);
            let same = first.is_some() || equal(&own.constant, &expected.constant);
            if !own.like(&expected) || !same {
                return Err(format!(
                    "timestep {t} gets its input in another way than the others, or through other weights"
                ));
            }
            let Some(first) = first else { continue };
            let all = zip(first, &own.constant, |a, b| a + b);
            let usual = zip(&neurons.constant, &expected.constant, |a, b| a + b);
            let offset = zip(&all, &usual, |a, b| a - b);
            if zero(&offset) {
                continue;
            }
            if zero(&neurons.decay) {
                return Err("begins with a potential of which nothing is kept".into());
            }
            initial = zip(&offset, &neurons.decay, |o, a| if a == 0.0 { 0.0 } else { o / a });
        }
        Ok((sum, initial))
    }

    /// The sum as synapses. One factor of all that flows in becomes the gain of the neurons, any other a
    /// part of the weights; of neurons with a `current` that is inside it.
    fn intake(&mut self, sum: Affine, current: bool) -> Intake {
        let mut constant = sum.constant;
        let mut pieces = Vec::with_capacity(sum.terms.len());
        for Term { factor, layer, of } in sum.terms {
            match (layer, of) {
                (Some(layer), Flow::Sum(inner)) if self.folds(layer, &inner) => {
                    // What is added before the layer goes through it, where that is in the map.
                    let offset = self.flows.applied(layer, &inner.constant);
                    let bias = self.flows.applied(layer, &[0.0]);
                    let offset = zip(&offset, &bias, |a, b| a - b);
                    let offset = zip(&offset, &factor, |a, b| a * b);
                    constant = shortened(zip(&constant, &offset, |a, b| a + b));
                    pieces.extend(inner.terms.into_iter().map(|term| Piece {
                        of: term.of,
                        layer: Some(layer),
                        before: term.factor,
                        after: factor.clone(),
                    }));
                }
                (layer, of) => pieces.push(Piece { of, layer, before: vec![1.0], after: factor }),
            }
        }
        let common = pieces.first().map(|p| p.after.clone()).unwrap_or_else(|| vec![1.0]);
        let uniform = pieces.iter().all(|p| p.after == common);
        let silent = common.contains(&0.0);
        if !uniform || common == [1.0] || (silent && current) {
            return Intake { pieces, gain: vec![1.0], bias: constant, drive: vec![0.0] };
        }
        for piece in &mut pieces {
            piece.after = vec![1.0];
        }
        match silent {
            true => Intake { pieces, gain: common, bias: vec![0.0], drive: constant },
            false => {
                let bias = zip(&constant, &common, |c, gain| c / gain);
                Intake { pieces, gain: common, bias, drive: vec![0.0] }
            }
        }
    }

    /// Whether factors in front of a layer can be part of its weights.
    fn folds(&self, layer: usize, inner: &Affine) -> bool {
        let layer = &self.table.layers[layer];
        let shared = !matches!(layer.kind, LayerKind::Synapses(Connectivity::Dense));
        inner.terms.iter().all(|term| {
            let single = !shared || by_channel(&term.factor, &layer.input).is_some();
            term.layer.is_none() && single
        })
    }
}

/// Gives a neuron what flows in besides spikes.
fn take(neuron: &mut FloatNeuron, intake: &Intake) {
    if intake.gain != [1.0] {
        neuron.gain = single(&intake.gain);
    }
    if intake.bias != [0.0] {
        neuron.input_bias = single(&intake.bias);
    }
    if intake.drive != [0.0] {
        let drive: Values = neuron.drive.iter().map(|&d| f64::from(d)).collect();
        let drive = if drive.is_empty() { vec![0.0] } else { drive };
        neuron.drive = single(&zip(&drive, &intake.drive, |a, b| a + b));
    }
}

/// What passes its input on in the same timestep.
fn relay() -> FloatNeuron {
    FloatNeuron {
        decay: vec![0.0],
        gain: Vec::new(),
        input_bias: Vec::new(),
        drive: Vec::new(),
        current: None,
        initial: Vec::new(),
        firing: None,
    }
}

fn population(name: String, neuron: FloatNeuron, shape: &[usize], origin: Option<&Origin>) -> Node {
    let fires = neuron.firing.is_some();
    let population = Population {
        coding: Coding::Rate,
        bias: Vec::new(),
        bias_placement: Default::default(),
        neuron: neuron.into(),
        minimum: if fires { 0 } else { i64::MIN },
        maximum: if fires { 1 } else { i64::MAX },
        scale: Vec::new(),
    };
    let node = Node::spiking(name, SpikingOp::Population(population), shape.to_vec());
    match origin {
        Some(origin) => node.with_origins(std::slice::from_ref(origin)),
        None => node,
    }
}
