//! Calls of the system that fail: whatever call a command that writes fails at, or is killed at, each of its
//! outputs is the old one or the new one, whole; the exit code says which where all are new; and the next run
//! leaves nothing behind but what it should.
//!
//! `supervise.c` counts the calls of a command below a folder, and fails or kills it at one of them. Needs a C
//! compiler and Linux's seccomp; ignored where one of the two is missing.

#![cfg_attr(not(target_os = "linux"), allow(dead_code, unused_imports))]

#[path = "../common/mod.rs"]
mod common;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;

use common::{content, digits, names, repository};
use libtest_mimic::{Arguments, Failed, Trial};

/// Relative path and content of all files in a folder.
type Files = BTreeMap<PathBuf, Vec<u8>>;

/// A command, and where it writes.
struct Case {
    name: &'static str,
    /// Arguments, with `{}` for the folder at work.
    arguments: Vec<String>,
    /// Files and folders that it replaces or makes, each as a whole.
    outputs: Vec<&'static str>,
    /// Commands that bring about what is there before.
    before: Vec<Vec<String>>,
    /// Whether all outputs are new, or none is, unless the program or the disk dies.
    together: bool,
}

/// What happens at the call.
const MODES: [&str; 3] = ["once", "after", "kill"];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let supervisor = built().map(Arc::new);
    let mut trials = Vec::new();
    for case in cases() {
        let case = Arc::new(case);
        for mode in MODES {
            let (case, supervisor) = (Arc::clone(&case), supervisor.clone());
            let name = format!("{}::{mode}", case.name);
            let ignored = supervisor.is_none();
            let trial = Trial::test(name, move || match &supervisor {
                Some(supervisor) => walk(&case, mode, &supervisor.1),
                None => Err("needs a C compiler, and seccomp".into()),
            });
            trials.push(trial.with_ignored_flag(ignored));
        }
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// The supervisor, in a folder that is removed with it; none where it cannot be built or used.
fn built() -> Option<(tempfile::TempDir, PathBuf)> {
    if !cfg!(target_os = "linux") {
        return None;
    }
    let folder = tempfile::tempdir().ok()?;
    let program = folder.path().join("supervise");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults/supervise.c");
    let cc = Command::new("cc").arg("-O1").arg("-o").arg(&program).arg(source).output().ok()?;
    let probe = || {
        let log = folder.path().join("log");
        let mut command = Command::new(&program);
        command.arg(folder.path()).args(["count", "0"]).arg(log).arg("/bin/true");
        command.stderr(Stdio::null()).status()
    };
    (cc.status.success() && probe().is_ok_and(|s| s.success())).then_some((folder, program))
}

fn owned(arguments: &[&str]) -> Vec<String> {
    arguments.iter().map(|a| (*a).to_owned()).collect()
}

fn cases() -> Vec<Case> {
    let small = |name: &str| {
        let path = repository().join("compiler/tests/outputs").join(name).join("model.onnx");
        path.display().to_string()
    };
    let compile = |model: &str| {
        owned(&["compile", model, "--target", "reference,nir", "-o", "{}/out", "-j", "1"])
    };
    let (old, new) = (small("tail-relu"), small("tail-neg"));
    let (float, data) = (digits("digits_cnn_bn_float.onnx"), digits("digits-test-360.npz"));
    let samples = repository().join("compiler/tests/outputs/tail-relu/data.npz");
    let samples = samples.display().to_string();
    let run = |limit: &str| {
        let [answer, trace] = ["{}/out.npz", "{}/trace.npz"];
        let fixed = ["run", "{}/out/reference", "--input", &samples, "--limit", limit, "-j", "1"];
        owned(&[&fixed[..], &["-o", answer, "--trace", trace]].concat())
    };
    let calibrate = |limit: &str| {
        owned(&[
            "calibrate",
            &float,
            "--data",
            &data,
            "--limit",
            limit,
            "-o",
            "{}/a.stats",
            "-j",
            "1",
        ])
    };
    let report = |artefact: &str| {
        owned(&["report", artefact, "-o", "{}/page.html", "--csv", "{}/rows.csv", "-j", "1"])
    };
    vec![
        Case {
            name: "compile",
            arguments: compile(&new),
            outputs: vec!["out/reference", "out/nir"],
            before: vec![compile(&old)],
            together: true,
        },
        Case {
            name: "compile_into_a_new_folder",
            arguments: compile(&new),
            outputs: vec!["out/reference", "out/nir"],
            before: vec![],
            together: true,
        },
        Case {
            name: "run",
            arguments: run("2"),
            outputs: vec!["out.npz", "trace.npz"],
            before: vec![compile(&old), run("1")],
            together: false,
        },
        Case {
            name: "calibrate",
            arguments: calibrate("3"),
            outputs: vec!["a.stats"],
            before: vec![calibrate("2")],
            together: false,
        },
        Case {
            name: "report",
            arguments: report("{}/out/reference"),
            outputs: vec!["page.html", "rows.csv"],
            before: vec![compile(&old), report("{}/out/nir")],
            together: false,
        },
    ]
}

fn filled(arguments: &[String], folder: &Path) -> Vec<String> {
    arguments.iter().map(|a| a.replace("{}", &folder.display().to_string())).collect()
}

/// All files below a folder, without what commands print.
fn files(folder: &Path) -> Files {
    let all = content(folder).into_iter();
    let relative = |path: &Path| path.strip_prefix(folder).unwrap_or(path).to_owned();
    all.map(|(path, bytes)| (relative(&path), bytes))
        .filter(|(path, _)| path != Path::new(ANSWER))
        .collect()
}

/// Where standard output goes, in the folder at work, so that writes to it are counted too.
const ANSWER: &str = "answer.txt";

fn restore(folder: &Path, state: &Files) {
    for name in names(folder) {
        let path = folder.join(name);
        let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
        removed.expect("removes");
    }
    for (path, bytes) in state {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().expect("has a folder")).expect("makes");
        fs::write(path, bytes).expect("writes");
    }
}

/// Runs a command without any fault.
fn plainly(arguments: &[String], folder: &Path) -> Result<(), Failed> {
    let output =
        Command::new(env!("CARGO_BIN_EXE_snnc")).args(filled(arguments, folder)).output()?;
    match output.status.code() {
        Some(0) => Ok(()),
        code => Err(format!("{code:?}: {}", String::from_utf8_lossy(&output.stderr)).into()),
    }
}

/// The part of a state that is one output.
fn part<'a>(state: &'a Files, output: &str) -> BTreeMap<&'a Path, &'a [u8]> {
    let own = state.iter().filter(|(path, _)| path.starts_with(output));
    own.map(|(path, bytes)| (path.as_path(), bytes.as_slice())).collect()
}

/// Fails a case at each of its calls.
fn walk(case: &Case, mode: &str, supervisor: &Path) -> Result<(), Failed> {
    let scratch = tempfile::tempdir()?;
    // As the system names it, whatever links lead there.
    let folder = scratch.path().canonicalize()?.join("work");
    fs::create_dir(&folder)?;
    for command in &case.before {
        plainly(command, &folder)?;
    }
    let old = files(&folder);
    plainly(&case.arguments, &folder)?;
    let new = files(&folder);
    for output in &case.outputs {
        assert!(part(&old, output) != part(&new, output), "{output} is the same before and after");
    }
    let log = scratch.path().join("log");
    let faulty = |mode: &str, n: usize| -> Result<(Option<i32>, String, Vec<String>), Failed> {
        restore(&folder, &old);
        let mut command = Command::new(supervisor);
        command.arg(&folder).args([mode, &n.to_string()]).arg(&log);
        command.arg(env!("CARGO_BIN_EXE_snnc")).args(filled(&case.arguments, &folder));
        let output = command.stdout(File::create(folder.join(ANSWER))?).output()?;
        let calls = fs::read_to_string(&log)?.lines().map(str::to_owned).collect();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        Ok((output.status.code(), errors, calls))
    };
    let (code, errors, calls) = faulty("count", 0)?;
    assert_eq!(code, Some(0), "{errors}");
    assert!(calls.len() > 5, "the supervisor sees the calls: {calls:?}");
    let mut problems = Vec::new();
    // What fails for good is tried at fewer calls: it takes as long, and has found less.
    let step = if mode == "after" && std::env::var_os("SNNC_LONG").is_none() { 4 } else { 1 };
    for n in (1..=calls.len()).step_by(step) {
        let (code, errors, calls) = faulty(mode, n)?;
        let at = calls.get(n - 1).cloned().unwrap_or_default();
        let mut wrong =
            |what: &str| problems.push(format!("{at}: {what}; exit {code:?}; {errors}"));
        let found = files(&folder);
        let is = |state: &Files| case.outputs.iter().all(|o| part(&found, o) == part(state, o));
        for output in &case.outputs {
            let own = part(&found, output);
            if own != part(&old, output) && own != part(&new, output) {
                wrong(&format!("{output} is neither old nor new"));
            }
        }
        if mode == "once" && case.together && !is(&old) && !is(&new) {
            wrong("some outputs are old, some are new");
        }
        match code {
            Some(0) if !is(&new) => wrong("succeeds, and not all is new"),
            Some(0 | 4) => {}
            // Killed.
            Some(137) if mode == "kill" => {}
            _ => wrong("the exit code is another"),
        }
        if code == Some(4) && !errors.lines().any(|l| l.starts_with("error: "))
            || errors.contains("panicked")
        {
            wrong("says no error");
        }
        // What was there before and is no output stays.
        let others =
            old.iter().filter(|(path, _)| !case.outputs.iter().any(|o| path.starts_with(o)));
        if others.into_iter().any(|(path, bytes)| found.get(path) != Some(bytes)) {
            wrong("something else has changed");
        }
        plainly(&case.arguments, &folder)?;
        let after = files(&folder);
        if after != new {
            let left: Vec<&PathBuf> = after.keys().filter(|k| !new.contains_key(*k)).collect();
            wrong(&format!("the next run leaves {left:?} or not what it should"));
        }
        let left: Vec<String> =
            [&folder, &folder.join("out")].into_iter().flat_map(|f| names(f)).collect();
        if left.iter().any(|name| name.starts_with(".snnc")) {
            wrong(&format!("the next run leaves some of {left:?}"));
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(problems.join("\n").into()) }
}
