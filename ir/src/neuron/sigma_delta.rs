//! Sigma-delta neurons in fixed point.

use serde::{Deserialize, Serialize};

use super::{Checks, EnergyClass, NeuronModel, Place, at_or_zero};
use crate::interval::Interval;

/// Role of a sigma-delta neuron.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SigmaDeltaRole {
    /// Input: sends changes of what it is given.
    Delta,
    /// Hidden: sums changes, rectifies, sends changes.
    SigmaDelta,
    /// Output: sums changes and shows the sum.
    Sigma,
}

/// Sigma-delta neuron in fixed point (lava-nc 0.10.0, `PySigmaDeltaModelFixed`).
///
/// `sigma += input; act = max(sigma + (bias << (spike_exponent + state_exponent)), 0)`;
/// `d = act - previous + residue`; sends `(|d| >= threshold << (..) ? d : 0) >> state_exponent`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SigmaDeltaNeuron {
    /// Input, hidden or output.
    pub role: SigmaDeltaRole,
    /// Smallest change that is sent, before both shifts.
    pub threshold: i64,
    /// For each channel (or one for all, or none), before both shifts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bias: Vec<i64>,
    /// Fractional bits of what is sent.
    pub spike_exponent: u8,
    /// Further fractional bits of the state.
    pub state_exponent: u8,
}

/// State of a sigma-delta neuron.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SigmaDeltaState {
    /// Sum of all that has arrived.
    pub sigma: i64,
    /// The activation last timestep.
    pub activation: i64,
    /// The change that has not been sent yet.
    pub residue: i64,
}

/// A sum in 32-bit integers.
fn wrap(x: i64) -> i64 {
    i64::from(x as i32)
}

impl NeuronModel for SigmaDeltaNeuron {
    type State = SigmaDeltaState;
    type Value = i64;
    const WORD: &'static str = "sigma-delta";
    const NAME: &'static str = "sigma-delta neurons";

    fn rest(&self, _: Place) -> SigmaDeltaState {
        SigmaDeltaState::default()
    }

    fn step(&self, place: Place, _: usize, state: &mut SigmaDeltaState, input: i64) -> i64 {
        let shift = self.spike_exponent + self.state_exponent;
        let activation = match self.role {
            SigmaDeltaRole::Delta => wrap(input << shift),
            SigmaDeltaRole::Sigma => {
                state.sigma = wrap(state.sigma + input);
                return state.sigma;
            }
            SigmaDeltaRole::SigmaDelta => {
                state.sigma = wrap(state.sigma + input);
                let bias = at_or_zero(&self.bias, place.channel);
                wrap(state.sigma + (bias << shift)).max(0)
            }
        };
        let change = wrap(activation - state.activation + state.residue);
        let sent = if change.abs() >= self.threshold << shift { change } else { 0 };
        state.residue = change - sent;
        state.activation = activation;
        sent >> self.state_exponent
    }

    fn potential(state: &SigmaDeltaState) -> i64 {
        state.sigma
    }

    fn energy_class(&self) -> EnergyClass {
        EnergyClass::Firing
    }

    fn check(&self, checks: &mut Checks<'_>) {
        checks.optional("bias", self.bias.len());
        let bits = u16::from(self.spike_exponent) + u16::from(self.state_exponent);
        checks.require(bits < 32, "the exponents are more than the state's 32 bits");
    }

    fn sends_changes(&self) -> bool {
        true
    }

    fn encodes(&self) -> bool {
        self.role == SigmaDeltaRole::Delta
    }

    /// When its input changes once, from silence: the whole activation. That is so for a constant input where all
    /// ways from the input to a neuron take equally long, as in a chain of layers.
    fn sent(&self, channel: usize, sigma: Interval, _: usize) -> Option<Interval> {
        let shift = self.spike_exponent + self.state_exponent;
        let scaled = |x: i64, by: u8| x.saturating_mul(1 << by);
        Some(match self.role {
            SigmaDeltaRole::Delta => Interval::new(
                scaled(sigma.low, self.spike_exponent),
                scaled(sigma.high, self.spike_exponent),
            ),
            SigmaDeltaRole::Sigma => sigma,
            SigmaDeltaRole::SigmaDelta => {
                let bias = scaled(at_or_zero(&self.bias, channel), shift);
                let activation = |x: i64| x.saturating_add(bias).max(0) >> self.state_exponent;
                Interval::new(activation(sigma.low), activation(sigma.high)).with_zero()
            }
        })
    }

    fn thresholds(&self, _: usize) -> Vec<i64> {
        vec![self.threshold]
    }

    fn bias(&self) -> &[i64] {
        &self.bias
    }
}
