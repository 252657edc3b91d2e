//! Current-based leaky integrate and fire on 24-bit state.

use serde::{Deserialize, Serialize};

use super::{Checks, EnergyClass, NeuronModel, Place, at_or_zero};
use crate::interval::Interval;

/// Current-based leaky integrate and fire on 24-bit state (lava-nc 0.10.0, `PyLifModelBitAcc`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CurrentBasedNeuron {
    /// Decay of the current u in 1/4096 a timestep, 0 to 4096.
    pub current_decay: i64,
    /// Decay of the voltage v in 1/4096 a timestep, 0 to 4096.
    pub voltage_decay: i64,
    /// Threshold, before the shift by 6; firing is strictly above.
    pub threshold: i64,
    /// Bias mantissa for each neuron, each channel, or one for all, or none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bias: Vec<i64>,
    /// Left shift of the bias.
    pub bias_exponent: u8,
    /// Whether the neuron can fire at all (a read-out's threshold is out of reach).
    pub fires: bool,
    /// Timesteps at the beginning of which u and v become 0; none means never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reset: Option<PeriodicReset>,
}

/// The timesteps `first`, `first + interval`, `first + 2 * interval`, .. of a run, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeriodicReset {
    /// Timesteps from one to the next, at least 1.
    pub interval: usize,
    /// The first of them, below `interval`.
    pub first: usize,
}

impl PeriodicReset {
    /// Whether `timestep` is one of them.
    pub fn is_at(self, timestep: usize) -> bool {
        timestep % self.interval.max(1) == self.first
    }
}

/// State of a current-based neuron.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CurrentBasedState {
    /// Synaptic current u.
    pub current: i64,
    /// Membrane potential v.
    pub voltage: i64,
}

/// Magnitude that 24 bits of two's complement do not hold any more.
const LIMIT: i64 = 1 << 23;
/// A decay of everything.
const WHOLE: i64 = 4096;

impl NeuronModel for CurrentBasedNeuron {
    type State = CurrentBasedState;
    type Value = i64;
    const WORD: &'static str = "current-based";
    const NAME: &'static str = "current-based neurons";

    fn rest(&self, _: Place) -> CurrentBasedState {
        CurrentBasedState::default()
    }

    fn step(
        &self,
        place: Place,
        timestep: usize,
        state: &mut CurrentBasedState,
        input: i64,
    ) -> i64 {
        if self.reset.is_some_and(|r| r.is_at(timestep)) {
            *state = CurrentBasedState::default();
        }
        let decay = |x: i64, d: i64| x.signum() * ((x.abs() * (WHOLE - d)) >> 12);
        let mut u = decay(state.current, self.current_decay) + (input << 6);
        if u > LIMIT {
            u -= 2 * LIMIT;
        } else if u <= -LIMIT {
            u += 2 * LIMIT;
        }
        let own = if self.bias.len() == place.neurons { place.neuron } else { place.channel };
        let bias = at_or_zero(&self.bias, own) << self.bias_exponent;
        let v = decay(state.voltage, self.voltage_decay) + u + bias;
        let v = v.clamp(-(LIMIT - 1), LIMIT - 1);
        let fires = self.fires && v > self.threshold << 6;
        state.current = u;
        state.voltage = if fires { 0 } else { v };
        i64::from(fires)
    }

    fn potential(state: &CurrentBasedState) -> i64 {
        state.voltage
    }

    fn energy_class(&self) -> EnergyClass {
        EnergyClass::Leaking
    }

    fn check(&self, checks: &mut Checks<'_>) {
        if self.bias.len() != checks.neurons {
            checks.optional("bias", self.bias.len());
        }
        checks.require(self.bias_exponent < 32, "the bias is shifted by more than 31 bits");
        let first = self.reset.is_none_or(|r| r.first < r.interval);
        checks.require(first, "a periodic reset must first come within its interval");
    }

    fn payloads(&self) -> Option<Interval> {
        Some(Interval::new(0, 1))
    }

    fn wire(&self) -> Option<Interval> {
        Some(Interval::new(0, 1))
    }

    fn thresholds(&self, _: usize) -> Vec<i64> {
        vec![self.threshold]
    }

    fn bias(&self) -> &[i64] {
        &self.bias
    }
}
