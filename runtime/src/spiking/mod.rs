//! Runs spiking graphs: integers throughout, one timestep after the other.
//!
//! This is the specification by example of the spiking IR. It favours being obviously right; what
//! is faster must agree with it bit for bit.

mod boundary;
mod float;
mod network;
mod neurons;
mod projections;
#[cfg(test)]
mod tests;

pub use boundary::{Sample, decode, encode};
pub use float::{FloatNetwork, FloatObserver, FloatStream};
pub use network::{Activity, Network, Observer, Outcome, Output, RunError, StateObserver, Stream};
pub use neurons::StateView;
