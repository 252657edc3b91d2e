//! Files that once broke something: each is refused with a clear error, or answered rightly.
//!
//! `cases/hostile.yaml` holds exit code and reason of every command on every file of `cases/hostile`;
//! `BLESS=1` writes it. Each command is a process of its own, which this program is when the variable
//! `SNNC_HOSTILE_CHILD` says so, with at most 4 GB of memory.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;

use libtest_mimic::{Arguments, Trial};
use snnc_testsuite::command::{Outcome, there};
use snnc_testsuite::table::{Rows, Table};
use snnc_testsuite::{digits, repository};

const CHILD: &str = "SNNC_HOSTILE_CHILD";

/// Kilobytes of address space that a command may take.
const MEMORY: u64 = 4 << 20;

fn main() -> ExitCode {
    if std::env::var_os(CHILD).is_some() {
        return snnc::cli::main();
    }
    let arguments = Arguments::from_args();
    let cases = repository().join("testsuite/cases");
    let opened = Table::open(&cases.join("hostile.yaml"));
    let files = std::fs::read_dir(cases.join("hostile")).map(|entries| {
        let mut paths: Vec<PathBuf> = entries.filter_map(|e| Some(e.ok()?.path())).collect();
        paths.sort();
        paths
    });
    let (table, files) = match (opened, files) {
        (Ok(table), Ok(files)) => (Arc::new(table), files),
        (Err(e), _) => return libtest_mimic::run(&arguments, vec![failed(e)]).exit_code(),
        (_, Err(e)) => {
            return libtest_mimic::run(&arguments, vec![failed(e.to_string())]).exit_code();
        }
    };
    let names: Vec<String> = files.iter().map(|p| name(p)).collect();
    let (kept, all) = (Arc::clone(&table), names.clone());
    let mut trials = vec![Trial::test("the_table_names_only_files", move || Ok(kept.only(&all)?))];
    for path in files {
        let table = Arc::clone(&table);
        trials.push(Trial::test(name(&path), move || Ok(table.judge(&name(&path), rows(&path))?)));
    }
    let exit = libtest_mimic::run(&arguments, trials).exit_code();
    match table.finish(&names) {
        Ok(()) => exit,
        Err(e) => libtest_mimic::run(&arguments, vec![failed(e)]).exit_code(),
    }
}

fn failed(reason: String) -> Trial {
    Trial::test("table", move || Err(reason.into()))
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn snnc(arguments: &[&str]) -> Outcome {
    let this = std::env::current_exe().expect("this program has a path");
    let mut command = Command::new("sh");
    command.args(["-c", &format!("ulimit -v {MEMORY}; exec \"$0\" \"$@\"")]).arg(this);
    there(command.args(arguments).env(CHILD, "1"))
}

/// What each command makes of a file: a model is compiled and measured on images of digits, of
/// other files a good model takes the samples.
fn rows(path: &Path) -> Rows {
    let scratch = tempfile::tempdir().expect("a folder for what is written");
    let (file, out) = (path.display().to_string(), scratch.path().join("out"));
    let (out, answer) = (out.display().to_string(), scratch.path().join("answer.npz"));
    let answer = answer.display().to_string();
    let images = digits("digits-test-360.npz").display().to_string();
    let good = digits("digits_cnn_w4a4_qcdq.onnx").display().to_string();
    let (model, data) = if file.ends_with(".onnx") { (&file, &images) } else { (&good, &file) };
    let mut commands = vec![
        ("compile", vec!["compile", model, "--target", "reference", "--data", data, "-o", &out]),
        ("loihi", vec!["compile", model, "--target", "loihi", "--data", data, "-o", &out]),
        ("eval", vec!["eval", model, "--data", data, "--limit", "360", "--format", "json"]),
        ("run", vec!["run", model, "--input", data, "--limit", "3", "-o", &answer]),
    ];
    // `compile` measures on all samples, which here are eleven million.
    if file.ends_with("750MB.npz") {
        commands.retain(|(what, _)| matches!(*what, "eval" | "run"));
    }
    if model == &file {
        commands.push(("inspect", vec!["inspect", model]));
    }
    let damaged = file.contains("nan");
    let row = |(what, arguments): (&str, Vec<&str>)| {
        let outcome = snnc(&arguments);
        let mut row = format!("exit: {}", outcome.code);
        let reason = outcome.reason().replace(&file, &name(path));
        let reason = reason.replace(&images, "digits-test-360.npz");
        if !reason.is_empty() {
            row += &format!(", reason: {}", serde_json::to_string(&reason).expect("text is JSON"));
        }
        let json: Option<serde_json::Value> = serde_json::from_str(&outcome.answer).ok();
        if let Some(top1) = json.as_ref().and_then(|j| j["top1"].as_f64()) {
            row += &format!(", top1: {top1:.2}");
        }
        if outcome.code == 0 && what.starts_with("compile") {
            let folder = scratch.path().join("out/reference/certificate.json");
            let text = std::fs::read(folder).unwrap_or_default();
            let json: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
            row += &format!(", verdict: {}", json["verdict"].as_str().unwrap_or("none"));
        }
        match outcome.code {
            // What is no number is refused, where a command reads it.
            0 if damaged && what != "inspect" => row += ", WRONG: takes what is no number",
            124 => row += ", WRONG: hangs",
            101.. => row += ", WRONG: panics",
            5.. => row += ", WRONG: a fault of snnc",
            _ => {}
        }
        (format!("{}/{what}", name(path)), format!("{{{row}}}"))
    };
    commands.into_iter().map(row).collect()
}
