//! `certificate.json`: the certificate, and what others need to check it.
//!
//! Format 2 is documented in `docs/certificate.md` and, as a JSON schema, in
//! `docs/certificate.schema.json`; `checker/` is an independent program that reads it. Hints make checking
//! cheap and are never to be trusted.

use std::collections::BTreeMap;

use serde::Serialize;
use snnc_ir::Graph;

use super::Certificate;
use super::ties::{Tie, ties};
use crate::listed::{FileRow, Source};
use crate::passes::graded::Conversion;
use crate::reference::Semantics;

/// The value of `format`.
pub const FORMAT: &str = "snnc-certificate";
/// The value of `version`.
pub const VERSION: u32 = 2;

/// The content of `certificate.json`.
#[derive(Debug, Serialize)]
pub struct Published<'a> {
    format: &'static str,
    version: u32,
    /// The arithmetic that the model is read with: `ort-f32`, `exact`, `multiply-shift` or, for networks
    /// that spike already, `model`.
    rule: &'static str,
    model: &'a Source,
    /// Every file of the artefact but the certificate and the manifest.
    files: &'a [FileRow],
    #[serde(flatten)]
    certificate: &'a Certificate,
    /// Accumulators at which the rule and exact arithmetic give different payloads.
    ties: Vec<Tie>,
    /// By population.
    hints: BTreeMap<&'a str, Hints>,
}

/// What helps to find a population's counterpart in the model.
#[derive(Debug, Serialize)]
struct Hints {
    /// The ONNX nodes whose work it does.
    nodes: Vec<String>,
}

impl<'a> Published<'a> {
    /// The certificate of a network that lies in `files` and came from `model`.
    pub fn new(certificate: &'a Certificate, model: &'a Source, files: &'a [FileRow]) -> Self {
        Published {
            format: FORMAT,
            version: VERSION,
            rule: rule(&certificate.reference),
            model,
            files,
            certificate,
            ties: Vec::new(),
            hints: BTreeMap::new(),
        }
    }

    /// Adds the hints that the network's origins give.
    #[must_use]
    pub fn with_hints(self, network: &Graph) -> Self {
        let hints = |name: &'a str| {
            let id = network.find(name)?;
            let nodes = network[id].origins.iter().map(|o| o.node.clone()).collect();
            Some((name, Hints { nodes }))
        };
        let names = self.certificate.populations.iter().map(|p| p.population.as_str());
        Published { hints: names.filter_map(hints).collect(), ..self }
    }

    /// Adds the ties of the quantised network.
    #[must_use]
    pub fn with_ties(self, quantised: &Graph, canonical: &Conversion) -> Self {
        let ties = if self.rule == "ort-f32" { ties(quantised, canonical) } else { Vec::new() };
        Published { ties, ..self }
    }

    /// The file's text.
    ///
    /// # Errors
    /// Never in practice: every part has a JSON form.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }
}

/// The name of the integer rule of a reading of the model.
fn rule(reference: &str) -> &'static str {
    match Semantics::from_name(reference) {
        Some(Semantics::Ort) => "ort-f32",
        Some(Semantics::Real) => "exact",
        Some(Semantics::Fixed) => "multiply-shift",
        None => "model",
    }
}
