//! `verify`: an artefact against the model from which it was compiled.

use std::path::Path;

use snnc_ir::Graph;

use super::args::{Common, Format, VerifyArgs};
use super::commands::semantics;
use super::open::{self, Loaded, runner};
use super::{checks, render, tables};
use crate::artefact::Opened;
use crate::calibration::Calibration;
use crate::calibration::QuantiseOptions;
use crate::certificate::{Certificate, Verdict, certify_against};
use crate::data::Dataset;
use crate::driver::Model;
use crate::evaluate::{Judge, Runner};
use crate::feed::Given;
use crate::passes::Context;
use crate::passes::graded::{self, Conversion};
use crate::{Error, Problem, artefact, inputs};

/// What an artefact is held against.
struct Against {
    quantised: Graph,
    conversion: Conversion,
    /// The model on reals, where it is one.
    float: Option<Graph>,
}

/// `verify`
pub(super) fn verify(args: &VerifyArgs, common: &Common) -> Result<(), Error> {
    let opened = open::artefact(&args.artefact)?;
    let against = against(args, &opened, common)?;
    let semantics = semantics(&args.reference)?;
    let mut certificate =
        certify_against(semantics, &against.quantised, &against.conversion, &opened.network);
    let mut seen = Vec::new();
    if let Some(path) = &args.samples {
        seen = compare(args, &opened, &against, path, &mut certificate)?;
    }
    if common.format == Format::Json {
        render::json(&certificate)?;
    } else {
        print_certificate(&certificate);
        seen.iter().for_each(render::line);
    }
    checks::ask_peers(args, &opened)?;
    conclude(&certificate, args.allow_approximate)
}

/// The quantised network of the model: its own, or that of a model on reals, as it was recorded when the
/// artefact was compiled or as `--calibration` gives it.
fn against(args: &VerifyArgs, opened: &Opened, common: &Common) -> Result<Against, Error> {
    let original = open::tensor(&args.against, &args.import)?;
    let mut context = Context::default();
    if !original.is_float() {
        if args.calibration.is_some() {
            let help = "leave it out";
            return Err(Error::usage("--calibration", "the model is quantised already", help));
        }
        let model = Model::of(&original, None, &mut context)?;
        let conversion = graded::convert_for(&model.quantised, &opened.network)?;
        return Ok(Against { quantised: model.quantised, conversion, float: None });
    }
    let place = format!("`{}`", args.artefact.display());
    let (Some(manifest), Some(source)) = (&opened.manifest, &opened.source) else {
        let reason = "does not hold the quantised form of the unquantised model";
        return Err(Error::usage(place, reason, "name the folder that `snnc compile` wrote"));
    };
    if manifest.source.sha256 != original.digest.sha256() {
        let reason = format!("was compiled from another file than `{}`", args.against.display());
        let help = "name the model that it was compiled from";
        return Err(Error::Check(vec![Problem::new(place, reason, help)]));
    }
    let Some(calibration) = &args.calibration else {
        if !common.quiet {
            let text = "is unquantised: the artefact is compared with the quantised network that it \
                        recorded; --calibration quantises the model again";
            render::note(&format!("`{}`", args.against.display()), text);
        }
        let conversion = graded::convert_for(source, &opened.network)?;
        return Ok(Against {
            quantised: source.clone(),
            conversion,
            float: Some(original.canonical),
        });
    };
    let recorded = manifest.inputs.first();
    let input = Given {
        scale: recorded.map(|row| row.data_scale),
        offset: recorded.map(|row| row.data_offset),
    };
    let Some(options) = QuantiseOptions::from_recorded(&manifest.options, input) else {
        let reason = "does not say how its model was quantised";
        return Err(Error::usage(place, reason, "leave out --calibration"));
    };
    let calibration = Calibration {
        data: Some(calibration.clone()),
        statistics: None,
        options,
        budget: None,
        candidates: Vec::new(),
    };
    let model = Model::of(&original, Some(&calibration), &mut context)?;
    if model.quantised.to_wire() != source.to_wire() {
        let reason = "gives another quantised network than the one that the artefact recorded";
        let help = "name the calibration set of `snnc compile`";
        return Err(Error::Check(vec![Problem::new("--calibration", reason, help)]));
    }
    let conversion = graded::convert_for(&model.quantised, &opened.network)?;
    Ok(Against { quantised: model.quantised, conversion, float: Some(original.canonical) })
}

/// Runs both on samples, and enters into the certificate what was seen; what there is to say besides.
fn compare(
    args: &VerifyArgs,
    opened: &Opened,
    against: &Against,
    path: &Path,
    certificate: &mut Certificate,
) -> Result<Vec<String>, Error> {
    let ports = inputs::ports(&against.quantised);
    let data = Dataset::load_for(&ports, path, args.data.limit)?;
    let source = Some(against.quantised.clone());
    let loaded = Loaded::Artefact(Box::new(artefact::Opened { source, ..opened.clone() }));
    let emitted_runner = runner(&loaded, &args.data, true)?;
    let emitted = emitted_runner.evaluate(&data, path)?;
    // All get the same input, whatever the artefact was compiled for.
    let scaling = emitted_runner.scaling;
    let others = |graph: &Graph, what: &str| -> Result<String, Error> {
        let reference = Runner::tensor(graph, scaling)?.evaluate(&data, path)?;
        let pairs = emitted.predictions.iter().zip(&reference.predictions);
        let other = pairs.filter(|(a, b)| a != b).count();
        Ok(format!("{other} of {} predictions are not those of the {what}", data.len()))
    };
    let mut seen = vec![others(&against.quantised, "quantised network")?];
    if let Some(float) = &against.float {
        seen.push(others(float, "float model")?);
    }
    for (name, measured) in &emitted.measured {
        if let Some(p) = certificate.populations.iter_mut().find(|p| p.population == *name) {
            p.measured = Some(*measured);
        }
    }
    let suspects: Vec<String> = certificate
        .populations
        .iter()
        .filter(|p| p.verdict == Verdict::Proved && p.measured.is_some_and(|m| m.differing > 0))
        .map(|p| p.population.clone())
        .collect();
    if suspects.is_empty() {
        return Ok(seen);
    }
    // What is proved cannot differ on the inputs that it got: if it does, the proof is wrong.
    let judge = Judge::new(&against.quantised, &against.conversion, &opened.network)?;
    let fitted = data.fitted(&emitted_runner.input_shape, path)?;
    let own = judge.measure(&emitted_runner, &fitted)?;
    for p in certificate.populations.iter_mut().filter(|p| suspects.contains(&p.population)) {
        match own.get(&p.population) {
            Some(own) if own.differing > 0 => {
                p.verdict = Verdict::Failed;
                p.method = format!(
                    "proved, but {} activations differ on the inputs that it got",
                    own.differing
                );
                certificate.verdict = Verdict::Failed;
            }
            Some(_) => p.method += "; its inputs differ, and it is right on those that it got",
            None => p.method += "; its inputs differ, and have no codes on which to judge it",
        }
    }
    Ok(seen)
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
    let header = ["population", "ONNX node", "verdict", "differing accumulators", "on data", "how"];
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
