//! The command line: what users type, and how they are answered.

mod args;
mod arrays;
mod bare;
mod calibrate;
mod certify;
mod checks;
mod command;
mod commands;
mod compile;
mod compiled;
mod config;
mod deliver;
mod described;
mod diff;
mod dump;
mod eval;
mod explore;
mod fit;
mod float;
mod inspect;
mod labels;
mod notes;
mod numbers;
mod open;
mod options;
mod output;
mod passes;
mod progress;
mod reals;
mod render;
mod report;
mod run;
mod settings;
mod signals;
mod stream;
mod tables;
mod verify;
mod when;

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use clap::error::{ContextKind, ContextValue};
use snnc_runtime::kernels::Kernels;

use command::{Cli, Command};

use crate::watch::{self, Watch};
use crate::{Error, mmap, nearest, read_files};

pub use described::{OptionRow, advice, options};

/// Parses the arguments of the process, runs the command and returns the exit code.
pub fn main() -> ExitCode {
    ExitCode::from(main_with(std::env::args_os()))
}

/// As [`main`], with these arguments, the name of the program first.
pub fn main_with(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(mut cli) => {
            cli.command.complete();
            cli
        }
        Err(e) => {
            // Help and version are answers, not faults.
            let code = if e.use_stderr() { 2 } else { 0 };
            let _ = e.print();
            return code;
        }
    };
    start_log(&cli);
    tables::fit_to_terminal(cli.common.wide);
    signals::watch();
    read_files::watch();
    match run(&cli).and_then(|()| render::finish()) {
        Ok(()) => 0,
        Err(error) => {
            render::error(&error);
            error.exit_code()
        }
    }
}

/// What a command that ran in this process came to.
#[derive(Debug)]
pub struct Executed {
    /// Whether it succeeded.
    pub result: Result<(), Error>,
    /// What it printed on standard output.
    pub answer: String,
    /// Its notes, each with the place concerned.
    pub notes: Vec<(String, String)>,
}

/// Runs a command in this process, without the name of the program before its arguments, and prints
/// nothing. `-j` and the log are not available: they belong to the process.
pub fn execute<A: Into<OsString>>(arguments: impl IntoIterator<Item = A>) -> Executed {
    let arguments = arguments.into_iter().map(Into::into);
    let named = std::iter::once(OsString::from("snnc")).chain(arguments);
    let (result, answer, notes) = render::captured(|| match Cli::try_parse_from(named) {
        Ok(mut cli) => {
            cli.command.complete();
            checked(&cli)
        }
        Err(e) if e.use_stderr() => Err(unparsed(&e)),
        Err(e) => {
            render::verbatim(e);
            Ok(())
        }
    });
    Executed { result, answer, notes }
}

/// As [`execute`], with a watcher that receives its progress and can stop it. `None` if the watcher stopped it;
/// nothing is half written then.
pub fn execute_watched<A: Into<OsString>>(
    arguments: impl IntoIterator<Item = A>,
    watch: &Arc<Watch>,
) -> Option<Executed> {
    watch::watched(watch, || execute(arguments))
}

/// What is wrong with arguments.
fn unparsed(error: &clap::Error) -> Error {
    let said = |kind| match error.get(kind)? {
        ContextValue::String(text) => Some(text.clone()),
        ContextValue::Strings(texts) => Some(texts.join(", ")),
        _ => None,
    };
    // `--timesteps <T>` is the option --timesteps.
    let option = said(ContextKind::InvalidArg).unwrap_or_default();
    let place = option.split(' ').next().filter(|name| name.starts_with('-'));
    let text = error.to_string();
    let (first, rest) = text.split_once('\n').unwrap_or((&text, ""));
    let reason = first.trim_start_matches("error: ");
    let remedy = match said(ContextKind::ValidValue) {
        Some(known) => format!("there are {known}"),
        None => rest.split("\nUsage:").next().unwrap_or_default().trim().replace('\n', " "),
    };
    Error::usage(place.unwrap_or("command line"), reason, remedy)
}

/// Checks the text of a configuration file, `snnc.yaml`.
///
/// # Errors
/// All that is wrong with it.
pub fn check_config(text: &str) -> Result<(), Error> {
    config::Config::parse(text, "snnc.yaml").map(drop)
}

fn start_log(cli: &Cli) {
    let level = match cli.common.verbose {
        _ if cli.common.quiet => tracing::Level::ERROR,
        0 => tracing::Level::WARN,
        1 => tracing::Level::INFO,
        _ => tracing::Level::DEBUG,
    };
    let log =
        tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::stderr).without_time();
    let _ = log.with_ansi(false).with_target(false).try_init();
}

fn run(cli: &Cli) -> Result<(), Error> {
    let kernels = Kernels::ALL.map(Kernels::name);
    if let Ok(wanted) = std::env::var("SNNC_KERNELS")
        && !wanted.is_empty()
        && !kernels.contains(&wanted.as_str())
    {
        let reason = format!("there is no `{wanted}`");
        return Err(Error::usage("SNNC_KERNELS", reason, nearest::advice(&wanted, kernels)));
    }
    if let Some(threads) = cli.common.threads {
        // More threads than cores only wait for each other.
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.min(cores)).build_global();
        pool.map_err(|e| Error::usage("-j", e.to_string(), "ask for fewer threads"))?;
    }
    checked(cli)
}

/// Runs the command; no file that it has mapped may have changed at its end.
fn checked(cli: &Cli) -> Result<(), Error> {
    let _forbidden = cli.command.maps_nothing().then(mmap::forbid);
    dispatch(cli)?;
    mmap::unchanged()
}

fn dispatch(cli: &Cli) -> Result<(), Error> {
    match &cli.command {
        Command::Compile(args) => compile::compile(args, &cli.common),
        Command::Run(args) => run::run(args, &cli.common),
        Command::Eval(args) => eval::eval(args, &cli.common),
        Command::Calibrate(args) => calibrate::calibrate(args, &cli.common),
        Command::Verify(args) => verify::verify(args, &cli.common),
        Command::Certify(args) => certify::certify(args, &cli.common),
        Command::Diff(args) => diff::diff(args, &cli.common),
        Command::Report(args) => report::report(args, &cli.common),
        Command::Compare(args) => report::compare(args, &cli.common),
        Command::Explore(args) => explore::explore(args, &cli.common),
        Command::Inspect(args) => inspect::inspect(args, &cli.common),
        Command::Fit(args) => fit::fit(args, &cli.common),
        Command::Targets(args) => commands::targets(args, &cli.common),
        Command::Dump(args) => dump::dump(args),
        Command::Config(args) => settings::config(args, &cli.common),
        Command::Passes => passes::passes(&cli.common),
        Command::Completions(args) => {
            command::completions(args.shell);
            Ok(())
        }
    }
}
