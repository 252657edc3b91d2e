//! Networks that spike already, as snnTorch and SpikingJelly export them: recognised, run in single
//! precision, and held against the spikes that the frameworks themselves recorded.

use std::path::Path;

use onnx_protobuf::{Message, ModelProto};
use snnc::driver::{Trained, compile_trained};
use snnc::frontend;
use snnc::import::{ImportOptions, from_bytes, load, spiking};
use snnc::spiking_integers::Run;
use snnc_backends::TargetOptions;
use snnc_backends::format::npz::Npz;
use snnc_ir::{Graph, Neuron, NodeId, Op, Schedule, SpikingOp};
use snnc_runtime::kernels::Kernels;
use snnc_runtime::spiking::FloatNetwork;
use snnc_testsuite::{recorded_spiking_cases, spiking_cases};

fn recognised(path: &Path) -> Result<Graph, snnc::Error> {
    let imported = load(path, &ImportOptions::default())?;
    assert!(spiking::seems_spiking(&imported.graph), "{}", path.display());
    spiking::recognise(&imported.graph).map(|found| found.network)
}

/// Rows of an array of the file, one for each timestep.
fn rows(npz: &Npz, name: &str) -> Vec<Vec<f32>> {
    let array = npz.get(name).unwrap().unwrap();
    let values = array.to_f32().unwrap();
    values.chunks(values.len() / array.shape[0]).map(<[f32]>::to_vec).collect()
}

/// Spikes at which the network and the recording differ, by the scalar interpreter and in prepared form
/// on every instruction set of this processor, and how many there are in the recording.
fn compared(name: &str) -> Result<(usize, usize), String> {
    let graph = recognised(&spiking_cases().join(format!("{name}.onnx")))
        .map_err(|e| format!("{name}: {e}"))?;
    let npz =
        Npz::open(std::fs::read(spiking_cases().join(format!("{name}.npz"))).unwrap()).unwrap();
    let (x, expected) = (rows(&npz, "x"), rows(&npz, "spikes"));
    assert!(x.len() >= 20, "{name}: {} timesteps", x.len());
    let shown = graph.outputs().into_iter().next().unwrap();
    let population: NodeId = graph.source(shown, 0).unwrap();
    let differ = |(a, b): (&Vec<f32>, &Vec<f32>)| a.iter().zip(b).filter(|(a, b)| a != b).count();
    let mut differing = 0;
    for kernels in Kernels::ALL {
        let mut seen = Vec::new();
        let observe = &mut |id, _, value: &[f32]| {
            if id == population {
                seen.push(value.to_vec());
            }
        };
        let network = FloatNetwork::with_kernels(&graph, kernels).unwrap();
        assert_eq!(network.is_prepared(), kernels != Kernels::Scalar, "{name}");
        network.run(&x, observe).unwrap();
        assert_eq!(seen.len(), expected.len(), "{name}");
        differing += seen.iter().zip(&expected).map(differ).sum::<usize>();
    }
    let spikes = expected.iter().flatten().filter(|&&z| z != 0.0).count();
    Ok((differing, spikes))
}

#[test]
fn no_spike_differs_from_the_frameworks_own() {
    let names = recorded_spiking_cases();
    assert!(names.len() >= 36, "{} networks", names.len());
    let mut wrong = Vec::new();
    for name in names {
        match compared(&name) {
            Ok((0, spikes)) if spikes >= 2 => {}
            Ok((differing, spikes)) => {
                wrong.push(format!("{name}: {differing} of {spikes} spikes"))
            }
            Err(reason) => wrong.push(reason),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_same_network_is_found_however_it_is_exported() {
    // Each file has weights of its own; all else is one.
    let text = |name: &str| {
        let mut graph = recognised(&spiking_cases().join(format!("{name}.onnx"))).unwrap();
        let ids = graph.order().unwrap();
        let mut of = |id: NodeId| {
            if let Op::Spiking(SpikingOp::Population(p)) = &mut graph[id].op
                && let Neuron::Float(n) = &mut p.neuron
            {
                n.input_bias.clear();
            }
            (graph[id].op.clone(), graph[id].ty.shape.clone())
        };
        ids.into_iter().map(&mut of).collect::<Vec<_>>()
    };
    for kind in ["step_subtract", "step_zero", "step_if", "conv_step", "recurrent_step"] {
        let [old, new] = ["ts", "dynamo"].map(|e| text(&format!("snntorch_{kind}_{e}")));
        assert_eq!(old, new, "{kind}");
    }
    let unrolled = recognised(&spiking_cases().join("snntorch_unrolled_zero_ts.onnx")).unwrap();
    assert_eq!((unrolled.timing.timesteps, unrolled.timing.schedule), (24, Schedule::Streaming));
    assert_eq!(unrolled.inputs().len(), 1);
}

#[test]
fn a_state_that_the_exporter_left_out_is_told() {
    for name in ["spikingjelly_state_dropped", "spikingjelly_loop_state_dropped"] {
        let error = recognised(&spiking_cases().join(format!("{name}.onnx"))).unwrap_err();
        let text = error.to_string();
        assert_eq!(error.exit_code(), 3, "{text}");
        assert!(text.contains("the exporter has left the state out"), "{name}: {text}");
        assert!(text.contains("help: export the states"), "{name}: {text}");
        assert_eq!(error.problems().len(), 2, "one for each layer: {text}");
    }
}

/// An unrolled network in which the first layer of one timestep has another weight.
fn with_an_odd_timestep() -> Vec<u8> {
    let bytes = std::fs::read(spiking_cases().join("snntorch_unrolled_subtract_ts.onnx")).unwrap();
    let mut model = ModelProto::decode(bytes.as_slice()).unwrap();
    let graph = model.graph.as_mut().unwrap();
    let mut odd = graph.initializer.iter().find(|i| i.name == "fc1.weight").unwrap().clone();
    odd.name = "odd".into();
    let mut raw = odd.raw_data.to_vec();
    raw[2] ^= 1;
    odd.raw_data = raw.into();
    graph.initializer.push(odd);
    let mut uses = graph.node.iter_mut().filter(|n| n.input.iter().any(|i| i == "fc1.weight"));
    uses.nth(7).unwrap().input[1] = "odd".into();
    model.encode_to_vec()
}

#[test]
fn timesteps_that_are_no_copies_are_told() {
    let imported =
        from_bytes(with_an_odd_timestep().into(), "odd", None, &ImportOptions::default()).unwrap();
    let text = spiking::recognise(&imported.graph).unwrap_err().to_string();
    assert!(text.contains("timestep 7 gets its input in another way"), "{text}");
}

#[test]
fn other_neurons_are_refused_and_the_reference_keeps_every_spike() {
    let path = spiking_cases().join("spikingjelly_mlp_lif_hard.onnx");
    let source = frontend::model(&path, &ImportOptions::default()).unwrap().into_spiking().unwrap();
    let run = Run::default();
    let trained = Trained::new(&source, &run).unwrap();
    let compile = |target: &str| {
        let target = snnc_backends::target(target).unwrap();
        compile_trained(&trained, target, &TargetOptions::default())
    };
    let refused = ["akida1", "akida2"].map(|target| compile(target).err().unwrap());
    let error = snnc::Error::joined(refused).remove(0);
    let text = error.to_string();
    assert_eq!((error.exit_code(), error.problems().len()), (3, 4), "{text}");
    assert!(text.contains("GreaterOrEqual") && text.contains("on akida1"), "{text}");
    assert!(text.contains("integrates over time"), "{text}");
    assert!(text.contains("help: compile for loihi"), "{text}");

    let made = compile("reference").unwrap();
    let place = tempfile::tempdir().unwrap();
    for file in &made.files {
        std::fs::write(place.path().join(&file.path), &file.content).unwrap();
    }
    let opened = snnc::artefact::open(place.path()).unwrap().unwrap();
    let x: Vec<Vec<f32>> =
        (0..24).map(|t| (0..8).map(|i| ((t * 5 + i * 3) % 7) as f32 / 5.0).collect()).collect();
    let spikes = |graph: &Graph| {
        let mut seen = Vec::new();
        let observe = &mut |_, _, value: &[f32]| seen.push(value.to_vec());
        FloatNetwork::new(graph).unwrap().run(&x, observe).unwrap();
        seen
    };
    assert_eq!(spikes(&opened.network), spikes(&source.network));
}

#[test]
fn inspection_rates_every_target_and_names_what_is_missing() {
    let rated = |name: &str| {
        let path = spiking_cases().join(format!("{name}.onnx"));
        let model = frontend::model(&path, &ImportOptions::default()).unwrap();
        snnc::inspect::inspect(&model).unwrap()
    };
    let grades = |report: &snnc::inspect::Inspection| -> Vec<(String, String)> {
        report.targets.iter().map(|t| (t.target.clone(), t.rating.to_string())).collect()
    };
    let grade = |target: &str, rating: &str| (target.to_owned(), rating.to_owned());
    let hard = rated("spikingjelly_mlp_lif_hard");
    assert!(hard.obstacles.is_empty(), "{:?}", hard.obstacles);
    assert!(hard.nodes.iter().any(|n| n.operator == "population"));
    for target in ["loihi", "spleat", "reference"] {
        assert!(grades(&hard).contains(&grade(target, "approximate")), "{:?}", grades(&hard));
    }
    assert!(grades(&hard).contains(&grade("akida2", "cannot")));
    let nir = hard.targets.iter().find(|t| t.target == "nir").unwrap();
    assert!(nir.reasons[0].reason.contains("float32"), "{:?}", nir.reasons);
    let soft = rated("snntorch_step_subtract_ts");
    assert!(grades(&soft).contains(&grade("loihi", "cannot")));
    assert!(grades(&soft).contains(&grade("spleat", "approximate")));
    let dropped = rated("spikingjelly_state_dropped");
    assert!(!dropped.obstacles.is_empty());
    assert!(dropped.targets.iter().all(|t| t.rating.to_string() == "cannot"));
}
