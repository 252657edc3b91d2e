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
use snnc_testsuite::command::snnc;
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
    Recording { events: (0..2000).map(event).collect(), ..Recording::default() }
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

#[test]
fn events_outside_of_the_input_are_an_error_of_their_file() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let model = repository().join("testsuite/cases/events/events.onnx").display().to_string();
    let out = at("out");
    assert_eq!(snnc(&["compile", &model, "--target", "loihi", "-o", &out]).code, 0);
    // x = 90, y = 3 in 40 bits; the input is 34 by 34 pixels.
    std::fs::write(at("wide.bin"), [90, 3, 0, 0, 1]).unwrap();
    let (artefact, wide) = (at("out/loihi"), at("wide.bin"));
    let run = ["run", &artefact, "--input", &wide, "--bin-us", "1000"];
    let refused = snnc(&run);
    assert_eq!(refused.code, 4);
    assert!(refused.errors[0].contains("wide.bin"), "{:?}", refused.errors);
    assert!(refused.remedies[0].contains("--event-pool"), "{:?}", refused.remedies);
    for remedy in [&["--event-pool", "3"][..], &["--event-crop"]] {
        assert_eq!(snnc(&[&run[..], remedy].concat()).code, 0, "{remedy:?}");
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

/// The samples of Prophesee's cameras, against what expelliarmus decoded of one of them.
///
/// That decoder counts every step back of the lower 12 bits of the clock as an overflow, also where the upper bits
/// have counted it, or the step takes an earlier one back: its times run ahead by 4096 microseconds for each.
#[test]
#[cfg_attr(not(shared), ignore = "../shared was not there when this was built")]
fn recordings_of_prophesee_are_read_event_by_event() {
    let sample =
        |name: &str| std::fs::read(beside().join("neuromorphic/events").join(name)).unwrap();
    let (bytes, decoded) = (sample("evt3_sample.raw"), sample("evt3_sample.npy"));
    let recording = read(bytes.clone()).unwrap().remove(0);
    // 16 bytes an event: i64 t, i16 x, i16 y, u8 p.
    let records = &decoded[decoded.len() - 16 * recording.events.len()..];
    let falls = falls_of_the_lower_time(&bytes);
    assert_eq!(falls.len(), recording.events.len());
    for (i, (event, record)) in recording.events.iter().zip(records.chunks_exact(16)).enumerate() {
        let t = i64::from_le_bytes(record[..8].try_into().unwrap()) as u64;
        let axis = |at: usize| u16::from_le_bytes([record[at], record[at + 1]]);
        assert_eq!((event.x, event.y), (axis(8), axis(10)), "event {i}");
        assert_eq!(event.brighter, record[12] == 1, "event {i}");
        assert_eq!(recording.began + event.microseconds + 4096 * falls[i], t, "event {i}");
    }
    let second = read(sample("evt2_sample.raw")).unwrap().remove(0);
    assert_eq!(second.events.len(), 367_855 + 171_626, "words of each polarity in the file");
    assert!(second.events.iter().all(|e| e.x < 640 && e.y < 480));
}

/// How often the lower bits of the time have fallen before each event of an EVT 3.0 file.
fn falls_of_the_lower_time(bytes: &[u8]) -> Vec<u64> {
    let start = bytes.windows(3).position(|w| w[0] == b'\n' && w[1] != b'%').unwrap() + 1;
    let (mut falls, mut low, mut out) = (0, 0, Vec::new());
    for word in bytes[start..].chunks_exact(2).map(|w| u16::from_le_bytes([w[0], w[1]])) {
        match word >> 12 {
            6 => {
                falls += u64::from(word & 0xfff < low);
                low = word & 0xfff;
            }
            2 => out.push(falls),
            4 => out.extend(vec![falls; (word & 0xfff).count_ones() as usize]),
            5 => out.extend(vec![falls; (word & 0xff).count_ones() as usize]),
            _ => {}
        }
    }
    out
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
