//! The prepared form of a network of real neurons: weights packed and buffers planned once, then any
//! number of samples on any number of threads without allocating.
//!
//! Nodes are run one after the other, each over many timesteps; a cycle makes it as many as its shortest
//! delay. What is the same in every timestep is computed once. A projection adds up rows of weights, one
//! for each source that sends something, in the order in which the scalar interpreter meets the sources:
//! all sums are equal to its sums, and so is every spike (see [`crate::kernels::reals`]).

use std::sync::{Mutex, PoisonError};

use snnc_ir::{Graph, NodeId, Readout};

use super::build;
use super::convolution::{Convolution, SpikeConvolution};
use super::run::Buffers;
use super::{Given, SampleObserver};
use crate::kernels::Isa;
use crate::kernels::reals::Rows;
use crate::kernels::reals::neurons::Neurons;

/// What a node takes: the values of another, so many timesteps later.
#[derive(Clone, Copy, Debug)]
pub(super) struct Operand {
    pub(super) from: usize,
    pub(super) delay: usize,
}

/// One node, in order of computation.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) id: NodeId,
    pub(super) len: usize,
    /// Timesteps that are kept for delays.
    pub(super) history: usize,
    /// Whether the sources that send something are listed, as projections need it.
    pub(super) listed: bool,
    /// Whether all that is sent is 0 or 1.
    pub(super) binary: bool,
    /// Whether it is the same in every timestep if the input is.
    pub(super) constant: bool,
    /// Whether there are rows for every sample that is run at once.
    pub(super) many: bool,
    pub(super) operands: Vec<Operand>,
    pub(super) action: Action,
}

/// What a node does.
#[derive(Debug)]
pub(super) enum Action {
    /// Passes the input on, divided by the scale.
    Encode {
        scale: f32,
    },
    /// Sends nothing: an input that is not given.
    Silence,
    Dense {
        rows: Rows,
    },
    /// Of sources that send nothing but spikes.
    DenseSpikes {
        rows: Rows,
        sources: usize,
    },
    Convolve(Convolution),
    ConvolveSpikes(SpikeConvolution),
    /// A convolution whose groups are too small to be summed in rows.
    Scatter {
        weights: Vec<f32>,
        meetings: Meetings,
        inputs: usize,
        outputs: usize,
    },
    /// Each neuron to the neuron of the same place, one weight for each.
    OneToOne {
        weights: Vec<f32>,
    },
    Fire {
        neurons: Box<Neurons>,
        state: usize,
    },
    /// For each place of a window its cells, `width` of them for each output; padding repeats a cell.
    Pool {
        cells: Vec<u32>,
        width: usize,
    },
    /// Runs that are copied: operand, where from, length.
    Concatenate {
        runs: Vec<(usize, usize, usize)>,
    },
    /// Windows of two by two in steps of two, rows of so many windows.
    PoolFours {
        width: usize,
    },
    Decode {
        readout: Readout,
        output: usize,
    },
}

/// Which outputs of a convolution each place of the source map meets, by which tap of the kernel.
#[derive(Debug)]
pub(super) struct Meetings {
    /// Places of a plane of the source, and of the target.
    pub(super) planes: [usize; 2],
    pub(super) taps: usize,
    /// Where the meetings of each place begin, and the end.
    pub(super) starts: Vec<u32>,
    /// Tap and target place.
    pub(super) met: Vec<(u32, u32)>,
}

impl Meetings {
    pub(super) fn of(&self, place: usize) -> &[(u32, u32)] {
        &self.met[self.starts[place] as usize..self.starts[place + 1] as usize]
    }
}

#[derive(Debug)]
pub(super) struct Plan {
    pub(super) isa: Isa,
    /// Timesteps that are run at once.
    pub(super) chunk: usize,
    pub(super) steps: Vec<Step>,
    /// Samples that are run at once, at most.
    pub(super) together: usize,
    /// The step from which on all samples are run through a step before the next: those before have few
    /// weights and much to send, those behind have more weights than the caches hold.
    pub(super) joined: usize,
    /// Neurons of each output.
    pub(super) outputs: Vec<usize>,
    pub(super) populations: usize,
    /// Entries of the lists of a convolution, and their number.
    pub(super) lists: [usize; 2],
}

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
