//! Networks that spike already, in single precision: from the model file to the targets that hold
//! such neurons, and a clear word from those that do not.

use std::collections::BTreeMap;
use std::path::Path;

use snnc_backends::{File, MemoryFiles, Note, Target, TargetOptions};
use snnc_ir::{Graph, SpikingOp, Verified, verify};

use crate::artefact::{
    CERTIFICATE, CertificateSummary, FileRow, InputRow, MANIFEST, Manifest, OutputRow,
    PopulationRow, Source, same_network, sha256_hex,
};
use crate::certificate::{Certificate, PopulationCertificate, Verdict};
use crate::evaluate::latency;
use crate::import::{self, ImportOptions, spiking};
use crate::{Error, Problem};

/// A spiking network and the file it came from.
pub struct SpikingSource {
    /// The file.
    pub source: Source,
    /// The network, verified.
    pub network: Verified,
    /// Notes of import.
    pub notes: Vec<Note>,
}

/// The network of an ONNX model whose neurons are written out; `None` for every other model.
///
/// # Errors
/// When the file cannot be imported, or holds neurons that are none.
pub fn source(path: &Path, options: &ImportOptions) -> Result<Option<SpikingSource>, Error> {
    let imported = import::load(path, options)?;
    if !spiking::seems_spiking(&imported.graph) {
        return Ok(None);
    }
    let network = spiking::recognise(&imported.graph)?;
    let network = verify(network).map_err(|errors| {
        let problem = |e: &snnc_ir::VerifyError| Problem::new("network", e.to_string(), "");
        Error::Unsupported(errors.iter().map(problem).collect())
    })?;
    let file = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let source = Source { file, sha256: imported.sha256() };
    let note = |(node, text): &(String, String)| Note { node: node.clone(), text: text.clone() };
    let notes = imported.notes.iter().map(note).collect();
    Ok(Some(SpikingSource { source, network, notes }))
}

/// Targets that hold neurons in single precision.
const TARGETS: [&str; 2] = ["reference", "nir"];

/// Writes the network for all targets: the files of a folder for each.
///
/// # Errors
/// Every population that a target has no neurons for, all targets at once.
pub fn compile(
    source: &SpikingSource,
    targets: &[&'static dyn Target],
) -> Result<Vec<(String, Vec<File>)>, Error> {
    let mut problems = Vec::new();
    for target in targets.iter().filter(|t| !TARGETS.contains(&t.name())) {
        problems.extend(refused(&source.network, target.name()));
    }
    if !problems.is_empty() {
        return Err(Error::Unsupported(problems));
    }
    targets.iter().map(|t| Ok((t.name().to_owned(), files(source, *t)?))).collect()
}

/// Why a target of integer neurons cannot hold the network.
fn refused(network: &Graph, target: &str) -> Vec<Problem> {
    let population = |id| match network[id].as_spiking() {
        Some(SpikingOp::Population(_)) => {
            let place = format!("{} on {target}", network[id].describe());
            let reason = "integrates in single precision with weights that are not quantised; the target has integer neurons";
            let remedy = "compile for reference, or train the same layers as a quantised ReLU network (QDQ), of which snnc makes spikes";
            Some(Problem::new(place, reason, remedy))
        }
        _ => None,
    };
    network.order().unwrap_or_default().into_iter().filter_map(population).collect()
}

fn fault(target: &dyn Target, reason: &str) -> Error {
    let remedy = "this is a fault of snnc: report it with the model";
    Error::Unsupported(vec![Problem::new(target.name(), reason, remedy)])
}

fn files(source: &SpikingSource, target: &'static dyn Target) -> Result<Vec<File>, Error> {
    let options = TargetOptions::default();
    let legalised = target.legalise(&source.network, &options).map_err(|violations| {
        let problem = |v: snnc_backends::Violation| {
            Problem::new(format!("{} on {}", v.node, target.name()), v.reason, v.remedy)
        };
        Error::Unsupported(violations.into_iter().map(problem).collect())
    })?;
    let emitted = target.emit(&legalised, &options).map_err(|e| fault(target, &e.to_string()))?;
    let entry = emitted.files.first().map(|f| f.path.clone()).unwrap_or_default();
    let back = target
        .read(&MemoryFiles::from(&emitted), &entry)
        .map_err(|e| fault(target, &format!("what was written cannot be read: {e}")))?;
    same_network(&back, &legalised.network)
        .map_err(|e| fault(target, &format!("what was written is another network: {e}")))?;
    let certificate = certificate(&back);
    let mut files = emitted.files;
    let json = serde_json::to_string_pretty(&certificate);
    files.push(File::new(CERTIFICATE, json.map_err(|e| fault(target, &e.to_string()))? + "\n"));
    let row = |f: &File| FileRow {
        path: f.path.clone(),
        bytes: f.content.len() as u64,
        sha256: sha256_hex(&f.content),
    };
    let manifest = Manifest {
        format: "snnc-artefact".into(),
        version: 1,
        compiler: env!("CARGO_PKG_VERSION").into(),
        target: target.name().into(),
        source: source.source.clone(),
        options: BTreeMap::from([("code".to_owned(), "as trained".to_owned())]),
        timesteps: back.timing.timesteps,
        latency: latency(&back),
        schedule: back.timing.schedule,
        inputs: InputRow::all(&back, &[], (1.0, 0.0)),
        outputs: OutputRow::all(&back),
        populations: PopulationRow::all(&back),
        entry,
        files: files.iter().map(row).collect(),
        fit: legalised.fit,
        certificate: CertificateSummary::of(&certificate),
        energy_nj: BTreeMap::new(),
        notes: source.notes.iter().cloned().chain(legalised.notes).collect(),
    };
    let yaml = serde_yaml::to_string(&manifest).map_err(|e| fault(target, &e.to_string()))?;
    files.insert(0, File::new(MANIFEST, yaml));
    Ok(files)
}

/// There are no integers to be proved equal: formulas are the model's, sums may round otherwise.
fn certificate(network: &Graph) -> Certificate {
    let row = |id: snnc_ir::NodeId| match network[id].as_spiking() {
        Some(SpikingOp::Population(_)) => Some(PopulationCertificate {
            population: network[id].name.clone(),
            node: network[id].describe(),
            verdict: Verdict::Approximate,
            method: "the model's formula in single precision; sums may be rounded in another order"
                .into(),
            thresholds: 0,
            reachable: 0,
            differing: 0,
            differences: Vec::new(),
            bound: None,
            measured: None,
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
