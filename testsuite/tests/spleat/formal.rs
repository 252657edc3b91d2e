//! The neuron of the core against the arithmetic of the image format, proved by induction over time, and
//! mutated neurons, each of which gives a counterexample.

use std::path::Path;
use std::process::Command;

/// Kinds of neurons, as parameters of the harness. Widths are small: nothing in the neuron depends on them.
const KINDS: [(&str, &str); 9] = [
    ("binary", "-set MOST 1"),
    ("levels that fill their bits", "-set MOST 7"),
    ("levels that do not", "-set MOST 5"),
    ("reset table", "-set MOST 3 -set RESETS 1"),
    ("spike values", "-set MOST 3 -set VALUES 1"),
    ("binary with both tables", "-set MOST 1 -set RESETS 1 -set VALUES 1"),
    (
        "averaging with a hard reset",
        "-set KIND 1 -set SHIFT 2 -set KEPT 3 -set HARD 1 -set V_RESET 3",
    ),
    ("subtracting", "-set KIND 2 -set SHIFT 1 -set MOST 3"),
    ("read-out", "-set KIND 3"),
];

/// Changes of the neuron, each with a kind that shows it.
const MUTANTS: [(&str, &str, usize); 14] = [
    (
        "wire hit = KIND != 3 && !over[CW-1];",
        "wire hit = KIND != 3 && !over[CW-1] && over != 0;",
        0,
    ),
    ("wire hit = KIND != 3 &&", "wire hit =", 8),
    ("wire signed [UB-1:0] sum = potential + bias;", "wire signed [UB-1:0] sum = potential;", 0),
    ("sum >>> SHIFT : sum", "sum >> SHIFT : sum", 6),
    ("sum >>> SHIFT : sum", "sum : sum", 6),
    ("REST > 0 && s == 0 ? wide * $signed(REST) :", "", 2),
    ("REST > 0 && step == 0 ? REST :", "", 2),
    ("(LAST[SB-1:0] - s)", "(LAST[SB-1:0] - s + 1)", 1),
    ("left - times(RESETS ? reset : threshold, step)", "left - times(threshold, step)", 3),
    ("z + (VALUES ? counted[PB-1:0] : level[PB-1:0])", "z + level[PB-1:0]", 4),
    ("HARD != 0 && fired_now", "HARD != 0 && fired", 6),
    ("wide * $signed(KEPT)", "wide", 6),
    ("wide - (wide >>> SHIFT)", "wide - (wide >>> (SHIFT + 1))", 7),
    ("if (hit) u <= over[UB-1:0];", "u <= over[UB-1:0];", 1),
];

const NEURON: &str = include_str!("../../../backends/src/spleat/rtl/spleat_neuron.v");
const HARNESS: &str = include_str!("../../peers/rtl/neuron_formal.v");

fn run(folder: &Path, program: &str, arguments: &[&str]) -> (bool, String) {
    let output = Command::new(program).args(arguments).current_dir(folder).output();
    let output = output.unwrap_or_else(|e| panic!("{program}: {e}"));
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

/// Whether the assertions hold in the first clocks from reset, and whether they follow from those of clocks before.
fn prove(neuron: &str, parameters: &str) -> (bool, bool) {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("neuron.v"), neuron).expect("writes");
    std::fs::write(folder.path().join("harness.v"), HARNESS).expect("writes");
    let script = format!(
        "read_verilog -formal -sv neuron.v harness.v; chparam {parameters} neuron_formal; \
         prep -flatten -top neuron_formal; async2sync; dffunmap; write_smt2 -wires n.smt2"
    );
    let (ok, text) = run(folder.path(), "yosys", &["-q", "-p", &script]);
    assert!(ok, "{parameters}: {text}");
    let solve = |arguments: &[&str]| {
        let (ok, text) = run(folder.path(), "yosys-smtbmc", arguments);
        let passed = text.contains("Status: PASSED") || text.contains("Status: passed");
        let failed = text.contains("Status: FAILED") || text.contains("Status: failed");
        assert!(passed != failed && passed == ok, "{parameters}: {text}");
        passed
    };
    let base = solve(&["-s", "z3", "-t", "8", "n.smt2"]);
    (base, base && solve(&["-s", "z3", "-i", "-t", "8", "n.smt2"]))
}

#[test]
#[cfg_attr(
    not(all(yosys, z3)),
    ignore = "Yosys or z3 was not installed (testsuite/peers/setup.sh installs them) when this was built"
)]
fn every_kind_of_neuron_is_the_arithmetic_of_the_format() {
    for (kind, parameters) in KINDS {
        assert_eq!(prove(NEURON, parameters), (true, true), "{kind}");
    }
}

#[test]
#[cfg_attr(
    not(all(yosys, z3)),
    ignore = "Yosys or z3 was not installed (testsuite/peers/setup.sh installs them) when this was built"
)]
fn changed_neurons_give_counterexamples() {
    for (old, new, kind) in MUTANTS {
        assert_eq!(NEURON.matches(old).count(), 1, "{old}");
        let (base, _) = prove(&NEURON.replace(old, new), KINDS[kind].1);
        assert!(!base, "`{new}` is not noticed by {}", KINDS[kind].0);
    }
}
