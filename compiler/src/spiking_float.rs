//! Networks that spike already, in single precision: from the model file to the targets that hold
//! such neurons, and a clear word from those that do not.

use std::collections::BTreeMap;

use snnc_backends::{File, Legalised, MemoryFiles, Note, TARGETS, Target, TargetOptions, Trained};
use snnc_ir::{Graph, Readout, SpikingOp, Verified};

use crate::artefact::{
    CERTIFICATE, CertificateSummary, FileRow, InputRow, MANIFEST, Manifest, OutputRow,
    PopulationRow, Showing, same_network,
};
use crate::certificate::{Certificate, Measured, PopulationCertificate, Published, Verdict};
use crate::evaluate::latency;
use crate::frontend::SpikingModel;
use crate::spiking_integers::{self, Run};
use crate::{Error, Problem, spiking_check};

/// Holds the network against the model's own operators.
fn check(source: &SpikingModel, run: &Run) -> Result<Option<Note>, Error> {
    let Some((model, recognised)) = &source.model else { return Ok(None) };
    let checked = spiking_check::check(model, recognised, &run.checked(&source.network))?;
    let text = match checked {
        None => "the model's operators could not be run beside the neurons that were recognised"
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

/// What the manifest calls the coding of networks that spike already.
pub const AS_TRAINED: &str = "as trained";

/// A target's name, and what it got or why it did not.
pub type Made = (String, Result<Written, Error>);

/// What one target got.
pub struct Written {
    /// The files of its folder.
    pub files: Vec<File>,
    /// What it says.
    pub manifest: Manifest,
    /// How its spikes differ from the model's on the data, by population.
    pub measured: BTreeMap<String, Measured>,
}

/// The network for every target, or every population that a target has no neurons for.
///
/// # Errors
/// When the data does not fit the network.
pub fn compile(
    source: &SpikingModel,
    targets: &[(&'static dyn Target, TargetOptions)],
    run: &Run,
) -> Result<Vec<Made>, Error> {
    let (bounded, mut notes) = spiking_integers::bounded(&source.network, run)?;
    let checked: Vec<Note> = check(source, run)?.into_iter().collect();
    notes.extend(checked.iter().cloned());
    let mut made = Vec::new();
    for (target, options) in targets {
        let own = target.name().to_owned();
        let (network, more): (&Verified, &[Note]) = match target.capabilities().trained {
            Trained::InSinglePrecision => (&source.network, &checked),
            Trained::OnIntegers => (&bounded, &notes),
            Trained::No => {
                let reasons = refused(&source.network, target.name());
                made.push((own, Err(Error::Unsupported(reasons))));
                continue;
            }
        };
        match files(source, (network, more), (*target, options), run) {
            Err(error @ Error::Input(_)) => return Err(error),
            other => made.push((own, other)),
        }
    }
    Ok(made)
}

/// Why a target of other neurons cannot hold the network.
fn refused(network: &Graph, target: &str) -> Vec<Problem> {
    let others = TARGETS.iter().filter(|t| t.capabilities().trained != Trained::No);
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

fn fault(target: &dyn Target, reason: &str) -> Error {
    Error::internal(target.name(), reason)
}

fn files(
    source: &SpikingModel,
    (network, notes): (&Verified, &[Note]),
    (target, options): (&'static dyn Target, &TargetOptions),
    run: &Run,
) -> Result<Written, Error> {
    let legalised = target
        .legalise(network, options)
        .map_err(|violations| Error::violations(target.name(), violations))?;
    let emitted = target.emit(&legalised, options).map_err(|e| fault(target, &e.to_string()))?;
    let entry = emitted.files.first().map(|f| f.path.clone()).unwrap_or_default();
    let back = target
        .read(&MemoryFiles::from(&emitted), &entry)
        .map_err(|e| fault(target, &format!("what was written cannot be read: {e}")))?;
    same_network(&back, &legalised.network)
        .map_err(|e| fault(target, &format!("what was written is another network: {e}")))?;
    let measured = match legalised.network.is_float() {
        true => BTreeMap::new(),
        false => spiking_integers::compared(&source.network, &legalised.network, run)?,
    };
    let certificate = certificate(&legalised, &measured);
    let mut files = emitted.files;
    let outputs = output_rows(source, &back);
    let rows: Vec<FileRow> = files.iter().map(FileRow::of).collect();
    let json = Published::new(&certificate, &source.source, &rows, &back).to_json();
    files.push(File::new(CERTIFICATE, json.map_err(|e| fault(target, &e.to_string()))?));
    let manifest = Manifest {
        format: "snnc-artefact".into(),
        version: 1,
        compiler: env!("CARGO_PKG_VERSION").into(),
        target: target.name().into(),
        source: source.source.clone(),
        options: BTreeMap::from([("code".to_owned(), AS_TRAINED.to_owned())]),
        timesteps: back.timing.timesteps,
        latency: latency(&back),
        schedule: back.timing.schedule,
        inputs: InputRow::all(&back, &[], run.scaling()),
        outputs,
        host: None,
        populations: PopulationRow::all(&back),
        entry,
        files: files.iter().map(FileRow::of).collect(),
        fit: legalised.fit,
        certificate: CertificateSummary::of(&certificate),
        energy_nj: BTreeMap::new(),
        notes: source.notes.iter().chain(notes).cloned().chain(legalised.notes).collect(),
    };
    let yaml = serde_yaml::to_string(&manifest).map_err(|e| fault(target, &e.to_string()))?;
    files.insert(0, File::new(MANIFEST, yaml));
    Ok(Written { files, manifest, measured })
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
        true => {
            "the model's formula in single precision; sums may be rounded in another order".into()
        }
        false => {
            let note = legalised.notes.iter().find(|n| n.node == describes);
            note.map_or_else(|| "on integers".to_owned(), |n| n.text.clone())
        }
    };
    let row = |id: snnc_ir::NodeId| match network[id].as_spiking() {
        Some(SpikingOp::Population(_)) => Some(PopulationCertificate {
            population: network[id].name.clone(),
            node: network[id].describe(),
            verdict: Verdict::Approximate,
            method: method(&network[id].describe()),
            thresholds: 0,
            reachable: 0,
            differing: 0,
            differences: Vec::new(),
            witness: None,
            mean_ties: 0,
            bound: None,
            measured: measured.get(&network[id].name).copied(),
        }),
        _ => None,
    };
    Certificate {
        verdict: Verdict::Approximate,
        reference: "model".into(),
        populations: network.order().unwrap_or_default().into_iter().filter_map(row).collect(),
        obligations: Vec::new(),
    }
}
