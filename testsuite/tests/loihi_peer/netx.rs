//! The interpreter and NetX on one file and input.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;
use snnc_backends::format::npy::NpyArray;
use snnc_backends::format::npz::Npz;
use snnc_backends::loihi::{Loihi, reset_periodically};
use snnc_backends::{MemoryFiles, ReadError, Target};
use snnc_ir::{Graph, NeuronState, NodeId, SigmaDeltaRole, SpikingOp, verify};
use snnc_runtime::spiking::{Network, Sample};

/// Currents wrap into `-LIMIT + 1..=LIMIT`.
const LIMIT: i64 = 1 << 23;

/// A file, and what goes in.
pub struct Case {
    /// The file.
    pub content: Vec<u8>,
    /// What goes in, as `run.py` calls it.
    pub kind: &'static str,
    /// Shape of one step's input.
    pub shape: Vec<usize>,
    /// One frame, or one for each step.
    pub frames: Vec<Vec<i64>>,
    /// Steps of the run.
    pub steps: usize,
    /// Interval and offset of resets.
    pub reset: Option<(usize, usize)>,
}

/// The network in a file.
pub fn read(content: &[u8]) -> Result<Graph, ReadError> {
    let content = content.to_vec().into();
    Loihi.read(&MemoryFiles([("network.net".to_owned(), content)].into()), "network.net")
}

/// Spikes and states of the populations, by the names that `run.py` gives them.
fn interpreted(case: &Case) -> BTreeMap<String, Vec<Vec<i64>>> {
    let mut graph = read(&case.content).unwrap();
    graph.timing.timesteps = case.steps;
    if let Some((interval, offset)) = case.reset {
        reset_periodically(&mut graph, interval, offset);
    }
    let values = case.kind == "values";
    if let Some(snnc_ir::Op::Spiking(SpikingOp::Encoder(e))) =
        graph.inputs().first().map(|&id| &mut graph[id].op).filter(|_| values)
    {
        e.presentation = snnc_ir::Presentation::InTime;
    }
    let graph = verify(graph).unwrap();
    let populations: Vec<NodeId> = graph
        .order()
        .unwrap()
        .into_iter()
        .filter(|&id| matches!(graph[id].as_spiking(), Some(SpikingOp::Population(_))))
        .collect();
    let place = |id: NodeId| populations.iter().position(|&p| p == id);
    let sample = match case.kind {
        "bias" => Sample::Codes(case.frames[0].clone()),
        _ => Sample::InTime(case.frames.clone()),
    };
    let mut sent: BTreeMap<String, Vec<Vec<i64>>> = BTreeMap::new();
    let mut states: BTreeMap<String, Vec<Vec<i64>>> = BTreeMap::new();
    Network::new(&graph)
        .unwrap()
        .run_with_states(
            &[sample],
            &mut |id, _, value| {
                let Some(SpikingOp::Population(p)) = graph[id].as_spiking() else { return };
                let i = place(id).unwrap();
                let silent = !p.neuron.fires();
                let shown = if silent { vec![0; value.len()] } else { value.to_vec() };
                sent.entry(format!("spikes.{i}")).or_default().push(shown);
            },
            &mut |id, _, state| {
                let i = place(id).unwrap();
                let mut put = |name: &str, values: Vec<i64>| {
                    states.entry(format!("{name}.{i}")).or_default().push(values);
                };
                match state {
                    // NetX's stand-in adds up the same sums, shifted by 6 and wrapped to 24 bits.
                    NeuronState::Accumulate(own) => {
                        let u = |v: &i64| ((v << 6) - 1 + LIMIT).rem_euclid(2 * LIMIT) + 1 - LIMIT;
                        put("u", own.states().iter().map(u).collect());
                        let v = |v: &i64| u(v).clamp(1 - LIMIT, LIMIT - 1);
                        put("v", own.states().iter().map(v).collect());
                    }
                    NeuronState::CurrentBased(own) => {
                        // The input's bias comes as current here, and not at all in NetX.
                        if !(case.kind == "bias" && i == 0) {
                            put("u", own.states().iter().map(|s| s.current).collect());
                        }
                        put("v", own.potentials());
                    }
                    NeuronState::SigmaDelta(own) => {
                        let role = own.model().role;
                        if role != SigmaDeltaRole::Delta {
                            put("sigma", own.potentials());
                        }
                        if role != SigmaDeltaRole::Sigma {
                            put("act", own.states().iter().map(|s| s.activation).collect());
                            put("residue", own.states().iter().map(|s| s.residue).collect());
                        }
                    }
                    other => panic!("NetX has no {other:?}"),
                }
            },
        )
        .unwrap();
    sent.extend(states);
    sent
}

/// The Python that has Lava; tests that need it are ignored where `build.rs` found none.
pub fn lava_python() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    std::env::var_os("SNNC_LAVA_PYTHON")
        .map_or_else(|| root.join("target/peers/lava/bin/python"), PathBuf::from)
}

/// Runs the cases in NetX, and compares.
pub fn compare(python: &Path, cases: Vec<(String, Case)>) {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str, end: &str| folder.path().join(format!("{name}.{end}"));
    let mut jobs = Vec::new();
    for (name, case) in &cases {
        std::fs::write(path(name, "net"), &case.content).unwrap();
        let mut shape = case.shape.clone();
        if case.kind != "bias" {
            shape.insert(0, case.frames.len());
        }
        let input = NpyArray::from_i64(shape, &case.frames.concat()).unwrap();
        std::fs::write(path(name, "npy"), input.to_bytes().unwrap()).unwrap();
        let mut job = json!({
            "net": path(name, "net"), "input": path(name, "npy"), "kind": case.kind,
            "steps": case.steps, "output": path(name, "npz"), "may_warn": true,
        });
        if let Some((interval, offset)) = case.reset {
            job["reset"] = json!([interval, offset]);
        }
        jobs.push(job);
    }
    let list = folder.path().join("jobs.json");
    std::fs::write(&list, serde_json::to_vec(&jobs).unwrap()).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/lava/run.py");
    let output = Command::new(python).arg(script).arg(&list).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");

    let mut spikes = 0;
    for (name, case) in &cases {
        let npz = Npz::open(std::fs::read(path(name, "npz")).unwrap()).unwrap();
        let ours = interpreted(case);
        for (key, frames) in &ours {
            let theirs = npz.get(key).unwrap().unwrap_or_else(|| panic!("{name}: no {key}"));
            let theirs = theirs.to_i64().unwrap();
            let each = frames[0].len();
            for (t, frame) in frames.iter().enumerate() {
                let there = &theirs[t * each..(t + 1) * each];
                assert_eq!(frame, there, "{name}: {key} at step {t}");
            }
            if key.starts_with("spikes") {
                spikes += frames.iter().flatten().filter(|&&s| s != 0).count();
            }
        }
        let layers = npz.names().filter(|n| n.starts_with("spikes")).count();
        assert_eq!(layers, ours.keys().filter(|k| k.starts_with("spikes")).count(), "{name}");
    }
    assert!(spikes > 100 * cases.len(), "only {spikes} spikes were compared");
}
