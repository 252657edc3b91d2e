//! The prepared form of a network: weights packed and buffers planned once, then any number of samples
//! on any number of threads without allocating buffers again.
//!
//! A network without cycles and delays is run node by node, each over all timesteps, so that time is
//! folded into the rows of a product and membrane potentials stay in registers. What is the same in
//! every timestep is computed once. Several samples at once are more rows of the same products, so that
//! weights are read once for all of them.
//!
//! Which form a node has is decided node by node. What bytes and 32-bit sums carry exactly, by the bounds of the
//! weights, are products over maps of bytes; everything else runs timestep by timestep on numbers of any size
//! (`stepped`), payloads that are not 0 added up one by one (`link`), neurons by their own definition. Either
//! kind reads what the other sends. Only networks with cycles belong to the scalar interpreter as a whole.

mod buffers;
mod build;
mod build_pools;
mod build_stepped;
mod fire;
mod forms;
mod layer;
mod link;
mod lists;
mod map;
mod order;
mod pooled;
mod run;
mod settling;
mod shown;
mod stepped;
mod synapses;

pub use forms::{Form, NodeForm};
pub use shown::{BatchObserver, Shown};

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use snnc_ir::{Decoder, Encoder, Graph, NodeId, Population, Schedule};

use super::boundary::Sample;
use super::outcome::Outcome;
use crate::kernels::Isa;
use crate::kernels::elements::Windows;
use buffers::Buffers;
use fire::Fire;
use lists::Listed;
use map::Map;
use stepped::Stepped;
use synapses::Synapses;

/// Where the values of a node are kept.
#[derive(Clone, Copy, Debug)]
enum Source {
    Map(usize),
    Totals(usize),
    Lists(usize),
}

/// What one node does.
#[derive(Debug)]
enum Action {
    Encode { input: usize, encoder: Encoder, to: usize },
    Layer(Box<Layer>),
    Pool(Pool),
    Concatenate { parts: Vec<usize>, to: usize },
    Stepped(Box<Stepped>),
    Decode { id: NodeId, from: Source, delay: usize, decoder: Decoder },
}

/// A population with the projections onto it.
#[derive(Debug)]
struct Layer {
    to: Source,
    /// Where each place begins in the map; its index where potentials are read out.
    places: Vec<usize>,
    /// Sums that are computed for each place, and of which the largest is its own: the pool behind them.
    cells: usize,
    /// Where the activity of that pool is counted.
    pooled_at: Option<usize>,
    channels: usize,
    /// Channels, padded to whole blocks.
    width: usize,
    /// Places that are computed at once.
    block: usize,
    bias: Vec<i32>,
    bias_at: Option<usize>,
    /// A bias that is added in each timestep but those after the last of the input.
    early_bias: Vec<i32>,
    population: Population,
    behind_barrier: bool,
    synapses: Vec<Synapses>,
    fire: Fire,
}

/// What is made of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PoolKind {
    Maximum,
    /// By how much the maximum of the running totals changes.
    Running,
    /// A population that sends what it gets, behind weights of 1.
    Sum,
}

#[derive(Debug)]
struct Pool {
    kind: PoolKind,
    from: usize,
    to: usize,
    /// For each place of the result, where the places of its window begin in the map.
    windows: Windows,
}

/// Potentials that are read out.
#[derive(Debug)]
struct Totals {
    neurons: usize,
    /// Neurons of one channel.
    plane: usize,
    /// Where its activity is counted.
    slot: Option<usize>,
}

/// Why something has no prepared form.
type Why = &'static str;

/// A network in prepared form, with buffers for as many runs as there were at once.
#[derive(Debug)]
pub(super) struct Prepared {
    plan: Plan,
    idle: Mutex<Vec<Buffers>>,
    /// The same over more timesteps, for samples that take longer to settle.
    longer: settling::Longer,
}

#[derive(Debug)]
struct Plan {
    isa: Isa,
    steps: usize,
    /// Timesteps of the input; the run goes on until nothing is sent where there are more.
    given: usize,
    settles: bool,
    maps: Vec<Map>,
    totals: Vec<Totals>,
    lists: Vec<Listed>,
    actions: Vec<Action>,
    /// Nodes whose activity is counted, in the order of computation.
    counted: Vec<NodeId>,
    forms: Vec<NodeForm>,
    sources: HashMap<NodeId, Source>,
    /// Sums that are the same in every timestep, and those that vary.
    sums: [usize; 2],
    /// Bytes of patches.
    patches: usize,
    /// Samples that are run at once.
    group: usize,
}

impl Prepared {
    /// Prepares a graph; why not, if it belongs to the scalar interpreter.
    pub(super) fn new(graph: &Graph, order: &[NodeId], isa: Isa) -> Result<Prepared, Why> {
        let timesteps = graph.timing.timesteps;
        let settles = graph.timing.schedule == Schedule::UntilSettled;
        // Neurons need about as long again to come to rest.
        let steps = if settles { 2 * timesteps } else { timesteps };
        Prepared::of_steps(graph, order, isa, steps)
    }

    fn of_steps(graph: &Graph, order: &[NodeId], isa: Isa, steps: usize) -> Result<Prepared, Why> {
        let plan = build::Builder::plan(graph, order, isa, steps)?;
        Ok(Prepared { plan, idle: Mutex::new(Vec::new()), longer: Default::default() })
    }

    /// How each node runs, in the order of computation.
    pub(super) fn forms(&self) -> &[NodeForm] {
        &self.plan.forms
    }

    /// Whether the values of a node can be shown.
    pub(super) fn shows(&self, id: NodeId) -> bool {
        self.plan.sources.contains_key(&id)
    }

    /// Samples that are best run at once.
    pub(super) fn group(&self) -> usize {
        self.plan.group
    }

    /// Runs samples at once, and shows what the nodes of `wanted` sent, sample by sample and node by
    /// node. Where there are fewer outcomes than samples, the next one belongs to the scalar interpreter: an
    /// accumulator may have left its range, or the network does not settle.
    pub(super) fn run(
        &self,
        graph: &Graph,
        samples: &[&[Sample]],
        wanted: &[NodeId],
        observe: &mut BatchObserver<'_>,
    ) -> Vec<Outcome> {
        let mut outcomes = Vec::with_capacity(samples.len());
        // Groups of nearly the same size, rather than a small one at the end.
        let groups = samples.len().div_ceil(self.plan.group).max(1);
        let size = samples.len().div_ceil(groups).max(1);
        for (i, group) in samples.chunks(size).enumerate() {
            let observe = &mut |sample: usize, id, shown: Shown<'_>| {
                observe(i * size + sample, id, shown);
            };
            match self.settle(graph, group, wanted, observe) {
                Ok(own) => outcomes.extend(own),
                Err(link::Failed) => break,
            }
        }
        outcomes
    }

    /// Runs one group of samples; `None` where a sample has not settled.
    fn group_of(
        &self,
        graph: &Graph,
        group: &[&[Sample]],
        wanted: &[NodeId],
        observe: &mut BatchObserver<'_>,
    ) -> Result<Option<Vec<Outcome>>, link::Failed> {
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let buffers = idle().pop();
        let mut buffers = buffers.unwrap_or_default();
        buffers.prepare(&self.plan, group.len());
        let outcomes = self.plan.run(graph, group, &mut buffers);
        if matches!(outcomes, Ok(Some(_))) {
            for sample in 0..group.len() {
                for &id in wanted {
                    if let Some(shown) = self.plan.shown(id, sample, &buffers) {
                        observe(sample, id, shown);
                    }
                }
            }
        }
        idle().push(buffers);
        outcomes
    }
}
