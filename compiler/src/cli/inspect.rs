//! `inspect`: what is in a model or an artefact, and what each target makes of it.

use serde::Serialize;
use snnc_backends::{TARGETS, TargetOptions};
use snnc_ir::{Graph, Op, TensorOp};

use super::args::{Common, Format, InspectArgs};
use super::commands::{Loaded, load};
use super::{config, render, tables};
use crate::artefact::{Opened, PopulationRow};
use crate::certificate::{Verdict, certify};
use crate::passes::graded;
use crate::passes::{self, Context};
use crate::{Error, Problem, import};

/// What `inspect` shows of a model.
#[derive(Serialize)]
struct ModelReport {
    inputs: Vec<ValueRow>,
    outputs: Vec<ValueRow>,
    nodes: Vec<NodeRow>,
    parameters: usize,
    /// What keeps the network from being converted; empty if nothing does.
    obstacles: Vec<String>,
    targets: Vec<TargetRow>,
}

#[derive(Serialize)]
struct ValueRow {
    name: String,
    r#type: String,
}

#[derive(Serialize)]
struct NodeRow {
    name: String,
    op: String,
    shape: Vec<usize>,
    quantisation: Option<String>,
    parameters: usize,
}

#[derive(Serialize)]
struct TargetRow {
    target: String,
    /// `exact`, `approximate` or `cannot`.
    rating: String,
    reasons: Vec<String>,
}

/// `inspect`
pub(super) fn inspect(args: &InspectArgs, common: &Common) -> Result<(), Error> {
    if !args.network.exists() {
        return Err(Error::input(
            format!("`{}`", args.network.display()),
            "does not exist",
            "check the path",
        ));
    }
    if let Loaded::Artefact(opened) = load_artefact_or_model(args)? {
        return inspect_artefact(&opened, common);
    }
    let imported = import::load(&args.network, &config::import_options(&args.import)?)?;
    let mut context = Context::default();
    let tensor = passes::canonicalise(imported.graph, &mut context)?;
    let report = model_report(tensor, &mut context);
    if common.format == Format::Json {
        return render::json(&report);
    }
    print_model(&report);
    Ok(())
}

fn load_artefact_or_model(args: &InspectArgs) -> Result<Loaded, Error> {
    match crate::artefact::open(&args.network)? {
        Some(opened) => Ok(Loaded::Artefact(Box::new(opened))),
        None => load(&args.network, &args.import),
    }
}

fn model_report(tensor: Graph, context: &mut Context) -> ModelReport {
    let value = |g: &Graph, id| ValueRow { name: g[id].name.clone(), r#type: g[id].ty.to_string() };
    let inputs = tensor.inputs().into_iter().map(|id| value(&tensor, id)).collect();
    let outputs = tensor.outputs().into_iter().map(|id| value(&tensor, id)).collect();
    let converted =
        passes::quantised(tensor.clone(), context).and_then(|q| Ok((graded::convert(&q)?, q)));
    let shown = converted.as_ref().map_or(&tensor, |(_, q)| q);
    let nodes = node_rows(shown);
    let parameters = nodes.iter().map(|n| n.parameters).sum();
    let (obstacles, targets) = match &converted {
        Ok((conversion, quantised)) => (Vec::new(), ratings(conversion, quantised)),
        Err(error) => {
            let obstacles: Vec<String> = error.problems().iter().map(Problem::to_string).collect();
            let cannot = |t: &&dyn snnc_backends::Target| TargetRow {
                target: t.name().into(),
                rating: "cannot".into(),
                reasons: vec!["the network is not on integer codes".into()],
            };
            (obstacles, TARGETS.iter().map(cannot).collect())
        }
    };
    ModelReport { inputs, outputs, nodes, parameters, obstacles, targets }
}

fn node_rows(graph: &Graph) -> Vec<NodeRow> {
    let order = graph.order().unwrap_or_default();
    let is_work = |op: &Op| {
        !matches!(op, Op::Tensor(TensorOp::Constant | TensorOp::Input | TensorOp::Output))
    };
    order
        .into_iter()
        .filter(|&id| is_work(&graph[id].op))
        .map(|id| {
            let node = &graph[id];
            let constants = graph.sources(id).into_iter().filter_map(|s| graph[s].data.as_ref());
            NodeRow {
                name: node.origins.first().map_or(&node.name, |o| &o.node).clone(),
                op: op_name(&node.op),
                shape: node.ty.shape.clone(),
                quantisation: node.ty.quantisation.as_ref().map(|q| {
                    let per = if q.scale.len() > 1 {
                        format!("{} scales", q.scale.len())
                    } else {
                        format!("scale {}", q.scale[0])
                    };
                    format!("{} bits, {per}, zero {}", q.bits(), q.zero_at(0))
                }),
                parameters: constants.map(snnc_ir::Tensor::len).sum(),
            }
        })
        .collect()
}

fn op_name(op: &Op) -> String {
    match serde_json::to_value(
        match op {
            Op::Tensor(op) => serde_json::to_value(op),
            Op::Spiking(op) => serde_json::to_value(op),
        }
        .unwrap_or_default(),
    ) {
        Ok(serde_json::Value::String(name)) => name,
        Ok(serde_json::Value::Object(map)) => map.keys().next().cloned().unwrap_or_default(),
        _ => String::new(),
    }
}

fn ratings(conversion: &graded::Conversion, quantised: &Graph) -> Vec<TargetRow> {
    TARGETS
        .iter()
        .map(|target| {
            let row = |rating: &str, reasons: Vec<String>| TargetRow {
                target: target.name().into(),
                rating: rating.into(),
                reasons,
            };
            let Ok(network) = snnc_ir::verify(conversion.network.clone()) else {
                return row("cannot", vec!["the network is not valid".into()]);
            };
            match target.legalise(&network, &TargetOptions::default()) {
                Err(violations) => {
                    let reason = |v: &snnc_backends::Violation| format!("{v} (help: {})", v.remedy);
                    row("cannot", violations.iter().map(reason).collect())
                }
                Ok(legalised) => {
                    let certificate = certify(quantised, conversion, &legalised.network);
                    let other =
                        certificate.populations.iter().filter(|p| p.verdict != Verdict::Proved);
                    let reasons: Vec<String> =
                        other.map(|p| format!("{}: {}: {}", p.node, p.verdict, p.method)).collect();
                    row(
                        if certificate.verdict == Verdict::Proved {
                            "exact"
                        } else {
                            "approximate"
                        },
                        reasons,
                    )
                }
            }
        })
        .collect()
}

fn print_model(report: &ModelReport) {
    for v in &report.inputs {
        render::line(format_args!("input   {}: {}", v.name, v.r#type));
    }
    for v in &report.outputs {
        render::line(format_args!("output  {}: {}", v.name, v.r#type));
    }
    let rows: Vec<Vec<String>> = report
        .nodes
        .iter()
        .map(|n| {
            let q = n.quantisation.clone().unwrap_or_else(|| "-".into());
            vec![n.name.clone(), n.op.clone(), tables::shape(&n.shape), q, n.parameters.to_string()]
        })
        .collect();
    render::line(tables::table(
        &["node", "operator", "shape", "quantisation", "parameters"],
        &rows,
        4,
    ));
    render::line(format_args!("{} parameters", report.parameters));
    for obstacle in &report.obstacles {
        render::line(format_args!("not convertible: {obstacle}"));
    }
    for t in &report.targets {
        render::line(format_args!("{}: {}", t.target, t.rating));
        for reason in &t.reasons {
            render::line(format_args!("  {reason}"));
        }
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
    ];
    render::line(tables::table(&header, &rows, 3));
    Ok(())
}
