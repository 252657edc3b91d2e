//! `passes`, `dump` and `--print-after`: every step that is listed can be shown, and no other name is taken.

use std::path::Path;

use snnc::passes::steps;
use snnc_ir::Graph;
use snnc_testsuite::command::snnc;
use snnc_testsuite::{digits, spiking_cases};

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// A quantised model, one that was trained to spike, and one on reals with its data.
fn models() -> [Vec<String>; 3] {
    let quantised = vec![shown(&digits("digits_mlp_w4a4_qcdq.onnx"))];
    let data = shown(&digits("digits-test-360.npz"));
    let float = vec![shown(&digits("digits_cnn_bn_float.onnx")), "--data".into(), data];
    let cases = std::fs::read_dir(spiking_cases()).expect("the cases");
    let mut spiking: Vec<_> = cases.filter_map(|e| Some(e.ok()?.path())).collect();
    spiking.retain(|path| path.extension().is_some_and(|e| e == "onnx"));
    spiking.sort();
    [quantised, vec![shown(&spiking[0])], float]
}

#[test]
fn every_step_that_is_listed_is_shown_of_some_model() {
    let listed = snnc(&["passes"]).answer;
    let folder = tempfile::tempdir().expect("a folder");
    let file = shown(&folder.path().join("network"));
    for step in steps() {
        let row = listed.lines().find(|line| line.trim().starts_with(step.name));
        assert!(row.is_some_and(|r| r.contains(step.meaning.name())), "{}: {listed}", step.name);
        let mut of_some = false;
        for model in models() {
            let mut arguments: Vec<&str> = vec!["dump"];
            arguments.extend(model.iter().map(String::as_str));
            arguments.extend(["--stage", step.name]);
            let outcome = snnc(&[&arguments[..], &["-o", &file]].concat());
            if outcome.code != 0 {
                assert_eq!(outcome.code, 2, "{}: {:?}", step.name, outcome.errors);
                continue;
            }
            of_some = true;
            let text = std::fs::read_to_string(&file).expect("was written");
            let graph = Graph::from_text(&text).unwrap_or_else(|e| panic!("{}: {e}", step.name));
            let drawn = snnc(&[&arguments[..], &["--form", "dot"]].concat()).answer;
            assert!(drawn.starts_with("digraph"), "{drawn}");
            assert_eq!(drawn.matches("[label=\"").count(), graph.len(), "{drawn}");
            break;
        }
        assert!(of_some, "{} can be shown of no model", step.name);
    }
}

#[test]
fn the_spiking_network_is_shown_in_a_target_s_arithmetic() {
    let model = shown(&digits("digits_mlp_w4a4_qcdq.onnx"));
    let arguments = ["dump", &model, "--stage", "legalise", "--target", "loihi", "--code", "rate"];
    let outcome = snnc(&arguments);
    assert_eq!(outcome.code, 0, "{:?}", outcome.errors);
    assert!(outcome.answer.contains("population"), "{}", outcome.answer);
    let json = snnc(&["passes", "--format", "json"]).answer;
    let rows: Vec<serde_json::Value> = serde_json::from_str(&json).expect("JSON");
    assert_eq!(rows.len(), steps().len());
    assert!(rows.iter().any(|row| row["name"] == "graded" && row["meaning"] == "approximated"));
}

#[test]
fn names_that_are_no_step_are_refused_with_the_nearest() {
    let model = shown(&digits("digits_mlp_w4a4_qcdq.onnx"));
    let folder = tempfile::tempdir().expect("a folder");
    let out = shown(folder.path());
    for arguments in [
        vec!["dump", &model, "--stage", "gradde"],
        vec!["compile", &model, "--target", "reference", "-o", &out, "--print-after", "gradde"],
    ] {
        let outcome = snnc(&arguments);
        assert_eq!(outcome.code, 2, "{:?}", outcome.errors);
        assert!(outcome.errors[0].contains("no pass `gradde`"), "{:?}", outcome.errors);
    }
    let two = snnc(&["dump", &model, "--stage", "code", "--target", "loihi,spleat"]);
    assert_eq!(two.code, 2, "{:?}", two.errors);
    // A step behind what is refused, and one that the model has not.
    let none = snnc(&["dump", &model, "--stage", "recognise"]);
    assert_eq!(none.code, 2, "{:?}", none.errors);
    // It does not go over the model.
    let over = snnc(&["dump", &model, "--stage", "import", "-o", &model]);
    assert_eq!(over.code, 2, "{:?}", over.errors);
}
