//! Runs `snnc` in this process, or the binary that the variable `SNNC` names.

use std::fs::File;
use std::io::{Read, Seek};
use std::process::Command;
use std::time::{Duration, Instant};

use snnc::cli;

/// What a command came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Exit code; 101 after a panic.
    pub code: u8,
    /// Place and reason of each error.
    pub errors: Vec<String>,
    /// What each error says that would help, in the order of the errors.
    pub remedies: Vec<String>,
    /// Standard output.
    pub answer: String,
}

impl Outcome {
    /// The first error, and how many more there are.
    pub fn reason(&self) -> String {
        match self.errors.as_slice() {
            [] => String::new(),
            [one] => one.clone(),
            [one, more @ ..] => format!("{one} (and {} more)", more.len()),
        }
    }
}

/// Runs a command line, without the name of the program.
///
/// # Panics
/// When the binary named by `SNNC` cannot be started.
pub fn snnc(arguments: &[&str]) -> Outcome {
    match std::env::var_os("SNNC") {
        None => here(arguments),
        Some(binary) => {
            let mut command = Command::new(binary);
            there(command.args(arguments))
        }
    }
}

/// Seconds after which a process has given no answer.
const PATIENCE: u64 = 120;

/// Runs a process that is `snnc`. It is ended after two minutes, with the code 124 of `timeout`.
///
/// # Panics
/// When it cannot be started, or its output cannot be read.
pub fn there(command: &mut Command) -> Outcome {
    let stdout = tempfile::tempfile().expect("a file for the answer");
    let stderr = tempfile::tempfile().expect("a file for the errors");
    command.env("NO_COLOR", "1");
    command.stdout(stdout.try_clone().expect("the same file"));
    command.stderr(stderr.try_clone().expect("the same file"));
    let mut child = command.spawn().expect("the program starts");
    let end = Instant::now() + Duration::from_secs(PATIENCE);
    let code = loop {
        match child.try_wait().expect("its end can be waited for") {
            Some(status) => break status.code().and_then(|c| c.try_into().ok()).unwrap_or(101),
            None if Instant::now() > end => {
                let _ = child.kill();
                let _ = child.wait();
                break 124;
            }
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    let text = |mut file: File| {
        let mut bytes = Vec::new();
        file.rewind().and_then(|()| file.read_to_end(&mut bytes)).expect("it can be read");
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let errors = text(stderr);
    let lines =
        |prefix| errors.lines().filter_map(move |l| l.strip_prefix(prefix)).map(str::to_owned);
    let (mut said, remedies): (Vec<String>, _) =
        (lines("error: ").collect(), lines("  help: ").collect());
    if code == 124 {
        said.push(format!("no answer within {PATIENCE} s"));
    }
    Outcome { code, errors: said, remedies, answer: text(stdout) }
}

fn here(arguments: &[&str]) -> Outcome {
    let run = || cli::execute(arguments.iter().copied());
    let Ok(executed) = std::panic::catch_unwind(run) else {
        return Outcome { code: 101, ..Outcome::default() };
    };
    let error = executed.result.err();
    let line = |p: &snnc::Problem| format!("{}: {}", p.place, p.reason);
    Outcome {
        code: error.as_ref().map_or(0, snnc::Error::exit_code),
        errors: error.iter().flat_map(|e| e.problems()).map(line).collect(),
        remedies: error.iter().flat_map(|e| e.problems()).map(|p| p.remedy.clone()).collect(),
        answer: executed.answer,
    }
}
