//! What `compile` says of what it made.

use std::collections::BTreeMap;

use serde::Serialize;

use super::args::{Common, CompileArgs, Format};
use super::deliver::Delivery;
use super::{render, tables};
use crate::Error;
use crate::artefact::Manifest;
use crate::certificate::{Measured, Verdict};
use crate::driver::Compiled;
use crate::evaluate::Evaluation;

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
    let rows: Vec<Vec<String>> = compiled.iter().flat_map(differences).collect();
    if !rows.is_empty() {
        let header = ["target", "population", "spikes of the model", "compared", "other spikes"];
        render::line(tables::table(&header, &rows, 2));
    }
    delivery.show(&args.output, names);
    Ok(())
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
            (Some(m), Some(n)) => format!("{m} of {n}"),
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
