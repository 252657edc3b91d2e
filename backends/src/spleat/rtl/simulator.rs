//! Builds the core of an image in the simulators that are installed, and runs it.

use std::io::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::File;

/// A hardware simulator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Simulator {
    /// Icarus Verilog: event-driven, four-valued, so that what was never written shows.
    Icarus,
    /// Verilator: two-valued, compiled.
    Verilator,
}

impl Simulator {
    /// Every simulator.
    pub const ALL: [Simulator; 2] = [Simulator::Icarus, Simulator::Verilator];

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

    /// Builds the sources of an image's accelerator, with its traces, in a folder.
    ///
    /// # Errors
    /// When the simulator is not there, or does not take the sources.
    pub fn build(self, sources: &[File], folder: &Path) -> Result<Build, Error> {
        let folder = std::path::absolute(folder)?;
        for File { path, content } in sources {
            std::fs::write(folder.join(path), content)?;
        }
        let mut build = Command::new(self.program());
        let program = match self {
            Simulator::Icarus => {
                build.args(["-g2012", "-DSPLEAT_TRACE", "-s", "spleat_tb", "-o", "spleat.vvp"]);
                folder.join("spleat.vvp")
            }
            Simulator::Verilator => {
                build.args(["--binary", "--timing", "-DSPLEAT_TRACE", "-Wno-fatal", "-Wno-lint"]);
                build.args(["-Wno-style", "-CFLAGS", "-O0", "-O3", "--top-module", "spleat_tb"]);
                build.args(["--Mdir", "verilated"]);
                folder.join("verilated").join("Vspleat_tb")
            }
        };
        build.args(sources.iter().map(|file| &file.path));
        output(build.current_dir(&folder))?;
        Ok(Build { simulator: self, program })
    }
}

/// The core of an image, built in a simulator.
#[derive(Clone, Debug)]
pub struct Build {
    simulator: Simulator,
    program: PathBuf,
}

impl Build {
    /// The simulator.
    pub fn simulator(&self) -> Simulator {
        self.simulator
    }

    /// Runs in the folder of an image and its events, with options of the test bench such as
    /// `+stall=3`; returns what was printed.
    ///
    /// # Errors
    /// When the simulation fails.
    pub fn run(&self, folder: &Path, options: &[&str]) -> Result<String, Error> {
        let mut run = match self.simulator {
            Simulator::Icarus => {
                let mut run = Command::new("vvp");
                run.arg("-n").arg(&self.program);
                run
            }
            Simulator::Verilator => Command::new(&self.program),
        };
        output(run.args(options).current_dir(folder))
    }
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
