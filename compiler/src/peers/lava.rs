//! Lava NetX, where the user has it: what runs `.net` files in Intel's own framework.
//!
//! `SNNC_LAVA_PYTHON` names a Python interpreter that has lava-nc 0.10.0 and lava-dl 0.6.0, as
//! `testsuite/peers/setup.sh lava` makes one; the scripts beside it do the work there. Every payload of
//! every population at every timestep is compared, and what a read-out has summed up.

use std::path::Path;
use std::process::Command;

use serde_json::json;
use snnc_backends::format::npy::NpyArray;
use snnc_backends::format::npz::Npz;
use snnc_ir::{CurrentBasedNeuron, Graph, NodeId, SpikingOp};

use super::{Case, Outcome, Peer};
use crate::{Error, Problem};

/// Variable that names the interpreter.
const PYTHON: &str = "SNNC_LAVA_PYTHON";
const SCRIPT: &str = include_str!("../../../testsuite/peers/lava/run.py");
const SHIM: &str = include_str!("../../../testsuite/peers/lava/shim.py");
/// Samples that are compared: NetX starts two processes for each layer and sample.
const SAMPLES: usize = 2;
/// Left shift of what a read-out adds up, and bits of the sum (lava-nc 0.10.0, LIF models).
const READ_OUT: (u32, u32) = (6, 24);

/// NetX on a CPU, in fixed point.
pub struct Lava;

impl Peer for Lava {
    fn name(&self) -> &'static str {
        "lava"
    }

    fn targets(&self) -> &'static [&'static str] {
        &["loihi"]
    }

    fn check(&self, case: &Case<'_>) -> Result<Outcome, Error> {
        match std::env::var_os(PYTHON) {
            Some(python) => check_with(Path::new(&python), case),
            None => Ok(Outcome::Skipped(format!("{PYTHON} names no Python with lava-dl 0.6.0"))),
        }
    }
}

fn failed(reason: impl Into<String>) -> Error {
    Error::input(format!("`{PYTHON}`"), reason, "try `import lava.lib.dl.netx` there")
}

/// What one population sent, one entry for each timestep; the sums of a read-out.
struct Sent {
    name: String,
    key: String,
    frames: Vec<Vec<i64>>,
}

fn populations(network: &Graph) -> Vec<NodeId> {
    let order = network.order().unwrap_or_default();
    let is = |id: &NodeId| matches!(network[*id].as_spiking(), Some(SpikingOp::Population(_)));
    order.into_iter().filter(is).collect()
}

fn is_read_out(network: &Graph, id: NodeId) -> bool {
    matches!(network[id].as_spiking(), Some(SpikingOp::Population(p)) if !p.neuron.fires())
}

/// What goes in, as `run.py` calls it.
fn kind(network: &Graph) -> Option<&'static str> {
    match network[*populations(network).first()?].as_spiking() {
        Some(SpikingOp::Population(p)) if p.neuron.sends_changes() => Some("values"),
        Some(SpikingOp::Population(p)) => p.neuron.get::<CurrentBasedNeuron>().map(|_| "bias"),
        _ => None,
    }
}

fn check_with(python: &Path, case: &Case<'_>) -> Result<Outcome, Error> {
    let Some(data) = case.samples else {
        return Ok(Outcome::Skipped("NetX compares samples: give them with --data".into()));
    };
    let Some(kind) = kind(case.network) else {
        return Ok(Outcome::Skipped("the network has no input neurons".into()));
    };
    let folder = tempfile::tempdir().map_err(|e| failed(e.to_string()))?;
    let path = |name: &str| folder.path().join(name);
    write(&path("run.py"), SCRIPT.as_bytes())?;
    write(&path("shim.py"), SHIM.as_bytes())?;
    let network = std::fs::read(case.folder.join("network.net"))
        .map_err(|e| failed(format!("`network.net`: {e}")))?;
    let samples = data.len().min(SAMPLES);
    let (mut jobs, mut expected) = (Vec::new(), Vec::new());
    for index in 0..samples {
        let (input, sent) = ours(case, index)?;
        let steps = sent.first().map_or(0, |s| s.frames.len());
        let mut shape = case.network[case.network.inputs()[0]].ty.shape.clone();
        let mut frames = input;
        if kind == "values" {
            shape.insert(0, steps);
            frames = frames.repeat(steps);
        }
        let array = NpyArray::from_i64(shape, &frames).and_then(|a| a.to_bytes());
        write(&path(&format!("{index}.npy")), &array.map_err(|e| failed(e.to_string()))?)?;
        // NetX keeps a file open: each path serves one run.
        write(&path(&format!("{index}.net")), &network)?;
        jobs.push(json!({
            "net": path(&format!("{index}.net")), "input": path(&format!("{index}.npy")),
            "kind": kind, "steps": steps, "output": path(&format!("{index}.npz")),
        }));
        expected.push(sent);
    }
    write(&path("jobs.json"), json!(jobs).to_string().as_bytes())?;
    let run = Command::new(python).arg(path("run.py")).arg(path("jobs.json")).output();
    let output = run.map_err(|e| failed(format!("`{}`: {e}", python.display())))?;
    if !output.status.success() {
        return Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    let mut problems = Vec::new();
    for (index, sent) in expected.iter().enumerate() {
        compare(&path(&format!("{index}.npz")), index, sent, &mut problems)?;
    }
    if !problems.is_empty() {
        return Ok(Outcome::Differs(problems));
    }
    let layers = expected.first().map_or(0, Vec::len);
    Ok(Outcome::Agrees(format!(
        "{samples} samples run alike in all {layers} populations at every timestep"
    )))
}

fn write(path: &Path, content: &[u8]) -> Result<(), Error> {
    std::fs::write(path, content).map_err(|e| failed(format!("`{}`: {e}", path.display())))
}

/// What goes into the first neurons in each timestep, and what all populations send.
fn ours(case: &Case<'_>, index: usize) -> Result<(Vec<i64>, Vec<Sent>), Error> {
    let order = populations(case.network);
    let data = case.samples.ok_or_else(|| failed("there are no samples"))?;
    let mut sent: Vec<Sent> = order
        .iter()
        .enumerate()
        .map(|(i, &id)| {
            let state = if is_read_out(case.network, id) { "u" } else { "spikes" };
            let name = case.network[id].name.clone();
            Sent { name, key: format!("{state}.{i}"), frames: Vec::new() }
        })
        .collect();
    let mut input = Vec::new();
    let mut wanted = order.clone();
    wanted.extend(case.network.inputs());
    case.runner.answer_showing(data, index, Some(&wanted), &mut |id, _, values| match order
        .iter()
        .position(|&p| p == id)
    {
        Some(i) if is_read_out(case.network, id) => {
            sent[i].frames.push(values.iter().map(|&v| summed(v)).collect());
        }
        Some(i) => sent[i].frames.push(values.to_vec()),
        None if case.network.inputs().contains(&id) => input = values.to_vec(),
        None => {}
    })?;
    Ok((input, sent))
}

/// The sum `v` as a read-out of NetX holds it: wrapped into 24 bits without the smallest number.
fn summed(v: i64) -> i64 {
    let half = 1i64 << (READ_OUT.1 - 1);
    ((v << READ_OUT.0) - 1 + half).rem_euclid(2 * half) + 1 - half
}

/// Holds one run against what was expected; the first timestep that differs is said.
fn compare(
    path: &Path,
    index: usize,
    sent: &[Sent],
    problems: &mut Vec<Problem>,
) -> Result<(), Error> {
    let wrong = |e: &dyn std::fmt::Display| failed(format!("its answers cannot be read: {e}"));
    let npz = Npz::open(std::fs::read(path).map_err(|e| wrong(&e))?).map_err(|e| wrong(&e))?;
    for Sent { name, key, frames } in sent {
        let found = npz.get(key).map_err(|e| wrong(&e))?;
        let found = found.ok_or_else(|| wrong(&format!("there is no `{key}`")))?;
        let found = found.to_i64().map_err(|e| wrong(&e))?;
        let each = frames.first().map_or(1, Vec::len).max(1);
        let other = frames.iter().zip(found.chunks(each)).position(|(a, b)| a != b);
        if other.is_some() || found.len() != each * frames.len() {
            let at = other.unwrap_or(frames.len());
            problems.push(Problem::new(
                format!("population `{name}`"),
                format!("sample {index} runs otherwise in NetX from timestep {at}"),
                "compare the versions of lava-nc and lava-dl with 0.10.0 and 0.6.0",
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn read_outs_wrap_as_in_lava() {
        assert_eq!([0, 1, -3].map(summed), [0, 64, -192]);
        assert_eq!(summed(1 << 17), 1 << 23);
        assert_eq!(summed((1 << 17) + 1), 64 - (1 << 23));
        assert_eq!(summed(-(1 << 17)), 1 << 23);
    }

    #[test]
    fn another_spike_is_said_with_its_population_and_timestep() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("0.npz");
        let mut npz = snnc_backends::format::npz::NpzWriter::new(
            snnc_backends::format::npz::Compression::Stored,
        );
        npz.add("spikes.0", &NpyArray::from_i64([3, 2], &[0, 1, 1, 1, 0, 0]).unwrap()).unwrap();
        std::fs::write(&path, npz.finish().unwrap()).unwrap();
        let sent = |second: i64| Sent {
            name: "conv1".into(),
            key: "spikes.0".into(),
            frames: vec![vec![0, 1], vec![1, second], vec![0, 0]],
        };
        let problems = |second: i64| {
            let mut problems = Vec::new();
            compare(&path, 7, &[sent(second)], &mut problems).unwrap();
            problems.iter().map(Problem::to_string).collect::<Vec<_>>()
        };
        assert!(problems(1).is_empty());
        assert!(problems(0)[0].contains("conv1") && problems(0)[0].contains("timestep 1"));
    }
}
