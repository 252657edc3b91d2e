//! Integrate and fire on integers.

use serde::{Deserialize, Serialize};

use super::{Checks, EnergyClass, NeuronModel, Place, TimeTable, at};
use crate::interval::Interval;

/// How a potential is compared with a threshold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Comparison {
    /// Fires at the threshold.
    #[default]
    AtLeast,
    /// Fires above the threshold.
    Above,
}

/// What firing does to the membrane potential.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reset {
    /// Soft: the payload times the threshold of that timestep is subtracted.
    Soft,
    /// Soft, by another amount than the threshold (few-spikes neurons' h(t)).
    SoftBy(TimeTable),
    /// Hard: the potential becomes this value.
    Hard(i64),
}

/// How the membrane potential decays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Leak {
    /// It does not.
    #[default]
    None,
    /// `u = v >> shift` before the comparison; `kept * u` is stored after the reset. With the
    /// input scaled alike this is a decay of state and input with rate `1 - kept / 2^shift`.
    Averaging {
        /// Right shift, rounding toward minus infinity.
        shift: u8,
        /// `2^shift` less the input's share.
        kept: i64,
    },
    /// After the reset `u -= u >> shift`.
    Subtracting {
        /// Right shift, rounding toward minus infinity.
        shift: u8,
    },
}

/// When a spiking neuron sends negative spikes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NegativeSpikes {
    /// What was sent too much is taken back: the level is `floor(v / threshold)`, at most the
    /// neuron's maximum in either direction, as far as the total of all that was sent stays in
    /// `minimum..=maximum` (QFFS, Li et al. 2022; ST-BIF, You et al. 2024).
    Retracting {
        /// Smallest total.
        minimum: i64,
        /// Largest total.
        maximum: i64,
    },
    /// -1 is sent where the potential is at most this threshold (ternary spikes); the reset then adds
    /// what it would subtract for a positive spike.
    Below(TimeTable),
}

/// Integrate and fire: `v += input`; fires `z = clamp(floor(v / threshold), 0, maximum)`; resets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IntegrateAndFire {
    /// Threshold, positive.
    pub threshold: TimeTable,
    /// What firing does to the potential.
    pub reset: Reset,
    /// Potential at the start of a frame, for each channel or one for all.
    pub initial: Vec<i64>,
    /// Decay.
    #[serde(default)]
    pub leak: Leak,
    /// Most that can be sent in one timestep (1 for binary spikes).
    pub maximum: i64,
    /// How potential and threshold are compared.
    #[serde(default)]
    pub comparison: Comparison,
    /// Whether and when negative spikes are sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed_limit: Option<NegativeSpikes>,
    /// Value of a spike at each timestep, times the level; none means 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decode: Option<TimeTable>,
}

impl IntegrateAndFire {
    /// The level reached by potential `v`: how many thresholds fit.
    pub fn level(&self, channel: usize, timestep: usize, v: i64) -> i64 {
        let threshold = self.threshold.at(channel, timestep);
        let v = match self.comparison {
            Comparison::AtLeast => v,
            Comparison::Above => v.saturating_sub(1),
        };
        if self.maximum == 1 {
            // Few-spikes coefficients can be zero or negative thresholds.
            return i64::from(v >= threshold);
        }
        v.div_euclid(threshold.max(1)).clamp(0, self.maximum)
    }

    /// The level sent at potential `v` when `sent` is the total of the levels sent before.
    pub fn signed_level(&self, channel: usize, timestep: usize, v: i64, sent: i64) -> i64 {
        match &self.signed_limit {
            None => self.level(channel, timestep, v),
            Some(NegativeSpikes::Below(below)) => match self.level(channel, timestep, v) {
                0 => -i64::from(v <= below.at(channel, timestep)),
                level => level,
            },
            Some(NegativeSpikes::Retracting { minimum, maximum }) => {
                let threshold = self.threshold.at(channel, timestep).max(1);
                let level = match self.comparison {
                    Comparison::AtLeast => v.div_euclid(threshold),
                    Comparison::Above => v.saturating_sub(1).div_euclid(threshold),
                };
                let level = level.max(-self.maximum).min(self.maximum);
                level.min(maximum - sent).max(minimum - sent)
            }
        }
    }

    /// One timestep at potential `v`, its input included, when `sent` is the total of the levels sent
    /// before: the level sent, and the potential that is left.
    pub fn step(&self, channel: usize, timestep: usize, v: i64, sent: i64) -> (i64, i64) {
        let mut u = match self.leak {
            Leak::Averaging { shift, .. } => v >> shift,
            Leak::None | Leak::Subtracting { .. } => v,
        };
        let level = self.signed_level(channel, timestep, u, sent);
        if level != 0 {
            match &self.reset {
                Reset::Soft => u -= level * self.threshold.at(channel, timestep),
                Reset::SoftBy(amount) => u -= level * amount.at(channel, timestep),
                Reset::Hard(value) => u = *value,
            }
        }
        let left = match self.leak {
            Leak::None => u,
            Leak::Averaging { kept, .. } => kept * u,
            Leak::Subtracting { shift } => u - (u >> shift),
        };
        (level, left)
    }

    /// What is sent in each of `timesteps` without further input, the whole of a frame having brought
    /// `v` behind a barrier (initial potential not included): levels times their decoded value.
    pub fn fire(&self, channel: usize, v: i64, timesteps: usize) -> Vec<i64> {
        let (mut potential, mut sent) = (v.saturating_add(at(&self.initial, channel)), 0);
        (0..timesteps)
            .map(|t| {
                let (level, left) = self.step(channel, t, potential, sent);
                potential = left;
                sent += level;
                level * self.decode.as_ref().map_or(1, |d| d.at(channel, t))
            })
            .collect()
    }
}

/// State of an integrate-and-fire neuron.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IntegrateAndFireState {
    /// Membrane potential.
    pub potential: i64,
    /// Total of the levels sent so far.
    pub sent: i64,
}

/// Soft reset: RMP-SNN, Han et al. 2020; negative spikes: QFFS, Li et al. 2022; time-varying thresholds: FS
/// neurons, Stöckl and Maass 2021, and ATIF, Castagnetti et al. 2023.
impl NeuronModel for IntegrateAndFire {
    type State = IntegrateAndFireState;
    type Value = i64;
    const WORD: &'static str = "integrate-and-fire";
    const NAME: &'static str = "integrate-and-fire neurons";

    fn rest(&self, place: Place) -> IntegrateAndFireState {
        IntegrateAndFireState { potential: at(&self.initial, place.channel), sent: 0 }
    }

    #[inline]
    fn step(
        &self,
        place: Place,
        timestep: usize,
        state: &mut IntegrateAndFireState,
        input: i64,
    ) -> i64 {
        let v = state.potential + input;
        let (level, left) = self.step(place.channel, timestep, v, state.sent);
        state.sent += level;
        state.potential = left;
        level * self.decode.as_ref().map_or(1, |d| d.at(place.channel, timestep))
    }

    /// Fires in all timesteps, of what arrived before the first.
    #[inline]
    fn step_behind_barrier(
        &self,
        place: Place,
        (timestep, _): (usize, usize),
        state: &mut IntegrateAndFireState,
        total: i64,
    ) -> i64 {
        let input = if timestep == 0 { total } else { 0 };
        NeuronModel::step(self, place, timestep, state, input)
    }

    fn potential(state: &IntegrateAndFireState) -> i64 {
        state.potential
    }

    fn energy_class(&self) -> EnergyClass {
        if self.leak == Leak::None { EnergyClass::Firing } else { EnergyClass::Leaking }
    }

    fn check(&self, checks: &mut Checks<'_>) {
        checks.lengths("threshold", self.threshold.0.len());
        checks.lengths("initial potential", self.initial.len());
        let below = match &self.signed_limit {
            Some(NegativeSpikes::Below(below)) => Some(below),
            Some(NegativeSpikes::Retracting { .. }) | None => None,
        };
        let amount = match &self.reset {
            Reset::SoftBy(amount) => Some(amount),
            Reset::Soft | Reset::Hard(_) => None,
        };
        let others = [
            ("decoded value", self.decode.as_ref()),
            ("reset", amount),
            ("negative threshold", below),
        ];
        for (what, table) in others {
            if let Some(table) = table {
                checks.lengths(what, table.0.len());
            }
        }
        let tables = [Some(&self.threshold), self.decode.as_ref(), amount, below];
        let empty = tables.into_iter().flatten().any(|t| t.0.iter().any(Vec::is_empty));
        checks.require(!empty, "a time table has no timestep");
        checks.require(self.maximum >= 0, "the most that can be sent in a timestep is negative");
        let positive = self.maximum <= 1 || self.threshold.0.iter().flatten().all(|&t| t > 0);
        checks.require(positive, "a multi-level threshold must be positive");
        let shift = match self.leak {
            Leak::None => 0,
            Leak::Averaging { shift, .. } | Leak::Subtracting { shift } => shift,
        };
        checks.require(shift < 63, "a leak shifts by more bits than there are");
        let retracts = matches!(self.signed_limit, Some(NegativeSpikes::Retracting { .. }));
        checks.require(
            !(retracts && checks.barrier),
            "there is nothing to take back behind a barrier",
        );
    }

    fn single_shot(&self, channel: usize, v: i64) -> Option<i64> {
        let v = at(&self.initial, channel).saturating_add(v);
        self.rises().then(|| self.signed_level(channel, 0, v, 0))
    }

    fn rises(&self) -> bool {
        self.leak == Leak::None && self.decode.is_none()
    }

    fn payloads(&self) -> Option<Interval> {
        let low = match self.signed_limit {
            None => 0,
            Some(NegativeSpikes::Below(_)) => -1,
            Some(NegativeSpikes::Retracting { .. }) => -self.maximum,
        };
        let levels = Interval::new(low, self.maximum.max(1));
        match &self.decode {
            None => Some(levels),
            Some(values) => {
                let each = values.0.iter().flatten().map(|&value| levels.times(value));
                each.reduce(Interval::union)
            }
        }
    }

    fn wire(&self) -> Option<Interval> {
        let low = if self.signed_limit.is_some() { -self.maximum } else { 0 };
        Some(Interval::new(low, self.maximum))
    }

    /// In more than one timestep the potential is what many of them brought.
    fn sent(&self, channel: usize, v: Interval, timesteps: usize) -> Option<Interval> {
        if timesteps > 1 {
            return None;
        }
        let ends = (self.single_shot(channel, v.low)?, self.single_shot(channel, v.high)?);
        Some(Interval::new(ends.0, ends.1).with_zero())
    }

    fn thresholds(&self, _: usize) -> Vec<i64> {
        self.threshold.0.iter().flatten().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn above_differs_from_at_least_by_one() {
        let mut n = IntegrateAndFire {
            threshold: TimeTable::constant(10),
            reset: Reset::Soft,
            initial: vec![0],
            leak: Leak::None,
            maximum: 3,
            comparison: Comparison::AtLeast,
            signed_limit: None,
            decode: None,
        };
        assert_eq!([9, 10, 29, 30, 99, -1].map(|v| n.level(0, 0, v)), [0, 1, 2, 3, 3, 0]);
        n.comparison = Comparison::Above;
        assert_eq!([9, 10, 11, 20, 21].map(|v| n.level(0, 0, v)), [0, 0, 1, 1, 2]);
    }

    #[test]
    fn negative_spikes_take_back_or_lie_below() {
        let mut n = IntegrateAndFire {
            threshold: TimeTable::constant(10),
            reset: Reset::Soft,
            initial: vec![0],
            leak: Leak::None,
            maximum: 1,
            comparison: Comparison::AtLeast,
            signed_limit: Some(NegativeSpikes::Retracting { minimum: 0, maximum: 3 }),
            decode: None,
        };
        let at = |n: &IntegrateAndFire, v, sent| n.signed_level(0, 0, v, sent);
        assert_eq!([at(&n, 10, 2), at(&n, 10, 3), at(&n, -1, 1), at(&n, -1, 0)], [1, 0, -1, 0]);
        n.maximum = 3;
        assert_eq!([at(&n, 25, 0), at(&n, 25, 2), at(&n, -15, 3), at(&n, -15, 1)], [2, 1, -2, -1]);
        n.maximum = 1;
        n.signed_limit = Some(NegativeSpikes::Below(TimeTable::constant(-4)));
        assert_eq!([10, 9, -3, -4].map(|v| at(&n, v, 0)), [1, 0, 0, -1]);
    }
}
