//! Files that others made: networks of lava-dl, NIR and many ONNX exporters, and what they recorded.

use std::fs;
use std::path::Path;

use bytes::Bytes;
use onnx_protobuf::{Message, ModelProto};
use snnc_backends::format::hdf5::Hdf5Tree;
use snnc_backends::format::npy::NpyArray;
use snnc_backends::format::npz::Npz;
use snnc_backends::loihi::Loihi;
use snnc_backends::{MemoryFiles, Target};
use snnc_ir::{SpikingOp, verify};
use snnc_testsuite::command::snnc;
use snnc_testsuite::{beside, files_below};

/// Writes an array, and returns its path.
fn saved(folder: &Path, name: &str, array: &NpyArray) -> String {
    let path = folder.join(name);
    std::fs::write(&path, array.to_bytes().expect("an array")).expect("writes");
    path.display().to_string()
}

/// What population `name` sent, all timesteps.
fn traced(path: &Path, name: &str) -> Vec<i64> {
    let npz = Npz::open(std::fs::read(path).expect("the trace")).expect("a trace");
    npz.get(name).expect("reads").expect("is there").to_i64().expect("integers")
}

#[test]
#[cfg_attr(not(shared), ignore = "../shared was not there when this was built")]
fn models_decode() {
    let models = beside().join("models");
    let files = files_below(&models, "onnx");
    assert!(!files.is_empty(), "no .onnx file in {}", models.display());
    for file in files {
        let bytes = Bytes::from(fs::read(&file).unwrap());
        let model =
            ModelProto::decode(bytes).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let graph = model.graph.as_ref().expect("a model has a graph");
        assert!(!graph.node.is_empty(), "{} has no nodes", file.display());
        assert!(!graph.output.is_empty(), "{} has no outputs", file.display());
        assert!(model.opset_version("").is_some(), "{} imports no opset", file.display());
    }
}

#[test]
#[cfg_attr(not(shared), ignore = "../shared was not there when this was built")]
fn networks_of_others_are_read_and_survive_being_written() {
    let shared = beside();
    for name in [
        "tiny.net",
        "mnist_bootstrap.net",
        "mnist_netx.net",
        "nir/01_lif/lif_norse.nir",
        "nir/01_lif/lif_rockpool.nir",
    ] {
        let bytes = std::fs::read(shared.join("neuromorphic").join(name)).unwrap();
        let tree = Hdf5Tree::read(bytes).unwrap();
        assert!(tree.iter().len() > 0, "{name}");
        assert_eq!(Hdf5Tree::read(tree.to_bytes().unwrap()).unwrap(), tree, "{name}");
    }
}

#[test]
#[cfg_attr(not(shared), ignore = "../shared was not there when this was built")]
fn layers_of_netx_networks_have_types_and_weights() {
    let shared = beside();
    for name in ["tiny.net", "mnist_bootstrap.net", "mnist_netx.net"] {
        let bytes = std::fs::read(shared.join("neuromorphic").join(name)).unwrap();
        let tree = Hdf5Tree::read(bytes).unwrap();
        let layers = tree.group("layer").unwrap();
        assert!(layers.iter_numbered().map(|(number, _)| number).eq(0..layers.iter().len() as u64));
        for (layer, _) in layers.iter() {
            let kind = layers.text(&format!("{layer}/type")).unwrap();
            if ["dense", "conv"].contains(&kind) {
                let weights = layers.i64s(&format!("{layer}/weight")).unwrap();
                assert!(weights.iter().any(|&weight| weight != 0), "{name} layer {layer}");
            }
        }
    }
}

#[test]
#[cfg_attr(not(shared), ignore = "../shared was not there when this was built")]
fn nodes_of_nir_graphs_have_edges_and_parameters() {
    let shared = beside();
    for name in ["lif_norse.nir", "lif_rockpool.nir"] {
        let bytes = std::fs::read(shared.join("neuromorphic/nir/01_lif").join(name)).unwrap();
        let tree = Hdf5Tree::read(bytes).unwrap();
        assert_eq!(tree.text("node/type").unwrap(), "NIRGraph");
        assert_eq!(tree.strings("node/edges").unwrap().shape[1], 2);
        for (node, _) in tree.group("node/nodes").unwrap().iter() {
            let path = format!("node/nodes/{node}");
            if ["LIF", "CubaLIF"].contains(&tree.text(&format!("{path}/type")).unwrap()) {
                assert!(!tree.f32s(&format!("{path}/v_threshold")).unwrap().is_empty(), "{path}");
            }
        }
    }
}

#[test]
#[cfg_attr(not(shared), ignore = "../shared was not there when this was built")]
fn networks_of_lava_dl_are_read() {
    let shared = beside();
    let shapes = |name: &str| {
        let content = std::fs::read(shared.join("neuromorphic").join(name)).unwrap();
        assert!(Loihi.recognises(name, &content));
        let files = MemoryFiles([(name.to_owned(), Bytes::from(content))].into());
        let graph = verify(Loihi.read(&files, name).unwrap()).unwrap();
        let mut out = format!("timesteps {}", graph.timing.timesteps);
        for id in graph.order().unwrap() {
            let kind = graph[id].as_spiking().map(kind).unwrap_or_default();
            out += &format!(" {kind}{:?}", graph[id].ty.shape);
        }
        out
    };
    assert_eq!(
        shapes("tiny.net"),
        "timesteps 64 encoder[3, 16, 16] population[3, 16, 16] projection[24, 6, 6] \
         population[24, 6, 6] projection[36, 1, 1] population[36, 1, 1] decoder[36, 1, 1]"
    );
    assert_eq!(
        shapes("mnist_bootstrap.net"),
        "timesteps 16 encoder[784] population[784] projection[512] population[512] \
         projection[512] population[512] projection[10] population[10] decoder[10]"
    );
    assert_eq!(
        shapes("mnist_netx.net"),
        "timesteps 4 encoder[784] projection[128] population[128] projection[64] population[64] \
         projection[10] population[10] decoder[10]"
    );
}

fn kind(op: &SpikingOp) -> &'static str {
    match op {
        SpikingOp::Encoder(_) => "encoder",
        SpikingOp::Projection(_) => "projection",
        SpikingOp::Population(_) => "population",
        SpikingOp::Decoder(_) => "decoder",
        SpikingOp::MaxPool { .. } => "max-pool",
        SpikingOp::RunningMaxPool { .. } => "running-max-pool",
        SpikingOp::Concatenate { .. } => "concatenate",
    }
}

/// The recorded spikes of lava-dl's tiny network: step `i` of layer `k` is timestep `i - 1 + k`.
#[test]
#[cfg_attr(not(shared), ignore = "../shared was not there when this was built")]
fn tiny_net_runs_as_recorded() {
    let shared = beside();
    let recordings = shared.join("neuromorphic/tinynet");
    let load = |name: &str| {
        let array = NpyArray::read(std::fs::read(recordings.join(name)).expect("reads"));
        let array = array.expect("an array");
        let values = array.to_f32().expect("reals");
        (array.shape, values.into_iter().map(|x| x as i64).collect::<Vec<i64>>())
    };
    // (W, H, C) to (C, H, W)
    let (shape, values) = load("input_bias.npy");
    let [w, h, c] = shape[..] else { panic!("{shape:?}") };
    let at = |i: usize| values[(i % w * h + i / w % h) * c + i / (w * h)];
    let turned: Vec<i64> = (0..values.len()).map(at).collect();
    let folder = tempfile::tempdir().expect("a folder");
    let bias = NpyArray::from_i64([1, c, h, w], &turned).expect("an array");
    let input = saved(folder.path(), "bias.npy", &bias);
    let trace = folder.path().join("trace.npz");
    let network = shared.join("neuromorphic/tiny.net").display().to_string();
    let path = trace.display().to_string();
    let arguments = ["run", &network, "--input", &input, "--trace", &path, "--timesteps", "20"];
    let output = snnc(&[&arguments[..], &["--reset-interval", "17"]].concat());
    assert_eq!(output.code, 0, "{:?}", output.errors);
    for (k, name) in ["input.npy", "layer1.npy", "output.npy"].into_iter().enumerate() {
        // (1, C, H, W, T)
        let (shape, recorded) = load(name);
        let steps = shape[4];
        let sent = traced(&trace, &format!("layer.{k}"));
        let neurons = recorded.len() / steps;
        let mut spikes = 0;
        for i in 1..steps {
            for n in 0..neurons {
                let expected = recorded[n * steps + i];
                assert_eq!(sent[(i - 1 + k) * neurons + n], expected, "{name} {i} {n}");
                spikes += expected;
            }
        }
        assert!(spikes > 0, "{name}");
    }
}

/// A test that needs what may be missing must not pass without it.
#[test]
fn no_test_passes_without_its_inputs() {
    let mut pending = vec![snnc_testsuite::repository()];
    let (mut read, mut wrong) = (0, Vec::new());
    while let Some(folder) = pending.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                pending.push(path);
            } else if name.ends_with(".rs") {
                read += 1;
                let text = fs::read_to_string(&path).unwrap();
                // Written apart, so that these lines are not found themselves.
                let silent = [
                    concat!("shared() ", "else"),
                    concat!("python() ", "else"),
                    concat!("\"skip", "ped: "),
                    concat!("installed(Sim", "ulator::"),
                ];
                let tests = path.components().any(|c| c.as_os_str() == "tests");
                if tests && silent.iter().any(|words| text.contains(words)) {
                    wrong.push(path);
                }
            }
        }
    }
    assert!(read > 100, "only {read} files of code");
    assert!(wrong.is_empty(), "return where ../shared is missing: {wrong:?}");
}
