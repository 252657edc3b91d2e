//! The commands, and what belongs to all of them.

use clap::{Args, CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

use super::args::{
    CalibrateArgs, Common, CompareArgs, CompileArgs, DiffArgs, EvalArgs, ExploreArgs, InspectArgs,
    ReportArgs, RunArgs, TargetsArgs, VerifyArgs,
};
use super::certify::CertifyArgs;
use super::dump::DumpArgs;
use super::fit::FitArgs;

/// Compiles ONNX networks for neuromorphic hardware, and proves what it emits.
#[derive(Debug, Parser)]
#[command(name = "snnc", version, arg_required_else_help = true)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Command,
    #[command(flatten)]
    pub(super) common: Common,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Compile a model for one or more targets
    Compile(Box<CompileArgs>),
    /// Run an artefact or a model on samples and write what it answers
    Run(RunArgs),
    /// Run an artefact or a model on labelled samples and report accuracy and activity
    Eval(EvalArgs),
    /// Gather the statistics by which a float model is quantised, or merge those of shards
    Calibrate(CalibrateArgs),
    /// Prove that an artefact computes what a model computes, or say where it does not
    Verify(VerifyArgs),
    /// Write the statements of an artefact's certificate for SMT solvers
    Certify(CertifyArgs),
    /// Find the first population, timestep and neuron where two executions part
    Diff(DiffArgs),
    /// Write a page on one network, or several side by side, that needs nothing but itself
    Report(ReportArgs),
    /// Show artefacts and models side by side
    Compare(CompareArgs),
    /// Try binary and multi-level spikes of few and many levels, and show what each gains and costs
    Explore(ExploreArgs),
    /// Show what is in a model or an artefact, and what each target makes of it
    Inspect(InspectArgs),
    /// Fit a few-spikes neuron to an activation function, or show the published one
    Fit(FitArgs),
    /// List the targets, or describe one
    Targets(TargetsArgs),
    /// Show the network after any step of compilation
    Dump(Box<DumpArgs>),
    /// List the steps of compilation, and what each does to the network's values
    Passes,
    /// Print completions for a shell
    Completions(CompletionsArgs),
}

impl Command {
    /// Fills in what options say of others: the samples by whose shape a model is imported.
    pub(super) fn complete(&mut self) {
        match self {
            Command::Compile(a) => {
                a.import.samples = a.data.clone().or_else(|| a.quantise.calibration.clone());
            }
            Command::Dump(a) => {
                let DumpArgs { compile: a, .. } = a.as_mut();
                a.import.samples = a.data.clone().or_else(|| a.quantise.calibration.clone());
            }
            Command::Run(a) if a.bin_us.is_none() => a.import.samples = Some(a.input.clone()),
            Command::Eval(a) => a.import.samples = Some(a.samples.clone()),
            Command::Calibrate(a) => a.import.samples.clone_from(&a.samples),
            Command::Verify(a) => a.import.samples.clone_from(&a.samples),
            Command::Report(a) => a.import.samples.clone_from(&a.samples),
            Command::Compare(a) => a.import.samples.clone_from(&a.samples),
            Command::Explore(a) => a.import.samples = Some(a.samples.clone()),
            Command::Diff(a) => a.import.samples = Some(a.input.clone()),
            _ => {}
        }
    }
}

/// Arguments of `completions`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  snnc completions bash > /etc/bash_completion.d/snnc")]
pub(super) struct CompletionsArgs {
    /// The shell
    pub(super) shell: Shell,
}

/// Prints completions for a shell.
pub(super) fn completions(shell: Shell) {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "snnc", &mut text);
    super::render::write_out(&text);
}
