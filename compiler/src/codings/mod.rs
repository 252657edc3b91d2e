//! The codings: the canonical graded network said in spikes of every kind.
//!
//! Each coding is one file and one line of [`RECODINGS`]. It takes the canonical network, whose
//! neurons are integer staircases of one potential, and gives a network with the same populations
//! under the same names whose spikes, summed over time, are the same payloads. Exact codings are
//! exact in integers, for every input; [`crate::certificate`] proves it from the network alone.

mod atif;
mod few_spikes;
pub mod functions;
mod multi_level;
mod rate;
mod rate_sync;
mod recoder;
mod sigma_delta;
mod signed_rate;
mod staircase;
mod streaming;

use std::collections::BTreeMap;

use snnc_ir::{Coding, Graph, Leak};

use crate::Error;
use crate::passes::graded::Conversion;

use recoder::Recoder;

/// Where the membrane potential of a lossy coding starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Initial {
    /// At half a threshold, which rounds to nearest (Bu et al., "Optimal ANN-SNN conversion", ICLR
    /// 2022, theorem 2).
    HalfThreshold,
    /// At 0, which rounds down.
    Zero,
}

/// What firing does to the membrane potential in the coding `rate`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ResetRule {
    /// The threshold is subtracted.
    #[default]
    Soft,
    /// The potential becomes 0.
    Hard,
}

/// Everything that shapes a coding.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Options {
    /// Number of timesteps; `None` takes the coding's own (the least that is exact, if it can be).
    pub timesteps: Option<usize>,
    /// Where potentials of `rate`, `multi-level` and `atif` start; `None` is half a threshold, and 0
    /// for `atif`.
    pub initial: Option<Initial>,
    /// What firing does in `rate`.
    pub reset: ResetRule,
    /// Leak of the neurons of `rate`.
    pub leak: Leak,
    /// For `atif`: the thresholds V_th(t) of a population by its name, in the unit of its real
    /// activation, one for each timestep (the last serves all later ones). A population without an
    /// entry fires at the largest activation.
    pub thresholds: BTreeMap<String, Vec<f64>>,
}

impl Options {
    /// Default options with this number of timesteps.
    pub fn timesteps(timesteps: impl Into<Option<usize>>) -> Self {
        Options { timesteps: timesteps.into(), ..Options::default() }
    }
}

/// One coding: how a network is said in it.
struct Recoding {
    coding: Coding,
    run: fn(&mut Recoder<'_>, &Options),
}

/// Every coding but `graded`, which is the canonical form itself.
const RECODINGS: &[Recoding] = &[
    Recoding { coding: Coding::FewSpikes, run: few_spikes::recode },
    Recoding { coding: Coding::Rate, run: rate::recode },
    Recoding { coding: Coding::RateSync, run: rate_sync::recode },
    Recoding { coding: Coding::SignedRate, run: signed_rate::recode },
    Recoding { coding: Coding::SigmaDelta, run: sigma_delta::recode },
    Recoding { coding: Coding::MultiLevel, run: multi_level::recode },
    Recoding { coding: Coding::Atif, run: atif::recode },
];

/// The network in another coding: a spiking graph with the same populations under the same names.
///
/// # Errors
/// All populations that the coding cannot express, each with the codings that can; numbers of
/// timesteps that are too small.
pub fn apply(coding: Coding, options: &Options, conversion: &Conversion) -> Result<Graph, Error> {
    if coding == Coding::Graded {
        if options.timesteps.is_some_and(|t| t != 1) {
            let reason = "the coding `graded` has one timestep";
            return Err(Error::usage("--timesteps", reason, "choose another --code"));
        }
        return Ok(conversion.network.clone());
    }
    if options.timesteps == Some(0) {
        return Err(Error::usage("--timesteps", "0 timesteps", "use at least 1"));
    }
    let Some(recoding) = RECODINGS.iter().find(|r| r.coding == coding) else {
        return Err(Error::usage("--coding", format!("`{coding}` is not built in"), ""));
    };
    let mut recoder = Recoder::new(coding, &conversion.network)?;
    (recoding.run)(&mut recoder, options);
    let graph = recoder.finish()?;
    match snnc_ir::verify(graph) {
        Ok(graph) => Ok(graph.into_inner()),
        Err(errors) => Err(Error::unverified(&format!("network as {coding}"), &errors)),
    }
}
