//! The intermediate representation of `snnc`.
//!
//! One [`Graph`] holds a network at every stage of compilation: first what an ONNX file says
//! (tensor operators on real numbers), then the same network on integer codes, and last the
//! spiking network: encoders, projections, populations, and decoders. [`Stage`] says which of the
//! two families of operators may appear, and [`verify`] checks it.
//!
//! # What a graph means
//!
//! * A node has one output, whose [`TensorType`] is stored with it. Edges carry the operand's port
//!   and a delay in timesteps; a cycle is legal only if it holds an edge with a delay.
//! * In the tensor stages a value is an array with the batch as its first dimension. Where a type
//!   has a [`Quantisation`], the array holds integer codes and `real = scale * (code - zero)`.
//! * In the spiking stage a value is the set of spikes of one timestep, as an array of signed
//!   integer *payloads* without a batch dimension; payload 0 is the absence of a spike. A
//!   zero point never appears: the encoder subtracts it, so a silent neuron means the value 0.
//! * Arithmetic in the spiking stage is on integers. What a chip's accumulator does when it
//!   overflows, how it rounds and how it resets are part of the node that does it.
//!
//! This crate does no input or output, starts no thread and has no unsafe code.

pub mod analysis;
pub mod exact;
mod graph;
mod infer;
mod interval;
pub mod neuron;
mod op;
mod per_channel;
mod quantisation;
pub mod query;
mod real;
mod spiking;
mod tensor;
mod text;
mod thresholds;
mod types;
mod verify;
mod wire;

pub use graph::{Graph, GraphError, Node, NodeId, Operand, Origin, Schedule, Stage, Timing};
pub use infer::{InferError, infer_output, infer_tensor_output, window_outputs};
pub use neuron::{
    AccumulateNeuron, AkidaTwoNeuron, BiasPlacement, Comparison, CurrentBasedNeuron, EnergyClass,
    Firing, FloatNeuron, FloatReset, FloatState, GradedNeuron, InnerSum, IntegrateAndFire, Leak,
    LookupNeuron, NegativeSpikes, Neuron, NeuronModel, NeuronState, PeriodicReset, RealState,
    Reset, SigmaDeltaNeuron, SigmaDeltaRole, Staircase, SynapticCurrent, ThresholdTable, TimeTable,
    rounding_shift, saturate,
};
pub use op::{Binary, Op, Pool, PoolKind, SumOrder, TensorOp, Unary, Window};
pub use per_channel::PerChannel;
pub use quantisation::{Folded, Quantisation, Rounding};
pub use real::{
    RealEdge, RealError, RealFiring, RealLeak, RealNetwork, RealNeurons, RealNode, RealOp,
    RealSynapses,
};
pub use spiking::{
    Accumulator, Coding, Connectivity, Decoder, Encoder, Overflow, Population, Presentation,
    Projection, Readout, SpikingOp,
};
pub use tensor::{Tensor, TensorError};
pub use text::{ParseError, PrintOptions};
pub use thresholds::{ThresholdRows, Thresholds};
pub use types::{DType, TensorType};
pub use verify::{Verified, VerifyError, verify};
pub use wire::WireError;
