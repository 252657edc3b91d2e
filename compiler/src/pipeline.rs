//! From a model file to the artefacts of all targets.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use snnc_backends::{
    File, LayerMemories, Legalised, MemoryFiles, Note, Target, TargetOptions, Violation,
};
use snnc_ir::{Coding, Graph, Leak, NodeId, SpikingOp, Verified};

use crate::artefact::{
    CERTIFICATE, CertificateSummary, FileRow, HOST, HostRow, InputRow, MANIFEST, Manifest,
    OutputRow, PopulationRow, SOURCE, Source, same_network,
};
use crate::calibration::allocate::{self, Allocation};
use crate::calibration::{self, Cost, QuantiseOptions, Site, Statistics};
use crate::certificate::{Certificate, Published, certify_against};
use crate::codings;
use crate::data::Dataset;
use crate::evaluate::{Evaluation, Runner, latency};
use crate::feed::{Feed, Given};
use crate::frontend::{self, TensorModel, is_float};
use crate::import::{FileDigest, ImportOptions};
use crate::inputs;
use crate::passes::graded::{self, Conversion, ReadOut};
use crate::passes::{self, Context};
use crate::reference::Semantics;
use crate::{Error, Problem};

/// A model at each stage up to the canonical spiking network.
#[derive(Clone, Debug)]
pub struct Model {
    /// File name without folders, and digest of the content.
    pub source: Source,
    /// The network in tensor operators.
    pub tensor: Graph,
    /// The network on integer codes.
    pub quantised: Graph,
    /// The canonical graded network.
    pub conversion: Conversion,
    /// Notes of import and passes.
    pub notes: Vec<Note>,
    /// How it was quantised, where it was on reals.
    pub quantisation: Option<QuantiseOptions>,
}

/// The network that is run for a model file itself: see [`TensorModel::runnable`].
///
/// # Errors
/// What import and canonicalisation refuse; a spiking network.
pub fn runnable(path: &Path, options: &ImportOptions) -> Result<Graph, Error> {
    Ok(tensor_model(path, options, &mut Context::default())?.runnable())
}

/// The network in tensor operators in a model file.
fn tensor_model(
    path: &Path,
    options: &ImportOptions,
    context: &mut Context,
) -> Result<TensorModel, Error> {
    match frontend::model_with(path, options, context)? {
        frontend::Model::Tensor(model) => Ok(*model),
        frontend::Model::Spiking(_) => Err(Error::usage(
            format!("`{}`", path.display()),
            "spikes already",
            "it has no network on codes",
        )),
    }
}

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
}

/// What was made for one target.
pub struct Compiled {
    /// The target.
    pub target: &'static dyn Target,
    /// All files of the artefact's folder.
    pub files: Vec<File>,
    /// The manifest among them.
    pub manifest: Manifest,
    /// The certificate among them.
    pub certificate: Certificate,
    /// The network as read back from the files.
    pub network: Graph,
    /// What the host makes of what the network shows.
    pub host: Graph,
    /// What was seen on data, if any was given.
    pub evaluation: Option<Evaluation>,
}

fn verified(graph: Graph) -> Result<Verified, Error> {
    snnc_ir::verify(graph).map_err(|errors| Error::unverified("network", &errors))
}

/// What a float network needs to become a quantised one.
#[derive(Clone, Debug)]
pub struct Calibration {
    /// The calibration set.
    pub data: Option<PathBuf>,
    /// Statistics gathered earlier; the data is then not run.
    pub statistics: Option<PathBuf>,
    /// How to quantise.
    pub options: QuantiseOptions,
    /// Choose payload bits site by site within this budget.
    pub budget: Option<Budget>,
    /// Payload bits to choose from, ascending.
    pub candidates: Vec<u8>,
}

/// A limit within which payload bits are chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Budget {
    /// So much of a cost.
    Cost(Cost, f64),
    /// Percentage points of accuracy that may be lost on the calibration set.
    MaxDrop(f64),
}

impl Budget {
    /// What is counted.
    pub const fn cost(self) -> Cost {
        match self {
            Budget::Cost(cost, _) => cost,
            Budget::MaxDrop(_) => Cost::AverageBits,
        }
    }
}

impl Model {
    /// Imports a quantised model and brings it to the canonical spiking network.
    ///
    /// # Errors
    /// When the file is malformed, or the network cannot be converted.
    pub fn load(
        path: &Path,
        options: &ImportOptions,
        context: &mut Context,
    ) -> Result<Model, Error> {
        Model::load_calibrated(path, options, None, context)
    }

    /// Imports a model and brings it to the canonical spiking network; a float network is quantised
    /// on the way, by what a calibration set shows.
    ///
    /// # Errors
    /// When the file is malformed, the network cannot be converted, or calibration data is missing.
    pub fn load_calibrated(
        path: &Path,
        options: &ImportOptions,
        calibration: Option<&Calibration>,
        context: &mut Context,
    ) -> Result<Model, Error> {
        let model = tensor_model(path, options, context)?;
        Model::of(&model, calibration, context)
    }

    /// Brings a model that was opened to the canonical spiking network, as
    /// [`Model::load_calibrated`] does.
    ///
    /// # Errors
    /// When the network cannot be converted, or calibration data is missing.
    pub fn of(
        model: &TensorModel,
        calibration: Option<&Calibration>,
        context: &mut Context,
    ) -> Result<Model, Error> {
        // A digest takes as long as much of the rest: it is made beside.
        rayon::in_place_scope(|scope| {
            scope.spawn(|_| {
                model.digest.sha256();
            });
            Model::converted(model, calibration, context)
        })
    }

    fn converted(
        model: &TensorModel,
        calibration: Option<&Calibration>,
        context: &mut Context,
    ) -> Result<Model, Error> {
        model.convertible()?;
        let tensor = model.canonical.clone();
        let (mut coded, mut quantisation) = (tensor.clone(), None);
        if let Some(calibration) = calibration.filter(|_| is_float(&tensor)) {
            let sites = calibration::sites(&tensor);
            let statistics = statistics(&tensor, &sites, &model.digest, calibration)?;
            let mut chosen = calibration.options.clone();
            let mut bits = format!("{}-bit payloads", chosen.payload_bits);
            if let Some(budget) = calibration.budget {
                let found = allocation(&tensor, &sites, &statistics, calibration, budget)?;
                let each: Vec<String> =
                    found.bits.iter().map(|(site, b)| format!("{site} {b}")).collect();
                bits = format!(
                    "payload bits {} (at {:.6} {})",
                    each.join(", "),
                    found.cost,
                    budget.cost().unit()
                );
                chosen.site_bits = found.bits;
            }
            let samples = samples(&tensor, calibration)?;
            let samples = samples.as_ref().map(|(data, path)| (data, *path));
            let text = format!(
                "is on reals: quantised to {bits} and {}-bit weights by {} samples",
                chosen.weight_bits, statistics.samples
            );
            let plan = calibration::Plan::new(&coded, &sites, &statistics, &chosen)?;
            // Of large networks they are as large as weights.
            drop(statistics);
            plan.apply(&mut coded, samples)?;
            context.notes.push(("the network".into(), text));
            quantisation = Some(chosen);
            context.show(passes::CALIBRATED.name, &coded, true);
        }
        // Where there is a calibration set, nobody is told to give one.
        let given = calibration.is_some_and(|c| c.data.is_some() || c.statistics.is_some());
        let advised = |error| match given {
            true => calibration::without_advice(error, is_float(&tensor)),
            false => error,
        };
        let quantised = passes::quantised(coded, context).map_err(advised)?;
        let quantised = verified(quantised)?.into_inner();
        let conversion = checked(graded::convert(&quantised)?)?;
        context.show(passes::GRADED.name, &conversion.network, true);
        let source = model.source();
        let notes = model.notes.iter().chain(&context.notes).cloned();
        let notes = notes.map(|(node, text)| Note { node, text }).collect();
        Ok(Model { source, tensor, quantised, conversion, notes, quantisation })
    }
}

/// A conversion whose graphs are verified.
fn checked(conversion: Conversion) -> Result<Conversion, Error> {
    let Conversion { network, correspondence, host } = conversion;
    let (network, host) = (verified(network)?.into_inner(), verified(host)?.into_inner());
    Ok(Conversion { network, correspondence, host })
}

impl Model {
    /// The conversion that reads out potentials where a quantiser is the last, if it is another.
    fn reading_potentials(&self) -> Result<Option<Conversion>, Error> {
        let read_outs = |network: &Graph| {
            let accumulates = |op: Option<&SpikingOp>| matches!(op, Some(SpikingOp::Population(p)) if !p.neuron.fires());
            network.ids().filter(|&id| accumulates(network[id].as_spiking())).count()
        };
        let other = checked(graded::convert_reading(&self.quantised, ReadOut::Potentials)?)?;
        let more = read_outs(&other.network) > read_outs(&self.conversion.network);
        Ok(more.then_some(other))
    }

    /// Payload bits of the canonical network's populations, but of what is read out.
    pub fn payload_bits(&self) -> Vec<(String, u8)> {
        let network = &self.conversion.network;
        let bits = |id| match network[id].as_spiking() {
            Some(SpikingOp::Population(p)) if p.neuron.fires() => {
                Some((network[id].name.clone(), p.payload_bits()))
            }
            _ => None,
        };
        network.order().unwrap_or_default().into_iter().filter_map(bits).collect()
    }
}

/// Samples on which sensitivities are measured.
const SENSITIVITY_SAMPLES: usize = 64;
/// Samples on which a drop of accuracy is measured.
const ACCURACY_SAMPLES: usize = 2000;

/// Payload bits for each site within a budget.
fn allocation(
    tensor: &Graph,
    sites: &[Site],
    statistics: &Statistics,
    calibration: &Calibration,
    budget: Budget,
) -> Result<Allocation, Error> {
    let Some(path) = &calibration.data else {
        return Err(Error::usage(
            "--budget",
            "sensitivities are measured on data",
            "give it with --data",
        ));
    };
    let ports = inputs::ports(tensor);
    let data = Dataset::load_for(&ports, path, None)?;
    let spread = (SENSITIVITY_SAMPLES, calibration.candidates.as_slice(), budget.cost());
    let rows =
        allocate::measure(tensor, sites, statistics, &calibration.options, (&data, path), spread)?;
    let most = match budget {
        Budget::Cost(_, limit) => return allocate::allocate(&rows, limit),
        Budget::MaxDrop(points) => points,
    };
    let few = Dataset::load_for(&ports, path, Some(ACCURACY_SAMPLES))?;
    let accuracy = |graph: &Graph| -> Result<f64, Error> {
        let feed = Feed::of_model(graph, calibration.options.input);
        let top1 = Runner::tensor(graph, feed.scaling)?.evaluate(&few, path)?.top1;
        top1.ok_or_else(|| {
            Error::input(
                format!("`{}`", path.display()),
                "has no labels `y`",
                "max-drop needs them",
            )
        })
    };
    let whole = accuracy(tensor)?;
    let mut best = f64::INFINITY;
    for quarter in 4..=32u8 {
        let found = allocate::allocate(&rows, f64::from(quarter) / 4.0)?;
        let options =
            QuantiseOptions { site_bits: found.bits.clone(), ..calibration.options.clone() };
        let mut coded = tensor.clone();
        // Biases are corrected once, at what is chosen.
        calibration::quantise(&mut coded, sites, statistics, &options, None)?;
        let drop = whole - accuracy(&coded)?;
        best = best.min(drop);
        if drop <= most {
            return Ok(found);
        }
    }
    let reason = format!("8 bits everywhere lose {best:.2} points, more than {most}");
    Err(Error::Check(vec![Problem::new("--budget", reason, "allow a larger drop")]))
}

/// The calibration set, if it is given.
fn samples<'a>(
    tensor: &Graph,
    calibration: &'a Calibration,
) -> Result<Option<(Dataset, &'a Path)>, Error> {
    match calibration.data.as_deref() {
        Some(path) => Ok(Some((Dataset::load_for(&inputs::ports(tensor), path, None)?, path))),
        None => Ok(None),
    }
}

/// The statistics of a file, or of the calibration set.
fn statistics(
    tensor: &Graph,
    sites: &[Site],
    digest: &FileDigest,
    calibration: &Calibration,
) -> Result<Statistics, Error> {
    if let Some(path) = &calibration.statistics {
        return read_statistics(path, digest.sha256());
    }
    let Some(path) = &calibration.data else {
        return Err(Error::Unsupported(vec![Problem::new(
            "the network",
            "is on reals, and there is nothing to choose thresholds by",
            "give calibration data with --data, or statistics with --statistics",
        )]));
    };
    let data = Dataset::load_for(&inputs::ports(tensor), path, None)?;
    let given = calibration.options.input;
    Statistics::gather(tensor, sites, (&data, path), 0..data.len(), given, &|| ())
}

/// Reads statistics that must be of the model with that digest.
///
/// # Errors
/// When the file cannot be read, or belongs to another model.
pub fn read_statistics(path: &Path, sha256: &str) -> Result<Statistics, Error> {
    let place = format!("`{}`", path.display());
    let fail = |reason: String| Error::input(&place, reason, "gather them with `snnc calibrate`");
    let bytes = std::fs::read(path).map_err(|e| fail(format!("cannot be read: {e}")))?;
    let statistics = Statistics::from_bytes(&bytes).map_err(|e| fail(e.to_string()))?;
    if statistics.model != sha256 {
        return Err(fail("belongs to another model".into()));
    }
    Ok(statistics)
}

pub(crate) fn unsupported(target: &dyn Target, violations: Vec<Violation>) -> Error {
    Error::violations(target.name(), violations)
}

/// The coding that the options name, or the target's own.
fn carried(target: &dyn Target, options: &CompileOptions) -> Result<Coding, Error> {
    let coding = options.coding.unwrap_or(target.codings()[0]);
    if target.codings().contains(&coding) {
        return Ok(coding);
    }
    let known: Vec<&str> = target.codings().iter().map(|c| c.name()).collect();
    let reason = format!("{} does not carry `{coding}`", target.name());
    Err(Error::usage("--code", reason, format!("it carries {}", known.join(", "))))
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

/// A network in a target's arithmetic.
struct Lowered {
    legalised: Legalised,
    /// The options with thresholds that were chosen by data, where they were.
    calibrated: Option<CompileOptions>,
}

fn lowered(
    model: &Model,
    conversion: &Conversion,
    target: &dyn Target,
    options: &CompileOptions,
) -> Result<Lowered, Error> {
    let canonical = coded(conversion, target, options)?;
    let calibrated = with_thresholds(model, conversion, target, options, &canonical)?;
    let chosen = calibrated.as_ref().unwrap_or(options);
    let legalised = target.legalise(&canonical, &chosen.target);
    let legalised = legalised.map_err(|v| unsupported(target, v))?;
    Ok(Lowered { legalised, calibrated })
}

/// The network in a target's arithmetic, as [`compile`] emits it.
///
/// # Errors
/// When the target cannot hold it; all reasons at once.
pub fn legalised(
    model: &Model,
    target: &dyn Target,
    options: &CompileOptions,
) -> Result<Graph, Error> {
    either_way(model, |conversion, _| {
        Ok(lowered(model, conversion, target, options)?.legalised.network.into_inner())
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
        compile_of(model, conversion, read_out, target, options)
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

/// Compiles a conversion of a model for one target, which carries the coding.
fn compile_of(
    model: &Model,
    conversion: &Conversion,
    read_out: ReadOut,
    target: &'static dyn Target,
    options: &CompileOptions,
) -> Result<Compiled, Error> {
    let Lowered { legalised, calibrated } = lowered(model, conversion, target, options)?;
    let options = calibrated.as_ref().unwrap_or(options);
    let emitted =
        target.emit(&legalised, &options.target).map_err(|e| fault(target, &e.to_string()))?;
    let entry = emitted.files.first().map(|f| f.path.clone()).unwrap_or_default();
    let written = MemoryFiles::from(&emitted);
    let back = target.read(&written, &entry);
    let mut network =
        back.map_err(|e| fault(target, &format!("what was written cannot be read: {e}")))?;
    let mut manifest =
        manifest(model, &conversion.host, target, options, &legalised.network, entry.clone());
    if read_out == ReadOut::Potentials {
        manifest.options.insert("read-out".to_owned(), "potentials".to_owned());
    }
    manifest.apply(&mut network, MANIFEST)?;
    let network = verified(network)?.into_inner();
    same_network(&network, &legalised.network).map_err(|e| {
        fault(target, &format!("what was written reads back as another network: {e}"))
    })?;
    let mut certificate =
        certify_against(options.semantics, &model.quantised, conversion, &network);
    let host = &conversion.host;
    let evaluation = match &options.data {
        Some(path) => {
            let memories = target
                .memories(&written, &entry)
                .map_err(|e| fault(target, &format!("what was written cannot be read: {e}")))?;
            Some(measure(&mut certificate, model, (&network, host, memories), options, path)?)
        }
        None => None,
    };
    manifest.certificate = CertificateSummary::of(&certificate);
    manifest.fit = legalised.fit;
    if let Some(evaluation) = &evaluation {
        manifest.energy_nj.clone_from(&evaluation.energy_nj);
    }
    manifest.notes = model.notes.iter().cloned().chain(legalised.notes).collect();
    let mut files = emitted.files;
    if let Some(evaluation) = &evaluation {
        with_activity(target, &legalised.network, options, evaluation, &mut files)?;
    }
    files.push(File::new(SOURCE, model.quantised.to_wire()));
    if manifest.host.is_some() {
        files.push(File::new(HOST, host.to_wire()));
    }
    manifest.files = files.par_iter().map(FileRow::of).collect();
    let published = Published::new(&certificate, &manifest.source, &manifest.files, &network)
        .with_ties(&model.quantised, conversion);
    let json = published.to_json().map_err(|e| fault(target, &e.to_string()))?;
    files.push(File::new(CERTIFICATE, json));
    manifest.files.extend(files.last().map(FileRow::of));
    let yaml = serde_yaml::to_string(&manifest).map_err(|e| fault(target, &e.to_string()))?;
    files.insert(0, File::new(MANIFEST, yaml));
    let host = conversion.host.clone();
    Ok(Compiled { target, files, manifest, certificate, network, host, evaluation })
}

/// Replaces the file that says what was seen on data, if the target has one.
fn with_activity(
    target: &dyn Target,
    network: &Graph,
    options: &CompileOptions,
    evaluation: &Evaluation,
    files: &mut [File],
) -> Result<(), Error> {
    let steps = evaluation.timesteps.max(1) as f64;
    let rows = evaluation.per_layer.iter();
    let spikes = rows.map(|r| (r.name.clone(), r.spikes_per_neuron * r.neurons as f64 / steps));
    let file = target.with_activity(network, &options.target, &spikes.collect());
    if let Some(file) = file.map_err(|e| fault(target, &e.to_string()))?
        && let Some(old) = files.iter_mut().find(|f| f.path == file.path)
    {
        *old = file;
    }
    Ok(())
}

/// A factor of a threshold to four decimals, which is what a manifest holds of it.
fn four_decimals(factor: f64) -> f64 {
    (factor * 1e4).round() / 1e4
}

/// The options with thresholds for neurons that are reset to 0, where there are such neurons, data to
/// choose by, and no choice by the user.
fn with_thresholds(
    model: &Model,
    conversion: &Conversion,
    target: &dyn Target,
    options: &CompileOptions,
    coded: &Verified,
) -> Result<Option<CompileOptions>, Error> {
    let chosen = options.target.chooses_thresholds();
    let data = options.thresholds_by.as_deref().or(options.data.as_deref());
    let Some(path) = data.filter(|_| !chosen) else { return Ok(None) };
    let with = |factors: &BTreeMap<String, f64>| {
        let mut options = options.clone();
        options.target.thresholds =
            factors.iter().map(|(name, &f)| (name.clone(), four_decimals(f))).collect();
        options
    };
    let legalise = |factors: &BTreeMap<String, f64>| {
        let legalised = target.legalise(coded, &with(factors).target);
        Ok(legalised.map_err(|v| unsupported(target, v))?.network.into_inner())
    };
    if options.coding.is_none_or(|c| c != Coding::Rate)
        || !calibration::hard_reset::concerns(&legalise(&BTreeMap::new())?)
    {
        return Ok(None);
    }
    let feed = Feed::of_model(&model.quantised, options.input);
    let canonical = &conversion.network;
    let factors = calibration::hard_reset::thresholds(canonical, path, feed, &legalise)?;
    Ok(Some(with(&factors)))
}

fn fault(target: &dyn Target, reason: &str) -> Error {
    Error::internal(target.name(), reason)
}

fn manifest(
    model: &Model,
    host: &Graph,
    target: &dyn Target,
    options: &CompileOptions,
    network: &Graph,
    entry: String,
) -> Manifest {
    let coding = options.coding.unwrap_or(target.codings()[0]);
    let mut chosen = BTreeMap::from([
        ("code".to_owned(), coding.name().to_owned()),
        ("reference".to_owned(), options.semantics.name().to_owned()),
    ]);
    if let Some(timesteps) = options.spikes.timesteps {
        chosen.insert("timesteps".to_owned(), timesteps.to_string());
    }
    if let Some(initial) = options.spikes.initial {
        let half = initial == codings::Initial::HalfThreshold;
        chosen.insert("initial".to_owned(), if half { "half" } else { "zero" }.to_owned());
    }
    if options.spikes.reset == codings::ResetRule::Hard {
        chosen.insert("reset".to_owned(), "hard".to_owned());
    }
    if let Leak::Subtracting { shift } = options.spikes.leak {
        chosen.insert("leak".to_owned(), shift.to_string());
    }
    for (population, thresholds) in &options.spikes.thresholds {
        chosen.insert(format!("thresholds.{population}"), format!("{thresholds:?}"));
    }
    if let Some(device) =
        options.target.device.clone().or_else(|| target.devices().into_iter().next())
    {
        chosen.insert("device".to_owned(), device);
    }
    if let Some(bits) = options.target.weight_bits {
        chosen.insert("weight-bits".to_owned(), bits.to_string());
    }
    if let Some(quantisation) = &model.quantisation {
        chosen.extend(quantisation.recorded());
    }
    if options.target.force {
        chosen.insert("force".to_owned(), "true".to_owned());
    }
    let factor = |(name, f): (&String, &f64)| {
        (format!("{}{name}", TargetOptions::THRESHOLD), format!("{f:.4}"))
    };
    chosen.extend(options.target.thresholds.iter().map(factor));
    chosen.extend(options.target.extra.iter().map(|(k, v)| (k.clone(), v.clone())));
    let tensor = &model.tensor;
    let dtype = |i| (tensor[i].name.clone(), tensor[i].ty.dtype.name().to_owned());
    let dtypes: Vec<(String, String)> = tensor.inputs().into_iter().map(dtype).collect();
    let scaling = Feed::of_model(&model.quantised, options.input).scaling;
    let empty = Certificate {
        verdict: crate::certificate::Verdict::Failed,
        reference: "ort".into(),
        populations: Vec::new(),
        obligations: Vec::new(),
    };
    Manifest {
        format: "snnc-artefact".into(),
        version: 1,
        compiler: env!("CARGO_PKG_VERSION").into(),
        target: target.name().into(),
        source: model.source.clone(),
        options: chosen,
        timesteps: network.timing.timesteps,
        latency: latency(network),
        schedule: network.timing.schedule,
        inputs: InputRow::all(network, &dtypes, scaling),
        outputs: OutputRow::all(network, Some(host)),
        host: HostRow::of(host, network),
        populations: PopulationRow::all(network),
        entry,
        files: Vec::new(),
        fit: Vec::new(),
        certificate: CertificateSummary::of(&empty),
        energy_nj: BTreeMap::new(),
        notes: Vec::new(),
    }
}

/// Fills in what is seen on data.
fn measure(
    certificate: &mut Certificate,
    model: &Model,
    (network, host, memories): (&Graph, &Graph, Vec<LayerMemories>),
    options: &CompileOptions,
    path: &Path,
) -> Result<Evaluation, Error> {
    let ports = inputs::ports(&model.quantised);
    let data = Dataset::load_for(&ports, path, None)?;
    let Feed { takes_reals, scaling, .. } = Feed::of_model(&model.quantised, options.input);
    let runner = Runner::spiking(network, Some(&model.quantised), takes_reals, scaling)?;
    let runner = runner.with_ports(ports);
    let evaluation = runner.with_host(host)?.with_memories(memories).evaluate(&data, path)?;
    for (name, measured) in &evaluation.measured {
        if let Some(p) = certificate.populations.iter_mut().find(|p| p.population == *name) {
            p.measured = Some(*measured);
        }
    }
    Ok(evaluation)
}
