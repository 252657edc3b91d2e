//! Replays what fuzzers have found and what they begin with (`fuzz/corpus`, `fuzz::seeds`): nothing of it
//! panics, on any target, with overflow checks on.

use std::path::Path;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};
use snnc_testsuite::fuzz::{TARGETS, seeds};
use snnc_testsuite::repository;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let corpus = repository().join("fuzz/corpus");
    let mut trials: Vec<Trial> = TARGETS
        .iter()
        .map(|target| {
            let folder = corpus.join(target.name);
            Trial::test(target.name, move || {
                for (i, input) in seeds(target.name).iter().enumerate() {
                    replay(target.run, input).map_err(|e| format!("seed {i}: {e}"))?;
                }
                let found = inputs(&folder)?;
                if found.is_empty() {
                    return Err(format!("`{}` holds nothing", folder.display()).into());
                }
                for (name, input) in found {
                    replay(target.run, &input).map_err(|e| format!("{name}: {e}"))?;
                }
                Ok(())
            })
        })
        .collect();
    trials.push(Trial::test("corpora_and_programs_are_those_of_the_targets", || Ok(complete()?)));
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn inputs(folder: &Path) -> Result<Vec<(String, Vec<u8>)>, String> {
    let fail = |e: std::io::Error| format!("`{}`: {e}", folder.display());
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(fail)? {
        let path = entry.map_err(fail)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        found.push((name, std::fs::read(&path).map_err(fail)?));
    }
    found.sort();
    Ok(found)
}

fn replay(run: fn(&[u8]), input: &[u8]) -> Result<(), String> {
    let outcome = std::panic::catch_unwind(|| run(input));
    outcome.map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("panics").to_owned()
    })
}

/// Each target has a program in `fuzz/`, and nothing else has.
fn complete() -> Result<(), String> {
    let mut names: Vec<String> = TARGETS.iter().map(|t| t.name.to_owned()).collect();
    names.sort();
    for (folder, ending) in [("fuzz/corpus", ""), ("fuzz/fuzz_targets", ".rs")] {
        let entries = std::fs::read_dir(repository().join(folder)).map_err(|e| e.to_string())?;
        let mut found: Vec<String> = entries
            .filter_map(|e| Some(e.ok()?.file_name().to_string_lossy().into_owned()))
            .map(|name| name.strip_suffix(ending).unwrap_or(&name).to_owned())
            .collect();
        found.sort();
        if found != names {
            return Err(format!("{folder} holds {found:?}, the targets are {names:?}"));
        }
    }
    let manifest = std::fs::read_to_string(repository().join("fuzz/Cargo.toml"));
    let manifest = manifest.map_err(|e| e.to_string())?;
    let missing: Vec<&String> =
        names.iter().filter(|n| !manifest.contains(&format!("name = \"{n}\""))).collect();
    if missing.is_empty() { Ok(()) } else { Err(format!("fuzz/Cargo.toml lacks {missing:?}")) }
}
