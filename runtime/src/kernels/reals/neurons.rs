//! Real neurons, one to a lane, by the equations of [`snnc_ir::FloatNeuron`].

use snnc_ir::{Comparison, FloatNeuron, FloatReset};

use crate::kernels::{Isa, multiversion};

/// Neurons whose state stays in the first-level cache for all timesteps.
const TILE: usize = 512;

/// One entry for each neuron, or [`TILE`] equal ones for all.
#[derive(Clone, Debug)]
struct Parameter {
    values: Vec<f32>,
    shared: bool,
}

impl Parameter {
    fn new(values: &[f32], neurons: usize, absent: f32) -> Parameter {
        let (values, shared) = match values {
            [] => (vec![absent; TILE], true),
            [value] => (vec![*value; TILE], true),
            // A list that ends too early has `absent` for the rest.
            many => {
                let each = (0..neurons).map(|i| many.get(i).copied().unwrap_or(absent));
                (each.collect(), false)
            }
        };
        Parameter { values, shared }
    }

    #[inline(always)]
    fn tile(&self, first: usize, len: usize) -> &[f32] {
        let from = if self.shared { 0 } else { first };
        &self.values[from..from + len]
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reset {
    /// The neuron does not fire and sends its potential.
    Silent,
    None,
    Soft,
    Delayed,
    Hard,
}

/// A population made ready to run.
#[derive(Clone, Debug)]
pub struct Neurons {
    len: usize,
    decay: Parameter,
    gain: Parameter,
    input_bias: Parameter,
    drive: Parameter,
    /// Decay and gain of the synaptic current.
    current: Option<[Parameter; 2]>,
    threshold: Parameter,
    amount: Parameter,
    reset: Reset,
    initial: Parameter,
}

/// Potentials, currents and last spikes of a population; the latter two where it has them.
#[derive(Clone, Debug, Default)]
pub struct States {
    potential: Vec<f32>,
    current: Vec<f32>,
    fired: Vec<f32>,
}

/// What one projection brings: the row of timestep `t` begins at `t * stride`.
#[derive(Clone, Copy, Debug)]
pub struct Arriving<'a> {
    /// Rows of one entry for each neuron.
    pub values: &'a [f32],
    /// Distance of the rows, 0 where all timesteps are alike.
    pub stride: usize,
}

impl Neurons {
    /// `len` neurons; `None` if a parameter is not finite.
    pub fn new(n: &FloatNeuron, len: usize) -> Option<Neurons> {
        if n.vectors().iter().any(|(_, values)| values.iter().any(|v| !v.is_finite())) {
            return None;
        }
        let parameter = |values: &[f32], absent| Parameter::new(values, len, absent);
        let current = n.current.as_ref();
        let (mut threshold, mut reset, mut amount) = (Vec::new(), Reset::Silent, &[][..]);
        if let Some(firing) = &n.firing {
            threshold = firing.threshold.clone();
            if threshold.is_empty() {
                threshold.push(0.0);
            }
            if firing.comparison == Comparison::Above {
                // Above a number means at least the next one, of 0 of either sign too.
                threshold.resize(if threshold.len() > 1 { len } else { 1 }, 0.0);
                threshold.iter_mut().for_each(|t| *t = t.next_up());
            }
            (reset, amount) = match &firing.reset {
                FloatReset::None => (Reset::None, &[][..]),
                FloatReset::Soft(v) => (Reset::Soft, v.as_slice()),
                FloatReset::SoftDelayed(v) => (Reset::Delayed, v.as_slice()),
                FloatReset::Hard(v) => (Reset::Hard, v.as_slice()),
            };
        }
        Some(Neurons {
            len,
            decay: parameter(&n.decay, 1.0),
            gain: parameter(&n.gain, 1.0),
            input_bias: parameter(&n.input_bias, 0.0),
            drive: parameter(&n.drive, 0.0),
            current: current.map(|c| [parameter(&c.decay, 0.0), parameter(&c.gain, 1.0)]),
            threshold: parameter(&threshold, 0.0),
            amount: parameter(amount, 0.0),
            reset,
            initial: parameter(&n.initial, 0.0),
        })
    }

    /// Whether all that is sent is 0 or 1.
    pub fn is_binary(&self) -> bool {
        self.reset != Reset::Silent
    }

    /// Puts every neuron at rest.
    pub fn rest(&self, states: &mut States) {
        let States { potential, current, fired } = states;
        potential.clear();
        for first in (0..self.len).step_by(TILE) {
            potential.extend_from_slice(self.initial.tile(first, TILE.min(self.len - first)));
        }
        let currents = if self.current.is_some() { self.len } else { 0 };
        let spikes = if self.reset == Reset::Delayed { self.len } else { 0 };
        for (values, len) in [(current, currents), (fired, spikes)] {
            values.clear();
            values.resize(len, 0.0);
        }
    }

    /// Runs `sent.len() / neurons` timesteps and writes what is sent, one row for each.
    ///
    /// # Panics
    /// When the states are not of these neurons, or a row is missing.
    pub fn fire(&self, isa: Isa, states: &mut States, arriving: &[Arriving<'_>], sent: &mut [f32]) {
        fire(isa, self, states, arriving, sent);
    }
}

multiversion! {
    /// As [`Neurons::fire`].
    pub fn fire(n: &Neurons, states: &mut States, arriving: &[Arriving<'_>], sent: &mut [f32]) {
        let mut total = [0.0; TILE];
        for first in (0..n.len).step_by(TILE) {
            let len = TILE.min(n.len - first);
            let mut tile = Tile::new(n, states, first, len);
            for (t, sent) in sent.chunks_exact_mut(n.len).enumerate() {
                let row = |a: &Arriving<'_>| a.stride * t + first;
                let x = match arriving {
                    [one] => &one.values[row(one)..][..len],
                    many => {
                        let total = &mut total[..len];
                        total.fill(0.0);
                        for a in many {
                            let more = &a.values[row(a)..][..len];
                            total.iter_mut().zip(more).for_each(|(t, x)| *t += x);
                        }
                        &*total
                    }
                };
                let sent = &mut sent[first..first + len];
                match (n.reset, n.current.is_some()) {
                    (Reset::Silent, false) => tile.step::<SILENT, false>(x, sent),
                    (Reset::Silent, true) => tile.step::<SILENT, true>(x, sent),
                    (Reset::None, false) => tile.step::<NONE, false>(x, sent),
                    (Reset::None, true) => tile.step::<NONE, true>(x, sent),
                    (Reset::Soft, false) => tile.step::<SOFT, false>(x, sent),
                    (Reset::Soft, true) => tile.step::<SOFT, true>(x, sent),
                    (Reset::Delayed, false) => tile.step::<DELAYED, false>(x, sent),
                    (Reset::Delayed, true) => tile.step::<DELAYED, true>(x, sent),
                    (Reset::Hard, false) => tile.step::<HARD, false>(x, sent),
                    (Reset::Hard, true) => tile.step::<HARD, true>(x, sent),
                }
            }
        }
    }
}

const SILENT: u8 = Reset::Silent as u8;
const NONE: u8 = Reset::None as u8;
const SOFT: u8 = Reset::Soft as u8;
const DELAYED: u8 = Reset::Delayed as u8;
const HARD: u8 = Reset::Hard as u8;

/// Parameters and state of neighbouring neurons, all of one length but what is absent.
struct Tile<'a> {
    decay: &'a [f32],
    gain: &'a [f32],
    input_bias: &'a [f32],
    drive: &'a [f32],
    current_decay: &'a [f32],
    current_gain: &'a [f32],
    threshold: &'a [f32],
    amount: &'a [f32],
    potential: &'a mut [f32],
    current: &'a mut [f32],
    fired: &'a mut [f32],
}

impl<'a> Tile<'a> {
    #[inline(always)]
    fn new(n: &'a Neurons, states: &'a mut States, first: usize, len: usize) -> Tile<'a> {
        let of = |p: &'a Parameter| p.tile(first, len);
        let [current_decay, current_gain] =
            n.current.as_ref().map_or([&[][..]; 2], |[decay, gain]| [of(decay), of(gain)]);
        let part = |values: &'a mut Vec<f32>| values.get_mut(first..first + len);
        Tile {
            decay: of(&n.decay),
            gain: of(&n.gain),
            input_bias: of(&n.input_bias),
            drive: of(&n.drive),
            current_decay,
            current_gain,
            threshold: of(&n.threshold),
            amount: of(&n.amount),
            potential: &mut states.potential[first..first + len],
            current: part(&mut states.current).unwrap_or_default(),
            fired: part(&mut states.fired).unwrap_or_default(),
        }
    }

    /// One timestep.
    #[inline(always)]
    fn step<const RESET: u8, const CURRENT: bool>(&mut self, x: &[f32], sent: &mut [f32]) {
        let len = x.len();
        let (decay, gain) = (&self.decay[..len], &self.gain[..len]);
        let (input_bias, drive) = (&self.input_bias[..len], &self.drive[..len]);
        let (threshold, amount) = (&self.threshold[..len], &self.amount[..len]);
        let (potential, sent) = (&mut self.potential[..len], &mut sent[..len]);
        let currents = if CURRENT { len } else { 0 };
        let (current_decay, current_gain) =
            (&self.current_decay[..currents], &self.current_gain[..currents]);
        let current = &mut self.current[..currents];
        let fired = &mut self.fired[..if RESET == DELAYED { len } else { 0 }];
        for i in 0..len {
            let mut x = x[i] + input_bias[i];
            if CURRENT {
                x = current_decay[i] * current[i] + current_gain[i] * x;
                current[i] = x;
            }
            let mut v = decay[i] * potential[i] + gain[i] * x + drive[i];
            if RESET == DELAYED {
                v -= if fired[i] != 0.0 { amount[i] } else { 0.0 };
            }
            let fires = v >= threshold[i];
            let spike = if fires { 1.0 } else { 0.0 };
            potential[i] = match RESET {
                SOFT => v - if fires { amount[i] } else { 0.0 },
                HARD if fires => amount[i],
                _ => v,
            };
            if RESET == DELAYED {
                fired[i] = spike;
            }
            sent[i] = if RESET == SILENT { v } else { spike };
        }
    }
}
