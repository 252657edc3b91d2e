//! The compiler: from an ONNX file to the files of each target.
//!
//! The way of the data is `import` (ONNX to tensor IR), [`passes`] (to integer codes, then to
//! spikes), the target's legaliser and emitter in `snnc-backends`, and the certificate, which
//! compares what was emitted with what was imported.

pub mod artefact;
pub mod calibration;
pub mod certificate;
pub mod cli;
pub mod codings;
pub mod data;
pub mod difference;
pub mod driver;
pub mod energy;
pub mod evaluate;
pub mod explore;
pub mod export;
pub mod feed;
mod finite;
mod fold;
pub mod forms;
pub mod frontend;
pub mod import;
pub mod inputs;
pub mod inspect;
mod listed;
pub mod loaded;
mod mmap;
mod nearest;
pub mod passes;
pub mod peers;
mod problem;
mod read_files;
pub mod reference;
pub mod report;
pub mod saturation;
mod showing;
pub mod smt;
pub mod spiking_check;
pub mod spiking_integers;
pub mod stream;
mod trial;
pub mod watch;

pub use problem::{Error, Problem};
