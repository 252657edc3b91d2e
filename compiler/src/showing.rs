//! When a model shows its outputs.

use serde::{Deserialize, Serialize};

/// When a model that spikes already shows an output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Showing {
    /// Once for all timesteps.
    #[default]
    Once,
    /// Whenever it is run, for one timestep each time.
    EachRun,
    /// In a row of its own for each timestep.
    EveryTimestep,
}

impl Showing {
    /// Whether it is the usual.
    pub(crate) fn is_once(&self) -> bool {
        *self == Showing::Once
    }
}
