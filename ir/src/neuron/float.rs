//! The neuron of networks that spike in single precision, as frameworks train them.

use serde::{Deserialize, Serialize};

use super::{Checks, Comparison, EnergyClass, NeuronModel, Place};

/// Leaky integrate and fire in f32, current-based or not. Where a network has such a neuron all its
/// populations do: what is sent is real, weights are f32, and an encoder passes `x / scale` on
/// unrounded and unclamped.
///
/// In each timestep, with `x` the sum of what the projections bring:
///
/// ```text
/// i = current_decay * i + current_gain * (x + input_bias)     with a synaptic current
/// i = x + input_bias                                          without
/// v = decay * v + gain * i + drive
/// fires where v > threshold, or v >= threshold; then resets v
/// ```
///
/// Vectors have one entry for all neurons, or one for each; absent ones mean 0, gains 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FloatNeuron {
    /// Share of the potential that is kept, 1 for a neuron without leak.
    pub decay: Vec<f32>,
    /// Factor of the current.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gain: Vec<f32>,
    /// Added to what the projections bring.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub input_bias: Vec<f32>,
    /// Added to the potential in each timestep.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drive: Vec<f32>,
    /// The synaptic current, of current-based neurons.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<SynapticCurrent>,
    /// Potential at the start.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub initial: Vec<f32>,
    /// When it fires and what then becomes of the potential; a neuron without sends its potential.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub firing: Option<Firing>,
}

/// A current that decays by itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SynapticCurrent {
    /// Share that is kept from one timestep to the next.
    pub decay: Vec<f32>,
    /// Factor of what the projections bring.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gain: Vec<f32>,
}

/// When a real neuron fires, and its reset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Firing {
    /// Threshold.
    pub threshold: Vec<f32>,
    /// How potential and threshold are compared.
    #[serde(default)]
    pub comparison: Comparison,
    /// What firing does to the potential.
    pub reset: FloatReset,
}

/// What firing does to a real potential.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FloatReset {
    /// Nothing.
    None,
    /// This is subtracted at once.
    Soft(Vec<f32>),
    /// This is subtracted in the next timestep, after the decay and the input (snnTorch).
    SoftDelayed(Vec<f32>),
    /// The potential becomes this.
    Hard(Vec<f32>),
}

/// State of one real neuron.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct FloatState {
    /// Membrane potential, reset included.
    pub potential: f32,
    /// Synaptic current.
    pub current: f32,
    /// Whether it fired in the last timestep.
    pub fired: bool,
}

fn at(values: &[f32], i: usize, absent: f32) -> f32 {
    match values {
        [] => absent,
        [value] => *value,
        values => values.get(i).copied().unwrap_or(absent),
    }
}

impl FloatNeuron {
    /// The state before the first timestep of neuron `i`.
    pub fn rest(&self, i: usize) -> FloatState {
        FloatState { potential: at(&self.initial, i, 0.0), current: 0.0, fired: false }
    }

    /// One timestep of neuron `i` with `x` from its projections; what it sends.
    pub fn step(&self, i: usize, state: &mut FloatState, x: f32) -> f32 {
        let x = if self.input_bias.is_empty() { x } else { x + at(&self.input_bias, i, 0.0) };
        let current = match &self.current {
            Some(c) => at(&c.decay, i, 0.0) * state.current + at(&c.gain, i, 1.0) * x,
            None => x,
        };
        state.current = current;
        let mut v = at(&self.decay, i, 1.0) * state.potential + at(&self.gain, i, 1.0) * current;
        if !self.drive.is_empty() {
            v += at(&self.drive, i, 0.0);
        }
        let Some(firing) = &self.firing else {
            state.potential = v;
            return v;
        };
        if let (true, FloatReset::SoftDelayed(amount)) = (state.fired, &firing.reset) {
            v -= at(amount, i, 0.0);
        }
        let threshold = at(&firing.threshold, i, 0.0);
        state.fired = match firing.comparison {
            Comparison::AtLeast => v >= threshold,
            Comparison::Above => v > threshold,
        };
        state.potential = match &firing.reset {
            FloatReset::Soft(amount) if state.fired => v - at(amount, i, 0.0),
            FloatReset::Hard(value) if state.fired => at(value, i, 0.0),
            FloatReset::None
            | FloatReset::Soft(_)
            | FloatReset::SoftDelayed(_)
            | FloatReset::Hard(_) => v,
        };
        f32::from(u8::from(state.fired))
    }

    /// Every vector of parameters with its name.
    pub fn vectors(&self) -> Vec<(&'static str, &[f32])> {
        let mut all: Vec<(&'static str, &[f32])> = vec![
            ("decay", &self.decay),
            ("gain", &self.gain),
            ("input bias", &self.input_bias),
            ("drive", &self.drive),
            ("initial potential", &self.initial),
        ];
        if let Some(current) = &self.current {
            all.extend([
                ("current's decay", &current.decay[..]),
                ("current's gain", &current.gain),
            ]);
        }
        if let Some(firing) = &self.firing {
            all.push(("threshold", &firing.threshold));
            match &firing.reset {
                FloatReset::None => {}
                FloatReset::Soft(v) | FloatReset::SoftDelayed(v) | FloatReset::Hard(v) => {
                    all.push(("reset", v));
                }
            }
        }
        all
    }
}

impl NeuronModel for FloatNeuron {
    type State = FloatState;
    type Value = f32;
    const WORD: &'static str = "float";
    const NAME: &'static str = "neurons in float32";

    fn rest(&self, place: Place) -> FloatState {
        self.rest(place.neuron)
    }

    fn step(&self, place: Place, _: usize, state: &mut FloatState, input: f32) -> f32 {
        self.step(place.neuron, state, input)
    }

    fn potential(state: &FloatState) -> f32 {
        state.potential
    }

    fn energy_class(&self) -> EnergyClass {
        EnergyClass::Firing
    }

    fn check(&self, checks: &mut Checks<'_>) {
        for (what, values) in self.vectors() {
            let always = ["decay", "current's decay", "threshold", "reset"].contains(&what);
            checks.of_neurons(what, values.len(), !always);
            let finite = values.iter().all(|v| v.is_finite());
            checks.require(finite, format!("the {what} must be finite"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn neuron(reset: FloatReset) -> FloatNeuron {
        FloatNeuron {
            decay: vec![0.5],
            gain: Vec::new(),
            input_bias: Vec::new(),
            drive: Vec::new(),
            current: None,
            initial: Vec::new(),
            firing: Some(Firing { threshold: vec![1.0], comparison: Comparison::AtLeast, reset }),
        }
    }

    /// Potentials after each timestep, and what was sent.
    fn run(n: &FloatNeuron, input: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let mut state = n.rest(0);
        input
            .iter()
            .map(|&x| (n.step(0, &mut state, x), state.potential))
            .map(|(z, v)| (v, z))
            .unzip()
    }

    #[test]
    fn resets_differ_in_what_is_left_and_when() {
        let input = [1.5, 0.5, 0.5];
        let soft = run(&neuron(FloatReset::Soft(vec![1.0])), &input);
        assert_eq!(soft, (vec![0.5, 0.75, 0.875], vec![1.0, 0.0, 0.0]));
        let delayed = run(&neuron(FloatReset::SoftDelayed(vec![1.0])), &input);
        assert_eq!(delayed, (vec![1.5, 0.25, 0.625], vec![1.0, 0.0, 0.0]));
        let hard = run(&neuron(FloatReset::Hard(vec![-1.0])), &input);
        assert_eq!(hard, (vec![-1.0, 0.0, 0.5], vec![1.0, 0.0, 0.0]));
        let none = run(&neuron(FloatReset::None), &input);
        assert_eq!(none, (vec![1.5, 1.25, 1.125], vec![1.0, 1.0, 1.0]));
    }

    #[test]
    fn a_current_decays_by_itself_and_strict_is_not_at_least() {
        let mut n = neuron(FloatReset::None);
        n.current = Some(SynapticCurrent { decay: vec![0.5], gain: vec![2.0] });
        assert_eq!(run(&n, &[0.5, 0.0]), (vec![1.0, 1.0], vec![1.0, 1.0]));
        if let Some(firing) = &mut n.firing {
            firing.comparison = Comparison::Above;
        }
        assert_eq!(run(&n, &[0.5, 0.0]).1, [0.0, 0.0]);
        n.firing = None;
        assert_eq!(run(&n, &[0.5, 0.0]).1, [1.0, 1.0], "a read-out sends its potential");
    }
}
