//! The commands but `inspect`.

use std::path::Path;

use serde::Serialize;
use snnc_backends::{TARGETS, Target, TargetOptions, target};
use snnc_ir::{Coding, Leak, PrintOptions};

use super::args::{Common, CompileArgs, DataArgs, Format, ImportArgs, TargetsArgs, VerifyArgs};
use super::config::{Config, import_options, scaling};
use super::{calibrate, checks};
use super::{render, tables};
use crate::artefact::{self, Manifest, write_all};
use crate::certificate::{Certificate, Verdict, certify_against};
use crate::codings;
use crate::data::{Dataset, Scaling};
use crate::evaluate::{Evaluation, Runner, takes_reals};
use crate::inputs::{self, Port};
use crate::passes::{Context, graded};
use crate::pipeline::{self, CompileOptions, Compiled, Model};
use crate::reference::Semantics;
use crate::{Error, Problem, import, spiking_float};

/// Resolves names of targets; all unknown ones at once.
pub(super) fn resolve_targets(names: &[String]) -> Result<Vec<&'static dyn Target>, Error> {
    let known = || TARGETS.iter().map(|t| t.name()).collect::<Vec<_>>().join(", ");
    let (mut found, mut problems) = (Vec::new(), Vec::new());
    for name in names {
        match target(name) {
            Some(t) if found.iter().any(|f: &&dyn Target| f.name() == t.name()) => {}
            Some(t) => found.push(t),
            None => problems.push(Problem::new(
                "--target",
                format!("there is no target `{name}`"),
                format!("there are {}", known()),
            )),
        }
    }
    if problems.is_empty() { Ok(found) } else { Err(Error::Usage(problems)) }
}

fn compile_options(
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
    let hardware = match &args.hw {
        Some(path) => Some(std::fs::read_to_string(path).map_err(|e| {
            Error::input(
                format!("`{}`", path.display()),
                format!("cannot be read: {e}"),
                "check the path",
            )
        })?),
        None => None,
    };
    let mut extra = config.target(target.name());
    extra.extend(args.set.iter().cloned());
    let default = Scaling::default();
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
        },
        scaling: Scaling {
            scale: config.input.scale.unwrap_or(default.scale),
            offset: config.input.offset.unwrap_or(default.offset),
        },
        data: args.data.clone(),
        thresholds_by: args.quantise.calibration.clone(),
        import: import_options(&args.import)?,
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

fn semantics(name: &str) -> Result<Semantics, Error> {
    Semantics::from_name(name).ok_or_else(|| {
        let reason = format!("there is no reference `{name}`");
        Error::usage("--reference", reason, "there are ort, real, fixed")
    })
}

/// `compile`
pub(super) fn compile(args: &CompileArgs, common: &Common) -> Result<(), Error> {
    let targets = resolve_targets(&args.target)?;
    if let Some(network) = super::reals::open(&args.model)? {
        return super::reals::compile(args, &targets, &network, common);
    }
    let import = import_options(&args.import)?;
    if let Some(source) = spiking_float::source(&args.model, &import)? {
        let config = Config::load(args.config.as_deref())?;
        let options =
            |t: &&'static dyn Target| Ok((*t, compile_options(args, &config, *t)?.target));
        let targets = targets.iter().map(options).collect::<Result<Vec<_>, Error>>()?;
        return super::float::compile(args, &config, &source, &targets, common);
    }
    let config = Config::load(args.config.as_deref())?;
    let options: Vec<CompileOptions> =
        targets.iter().map(|t| compile_options(args, &config, *t)).collect::<Result<_, _>>()?;
    let mut context = Context::default();
    if args.print_after_all || args.print_after.is_some() {
        let wanted = args.print_after.clone();
        context.after_pass = Some(Box::new(move |pass, graph| {
            if wanted.as_deref().is_none_or(|w| w == pass) {
                let text = graph.to_text(PrintOptions { elide_above: Some(64) });
                eprint_text(&format!("// after {pass}\n{text}"));
            }
        }));
    }
    // Targets differ in the bits that suit them; quantised models have theirs already.
    let mut models: Vec<((u8, u8), Model)> = Vec::new();
    let (mut compiled, mut problems) = (Vec::new(), Vec::new());
    for (target, options) in targets.iter().zip(&options) {
        let calibration = calibrate::calibration(
            &args.quantise,
            args.data.clone(),
            options.scaling,
            target.name(),
            options.spikes.timesteps.filter(|_| options.coding == Some(snnc_ir::Coding::Rate)),
        )?;
        let bits = (calibration.options.payload_bits, calibration.options.weight_bits);
        let known = models.iter().position(|(b, m)| *b == bits || !pipeline::is_float(&m.tensor));
        let index = match known {
            Some(index) => index,
            None => {
                let import = import_options(&args.import)?;
                context.notes.clear();
                let model =
                    Model::load_calibrated(&args.model, &import, Some(&calibration), &mut context)?;
                models.push((bits, model));
                models.len() - 1
            }
        };
        match pipeline::compile(&models[index].1, *target, options) {
            Ok(done) => compiled.push(done),
            Err(Error::Unsupported(p)) => problems.extend(p),
            Err(other) => return Err(other),
        }
    }
    if !problems.is_empty() {
        return Err(Error::Unsupported(problems));
    }
    let folders: Vec<(String, Vec<snnc_backends::File>)> = compiled
        .iter_mut()
        .map(|c| (c.target.name().to_owned(), std::mem::take(&mut c.files)))
        .collect();
    write_all(&args.output, &folders)?;
    report_compiled(&compiled, args, common)
}

fn eprint_text(text: &str) {
    use std::io::Write;
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

#[derive(Serialize)]
struct CompiledRow<'a> {
    target: &'a str,
    folder: String,
    manifest: &'a Manifest,
    evaluation: Option<&'a Evaluation>,
}

fn report_compiled(
    compiled: &[Compiled],
    args: &CompileArgs,
    common: &Common,
) -> Result<(), Error> {
    if common.format == Format::Json {
        let rows: Vec<CompiledRow<'_>> = compiled
            .iter()
            .map(|c| CompiledRow {
                target: c.target.name(),
                folder: args.output.join(c.target.name()).display().to_string(),
                manifest: &c.manifest,
                evaluation: c.evaluation.as_ref(),
            })
            .collect();
        return render::json(&rows);
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
        vec!["target", "code", "certificate", "proved", "differs", "approx.", "steps", "bytes"];
    if args.data.is_some() {
        header.extend(["top-1 %", "other codes", "spikes/neuron"]);
    }
    let rows: Vec<Vec<String>> = compiled.iter().map(compiled_row).collect();
    render::line(tables::table(&header, &rows, 3));
    render::line(format_args!("written to {}", args.output.display()));
    Ok(())
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

/// A network that a command runs.
pub(super) enum Loaded {
    /// An artefact.
    Artefact(Box<artefact::Opened>),
    /// A model: its runner, and whether it could be brought to integer codes.
    Model(Box<snnc_ir::Graph>),
}

/// Opens an artefact or a model of integers; the content decides which it is.
pub(super) fn load(path: &Path, import: &ImportArgs) -> Result<Loaded, Error> {
    match load_any(path, import)? {
        Any::Integer(loaded) => Ok(loaded),
        Any::Float(..) => Err(Error::usage(
            format!("`{}`", path.display()),
            "spikes in single precision, which this command does not measure",
            "run it with `snnc run`",
        )),
    }
}

/// A network that `run` runs.
pub(super) enum Any {
    /// An artefact, or a model.
    Integer(Loaded),
    /// Either of them that spikes in single precision, and when the model shows its outputs.
    Float(Box<snnc_ir::Graph>, Vec<artefact::Showing>),
}

/// Opens an artefact or a model; the content decides which it is.
pub(super) fn load_any(path: &Path, import: &ImportArgs) -> Result<Any, Error> {
    if !path.exists() {
        return Err(Error::input(
            format!("`{}`", path.display()),
            "does not exist",
            "check the path",
        ));
    }
    if let Some(opened) = artefact::open(path)? {
        return Ok(match opened.network.is_float() {
            true => {
                let rows = opened.manifest.iter().flat_map(|m| &m.outputs);
                let showing = rows.map(|o| o.showing).collect();
                Any::Float(Box::new(opened.network), showing)
            }
            false => Any::Integer(Loaded::Artefact(Box::new(opened))),
        });
    }
    if super::reals::open(path)?.is_some() {
        let place = format!("`{}`", path.display());
        let remedy = "`snnc run` runs it, `snnc compile --target nir` writes it anew";
        return Err(Error::usage(place, "is a network on reals", remedy));
    }
    let imported = import::load(path, &import_options(import)?)?;
    if import::spiking::seems_spiking(&imported.graph) {
        match import::spiking::recognise(&imported.graph) {
            Ok(found) => {
                for (node, text) in &found.notes {
                    render::note(node, text);
                }
                let showing = found.showing();
                return Ok(Any::Float(Box::new(found.network), showing));
            }
            Err(error @ Error::Input(_)) => return Err(error),
            // It may compare for other reasons, and runs as ONNX states it.
            Err(error) => {
                for p in error.problems() {
                    let text = format!("is run without spiking neurons: {}", p.reason);
                    render::note(&p.place, &text);
                }
            }
        }
    }
    let graph = pipeline::runnable_of(imported)?;
    Ok(Any::Integer(Loaded::Model(Box::new(graph))))
}

impl Loaded {
    /// The inputs of the network as data files name them.
    pub(super) fn ports(&self) -> Vec<Port> {
        match self {
            Loaded::Model(graph) => inputs::ports(graph),
            Loaded::Artefact(opened) => {
                let rows = opened.manifest.as_ref().map(|m| &m.inputs);
                let mut ports = inputs::ports(&opened.network);
                for port in &mut ports {
                    let row = rows.and_then(|rows| rows.iter().find(|r| r.name == port.name));
                    port.real = row.map(|r| r.dtype.starts_with('f') || r.dtype.starts_with("bf"));
                }
                ports
            }
        }
    }
}

/// What runs a network, as the options of data say.
pub(super) fn runner(loaded: &Loaded, data: &DataArgs, reference: bool) -> Result<Runner, Error> {
    match loaded {
        Loaded::Model(graph) => {
            let default = if takes_reals(graph) {
                Scaling::default()
            } else {
                Scaling { scale: 1.0, offset: 0.0 }
            };
            Runner::tensor(graph, scaling(data, default)?)
        }
        Loaded::Artefact(opened) => {
            let input = opened.manifest.as_ref().and_then(|m| m.inputs.first());
            let (reals, default) = match input {
                Some(i) => (
                    i.dtype.starts_with('f'),
                    Scaling { scale: i.data_scale, offset: i.data_offset },
                ),
                None => (false, Scaling { scale: 1.0, offset: 0.0 }),
            };
            let default = if reals { default } else { Scaling { scale: 1.0, offset: 0.0 } };
            let source = opened.source.as_ref().filter(|_| reference);
            let runner = Runner::spiking(&opened.network, source, reals, scaling(data, default)?)?;
            let runner = runner.with_ports(loaded.ports());
            let runner = match &opened.host {
                Some(host) => runner.with_host(host)?,
                None => runner,
            };
            Ok(runner.with_memories(opened.memories.clone()))
        }
    }
}

/// Writes a file beside, then renames it: a failed run leaves nothing half written.
pub(super) fn write_file(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let fail = |e: &dyn std::fmt::Display| {
        Error::input(
            format!("`{}`", path.display()),
            format!("cannot be written: {e}"),
            "choose another path",
        )
    };
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    // Temporary files are private by default; an answer is a file like any other.
    #[cfg(unix)]
    let mode = <std::fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o666);
    #[cfg(unix)]
    builder.permissions(mode);
    let mut file = builder.tempfile_in(parent).map_err(|e| fail(&e))?;
    std::io::Write::write_all(&mut file, bytes).map_err(|e| fail(&e))?;
    file.persist(path).map_err(|e| fail(&e))?;
    Ok(())
}

/// `verify`
pub(super) fn verify(args: &VerifyArgs, common: &Common) -> Result<(), Error> {
    let Loaded::Artefact(opened) = load(&args.artefact, &args.import)? else {
        let place = format!("`{}`", args.artefact.display());
        return Err(Error::usage(
            place,
            "is a model, not an artefact",
            "compile it, then verify the folder",
        ));
    };
    let mut context = Context::default();
    let model = Model::load(&args.against, &import_options(&args.import)?, &mut context)?;
    let semantics = semantics(&args.reference)?;
    let conversion = graded::convert_for(&model.quantised, &opened.network)?;
    let mut certificate =
        certify_against(semantics, &model.quantised, &conversion, &opened.network);
    let mut other_predictions = None;
    if let Some(path) = &args.samples {
        let data = Dataset::load_for(&inputs::ports(&model.quantised), path, args.data.limit)?;
        let loaded = Loaded::Artefact(Box::new(artefact::Opened {
            source: Some(model.quantised.clone()),
            ..*opened.clone()
        }));
        let emitted = runner(&loaded, &args.data, true)?.evaluate(&data, path)?;
        let reference =
            runner(&Loaded::Model(Box::new(model.quantised.clone())), &args.data, false)?
                .evaluate(&data, path)?;
        let pairs = emitted.predictions.iter().zip(&reference.predictions);
        other_predictions = Some((pairs.filter(|(a, b)| a != b).count(), data.len()));
        for (name, measured) in emitted.measured {
            if let Some(p) = certificate.populations.iter_mut().find(|p| p.population == name) {
                // What is proved cannot differ on data: if it does, the proof is wrong.
                if p.verdict == Verdict::Proved && measured.differing > 0 {
                    p.verdict = Verdict::Failed;
                    p.method =
                        format!("proved, but {} activations differ on data", measured.differing);
                    certificate.verdict = Verdict::Failed;
                }
                p.measured = Some(measured);
            }
        }
    }
    if common.format == Format::Json {
        render::json(&certificate)?;
    } else {
        print_certificate(&certificate);
        if let Some((other, n)) = other_predictions {
            render::line(format_args!(
                "{other} of {n} predictions are not those of the quantised network"
            ));
        }
    }
    checks::ask_peers(args, &opened)?;
    conclude(&certificate, args.allow_approximate)
}

fn print_certificate(certificate: &Certificate) {
    let rows: Vec<Vec<String>> = certificate
        .populations
        .iter()
        .map(|p| {
            let seen =
                p.measured.map_or("-".into(), |m| format!("{} of {}", m.differing, m.activations));
            vec![
                p.population.clone(),
                p.node.clone(),
                p.verdict.to_string(),
                format!("{} of {}", p.differing, p.reachable),
                seen,
                p.method.clone(),
            ]
        })
        .collect();
    let header = ["population", "ONNX node", "verdict", "differing accumulators", "seen", "how"];
    render::line(tables::table(&header, &rows, 6));
    for o in certificate.obligations.iter().filter(|o| !o.holds) {
        render::line(format_args!("not shown: {}: {}", o.subject, o.claim));
    }
    render::line(format_args!("certificate: {}", certificate.verdict));
}

/// An error unless everything is proved, or is only approximate and that is allowed.
fn conclude(certificate: &Certificate, allow_approximate: bool) -> Result<(), Error> {
    if certificate.verdict == Verdict::Proved
        || (allow_approximate && certificate.verdict != Verdict::Failed)
    {
        return Ok(());
    }
    let populations =
        certificate.populations.iter().filter(|p| p.verdict != Verdict::Proved).map(|p| {
            let detail = match p.verdict {
                Verdict::Differs => {
                    format!("{} of {} accumulator values differ", p.differing, p.reachable)
                }
                _ => p.method.clone(),
            };
            let help =
                if p.verdict == Verdict::Failed { "" } else { "--allow-approximate accepts it" };
            Problem::new(
                format!("{} (population `{}`)", p.node, p.population),
                format!("{}: {detail}", p.verdict),
                help,
            )
        });
    let obligations = certificate.obligations.iter().filter(|o| !o.holds);
    let obligations = obligations.map(|o| {
        Problem::new(format!("`{}`", o.subject), format!("does not hold: {}", o.claim), "")
    });
    Err(Error::Check(populations.chain(obligations).collect()))
}

/// `targets`
pub(super) fn targets(args: &TargetsArgs, common: &Common) -> Result<(), Error> {
    let chosen = match &args.name {
        Some(name) => resolve_targets(std::slice::from_ref(name))?,
        None => TARGETS.to_vec(),
    };
    let codings = |t: &dyn Target| t.codings().iter().map(|c| c.name()).collect::<Vec<_>>();
    if common.format == Format::Json {
        let row = |t: &&dyn Target| serde_json::json!({ "name": t.name(), "summary": t.summary(), "codings": codings(*t), "devices": t.devices(), "description": t.description() });
        return render::json(&chosen.iter().map(row).collect::<Vec<_>>());
    }
    if args.name.is_some() {
        for t in chosen {
            render::line(format_args!("{}: {}\n\n{}", t.name(), t.summary(), t.description()));
            render::line(format_args!("\ncodings: {}", codings(t).join(", ")));
            if !t.devices().is_empty() {
                render::line(format_args!("devices: {}", t.devices().join(", ")));
            }
        }
        return Ok(());
    }
    let rows: Vec<Vec<String>> = chosen
        .iter()
        .map(|t| vec![t.name().to_owned(), t.summary().to_owned(), codings(*t).join(", ")])
        .collect();
    render::line(tables::table(&["target", "what it is", "codings, the default first"], &rows, 3));
    Ok(())
}
