//! What a manifest says of a network before it is written.

use std::collections::BTreeMap;

use snnc_backends::{Target, TargetOptions};
use snnc_ir::query::latency;
use snnc_ir::{Graph, Leak, Schedule};

use super::{CompileOptions, Model};
use crate::artefact::{
    CertificateSummary, FORMAT, HostRow, InputRow, Manifest, OutputRow, PopulationRow, Source,
};
use crate::certificate::Verdict;
use crate::codings;
use crate::feed::Feed;

/// Of a file that says everything itself.
pub(super) fn plain(target: &dyn Target, source: Source, entry: String) -> Manifest {
    Manifest {
        format: FORMAT.into(),
        version: 1,
        compiler: env!("CARGO_PKG_VERSION").into(),
        target: target.name().into(),
        source,
        options: BTreeMap::new(),
        timesteps: 1,
        latency: 1,
        schedule: Schedule::Streaming,
        inputs: Vec::new(),
        outputs: Vec::new(),
        host: None,
        populations: Vec::new(),
        entry,
        files: Vec::new(),
        fit: Vec::new(),
        certificate: CertificateSummary {
            verdict: Verdict::Approximate,
            proved: 0,
            differs: 0,
            approximate: 0,
            failed: 0,
        },
        energy_nj: BTreeMap::new(),
        notes: Vec::new(),
    }
}

/// Of a spiking network; `inputs` are its rows.
pub(super) fn of_spikes(
    network: &Graph,
    target: &dyn Target,
    (source, entry): (Source, String),
    inputs: Vec<InputRow>,
) -> Manifest {
    Manifest {
        timesteps: network.timing.timesteps,
        latency: latency(network),
        schedule: network.timing.schedule,
        inputs,
        outputs: OutputRow::all(network, None),
        populations: PopulationRow::all(network),
        ..plain(target, source, entry)
    }
}

/// Of a model on codes whose network a target legalised with these options.
pub(super) fn of_codes(
    model: &Model,
    host: &Graph,
    (target, own): (&dyn Target, &TargetOptions),
    options: &CompileOptions,
    (network, entry): (&Graph, String),
) -> Manifest {
    let tensor = &model.tensor;
    let dtype = |i| (tensor[i].name.clone(), tensor[i].ty.dtype.name().to_owned());
    let dtypes: Vec<(String, String)> = tensor.inputs().into_iter().map(dtype).collect();
    let scaling = Feed::of_model(&model.quantised, options.input).scaling;
    let inputs = InputRow::all(network, &dtypes, scaling);
    Manifest {
        options: chosen(model, target, options, own),
        outputs: OutputRow::all(network, Some(host)),
        host: HostRow::of(host, network),
        notes: model.notes.clone(),
        ..of_spikes(network, target, (model.source.clone(), entry), inputs)
    }
}

/// Every choice that shapes the artefact.
fn chosen(
    model: &Model,
    target: &dyn Target,
    options: &CompileOptions,
    own: &TargetOptions,
) -> BTreeMap<String, String> {
    let coding = options.coding.unwrap_or(target.codings()[0]);
    let mut chosen = BTreeMap::from([
        ("code".to_owned(), coding.name().to_owned()),
        ("reference".to_owned(), options.semantics.name().to_owned()),
    ]);
    let mut put = |key: &str, value: String| {
        chosen.insert(key.to_owned(), value);
    };
    if let Some(timesteps) = options.spikes.timesteps {
        put("timesteps", timesteps.to_string());
    }
    if let Some(initial) = options.spikes.initial {
        let half = initial == codings::Initial::HalfThreshold;
        put("initial", if half { "half" } else { "zero" }.to_owned());
    }
    if options.spikes.reset == codings::ResetRule::Hard {
        put("reset", "hard".to_owned());
    }
    if let Leak::Subtracting { shift } = options.spikes.leak {
        put("leak", shift.to_string());
    }
    for (population, thresholds) in &options.spikes.thresholds {
        put(&format!("thresholds.{population}"), format!("{thresholds:?}"));
    }
    if let Some(device) = own.device.clone().or_else(|| target.devices().into_iter().next()) {
        put("device", device);
    }
    if let Some(bits) = own.weight_bits {
        put("weight-bits", bits.to_string());
    }
    if own.force {
        put("force", "true".to_owned());
    }
    if let Some(quantisation) = &model.quantisation {
        chosen.extend(quantisation.recorded());
    }
    let factor = |(name, f): (&String, &f64)| {
        (format!("{}{name}", TargetOptions::THRESHOLD), format!("{f:.4}"))
    };
    chosen.extend(own.thresholds.iter().map(factor));
    chosen.extend(own.extra.iter().map(|(k, v)| (k.clone(), v.clone())));
    chosen
}
