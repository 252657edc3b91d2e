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
use super::settings::ConfigArgs;

/// Compiles ONNX networks for neuromorphic hardware and certifies the result.
#[derive(Debug, Parser)]
#[command(name = "snnc", version, arg_required_else_help = true)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Command,
    #[command(flatten, next_help_heading = "General")]
    pub(super) common: Common,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Compile a model for one or more targets
    Compile(Box<CompileArgs>),
    /// Run an artefact or a model on samples and write outputs and spikes
    Run(RunArgs),
    /// Measure accuracy, spikes and energy of an artefact or a model on labelled samples
    Eval(EvalArgs),
    /// Collect activation histograms of a float model, or merge those of shards
    Calibrate(CalibrateArgs),
    /// Prove that an artefact equals a model, or list where it differs
    Verify(VerifyArgs),
    /// Write the statements of a certificate for SMT solvers
    Certify(CertifyArgs),
    /// Find the first population, timestep and neuron at which two executions differ
    Diff(DiffArgs),
    /// Write an HTML page about one network, or several
    Report(ReportArgs),
    /// Print artefacts and models in one table
    Compare(CompareArgs),
    /// Explore codings and bit widths: accuracy, latency, spikes and energy of each
    Explore(ExploreArgs),
    /// Show the layers of a model or an artefact, and how each target takes it
    Inspect(InspectArgs),
    /// Show or fit the few-spikes neuron of an activation function
    Fit(FitArgs),
    /// List the targets, or describe one
    Targets(TargetsArgs),
    /// Print the network after one pass
    Dump(Box<DumpArgs>),
    /// List the passes, and what each does to the network's values
    #[command(after_help = "Example:\n  snnc passes")]
    Passes,
    /// Print all options of the configuration file
    Config(ConfigArgs),
    /// Print completions for a shell
    Completions(CompletionsArgs),
}

impl Command {
    /// Whether files are to be read into memory, and none mapped.
    pub(super) fn maps_nothing(&self) -> bool {
        let import = match self {
            Command::Compile(a) => &a.import,
            Command::Dump(a) => &a.compile.import,
            Command::Run(a) => &a.import,
            Command::Eval(a) => &a.import,
            Command::Calibrate(a) => &a.import,
            Command::Verify(a) => &a.import,
            Command::Report(a) => &a.import,
            Command::Compare(a) => &a.import,
            Command::Explore(a) => &a.import,
            Command::Diff(a) => &a.import,
            Command::Inspect(a) => &a.import,
            _ => return false,
        };
        import.no_mmap
    }

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
