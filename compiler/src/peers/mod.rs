//! Other programs that run what was emitted, for `snnc verify --peer NAME`.
//!
//! A peer is one file here and one line in [`PEERS`]. Peers that are not installed are skipped, and say
//! so in one line.

mod akida;
mod lava;
mod rtl;

use std::path::Path;

use snnc_ir::Graph;

use crate::data::Dataset;
use crate::evaluate::Runner;
use crate::{Error, Problem};

/// Someone else's tool for a target's files.
pub trait Peer: Sync {
    /// The name that `--peer` takes.
    fn name(&self) -> &'static str;

    /// Names of the targets whose files it takes.
    fn targets(&self) -> &'static [&'static str];

    /// Runs the artefact on the samples, and holds the answers against the interpreter's.
    ///
    /// # Errors
    /// When the peer is there, but cannot be run.
    fn check(&self, case: &Case<'_>) -> Result<Outcome, Error>;
}

/// An artefact, and what it is run on.
pub struct Case<'a> {
    /// The artefact's folder.
    pub folder: &'a Path,
    /// Name of its target.
    pub target: &'a str,
    /// Device for which it was compiled, if it says.
    pub device: Option<&'a str>,
    /// The network in its files.
    pub network: &'a Graph,
    /// The interpreter on that network.
    pub runner: &'a Runner,
    /// Samples, if any were given.
    pub samples: Option<&'a Dataset>,
}

/// What a peer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is not there: why, and how it would be.
    Skipped(String),
    /// It agrees: on what.
    Agrees(String),
    /// It does not agree.
    Differs(Vec<Problem>),
}

/// Every peer.
pub static PEERS: &[&dyn Peer] = &[&akida::Akida, &lava::Lava, &rtl::Rtl];

/// The peer of that name, if it takes the target's files.
///
/// # Errors
/// When there is none of that name, or it is for other targets.
pub fn peer(name: &str, target: &str) -> Result<&'static dyn Peer, Error> {
    let known: Vec<&str> = PEERS.iter().map(|p| p.name()).collect();
    let found = PEERS.iter().copied().find(|p| p.name() == name).ok_or_else(|| {
        let help = format!("there are {}", known.join(", "));
        Error::usage("--peer", format!("there is no peer `{name}`"), help)
    })?;
    if found.targets().contains(&target) {
        return Ok(found);
    }
    let reason = format!("{name} does not take the files of {target}");
    Err(Error::usage("--peer", reason, format!("it takes those of {}", found.targets().join(", "))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_are_found_by_name_and_target() {
        assert!(peer("akida", "akida1").is_ok() && peer("lava", "loihi").is_ok());
        let error = |name, target| peer(name, target).err().map(|e| e.to_string());
        assert!(error("nobody", "akida1").is_some_and(|e| e.contains("akida")));
        assert!(error("akida", "loihi").is_some_and(|e| e.contains("akida1, akida2")));
    }
}
