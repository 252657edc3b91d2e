//! The interpreter: runs networks of every stage, by scalar code meant to be obviously right, and in
//! prepared form at the speed of the machine.

pub mod kernels;
pub mod real;
pub mod spiking;
pub mod tensor;
