//! Runs tensor graphs: the networks as ONNX states them, and the same on integer codes.
//!
//! This is the reference that everything else is measured against, so every operator is written
//! the way its definition reads. Reals are `f32`, sums are made one product after another in the
//! order (channel, kernel row, kernel column), and nothing is fused. Sums of products of codes are
//! exact, and a sum that leaves its accumulator is an error that names the node.
//!
//! [`Program`] runs a graph, [`evaluate`] one operator. The batch is the first dimension of the
//! graph's own types: a graph for one sample runs one sample, and samples can run on as many
//! threads as share the program.

mod codes;
mod convolution;
mod elementwise;
mod error;
mod evaluate;
mod half;
mod layout;
mod movement;
mod packed;
mod pool;
mod product;
mod program;
mod reduce;
mod sums;
mod value;
mod window;

pub use error::RunError;
pub use evaluate::evaluate;
pub use program::{Outcome, Program};
pub use value::{Data, Value};

#[cfg(test)]
mod tests;
