//! The driver: the one way from an opened file to the artefacts of all targets.
//!
//! Its stages are types, and each is made of the one before alone:
//!
//! | stage | type | where |
//! |---|---|---|
//! | imported, canonical | [`TensorModel`](crate::frontend::TensorModel), [`SpikingModel`](crate::frontend::SpikingModel), [`RealFile`](crate::frontend::RealFile) | `frontend` |
//! | quantised, or spiking | [`Model`], [`Trained`] | `model.rs`, `trained.rs` |
//! | coded, legalised | `Lowered` | `codes.rs`, `trained.rs`, `reals.rs` |
//! | emitted | `Emitted` | `stages.rs` |
//! | read back | `ReadBack` | `stages.rs` |
//! | certified | `Certified` | `stages.rs` |
//! | stored | [`Compiled`] | `stages.rs` |
//!
//! What differs between networks on codes, networks that were trained to spike and networks in continuous
//! time is what a `Subject` says; emitting, reading back, certifying and storing are the same code for all.

mod codes;
mod manifest;
mod model;
mod reals;
mod stages;
mod trained;

use std::collections::BTreeMap;

use snnc_backends::{File, Target};
use snnc_ir::{Graph, Verified};

use crate::Error;
use crate::artefact::Manifest;
use crate::certificate::{Certificate, Measured};
use crate::evaluate::Evaluation;

pub use codes::{CompileOptions, coded, compile, legalised};
pub use model::{Model, runnable};
pub use reals::compile_reals;
pub use trained::{AS_TRAINED, Trained, compile_trained, legalised_trained};

/// What was made for one target; `N` is what was read back.
pub struct Compiled<N = Graph> {
    /// The target.
    pub target: &'static dyn Target,
    /// All files of the artefact's folder.
    pub files: Vec<File>,
    /// The manifest among them.
    pub manifest: Manifest,
    /// The certificate among them.
    pub certificate: Certificate,
    /// The network as read back from the files.
    pub network: N,
    /// What the host makes of what the network shows.
    pub host: Option<Graph>,
    /// What was seen on data, if any was given.
    pub evaluation: Option<Evaluation>,
    /// How far the spikes of each population are from those of a model that was trained to spike.
    pub measured: BTreeMap<String, Measured>,
}

impl<N> Compiled<N> {
    /// What is delivered, whatever kind of network it was.
    pub fn without_network(self) -> Compiled<()> {
        let Compiled { target, files, manifest, certificate, host, evaluation, measured, .. } =
            self;
        Compiled { target, files, manifest, certificate, network: (), host, evaluation, measured }
    }
}

fn verified(graph: Graph) -> Result<Verified, Error> {
    snnc_ir::verify(graph).map_err(|errors| Error::unverified("network", &errors))
}
