//! `run` of networks that spike in single precision.

use std::collections::BTreeMap;

use rayon::prelude::*;
use snnc_backends::format::events;
use snnc_ir::query::delay;
use snnc_ir::{Graph, NodeId, Presentation, SpikingOp};
use snnc_runtime::spiking::{FloatNetwork, FloatObserver, Network, RunError, Sample, decode};

use super::args::{Common, Format, RunArgs};
use super::arrays::{Arrays, integers, reals, write_npz};
use super::open::Floating;
use super::{config, render, stream};
use crate::Error;
use crate::artefact::{Opened, Showing};
use crate::data::{Dataset, Scaling};
use crate::evaluate::{prediction, share};
use crate::feed::Feed;
use crate::spiking_integers;

/// Runs the samples or recordings of `--input`.
pub(super) fn run(
    args: &RunArgs,
    Floating { graph, showing, scaling }: &Floating,
    common: &Common,
) -> Result<(), Error> {
    let network = FloatNetwork::new(graph).map_err(Error::network)?;
    let samples = match args.bin_us {
        Some(microseconds) => recordings(args, graph, microseconds)?,
        None => samples(args, graph, *scaling)?,
    };
    let answers = match &args.trace {
        Some(path) => {
            let (answers, trace) = traced(&network, &samples)?;
            write_npz(path, &trace)?;
            answers
        }
        None => {
            let groups = samples.par_chunks(share(samples.len(), network.batch()));
            let groups = groups.map(|some| together(&network, some));
            groups.collect::<Result<Vec<_>, RunError>>().map_err(Error::network)?.concat()
        }
    };
    let timesteps: Vec<usize> = samples.iter().map(|s| s.timesteps(graph)).collect();
    show(args, (graph, showing), &answers, &timesteps, common)
}

/// `run` of an artefact on integers whose samples have time.
pub(super) fn run_on_integers(
    args: &RunArgs,
    opened: Opened,
    common: &Common,
) -> Result<(), Error> {
    let data = Dataset::load(&args.input, args.data.limit)?;
    let input = opened.manifest.as_ref().and_then(|m| m.inputs.first());
    let scaling = Feed::of_artefact(input, config::given(&args.data)?).scaling;
    let rows = opened.manifest.iter().flat_map(|m| &m.outputs);
    let showing: Vec<Showing> = rows.map(|o| o.showing).collect();
    let mut graph = opened.network;
    let samples = spiking_integers::samples(&mut graph, &data, scaling, &args.input)?;
    let network = Network::new(&graph).map_err(Error::network)?;
    crate::forms::log(&network);
    let (sources, late) = (decoded(&graph), delay(&graph));
    let traced = |id: &NodeId| {
        let op = graph[*id].as_spiking();
        args.trace.is_some() && matches!(op, Some(SpikingOp::Encoder(_) | SpikingOp::Population(_)))
    };
    let mut wanted: Vec<NodeId> = graph.ids().filter(traced).collect();
    wanted.extend(sources.iter().flatten().filter(|id| !traced(id)));
    let answer = |sample: &Sample| {
        let mut sent: BTreeMap<NodeId, Vec<Vec<i64>>> = BTreeMap::new();
        let outcome =
            network.run_showing(std::slice::from_ref(sample), &wanted, &mut |id, _, value| {
                sent.entry(id).or_default().push(value.to_vec());
            })?;
        let each = sources.iter().zip(graph.outputs()).map(|(source, id)| {
            let rows = source.and_then(|s| sent.get(&s)).map_or(&[][..], |rows| &rows[..]);
            let rows = rows.iter().skip(late);
            match graph[id].as_spiking() {
                Some(SpikingOp::Decoder(d)) => rows.flat_map(|row| decode(d, row)).collect(),
                _ => Vec::new(),
            }
        });
        let each = each.collect();
        let totals = outcome.outputs.into_iter().map(|o| o.scores).collect();
        Ok((Answers { totals, each }, sent))
    };
    let all: Result<Vec<_>, RunError> = samples.par_iter().map(answer).collect();
    let (answers, sent): (Vec<Answers>, Vec<_>) = all.map_err(Error::network)?.into_iter().unzip();
    if let Some(path) = &args.trace {
        let mut trace = Arrays::new();
        for id in graph.ids().filter(traced) {
            let rows: Vec<&Vec<i64>> = sent.iter().filter_map(|s| s.get(&id)).flatten().collect();
            let steps = rows.len() / sent.len().max(1);
            let shape = [&[sent.len(), steps], graph[id].ty.shape.as_slice()].concat();
            let values: Vec<i64> = rows.into_iter().flatten().copied().collect();
            trace.push((graph[id].name.clone(), integers(&shape, &values)?));
        }
        write_npz(path, &trace)?;
    }
    let timesteps = vec![graph.timing.timesteps; answers.len()];
    show(args, (&graph, &showing), &answers, &timesteps, common)
}

/// Writes and prints answers.
fn show(
    args: &RunArgs,
    (graph, showing): (&Graph, &[Showing]),
    answers: &[Answers],
    timesteps: &[usize],
    common: &Common,
) -> Result<(), Error> {
    let first = |a: &Answers| a.totals.first().cloned().unwrap_or_default();
    let predictions: Vec<i64> = answers.iter().map(|a| prediction(&first(a))).collect();
    if let Some(path) = &args.output {
        write_npz(path, &arrays(graph, showing, answers, &predictions)?)?;
    }
    if common.format == Format::Json {
        return render::json(&serde_json::json!({
            "samples": answers.len(),
            "timesteps": timesteps,
            "prediction": predictions,
        }));
    }
    if args.output.is_none() {
        for (i, p) in predictions.iter().enumerate() {
            render::verbatim(format_args!("{i}\t{p}"));
        }
    }
    Ok(())
}

/// What the outputs of a sample are, in order.
#[derive(Clone, Debug, Default)]
struct Answers {
    /// Decoded over all timesteps.
    totals: Rows,
    /// What is decoded, one timestep after the other.
    each: Rows,
}

/// The node whose payloads each output decodes.
fn decoded(graph: &Graph) -> Vec<Option<NodeId>> {
    graph.outputs().into_iter().map(|id| graph.source(id, 0)).collect()
}

/// `output` and each output under its name: in every timestep where the model shows it so, else decoded.
/// `total` is the first output decoded over all timesteps. A graph of one timestep has its answer decoded
/// as `output`, and what it shows whenever it is run under its name.
fn arrays(
    graph: &Graph,
    showing: &[Showing],
    answers: &[Answers],
    predictions: &[i64],
) -> Result<Arrays, Error> {
    let n = answers.len();
    let mut arrays = Arrays::new();
    for (k, id) in graph.outputs().into_iter().enumerate() {
        let shape = graph[id].ty.shape.as_slice();
        let width = shape.iter().product::<usize>().max(1);
        let totals = answers.iter().flat_map(|a| a.totals.get(k).into_iter().flatten().copied());
        let total = reals(&[&[n], shape].concat(), totals)?;
        let steps = answers.first().and_then(|a| a.each.get(k)).map_or(0, |e| e.len() / width);
        let even = answers.iter().all(|a| a.each.get(k).is_some_and(|e| e.len() == steps * width));
        let each = answers.iter().flat_map(|a| a.each.get(k).into_iter().flatten().copied());
        let showing = showing.get(k).copied().unwrap_or_default();
        let each = match even && showing != Showing::Once {
            true => Some(reals(&[&[n, steps], shape].concat(), each)?),
            false => None,
        };
        if k == 0 {
            let own = each.as_ref().filter(|_| showing == Showing::EveryTimestep).unwrap_or(&total);
            arrays.push(("output".to_owned(), own.clone()));
            arrays.push(("total".to_owned(), total.clone()));
            if shape.len() == 1 {
                arrays.push(("prediction".to_owned(), integers(&[n], predictions)?));
            }
        }
        let name = graph[id].name.clone();
        if arrays.iter().all(|(taken, _)| *taken != name) {
            arrays.push((name, each.unwrap_or(total)));
        }
    }
    Ok(arrays)
}

/// The answers to samples that are run at once, where they are pictures.
fn together(network: &FloatNetwork, samples: &[Shown]) -> Result<Vec<Answers>, RunError> {
    let sources = decoded(network.graph());
    let mut answers =
        vec![Answers { totals: Rows::new(), each: vec![Vec::new(); sources.len()] }; samples.len()];
    let pictures: Option<Vec<&[f32]>> = samples.iter().map(Shown::picture).collect();
    let mut keep = |sample: usize, id: NodeId, value: &[f32]| {
        for (k, _) in sources.iter().enumerate().filter(|(_, s)| **s == Some(id)) {
            answers[sample].each[k].extend_from_slice(value);
        }
    };
    let totals = match pictures {
        Some(pictures) => {
            network.run_batch(&pictures, &mut |sample, id, _, value| keep(sample, id, value))?
        }
        None => {
            let alone = samples.iter().enumerate();
            let alone = alone.map(|(i, s)| s.run(network, &mut |id, _, value| keep(i, id, value)));
            alone.collect::<Result<_, _>>()?
        }
    };
    for (answer, totals) in answers.iter_mut().zip(totals) {
        answer.totals = totals;
    }
    Ok(answers)
}

/// The answers to each sample, and what its encoders and populations send in each timestep.
fn traced(network: &FloatNetwork, samples: &[Shown]) -> Result<(Vec<Answers>, Arrays), Error> {
    let graph = network.graph();
    let sources = decoded(graph);
    let (mut answers, mut trace) = (Vec::with_capacity(samples.len()), Arrays::new());
    for (i, sample) in samples.iter().enumerate() {
        let mut sent: BTreeMap<NodeId, Vec<f32>> = BTreeMap::new();
        let output = sample.run(network, &mut |id, _, value| {
            let op = graph[id].as_spiking();
            if matches!(op, Some(SpikingOp::Encoder(_) | SpikingOp::Population(_))) {
                sent.entry(id).or_default().extend_from_slice(value);
            }
        });
        let totals = output.map_err(Error::network)?;
        let each = |s: &Option<NodeId>| s.and_then(|s| sent.get(&s).cloned()).unwrap_or_default();
        answers.push(Answers { totals, each: sources.iter().map(each).collect() });
        let prefix = if samples.len() == 1 { String::new() } else { format!("{i}/") };
        for (id, values) in sent {
            let shape = [&[sample.timesteps(graph)], graph[id].ty.shape.as_slice()].concat();
            let name = format!("{prefix}{}", graph[id].name);
            trace.push((name, reals(&shape, values.into_iter())?));
        }
    }
    Ok((answers, trace))
}

type Rows = Vec<Vec<f32>>;

/// What the network is shown.
enum Shown {
    /// A row for each timestep.
    InTime(Rows),
    /// One picture for all timesteps.
    Picture(Vec<f32>),
}

impl Shown {
    fn picture(&self) -> Option<&[f32]> {
        match self {
            Shown::Picture(sample) => Some(sample),
            Shown::InTime(_) => None,
        }
    }

    fn timesteps(&self, graph: &Graph) -> usize {
        match self {
            Shown::InTime(rows) => rows.len(),
            Shown::Picture(_) => graph.timing.timesteps,
        }
    }

    fn run(
        &self,
        network: &FloatNetwork,
        observe: &mut FloatObserver<'_>,
    ) -> Result<Vec<Vec<f32>>, RunError> {
        match self {
            Shown::InTime(rows) => network.run(rows, observe),
            Shown::Picture(sample) => network.run_sample(sample, observe),
        }
    }
}

/// Samples shaped (N, T, input..), or (N, input..) where the network is shown one picture.
fn samples(args: &RunArgs, graph: &Graph, recorded: Scaling) -> Result<Vec<Shown>, Error> {
    let data = Dataset::load(&args.input, args.data.limit)?;
    let scaling = config::given(&args.data)?.over(recorded);
    let input = graph.inputs().first().copied();
    let neurons = input.map_or(0, |id| graph[id].ty.len()).max(1);
    let encoder = input.and_then(|id| graph[id].as_spiking());
    let in_time =
        matches!(encoder, Some(SpikingOp::Encoder(e)) if e.presentation == Presentation::InTime);
    let values: usize = data.shape.iter().product();
    if !values.is_multiple_of(neurons) || (!in_time && values != neurons) {
        let place = format!("`{}`", args.input.display());
        let reason = format!(
            "has samples of shape {:?}, but the network takes {neurons} values a timestep",
            data.shape
        );
        return Err(Error::input(place, reason, "give `x` as (N, T, input..)"));
    }
    let rows = |i: usize| {
        let sample = data.reals(i, scaling);
        if in_time {
            Shown::InTime(sample.chunks(neurons).map(<[f32]>::to_vec).collect())
        } else {
            Shown::Picture(sample)
        }
    };
    Ok((0..data.len()).map(rows).collect())
}

fn recordings(args: &RunArgs, graph: &Graph, microseconds: u64) -> Result<Vec<Shown>, Error> {
    let shape = graph.inputs().first().map(|&id| graph[id].ty.shape.clone()).unwrap_or_default();
    let (recordings, bins) = stream::recordings(args, &shape, microseconds)?;
    let place = format!("`{}`", args.input.display());
    let rows = |r: &events::Recording| -> Result<Shown, events::EventError> {
        let rows = bins.rows(r, 0, bins.count(r)?)?;
        let reals = |row: Vec<i64>| row.into_iter().map(|v| v as f32).collect();
        Ok(Shown::InTime(rows.into_iter().map(reals).collect()))
    };
    let all: Result<Vec<Shown>, events::EventError> = recordings.iter().map(rows).collect();
    all.map_err(|e| Error::input(place, e.to_string(), ""))
}
