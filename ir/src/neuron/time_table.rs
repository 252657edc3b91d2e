//! Values that may change in time.

use crate::PerChannel;
use serde::{Deserialize, Serialize};

/// Values that may differ by channel and by timestep: `values[channel][timestep]`, where either
/// index is 0 if there is only one entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TimeTable(pub Vec<Vec<i64>>);

impl TimeTable {
    /// The same value everywhere.
    pub fn constant(value: i64) -> Self {
        TimeTable(vec![vec![value]])
    }

    /// One value for each channel, the same in every timestep.
    pub fn per_channel(values: impl IntoIterator<Item = i64>) -> Self {
        TimeTable(values.into_iter().map(|v| vec![v]).collect())
    }

    /// One value for each timestep, the same in every channel.
    pub fn per_timestep(values: Vec<i64>) -> Self {
        TimeTable(vec![values])
    }

    /// The value of `channel` at `timestep`; the last column serves all later timesteps.
    pub fn at(&self, channel: usize, timestep: usize) -> i64 {
        let row = PerChannel::of(&self.0).at(channel);
        row[timestep.min(row.len() - 1)]
    }
}
