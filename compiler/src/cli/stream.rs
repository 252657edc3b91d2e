//! `run` on recordings of event cameras.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use snnc_backends::format::events::{self, Bins, EventError, Form, Recording};
use snnc_backends::format::npy::NpyArray;
use snnc_ir::{NodeId, SpikingOp};
use snnc_runtime::spiking::Outcome;

use super::args::{Common, EventForm, Format, RunArgs};
use super::arrays::{Arrays, integers, reals, write_npz};
use super::open::Loaded;
use super::{config, render, tables};
use crate::Error;
use crate::data::Scaling;
use crate::evaluate::prediction;
use crate::stream::Streamer;

/// Ends of the names of recordings.
const ENDINGS: [&str; 5] = [".bin", ".raw", ".dat", ".aedat", ".npz"];

/// What one recording became.
struct Row {
    label: Option<i64>,
    events: usize,
    outcome: Outcome,
}

/// Runs the recordings of `--input` in timesteps of `microseconds`.
pub(super) fn run(
    args: &RunArgs,
    loaded: &Loaded,
    microseconds: u64,
    common: &Common,
) -> Result<(), Error> {
    let streamer = streamer(args, loaded)?;
    let (recordings, bins) = recordings(args, &streamer.input_shape, microseconds)?;
    let (mut rows, mut trace) = (Vec::with_capacity(recordings.len()), Arrays::new());
    for (i, recording) in recordings.iter().enumerate() {
        let prefix = if recordings.len() == 1 { String::new() } else { format!("{i}/") };
        rows.push(one(args, &streamer, recording, &bins, (&prefix, &mut trace))?);
    }
    if let Some(path) = &args.trace {
        write_npz(path, &trace)?;
    }
    answers(args, &rows)?;
    show(&rows, common)
}

/// The recordings of `--input`, and how they are cut for an input of `shape`.
pub(super) fn recordings(
    args: &RunArgs,
    shape: &[usize],
    microseconds: u64,
) -> Result<(Vec<Recording>, Bins), Error> {
    let place = |path: &Path| format!("`{}`", path.display());
    let fault = |path: &Path, e: &dyn std::fmt::Display| {
        let help = "give ATIS .bin, Prophesee .raw or .dat, AEDAT 2.0 or 3.1, or an .npz with t, x, y and p";
        Error::input(place(path), e.to_string(), help)
    };
    let form = match args.event_values {
        EventForm::Counts => Form::Counts,
        EventForm::Frames => Form::Frames,
    };
    let bins = Bins::new(shape, microseconds, form).map_err(|e| {
        Error::input(place(&args.input), e.to_string(), "give samples, without --bin-us")
    })?;
    let limit = args.data.limit.unwrap_or(usize::MAX);
    let mut recordings = Vec::new();
    for path in files(&args.input)? {
        let bytes = std::fs::read(&path).map_err(|e| {
            Error::input(place(&path), format!("cannot be read: {e}"), "check the path")
        })?;
        let (read, damage) = events::read_lenient(bytes).map_err(|e| fault(&path, &e))?;
        match damage {
            Some(damage) if args.lenient => render::warning(&place(&path), &damage.to_string()),
            Some(damage) => {
                let help = "give the whole file, or run what is whole with --lenient";
                return Err(Error::input(place(&path), damage.to_string(), help));
            }
            None => {}
        }
        for mut recording in read.into_iter().take(limit - recordings.len()) {
            recording.pool(args.event_pool);
            if args.event_crop {
                bins.crop(&mut recording);
            }
            bins.check(&recording).map_err(|e| {
                let help = match e {
                    EventError::Outside { .. } => {
                        "sum squares of pixels with --event-pool, or leave out events with --event-crop"
                    }
                    _ => "give a larger --bin-us",
                };
                Error::input(place(&path), e.to_string(), help)
            })?;
            recordings.push(recording);
        }
    }
    Ok((recordings, bins))
}

/// The file at `path`, or the recordings in the folder there, in the order of their names.
fn files(path: &Path) -> Result<Vec<PathBuf>, Error> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let place = format!("`{}`", path.display());
    let fail = |e: std::io::Error| Error::input(&place, format!("cannot be read: {e}"), "");
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path).map_err(fail)? {
        let file = entry.map_err(fail)?.path();
        let name = file.file_name().map(|n| n.to_string_lossy().to_lowercase()).unwrap_or_default();
        let plain = name.strip_suffix(".gz").unwrap_or(&name);
        if ENDINGS.iter().any(|ending| plain.ends_with(ending)) {
            found.push(file);
        }
    }
    if found.is_empty() {
        let help = format!("recordings end in {}", ENDINGS.join(", "));
        return Err(Error::input(place, "holds no recording", help));
    }
    found.sort();
    Ok(found)
}

fn streamer(args: &RunArgs, loaded: &Loaded) -> Result<Streamer, Error> {
    let Loaded::Artefact(opened) = loaded else {
        return Err(Error::usage(
            "--bin-us",
            "only spiking networks run on events",
            "compile the model first",
        ));
    };
    let input = opened.manifest.as_ref().and_then(|m| m.inputs.first());
    let reals = input.is_some_and(|i| i.dtype.starts_with('f'));
    let scaling = config::given(&args.data)?.over(Scaling::AS_IS);
    Streamer::new(&opened.network, reals, scaling)
}

fn one(
    args: &RunArgs,
    streamer: &Streamer,
    recording: &Recording,
    bins: &Bins,
    (prefix, trace): (&str, &mut Arrays),
) -> Result<Row, Error> {
    let graph = streamer.graph();
    let mut sent: BTreeMap<NodeId, Vec<i64>> = BTreeMap::new();
    let chunk = args.chunk.unwrap_or(usize::MAX);
    let outcome = streamer.run(recording, bins, chunk, &mut |id, _, value| {
        let kept = matches!(
            graph[id].as_spiking(),
            Some(SpikingOp::Encoder(_) | SpikingOp::Population(_))
        );
        if args.trace.is_some() && kept {
            sent.entry(id).or_default().extend_from_slice(value);
        }
    })?;
    for (id, values) in sent {
        let shape = [&[outcome.timesteps], graph[id].ty.shape.as_slice()].concat();
        trace.push((format!("{prefix}{}", graph[id].name), integers(&shape, &values)?));
    }
    Ok(Row { label: recording.label, events: recording.events.len(), outcome })
}

/// Writes `-o`: scores, codes, predictions, timesteps and labels of all recordings.
fn answers(args: &RunArgs, rows: &[Row]) -> Result<(), Error> {
    let (Some(path), Some(first)) =
        (&args.output, rows.first().and_then(|r| r.outcome.outputs.first()))
    else {
        return Ok(());
    };
    let (n, width) = (rows.len(), first.raw.len());
    let outputs = || rows.iter().filter_map(|r| r.outcome.outputs.first());
    let mut arrays: Vec<(String, NpyArray)> = vec![
        ("output".into(), reals(&[n, width], outputs().flat_map(|o| o.scores.clone()))?),
        (
            "codes".into(),
            integers(&[n, width], &outputs().flat_map(|o| o.raw.clone()).collect::<Vec<_>>())?,
        ),
        ("prediction".into(), integers(&[n], &predictions(rows))?),
    ];
    let timesteps: Vec<i64> = rows.iter().map(|r| r.outcome.timesteps as i64).collect();
    arrays.push(("timesteps".into(), integers(&[n], &timesteps)?));
    if let Some(labels) = rows.iter().map(|r| r.label).collect::<Option<Vec<i64>>>() {
        arrays.push(("y".into(), integers(&[n], &labels)?));
    }
    write_npz(path, &arrays)
}

fn predictions(rows: &[Row]) -> Vec<i64> {
    let best = |r: &Row| r.outcome.outputs.first().map_or(0, |o| prediction(&o.scores));
    rows.iter().map(best).collect()
}

fn spikes(row: &Row) -> u64 {
    row.outcome.activity.iter().map(|(_, a)| a.spikes).sum()
}

fn show(rows: &[Row], common: &Common) -> Result<(), Error> {
    let mean = rows.iter().map(|r| r.events as f64).sum::<f64>() / rows.len().max(1) as f64;
    if common.format == Format::Json {
        return render::json(&serde_json::json!({
            "recordings": rows.len(),
            "mean_events": mean,
            "events": rows.iter().map(|r| r.events).collect::<Vec<_>>(),
            "timesteps": rows.iter().map(|r| r.outcome.timesteps).collect::<Vec<_>>(),
            "spikes": rows.iter().map(spikes).collect::<Vec<_>>(),
            "prediction": predictions(rows),
        }));
    }
    if !common.quiet {
        let line = |(i, (row, best)): (usize, (&Row, i64))| {
            vec![
                i.to_string(),
                row.label.map_or("-".into(), |l| l.to_string()),
                row.events.to_string(),
                row.outcome.timesteps.to_string(),
                spikes(row).to_string(),
                best.to_string(),
            ]
        };
        let lines: Vec<_> = rows.iter().zip(predictions(rows)).enumerate().map(line).collect();
        let header = ["recording", "label", "events", "timesteps", "spikes", "prediction"];
        render::line(tables::table(&header, &lines, 0));
    }
    render::line(format_args!("{} recordings, {mean:.1} events in the mean", rows.len()));
    Ok(())
}
