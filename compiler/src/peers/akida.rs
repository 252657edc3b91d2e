//! The vendor's own software for Akida, where the user has it.
//!
//! The package is proprietary: it is never part of this project, and what it says is shown to the user
//! and written nowhere. `SNNC_AKIDA_PYTHON` names a Python interpreter that has it; the example script
//! `examples/akida/load_akida_spec.py` does the work there.

use std::path::Path;
use std::process::{Command, Output};

use snnc_backends::format::npy::{NpyArray, NpyType};
use snnc_ir::{NodeId, Op, SpikingOp};
use snnc_runtime::tensor::Value;

use super::{Case, Outcome, Peer};
use crate::{Error, Problem};

/// Variable that names the interpreter.
const PYTHON: &str = "SNNC_AKIDA_PYTHON";
const SCRIPT: &str = include_str!("../../../examples/akida/load_akida_spec.py");
/// Samples that are compared.
const SAMPLES: usize = 64;
/// Exit code of the script for a model that does not fit.
const DOES_NOT_FIT: i32 = 3;

/// The vendor's software backend and mapper.
pub struct Akida;

impl Peer for Akida {
    fn name(&self) -> &'static str {
        "akida"
    }

    fn targets(&self) -> &'static [&'static str] {
        &["akida1", "akida2"]
    }

    fn check(&self, case: &Case<'_>) -> Result<Outcome, Error> {
        match std::env::var_os(PYTHON) {
            Some(python) => check_with(Path::new(&python), case),
            None => {
                Ok(Outcome::Skipped(format!("{PYTHON} names no Python with the vendor's package")))
            }
        }
    }
}

fn failed(reason: impl Into<String>) -> Error {
    Error::input(format!("`{PYTHON}`"), reason, "try the script with `--help` there")
}

fn check_with(python: &Path, case: &Case<'_>) -> Result<Outcome, Error> {
    let folder = tempfile::tempdir().map_err(|e| failed(e.to_string()))?;
    let script = folder.path().join("load_akida_spec.py");
    write(&script, SCRIPT.as_bytes())?;
    let run = |arguments: &[&std::ffi::OsStr]| -> Result<Output, Error> {
        let mut command = Command::new(python);
        command.arg(&script).arg(case.folder).args(arguments);
        command.output().map_err(|e| failed(format!("`{}`: {e}", python.display())))
    };
    let mut agreed = Vec::new();
    if let Some(device) = case.device {
        let output = run(&["--map".as_ref(), device.as_ref()])?;
        match output.status.code() {
            Some(0) => agreed.push(format!("it fits {device}")),
            Some(DOES_NOT_FIT) => {
                let problem = Problem::new(device, said(&output), "choose a larger device");
                return Ok(Outcome::Differs(vec![problem]));
            }
            _ => return Err(failed(said(&output))),
        }
    }
    let shown = match case.samples {
        Some(data) => data.len().min(SAMPLES),
        None => 0,
    };
    if shown > 0 {
        let (input, found) = (folder.path().join("x.npy"), folder.path().join("y.npy"));
        let expected = expected(case, shown, &input)?;
        let arguments: [&std::ffi::OsStr; 4] =
            ["--run".as_ref(), input.as_ref(), "--output".as_ref(), found.as_ref()];
        let output = run(&arguments)?;
        if !output.status.success() {
            return Err(failed(said(&output)));
        }
        let answers = read(&found)?;
        let other = differing(&expected, &answers);
        if other > 0 {
            let reason = format!("{other} of {shown} samples are answered otherwise");
            let remedy = "compare the version of the package with the specification's";
            return Ok(Outcome::Differs(vec![Problem::new(
                "the vendor's software",
                reason,
                remedy,
            )]));
        }
        agreed.push(format!("{shown} samples are answered alike"));
    }
    Ok(Outcome::Agrees(agreed.join(", ")))
}

fn said(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    let text = text.trim();
    if text.is_empty() { format!("it ended with {}", output.status) } else { text.to_owned() }
}

fn write(path: &Path, content: &[u8]) -> Result<(), Error> {
    std::fs::write(path, content).map_err(|e| failed(format!("`{}`: {e}", path.display())))
}

/// Writes what the input layer takes for the first samples, and returns what the interpreter answers.
fn expected(case: &Case<'_>, samples: usize, path: &Path) -> Result<Vec<Vec<f32>>, Error> {
    let none = || failed("the artefact has no input");
    let data = case.samples.ok_or_else(none)?;
    let input = *case.network.inputs().first().ok_or_else(none)?;
    let Op::Spiking(SpikingOp::Encoder(encoder)) = &case.network[input].op else {
        return Err(none());
    };
    let [c, x, y] = match *case.network[input].ty.shape.as_slice() {
        [c] => [c, 1, 1],
        [c, x, y] => [c, x, y],
        _ => return Err(none()),
    };
    // Input convolutions take codes from 0 up; an InputData layer takes payloads, signed or not.
    let least = encoder.minimum - encoder.zero_point;
    let pixels = takes_pixels(case, input);
    let (mut values, mut answers) = (Vec::new(), Vec::new());
    for index in 0..samples {
        let mut payloads = Vec::new();
        let answer =
            case.runner.answer_showing(data, index, Some(&[input]), &mut |_, _, sent| {
                payloads = sent.to_vec();
            })?;
        let codes = (0..x * y).flat_map(|p| (0..c).map(move |channel| channel * x * y + p));
        let value =
            |i: usize| payloads.get(i).copied().unwrap_or(0) - if pixels { least } else { 0 };
        values.extend(codes.map(value));
        // Akida 1.0 predicts potentials above the threshold, Akida 2.0 what its dequantiser says.
        answers.push(match case.target {
            "akida1" => answer.codes.iter().flat_map(Value::to_f32).collect(),
            _ => answer.scores,
        });
    }
    let signed = !pixels && least < 0;
    let dtype = if signed { NpyType::I8 } else { NpyType::U8 };
    let bytes: Vec<u8> = values.iter().map(|&v| v as u8).collect();
    let array = NpyArray::new(dtype, [samples, x, y, c], bytes)
        .and_then(|a| a.to_bytes())
        .map_err(|e| failed(e.to_string()))?;
    write(path, &array)?;
    Ok(answers)
}

/// Whether the model begins with an input convolution: an InputData layer has the encoder's name, an input
/// convolution that of its population.
fn takes_pixels(case: &Case<'_>, input: NodeId) -> bool {
    let path = case.folder.join("model.spec.json");
    let spec: Option<serde_json::Value> =
        std::fs::read(path).ok().and_then(|text| serde_json::from_slice(&text).ok());
    let first = spec.as_ref().and_then(|s| s["layers"][0]["name"].as_str());
    first.is_some_and(|name| name != case.network[input].name)
}

fn read(path: &Path) -> Result<Vec<Vec<f32>>, Error> {
    let wrong = |e: &dyn std::fmt::Display| failed(format!("its answers cannot be read: {e}"));
    let array =
        NpyArray::read(std::fs::read(path).map_err(|e| wrong(&e))?).map_err(|e| wrong(&e))?;
    let values = array.to_f32().map_err(|e| wrong(&e))?;
    let each = array.shape.get(1..).map_or(1, |s| s.iter().product::<usize>()).max(1);
    Ok(values.chunks(each).map(<[f32]>::to_vec).collect())
}

/// Samples answered otherwise; scores are f32 products, so their last bits are not compared.
fn differing(expected: &[Vec<f32>], found: &[Vec<f32>]) -> usize {
    let same = |a: &f32, b: &f32| (a - b).abs() <= 1e-5 * a.abs().max(1e-3);
    let alike = |(a, b): (&Vec<f32>, &Vec<f32>)| {
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
    };
    let matching = expected.iter().zip(found).filter(|&pair| alike(pair)).count();
    expected.len().max(found.len()) - matching
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_compared_sample_by_sample() {
        let expected = vec![vec![1.0, -2.0], vec![0.0, 3.0]];
        assert_eq!(differing(&expected, &expected), 0);
        assert_eq!(differing(&expected, &[vec![1.0, -2.0], vec![0.0, 3.1]]), 1);
        assert_eq!(differing(&expected, &[vec![1.0, -2.0]]), 1);
        assert_eq!(differing(&expected, &[vec![1.0], vec![0.0, 3.0]]), 1);
    }
}
