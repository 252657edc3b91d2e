//! Energy of whole networks: layers as the graph has them, counts as the run made them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde_json::Value;
use snnc::artefact::{open, write_all};
use snnc::data::{Dataset, Scaling};
use snnc::driver::{CompileOptions, Model, compile};
use snnc::energy::{
    Counts, Input, Kind, Layer, Neurons, all_profiles, formal_layers, layers, tensor_layers,
};
use snnc::evaluate::{Evaluation, Runner, takes_reals};
use snnc::import::ImportOptions;
use snnc::passes::Context;

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/digits").join(name)
}

fn model(path: &Path) -> Model {
    Model::load(path, &ImportOptions::default(), &mut Context::default()).expect("a model")
}

fn evaluation(model: &Model) -> Evaluation {
    let path = example("digits-test-360.npz");
    let data = Dataset::load(&path, Some(30)).expect("data");
    let reals = takes_reals(&model.quantised);
    let network = &model.conversion.network;
    let runner = Runner::spiking(network, None, reals, Scaling::default()).expect("a runner");
    runner.evaluate(&data, &path).expect("an evaluation")
}

#[test]
fn layers_are_those_of_the_graph() {
    let model = model(&example("digits_cnn_w4a4_qcdq.onnx"));
    let network = &model.conversion.network;
    let ids = ["input", "conv1", "conv2", "conv3"].map(|n| network.find(n).expect("a node"));
    let counts: HashMap<_, _> = ids
        .into_iter()
        .zip([(10.0, 100.0), (20.0, 200.0), (30.0, 300.0), (40.0, 400.0)])
        .map(|(id, (spikes, synaptic_operations))| (id, Counts { spikes, synaptic_operations }))
        .collect();
    let found = layers(network, &counts, 1.0);
    let names: Vec<&str> = found.iter().map(|l| l.name.as_str()).collect();
    assert_eq!(names, ["conv1", "conv2", "conv3", "fc"]);
    let sizes: Vec<(usize, usize)> = found.iter().map(|l| (l.inputs, l.outputs)).collect();
    assert_eq!(sizes, [(64, 1024), (1024, 1024), (1024, 1024), (1024, 10)]);
    let events = |l: &Layer| match l.input {
        Input::Spikes { events, payload, .. } => (events, payload.bits),
        Input::Formal => (0.0, 0),
    };
    assert_eq!(
        found.iter().map(events).collect::<Vec<_>>(),
        [(10.0, 8), (20.0, 4), (30.0, 4), (40.0, 4)]
    );
    assert_eq!(found.iter().map(|l| l.events_out).collect::<Vec<_>>(), [20.0, 30.0, 40.0, 0.0]);
    let operations: Vec<_> = found.iter().map(|l| l.synaptic_operations).collect();
    assert_eq!(operations, [Some(100.0), Some(200.0), Some(300.0), Some(400.0)]);
    assert_eq!(found[3].neurons, Neurons::ReadOut);
    assert_eq!(found[3].kind, Kind::Dense);
    let widths: Vec<u32> = found.iter().map(|l| l.widths.weight).collect();
    assert!(widths[1..].iter().all(|&w| w <= 4), "4-bit weights behind the input: {widths:?}");
}

/// The ordinary network that the spiking graph stands for is the quantised graph.
#[test]
fn formal_layers_are_those_of_the_quantised_graph() {
    let model = model(&example("digits_cnn_w4a4_qcdq.onnx"));
    let macs = |layers: &[Layer]| {
        all_profiles(layers).iter().map(|e| e.operations.mac).collect::<Vec<_>>()
    };
    let spiking = formal_layers(&model.conversion.network);
    assert_eq!(macs(&spiking), macs(&tensor_layers(&model.quantised)));
}

#[test]
fn an_evaluation_adds_up() {
    let model = model(&example("digits_cnn_w4a4_qcdq.onnx"));
    let found = evaluation(&model);
    for e in &found.energy {
        let sum: f64 = e.layers.iter().map(|l| l.total_nj).sum();
        assert!((sum / e.total_nj - 1.0).abs() < 1e-12, "{}", e.profile);
        assert_eq!(found.energy_nj.get(&e.profile), Some(&e.total_nj));
        assert!(found.formal_energy_nj.contains_key(&e.profile));
    }
    // A population's row holds the layers that end in it, an encoder's none.
    for e in &found.energy {
        let rows = found.per_layer.iter().filter_map(|r| r.energy.get(&e.profile));
        let (nj, mac) = rows.fold((0.0, 0.0), |(nj, mac), r| {
            assert!((r.terms_nj.total() - r.total_nj).abs() <= 1e-12 * r.total_nj);
            (nj + r.total_nj, mac + r.operations.mac)
        });
        assert!((nj / e.total_nj - 1.0).abs() < 1e-12, "{}", e.profile);
        assert!((mac / e.operations.mac - 1.0).abs() < 1e-12, "{}", e.profile);
        assert!(found.per_layer[0].energy.is_empty());
    }
    // What the hardware profile reads of weights is what the run counted.
    let hardware = found.energy.iter().find(|e| e.profile == "hardware").expect("a profile");
    let sent: f64 = found.per_layer.iter().map(|r| r.spikes_per_neuron * r.neurons as f64).sum();
    let read_out = found.per_layer.last().expect("a row").neurons as f64;
    let swept = 3.0 * 1024.0 + read_out;
    let biases = hardware.operations.acc;
    // Potentials twice, weights once; sent and received, but for the input's sending and the read-out.
    let input = &found.per_layer[0];
    let input = input.spikes_per_neuron * input.neurons as f64;
    let queues = 2.0 * (sent - read_out) - input;
    let expected = 3.0 * found.synaptic_operations + 2.0 * swept + biases + queues;
    assert!(
        (hardware.operations.memory_accesses / expected - 1.0).abs() < 1e-9,
        "{} against {expected}",
        hardware.operations.memory_accesses
    );
}

/// On a device whose image lays its memories out, an access meets one bank of them.
#[test]
fn the_hardware_profile_pays_for_the_image_s_own_memories() {
    let model = model(&example("digits_cnn_w4a4_qcdq.onnx"));
    let target = snnc_backends::target("spleat").expect("a target");
    let path = example("digits-test-360.npz");
    let compiled = compile(&model, target, &CompileOptions::default()).expect("an image");
    let manifest = compiled.files.iter().find(|f| f.path == "manifest.json").expect("a file");
    let image: Value = serde_json::from_slice(&manifest.content).expect("JSON");
    let folder = tempfile::tempdir().expect("a folder");
    write_all(folder.path(), &[("spleat".into(), compiled.files)]).expect("files");
    let artefact = open(&folder.path().join("spleat")).expect("readable").expect("an artefact");
    let data = Dataset::load(&path, Some(20)).expect("data");
    let reals = takes_reals(&model.quantised);
    let runner = || Runner::spiking(&artefact.network, None, reals, Scaling::default());
    let plain = runner().expect("runs").evaluate(&data, &path).expect("a run");
    let laid_out = runner().expect("runs").with_memories(artefact.memories.clone());
    let found = laid_out.evaluate(&data, &path).expect("a run");
    // The metric written out once more, from the image's manifest.
    let per_bit = |words: f64, bits: f64| {
        let points = [(0.0, 0.0), (8192.0, 10.0), (32_768.0, 20.0), (1_048_576.0, 100.0)];
        let bytes = words * bits / 8.0;
        let pair = points.windows(2).find(|p| bytes <= p[1].0).expect("a small memory");
        let share = (bytes - pair[0].0) / (pair[1].0 - pair[0].0);
        (pair[0].1 + share * (pair[1].1 - pair[0].1)) * bits / 32.0
    };
    let layers = image["layers"].as_array().expect("layers");
    for (before, layer) in found.per_layer.iter().zip(&found.per_layer[1..]) {
        let entry = layers.iter().find(|l| l["name"] == layer.name.as_str()).expect("a layer");
        let access = |kind: &str| {
            let files = entry["files"].as_array().expect("files");
            let file = files.iter().find(|f| f["kind"] == kind).expect("a memory");
            let number = |key: &str| file[key].as_f64().expect("a number");
            per_bit(number("depth"), number("width"))
        };
        let (met, swept) = (before.synaptic_operations, layer.neurons as f64);
        let terms = layer.energy["hardware"].terms_nj;
        let expected = 2.0 * (met + swept) * access("membrane") / 1000.0;
        assert!((terms.potentials / expected - 1.0).abs() < 1e-12, "{}", layer.name);
        let expected = met * access("weight") / 1000.0;
        assert!((terms.weights / expected - 1.0).abs() < 1e-12, "{}", layer.name);
    }
    for name in ["qualia-iconip", "qualia-louis", "paper-piecewise", "graded"] {
        assert_eq!(plain.energy_nj[name], found.energy_nj[name], "{name}");
    }
    assert!(plain.energy_nj["hardware"] != found.energy_nj["hardware"]);
}

/// Where two projections lead to one population, its neurons count once.
#[test]
#[cfg_attr(not(shared), ignore = "../shared was not there when this was built")]
fn residual_blocks_share_their_neurons() {
    let shared = snnc_testsuite::beside();
    let model = model(&shared.join("models/cifar/cifar10_resnet8_w8a8_ptq_qcdq.onnx"));
    let network = &model.conversion.network;
    let found = layers(network, &HashMap::new(), 1.0);
    let joins = found.iter().filter(|l| l.neurons == Neurons::Shared).count();
    assert!(joins > 0, "there are residual blocks");
    let owners = found.len() - joins;
    let populations = network
        .ids()
        .filter(|&id| matches!(network[id].as_spiking(), Some(snnc_ir::SpikingOp::Population(_))))
        .count();
    assert_eq!(owners, populations);
}
