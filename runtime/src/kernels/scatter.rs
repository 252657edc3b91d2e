//! Sums over payloads of any size: each that is not 0 brings its weights, times itself, to its targets.

use super::{Isa, multiversion};

/// Which taps the places of a map meet, and at which places of the result.
#[derive(Clone, Debug, Default)]
pub struct Taps {
    /// Where the pairs of each place begin, and those of the last one end.
    starts: Vec<u32>,
    /// Tap, place of the result.
    pairs: Vec<[u32; 2]>,
}

impl Taps {
    /// Adds a place.
    pub fn push(&mut self, pairs: impl IntoIterator<Item = [u32; 2]>) {
        if self.starts.is_empty() {
            self.starts.push(0);
        }
        self.pairs.extend(pairs);
        self.starts.push(self.pairs.len() as u32);
    }

    /// The pairs of a place.
    #[inline(always)]
    pub fn of(&self, place: usize) -> &[[u32; 2]] {
        &self.pairs[self.starts[place] as usize..self.starts[place + 1] as usize]
    }
}

/// One payload that is not 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Where it comes from.
    pub place: u32,
    /// Where the weights of its channel begin.
    pub weights: u32,
    /// The first channel that it reaches.
    pub first: u32,
    /// The payload.
    pub value: i32,
}

/// How targets lie: `[place][channel]`, of which an event reaches some.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Targets {
    /// Channels.
    pub channels: usize,
    /// Channels that an event reaches.
    pub reached: usize,
}

/// Weights, `[channel][tap][target channel]`.
#[derive(Clone, Debug)]
pub enum Weights {
    /// Of 8 bits.
    Bytes(Vec<i8>),
    /// Of 32 bits.
    Words(Vec<i32>),
}

/// Adds to `sums` what `events` bring, in 32 bits that wrap.
///
/// # Panics
/// When an event has no place, weights or targets.
pub fn scatter(
    isa: Isa,
    taps: &Taps,
    weights: &Weights,
    targets: Targets,
    events: &[Event],
    sums: &mut [i32],
) {
    match weights {
        Weights::Bytes(weights) => scatter_bytes(isa, taps, weights, targets, events, sums),
        Weights::Words(weights) => scatter_words(isa, taps, weights, targets, events, sums),
    }
}

#[inline(always)]
fn each<W: Copy + Into<i32>>(
    taps: &Taps,
    weights: &[W],
    targets: Targets,
    events: &[Event],
    sums: &mut [i32],
) {
    let reached = targets.reached;
    for event in events {
        let weights = &weights[event.weights as usize..];
        for &[tap, place] in taps.of(event.place as usize) {
            let own = &weights[tap as usize * reached..][..reached];
            let first = place as usize * targets.channels + event.first as usize;
            for (sum, &weight) in sums[first..][..reached].iter_mut().zip(own) {
                *sum = sum.wrapping_add(event.value.wrapping_mul(weight.into()));
            }
        }
    }
}

multiversion! {
    /// As [`scatter`], for weights of 8 bits.
    pub fn scatter_bytes(
        taps: &Taps,
        weights: &[i8],
        targets: Targets,
        events: &[Event],
        sums: &mut [i32],
    ) {
        each(taps, weights, targets, events, sums);
    }
}

multiversion! {
    /// As [`scatter`], for weights of 32 bits.
    pub fn scatter_words(
        taps: &Taps,
        weights: &[i32],
        targets: Targets,
        events: &[Event],
        sums: &mut [i32],
    ) {
        each(taps, weights, targets, events, sums);
    }
}

/// Parameters of sigma-delta neurons that rectify, in 32 bits.
#[derive(Clone, Debug, Default)]
pub struct SigmaDelta {
    /// Bias of each channel.
    pub bias: Vec<i32>,
    /// Least magnitude of a change that is sent.
    pub threshold: u32,
    /// Whether any change is as large as that.
    pub reachable: bool,
    /// Bits that are shifted out of what is sent.
    pub shift: u32,
}

/// Their states, `[place][channel]`.
#[derive(Clone, Debug, Default)]
pub struct SigmaDeltaStates {
    /// Sums of all that has arrived.
    pub sigma: Vec<i32>,
    /// The last activations.
    pub activation: Vec<i32>,
    /// Changes that have not been sent.
    pub residue: Vec<i32>,
}

impl SigmaDeltaStates {
    /// Neurons at rest.
    pub fn rest(&mut self, neurons: usize) {
        for state in [&mut self.sigma, &mut self.activation, &mut self.residue] {
            state.clear();
            state.resize(neurons, 0);
        }
    }
}

multiversion! {
    /// One timestep: `input` becomes what is sent. All sums wrap at 32 bits.
    pub fn sigma_delta(n: &SigmaDelta, states: &mut SigmaDeltaStates, input: &mut [i32]) {
        let channels = n.bias.len().max(1);
        let SigmaDeltaStates { sigma, activation, residue } = states;
        let places = sigma.chunks_exact_mut(channels).zip(activation.chunks_exact_mut(channels));
        let places = places.zip(residue.chunks_exact_mut(channels));
        for (((sigma, activation), residue), input) in places.zip(input.chunks_exact_mut(channels)) {
            for c in 0..channels {
                sigma[c] = sigma[c].wrapping_add(input[c]);
                let active = sigma[c].wrapping_add(n.bias[c]).max(0);
                let change = active.wrapping_sub(activation[c]).wrapping_add(residue[c]);
                let sent = change.unsigned_abs() >= n.threshold && n.reachable;
                let sent = if sent { change } else { 0 };
                residue[c] = change.wrapping_sub(sent);
                activation[c] = active;
                input[c] = sent >> n.shift;
            }
        }
    }
}
