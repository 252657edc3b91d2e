//! Where the numbers of a recognised network are in the tensor graph that it was read from, so that both
//! can be run and held against each other.

use std::collections::{HashMap, HashSet};

use snnc_ir::{Graph, NodeId};

use super::expression::Id;
use super::frames::Framed;
use super::neurons::Found;

/// What a part of a tensor's value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Which population.
    pub layer: usize,
    /// Which timestep of the graph.
    pub timestep: usize,
    /// Which of the equal parts of the value.
    pub part: usize,
    /// Of so many.
    pub parts: usize,
}

/// Spikes, potentials and states of a recognised network in the tensor graph.
#[derive(Clone, Debug, Default)]
pub struct Formula {
    /// Names of the populations.
    pub populations: Vec<String>,
    /// Thresholds of the populations, one entry for all neurons or one for each; none of read-outs.
    pub thresholds: Vec<Vec<f32>>,
    /// Which nodes hold spikes.
    pub spikes: HashMap<NodeId, Vec<Place>>,
    /// Which nodes hold potentials before the reset.
    pub potentials: HashMap<NodeId, Vec<Place>>,
    /// Inputs that are states, and the output that each is in the next timestep.
    pub feedback: Vec<(NodeId, usize)>,
}

impl Formula {
    pub(super) fn of(
        graph: &Graph,
        framed: &Framed,
        found: &Found,
        populations: Vec<String>,
    ) -> Formula {
        let mut membranes: HashMap<Id, (usize, usize)> = HashMap::new();
        for (layer, neurons) in found.neurons.iter().enumerate() {
            for (t, &m) in neurons.membranes.iter().enumerate() {
                membranes.insert(m, (layer, t));
            }
        }
        let firing = |n: &super::neurons::Neurons| match &n.neuron.firing {
            Some(firing) => firing.threshold.clone(),
            None => Vec::new(),
        };
        let node = |id: Id| {
            let inputs = framed.inputs.iter().copied();
            inputs.into_iter().find(|i| framed.values.get(i).is_some_and(|f| f.contains(&id)))
        };
        let feedback = found.feedback.iter().filter_map(|&(id, out)| Some((node(id)?, out)));
        Formula {
            populations,
            thresholds: found.neurons.iter().map(firing).collect(),
            spikes: places(graph, framed, &found.spikes),
            potentials: places(graph, framed, &membranes),
            feedback: feedback.collect(),
        }
    }
}

/// The first node that holds each of the expressions.
fn places(
    graph: &Graph,
    framed: &Framed,
    wanted: &HashMap<Id, (usize, usize)>,
) -> HashMap<NodeId, Vec<Place>> {
    let mut places: HashMap<NodeId, Vec<Place>> = HashMap::new();
    let mut seen: HashSet<Id> = HashSet::new();
    for id in graph.order().unwrap_or_default() {
        let Some(frames) = framed.values.get(&id) else { continue };
        for (part, frame) in frames.iter().enumerate() {
            let Some(&(layer, timestep)) = wanted.get(frame) else { continue };
            if seen.insert(*frame) {
                let place = Place { layer, timestep, part, parts: frames.len() };
                places.entry(id).or_default().push(place);
            }
        }
    }
    places
}
