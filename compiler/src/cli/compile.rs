//! `compile`: from a model to the artefacts of all targets that can hold it.

use std::collections::BTreeMap;

use serde::Serialize;
use snnc_backends::{File, Target, TargetOptions};
use snnc_ir::{Coding, Leak};

use super::args::{Common, CompileArgs, Format};
use super::commands::{resolve_targets, semantics};
use super::config::Config;
use super::deliver::{self, Delivery, check_output, deliver};
use super::open::{self, Compilable};
use super::passes::Printing;
use super::{calibrate, float, options, reals, render, tables};
use crate::artefact::Manifest;
use crate::certificate::Verdict;
use crate::evaluate::Evaluation;
use crate::frontend::TensorModel;
use crate::passes::Context;
use crate::pipeline::{self, Calibration, CompileOptions, Compiled, Model};
use crate::{Error, codings, trial};

/// `compile`
pub(super) fn compile(args: &CompileArgs, common: &Common) -> Result<(), Error> {
    let targets = resolve_targets(&args.target)?;
    let names: Vec<&str> = targets.iter().map(|t| t.name()).collect();
    let config = Config::load(args.config.as_deref())?;
    options::check(args, &targets)?;
    check_output(args, &names)?;
    let printing = Printing::of(args);
    let options: Vec<CompileOptions> =
        targets.iter().map(|t| compile_options(args, &config, *t)).collect::<Result<_, _>>()?;
    let after_pass = printing.as_ref().map(Printing::after_pass);
    let mut context = Context { after_pass, ..Context::default() };
    let model = match open::compilable(&args.model, &args.import, &mut context)? {
        Compilable::Real(file) => return reals::compile(args, &targets, &file, common),
        Compilable::Spiking(model) => {
            let options = options.into_iter().map(|o| o.target);
            let targets: Vec<_> = targets.iter().copied().zip(options).collect();
            if let Some(printing) = &printing {
                printing.trained(&model, &targets);
                printing.finish();
            }
            return float::compile(args, &config, &model, &targets, common);
        }
        Compilable::Tensor(model) => model,
    };
    let mut models = Models { args, context, opened: &model, loaded: Vec::new() };
    let (mut compiled, mut errors) = (Vec::new(), Vec::new());
    for (target, options) in targets.iter().zip(&options) {
        let done = models.of(*target, options);
        if let (Some(printing), Ok(model)) = (&printing, &done) {
            printing.lowered(model, *target, options);
        }
        match done.and_then(|model| pipeline::compile(model, *target, options)) {
            Ok(done) => compiled.push(done),
            // An input that cannot be read is none for any target.
            Err(error @ Error::Input(_)) => return Err(error),
            Err(error) => errors.push((target.name().to_owned(), error)),
        }
    }
    printing.iter().for_each(Printing::finish);
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
    report(&names, &compiled, &delivery, args, common)?;
    delivery.conclude()
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

#[derive(Serialize)]
struct CompiledRow<'a> {
    target: &'a str,
    /// Where the artefact is; none where it was not written.
    folder: Option<String>,
    manifest: Option<&'a Manifest>,
    evaluation: Option<&'a Evaluation>,
    /// Why it was not written, and checks that failed.
    problems: Vec<serde_json::Value>,
}

fn report<'a>(
    names: &[&'a str],
    compiled: &'a [Compiled],
    delivery: &Delivery,
    args: &CompileArgs,
    common: &Common,
) -> Result<(), Error> {
    if common.format == Format::Json {
        let row = |&target: &&'a str| {
            let own = compiled.iter().find(|c| c.target.name() == target);
            let written = delivery.written.iter().any(|name| name == target);
            CompiledRow {
                target,
                folder: written.then(|| args.output.join(target).display().to_string()),
                manifest: own.map(|c| &c.manifest),
                evaluation: own.and_then(|c| c.evaluation.as_ref()),
                problems: delivery.problems(target),
            }
        };
        return render::json(&names.iter().map(row).collect::<Vec<_>>());
    }
    let mut warned = std::collections::BTreeSet::new();
    for c in compiled {
        for warning in c.evaluation.iter().flat_map(Evaluation::warnings) {
            if warned.insert(warning.clone()) {
                render::warning("samples", &warning);
            }
        }
    }
    if !common.quiet {
        let mut shown = std::collections::BTreeSet::new();
        for c in compiled {
            for note in &c.manifest.notes {
                if shown.insert((note.node.clone(), note.text.clone())) {
                    render::note(&format!("{} on {}", note.node, c.target.name()), &note.text);
                }
            }
        }
    }
    let mut header =
        vec!["target", "code", "certificate", "proved", "differs", "approx.", "failed"];
    header.extend(["steps", "bytes"]);
    if args.data.is_some() {
        header.extend(["top-1 %", "other codes", "spikes/neuron"]);
    }
    let rows: Vec<Vec<String>> = compiled.iter().map(compiled_row).collect();
    if !rows.is_empty() {
        render::line(tables::table(&header, &rows, 3));
    }
    delivery.show(&args.output, names);
    Ok(())
}

/// Populations that failed; obligations that do not hold are one more each.
fn failed(c: &Compiled) -> String {
    let failed = c.manifest.certificate.verdict == Verdict::Failed;
    let open = c.certificate.obligations.iter().filter(|o| failed && !o.holds).count();
    (c.manifest.certificate.failed + open).to_string()
}

fn compiled_row(c: &Compiled) -> Vec<String> {
    let summary = &c.manifest.certificate;
    let bytes: u64 = c.manifest.files.iter().map(|f| f.bytes).sum();
    let mut row = vec![
        c.target.name().to_owned(),
        c.manifest.options.get("code").cloned().unwrap_or_default(),
        summary.verdict.to_string(),
        summary.proved.to_string(),
        summary.differs.to_string(),
        summary.approximate.to_string(),
        failed(c),
        c.manifest.latency.to_string(),
        bytes.to_string(),
    ];
    if let Some(e) = &c.evaluation {
        row.push(e.top1.map_or("-".into(), |t| format!("{t:.2}")));
        row.push(match (e.mismatches_vs_reference, e.activations_compared) {
            (Some(m), Some(n)) => format!("{m} of {n}"),
            _ => "-".into(),
        });
        row.push(format!("{:.3}", e.spikes_per_neuron));
    }
    row
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
                "--code",
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
