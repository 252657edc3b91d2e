//! What both targets emit for a few tiny networks, and that it is read back as it was.

use snnc_ir::{Graph, PrintOptions, SpikingOp, Verified, verify};

mod builder;
mod widths;

use builder::{Builder, square};

use super::{Akida1, Akida2};
use crate::format::npz::Npz;
use crate::{MemoryFiles, Target, TargetOptions, Violation};

fn cnn(levels: i64, limit: i64) -> Verified {
    Builder::new(&[1, 6, 5], 0, 255, 0)
        .convolution(2, square(3, 1, 1), 15)
        .fire("conv1", 0.002, (0, levels))
        .convolution(3, square(3, 1, 1), limit)
        .fire("conv2", 0.04, (0, levels))
        .dense(2, limit)
        .scores("fc")
}

/// Text without what the files do not carry: origins and units of populations.
fn bare(graph: &Graph) -> String {
    let mut graph = graph.clone();
    for id in graph.ids().collect::<Vec<_>>() {
        graph[id].origins.clear();
        if let snnc_ir::Op::Spiking(SpikingOp::Population(p)) = &mut graph[id].op {
            p.scale.clear();
        }
    }
    graph.to_text(PrintOptions::default())
}

/// Emits a network, checks that it is read back as it was, and returns the spec.
fn emitted(target: &dyn Target, network: &Verified) -> String {
    let options = TargetOptions::default();
    let legal = target.legalise(network, &options).unwrap();
    let artefact = target.emit(&legal, &options).unwrap();
    let again = target.emit(&target.legalise(network, &options).unwrap(), &options).unwrap();
    assert_eq!(artefact.files, again.files);
    let entry = &artefact.files[0];
    assert!(target.recognises(&entry.path, &entry.content));
    let read = target.read(&MemoryFiles::from(&artefact), &entry.path).unwrap();
    assert_eq!(bare(&read), bare(&legal.network));
    verify(read).unwrap();
    String::from_utf8(entry.content.to_vec()).unwrap()
}

/// The spec, and below it the arrays.
fn shown(target: &dyn Target, network: &Verified) -> String {
    let mut text = emitted(target, network);
    let options = TargetOptions::default();
    let legal = target.legalise(network, &options).unwrap();
    let artefact = target.emit(&legal, &options).unwrap();
    let archive = Npz::open(artefact.files[1].content.clone()).unwrap();
    let names: Vec<String> = archive.names().map(str::to_owned).collect();
    for name in names {
        let array = archive.get(&name).unwrap().unwrap();
        let values = match array.to_i64() {
            Ok(values) => format!("{values:?}"),
            Err(_) => format!("{:?}", array.to_f32().unwrap()),
        };
        text += &format!("{name}: {}{:?} {values}\n", array.dtype, array.shape);
    }
    text
}

fn refused(target: &dyn Target, network: &Verified) -> Vec<Violation> {
    target.legalise(network, &TargetOptions::default()).unwrap_err()
}

#[test]
fn akida1_convolutions_and_dense() {
    insta::assert_snapshot!("akida1_cnn", shown(&Akida1, &cnn(15, 7)));
}

#[test]
fn akida2_convolutions_and_dense() {
    insta::assert_snapshot!("akida2_cnn", shown(&Akida2, &cnn(15, 7)));
}

#[test]
fn payloads_of_8_bits_are_sent_in_steps_of_2() {
    let network = cnn(255, 100);
    let legal = Akida2.legalise(&network, &TargetOptions::default()).unwrap();
    assert!(legal.notes.iter().any(|n| n.text.contains("in steps of 2")), "{:?}", legal.notes);
    emitted(&Akida2, &network);
    let violations = refused(&Akida1, &network);
    let nodes: Vec<&str> = violations.iter().map(|v| v.node.as_str()).collect();
    // Both activations, and the weights of all layers but the first.
    assert_eq!(nodes, ["`conv1`", "`conv2`", "`conv2`", "`fc`"]);
}

#[test]
fn a_zero_point_becomes_the_padding_value() {
    let network = Builder::new(&[3, 6, 6], -128, 127, -100)
        .convolution(2, square(3, 1, 1), 9)
        .fire("conv1", 0.002, (0, 15))
        .dense(2, 7)
        .scores("fc");
    for target in [&Akida1 as &dyn Target, &Akida2] {
        let spec: serde_json::Value = serde_json::from_str(&emitted(target, &network)).unwrap();
        assert_eq!(spec["encoding"]["zero_point"], -100);
        if target.name() == "akida1" {
            assert_eq!(spec["layers"][0]["parameters"]["padding_value"], 28);
        }
    }
}

#[test]
fn an_input_of_few_bits_has_a_layer_of_its_own() {
    let network =
        Builder::new(&[9], 0, 3, 0).dense(4, 7).fire("fc1", 0.1, (0, 3)).dense(2, 1).scores("fc2");
    insta::assert_snapshot!("akida1_mlp", shown(&Akida1, &network));
    emitted(&Akida2, &network);
}

#[test]
fn pools_go_into_the_layer_before() {
    let network = Builder::new(&[1, 8, 8], 0, 255, 0)
        .convolution(2, square(3, 1, 1), 9)
        .fire("conv1", 0.003, (0, 15))
        .max_pool("pool1", 2)
        .convolution(2, square(3, 1, 1), 7)
        .fire("conv2", 0.05, (0, 15))
        .dense(2, 7)
        .scores("fc");
    for target in [&Akida1 as &dyn Target, &Akida2] {
        let spec: serde_json::Value = serde_json::from_str(&emitted(target, &network)).unwrap();
        assert_eq!(spec["layers"][0]["parameters"]["pool_type"], 1);
        assert_eq!(spec["layers"][0]["output_shape"], serde_json::json!([4, 4, 2]));
    }
}

#[test]
fn an_8_bit_input_into_a_dense_layer_is_refused() {
    let network = Builder::new(&[1, 4, 4], 0, 255, 0)
        .dense(4, 7)
        .fire("fc1", 0.01, (0, 15))
        .dense(2, 7)
        .scores("fc2");
    for target in [&Akida1 as &dyn Target, &Akida2] {
        let violations = refused(target, &network);
        assert_eq!(violations.len(), 1, "{violations:?}");
        assert!(violations[0].reason.contains("codes 0 to 255"), "{}", violations[0]);
    }
}

#[test]
fn few_accumulators_differ_at_4_bits() {
    for target in [&Akida1 as &dyn Target, &Akida2] {
        let legal = target.legalise(&cnn(15, 7), &TargetOptions::default()).unwrap();
        for note in &legal.notes {
            let count: u64 = note.text.split(' ').next().unwrap().parse().unwrap();
            assert!(count <= 8, "{}: {note:?}", target.name());
        }
    }
}

/// Where weights of -7 to 7 leave differences, several copies of what is read take them away.
#[test]
fn copies_of_filters_make_staircases_exact() {
    let network = Builder::new(&[1, 6, 5], 0, 255, 0)
        .convolution(2, square(3, 1, 1), 15)
        .fire("conv1", 0.002, (0, 15))
        .convolution(3, square(3, 1, 1), 7)
        .fire("conv2", 0.0873, (0, 15))
        .dense(2, 7)
        .scores("fc");
    let filters = |options: &TargetOptions| {
        let legal = Akida1.legalise(&network, options).unwrap();
        let artefact = Akida1.emit(&legal, options).unwrap();
        let spec: serde_json::Value = serde_json::from_slice(&artefact.files[0].content).unwrap();
        let filters = spec["layers"][0]["parameters"]["filters"].as_i64().unwrap();
        let differing =
            |n: &crate::Note| n.text.split(' ').next().and_then(|w| w.parse::<u64>().ok());
        let own = legal.notes.iter().filter(|n| n.node == "`conv2`");
        (filters, own.filter_map(differing).sum::<u64>())
    };
    let (copied, few) = filters(&TargetOptions::default());
    let extra = [("copies".to_owned(), "1".to_owned())].into();
    let alone = TargetOptions { extra, ..TargetOptions::default() };
    let (plain, many) = filters(&alone);
    assert_eq!(plain, 2);
    assert!(
        copied > 2 && copied % 2 == 0 && 5 * few <= many && many > 0,
        "{copied}: {few}, {many}"
    );
    emitted(&Akida1, &network);
    let extra = [("copies".to_owned(), "many".to_owned())].into();
    let wrong = TargetOptions { extra, ..TargetOptions::default() };
    assert!(Akida1.legalise(&network, &wrong).unwrap_err()[0].node.contains("copies"));
}

#[test]
fn depthwise_convolutions_have_layers_of_their_own() {
    let network = Builder::new(&[1, 8, 8], 0, 255, 0)
        .convolution(4, square(3, 1, 1), 9)
        .fire("conv1", 0.003, (0, 15))
        .depthwise(square(3, 1, 1))
        .fire("depthwise", 0.0731, (0, 15))
        .dense(2, 7)
        .scores("fc");
    let one = [
        ("InputConvolutional", "conv1"),
        ("SeparableConvolutional", "depthwise"),
        ("FullyConnected", "fc"),
    ];
    assert_eq!(outline(&emitted(&Akida1, &network)), pairs(&one));
    let two = [
        ("InputConv2D", "conv1"),
        ("DepthwiseConv2D", "depthwise"),
        ("Dense1D", "fc"),
        ("Dequantizer", "logits"),
    ];
    assert_eq!(outline(&emitted(&Akida2, &network)), pairs(&two));
}

#[test]
fn tables_are_look_ups_of_akida_2_alone() {
    let network = Builder::new(&[1, 8, 8], 0, 255, 0)
        .convolution(2, square(3, 1, 1), 9)
        .fire("conv1", 0.003, (0, 15))
        .table("squared", (0..16).map(|v| v * v / 15).collect())
        .dense(2, 7)
        .scores("fc");
    let spec: serde_json::Value = serde_json::from_str(&emitted(&Akida2, &network)).unwrap();
    let layers = spec["layers"].as_array().unwrap();
    let table = layers.iter().find(|l| l["name"] == "squared").unwrap();
    assert_eq!(table["parameters"]["activation"], 2);
    assert_eq!(table["variables"]["lut_values"]["shape"], serde_json::json!([2048]));
}

#[test]
fn an_unknown_device_is_named() {
    let device = Some("AKD9000".to_owned());
    let options = TargetOptions { device, ..TargetOptions::default() };
    let violations = Akida1.legalise(&cnn(15, 7), &options).unwrap_err();
    assert!(violations[0].reason.contains("AKD9000"), "{violations:?}");
    assert_eq!(Akida1.devices()[0], "AKD1000");
}

/// Type and name of each layer.
fn outline(spec: &str) -> Vec<(String, String)> {
    let spec: serde_json::Value = serde_json::from_str(spec).unwrap();
    let text = |v: &serde_json::Value| v.as_str().unwrap().to_owned();
    let layers = spec["layers"].as_array().unwrap().iter();
    layers.map(|l| (text(&l["parameters"]["layer_type"]), text(&l["name"]))).collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|&(a, b)| (a.to_owned(), b.to_owned())).collect()
}

/// As LeNet-5: a convolution without padding, and a max-pool before the dense layer.
#[test]
fn unpadded_convolutions_and_pools_before_dense_layers_are_lowered() {
    let network = Builder::new(&[1, 12, 12], 0, 255, 0)
        .convolution(2, square(5, 1, 2), 9)
        .fire("conv1", 0.002, (0, 15))
        .max_pool("pool1", 2)
        .convolution(3, square(3, 1, 0), 7)
        .fire("conv2", 0.05, (0, 15))
        .max_pool("pool2", 2)
        .dense(2, 7)
        .scores("fc");
    // The padded map is 6x6 with the canonical 4x4 at (1, 1), which pools in steps of 2 do not meet.
    let violations = refused(&Akida1, &network);
    assert!(violations.iter().any(|v| v.node == "`pool2`"), "{violations:?}");

    let network = Builder::new(&[1, 16, 16], 0, 255, 0)
        .convolution(2, square(5, 1, 2), 9)
        .fire("conv1", 0.002, (0, 15))
        .max_pool("pool1", 2)
        .convolution(3, square(5, 1, 0), 7)
        .fire("conv2", 0.05, (0, 15))
        .max_pool("pool2", 2)
        .dense(2, 7)
        .scores("fc");
    let one = [
        ("InputConvolutional", "conv1"),
        ("Convolutional", "conv2"),
        ("Convolutional", "pool2"),
        ("FullyConnected", "fc"),
    ];
    assert_eq!(outline(&emitted(&Akida1, &network)), pairs(&one));
    let two = [
        ("InputConv2D", "conv1"),
        ("Conv2D", "conv2"),
        ("Conv2D", "pool2"),
        ("Dense1D", "fc"),
        ("Dequantizer", "logits"),
    ];
    assert_eq!(outline(&emitted(&Akida2, &network)), pairs(&two));
}

#[test]
fn residual_additions_are_akida_2_s_alone() {
    for levels in [15, 255] {
        let stem = Builder::new(&[3, 6, 6], 0, 255, 0).convolution(2, square(3, 1, 1), 9).fire(
            "stem",
            0.002,
            (0, levels),
        );
        let skip = stem.here();
        let network = stem
            .convolution(2, square(3, 1, 1), 7)
            .residual("sum", skip, levels)
            .global()
            .fire("gap", 1.0 / 36.0, (0, levels))
            .dense(2, 7)
            .scores("fc");
        let layers = [
            ("InputConv2D", "stem"),
            ("Conv2D", "stem.copy"),
            ("Conv2D", "sum.a"),
            ("Add", "sum.add"),
            ("Conv2D", "sum"),
            ("Conv2D", "gap"),
            ("Dense1D", "fc"),
            ("Dequantizer", "logits"),
        ];
        assert_eq!(outline(&emitted(&Akida2, &network)), pairs(&layers));
        let violations = refused(&Akida1, &network);
        assert!(violations.iter().any(|v| v.node == "`sum`" && v.remedy.contains("Akida 2.0")));
    }
}
