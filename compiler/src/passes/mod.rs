//! The passes: each changes a graph in one way, and is one file.

mod absorb_affine;
mod absorb_quantise;
mod ascending;
mod cancel_quantise;
mod fold_batch_normalisation;
mod fold_bias;
mod fold_constants;
mod fold_mean;
mod fold_offset;
mod fold_pad;
mod fuse_tables;
pub mod graded;
mod lower_to_codes;
pub(crate) use lower_to_codes::CALIBRATE;
mod make_dense;
mod make_depthwise;
mod merge_clip;
mod pipeline;
mod raise_activations;
mod raise_quantisers;
mod recover_weights;
mod reduce_to_pool;
mod remove_identities;
mod rewrite;
mod share_quantisers;
mod sink_dequantise;
mod steps;
pub(crate) mod tail;
mod turn_input;

use snnc_ir::Graph;

use crate::{Error, watch};

pub use pipeline::{CANONICAL, QUANTISED, canonicalise, quantised, run};
pub use steps::{CALIBRATED, CODE, GRADED, IMPORT, LEGALISE, RECOGNISE, Step, steps};

/// One step of compilation.
pub struct Pass {
    /// The name that `--print-after` takes.
    pub name: &'static str,
    /// One sentence on what it does.
    pub summary: &'static str,
    /// What it does to the network's meaning.
    pub meaning: Meaning,
    /// Changes the graph; whether it changed anything.
    pub run: fn(&mut Graph, &mut Context) -> Result<bool, Error>,
}

/// What a pass does to the values that a network computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// Every output keeps every bit.
    Kept,
    /// Real arithmetic is reordered; integer results stay.
    Reordered,
    /// Values change within an error that the pass reports.
    Approximated,
}

impl Meaning {
    /// The word that users read.
    pub const fn name(self) -> &'static str {
        match self {
            Meaning::Kept => "kept",
            Meaning::Reordered => "reordered",
            Meaning::Approximated => "approximated",
        }
    }
}

/// Is shown the graph after each step, with the step's name and whether it changed anything.
pub type AfterPass = Box<dyn FnMut(&str, &Graph, bool)>;

/// What passes know beside the graph, and what they report.
#[derive(Default)]
pub struct Context {
    /// What the user should know, each with the node concerned.
    pub notes: Vec<(String, String)>,
    /// Called after each pass.
    pub after_pass: Option<AfterPass>,
    /// How means of codes are computed.
    pub means: Means,
}

/// How the mean of codes over a window is computed before it is rounded to a code.
///
/// Both agree but where the exact mean lies halfway between two codes: there single precision falls
/// to either side, as the order of its sum has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Means {
    /// From the integer sum of the codes, as hardware and spikes do.
    #[default]
    Exact,
    /// In single precision, cell by cell, as ONNX Runtime's AveragePool and QLinearAveragePool do.
    Single,
}

impl Context {
    /// Shows the graph to whoever wants to see it after a step.
    pub fn show(&mut self, step: &str, graph: &Graph, changed: bool) {
        watch::point();
        if let Some(after) = &mut self.after_pass {
            after(step, graph, changed);
        }
    }

    /// Tells the user something about a node.
    pub fn note(&mut self, node: impl Into<String>, text: impl Into<String>) {
        self.notes.push((node.into(), text.into()));
    }
}

/// Nodes in order of computation.
pub(crate) fn order(graph: &Graph) -> Result<Vec<snnc_ir::NodeId>, Error> {
    graph.order().map_err(|e| Error::input("graph", e.to_string(), ""))
}
