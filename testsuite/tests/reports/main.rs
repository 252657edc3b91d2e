//! Networks after public reports of people who bring networks to spikes or to FPGAs: what `snnc run`
//! makes of each, and what each target does.
//!
//! `cases/reports/NAME` holds `model.onnx`, `data.npz` and in `expected.npz` what ONNX Runtime
//! (optimisations off) or the framework answers; `cases/reports.yaml` says how each comes out, and
//! `BLESS=1` writes it. A row that begins to be `WRONG` is a defect, whatever the list says.
//! `SNNC_LONG=1` runs the slow cases too, `SNNC=BINARY` that program instead of this one.

mod case;
mod remedy;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Trial};
use snnc_testsuite::repository;
use snnc_testsuite::table::{Rows, Table};

use case::{Case, Row, folders};

/// What each case is given to.
const RUNS: [&str; 7] = ["run", "reference", "loihi", "akida1", "akida2", "spleat", "nir"];

/// Options of every compilation.
const GIVEN: [&str; 4] = ["--target", "--data", "-o", "--output"];

/// Cases that take minutes.
const SLOW: [&str; 2] = ["activations-16bit-weights-4bit", "dead-channel-with-bias"];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let cases = repository().join("testsuite/cases");
    let table = match Table::open(&cases.join("reports.yaml")) {
        Ok(table) => Arc::new(table),
        Err(e) => {
            return libtest_mimic::run(&arguments, vec![failed("table", e)]).exit_code();
        }
    };
    let folders = folders(&cases.join("reports"));
    let names: Vec<String> = folders.keys().cloned().collect();
    let (kept, all) = (Arc::clone(&table), names.clone());
    let mut trials = vec![Trial::test("the_table_names_only_cases", move || Ok(kept.only(&all)?))];
    trials.push(Trial::test("remedies_that_lead_nowhere_are_found", remedy::finds));
    let long = std::env::var_os("SNNC_LONG").is_some();
    for (name, folder) in folders {
        let table = Arc::clone(&table);
        let slow = SLOW.contains(&name.as_str());
        let trial = Trial::test(name, move || Ok(judge(&table, folder)?));
        trials.push(trial.with_ignored_flag(slow && !long));
    }
    // The table shows which cases fail, and none of them prints.
    let exit = libtest_mimic::run(&arguments, trials).exit_code();
    if arguments.list {
        return exit;
    }
    match table.finish(&names) {
        Ok(()) => exit,
        Err(e) => libtest_mimic::run(&arguments, vec![failed("table", e)]).exit_code(),
    }
}

fn failed(name: &str, reason: String) -> Trial {
    Trial::test(name, move || Err(reason.into()))
}

fn judge(table: &Table, folder: PathBuf) -> Result<(), String> {
    let case = Case::open(&folder)?;
    let mut rows: Vec<(&str, Row)> = RUNS.iter().map(|what| (*what, case.row(what))).collect();
    let taken: Vec<&str> =
        rows.iter().filter(|(_, row)| row.refused.is_none()).map(|(what, _)| *what).collect();
    for (target, row) in &mut rows {
        let Some(refused) = row.refused.take() else { continue };
        let coded = |coding: &str| case.in_coding(target, coding);
        if let Some(remedy) = remedy::leads_nowhere(&refused, &GIVEN, &taken, coded) {
            row.add("WRONG", &format!("leads nowhere: {remedy}"));
        }
    }
    let named = rows.iter().map(|(what, row)| (format!("{}/{what}", case.name), row.to_text()));
    table.judge(&case.name, named.collect::<Rows>())
}
