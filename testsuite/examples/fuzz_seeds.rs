//! Writes what fuzzers begin with: `cargo run -p snnc-testsuite --example fuzz_seeds -- FOLDER` makes a folder
//! for each target in FOLDER, with its seeds.

use std::path::PathBuf;
use std::process::ExitCode;

use snnc_testsuite::fuzz::{TARGETS, seeds};

#[allow(clippy::print_stderr)]
fn main() -> ExitCode {
    let Some(folder) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("name a folder");
        return ExitCode::from(2);
    };
    for target in TARGETS {
        let folder = folder.join(target.name);
        let made = std::fs::create_dir_all(&folder);
        let written = made.and_then(|()| {
            let seeds = seeds(target.name);
            let mut numbered = seeds.iter().enumerate();
            numbered
                .try_for_each(|(i, seed)| std::fs::write(folder.join(format!("seed-{i}")), seed))
        });
        if let Err(e) = written {
            eprintln!("{}: {e}", folder.display());
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
