//! ONNX's own test cases through the import and the interpreter.
//!
//! The cases of `../shared/onnx-node-tests.tar.gz` are judged by `onnx/passing.txt`; the larger set
//! of the wheel `onnx` 1.22.0, of which `SNNC_ONNX_NODE_TESTS` names the folder
//! (`onnx/backend/test/data/node`), by `onnx/passing-1.22.txt`. With `SNNC_ONNX_NODE_LIST=FILE` no
//! case is judged, but the list that would be right is written to FILE.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Trial};
use snnc_testsuite::conformance::{Entry, List};
use snnc_testsuite::onnx_case::{Case, Operands, from_archive, from_folder};

/// What must pass of the cases in `../shared`.
const SHARE: (usize, usize) = (95, 100);

type Cases = BTreeMap<String, Case>;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let mut trials = Vec::new();
    let mut all = Cases::new();
    let shared = snnc_testsuite::shared();
    if shared.is_none() {
        trials.push(Trial::test("node", || Ok(())).with_ignored_flag(true));
    }
    if let Some(folder) = shared {
        match from_archive(&folder.join("onnx-node-tests.tar.gz")) {
            Ok(cases) => {
                all.extend(cases.clone());
                trials.extend(judged("node", cases, include_str!("../onnx/passing.txt"), true));
            }
            Err(e) => trials.push(failed("node", e.to_string())),
        }
    }
    match std::env::var_os("SNNC_ONNX_NODE_TESTS") {
        Some(folder) => match from_folder(Path::new(&folder)) {
            Ok(cases) => {
                all.extend(cases.clone());
                let list = include_str!("../onnx/passing-1.22.txt");
                trials.extend(judged("node-1.22", cases, list, false));
            }
            Err(e) => trials.push(failed("node-1.22", e.to_string())),
        },
        None => trials.push(Trial::test("node-1.22", || Ok(())).with_ignored_flag(true)),
    }
    if let Some(file) = std::env::var_os("SNNC_ONNX_NODE_LIST") {
        return match std::fs::write(file, written(&all)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        };
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn failed(name: &str, reason: String) -> Trial {
    Trial::test(name, move || Err(reason.into()))
}

/// One test for each case, one for the list itself, and for the strict list one that counts.
fn judged(suite: &str, cases: Cases, list: &str, strict: bool) -> Vec<Trial> {
    let list = match List::parse(list) {
        Ok(list) => Arc::new(list),
        Err(e) => return vec![failed(suite, e)],
    };
    let mut trials = Vec::new();
    let unknown: Vec<String> =
        list.0.keys().filter(|name| !cases.contains_key(*name)).cloned().collect();
    trials.push(Trial::test(format!("{suite}::list_names_only_cases"), move || {
        if unknown.is_empty() { Ok(()) } else { Err(format!("no such cases: {unknown:?}").into()) }
    }));
    if strict {
        let (passing, total) = (list.passing(), cases.len());
        trials.push(Trial::test(format!("{suite}::enough_cases_pass"), move || {
            if passing * SHARE.1 >= total * SHARE.0 {
                Ok(())
            } else {
                Err(format!("only {passing} of {total} cases pass").into())
            }
        }));
    }
    for (name, case) in cases {
        let list = Arc::clone(&list);
        trials.push(Trial::test(format!("{suite}::{name}"), move || {
            Ok(list.judge(&name, strict, |operands| case.run(&name, operands))?)
        }));
    }
    trials
}

/// The list that these cases deserve, failures with their messages.
fn written(cases: &Cases) -> String {
    let mut text = String::new();
    for (name, case) in cases {
        let entry = match case.run(name, Operands::Given) {
            Ok(()) => Entry::Passes(Operands::Given),
            Err(_) => match case.run(name, Operands::Bound) {
                Ok(()) => Entry::Passes(Operands::Bound),
                Err(e) => Entry::Refused(e.replace('\n', "; ")),
            },
        };
        let _ = match entry {
            Entry::Passes(Operands::Given) => writeln!(text, "{name}"),
            Entry::Passes(Operands::Bound) => writeln!(text, "{name} bound"),
            Entry::Refused(reason) => writeln!(text, "{name}: {reason}"),
        };
    }
    text
}
