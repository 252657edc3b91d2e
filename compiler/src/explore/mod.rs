//! One model said in binary and in multi-level spikes, with few and with many levels: what each way
//! gains, and what it costs.

mod cycles;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use serde::Serialize;
use snnc_backends::{File, MemoryFiles, PipelineClocks, Target, without_limits};
use snnc_ir::Coding;

use crate::artefact::{Manifest, Unfinished};
use crate::calibration::{Budget, Calibration, Cost, Statistics, sites};
use crate::codings;
use crate::data::Dataset;
use crate::driver::{self, CompileOptions, Compiled, Model};
use crate::evaluate::{Evaluation, Runner};
use crate::feed::Feed;
use crate::frontend::TensorModel;
use crate::inputs;
use crate::passes::Context;
use crate::{Error, Problem, watch};

pub use cycles::{mean_latency, pipeline_clocks};

/// Payload bits of a point.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bits {
    /// Those that the model has.
    Own,
    /// The same for every population of a float model.
    Each(u8),
    /// So many positive levels for every population of a float model.
    Levels(i64),
    /// Mean over the neurons of a float model, chosen population by population.
    Mean(f64),
}

/// One way to say a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    /// Its name in tables.
    pub name: String,
    /// The coding.
    pub coding: Coding,
    /// Timesteps; `None` takes the coding's own.
    pub timesteps: Option<usize>,
    /// Payload bits.
    pub bits: Bits,
}

/// The settings that are tried: binary spikes over 1, 2, 4 and 8 timesteps (`rate`), and over 1, 3, 7
/// and 15 layer by layer (`rate-sync`); up to 1, 3, 7 and 15 levels in one timestep, and levels chosen
/// population by population. A model that is quantised keeps its own bits.
///
/// Over T timesteps a binary neuron sends at most T spikes: activations are quantised to T levels.
///
/// A target of streaming binary spikes that has no levels shows what more timesteps gain instead: its
/// default coding, and `rate` over 8 to 128 timesteps, activations having 8 bits.
pub fn settings(target: &dyn Target, float: bool) -> Vec<Setting> {
    if target.codings().contains(&Coding::Rate) && !target.codings().contains(&Coding::MultiLevel) {
        return by_latency(target, float);
    }
    let levels = |levels: usize| Bits::Levels(i64::try_from(levels).unwrap_or(i64::MAX));
    let setting = |name: String, coding, timesteps, bits| {
        let (bits, name) = if float { (bits, name) } else { (Bits::Own, name) };
        Setting { name, coding, timesteps, bits }
    };
    let mut all: Vec<Setting> = [1, 2, 4, 8]
        .map(|t| setting(format!("binary T={t}"), Coding::Rate, Some(t), levels(t)))
        .into();
    if !float {
        all.push(setting("binary by layers".into(), Coding::RateSync, None, Bits::Own));
        all.push(setting("multi-level T=1".into(), Coding::MultiLevel, None, Bits::Own));
        return all;
    }
    let many = [1, 3, 7, 15];
    all.extend(
        many.map(|t| {
            setting(format!("binary by layers T={t}"), Coding::RateSync, Some(t), levels(t))
        }),
    );
    let multi_level = |name, bits| setting(name, Coding::MultiLevel, None, bits);
    all.extend(many.map(|n| multi_level(format!("multi-level N={n} T=1"), levels(n))));
    let mixed = [1.5, 2.0, 3.0];
    all.extend(mixed.map(|b| multi_level(format!("mixed, {b} bits T=1"), Bits::Mean(b))));
    all
}

/// Accuracy against latency, with the bits that a float model has by default.
fn by_latency(target: &dyn Target, float: bool) -> Vec<Setting> {
    let bits = if float { Bits::Each(8) } else { Bits::Own };
    let default = target.codings().first().copied().unwrap_or(Coding::Graded);
    let mut all =
        vec![Setting { name: default.to_string(), coding: default, timesteps: None, bits }];
    all.extend([8, 16, 32, 64, 128].map(|t| Setting {
        name: format!("rate T={t}"),
        coding: Coding::Rate,
        timesteps: Some(t),
        bits,
    }));
    all
}

/// What was found for one setting.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Point {
    /// Name of the setting.
    pub name: String,
    /// The coding.
    pub code: &'static str,
    /// Why the target does not hold it; it is then measured as the reference target has it.
    pub refused: Option<String>,
    /// Verdict of the certificate.
    pub certificate: String,
    /// Payload bits of the model's activations, by population of them.
    pub payload_bits: Vec<(String, u8)>,
    /// Share of samples whose best score is that of the label, in percent.
    pub top1: Option<f64>,
    /// Samples with a score that is NaN; none of them counts as right.
    pub nan_scores: usize,
    /// Timesteps of one sample.
    pub timesteps: usize,
    /// Timesteps from the input to a valid output.
    pub latency: usize,
    /// Mean spikes of a neuron for one sample.
    pub spikes_per_neuron: f64,
    /// Mean weights met by spikes for one sample.
    pub synaptic_operations: f64,
    /// Energy of one sample by profile.
    pub energy_nj: BTreeMap<String, f64>,
    /// Bits of the image's memories, where the target has an image.
    pub image_bits: Option<u64>,
    /// Clocks of the image's core from the first word of a sample to its answer.
    pub cycles: Option<f64>,
    /// Clocks between answers when samples follow each other.
    pub cycles_between: Option<f64>,
    /// Whether another point is no worse in accuracy, latency and energy, and better in one of them.
    pub dominated: bool,
}

/// All points of a model.
#[derive(Clone, Debug, Serialize)]
pub struct Exploration {
    /// File name of the model.
    pub model: String,
    /// Name of the target.
    pub target: String,
    /// Samples run for each point.
    pub samples: usize,
    /// Samples over which clocks are averaged.
    pub cycle_samples: usize,
    /// Profile by whose energy points dominate each other.
    pub profile: String,
    /// The points, in the order of [`settings`].
    pub points: Vec<Point>,
    /// Settings that cannot say the network at all, with the reason.
    pub left_out: Vec<(String, String)>,
}

/// What is explored, and how.
pub struct Request<'a> {
    /// The model.
    pub model: &'a TensorModel,
    /// Where the target's limits come from.
    pub target: &'static dyn Target,
    /// Options of every compilation, but coding and data.
    pub options: CompileOptions,
    /// How a float model is quantised; its bits are the settings'.
    pub calibration: Calibration,
    /// Samples with labels, and where they are from.
    pub data: (&'a Dataset, &'a Path),
    /// Samples over which clocks are averaged.
    pub cycle_samples: usize,
    /// Profile by whose energy points dominate each other.
    pub profile: String,
}

/// Measures every setting; `tick` is called after each sample of each.
///
/// # Errors
/// When the model cannot be read or run, or no setting can say it. What a target refuses is measured as the
/// reference target has it, with the reason; what that refuses too is left out, with the reason.
pub fn explore(request: &Request<'_>, tick: &(dyn Fn() + Sync)) -> Result<Exploration, Error> {
    request.model.convertible()?;
    let tensor = &request.model.canonical;
    let float = request.model.is_float();
    let mut calibration = request.calibration.clone();
    // Gathered once for all settings.
    let made = Unfinished::make(tempfile::NamedTempFile::new, tempfile::NamedTempFile::path);
    let (kept, _unfinished) = made.map_err(|e| {
        Error::input("statistics", format!("cannot be kept: {e}"), "see to the temporary folder")
    })?;
    if float && calibration.statistics.is_none() {
        let Some(path) = calibration.data.clone() else {
            let reason = "is unquantised, and there is no calibration set";
            return Err(Error::usage("--calibration", reason, "name a calibration set"));
        };
        let set = Dataset::load_for(&inputs::ports(tensor), &path, None)?;
        let given = calibration.options.input;
        let sites = sites(tensor);
        let mut statistics =
            Statistics::gather(tensor, &sites, (&set, &path), 0..set.len(), given, &|| ())?;
        statistics.model = request.model.digest.sha256().to_owned();
        std::fs::write(kept.path(), statistics.to_bytes()).map_err(|e| {
            Error::input(
                "statistics",
                format!("cannot be kept: {e}"),
                "see to the temporary folder",
            )
        })?;
        calibration.statistics = Some(kept.path().to_owned());
    }
    let mut models: HashMap<String, Model> = HashMap::new();
    let (mut points, mut refused) = (Vec::new(), Vec::new());
    for setting in settings(request.target, float) {
        let key = format!("{:?}", setting.bits);
        if !models.contains_key(&key) {
            let calibration = at_bits(&calibration, setting.bits);
            let mut context = Context::default();
            let model = Model::of(request.model, Some(&calibration), &mut context)?;
            models.insert(key.clone(), model);
        }
        let Some(model) = models.get(&key) else { continue };
        watch::point();
        match point(request, &setting, model, tick) {
            Ok(point) => points.push(point),
            Err(error @ (Error::Unsupported(_) | Error::Usage(_))) => {
                refused.push((setting.name, error));
            }
            Err(other) => return Err(other),
        }
    }
    let reason = |(name, error): &(String, Error)| {
        let reasons: Vec<String> = error.problems().iter().map(Problem::to_string).collect();
        (name.clone(), reasons.join("; "))
    };
    let left_out = refused.iter().map(reason).collect();
    if points.is_empty()
        && let Some(gravest) = Error::joined(refused.into_iter().map(|(_, e)| e)).pop()
    {
        return Err(gravest);
    }
    mark(&mut points, &request.profile);
    Ok(Exploration {
        model: request.model.file.clone(),
        target: request.target.name().to_owned(),
        samples: request.data.0.len(),
        cycle_samples: request.cycle_samples.min(request.data.0.len()),
        profile: request.profile.clone(),
        points,
        left_out,
    })
}

fn at_bits(calibration: &Calibration, bits: Bits) -> Calibration {
    let mut calibration = calibration.clone();
    match bits {
        Bits::Own => {}
        Bits::Each(b) => calibration.options.payload_bits = b,
        Bits::Levels(n) => calibration.options.levels = Some(n),
        Bits::Mean(mean) => calibration.budget = Some(Budget::Cost(Cost::AverageBits, mean)),
    }
    calibration
}

/// Compiles for the target, or for the reference target with the reason why not.
fn compiled(
    request: &Request<'_>,
    setting: &Setting,
    model: &Model,
) -> Result<(Compiled, Option<String>), Error> {
    let options = CompileOptions {
        coding: Some(setting.coding),
        spikes: codings::Options::timesteps(setting.timesteps),
        data: None,
        ..request.options.clone()
    };
    let refusal = match driver::compile(model, request.target, &options) {
        Ok(compiled) => return Ok((compiled, None)),
        Err(Error::Unsupported(problems) | Error::Usage(problems)) => problems,
        Err(other) => return Err(other),
    };
    let reasons: Vec<String> = refusal.iter().map(Problem::to_string).collect();
    let options = CompileOptions { target: Default::default(), ..options };
    let compiled = driver::compile(model, without_limits(), &options)?;
    Ok((compiled, Some(reasons.join("; "))))
}

fn point(
    request: &Request<'_>,
    setting: &Setting,
    model: &Model,
    tick: &(dyn Fn() + Sync),
) -> Result<Point, Error> {
    let (compiled, refused) = compiled(request, setting, model)?;
    let files = in_memory(&compiled.files);
    let entry = &compiled.manifest.entry;
    let unreadable = |e: snnc_backends::ReadError| Error::input("image", e.to_string(), "");
    let memories = compiled.target.memories(&files, entry).map_err(unreadable)?;
    let Feed { takes_reals, scaling, .. } = Feed::of_model(&model.quantised, request.options.input);
    let runner = Runner::spiking(&compiled.network, None, takes_reals, scaling)?;
    let runner = runner.with_ports(inputs::ports(&model.quantised));
    let runner = match &compiled.host {
        Some(host) => runner.with_host(host)?,
        None => runner,
    };
    let runner = runner.with_memories(memories);
    let (data, path) = request.data;
    let evaluation = runner.evaluate_with(data, path, tick)?;
    let cycles = match compiled.target.clocks(&files, entry).map_err(unreadable)? {
        Some(clocks) => {
            let (network, samples) = (&compiled.network, request.cycle_samples);
            Some(pipeline_clocks(clocks.as_ref(), network, &runner, data, samples)?)
        }
        None => None,
    };
    let image_bits = compiled.manifest.image_bits();
    Ok(figures(setting, &compiled.manifest, &evaluation, (refused, image_bits, cycles), model))
}

fn figures(
    setting: &Setting,
    manifest: &Manifest,
    e: &Evaluation,
    (refused, image_bits, cycles): (Option<String>, Option<u64>, Option<PipelineClocks>),
    model: &Model,
) -> Point {
    Point {
        name: setting.name.clone(),
        code: setting.coding.name(),
        refused,
        certificate: manifest.certificate.verdict.to_string(),
        payload_bits: model.payload_bits(),
        top1: e.top1,
        nan_scores: e.nan_scores,
        timesteps: e.timesteps,
        latency: e.latency,
        spikes_per_neuron: e.spikes_per_neuron,
        synaptic_operations: e.synaptic_operations,
        energy_nj: e.energy_nj.clone(),
        image_bits,
        cycles: cycles.as_ref().map(mean_latency),
        cycles_between: cycles.and_then(|c| c.interval),
        dominated: false,
    }
}

fn in_memory(files: &[File]) -> MemoryFiles {
    MemoryFiles(files.iter().map(|f| (f.path.clone(), f.content.clone())).collect())
}

/// Marks every point that another one beats in accuracy, latency and energy by `profile`: no worse in
/// any, better in one.
pub fn mark(points: &mut [Point], profile: &str) {
    let figures = |p: &Point| -> [f64; 3] {
        let energy = p.energy_nj.get(profile).copied().unwrap_or(f64::INFINITY);
        [-p.top1.unwrap_or(f64::NEG_INFINITY), p.latency as f64, energy]
    };
    let all: Vec<[f64; 3]> = points.iter().map(figures).collect();
    for (point, own) in points.iter_mut().zip(&all) {
        let beats = |other: &[f64; 3]| {
            other.iter().zip(own).all(|(a, b)| a <= b) && other.iter().zip(own).any(|(a, b)| a < b)
        };
        point.dominated = all.iter().any(beats);
    }
}

#[cfg(test)]
mod tests {
    use snnc_backends::target;

    use super::*;

    fn point(top1: f64, latency: usize, energy: f64) -> Point {
        Point {
            name: String::new(),
            code: "rate",
            refused: None,
            certificate: String::new(),
            payload_bits: Vec::new(),
            top1: Some(top1),
            nan_scores: 0,
            timesteps: latency,
            latency,
            spikes_per_neuron: 0.0,
            synaptic_operations: 0.0,
            energy_nj: [("p".to_owned(), energy)].into(),
            image_bits: None,
            cycles: None,
            cycles_between: None,
            dominated: false,
        }
    }

    #[test]
    fn a_point_is_dominated_only_by_one_no_worse_in_anything() {
        let mut points = vec![
            point(90.0, 1, 5.0),
            point(90.0, 1, 6.0),
            point(91.0, 4, 4.0),
            point(90.0, 4, 4.0),
            point(90.0, 1, 5.0),
        ];
        mark(&mut points, "p");
        let marks: Vec<bool> = points.iter().map(|p| p.dominated).collect();
        assert_eq!(marks, [false, true, false, true, false]);
    }

    #[test]
    fn the_settings_are_those_of_the_question() {
        let settings = |float| settings(target("spleat").unwrap(), float);
        let names: Vec<String> = settings(true).into_iter().map(|s| s.name).collect();
        let binary = ["binary T=1", "binary T=2", "binary T=4", "binary T=8"];
        assert_eq!(names[..4], binary);
        let bits: Vec<Bits> = settings(true)[..12].iter().map(|s| s.bits).collect();
        let each = [1, 2, 4, 8, 1, 3, 7, 15, 1, 3, 7, 15].map(Bits::Levels);
        assert_eq!(bits, each);
        assert!(settings(false).iter().all(|s| s.bits == Bits::Own));
        let loihi = super::settings(target("loihi").unwrap(), true);
        let timesteps: Vec<Option<usize>> = loihi.iter().map(|s| s.timesteps).collect();
        assert_eq!(timesteps, [None, Some(8), Some(16), Some(32), Some(64), Some(128)]);
    }
}
