//! The certificate: where an emitted network equals the quantised ONNX network for all inputs, and
//! where it does not, by how much and how often.
//!
//! A quantised neuron is a monotone staircase of its integer accumulator, so two neurons are equal
//! for all inputs exactly if their thresholds are, on the accumulators that can occur. The reference's
//! thresholds come from the f32 formula itself by bisection, the emitted neuron's from its own
//! parameters. A statement about one population assumes equal payloads from the populations before it;
//! where all are proved, so is the network.

mod borders;
mod compare;
mod copies;
mod deviation;
mod frame;
mod inputs;
mod joins;
mod labels;
mod lattice;
mod means;
mod measure;
mod obligations;
mod published;
mod staircase;
mod ties;
mod unevenness;
mod unit;

use serde::{Deserialize, Serialize};

pub use compare::{certify, certify_against};
pub use labels::{Label, Labels};
pub use measure::{Comparison, Measured, compare_sample};
pub use published::Published;
pub use unevenness::unevenness;

use crate::reference::Semantics;

/// What is known of a population, from best to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Equal to the reference for every input.
    Proved,
    /// Equal but for the accumulator values that are listed.
    Differs,
    /// Not comparable by thresholds; the error is bounded or measured.
    Approximate,
    /// An obligation does not hold, or the network is another one.
    Failed,
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Verdict::Proved => "proved",
            Verdict::Differs => "differs",
            Verdict::Approximate => "approximate",
            Verdict::Failed => "failed",
        })
    }
}

/// A statement on every population of one artefact.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Certificate {
    /// The worst verdict of all.
    pub verdict: Verdict,
    /// The semantics of the reference: `ort`, `real` or `fixed`.
    pub reference: String,
    /// One statement for each population, in order of computation.
    pub populations: Vec<PopulationCertificate>,
    /// What must hold besides the thresholds.
    pub obligations: Vec<Obligation>,
}

/// A statement on one population.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PopulationCertificate {
    /// Name of the population.
    pub population: String,
    /// The ONNX node it stands for.
    pub node: String,
    /// What is known.
    pub verdict: Verdict,
    /// How it was found, or why it cannot be.
    pub method: String,
    /// Number of thresholds that were compared, all channels.
    pub thresholds: u64,
    /// Number of accumulator values that can occur, all channels.
    pub reachable: u64,
    /// Number of those for which the payload differs.
    pub differing: u64,
    /// All of them, as ranges.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<Difference>,
    /// Two accumulators for which payloads differ, where two operands meet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub witness: Option<PairDifference>,
    /// Number of accumulator values at which ONNX Runtime's f32 mean may be rounded to the other side
    /// than the integer rule rounds it, all channels; the statement is on the integer rule.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub mean_ties: u64,
    /// Largest error before rounding, in units of payload, for any input; where one is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bound: Option<f64>,
    /// What was seen on data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measured: Option<Measured>,
}

impl PopulationCertificate {
    /// A statement on a population of that name, which stands for an ONNX node, without any figure.
    pub fn new(
        population: &str,
        node: String,
        verdict: Verdict,
        method: impl Into<String>,
    ) -> Self {
        PopulationCertificate {
            population: population.to_owned(),
            node,
            verdict,
            method: method.into(),
            thresholds: 0,
            reachable: 0,
            differing: 0,
            differences: Vec::new(),
            witness: None,
            mean_ties: 0,
            bound: None,
            measured: None,
        }
    }
}

/// Accumulator values of one channel for which payloads differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// The channel.
    pub channel: usize,
    /// Smallest accumulator, without bias.
    pub from: i64,
    /// Largest accumulator, without bias.
    pub to: i64,
    /// Payload of the reference.
    pub reference: i64,
    /// Payload of the emitted neuron.
    pub emitted: i64,
}

/// Two accumulators of one channel for which payloads differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PairDifference {
    /// The channel.
    pub channel: usize,
    /// Accumulators (or payloads) of both operands, biases of their layers included.
    pub accumulators: [i64; 2],
    /// Payload of the reference.
    pub reference: i64,
    /// Payload of the emitted neuron.
    pub emitted: i64,
}

fn is_zero(x: &u64) -> bool {
    *x == 0
}

/// Something that must hold besides the thresholds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Obligation {
    /// What it is about: a population, or the network.
    pub subject: String,
    /// What must hold.
    pub claim: String,
    /// Whether it does.
    pub holds: bool,
}

impl Certificate {
    /// The network's verdict from its parts.
    fn concluded(
        semantics: Semantics,
        populations: Vec<PopulationCertificate>,
        obligations: Vec<Obligation>,
    ) -> Self {
        let worst = populations.iter().map(|p| p.verdict).max().unwrap_or(Verdict::Failed);
        // What is approximate claims nothing for all inputs that an open obligation could refute.
        let kept = worst == Verdict::Approximate || obligations.iter().all(|o| o.holds);
        let verdict = if kept { worst } else { Verdict::Failed };
        Certificate { verdict, reference: semantics.name().into(), populations, obligations }
    }

    /// The statement on the population of that name.
    pub fn population(&self, name: &str) -> Option<&PopulationCertificate> {
        self.populations.iter().find(|p| p.population == name)
    }

    /// Number of populations with each verdict, best first.
    pub fn counts(&self) -> [(Verdict, usize); 4] {
        [Verdict::Proved, Verdict::Differs, Verdict::Approximate, Verdict::Failed]
            .map(|v| (v, self.populations.iter().filter(|p| p.verdict == v).count()))
    }
}
