//! `run` and `inspect` of continuous-time networks (`.nir` files that others wrote).

use snnc_backends::format::npy::NpyArray;
use snnc_backends::format::{ArrayFile, read_array_file};
use snnc_backends::{TARGETS, Target};
use snnc_ir::{RealError, RealNetwork, RealOp};
use snnc_runtime::real::{Integration, Method, RealRun};

use super::args::{Common, Format, RealArgs, RunArgs};
use super::arrays::{reals, write_npz};
use super::{render, tables};
use crate::{Error, Problem};

/// `inspect`
pub(super) fn inspect(network: &RealNetwork, common: &Common) -> Result<(), Error> {
    let only = "is a continuous-time network, which only `nir` takes";
    if common.format == Format::Json {
        let node = |n: &snnc_ir::RealNode| serde_json::json!({ "name": n.name, "operator": kind(&n.op), "shape": n.shape });
        let nodes: Vec<_> = network.nodes.iter().map(node).collect();
        let target = |t: &&'static dyn Target| {
            let own = t.capabilities().continuous;
            let (rating, reason) = if own { ("exact", None) } else { ("cannot", Some(only)) };
            serde_json::json!({ "target": t.name(), "rating": rating, "reason": reason })
        };
        let targets: Vec<_> = TARGETS.iter().map(target).collect();
        return render::json(&serde_json::json!({ "nodes": nodes, "targets": targets }));
    }
    render::line("a continuous-time network (NIR)");
    let row = |n: &snnc_ir::RealNode| {
        vec![n.name.clone(), kind(&n.op).to_owned(), tables::shape(&n.shape)]
    };
    let rows: Vec<Vec<String>> = network.nodes.iter().map(row).collect();
    render::line(tables::table(&["node", "operator", "shape"], &rows, 3));
    for target in TARGETS {
        let own = target.capabilities().continuous;
        let text = if own { "exact".to_owned() } else { format!("cannot: {only}") };
        render::line(format_args!("{}: {text}", target.name()));
    }
    Ok(())
}

/// What a node does, in a word.
fn kind(op: &RealOp) -> &'static str {
    match op {
        RealOp::Input => "input",
        RealOp::Output => "output",
        RealOp::Dense { .. } => "dense",
        RealOp::Scale { .. } => "scale",
        RealOp::Convolution { .. } => "convolution",
        RealOp::Pool { mean: true, .. } => "average pool",
        RealOp::Pool { mean: false, .. } => "sum pool",
        RealOp::Flatten => "flatten",
        RealOp::Delay { .. } => "delay",
        RealOp::Threshold { .. } => "threshold",
        RealOp::Neurons(n) if n.synapses.is_some() => "current-based neurons",
        RealOp::Neurons(n) if n.firing.is_none() => "leaky integrators",
        RealOp::Neurons(_) => "neurons",
    }
}

fn integration(args: &RealArgs) -> Result<Integration, Error> {
    let default = Integration::default();
    let method = match args.integration.as_deref() {
        None | Some("euler") => Method::Euler,
        Some("exact") => Method::Exact,
        Some(other) => {
            let reason = format!("there is no `{other}`");
            return Err(Error::usage("--integration", reason, "there are euler and exact"));
        }
    };
    let dt = args.dt.unwrap_or(default.dt);
    if !(dt > 0.0 && dt.is_finite()) {
        return Err(Error::usage("--dt", format!("{dt} s is no timestep"), "write --dt 1e-4"));
    }
    Ok(Integration { dt, method })
}

fn faults(errors: Vec<RealError>) -> Error {
    let problem = |e: RealError| {
        Problem::new(format!("`{}`", e.node), e.reason, "choose --dt and --integration to match it")
    };
    Error::Input(errors.into_iter().map(problem).collect())
}

/// `run`: samples are (T, ..) or (N, T, ..), answers (N, T, ..).
pub(super) fn run(args: &RunArgs, common: &Common, network: &RealNetwork) -> Result<(), Error> {
    let integration = integration(&args.real)?;
    let (samples, steps) = samples(args, network)?;
    let [outputs, populations] = [
        network.indices(|op| *op == RealOp::Output),
        network.indices(|op| matches!(op, RealOp::Neurons(_))),
    ];
    let mut sent: Vec<Vec<f32>> = vec![Vec::new(); network.nodes.len()];
    let mut potentials: Vec<Vec<f32>> = sent.clone();
    for sample in &samples {
        let mut run = RealRun::new(network, integration).map_err(faults)?;
        for timestep in sample {
            run.step(std::slice::from_ref(timestep));
            for &node in outputs.iter().chain(&populations) {
                sent[node].extend_from_slice(run.sent(node));
                potentials[node].extend_from_slice(run.potentials(node).unwrap_or_default());
            }
        }
    }
    let array = |node: usize, values: &[f32]| {
        let shape = [&[samples.len(), steps], network.nodes[node].shape.as_slice()].concat();
        reals(&shape, values.iter().copied())
    };
    if let (Some(path), Some(&output)) = (&args.output, outputs.first()) {
        // Writers disagree on dimensions of 1: what arrives there counts.
        let from = network.sources(output).next().map_or(output, |(source, _)| source);
        write_npz(path, &[("output".to_owned(), array(from, &sent[output])?)])?;
    }
    if let Some(path) = &args.trace {
        let mut arrays = Vec::new();
        for &node in &populations {
            let name = &network.nodes[node].name;
            arrays.push((name.clone(), array(node, &sent[node])?));
            arrays.push((format!("{name}.potential"), array(node, &potentials[node])?));
        }
        write_npz(path, &arrays)?;
    }
    let fires = |node: &&usize| matches!(&network.nodes[**node].op, RealOp::Neurons(n) if n.firing.is_some());
    let spikes: Vec<(String, usize)> = populations
        .iter()
        .filter(fires)
        .map(|&node| {
            let spikes = sent[node].iter().filter(|&&v| v != 0.0).count();
            (network.nodes[node].name.clone(), spikes)
        })
        .collect();
    if common.format == Format::Json {
        let spikes: serde_json::Map<String, serde_json::Value> =
            spikes.into_iter().map(|(name, n)| (name, n.into())).collect();
        return render::json(&serde_json::json!({
            "samples": samples.len(), "timesteps": steps, "spikes": spikes,
        }));
    }
    if !common.quiet {
        let rows: Vec<Vec<String>> =
            spikes.into_iter().map(|(name, n)| vec![name, n.to_string()]).collect();
        let header = ["population", "spikes"];
        render::line(tables::table(&header, &rows, 1));
    }
    Ok(())
}

/// What a network takes, timestep by timestep.
type Sample = Vec<Vec<f32>>;

/// The samples, and the number of timesteps of each.
fn samples(args: &RunArgs, network: &RealNetwork) -> Result<(Vec<Sample>, usize), Error> {
    let place = format!("`{}`", args.input.display());
    let fail = |reason: String, remedy: &str| Error::input(place.clone(), reason, remedy);
    let wanted = match network.indices(|op| *op == RealOp::Input).as_slice() {
        [one] => network.nodes[*one].shape.clone(),
        all => {
            let reason = format!("has {} inputs, and samples are for one", all.len());
            return Err(Error::input("network", reason, ""));
        }
    };
    let bytes = std::fs::read(&args.input)
        .map_err(|e| fail(format!("cannot be read: {e}"), "check the path"))?;
    let x: NpyArray = match read_array_file(bytes).map_err(|e| fail(e.to_string(), ""))? {
        ArrayFile::Npy(x) => x,
        ArrayFile::Npz(npz) => npz
            .get("x")
            .map_err(|e| fail(e.to_string(), ""))?
            .ok_or_else(|| fail("has no array `x`".into(), "name the samples `x`"))?,
    };
    let rank = x.shape.len().saturating_sub(wanted.len());
    let (count, steps) = match (rank, x.shape.as_slice()) {
        (1, [steps, rest @ ..]) if *rest == wanted[..] => (1, *steps),
        (2, [count, steps, rest @ ..]) if *rest == wanted[..] => (*count, *steps),
        _ => {
            let reason = format!("has shape {:?}, the network takes {wanted:?}", x.shape);
            return Err(fail(reason, "give (T, ..) or (N, T, ..)"));
        }
    };
    let values = x.to_f32().map_err(|e| fail(e.to_string(), ""))?;
    let neurons = wanted.iter().product::<usize>().max(1);
    let timesteps: Vec<Vec<f32>> = values.chunks(neurons).map(<[f32]>::to_vec).collect();
    let mut samples: Vec<Sample> =
        timesteps.chunks(steps.max(1)).map(<[Vec<f32>]>::to_vec).collect();
    samples.truncate(count.min(args.data.limit.unwrap_or(count)));
    Ok((samples, steps))
}
