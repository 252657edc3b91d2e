//! Runs the core with an image in the hardware simulators that are installed.
//!
//! The model reads the image's files; every event of every layer and every final potential is held
//! against the interpreter's on the network that was read from the same files.

use std::collections::BTreeMap;
use std::path::Path;

use snnc_backends::spleat::aer::{Event, events};
use snnc_backends::spleat::rtl::{
    Inference, Samples, Simulator, events as input_events, parse, sources,
};
use snnc_backends::spleat::{
    Checksums, ENTRY, FileEntry, Format, Kind, Layer, Manifest, Map, read_layers,
};
use snnc_ir::{NeuronState, NodeId, Op, SpikingOp};
use snnc_runtime::spiking::{Network, Sample};

use super::{Case, Outcome, Peer};
use crate::artefact::DirectoryFiles;
use crate::{Error, Problem};

/// Samples that are compared: a simulator takes seconds for one.
const SAMPLES: usize = 4;

/// Icarus Verilog and Verilator on the core.
pub struct Rtl;

impl Peer for Rtl {
    fn name(&self) -> &'static str {
        "rtl"
    }

    fn targets(&self) -> &'static [&'static str] {
        &["spleat"]
    }

    fn check(&self, case: &Case<'_>) -> Result<Outcome, Error> {
        let installed: Vec<Simulator> =
            Simulator::ALL.into_iter().filter(|s| s.installed()).collect();
        if installed.is_empty() {
            let why = "neither iverilog nor verilator is installed (Debian has packages of both)";
            return Ok(Outcome::Skipped(why.into()));
        }
        let count = case.samples.map_or(0, |data| data.len().min(SAMPLES));
        if count == 0 {
            return Ok(Outcome::Skipped(
                "there is nothing to run: name samples with --data".into(),
            ));
        }
        let image = Image::open(case.folder)?;
        let runs = expected(case, count)?;
        let (mut agreed, mut problems) = (Vec::new(), Vec::new());
        for simulator in installed {
            let found = simulate(simulator, case.folder, &image, &runs)?;
            let differing = compare(simulator, &image, &runs, &found);
            if differing.is_empty() {
                let sent: usize = found.iter().flatten().map(|i| i.events.len()).sum();
                agreed.push(format!("{} {sent} events", simulator.program()));
            }
            problems.extend(differing);
        }
        if problems.is_empty() {
            let layers = image.layers.len();
            let text = format!(
                "every event of {layers} layers and every final potential on {count} samples ({})",
                agreed.join(", ")
            );
            Ok(Outcome::Agrees(text))
        } else {
            Ok(Outcome::Differs(problems))
        }
    }
}

fn failed(reason: impl std::fmt::Display) -> Error {
    Error::input("RTL simulation", reason.to_string(), "see whether iverilog or verilator runs")
}

struct Image {
    manifest: Manifest,
    layers: Vec<Layer>,
}

impl Image {
    fn open(folder: &Path) -> Result<Image, Error> {
        let files = DirectoryFiles::new(folder);
        let (manifest, layers) =
            read_layers(&files, ENTRY, Checksums::Checked).map_err(|e| failed(&e))?;
        Ok(Image { manifest, layers })
    }
}

/// What the interpreter does with one sample: by the names of nodes, payloads for each timestep,
/// events, and potentials at the end.
#[derive(Default)]
struct Run {
    payloads: BTreeMap<String, Vec<Vec<i64>>>,
    events: BTreeMap<String, Vec<(usize, Event)>>,
    potentials: BTreeMap<String, Vec<i64>>,
}

fn expected(case: &Case<'_>, count: usize) -> Result<Vec<Run>, Error> {
    let Some(data) = case.samples else { return Ok(Vec::new()) };
    let graph = case.network;
    let network = Network::new(graph).map_err(failed)?;
    let one = |index: usize| {
        let sample = if case.runner.takes_reals {
            Sample::Real(data.reals(index, case.runner.scaling))
        } else {
            Sample::Codes(data.integers(index, case.runner.scaling))
        };
        let (mut run, mut states) = (Run::default(), BTreeMap::new());
        let mut observe = |id: NodeId, t: usize, values: &[i64]| {
            let node = &graph[id];
            let Some(map) = Map::of(&node.ty.shape) else { return };
            if matches!(node.op, Op::Spiking(SpikingOp::Encoder(_))) {
                run.payloads.entry(node.name.clone()).or_default().push(values.to_vec());
            }
            let step = events(values, map).into_iter().map(|e| (t, e));
            run.events.entry(node.name.clone()).or_default().extend(step);
        };
        let mut keep = |id: NodeId, _: usize, state: &NeuronState<'_>| {
            states.insert(graph[id].name.clone(), state.potentials());
        };
        network.run_with_states(&[sample], &mut observe, &mut keep).map_err(failed)?;
        run.potentials = states;
        Ok(run)
    };
    (0..count).map(one).collect()
}

fn simulate(
    simulator: Simulator,
    artefact: &Path,
    image: &Image,
    runs: &[Run],
) -> Result<Vec<Vec<Inference>>, Error> {
    let Image { manifest, layers } = image;
    let folder = tempfile::tempdir().map_err(failed)?;
    let sources = sources(manifest, layers).map_err(failed)?;
    let build = simulator.build(&sources, folder.path()).map_err(failed)?;
    let samples = |name: &String| -> Samples {
        runs.iter().map(|r| r.payloads.get(name).cloned().unwrap_or_default()).collect()
    };
    let inputs: Vec<Samples> = manifest.inputs.iter().map(|i| samples(&i.name)).collect();
    for file in input_events(manifest, &inputs).map_err(failed)? {
        std::fs::write(folder.path().join(file.path), file.content).map_err(failed)?;
    }
    let read = |f: &&FileEntry| f.format == Format::Mem;
    for entry in manifest.layers.iter().flat_map(|l| &l.files).filter(read) {
        let Some(name) = Path::new(&entry.path).file_name() else { continue };
        std::fs::copy(artefact.join(&entry.path), folder.path().join(name)).map_err(failed)?;
    }
    let output = build.run(folder.path(), &[]).map_err(failed)?;
    Ok(parse(&output, layers.len()).map_err(failed)?.layers)
}

/// Layers that did otherwise, each with the first sample and event that differ.
fn compare(
    simulator: Simulator,
    image: &Image,
    runs: &[Run],
    found: &[Vec<Inference>],
) -> Vec<Problem> {
    let layers = image.layers.iter().zip(found);
    let differing = layers.filter_map(|(layer, inferences)| {
        let reason = if inferences.len() == runs.len() {
            let mut both = inferences.iter().zip(runs).enumerate();
            both.find_map(|(i, (inference, run))| {
                difference(layer, inference, run).map(|what| format!("sample {i}: {what}"))
            })
        } else {
            Some(format!("{} samples came to their end of {}", inferences.len(), runs.len()))
        };
        let place = format!("`{}` in {}", layer.name, simulator.program());
        Some(Problem::new(place, reason?, "this is a fault of the compiler or of its core"))
    });
    differing.collect()
}

fn difference(layer: &Layer, inference: &Inference, run: &Run) -> Option<String> {
    if inference.overflows > 0 {
        return Some(format!("{} sums do not fit the membranes", inference.overflows));
    }
    let expected = run.events.get(&layer.name).map_or(&[][..], Vec::as_slice);
    // A read-out sends nothing, and maxima hold nothing.
    if layer.neuron.kind != Kind::Accumulate && inference.events != expected {
        let pairs = inference.events.iter().zip(expected);
        let at = pairs.take_while(|(a, b)| a == b).count();
        return Some(format!(
            "event {at} is {:?}, the interpreter's {:?}",
            inference.events.get(at),
            expected.get(at)
        ));
    }
    if layer.neuron.kind.is_maximum() {
        return None;
    }
    let potentials: Vec<i64> = inference.potentials.values().copied().collect();
    let own = run.potentials.get(&layer.name).map_or(&[][..], Vec::as_slice);
    (potentials != own).then(|| {
        let at = potentials.iter().zip(own).take_while(|(a, b)| a == b).count();
        let (found, expected) = (potentials.get(at), own.get(at));
        format!("potential {at} ends at {found:?}, the interpreter's at {expected:?}")
    })
}
