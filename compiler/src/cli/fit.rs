//! `fit`: few-spikes neurons for activation functions.

use clap::Args;
use serde::Serialize;

use super::args::{Common, Format};
use super::numbers::trials;
use super::render;
use crate::Error;
use crate::codings::functions::{self, FewSpikesNeuron, FitError, FitOptions, Function, published};

/// Most timesteps that a neuron can have.
const MOST_TIMESTEPS: usize = 32;
/// Farthest end of an interval: beyond it the functions are straight lines.
const FARTHEST: f64 = 1e6;
/// Points on which the error is measured, more than the fit has seen.
const POINTS: usize = 20_001;

#[derive(Serialize)]
struct Answer {
    function: &'static str,
    range: (f64, f64),
    published: bool,
    error: FitError,
    #[serde(flatten)]
    neuron: FewSpikesNeuron,
}

/// Arguments of `fit`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  snnc fit swish --timesteps 8 --range=-8,12")]
pub(super) struct FitArgs {
    /// The function: swish, sigmoid, tanh, hard-swish or relu
    #[arg(value_name = "FUNCTION")]
    pub(super) function: String,
    /// Timesteps of the neuron (K) [default: show the published neuron]
    #[arg(long, value_name = "K")]
    pub(super) timesteps: Option<usize>,
    /// Interval of inputs, as LOW,HIGH
    #[arg(long, value_name = "LOW,HIGH", default_value = "-8,12", allow_hyphen_values = true)]
    pub(super) range: String,
    /// Candidates tried
    #[arg(long, value_name = "N", default_value_t = 50_000, value_parser = trials)]
    pub(super) trials: usize,
    /// Seed of the search; equal seeds find equal neurons
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(super) seed: u64,
}

/// `fit`
pub(super) fn fit(args: &FitArgs, common: &Common) -> Result<(), Error> {
    let known = Function::ALL.map(Function::name).join(", ");
    let function = Function::from_name(&args.function).ok_or_else(|| {
        let reason = format!("there is no function `{}`", args.function);
        Error::usage("FUNCTION", reason, format!("there are {known}"))
    })?;
    let range = range(&args.range)?;
    let (neuron, published) = match args.timesteps {
        None => {
            let found = published(function)?.ok_or_else(|| {
                let reason = format!("no neuron for {} has been published", function.name());
                Error::usage("FUNCTION", reason, "fit one with --timesteps K")
            })?;
            (found, true)
        }
        Some(timesteps) if (1..=MOST_TIMESTEPS).contains(&timesteps) => {
            let options = FitOptions { timesteps, range, trials: args.trials, seed: args.seed };
            (functions::fit(function, options), false)
        }
        Some(_) => {
            let reason = format!("it must be from 1 to {MOST_TIMESTEPS}");
            return Err(Error::usage("--timesteps", reason, ""));
        }
    };
    let error = neuron.error(function, range, POINTS);
    let answer = Answer { function: function.name(), range, published, error, neuron };
    if common.format == Format::Json {
        return render::json(&answer);
    }
    let yaml =
        serde_yaml::to_string(&answer).map_err(|e| Error::input("neuron", e.to_string(), ""))?;
    render::verbatim(yaml.trim_end());
    Ok(())
}

fn range(text: &str) -> Result<(f64, f64), Error> {
    let parsed = text.split_once(',').and_then(|(low, high)| {
        let (low, high): (f64, f64) = (low.trim().parse().ok()?, high.trim().parse().ok()?);
        (low < high && low.abs() <= FARTHEST && high.abs() <= FARTHEST).then_some((low, high))
    });
    parsed.ok_or_else(|| {
        Error::usage("--range", format!("`{text}` is no interval"), "give it as LOW,HIGH")
    })
}
