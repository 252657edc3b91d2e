//! The targets of `snnc`: for each a way to say a spiking network in the target's own arithmetic,
//! to write it in the target's own files, and to read such files back.
//!
//! A [`Target`] takes the canonical form of a network, a verified spiking graph of one timestep:
//!
//! * one [`Encoder`](snnc_ir::Encoder) for each input, presenting codes once;
//! * [`Projection`](snnc_ir::Projection)s with exact accumulators and the quantised weights
//!   (an average pool is a depthwise convolution with weights 1; flattening is implied by a dense
//!   projection, in (C, H, W) order);
//! * populations of coding `graded` whose neuron is `graded` or `thresholds`; a residual addition
//!   is a population with several projections, each with its gain;
//! * `max-pool` nodes on payloads; and for each output a population of neuron `accumulate` with a
//!   decoder.
//!
//! A target never sees ONNX: messages name the ONNX nodes by the nodes' origins.

pub mod akida;
mod capabilities;
pub mod format;
pub mod loihi;
pub mod nir;
mod options;
pub mod reference;
mod registry;
pub mod spleat;
mod target;
pub mod trained;

pub use capabilities::{Capabilities, Trained};
pub use options::{TargetOption, Values};
pub use registry::{TARGETS, target, without_limits};
pub use target::{
    Artefact, Clocks, EmitError, FAULT, File, FileSource, FitRow, LayerMemories, Legalised,
    MemoryFiles, MemorySize, Note, PipelineClocks, ReadError, Target, TargetOptions, Violation,
};
