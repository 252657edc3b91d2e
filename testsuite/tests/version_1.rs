//! What version 1 wrote still opens, and answers what it answered then; or it is refused with one
//! clear error, and is listed here.
//!
//! `cases/version-1` holds artefacts, each with the case of `cases/reports` whose first four samples
//! gave `NAME.answers.npz`, the text form of their `.snn` files, and a file of statistics.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};
use snnc_backends::format::npz::Npz;
use snnc_ir::{Graph, PrintOptions};
use snnc_testsuite::command::{Outcome, snnc};
use snnc_testsuite::repository;

/// Samples that are refused by now.
const REFUSED: &[&str] = &[];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let mut trials = Vec::new();
    for path in listed(&folder()) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            trials.push(Trial::test(format!("artefact::{name}"), move || Ok(artefact(&name)?)));
        } else if name.ends_with(".snnir") {
            trials.push(Trial::test(format!("text::{name}"), move || Ok(text(&path)?)));
        } else if name.ends_with(".stats") {
            trials.push(Trial::test(format!("statistics::{name}"), move || Ok(statistics(&name)?)));
        }
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn folder() -> PathBuf {
    repository().join("testsuite/cases/version-1")
}

fn listed(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("the samples are in the repository");
    let mut paths: Vec<PathBuf> = entries.filter_map(|e| Some(e.ok()?.path())).collect();
    paths.sort();
    paths
}

/// Whether a command succeeded; a refusal must be listed, and one error of the right kind.
fn accepted(name: &str, outcome: &Outcome) -> Result<bool, String> {
    match (outcome.code, REFUSED.contains(&name)) {
        (0, false) => Ok(true),
        (0, true) => Err("is accepted: take it off the list of what is refused".into()),
        (4, true) if outcome.errors.len() == 1 => Ok(false),
        (code, _) => Err(format!("exit code {code}: {:?}", outcome.errors)),
    }
}

fn case(name: &str) -> Result<PathBuf, String> {
    let case = std::fs::read_to_string(folder().join(format!("{name}.case")));
    let case = case.map_err(|e| format!("`{name}.case`: {e}"))?;
    Ok(repository().join("testsuite/cases/reports").join(case.trim()))
}

fn artefact(name: &str) -> Result<(), String> {
    let scratch = tempfile::tempdir().map_err(|e| e.to_string())?;
    let path = scratch.path().join("answers.npz");
    let answers = path.display().to_string();
    let network = folder().join(name).display().to_string();
    let data = case(name)?.join("data.npz").display().to_string();
    let outcome = snnc(&["run", &network, "--input", &data, "--limit", "4", "-o", &answers]);
    if !accepted(name, &outcome)? {
        return Ok(());
    }
    let open = |path: &Path| -> Result<Npz, String> {
        let bytes = std::fs::read(path).map_err(|e| e.to_string())?;
        Npz::open(bytes).map_err(|e| e.to_string())
    };
    let (then, now) = (open(&folder().join(format!("{name}.answers.npz")))?, open(&path)?);
    for array in ["output", "codes"] {
        let get = |npz: &Npz| npz.get(array).map_err(|e| e.to_string());
        let (Some(then), Some(now)) = (get(&then)?, get(&now)?) else { continue };
        let reals =
            |a: &snnc_backends::format::npy::NpyArray| a.to_f32().map_err(|e| e.to_string());
        if reals(&then)? != reals(&now)? {
            return Err(format!("`{array}` is not what it was"));
        }
    }
    Ok(())
}

/// The text `ARTEFACT.FILE.snnir` is the network of that file.
fn text(path: &Path) -> Result<(), String> {
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let (artefact, file) = name.rsplit_once('.').ok_or("is not named ARTEFACT.FILE.snnir")?;
    let text = std::fs::read_to_string(path).map_err(|e| e.to_string())?;
    let wire = std::fs::read(folder().join(artefact).join(format!("{file}.snn")));
    let wire =
        Graph::from_wire(wire.map_err(|e| e.to_string())?.into()).map_err(|e| e.to_string())?;
    let parsed = Graph::from_text(&text).map_err(|e| e.to_string())?;
    let printed = |graph: &Graph| graph.to_text(PrintOptions::default());
    if printed(&parsed) == printed(&wire) { Ok(()) } else { Err("is another network".into()) }
}

/// Statistics of a case are taken for a compilation.
fn statistics(name: &str) -> Result<(), String> {
    let scratch = tempfile::tempdir().map_err(|e| e.to_string())?;
    let case = repository().join("testsuite/cases/reports").join(name.trim_end_matches(".stats"));
    let (model, out) = (case.join("model.onnx"), scratch.path().join("out"));
    let (model, out) = (model.display().to_string(), out.display().to_string());
    let statistics = folder().join(name).display().to_string();
    let command = ["compile", &model, "--target", "reference", "--statistics", &statistics];
    accepted(name, &snnc(&[&command[..], &["-o", &out]].concat())).map(|_| ())
}
