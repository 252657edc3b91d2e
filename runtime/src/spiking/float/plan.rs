//! What a network of real neurons has become before it runs.

use snnc_ir::{NodeId, Readout};

use super::convolution::{Convolution, Meetings, SpikeConvolution};
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

/// All nodes, and how they are run.
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
