//! The passes: each changes a graph in one way, and is one file.

pub mod graded;

use snnc_ir::Graph;

use crate::Error;

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

/// Is shown the graph after each pass, with the pass's name.
pub type AfterPass = Box<dyn FnMut(&str, &Graph)>;

/// What passes know beside the graph, and what they report.
#[derive(Default)]
pub struct Context {
    /// What the user should know, each with the node concerned.
    pub notes: Vec<(String, String)>,
    /// Called after each pass.
    pub after_pass: Option<AfterPass>,
}
