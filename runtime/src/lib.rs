//! The interpreter: runs networks of every stage, scalar and meant to be obviously right.

pub mod real;
pub mod spiking;
pub mod tensor;
