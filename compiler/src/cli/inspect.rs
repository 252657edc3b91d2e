//! `inspect`: what is in a model or an artefact, and what each target makes of it.

use super::args::{Common, Format, InspectArgs};
use super::open::artefacts_in;
use super::{config, reals, render, tables};
use crate::Error;
use crate::artefact::{Opened, PopulationRow};
use crate::forms;
use crate::frontend::{self, Content};
use crate::inspect::{Grid, Inspection, Obstacle, Port, Row, inspect as inspection};
use std::path::PathBuf;

/// Characters of a name in a table; some exporters join the names of all that was fused.
const NAME: usize = 40;

/// `inspect`
pub(super) fn inspect(args: &InspectArgs, common: &Common) -> Result<(), Error> {
    if let Some(all) = artefacts_in(&args.network) {
        return inspect_all(&all, args, common);
    }
    let report = match frontend::open(&args.network, &config::import_options(&args.import)?)? {
        Content::Real(file) => return reals::inspect(&file.network, common),
        Content::Artefact(opened) => return inspect_artefact(&opened, common),
        Content::Model(model) => inspection(&model)?,
    };
    if common.format == Format::Json {
        return render::json(&report);
    }
    print_model(&report, common);
    Ok(())
}

/// The artefacts in a folder, one after the other.
fn inspect_all(all: &[PathBuf], args: &InspectArgs, common: &Common) -> Result<(), Error> {
    let options = config::import_options(&args.import)?;
    let mut objects = Vec::with_capacity(all.len());
    for (i, path) in all.iter().enumerate() {
        if common.format == Format::Json {
            let Content::Artefact(opened) = frontend::open(path, &options)? else { continue };
            objects.push(
                serde_json::to_value(&opened.manifest).map_err(|e| Error::internal("answer", e))?,
            );
            continue;
        }
        if i > 0 {
            render::line("");
        }
        match frontend::open(path, &options)? {
            Content::Real(file) => reals::inspect(&file.network, common)?,
            Content::Artefact(opened) => inspect_artefact(&opened, common)?,
            Content::Model(_) => {}
        }
    }
    if common.format == Format::Json { render::json(&objects) } else { Ok(()) }
}

fn print_model(report: &Inspection, common: &Common) {
    let version = |(domain, version): &(String, i64)| match domain.as_str() {
        "" => format!("ONNX {version}"),
        other => format!("{other} {version}"),
    };
    let mut written: Vec<String> = report.opsets.iter().map(version).collect();
    if !report.producer.is_empty() {
        written.push(format!("by {}", report.producer));
    }
    render::line(format_args!("network {} ({})", report.name, written.join(", ")));
    for (kind, ports) in [("input", &report.inputs), ("output", &report.outputs)] {
        for port in ports {
            render::line(format_args!("{kind:7} {}", port_text(port)));
        }
    }
    let rows: Vec<Vec<String>> = report.nodes.iter().map(cells).collect();
    let header = ["node", "ONNX", "operator", "result", "quantisation", "parameters", "operations"];
    render::line(tables::table(&header, &rows, 5));
    let (p, o) = (report.parameters, report.operations);
    render::line(format_args!("{p} parameters, {o} multiply-accumulate operations per sample"));
    if !common.quiet {
        for (node, text) in &report.notes {
            render::note(node, text);
        }
    }
    if !report.obstacles.is_empty() {
        render::line("\nWhat keeps the network from being converted:");
        report.obstacles.iter().for_each(print_obstacle);
    }
    render::line("");
    if report.calibrated {
        render::line(
            "The model is not quantised. As `compile --calibration` would quantise it, on",
        );
    }
    for rating in &report.targets {
        render::line(format_args!("{} ({}): {}", rating.target, rating.coding, rating.rating));
        if report.obstacles.is_empty() {
            rating.reasons.iter().for_each(print_obstacle);
        }
    }
}

fn print_obstacle(obstacle: &Obstacle) {
    render::line(format_args!("  {}: {}", obstacle.place, obstacle.reason));
    if !obstacle.remedy.is_empty() {
        render::line(format_args!("    help: {}", obstacle.remedy));
    }
}

fn port_text(port: &Port) -> String {
    format!("{}: {}[{}]", port.name, port.dtype, tables::shape(&port.shape))
}

fn cells(row: &Row) -> Vec<String> {
    let count = |n: u64| if n == 0 { "-".to_owned() } else { n.to_string() };
    vec![
        shortened(&row.name),
        row.onnx.join(" "),
        row.operator.clone(),
        format!("{}[{}]", row.dtype, tables::shape(&row.shape)),
        row.quantisation.as_ref().map_or_else(|| "-".into(), grid_text),
        count(row.parameters),
        count(row.operations),
    ]
}

fn grid_text(grid: &Grid) -> String {
    let scale = match (grid.scales, grid.scale) {
        (1, (scale, _)) => format!("scale {scale:.4e}"),
        (n, (low, high)) => format!("{n} scales {low:.4e} to {high:.4e}"),
    };
    match grid.bits {
        // Accumulators: every 32-bit number is a code.
        bits @ 32.. => format!("{bits} bits, {scale}"),
        bits => format!("{bits} bits, {} to {}, {scale}", grid.range.0, grid.range.1),
    }
}

/// The end of a long name: exporters put what tells nodes apart there.
fn shortened(name: &str) -> String {
    match name.char_indices().rev().nth(NAME - 1) {
        Some((start, _)) if start > 0 => format!("…{}", &name[start..]),
        _ => name.to_owned(),
    }
}

fn inspect_artefact(opened: &Opened, common: &Common) -> Result<(), Error> {
    if common.format == Format::Json {
        return match &opened.manifest {
            Some(manifest) => render::json(manifest),
            None => render::json(&PopulationRow::all(&opened.network)),
        };
    }
    if let Some(m) = &opened.manifest {
        render::line(format_args!(
            "{} compiled from {} (certificate: {})",
            m.target, m.source.file, m.certificate.verdict
        ));
        for row in &m.fit {
            let available = row.available.map_or("unknown".into(), |a| a.to_string());
            render::line(format_args!("  {}: {} of {available}", row.resource, row.used));
        }
    } else {
        render::line(format_args!("a file of target {}", opened.target.name()));
    }
    let timing = opened.network.timing;
    render::line(format_args!("{} timesteps, {:?}", timing.timesteps, timing.schedule));
    let forms = forms::forms(&opened.network).unwrap_or_default();
    let form = |name: &str| forms.iter().find(|f| f.name == name).map_or("-", |f| f.form);
    let rows: Vec<Vec<String>> = PopulationRow::all(&opened.network)
        .iter()
        .map(|p| {
            let thresholds = p.thresholds.map_or("-".into(), |(a, b)| format!("{a}..{b}"));
            vec![
                p.name.clone(),
                p.coding.clone(),
                tables::shape(&p.shape),
                p.payload_bits.to_string(),
                thresholds,
                p.weight_bits.to_string(),
                p.fan_in.to_string(),
                p.parameters.to_string(),
                form(&p.name).to_owned(),
            ]
        })
        .collect();
    let header = [
        "population",
        "coding",
        "shape",
        "payload bits",
        "thresholds",
        "weight bits",
        "fan-in",
        "parameters",
        "runs as",
    ];
    render::line(tables::table(&header, &rows, 3));
    for row in forms.iter().filter(|row| !row.reason.is_empty()) {
        render::line(format_args!("{} runs as {}: {}", row.name, row.form, row.reason));
    }
    Ok(())
}
