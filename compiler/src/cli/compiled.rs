//! What `compile` says of what it made.

use std::collections::BTreeMap;

use serde::Serialize;
use snnc_backends::Note;

use super::args::{Common, CompileArgs, Format};
use super::deliver::Delivery;
use super::{notes, render, tables};
use crate::Error;
use crate::artefact::Manifest;
use crate::certificate::{Measured, Verdict};
use crate::driver::Compiled;
use crate::evaluate::Evaluation;
use crate::reference::Semantics;

#[derive(Serialize)]
struct CompiledRow<'a> {
    target: &'a str,
    /// Where the artefact is; none where it was not written.
    folder: Option<String>,
    manifest: Option<&'a Manifest>,
    evaluation: Option<&'a Evaluation>,
    /// How far spikes are from those of a model that was trained to spike, by population.
    #[serde(skip_serializing_if = "Option::is_none")]
    measured: Option<&'a BTreeMap<String, Measured>>,
    /// Why it was not written, and checks that failed.
    problems: Vec<serde_json::Value>,
}

/// Says what was compiled, and what was delivered of it.
pub(super) fn report<'a>(
    names: &[&'a str],
    compiled: &'a [Compiled<()>],
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
                measured: own.map(|c| &c.measured).filter(|measured| !measured.is_empty()),
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
    let mut header =
        vec!["target", "coding", "certificate", "proved", "differs", "approximate", "failed"];
    header.extend(["latency", "bytes"]);
    if args.data.is_some() {
        header.extend(["top-1 %", "differing codes", "spikes/neuron"]);
    }
    let rows: Vec<Vec<String>> = compiled.iter().map(compiled_row).collect();
    if !rows.is_empty() {
        render::line(tables::table_without(&header, &rows, 3, &FIRST_OUT));
    }
    let rows: Vec<Vec<String>> = compiled.iter().flat_map(differences).collect();
    if !rows.is_empty() {
        let header =
            ["target", "population", "spikes of the model", "compared", "differing spikes"];
        render::line(tables::table(&header, &rows, 2));
    }
    delivery.show(&args.output, names);
    if !common.quiet {
        let of_target = |c: &'a Compiled<()>| {
            let note = |n: &'a Note| (format!("{} on {}", n.node, c.target.name()), n.text.clone());
            c.manifest.notes.iter().map(note)
        };
        notes::show(compiled.iter().flat_map(of_target), common.verbose > 0);
        let first = delivery.written.first();
        if let Some(first) =
            first.and_then(|name| compiled.iter().find(|c| c.target.name() == name))
        {
            next_steps(first, args);
        }
    }
    Ok(())
}

/// Columns that a narrow terminal does without.
const FIRST_OUT: [&str; 5] = ["failed", "approximate", "differs", "bytes", "spikes/neuron"];

/// Says which commands make use of an artefact.
fn next_steps(first: &Compiled<()>, args: &CompileArgs) {
    let quoted = |path: &std::path::Path| render::quoted(&path.display().to_string());
    let artefact = quoted(&args.output.join(first.target.name()));
    let data = args.data.as_ref().map(|data| quoted(data));
    render::next(&format!("snnc inspect {artefact}"));
    // Networks that spike already have no quantised model, which these commands compare with.
    if Semantics::from_name(&first.certificate.reference).is_none() {
        if let Some(data) = data {
            render::next(&format!("snnc run {artefact} --input {data} -o outputs.npz"));
        }
        return;
    }
    render::next(&format!("snnc verify {artefact} --against {}", quoted(&args.model)));
    let mut report = format!("snnc report {}", quoted(&args.output));
    if let Some(data) = data {
        render::next(&format!("snnc eval {artefact} --data {data}"));
        report += &format!(" --data {data}");
    }
    render::next(&format!("{report} -o report.html"));
}

/// A share in percent; one that is not 0 is never shown as 0.
fn share(part: u64, whole: u64) -> String {
    let percent = 100.0 * part as f64 / (whole.max(1)) as f64;
    match part {
        0 => "0 %".into(),
        _ if percent < 0.01 => "< 0.01 %".into(),
        _ => format!("{percent:.2} %"),
    }
}

/// Populations that failed; obligations that do not hold are one more each.
fn failed(c: &Compiled<()>) -> String {
    let failed = c.manifest.certificate.verdict == Verdict::Failed;
    let open = c.certificate.obligations.iter().filter(|o| failed && !o.holds).count();
    (c.manifest.certificate.failed + open).to_string()
}

fn compiled_row(c: &Compiled<()>) -> Vec<String> {
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
            (Some(m), Some(n)) => share(m, n),
            _ => "-".into(),
        });
        row.push(format!("{:.3}", e.spikes_per_neuron));
    }
    row
}

/// How far each population's spikes are from those of a model that was trained to spike.
fn differences(c: &Compiled<()>) -> Vec<Vec<String>> {
    let row = |(name, m): (&String, &Measured)| {
        vec![
            c.target.name().to_owned(),
            name.clone(),
            format!("{:.0}", m.signal),
            m.activations.to_string(),
            m.differing.to_string(),
        ]
    };
    c.measured.iter().map(row).collect()
}
