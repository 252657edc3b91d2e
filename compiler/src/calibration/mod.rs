//! Post-training quantisation: what a float network needs before it can become spikes.
//!
//! The network runs on a calibration set and keeps a histogram of every activation that will be
//! sent as a payload ([`Statistics`]), channel by channel; a [`ThresholdMethod`] turns each into a
//! threshold; quantisers with that range are inserted, weights are rounded to the target's bits, and
//! biases make up for the mean of the rounding. From there on the way is that of a quantised model:
//! the certificate holds against the network so quantised.

pub mod allocate;
mod correct;
mod cost;
mod equalise;
mod errors;
pub(crate) mod hard_reset;
mod histogram;
mod insert;
mod recorded;
mod request;
mod rounding;
mod sites;
mod statistics;
mod sweep;
mod threshold;
mod weights;

use crate::passes::CALIBRATE;
use crate::{Error, Problem};

/// The error of a model for which a calibration set was given: the advice to give one helps no more.
pub(crate) fn without_advice(error: Error, float: bool) -> Error {
    let Error::Unsupported(problems) = error else { return error };
    let help = if float {
        "calibration does not help here: take another operator, or leave it out of the exported model"
    } else {
        "the model is quantised in part: quantise all of it, or none and calibrate it here"
    };
    let mended = |p: Problem| Problem {
        remedy: if p.remedy == CALIBRATE { help.into() } else { p.remedy },
        ..p
    };
    Error::Unsupported(problems.into_iter().map(mended).collect())
}

pub use cost::Cost;
pub use errors::{SiteErrors, site_errors};
pub use histogram::{Distribution, Histogram};
pub use insert::{Plan, QuantiseOptions, RoundingMethod, quantise};
pub use request::{Budget, Calibrated, Calibration, read_statistics};
pub use sites::{Site, is_partly_quantised, sites};
pub use statistics::{Part, SiteStatistics, Statistics, StatisticsError};
pub use threshold::{ThresholdMethod, quantised_error};
