//! Payload bits within a budget, as the command line gives it.

use std::process::{Command, Output};

fn digits(name: &str) -> String {
    format!("{}/../examples/digits/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// Compiles the float digits network within a budget.
fn compiled(budget: &str) -> Output {
    let folder = tempfile::tempdir().expect("a folder");
    Command::new(env!("CARGO_BIN_EXE_snnc"))
        .args(["compile", &digits("digits_cnn_bn_float.onnx"), "--target", "reference"])
        .args(["--calibration", &digits("digits-train-1437.npz")])
        .args(["--payload-bits", "auto", "--budget", budget, "-o"])
        .arg(folder.path().join("out"))
        .output()
        .expect("the program runs")
}

/// The cost that the note of an allocation names, with its unit.
fn cost(output: &Output) -> (f64, String) {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    let (_, after) = said.split_once("(at ").expect("the cost is shown");
    let (amount, rest) = after.split_once(' ').expect("a unit");
    let unit = rest.split_once(')').expect("an end").0;
    (amount.parse().expect("a number"), unit.to_owned())
}

#[test]
fn the_energy_that_is_chosen_is_within_its_budget() {
    let budget = 6000.0;
    let (cost, unit) = cost(&compiled(&format!("energy:graded={budget}")));
    assert_eq!(unit, "nJ");
    assert!(cost <= budget && cost > 0.5 * budget, "{cost} of {budget}");
}

#[test]
fn budgets_that_cannot_be_kept_name_the_cheapest() {
    let output = compiled("synaptic-operations=1");
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("the cheapest costs"), "{said}");
}

#[test]
fn unknown_budgets_and_profiles_are_refused() {
    for (budget, reason) in [
        ("energy:none=1", "there is no profile `none`"),
        ("joules=1", "there is no budget `joules`"),
        ("energy=much", "`much` is no amount"),
    ] {
        let output = compiled(budget);
        assert_eq!(output.status.code(), Some(2), "{budget}");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains(reason), "{said}");
    }
}
