//! What kind of network an ONNX model is.

use std::path::Path;

use snnc_backends::Note;
use snnc_ir::Graph;
use snnc_ir::query::is_unquantised;

use super::SpikingModel;
use crate::artefact::Source;
use crate::calibration;
use crate::import::spiking::{self, compares_reals};
use crate::import::{FileDigest, Imported};
use crate::passes::{self, Context, Means, tail};
use crate::{Error, Problem};

/// An ONNX model.
pub enum Model {
    /// It spikes already: its neurons are written out in arithmetic.
    Spiking(Box<SpikingModel>),
    /// A network in tensor operators.
    Tensor(Box<TensorModel>),
}

/// What values a network in tensor operators computes with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// On codes.
    Quantised,
    /// On reals, at least in part, that calibration has to quantise.
    Float,
    /// On reals that are compared, as spiking neurons do, but no spiking network was found: why not. Such a
    /// network runs as it stands, and has no form on codes.
    Comparing(Vec<Problem>),
}

/// A network in tensor operators, in canonical form.
#[derive(Clone, Debug)]
pub struct TensorModel {
    /// Name of the file, without folders.
    pub file: String,
    /// The file's digest.
    pub digest: FileDigest,
    /// Name and version of the tool that wrote the file; may be empty.
    pub producer: String,
    /// Operator sets that the file imports: domain and version.
    pub opsets: Vec<(String, i64)>,
    /// The network.
    pub canonical: Graph,
    /// What its values are.
    pub kind: Kind,
    /// Notes of import and of the passes up to the canonical form.
    pub notes: Vec<(String, String)>,
}

impl Model {
    /// Decides what an imported model is. Passes report to `context`; their notes are the model's.
    ///
    /// # Errors
    /// What canonicalisation refuses, and constants of spiking neurons that are not finite.
    pub(super) fn of(
        imported: Imported,
        path: &Path,
        context: &mut Context,
    ) -> Result<Model, Error> {
        let file = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let Imported { graph, notes, opsets, producer, digest } = imported;
        context.show(passes::IMPORT.name, &graph, true);
        let mut refusal = Vec::new();
        if spiking::seems_spiking(&graph) {
            match spiking::recognise(&graph) {
                Ok(recognised) => {
                    let network = spiking::verified(recognised.network.clone())?;
                    context.show(passes::RECOGNISE.name, &network, true);
                    let source = Source { file, sha256: digest.sha256().to_owned() };
                    let note = |(node, text): &(String, String)| Note {
                        node: node.clone(),
                        text: text.clone(),
                    };
                    let notes = notes.iter().chain(&recognised.notes).map(note).collect();
                    let model = Some((graph, recognised));
                    let found = SpikingModel { source, producer, opsets, network, notes, model };
                    return Ok(Model::Spiking(Box::new(found)));
                }
                Err(Error::Unsupported(problems)) => refusal = problems,
                Err(other) => return Err(other),
            }
        }
        let before = std::mem::replace(&mut context.notes, notes);
        let canonical = passes::canonicalise(graph, context);
        let notes = std::mem::replace(&mut context.notes, before);
        let canonical = canonical?;
        let kind = kind(&canonical, refusal);
        let found = TensorModel { file, digest, producer, opsets, canonical, kind, notes };
        Ok(Model::Tensor(Box::new(found)))
    }

    /// The spiking network, if it is one.
    pub fn into_spiking(self) -> Option<SpikingModel> {
        match self {
            Model::Spiking(model) => Some(*model),
            Model::Tensor(_) => None,
        }
    }
}

/// What a canonical network computes with; `refusal` says why no neurons were recognised in it.
fn kind(canonical: &Graph, refusal: Vec<Problem>) -> Kind {
    if !is_unquantised(canonical) && !calibration::is_partly_quantised(canonical) {
        return Kind::Quantised;
    }
    // What the host computes behind the last layer may compare, and so do activations that the canonical
    // form has a word for.
    let host = tail::of_reals(canonical);
    let compares = |id| compares_reals(canonical, id) && !host.contains(&id);
    match canonical.ids().any(compares) {
        true if !refusal.is_empty() => Kind::Comparing(refusal),
        _ => Kind::Float,
    }
}

impl TensorModel {
    /// Name of the file and digest of its content.
    pub fn source(&self) -> Source {
        Source { file: self.file.clone(), sha256: self.digest.sha256().to_owned() }
    }

    /// Whether it is unquantised, at least in part.
    pub fn is_float(&self) -> bool {
        self.kind != Kind::Quantised
    }

    /// Why it has no form on codes, if that is known already.
    ///
    /// # Errors
    /// What was not recognised.
    pub fn convertible(&self) -> Result<(), Error> {
        match &self.kind {
            Kind::Comparing(problems) => Err(Error::Unsupported(problems.clone())),
            Kind::Quantised | Kind::Float => Ok(()),
        }
    }

    /// The network that is run for the model itself: on integer codes where all of it is quantised, else as
    /// ONNX states it. Means are in single precision, as ONNX Runtime's.
    pub fn runnable(self) -> Graph {
        let mut context = Context { means: Means::Single, ..Context::default() };
        passes::quantised(self.canonical.clone(), &mut context).unwrap_or(self.canonical)
    }
}
