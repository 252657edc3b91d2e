//! SPLEAT-style images: read back, damaged, and in the hands of hardware simulators.

mod accuracy;
mod damage;
mod formal;
mod formats;
mod random;
mod rtl;
mod simulated;
mod synthesis;
mod trained;

use std::collections::BTreeMap;

use snnc_backends::spleat::aer::{Event, events};
use snnc_backends::spleat::{Checksums, ENTRY, Layer, Manifest, Map, Spleat, read_layers};
use snnc_backends::{Artefact, MemoryFiles, Target, TargetOptions};
use snnc_ir::{Graph, NeuronState, NodeId, Verified};
use snnc_runtime::spiking::{Network, RunError, Sample};

/// What one node does with a sample: spikes with their timesteps, and potentials at the end.
type Deeds = (Vec<(usize, Event)>, Vec<i64>);

/// What every input and layer does with one sample, by name.
type Behaviour = BTreeMap<String, Deeds>;

fn behaviour(graph: &Graph, sample: &Sample) -> Result<Behaviour, RunError> {
    let network = Network::new(graph)?;
    let (mut sent, mut potentials) = (Behaviour::new(), BTreeMap::new());
    let mut observe = |id: NodeId, t: usize, values: &[i64]| {
        let node = &graph[id];
        if let Some(map) = Map::of(&node.ty.shape) {
            let step = events(values, map).into_iter().map(|e| (t, e));
            sent.entry(node.name.clone()).or_default().0.extend(step);
        }
    };
    let mut states = |id: NodeId, _: usize, state: &NeuronState<'_>| {
        potentials.insert(id, state.potentials());
    };
    network.run_with_states(std::slice::from_ref(sample), &mut observe, &mut states)?;
    for (id, v) in potentials {
        sent.entry(graph[id].name.clone()).or_default().1 = v;
    }
    Ok(sent)
}

/// An image, and what the network read from it does.
struct Image {
    artefact: Artefact,
    manifest: Manifest,
    layers: Vec<Layer>,
    network: Graph,
}

fn hardware(npu: usize, fifo: usize) -> TargetOptions {
    let text = include_str!("../../../backends/src/spleat/hardware/default.yaml")
        .replace("npu: 4", &format!("npu: {npu}"))
        .replace("fifo_in: 64, fifo_out: 64", &format!("fifo_in: {fifo}, fifo_out: {fifo}"));
    TargetOptions { hardware: Some(text), ..TargetOptions::default() }
}

fn image(network: &Verified, options: &TargetOptions) -> Image {
    let legalised = Spleat
        .legalise(network, options)
        .unwrap_or_else(|violations| panic!("{}: {violations:?}", network.name));
    let artefact = Spleat.emit(&legalised, options).expect("emits");
    let files = MemoryFiles::from(&artefact);
    let network = Spleat.read(&files, ENTRY).expect("reads");
    let text = |graph: &Graph| graph.to_text(snnc_ir::PrintOptions::default());
    assert_eq!(text(&network), text(&legalised.network));
    let (manifest, layers) = read_layers(&files, ENTRY, Checksums::Checked).expect("reads");
    Image { artefact, manifest, layers, network }
}

/// Says something past the test harness, which would hide the line.
fn say(line: std::fmt::Arguments<'_>) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "{line}");
}
