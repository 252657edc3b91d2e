//! Recordings of event cameras: read, cut into timesteps, and run through networks compiled for
//! targets, in pieces of any size.

use std::path::PathBuf;

use snnc::data::Scaling;
use snnc::driver::{self, CompileOptions, Model};
use snnc::import::ImportOptions;
use snnc::passes::Context;
use snnc::stream::Streamer;
use snnc_backends::format::events::{Bins, Event, Form, Recording, read};
use snnc_ir::NodeId;
use snnc_runtime::spiking::Outcome;
use snnc_testsuite::{beside, repository};

const AS_IT_IS: Scaling = Scaling { scale: 1.0, offset: 0.0 };

/// The network of the folder `cases/events`, compiled for a target and read back.
fn streamer(target: &str) -> Streamer {
    let path = repository().join("testsuite/cases/events/events.onnx");
    let model = Model::load(&path, &ImportOptions::default(), &mut Context::default()).unwrap();
    let target = snnc_backends::target(target).unwrap();
    let compiled = driver::compile(&model, target, &CompileOptions::default()).unwrap();
    Streamer::new(&compiled.network, true, AS_IT_IS).unwrap()
}

type Spikes = Vec<(NodeId, usize, Vec<i64>)>;

fn run(streamer: &Streamer, recording: &Recording, bins: &Bins, chunk: usize) -> (Spikes, Outcome) {
    let mut seen = Vec::new();
    let observe = &mut |id, t, value: &[i64]| seen.push((id, t, value.to_vec()));
    let outcome = streamer.run(recording, bins, chunk, observe).unwrap();
    (seen, outcome)
}

/// A recording of two strokes with both polarities.
fn strokes() -> Recording {
    let event = |i: u64| Event {
        microseconds: i * 97,
        x: (i * 7 % 34) as u16,
        y: (i * i % 34) as u16,
        brighter: i.is_multiple_of(3),
    };
    Recording { label: None, events: (0..2000).map(event).collect() }
}

#[test]
fn pieces_of_any_size_give_the_same_spikes() {
    for target in ["loihi", "spleat"] {
        let streamer = streamer(target);
        let bins = Bins::new(&streamer.input_shape, 10_000, Form::Counts).unwrap();
        let (whole, outcome) = run(&streamer, &strokes(), &bins, usize::MAX);
        assert_eq!(outcome.timesteps, 20, "{target}");
        let spikes: u64 = outcome.activity.iter().map(|(_, a)| a.spikes).sum();
        assert!(spikes > 2000, "{target} sends {spikes} spikes");
        for chunk in [1, 7] {
            let (seen, again) = run(&streamer, &strokes(), &bins, chunk);
            assert!(seen == whole && again == outcome, "{target} in pieces of {chunk}");
        }
    }
}

fn recordings(name: &str) -> Vec<Recording> {
    let path: PathBuf = beside().join("neuromorphic/nmnist").join(name);
    read(std::fs::read(path).unwrap()).unwrap()
}

#[test]
#[cfg_attr(not(shared), ignore = "../shared was not there when this was built")]
fn the_recordings_of_n_mnist_are_read() {
    let (test, train) = (recordings("test100.bin.gz"), recordings("train100.bin.gz"));
    assert_eq!((test.len(), train.len()), (100, 100));
    let all = || test.iter().chain(&train);
    let events: usize = all().map(|r| r.events.len()).sum();
    assert_eq!(events, 385_596 + 402_166, "counted by an independent reader");
    assert!(all().all(|r| r.label.is_some_and(|l| (0..10).contains(&l))));
    let bins = Bins::new(&[2, 34, 34], 10_000, Form::Counts).unwrap();
    for recording in all() {
        let count = bins.count(recording).unwrap();
        let rows = bins.rows(recording, 0, count).unwrap();
        let binned: i64 = rows.iter().flatten().sum();
        assert_eq!(binned as usize, recording.events.len(), "each event is in one timestep");
    }
}

#[test]
#[cfg_attr(not(shared), ignore = "../shared was not there when this was built")]
fn n_mnist_runs_on_what_is_compiled() {
    let (test, train) = (recordings("test100.bin.gz"), recordings("train100.bin.gz"));
    let every = if std::env::var_os("SNNC_FULL").is_some() { 1 } else { 25 };
    if every > 1 {
        use std::io::Write;
        let _ = writeln!(std::io::stderr(), "8 of 200 recordings; SNNC_FULL=1 runs all");
    }
    for target in ["loihi", "spleat"] {
        let streamer = streamer(target);
        let bins = Bins::new(&streamer.input_shape, 10_000, Form::Counts).unwrap();
        for recording in test.iter().chain(&train).step_by(every) {
            let whole = run(&streamer, recording, &bins, usize::MAX);
            for chunk in [1, 7] {
                assert!(run(&streamer, recording, &bins, chunk) == whole, "{target} by {chunk}");
            }
        }
    }
}
