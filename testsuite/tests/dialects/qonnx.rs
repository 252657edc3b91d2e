//! QONNX: `Quant` is `(round(clip(x / scale + zero)) - zero) * scale`, each operation in f32
//! (<https://github.com/fastmachinelearning/qonnx>, `docs/qonnx-custom-ops`), and the package's own
//! executor gives the same where `SNNC_QONNX_PYTHON` names a Python that has it.

use std::process::Command;

use onnx_protobuf::DataType;
use snnc_runtime::spiking::Sample;
use snnc_runtime::tensor::Value;
use snnc_testsuite::onnx_model::{Builder, QONNX, int, string};
use snnc_testsuite::repository;

use crate::{canonical, converted, run, spike};

const MODES: [&str; 7] = ["ROUND", "CEIL", "FLOOR", "UP", "DOWN", "HALF_UP", "HALF_DOWN"];
/// Odd, even and fractional, inside and outside of the codes.
const ZEROS: [f32; 10] = [0.0, 1.0, 2.0, 3.0, -3.0, 8.0, 0.5, -0.5, 2.25, 0.3];

/// One way to quantise.
#[derive(Clone, Copy, Debug)]
struct Case {
    mode: &'static str,
    zero: f32,
    bits: i32,
    signed: bool,
    narrow: bool,
    scale: f32,
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for mode in MODES {
        for zero in ZEROS {
            for (signed, narrow) in [(true, false), (true, true), (false, false), (false, true)] {
                for (bits, scale) in [(4, 0.25), (3, 0.1)] {
                    cases.push(Case { mode, zero, bits, signed, narrow, scale });
                }
            }
        }
    }
    cases
}

/// Ties, numbers beside them, and both ends.
fn reals(scale: f32) -> Vec<f32> {
    let grid = (-80..=80).map(|i| i as f32 * 0.25 * scale);
    grid.flat_map(|x| [x, x.next_up(), x.next_down(), x + 0.07 * scale]).collect()
}

impl Case {
    /// The definition.
    fn expected(&self, x: f32) -> f32 {
        let narrow = if self.narrow { 1.0 } else { 0.0 };
        let half = f32::powi(2.0, self.bits - 1);
        let (low, high) = match self.signed {
            true => (-half + narrow, half - 1.0),
            false => (0.0, 2.0 * half - 1.0 - narrow),
        };
        let y = x / self.scale + self.zero;
        let y = if y > high { high } else { y };
        let y = if y < low { low } else { y };
        let (sign, size) = (if y < 0.0 { -1.0 } else { 1.0 }, y.abs());
        let code = match self.mode {
            "ROUND" => {
                let below = y.floor();
                let rest = y - below;
                let even = (below / 2.0).fract() == 0.0;
                if rest > 0.5 || (rest == 0.5 && !even) { below + 1.0 } else { below }
            }
            "CEIL" => y.ceil(),
            "FLOOR" => y.floor(),
            "UP" => sign * size.ceil(),
            "DOWN" => sign * size.floor(),
            "HALF_UP" => sign * (size + 0.5).floor(),
            _ => sign * (size - 0.5).ceil(),
        };
        (code - self.zero) * self.scale
    }

    fn add(&self, model: &mut Builder, input: &str, output: &str) {
        let name = |part: &str| format!("{output}.{part}");
        model
            .reals(&name("scale"), &[], &[self.scale])
            .reals(&name("zero"), &[], &[self.zero])
            .reals(&name("bits"), &[], &[self.bits as f32])
            .node_of(
                QONNX,
                "Quant",
                &[input, &name("scale"), &name("zero"), &name("bits")],
                output,
                &[
                    string("rounding_mode", self.mode),
                    int("signed", self.signed.into()),
                    int("narrow", self.narrow.into()),
                ],
            );
    }
}

/// Equal but for the last digits that a fraction subtracted after the product loses.
fn assert_close(found: &[f32], expected: &[f32], what: &dyn std::fmt::Debug) {
    for (i, (a, b)) in found.iter().zip(expected).enumerate() {
        assert!((a - b).abs() <= 1e-6 * (1.0 + b.abs()), "{what:?}, element {i}: {a} and not {b}");
    }
    assert_eq!(found.len(), expected.len());
}

/// Holds what a model gives for `x` against the definition, case by case.
fn assert_defined(model: &Builder, input: Value, cases: &[Case], x: &[f32]) {
    let found = run(&canonical(model.bytes()), &[input]);
    assert_eq!(found.len(), cases.len());
    for (case, found) in cases.iter().zip(&found) {
        let expected: Vec<f32> = x.iter().map(|&x| case.expected(x)).collect();
        if case.zero.fract() == 0.0 {
            assert_eq!(*found, expected, "{case:?}");
        } else {
            assert_close(found, &expected, case);
        }
    }
}

#[test]
fn quant_rounds_with_its_zero_point() {
    let (cases, x) = (cases(), reals(0.25));
    let mut model = Builder::new();
    model.input("x", DataType::Float, &[1, x.len()]);
    for (i, case) in cases.iter().enumerate() {
        let name = format!("y{i}");
        case.add(&mut model, "x", &name);
        model.output(&name, DataType::Float, &[1, x.len()]);
    }
    assert_defined(&model, Value::from_f32(&[1, x.len()], x.clone()).unwrap(), &cases, &x);
}

#[test]
fn weights_are_quantised_as_activations_are() {
    let (cases, w) = (cases(), reals(0.25));
    let mut model = Builder::new();
    model.input("x", DataType::Float, &[1, 1]).reals("w", &[1, w.len()], &w);
    for (i, case) in cases.iter().enumerate() {
        let (weights, name) = (format!("w{i}"), format!("y{i}"));
        case.add(&mut model, "w", &weights);
        model.node("MatMul", &["x", &weights], &name, &[]);
        model.output(&name, DataType::Float, &[1, w.len()]);
    }
    assert_defined(&model, Value::from_f32(&[1, 1], vec![1.0]).unwrap(), &cases, &w);
}

/// A layer between two quantisers: the spiking network, its reference, and the definition agree.
#[test]
fn populations_round_with_their_zero_points() {
    let weights: Vec<f32> = (0..12).map(|i| ((i * 5) % 15 - 7) as f32 * 0.0625).collect();
    for mode in MODES {
        for zero in [0.0, 1.0, 3.0, 4.0] {
            let first =
                Case { mode, zero: 0.0, bits: 5, signed: true, narrow: false, scale: 0.125 };
            let second = Case { mode, zero, bits: 4, signed: false, narrow: false, scale: 0.25 };
            let weight = Case {
                mode: "ROUND",
                zero: 0.0,
                bits: 4,
                signed: true,
                narrow: true,
                scale: 0.0625,
            };
            let mut model = Builder::new();
            model.input("x", DataType::Float, &[1, 4]).reals("w", &[4, 3], &weights);
            first.add(&mut model, "x", "a");
            weight.add(&mut model, "w", "q");
            model.node("MatMul", &["a", "q"], "m", &[]);
            second.add(&mut model, "m", "y");
            model.output("y", DataType::Float, &[1, 3]);
            let (graph, conversion) = converted(model.bytes());
            for seed in 0..40 {
                let x: Vec<f32> =
                    (0..4).map(|i| ((i * 29 + seed * 13) % 65 - 32) as f32 * 0.0625).collect();
                let a: Vec<f32> = x.iter().map(|&x| first.expected(x)).collect();
                let sum = |j: usize| (0..4).map(|i| a[i] * weights[i * 3 + j]).sum::<f32>();
                let expected: Vec<f32> = (0..3).map(|j| second.expected(sum(j))).collect();
                let value = Value::from_f32(&[1, 4], x.clone()).unwrap();
                assert_eq!(run(&graph, &[value])[0], expected, "{mode} {zero}");
                assert_eq!(
                    spike(&conversion.network, &[Sample::Real(x)])[0],
                    expected,
                    "{mode} {zero}"
                );
            }
        }
    }
}

/// The same cases, truncation and thresholds, by the package's executor.
#[test]
#[cfg_attr(
    not(qonnx_python),
    ignore = "SNNC_QONNX_PYTHON named no Python with qonnx when this was built"
)]
fn the_package_gives_the_same() {
    let python = std::env::var_os("SNNC_QONNX_PYTHON").expect("it was set when this was built");
    let x = reals(0.25);
    let shape = [1, x.len() / 4, 4];
    let mut model = Builder::new();
    model.input("x", DataType::Float, &shape);
    let mut names = Vec::new();
    for (i, case) in cases().iter().enumerate() {
        names.push(format!("quant{i}"));
        case.add(&mut model, "x", &names[i]);
    }
    for (i, mode) in MODES.iter().enumerate() {
        let name = format!("trunc{i}");
        model
            .reals(&format!("{name}.s"), &[], &[0.25])
            .reals(&format!("{name}.z"), &[], &[0.0])
            .reals(&format!("{name}.in"), &[], &[8.0])
            .reals(&format!("{name}.os"), &[], &[1.0])
            .reals(&format!("{name}.out"), &[], &[3.0]);
        let operands = ["s", "z", "in", "os", "out"].map(|p| format!("{name}.{p}"));
        let inputs: Vec<&str> =
            std::iter::once("x").chain(operands.iter().map(String::as_str)).collect();
        let attributes =
            [string("rounding_mode", mode), int("signed", 1), int("narrow", i as i64 % 2)];
        model.node_of(QONNX, "Trunc", &inputs, &name, &attributes);
        names.push(name);
    }
    model.reals("t", &[4, 3], &[-1.0, 0.0, 2.0, -3.0, 0.25, 0.5, 0.0, 0.0, 1.0, 2.0, 3.0, 4.0]);
    for layout in ["", "NWC"] {
        let name = format!("steps{layout}");
        let attributes = [string("out_dtype", "UINT2"), string("data_layout", layout)];
        model.node_of(QONNX, "MultiThreshold", &["x", "t"], &name, &attributes);
        names.push(name);
    }
    for name in &names {
        model.output(name, DataType::Float, &shape);
    }
    let folder = tempfile::tempdir().unwrap();
    let (file, numbers) = (folder.path().join("model.onnx"), folder.path().join("x.txt"));
    std::fs::write(&file, model.bytes()).unwrap();
    let text: Vec<String> = x.iter().map(|x| x.to_bits().to_string()).collect();
    std::fs::write(&numbers, text.join(" ")).unwrap();
    let script = repository().join("testsuite/peers/qonnx_peer.py");
    let output = Command::new(python).arg(script).arg(&file).arg(&numbers).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let value = Value::from_f32(&shape, x).unwrap();
    let found = run(&canonical(model.bytes()), &[value]);
    let stdout = String::from_utf8(output.stdout).unwrap();
    let mut compared = 0;
    for line in stdout.lines() {
        let mut words = line.split(' ');
        let name = words.next().unwrap();
        let expected: Vec<f32> = words.map(|w| f32::from_bits(w.parse().unwrap())).collect();
        let index = names.iter().position(|n| n == name).unwrap();
        assert_close(&found[index], &expected, &name);
        compared += 1;
    }
    assert_eq!(compared, names.len());
}
