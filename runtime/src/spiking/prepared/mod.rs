//! The prepared form of a network: weights packed and buffers planned once, then any number of samples
//! on any number of threads without allocating.
//!
//! A network without cycles and delays is run node by node, each over all timesteps, so that time is
//! folded into the rows of a product and membrane potentials stay in registers. What is the same in
//! every timestep is computed once. Networks that bytes and 32-bit sums cannot carry exactly, by the
//! bounds of their weights, have no prepared form and belong to the scalar interpreter.

mod build;
mod fire;
mod map;
mod run;
mod synapses;

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use snnc_ir::{Decoder, Encoder, Graph, NodeId, Population};

use super::boundary::Sample;
use super::network::Outcome;
use crate::kernels::Isa;
use fire::Fire;
use map::Map;
use run::Buffers;
use synapses::Synapses;

/// Where the values of a node are kept.
#[derive(Clone, Copy, Debug)]
enum Source {
    Map(usize),
    Totals(usize),
}

/// What one node does.
#[derive(Debug)]
enum Action {
    Encode { input: usize, encoder: Encoder, to: usize },
    Layer(Box<Layer>),
    Pool(Pool),
    Concatenate { parts: Vec<usize>, to: usize },
    Decode { id: NodeId, from: Source, decoder: Decoder },
}

/// A population with the projections onto it.
#[derive(Debug)]
struct Layer {
    to: Source,
    /// Where each place begins in the map; its index where potentials are read out.
    places: Vec<usize>,
    channels: usize,
    /// Channels, padded to whole blocks.
    width: usize,
    /// Places that are computed at once.
    block: usize,
    bias: Vec<i32>,
    bias_at: Option<usize>,
    population: Population,
    behind_barrier: bool,
    synapses: Vec<Synapses>,
    fire: Fire,
}

/// What is made of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PoolKind {
    Maximum,
    /// A population that sends what it gets, behind weights of 1.
    Sum,
}

#[derive(Debug)]
struct Pool {
    kind: PoolKind,
    from: usize,
    to: usize,
    /// For each place of the result, where it begins, and where the places of its window do.
    windows: Vec<(usize, Vec<usize>)>,
}

/// Potentials that are read out.
#[derive(Debug)]
struct Totals {
    id: NodeId,
    neurons: usize,
}

/// A network in prepared form, with buffers for as many runs as there were at once.
#[derive(Debug)]
pub(super) struct Prepared {
    plan: Plan,
    idle: Mutex<Vec<Buffers>>,
}

#[derive(Debug)]
struct Plan {
    isa: Isa,
    steps: usize,
    maps: Vec<Map>,
    totals: Vec<Totals>,
    actions: Vec<Action>,
    sources: HashMap<NodeId, Source>,
    /// Sums that are the same in every timestep, and those that vary.
    sums: [usize; 2],
    /// Bytes of patches.
    patches: usize,
}

impl Prepared {
    /// Prepares a graph; `None` if it belongs to the scalar interpreter.
    pub(super) fn new(graph: &Graph, order: &[NodeId], isa: Isa) -> Option<Prepared> {
        let plan = build::Builder::plan(graph, order, isa)?;
        Some(Prepared { plan, idle: Mutex::new(Vec::new()) })
    }

    /// Whether the values of a node can be shown.
    pub(super) fn shows(&self, id: NodeId) -> bool {
        self.plan.sources.contains_key(&id)
    }

    /// Runs one sample, and shows what the nodes of `wanted` sent, node by node and timestep by
    /// timestep.
    pub(super) fn run(
        &self,
        graph: &Graph,
        samples: &[Sample],
        wanted: &[NodeId],
        observe: &mut dyn FnMut(NodeId, usize, &[i64]),
    ) -> Outcome {
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let buffers = idle().pop();
        let mut buffers = buffers.unwrap_or_else(|| Buffers::new(&self.plan));
        let outcome = self.plan.run(graph, samples, &mut buffers);
        for &id in wanted {
            self.plan.show(id, &buffers, observe);
        }
        idle().push(buffers);
        outcome
    }
}
