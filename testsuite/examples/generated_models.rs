//! Makes small models, and what `snnc` answers on them, for `fuzz/onnxruntime_peer.py`, which holds the answers
//! against ONNX Runtime:
//!
//! ```text
//! cargo run -p snnc-testsuite --example generated_models -- FOLDER FIRST LAST
//! ```
//!
//! writes for each number from FIRST to before LAST `N.onnx`, its samples `N.npz`, the answers of the model
//! (`N.run.npz`) and of an artefact (`N.artefact.npz`), and in `N.json` how each command came out.

use std::path::Path;
use std::process::ExitCode;

use serde_json::{Value, json};
use snnc_backends::TARGETS;
use snnc_backends::format::npy::NpyArray;
use snnc_backends::format::npz::{Compression, NpzWriter};
use snnc_testsuite::command::{Outcome, snnc};
use snnc_testsuite::fuzz::{generate, noise};

/// Bytes of which a model is made.
const LENGTH: usize = 128;

#[allow(clippy::print_stderr)]
fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, first, last] = arguments.as_slice() else {
        eprintln!("FOLDER FIRST LAST");
        return ExitCode::from(2);
    };
    let (Ok(first), Ok(last)) = (first.parse::<u64>(), last.parse::<u64>()) else {
        eprintln!("FIRST and LAST are numbers");
        return ExitCode::from(2);
    };
    // Panics are counted; where each happened is said in its file.
    std::panic::set_hook(Box::new(|_| {}));
    for number in first..last {
        if let Err(e) = one(Path::new(folder), number) {
            eprintln!("{number}: {e}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn one(folder: &Path, number: u64) -> Result<(), Box<dyn std::error::Error>> {
    let made = generate(&noise(number, LENGTH));
    let path = |ending: &str| folder.join(format!("{number}.{ending}"));
    let text = |ending: &str| path(ending).display().to_string();
    std::fs::write(path("onnx"), &made.model)?;
    let count = made.samples.len() / made.shape.iter().product::<usize>();
    let shape: Vec<usize> = [&[count], &made.shape[1..]].concat();
    let mut samples = NpzWriter::new(Compression::Stored);
    samples.add("x", &NpyArray::from_f32(shape, &made.samples)?)?;
    std::fs::write(path("npz"), samples.finish()?)?;
    let (model, data) = (text("onnx"), text("npz"));
    let run = snnc(&["run", &model, "--input", &data, "-o", &text("run.npz")]);
    let target = TARGETS[usize::from(made.choice) % TARGETS.len()].name();
    let out = tempfile::tempdir()?;
    let output = out.path().display().to_string();
    let compile = snnc(&["compile", &model, "--target", target, "-o", &output]);
    let artefact = out.path().join(target);
    let certificate = std::fs::read(artefact.join("certificate.json")).unwrap_or_default();
    let certificate: Value = serde_json::from_slice(&certificate).unwrap_or_default();
    let answer = match compile.code {
        0 => {
            let artefact = artefact.display().to_string();
            let run = ["run", &artefact, "--input", &data, "-o", &text("artefact.npz")];
            outcome(&snnc(&run))
        }
        _ => Value::Null,
    };
    let row = json!({
        "run": outcome(&run),
        "target": target,
        "compile": outcome(&compile),
        "artefact": answer,
        "verdict": certificate["verdict"],
        "certificate": certificate,
    });
    std::fs::write(path("json"), serde_json::to_vec(&row)?)?;
    Ok(())
}

fn outcome(outcome: &Outcome) -> Value {
    json!({"exit": outcome.code, "reason": outcome.reason()})
}
