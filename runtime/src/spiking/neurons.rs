//! What the neurons of one population do in a timestep.

use snnc_ir::{
    CurrentBasedNeuron, IntegrateAndFire, Neuron, Population, SigmaDeltaNeuron, SigmaDeltaRole,
};

/// The state of a population's neurons at the end of a timestep, one entry for each neuron.
#[derive(Clone, Copy, Debug)]
pub struct StateView<'a> {
    /// Membrane potential; sigma of a sigma-delta neuron.
    pub potential: &'a [i64],
    /// Current u of current-based neurons, last activation of sigma-delta neurons, running spike
    /// count of neurons with negative spikes; else 0.
    pub second: &'a [i64],
    /// What a sigma-delta neuron has not sent yet; else 0.
    pub residue: &'a [i64],
}

/// The state of a population's neurons. Which fields are used depends on the neuron model.
#[derive(Clone, Debug)]
pub(super) struct State {
    /// Membrane potential (sigma of a sigma-delta neuron).
    potential: Vec<i64>,
    /// Current of current-based neurons; previous activation of sigma-delta neurons; running
    /// spike count of neurons with negative spikes.
    second: Vec<i64>,
    /// What a sigma-delta neuron has not sent yet.
    residue: Vec<i64>,
    /// Neurons to a channel.
    plane: usize,
}

impl State {
    pub(super) fn new(population: &Population, neurons: usize, channels: usize) -> Self {
        let plane = (neurons / channels.max(1)).max(1);
        let mut potential = vec![0; neurons];
        if let Neuron::IntegrateAndFire(n) = &population.neuron {
            for (i, v) in potential.iter_mut().enumerate() {
                *v = n.initial[if n.initial.len() == 1 { 0 } else { i / plane }];
            }
        }
        State { potential, second: vec![0; neurons], residue: vec![0; neurons], plane }
    }

    /// The membrane potentials.
    pub(super) fn potentials(&self) -> &[i64] {
        &self.potential
    }

    /// What is shown to whoever asks for states.
    pub(super) fn view(&self) -> StateView<'_> {
        StateView { potential: &self.potential, second: &self.second, residue: &self.residue }
    }

    /// Adds input (bias included) without firing, as behind a barrier.
    pub(super) fn integrate(&mut self, input: &[i64]) {
        for (v, &x) in self.potential.iter_mut().zip(input) {
            *v += x;
        }
    }

    /// One timestep: takes `input` (bias included) and returns the payloads sent.
    pub(super) fn step(
        &mut self,
        population: &Population,
        timestep: usize,
        input: &[i64],
    ) -> Vec<i64> {
        (0..input.len())
            .map(|i| {
                let channel = i / self.plane;
                match &population.neuron {
                    Neuron::IntegrateAndFire(n) => {
                        self.integrate_and_fire(n, i, timestep, input[i])
                    }
                    Neuron::SigmaDelta(n) => self.sigma_delta(n, i, input[i]),
                    Neuron::CurrentBased(n) => self.current_based(n, i, timestep, input[i]),
                    Neuron::Accumulate => {
                        self.potential[i] += input[i];
                        self.potential[i]
                    }
                    frame => {
                        // One spike a frame: silent input in later timesteps brings nothing new.
                        self.potential[i] = input[i];
                        frame.single_shot(channel, input[i]).unwrap_or(0)
                    }
                }
            })
            .collect()
    }

    /// Integrate and fire (soft reset: RMP-SNN, Han et al. 2020; negative spikes: QFFS, Li et al.
    /// 2022; time-varying thresholds: FS neurons, Stöckl and Maass 2021, and ATIF, Castagnetti et
    /// al. 2023).
    fn integrate_and_fire(
        &mut self,
        n: &IntegrateAndFire,
        i: usize,
        timestep: usize,
        input: i64,
    ) -> i64 {
        let channel = i / self.plane;
        let (level, left) = n.step(channel, timestep, self.potential[i] + input, self.second[i]);
        self.second[i] += level;
        self.potential[i] = left;
        level * n.decode.as_ref().map_or(1, |d| d.at(channel, timestep))
    }

    /// Sigma-delta in 32-bit integers (lava-nc 0.10.0).
    fn sigma_delta(&mut self, n: &SigmaDeltaNeuron, i: usize, input: i64) -> i64 {
        let shift = n.spike_exponent + n.state_exponent;
        let wrap = |x: i64| i64::from(x as i32);
        let bias = match n.bias.as_slice() {
            [] => 0,
            [bias] => *bias,
            biases => biases[i / self.plane],
        };
        let activation = match n.role {
            SigmaDeltaRole::Delta => wrap(input << shift),
            SigmaDeltaRole::Sigma => {
                self.potential[i] = wrap(self.potential[i] + input);
                return self.potential[i];
            }
            SigmaDeltaRole::SigmaDelta => {
                self.potential[i] = wrap(self.potential[i] + input);
                wrap(self.potential[i] + (bias << shift)).max(0)
            }
        };
        let change = wrap(activation - self.second[i] + self.residue[i]);
        let sent = if change.abs() >= n.threshold << shift { change } else { 0 };
        self.residue[i] = change - sent;
        self.second[i] = activation;
        sent >> n.state_exponent
    }

    /// Current-based LIF on 24-bit state (lava-nc 0.10.0, `PyLifModelBitAcc`).
    fn current_based(
        &mut self,
        n: &CurrentBasedNeuron,
        i: usize,
        timestep: usize,
        input: i64,
    ) -> i64 {
        const LIMIT: i64 = 1 << 23;
        if n.reset.is_some_and(|r| r.is_at(timestep)) {
            (self.second[i], self.potential[i]) = (0, 0);
        }
        let decay = |x: i64, d: i64| x.signum() * ((x.abs() * (4096 - d)) >> 12);
        let mut u = decay(self.second[i], n.current_decay) + (input << 6);
        if u > LIMIT {
            u -= 2 * LIMIT;
        } else if u <= -LIMIT {
            u += 2 * LIMIT;
        }
        let bias = match n.bias.as_slice() {
            [] => 0,
            [bias] => *bias,
            biases if biases.len() == self.potential.len() => biases[i],
            biases => biases[i / self.plane],
        };
        let v = decay(self.potential[i], n.voltage_decay) + u + (bias << n.bias_exponent);
        let v = v.clamp(-(LIMIT - 1), LIMIT - 1);
        let fires = n.fires && v > n.threshold << 6;
        self.second[i] = u;
        self.potential[i] = if fires { 0 } else { v };
        i64::from(fires)
    }
}
