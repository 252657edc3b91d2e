//! What `snnc inspect` says of models.

use std::path::Path;
use std::process::{Command, Output};

use onnx_protobuf::{GraphProto, Message, ModelProto, NodeProto, OperatorSetIdProto};
use serde_json::Value;
use snnc_backends::TARGETS;

fn inspect(model: &Path, more: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_snnc")).arg("inspect").arg(model).args(more).output().unwrap()
}

fn digits(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/digits").join(name)
}

/// The text up to the ratings, which belong to the targets.
fn text(name: &str) -> String {
    let output = inspect(&digits(name), &["-q"]);
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    for target in TARGETS {
        let line = text.lines().find(|l| l.starts_with(target.name())).unwrap();
        assert!(
            [": exact", ": approximate", ": cannot"].iter().any(|r| line.ends_with(r)),
            "{line}"
        );
    }
    text.split_once(&format!("\n{} (", TARGETS[0].name())).unwrap().0.to_owned()
}

#[test]
fn a_quantised_model_is_shown_node_by_node() {
    insta::assert_snapshot!(text("digits_cnn_w4a4_qcdq.onnx"));
}

#[test]
fn a_float_model_says_all_that_keeps_it_from_being_converted() {
    insta::assert_snapshot!(text("digits_cnn_bn_float.onnx"));
}

#[test]
fn json_holds_what_the_text_says_and_the_reasons_of_ratings() {
    let json = |name: &str| -> Value {
        let output = inspect(&digits(name), &["--format", "json"]);
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let quantised = json("digits_cnn_w4a4_qcdq.onnx");
    assert_eq!(quantised["inputs"][0]["shape"], serde_json::json!([1, 1, 8, 8]));
    assert_eq!(quantised["parameters"], 15050);
    assert_eq!(quantised["operations"], 314_368);
    assert_eq!(quantised["obstacles"], serde_json::json!([]));
    let nodes = quantised["nodes"].as_array().unwrap();
    let population = nodes.iter().find(|n| n["operator"] == "requantise").unwrap();
    assert_eq!(population["quantisation"]["bits"], 4);
    let targets = quantised["targets"].as_array().unwrap();
    let rating = |name: &str| targets.iter().find(|t| t["target"] == name).unwrap();
    assert_eq!(rating("reference")["rating"], "exact");
    for target in targets {
        let reasons = target["reasons"].as_array().unwrap();
        assert_eq!(target["rating"] == "exact", reasons.is_empty(), "{target}");
    }
    let float = json("digits_cnn_bn_float.onnx");
    // On reals, and rated as calibration would quantise it.
    assert_eq!((&float["calibrated"], &quantised["calibrated"]), (&true.into(), &false.into()));
    assert_eq!(float["obstacles"], serde_json::json!([]));
    let targets = float["targets"].as_array().unwrap();
    assert!(targets.iter().all(|t| t["rating"] != "cannot"), "{targets:?}");
}

#[test]
fn every_operator_that_is_not_imported_is_named_at_once() {
    let node = |op: &str, from: &str, to: &str| NodeProto {
        op_type: op.into(),
        name: format!("the_{op}"),
        input: vec![from.into()],
        output: vec![to.into()],
        ..Default::default()
    };
    let mut input = onnx_protobuf::ValueInfoProto { name: "x".into(), ..Default::default() };
    input.r#type = Some(onnx_protobuf::TypeProto {
        value: Some(onnx_protobuf::TypeValue::Tensor(onnx_protobuf::TensorType {
            elem_type: 1,
            shape: Some(onnx_protobuf::TensorShapeProto { dim: Vec::new() }),
        })),
        ..Default::default()
    });
    let output = onnx_protobuf::ValueInfoProto { name: "y".into(), ..Default::default() };
    let graph = GraphProto {
        node: vec![node("LSTM", "x", "a"), node("Relu", "a", "b"), node("Einsum", "b", "y")],
        input: vec![input],
        output: vec![output],
        ..Default::default()
    };
    let opset = OperatorSetIdProto { domain: String::new(), version: 13 };
    let model = ModelProto {
        ir_version: 8,
        opset_import: vec![opset],
        graph: Some(graph),
        ..Default::default()
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("two.onnx");
    std::fs::write(&path, model.encode_to_vec()).unwrap();
    let output = inspect(&path, &[]);
    assert_eq!(output.status.code(), Some(3));
    let text = String::from_utf8(output.stderr).unwrap();
    for part in ["LSTM `the_LSTM`", "Einsum `the_Einsum`"] {
        assert!(text.lines().any(|l| l.starts_with("error") && l.contains(part)), "{text}");
    }
    assert_eq!(text.matches("help:").count(), 2, "{text}");
}
