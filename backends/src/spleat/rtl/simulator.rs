//! Builds the model in the simulators that are installed, and runs images in it.

use std::io::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::plan::Capacities;

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

    /// Builds the model for all images within the capacities, in a folder of its own.
    ///
    /// # Errors
    /// When the simulator is not there, or does not take the sources.
    pub fn build(self, capacities: &Capacities, folder: &Path) -> Result<Build, Error> {
        let folder = std::path::absolute(folder)?;
        for (name, text) in SOURCES {
            std::fs::write(folder.join(name), text)?;
        }
        let mut build = Command::new(self.program());
        let program = match self {
            Simulator::Icarus => {
                build.args(["-g2012", "-s", "top", "-o", "top.vvp"]);
                for (name, value) in capacities.parameters() {
                    build.arg(format!("-Ptop.{name}={value}"));
                }
                folder.join("top.vvp")
            }
            Simulator::Verilator => {
                build.args(["--binary", "--timing", "-Wno-fatal", "-Wno-lint", "-Wno-style"]);
                build.args(["-CFLAGS", "-O1", "--top-module", "top", "--Mdir", "verilated"]);
                for (name, value) in capacities.parameters() {
                    build.arg(format!("-G{name}={value}"));
                }
                folder.join("verilated").join("Vtop")
            }
        };
        build.args(SOURCES.map(|(name, _)| name));
        output(build.current_dir(&folder))?;
        Ok(Build { simulator: self, program })
    }
}

/// The model, built in a simulator.
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

    /// Runs the image and bench in a folder; returns what the model printed.
    ///
    /// # Errors
    /// When the simulation fails.
    pub fn run(&self, folder: &Path) -> Result<String, Error> {
        let mut run = match self.simulator {
            Simulator::Icarus => {
                let mut run = Command::new("vvp");
                run.arg("-n").arg(&self.program);
                run
            }
            Simulator::Verilator => Command::new(&self.program),
        };
        output(run.current_dir(folder))
    }
}

const SOURCES: [(&str, &str); 3] = [
    ("event_fifo.sv", include_str!("event_fifo.sv")),
    ("spleat_layer.sv", include_str!("spleat_layer.sv")),
    ("top.sv", include_str!("top.sv")),
];

fn output(command: &mut Command) -> Result<String, Error> {
    let output = command.output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(text);
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    Err(Error::other(format!("{command:?}: {errors}{text}")))
}
