//! `run`: answers for samples, and the spikes behind them.

use snnc_ir::{Graph, NodeId, Schedule};

use super::args::{Common, Format, RunArgs};
use super::arrays::{Arrays, integers, reals, write_npz};
use super::open::{Any, load_any, runner};
use super::{bare, checks, float, output, render, stream, tables};
use crate::Error;
use crate::data::Dataset;
use crate::evaluate::{Runner, prediction};
use crate::loaded::answers::{Traced, is_vector, outputs, traced};
use crate::loaded::{Loaded, trained};

/// `run`
pub(super) fn run(args: &RunArgs, common: &Common) -> Result<(), Error> {
    let written = [("-o", args.output.as_deref()), ("--trace", args.trace.as_deref())];
    output::check(&written, &[&args.network, &args.input])?;
    let mut loaded = match load_any(&args.network, &args.import)? {
        Any::Real(file) => return super::reals::run(args, common, &file.network),
        Any::Float(network) => return float::run(args, &network, common),
        Any::Integer(Loaded::Artefact(opened)) if trained(&opened) && args.bin_us.is_none() => {
            return float::run_on_integers(args, *opened, common);
        }
        Any::Integer(loaded) => loaded,
    };
    if let Some(microseconds) = args.bin_us {
        return stream::run(args, &loaded, microseconds, common);
    }
    let data = Dataset::load_for(&loaded.ports(), &args.input, args.data.limit)?;
    let data = bare::set_time(&mut loaded, data, &args.time)?;
    let mut runner = runner(&loaded, &args.data, false)?;
    bare::set_input(&mut runner, &loaded, &data, &args.data)?;
    let data = &*data.fitted(&runner.input_shape, &args.input)?;
    checks::warn_of_clipping(&runner, data);
    let settling = settling(args, &loaded)?;
    let (answers, trace) = match &args.trace {
        Some(_) => traced(&runner, spikes(&loaded)?, data)?,
        None => (runner.answers(data, &args.input)?, Vec::new()),
    };
    if let Loaded::Artefact(opened) = &loaded {
        checks::report_saturation(&opened.network, &runner, data, common)?;
    }
    let n = answers.len();
    let Some(first) = answers.first() else { return Ok(()) };
    let vector = is_vector(&first.outputs);
    let predictions: Vec<i64> = answers.iter().map(|a| prediction(&a.scores)).collect();
    if let Some(path) = &args.output {
        let mut arrays = match bare::shown_in_time(&loaded, data) {
            Some(shown) => in_time(&runner, &loaded, data, shown)?,
            None => outputs(&runner, &answers)?,
        };
        if vector && arrays.iter().all(|(name, _)| name != "prediction") {
            arrays.push(("prediction".into(), integers(&[n], &predictions)?));
        }
        write_npz(path, &arrays)?;
    }
    let table = spikes_in_time(&trace);
    let trace: Arrays = trace.into_iter().map(|t| (t.population, t.sent)).collect();
    if let Some(path) = &args.trace {
        write_npz(path, &trace)?;
    }
    let settled: Option<Vec<usize>> =
        settling.then(|| answers.iter().map(|a| a.timesteps).collect());
    if common.format == Format::Json {
        return render::json(&serde_json::json!({
            "samples": n,
            "prediction": vector.then_some(predictions),
            "settled": settled,
        }));
    }
    if args.trace.is_some() && !common.quiet {
        render::line(format_args!("{table}"));
    }
    if args.output.is_none() && vector {
        for (i, p) in predictions.iter().enumerate() {
            render::verbatim(format_args!("{i}\t{p}"));
        }
    }
    if let Some(settled) = settled {
        render::line(format_args!("{}", in_words(&settled)));
    }
    Ok(())
}

/// The network whose spikes `--trace` shows.
fn spikes(loaded: &Loaded) -> Result<&Graph, Error> {
    match loaded {
        Loaded::Artefact(opened) => Ok(&opened.network),
        Loaded::Model(_) => Err(Error::usage(
            "--trace",
            "only spiking networks have spikes to trace",
            "compile the model first",
        )),
    }
}

/// What the output port of a file alone shows, (T, ..) as in NetX.
fn in_time(
    runner: &Runner,
    loaded: &Loaded,
    data: &Dataset,
    (node, steps): (NodeId, usize),
) -> Result<Arrays, Error> {
    let Loaded::Artefact(opened) = loaded else { return Ok(Arrays::new()) };
    let mut shown = Vec::new();
    runner.answer_showing(data, 0, Some(&[node]), &mut |_, t, payloads| {
        if t < steps {
            shown.extend_from_slice(payloads);
        }
    })?;
    let shape = [&[steps], opened.network[node].ty.shape.as_slice()].concat();
    let port = opened.network.outputs().first().map(|&id| opened.network[id].name.clone());
    let output = reals(&shape, shown.iter().map(|&v| v as f32))?;
    let mut arrays = vec![("output".to_owned(), output.clone())];
    arrays.extend(port.filter(|name| name != "output").map(|name| (name, output)));
    arrays.push(("codes".into(), integers(&shape, &shown)?));
    Ok(arrays)
}

/// Whether the answer is to say when each sample settled.
fn settling(args: &RunArgs, loaded: &Loaded) -> Result<bool, Error> {
    let until_settled = |network: &Graph| network.timing.schedule == Schedule::UntilSettled;
    match loaded {
        _ if !args.settle => Ok(false),
        Loaded::Artefact(opened) if until_settled(&opened.network) => Ok(true),
        _ => Err(Error::usage(
            "--settle",
            "the network runs for a fixed number of timesteps",
            "compile it with --code signed-rate",
        )),
    }
}

/// After how many timesteps nothing moved any more.
fn in_words(settled: &[usize]) -> String {
    let mut sorted = settled.to_vec();
    sorted.sort_unstable();
    let (first, last) = (sorted.first().copied().unwrap_or(0), sorted.last().copied().unwrap_or(0));
    let median = sorted.get(sorted.len() / 2).copied().unwrap_or(0);
    format!(
        "settled after {first} to {last} timesteps, {median} in the median of {} samples",
        settled.len()
    )
}

/// Spikes of all samples, population by population and timestep by timestep.
fn spikes_in_time(trace: &[Traced]) -> String {
    let steps = trace.iter().map(|t| t.spikes.len()).max().unwrap_or(0);
    let shown = steps.min(COLUMNS);
    let header: Vec<String> = std::iter::once("spikes of".to_owned())
        .chain((0..shown).map(|t| format!("t={t}")))
        .chain((steps > shown).then(|| format!("t={shown}..{}", steps - 1)))
        .collect();
    let row = |t: &Traced| {
        let (head, rest) = t.spikes.split_at(shown.min(t.spikes.len()));
        std::iter::once(t.population.clone())
            .chain(head.iter().map(ToString::to_string))
            .chain((steps > shown).then(|| rest.iter().sum::<usize>().to_string()))
            .collect::<Vec<String>>()
    };
    let header: Vec<&str> = header.iter().map(String::as_str).collect();
    tables::table(&header, &trace.iter().map(row).collect::<Vec<_>>(), 1)
}

/// At most so many timesteps have a column of their own.
const COLUMNS: usize = 16;
