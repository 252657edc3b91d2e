//! Runs a bench in the simulators that are installed.

use std::io::Error;
use std::path::Path;
use std::process::Command;

/// A hardware simulator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Simulator {
    /// Icarus Verilog: event-driven, four-valued, so that what was never written shows.
    Icarus,
    /// Verilator: two-valued, compiled.
    Verilator,
}

impl Simulator {
    /// The program that must be installed.
    pub fn program(self) -> &'static str {
        match self {
            Simulator::Icarus => "iverilog",
            Simulator::Verilator => "verilator",
        }
    }

    /// Whether it is installed.
    pub fn installed(self) -> bool {
        let version = match self {
            Simulator::Icarus => "-V",
            Simulator::Verilator => "--version",
        };
        Command::new(self.program()).arg(version).output().is_ok_and(|o| o.status.success())
    }
}

const SOURCES: [&str; 3] = ["event_fifo.sv", "spleat_layer.sv", "top.sv"];

/// Builds and runs the bench in a folder that holds it and its image; returns what it printed.
///
/// # Errors
/// When the simulator is not there, does not take the sources, or fails.
pub fn simulate(simulator: Simulator, folder: &Path) -> Result<String, Error> {
    let mut build = Command::new(simulator.program());
    let mut run;
    match simulator {
        Simulator::Icarus => {
            build.args(["-g2012", "-s", "top", "-o", "top.vvp"]).args(SOURCES);
            run = Command::new("vvp");
            run.args(["-n", "top.vvp"]);
        }
        Simulator::Verilator => {
            build.args(["--binary", "--timing", "-Wno-fatal", "-Wno-lint", "-Wno-style"]);
            build.args(["-O0", "-CFLAGS", "-O0", "--top-module", "top", "--Mdir", "verilated"]);
            build.args(SOURCES);
            run = Command::new(folder.join("verilated").join("Vtop"));
        }
    }
    output(build.current_dir(folder))?;
    output(run.current_dir(folder))
}

fn output(command: &mut Command) -> Result<String, Error> {
    let output = command.output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(text);
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    Err(Error::other(format!("{command:?}: {errors}{text}")))
}
