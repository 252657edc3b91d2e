//! The prepared form of a network of real neurons: weights packed and buffers planned once, then any
//! number of samples on any number of threads without allocating.
//!
//! Nodes are run one after the other, each over many timesteps; a cycle makes it as many as its shortest
//! delay. What is the same in every timestep is computed once. A projection adds up rows of weights, one
//! for each source that sends something, in the order in which the scalar interpreter meets the sources:
//! all sums are equal to its sums, and so is every spike (see [`crate::kernels::reals`]).

use std::sync::{Mutex, PoisonError};

use snnc_ir::{Graph, NodeId};

use super::build;
use super::plan::Plan;
use super::run::Buffers;
use super::{Given, SampleObserver};
use crate::kernels::Isa;

/// A network in prepared form, with buffers for as many runs as there were at once.
#[derive(Debug)]
pub(super) struct Prepared {
    plan: Plan,
    idle: Mutex<Vec<Buffers>>,
}

impl Prepared {
    /// Prepares a graph; `None` if it belongs to the scalar interpreter.
    pub(super) fn new(graph: &Graph, order: &[NodeId], isa: Isa) -> Option<Prepared> {
        let plan = build::plan(graph, order, isa)?;
        Some(Prepared { plan, idle: Mutex::new(Vec::new()) })
    }

    /// Samples that may be run at once.
    pub(super) fn together(&self) -> usize {
        self.plan.together
    }

    /// Runs inputs that fit, at most [`Prepared::together`], and returns what each output shows of each.
    pub(super) fn run(
        &self,
        given: &[Given<'_>],
        observe: &mut SampleObserver<'_>,
    ) -> Vec<Vec<Vec<f32>>> {
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let buffers = idle().pop();
        let mut buffers = buffers.unwrap_or_else(|| Buffers::new(&self.plan));
        self.plan.run(given, &mut buffers, observe);
        let shown = given.iter().enumerate();
        let shown = shown.map(|(i, g)| buffers.shown(&self.plan, i, g.timesteps())).collect();
        idle().push(buffers);
        shown
    }
}
