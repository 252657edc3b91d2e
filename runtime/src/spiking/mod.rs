//! Runs spiking graphs: integers throughout, one timestep after the other.
//!
//! The scalar interpreter (`scalar`, `projections`; the neurons themselves are in `snnc_ir`) is the specification by example of the
//! spiking IR and favours being obviously right; what is faster (`prepared`) agrees with it bit for bit.

mod boundary;
mod float;
mod network;
mod outcome;
mod prepared;
mod projections;
mod scalar;
mod stream;
#[cfg(test)]
mod tests;

pub use boundary::{Sample, decode, encode};
pub use float::{FloatNetwork, FloatObserver, FloatStream};
pub use network::Network;
pub use outcome::{Activity, Observer, Outcome, Output, RunError, StateObserver};
pub use prepared::{BatchObserver, Form, NodeForm, Shown};
pub use stream::Stream;
