//! `compile`: from a model to the artefacts of all targets that can hold it.

use std::collections::BTreeMap;
use std::path::Path;

use snnc_backends::{File, Target, TargetOptions};
use snnc_ir::{Coding, Leak};

use super::args::{Common, CompileArgs, Emit};
use super::commands::{resolve_targets, semantics};
use super::config::Config;
use super::deliver::{self, check_output, deliver};
use super::open::{self, Compilable};
use super::passes::Printing;
use super::{calibrate, compiled, options};
use crate::calibration::Calibration;
use crate::data::{Dataset, Scaling};
use crate::driver::{self, CompileOptions, Compiled, Model, Trained};
use crate::feed::Given;
use crate::frontend::TensorModel;
use crate::passes::Context;
use crate::spiking_integers::Run;
use crate::{Error, codings, trial, watch};

/// `compile`
pub(super) fn compile(args: &CompileArgs, common: &Common) -> Result<(), Error> {
    let targets = resolve_targets(&args.target)?;
    let names: Vec<&str> = targets.iter().map(|t| t.name()).collect();
    let config = Config::load(args.config.as_deref())?;
    options::check(args, &targets)?;
    check_output(args, &names)?;
    let options: Vec<CompileOptions> =
        targets.iter().map(|t| compile_options(args, &config, *t)).collect::<Result<_, _>>()?;
    let targets: Vec<_> = targets.into_iter().zip(&options).collect();
    let (mut compiled, mut errors) = made(args, &config, &targets)?;
    let mut folders: Vec<(String, Vec<File>)> = Vec::new();
    for c in &mut compiled {
        let name = c.target.name().to_owned();
        let failed = deliver::failed(&name, &c.certificate, args.force);
        if failed.is_none() || args.force {
            folders.push((name.clone(), std::mem::take(&mut c.files)));
        }
        errors.extend(failed.map(|error| (name, error)));
    }
    let delivery = deliver(args, folders, errors)?;
    compiled::report(&names, &compiled, &delivery, args, common)?;
    delivery.conclude()
}

/// What was made, and why the rest was not, by target.
type Made = (Vec<Compiled<()>>, Vec<(String, Error)>);

/// Takes the model to every target.
fn made(
    args: &CompileArgs,
    config: &Config,
    targets: &[(&'static dyn Target, &CompileOptions)],
) -> Result<Made, Error> {
    let printing = Printing::of(args);
    let after_pass = printing.as_ref().map(Printing::after_pass);
    let mut context = Context { after_pass, ..Context::default() };
    let opened = open::compilable(&args.model, &args.import, &mut context)?;
    if args.emit.is_some() && !matches!(opened, Compilable::Tensor(_)) {
        let reason = "the model has no quantised network: its neurons spike already";
        return Err(Error::usage("--emit", reason, "leave it out"));
    }
    let (mut compiled, mut errors) = (Vec::new(), Vec::new());
    let mut take = |target: &dyn Target, done: Result<Compiled<()>, Error>| {
        watch::point();
        match done {
            Ok(done) => compiled.push(done),
            // An input that cannot be read is none for any target.
            Err(error @ Error::Input(_)) => return Err(error),
            Err(error) => errors.push((target.name().to_owned(), error)),
        }
        Ok(())
    };
    match opened {
        Compilable::Real(file) => {
            for (target, _) in targets {
                let done = driver::compile_reals(&file, *target);
                take(*target, done.map(Compiled::without_network))?;
            }
        }
        Compilable::Spiking(model) => {
            let run = run(args.data.as_deref(), config.given(), args.timesteps)?;
            let trained = Trained::new(&model, &run)?;
            for (target, options) in targets {
                if let Some(printing) = &printing {
                    printing.trained(&trained, *target, &options.target);
                }
                let done = driver::compile_trained(&trained, *target, &options.target);
                take(*target, done.map(Compiled::without_network))?;
            }
        }
        Compilable::Tensor(model) => {
            let mut models = Models { args, context, opened: &model, loaded: Vec::new() };
            for (target, options) in targets {
                let done = models.of(*target, options);
                if let (Some(printing), Ok(model)) = (&printing, &done) {
                    printing.lowered(model, *target, options);
                }
                let done = done.and_then(|model| driver::compile(model, *target, options));
                take(*target, done.map(Compiled::without_network))?;
            }
        }
    }
    printing.iter().for_each(Printing::finish);
    Ok((compiled, errors))
}

/// How a network that was trained to spike is run for comparison with what targets make of it.
pub(super) fn run(
    data: Option<&Path>,
    given: Given,
    timesteps: Option<usize>,
) -> Result<Run, Error> {
    let data = match data {
        Some(path) => Some((Dataset::load(path, None)?, path.to_owned())),
        None => None,
    };
    Ok(Run { data, scaling: Some(given.over(Scaling::AS_IS)), timesteps })
}

/// The model at the bits that targets take. Targets differ in those that suit them; quantised models have
/// theirs already.
struct Models<'a> {
    args: &'a CompileArgs,
    context: Context,
    opened: &'a TensorModel,
    loaded: Vec<((u8, u8), Result<Model, Error>)>,
}

impl Models<'_> {
    fn of(&mut self, target: &dyn Target, options: &CompileOptions) -> Result<&Model, Error> {
        let binary = options.spikes.timesteps.filter(|_| options.coding == Some(Coding::Rate));
        let data = self.args.data.clone();
        let quantise = &self.args.quantise;
        let calibration = calibrate::calibration(quantise, data, options.input, target, binary)?;
        let bits = (calibration.options.payload_bits, calibration.options.weight_bits);
        let float = self.opened.is_float();
        let known = self.loaded.iter().position(|(b, m)| *b == bits || (!float && m.is_ok()));
        let index = match known {
            Some(index) => index,
            None => {
                self.refuse_early(target, options, &calibration)?;
                self.context.notes.clear();
                let model = Model::of(self.opened, Some(&calibration), &mut self.context);
                self.loaded.push((bits, model));
                self.loaded.len() - 1
            }
        };
        self.loaded[index].1.as_ref().map_err(Clone::clone)
    }

    /// What the target refuses of a model on reals is said before a calibration set is run.
    fn refuse_early(
        &self,
        target: &dyn Target,
        options: &CompileOptions,
        calibration: &Calibration,
    ) -> Result<(), Error> {
        let sampled = calibration.data.is_some() && calibration.statistics.is_none();
        if !sampled || !self.opened.is_float() {
            return Ok(());
        }
        trial::check(&self.opened.canonical, &calibration.options, target, options)
    }
}

pub(super) fn compile_options(
    args: &CompileArgs,
    config: &Config,
    target: &dyn Target,
) -> Result<CompileOptions, Error> {
    let coding = match &args.code {
        Some(name) => Some(Coding::from_name(name).ok_or_else(|| {
            let all: Vec<&str> = Coding::ALL.iter().map(|c| c.name()).collect();
            Error::usage(
                "--coding",
                format!("there is no coding `{name}`"),
                format!("there are {}", all.join(", ")),
            )
        })?),
        None => None,
    };
    let semantics = semantics(&args.reference)?;
    if let Some(device) = &args.device
        && !target.devices().contains(device)
    {
        let devices = target.devices();
        let help = if devices.is_empty() {
            "it has no devices".into()
        } else {
            format!("it has {}", devices.join(", "))
        };
        return Err(Error::usage(
            "--device",
            format!("{} has no device `{device}`", target.name()),
            help,
        ));
    }
    let hardware = options::hardware(args, target)?;
    let mut extra = config.target(target.name());
    extra.extend(args.set.iter().filter(|(key, _)| options::takes(target, key)).cloned());
    Ok(CompileOptions {
        coding,
        spikes: spike_options(args, config)?,
        semantics,
        target: TargetOptions {
            device: args.device.clone(),
            hardware,
            force: args.force,
            weight_bits: args.quantise.weight_bits,
            extra,
            thresholds: BTreeMap::new(),
        },
        input: config.given(),
        data: args.data.clone(),
        thresholds_by: args.quantise.calibration.clone(),
        emit_onnx: args.emit == Some(Emit::Onnx),
    })
}

/// What shapes the coding; options of other codings are refused.
fn spike_options(args: &CompileArgs, config: &Config) -> Result<codings::Options, Error> {
    let code = args.code.as_deref().unwrap_or("the target's default");
    let only = |option: &str, given: bool, codes: &[&str]| {
        if !given || codes.contains(&code) {
            return Ok(());
        }
        let reason = format!("the coding is {code}, which has no such choice");
        Err(Error::usage(option, reason, format!("add --code {}", codes.join(" or --code "))))
    };
    only("--initial", args.initial.is_some(), &["rate", "multi-level", "atif"])?;
    only("--reset", args.reset.is_some(), &["rate"])?;
    only("--leak", args.leak.is_some(), &["rate"])?;
    let unknown = |option: &str, value: &str, known: &str| {
        Error::usage(option, format!("there is no `{value}`"), format!("there are {known}"))
    };
    let initial = match args.initial.as_deref() {
        None => None,
        Some("half") => Some(codings::Initial::HalfThreshold),
        Some("zero") => Some(codings::Initial::Zero),
        Some(other) => return Err(unknown("--initial", other, "half and zero")),
    };
    let reset = match args.reset.as_deref() {
        None | Some("soft") => codings::ResetRule::Soft,
        Some("hard") => codings::ResetRule::Hard,
        Some(other) => return Err(unknown("--reset", other, "soft and hard")),
    };
    let leak = match args.leak {
        None => Leak::None,
        Some(shift @ 1..=30) => Leak::Subtracting { shift },
        Some(_) => return Err(Error::usage("--leak", "it must be from 1 to 30", "")),
    };
    let timesteps = args.timesteps;
    Ok(codings::Options { timesteps, initial, reset, leak, thresholds: config.thresholds.clone() })
}
