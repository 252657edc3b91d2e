//! Networks that spike already, in single precision: to the targets that hold such neurons, and a clear
//! word from those that do not.

use std::collections::BTreeMap;

use snnc_backends::{Legalised, Note, TARGETS, Target, TargetOptions, Trained as Takes};
use snnc_ir::{Graph, NodeId, Readout, SpikingOp, Verified};

use super::Compiled;
use super::manifest::of_spikes;
use super::stages::{Lowered, ReadBack, Seen, Subject, drive};
use crate::artefact::{InputRow, Manifest, OutputRow, Showing};
use crate::certificate::{Certificate, Measured, PopulationCertificate, Published, Verdict};
use crate::frontend::SpikingModel;
use crate::spiking_integers::{self, Run};
use crate::{Error, Problem, spiking_check};

/// What the manifest calls the coding of networks that spike already.
pub const AS_TRAINED: &str = "as trained";

/// A network that was trained to spike, held against the model's own operators, and bounded by data.
pub struct Trained<'a> {
    model: &'a SpikingModel,
    run: &'a Run,
    /// The network with the range of its input and its timesteps.
    bounded: Verified,
    /// What was found when it was held against the model.
    checked: Vec<Note>,
    /// What was taken for the range of its input and its timesteps.
    taken: Vec<Note>,
}

impl<'a> Trained<'a> {
    /// Compares the network with the model's operators, and takes the range of its input from data.
    ///
    /// # Errors
    /// When spikes differ, or the data does not fit the network.
    pub fn new(model: &'a SpikingModel, run: &'a Run) -> Result<Self, Error> {
        let (bounded, taken) = spiking_integers::bounded(&model.network, run)?;
        let checked = check(model, run)?.into_iter().collect();
        Ok(Trained { model, run, bounded, checked, taken })
    }
}

/// Compiles a network that was trained to spike for one target.
///
/// # Errors
/// When the target cannot hold it, with every population that it has no neurons for.
pub fn compile_trained(
    trained: &Trained<'_>,
    target: &'static dyn Target,
    options: &TargetOptions,
) -> Result<Compiled, Error> {
    drive(&OnTarget { trained, options }, target)
}

/// The network in a target's arithmetic, as [`compile_trained`] emits it.
///
/// # Errors
/// As [`compile_trained`].
pub fn legalised_trained(
    trained: &Trained<'_>,
    target: &'static dyn Target,
    options: &TargetOptions,
) -> Result<Graph, Error> {
    Ok(OnTarget { trained, options }.lowered(target)?.legal.network.into_inner())
}

struct OnTarget<'a> {
    trained: &'a Trained<'a>,
    options: &'a TargetOptions,
}

impl Subject for OnTarget<'_> {
    type Legal = Legalised;

    fn lowered(&self, target: &'static dyn Target) -> Result<Lowered<Legalised>, Error> {
        let model = self.trained.model;
        let network = match target.capabilities().trained {
            Takes::InSinglePrecision => &model.network,
            Takes::OnIntegers => &self.trained.bounded,
            Takes::No => return Err(Error::Unsupported(refused(&model.network, target.name()))),
        };
        let legalised = target.legalise(network, self.options);
        let legal = legalised.map_err(|v| Error::violations(target.name(), v))?;
        Ok(Lowered { target, options: self.options.clone(), legal })
    }

    fn manifest(&self, lowered: &Lowered<Legalised>, entry: String) -> Manifest {
        let Trained { model, run, checked, taken, .. } = self.trained;
        let network: &Graph = &lowered.legal.network;
        let inputs = InputRow::all(network, &[], run.scaling());
        // A network in single precision takes any input.
        let taken = if network.is_float() { &[] } else { taken.as_slice() };
        Manifest {
            options: BTreeMap::from([("code".to_owned(), AS_TRAINED.to_owned())]),
            notes: model.notes.iter().chain(taken).chain(checked).cloned().collect(),
            ..of_spikes(network, lowered.target, (model.source.clone(), entry), inputs)
        }
    }

    fn seen(&self, read: &ReadBack<Legalised>) -> Result<Seen, Error> {
        let Trained { model, run, .. } = self.trained;
        let measured = match read.network.is_float() {
            true => BTreeMap::new(),
            false => spiking_integers::compared(&model.network, &read.network, run)?,
        };
        let certificate = certificate(&read.lowered.legal, &measured);
        Ok(Seen { certificate, evaluation: None, measured })
    }

    fn complete(&self, read: &mut ReadBack<Legalised>, _: &Seen) -> Result<(), Error> {
        read.manifest.outputs = output_rows(self.trained.model, &read.network);
        Ok(())
    }

    fn published<'a>(&self, published: Published<'a>, network: &Graph) -> Published<'a> {
        published.with_hints(network)
    }
}

/// Holds the network against the model's own operators.
fn check(source: &SpikingModel, run: &Run) -> Result<Option<Note>, Error> {
    let Some((model, recognised)) = &source.model else { return Ok(None) };
    let checked = spiking_check::check(model, recognised, &run.checked(&source.network))?;
    let text = match checked {
        None => "the model's operators could not be run next to the neurons that were recognised"
            .to_owned(),
        Some(c) => {
            let ties = match c.ties.as_slice() {
                [] => String::new(),
                ties => format!(", but where a sum's rounding decides: {}", ties.join("; ")),
            };
            format!(
                "{} spikes or silences of {} samples are those of the model's own operators{ties}",
                c.compared, c.samples
            )
        }
    };
    Ok(Some(Note { node: "network".into(), text }))
}

/// Why a target of other neurons cannot hold the network.
fn refused(network: &Graph, target: &str) -> Vec<Problem> {
    let others = TARGETS.iter().filter(|t| t.capabilities().trained != Takes::No);
    let others: Vec<&str> = others.map(|t| t.name()).collect();
    let remedy = format!(
        "compile for {}, or train the same layers as a quantised ReLU network (QDQ)",
        others.join(", ")
    );
    let population = |id| match network[id].as_spiking() {
        Some(SpikingOp::Population(_)) => {
            let place = format!("{} on {target}", network[id].describe());
            let reason = "integrates over time, which the target's neurons do not";
            Some(Problem::new(place, reason, &remedy))
        }
        _ => None,
    };
    network.order().unwrap_or_default().into_iter().filter_map(population).collect()
}

/// The outputs as the model shows them.
fn output_rows(source: &SpikingModel, back: &Graph) -> Vec<OutputRow> {
    let mut rows = OutputRow::all(back, None);
    let decoder = |graph: &Graph, position: usize| {
        let id = graph.outputs().get(position).copied()?;
        match graph[id].as_spiking() {
            Some(SpikingOp::Decoder(d)) => Some((d.clone(), graph.source(id, 0)?)),
            _ => None,
        }
    };
    for (position, (row, showing)) in rows.iter_mut().zip(source.showing()).enumerate() {
        let (Some((own, _)), Some((emitted, from))) =
            (decoder(&source.network, position), decoder(back, position))
        else {
            continue;
        };
        // A file of spikes has no word for the unit of their count.
        if emitted.scale == [1.0] {
            row.scale.clone_from(&own.scale);
        }
        // A read-out adds up what the model shows in each timestep.
        let adds = matches!(back[from].as_spiking(),
            Some(SpikingOp::Population(p)) if !p.neuron.fires());
        row.showing = if adds && own.readout == Readout::Sum { Showing::Once } else { showing };
    }
    rows
}

/// Nothing is proved: reals have no integers to be equal to, and integers are not the reals that were
/// trained. What was lost is said, and how far spikes differ on data.
fn certificate(legalised: &Legalised, measured: &BTreeMap<String, Measured>) -> Certificate {
    let network = &legalised.network;
    let method = |describes: &str| match network.is_float() {
        true => "the model's formula in float32; sums may be rounded in another order".into(),
        false => {
            let note = legalised.notes.iter().find(|n| n.node == describes);
            note.map_or_else(|| "on integers".to_owned(), |n| n.text.clone())
        }
    };
    let row = |id: NodeId| {
        let (name, node) = (&network[id].name, network[id].describe());
        let method = method(&node);
        let row = PopulationCertificate::new(name, node, Verdict::Approximate, method);
        let measured = measured.get(name).copied();
        matches!(network[id].as_spiking(), Some(SpikingOp::Population(_)))
            .then_some(PopulationCertificate { measured, ..row })
    };
    Certificate {
        verdict: Verdict::Approximate,
        reference: "model".into(),
        populations: network.order().unwrap_or_default().into_iter().filter_map(row).collect(),
        obligations: Vec::new(),
    }
}
