//! Networks on codes: coded, legalised, certified against the model.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use snnc_backends::{Legalised, Target, TargetOptions};
use snnc_ir::{Coding, Graph, NodeId, SpikingOp, Verified};

use super::manifest::of_codes;
use super::stages::{Lowered, ReadBack, Seen, Subject, drive, fault};
use super::{Compiled, Model, verified};
use crate::artefact::{HOST, Manifest, QUANTISED, SOURCE};
use crate::certificate::{Certificate, Published, certify_against};
use crate::data::Dataset;
use crate::evaluate::{Evaluation, Runner};
use crate::feed::{Feed, Given};
use crate::passes::graded::{Conversion, ReadOut};
use crate::reference::Semantics;
use crate::{Error, Problem, calibration, codings, export, inputs};

/// Everything that shapes a compilation besides the model and the targets.
#[derive(Clone, Debug, Default)]
pub struct CompileOptions {
    /// The coding; `None` takes each target's default.
    pub coding: Option<Coding>,
    /// Timesteps, initial potentials and thresholds of the coding.
    pub spikes: codings::Options,
    /// What the emitted network is held against.
    pub semantics: Semantics,
    /// Options for targets.
    pub target: TargetOptions,
    /// How integer data becomes the input, as far as the user says it.
    pub input: Given,
    /// Data on which the certificate is checked and lossy networks are measured.
    pub data: Option<PathBuf>,
    /// Data by which thresholds of neurons that lose what exceeds them are chosen; `None` takes
    /// `data`.
    pub thresholds_by: Option<PathBuf>,
    /// Whether the quantised network is written as ONNX too.
    pub emit_onnx: bool,
}

/// The coding that the options name, or the target's own.
fn carried(target: &dyn Target, options: &CompileOptions) -> Result<Coding, Error> {
    let coding = options.coding.unwrap_or(target.codings()[0]);
    if target.codings().contains(&coding) {
        return Ok(coding);
    }
    let known: Vec<&str> = target.codings().iter().map(|c| c.name()).collect();
    let reason = format!("{} does not carry `{coding}`", target.name());
    Err(Error::usage("--coding", reason, format!("it carries {}", known.join(", "))))
}

/// A canonical network in the coding that the options name, or that is the target's own.
///
/// # Errors
/// When the target does not carry the coding, or the network has no form in it.
pub fn coded(
    conversion: &Conversion,
    target: &dyn Target,
    options: &CompileOptions,
) -> Result<Verified, Error> {
    let coding = carried(target, options)?;
    // A target makes its own coding of the canonical form; any other is made before.
    let own = coding == target.codings()[0] && options.spikes == codings::Options::default();
    verified(if own {
        conversion.network.clone()
    } else {
        codings::apply(coding, &options.spikes, conversion)?
    })
}

/// One form of a model in the options' coding.
struct Codes<'a> {
    model: &'a Model,
    conversion: &'a Conversion,
    read_out: ReadOut,
    options: &'a CompileOptions,
}

/// The network in a target's arithmetic, as [`compile`] emits it.
///
/// # Errors
/// When the target cannot hold it; all reasons at once.
pub fn legalised(
    model: &Model,
    target: &'static dyn Target,
    options: &CompileOptions,
) -> Result<Graph, Error> {
    either_way(model, |conversion, read_out| {
        let codes = Codes { model, conversion, read_out, options };
        Ok(codes.lowered(target)?.legal.network.into_inner())
    })
}

/// Compiles a model for one target.
///
/// # Errors
/// When the target cannot hold the network; all reasons at once.
pub fn compile(
    model: &Model,
    target: &'static dyn Target,
    options: &CompileOptions,
) -> Result<Compiled, Error> {
    carried(target, options)?;
    either_way(model, |conversion, read_out| {
        drive(&Codes { model, conversion, read_out, options }, target)
    })
}

/// What `make` makes of the model's conversion; where that is refused for the codes of an output, of the
/// conversion that shows the potentials of which these are made, if that is not refused.
fn either_way<T>(
    model: &Model,
    make: impl Fn(&Conversion, ReadOut) -> Result<T, Error>,
) -> Result<T, Error> {
    let conversion = &model.conversion;
    let refused = match make(conversion, ReadOut::Codes) {
        Err(Error::Unsupported(problems)) => problems,
        other => return other,
    };
    let shown = shown_codes(&conversion.network);
    let of_codes = |p: &Problem| shown.iter().any(|node| p.place.starts_with(node));
    if refused.iter().any(of_codes)
        && let Some(conversion) = model.reading_potentials()?
        && let Ok(made) = make(&conversion, ReadOut::Potentials)
    {
        return Ok(made);
    }
    Err(Error::Unsupported(refused))
}

/// How messages name the populations whose payloads are outputs.
fn shown_codes(network: &Graph) -> Vec<String> {
    let sources = network.outputs().into_iter().filter_map(|output| network.source(output, 0));
    let sends = |&id: &NodeId| match network[id].as_spiking() {
        Some(SpikingOp::Population(p)) => p.neuron.fires(),
        _ => false,
    };
    sources.filter(sends).map(|id| network[id].describe()).collect()
}

impl Subject for Codes<'_> {
    type Legal = Legalised;

    fn lowered(&self, target: &'static dyn Target) -> Result<Lowered<Legalised>, Error> {
        let canonical = coded(self.conversion, target, self.options)?;
        let options = self.with_thresholds(target, &canonical)?;
        let legalised = target.legalise(&canonical, &options);
        let legal = legalised.map_err(|v| Error::violations(target.name(), v))?;
        Ok(Lowered { target, options, legal })
    }

    fn manifest(&self, lowered: &Lowered<Legalised>, entry: String) -> Manifest {
        let own = (lowered.target, &lowered.options);
        let network = (&*lowered.legal.network, entry);
        let mut manifest = of_codes(self.model, &self.conversion.host, own, self.options, network);
        if self.read_out == ReadOut::Potentials {
            manifest.options.insert("read-out".to_owned(), "potentials".to_owned());
        }
        manifest
    }

    fn seen(&self, read: &ReadBack<Legalised>) -> Result<Seen, Error> {
        let (model, network) = (self.model, &read.network);
        let semantics = self.options.semantics;
        let mut certificate =
            certify_against(semantics, &model.quantised, self.conversion, network);
        let evaluation = match &self.options.data {
            Some(path) => Some(self.measured(&mut certificate, read, path)?),
            None => None,
        };
        Ok(Seen { certificate, evaluation, measured: BTreeMap::new() })
    }

    fn complete(&self, read: &mut ReadBack<Legalised>, seen: &Seen) -> Result<(), Error> {
        if let Some(evaluation) = &seen.evaluation {
            read.manifest.energy_nj.clone_from(&evaluation.energy_nj);
            with_activity(read, evaluation)?;
        }
        read.add(SOURCE, self.model.quantised.to_wire());
        if self.options.emit_onnx {
            read.add(QUANTISED, export::onnx(&self.model.quantised)?);
        }
        if read.manifest.host.is_some() {
            read.add(HOST, self.conversion.host.to_wire());
        }
        Ok(())
    }

    fn published<'a>(&self, published: Published<'a>, network: &Graph) -> Published<'a> {
        published.with_hints(network).with_ties(&self.model.quantised, self.conversion)
    }

    fn host(&self) -> Option<Graph> {
        Some(self.conversion.host.clone())
    }
}

impl Codes<'_> {
    /// Fills in what is seen on data.
    fn measured(
        &self,
        certificate: &mut Certificate,
        read: &ReadBack<Legalised>,
        path: &Path,
    ) -> Result<Evaluation, Error> {
        let quantised = &self.model.quantised;
        let ports = inputs::ports(quantised);
        let data = Dataset::load_for(&ports, path, None)?;
        let Feed { takes_reals, scaling, .. } = Feed::of_model(quantised, self.options.input);
        let runner = Runner::spiking(&read.network, Some(quantised), takes_reals, scaling)?;
        let runner = runner.with_ports(ports).with_host(&self.conversion.host)?;
        let evaluation = runner.with_memories(read.memories()?).evaluate(&data, path)?;
        for (name, measured) in &evaluation.measured {
            if let Some(p) = certificate.populations.iter_mut().find(|p| p.population == *name) {
                p.measured = Some(*measured);
            }
        }
        Ok(evaluation)
    }

    /// The target's options, with thresholds for neurons that are reset to 0 where there are such neurons,
    /// data to choose by, and no choice by the user.
    fn with_thresholds(
        &self,
        target: &dyn Target,
        coded: &Verified,
    ) -> Result<TargetOptions, Error> {
        let own = self.options.target.clone();
        let given = self.options.thresholds_by.as_deref().or(self.options.data.as_deref());
        let Some(path) = given.filter(|_| !own.chooses_thresholds()) else { return Ok(own) };
        let with = |factors: &BTreeMap<String, f64>| {
            let rounded = |(name, &f): (&String, &f64)| (name.clone(), four_decimals(f));
            TargetOptions { thresholds: factors.iter().map(rounded).collect(), ..own.clone() }
        };
        let legalise = |factors: &BTreeMap<String, f64>| {
            let legalised = target.legalise(coded, &with(factors));
            let legalised = legalised.map_err(|v| Error::violations(target.name(), v))?;
            Ok(legalised.network.into_inner())
        };
        if self.options.coding.is_none_or(|c| c != Coding::Rate)
            || !calibration::hard_reset::concerns(&legalise(&BTreeMap::new())?)
        {
            return Ok(own);
        }
        let feed = Feed::of_model(&self.model.quantised, self.options.input);
        let canonical = &self.conversion.network;
        let factors = calibration::hard_reset::thresholds(canonical, path, feed, &legalise)?;
        Ok(with(&factors))
    }
}

/// A factor of a threshold to four decimals, which is what a manifest holds of it.
fn four_decimals(factor: f64) -> f64 {
    (factor * 1e4).round() / 1e4
}

/// Replaces the file that says what was seen on data, if the target has one.
fn with_activity(read: &mut ReadBack<Legalised>, evaluation: &Evaluation) -> Result<(), Error> {
    let Lowered { target, options, legal } = &read.lowered;
    let steps = evaluation.timesteps.max(1) as f64;
    let rows = evaluation.per_layer.iter();
    let spikes = rows.map(|r| (r.name.clone(), r.spikes_per_neuron * r.neurons as f64 / steps));
    let file = target.with_activity(&legal.network, options, &spikes.collect());
    if let Some(file) = file.map_err(|e| fault(*target, e))?
        && let Some(old) = read.files.iter_mut().find(|f| f.path == file.path)
    {
        *old = file;
    }
    Ok(())
}
