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
mod sites;
mod statistics;
mod sweep;
mod threshold;
mod weights;

pub use cost::Cost;
pub use errors::{SiteErrors, site_errors};
pub use histogram::{Distribution, Histogram};
pub use insert::{Plan, QuantiseOptions, quantise};
pub use sites::{Site, sites};
pub use statistics::{SiteStatistics, Statistics, StatisticsError};
pub use threshold::{ThresholdMethod, quantised_error};
