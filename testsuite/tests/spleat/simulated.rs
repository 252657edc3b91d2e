//! Images in hardware simulators, held against the interpreter and the model of clocks.

use snnc_backends::File;
use snnc_backends::spleat::cycles::{Sent, timetable};
use snnc_backends::spleat::rtl::{Inference, Simulation, Simulator, events, parse, sources};
use snnc_backends::spleat::{Kind, Map};

use crate::{Behaviour, Image};

/// Potentials of an inference in (C, H, W) order.
pub fn potentials(inference: &Inference) -> Vec<i64> {
    inference.potentials.values().copied().collect()
}

/// What every input and layer sends in one sample.
pub fn sent(image: &Image, behaviour: &Behaviour) -> Sent {
    let steps = image.network.timing.timesteps;
    let inputs = image.manifest.inputs.iter().map(|i| (&i.name, &i.shape));
    let all = inputs.chain(image.manifest.layers.iter().map(|l| (&l.name, &l.shape)));
    let payloads = |name: &String, shape: &[usize]| {
        let map = Map::of(shape).expect("a map");
        let mut steps = vec![vec![0; map.neurons()]; steps];
        for (t, event) in behaviour.get(name).map_or(&[][..], |deeds| deeds.0.as_slice()) {
            steps[*t][map.place(event.c, event.y, event.x)] = event.payload;
        }
        steps
    };
    all.map(|(name, shape)| (name.clone(), payloads(name, shape))).collect()
}

/// Text of the core that is replaced by another, as file, old and new text.
pub type Change<'a> = (&'a str, &'a str, &'a str);

/// Builds the accelerator of an image, with a change of its core or none, and runs samples in it with
/// options of the test bench.
pub fn run(
    simulator: Simulator,
    image: &Image,
    samples: &[Behaviour],
    options: &[&str],
    change: Option<Change<'_>>,
) -> Result<Simulation, String> {
    let all: Vec<Sent> = samples.iter().map(|sample| sent(image, sample)).collect();
    let input = |name: &String| all.iter().map(|sample| sample[name].clone()).collect();
    let inputs: Vec<_> = image.manifest.inputs.iter().map(|i| input(&i.name)).collect();
    let events = events(&image.manifest, &inputs).expect("events");
    let folder = tempfile::tempdir().expect("a folder");
    let memories = image.artefact.files.iter().filter(|f| f.path.ends_with(".mem"));
    for File { path, content } in memories.chain(&events) {
        std::fs::write(folder.path().join(path), content).expect("writes");
    }
    let mut sources = sources(&image.manifest, &image.layers).expect("sources");
    if let Some((name, old, new)) = change {
        let file = sources.iter_mut().find(|f| f.path == name).expect("a file of the core");
        let text = String::from_utf8(file.content.to_vec()).expect("text");
        assert_eq!(text.matches(old).count(), 1, "{name}: {old}");
        file.content = text.replace(old, new).into();
    }
    let build = simulator.build(&sources, folder.path()).expect("builds");
    let output = build.run(folder.path(), options).expect("simulates");
    parse(&output, image.layers.len())
}

/// What a simulation and the interpreter do otherwise, if anything.
pub fn difference(
    image: &Image,
    expected: &[Behaviour],
    simulation: &Simulation,
) -> Option<String> {
    for (layer, inferences) in image.layers.iter().zip(&simulation.layers) {
        let what = format!("`{}`", layer.name);
        if inferences.len() != expected.len() {
            return Some(format!("{what}: {} inferences of {}", inferences.len(), expected.len()));
        }
        for (i, (inference, behaviour)) in inferences.iter().zip(expected).enumerate() {
            let (sent, v) = &behaviour[&layer.name];
            if inference.overflows > 0 {
                return Some(format!("{what}: {} sums overflow", inference.overflows));
            }
            if layer.neuron.kind != Kind::Accumulate && inference.events != *sent {
                let at = inference.events.iter().zip(sent).take_while(|(a, b)| a == b).count();
                let pair = (inference.events.get(at), sent.get(at));
                return Some(format!("{what}, sample {i}, event {at}: {pair:?}"));
            }
            // A layer of maxima holds nothing at the end.
            if !layer.neuron.kind.is_maximum() && potentials(inference) != *v {
                return Some(format!("{what}, sample {i}: {:?}, not {v:?}", potentials(inference)));
            }
        }
    }
    None
}

/// What a simulation and the model of clocks count otherwise, if anything.
pub fn difference_of_clocks(
    image: &Image,
    expected: &[Behaviour],
    simulation: &Simulation,
) -> Option<String> {
    let sent: Vec<Sent> = expected.iter().map(|behaviour| sent(image, behaviour)).collect();
    let table = timetable(&image.manifest, &image.layers, &sent, 0).expect("comes to its end");
    for (layer, inferences) in image.layers.iter().zip(&simulation.layers) {
        let ends: Vec<u64> = inferences.iter().map(|i| i.clock).collect();
        let found = (ends, inferences.last().map_or(0, |i| i.work));
        let predicted = (table.ends[layer.index].clone(), table.work[layer.index]);
        if found != predicted {
            return Some(format!("`{}` ends in clocks {found:?}, not {predicted:?}", layer.name));
        }
    }
    (simulation.fifos != table.most)
        .then(|| format!("FIFOs hold {:?}, not {:?}", simulation.fifos, table.most))
}

/// Runs samples and compares everything: events, potentials and clocks.
pub fn check(simulator: Simulator, image: &Image, samples: &[Behaviour], options: &[&str]) {
    let what = format!("{}, {simulator:?} {options:?}", image.network.name);
    let simulation =
        run(simulator, image, samples, options, None).unwrap_or_else(|e| panic!("{what}: {e}"));
    assert_eq!(difference(image, samples, &simulation), None, "{what}");
    if options.is_empty() {
        assert_eq!(difference_of_clocks(image, samples, &simulation), None, "{what}");
    }
}
