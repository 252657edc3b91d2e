//! Runs spiking networks on reals: f32 throughout, one timestep after the other.
//!
//! In a timestep every node takes what its sources send in the same timestep; over a recurrent edge
//! what they sent in the last one. How the equations of the neurons become steps is chosen by
//! [`Method`].

mod linear;
mod neurons;
#[cfg(test)]
mod tests;

use snnc_ir::{RealError, RealNetwork, RealOp};

pub use neurons::Method;
use neurons::State;

/// How continuous time becomes timesteps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Integration {
    /// Seconds of one timestep, positive.
    pub dt: f32,
    /// How the equations are solved.
    pub method: Method,
}

impl Default for Integration {
    /// 0.1 ms by Euler's method, as snnTorch and Norse have it.
    fn default() -> Self {
        Integration { dt: 1e-4, method: Method::Euler }
    }
}

/// Longest delay, in timesteps.
const LONGEST: f32 = 100_000.0;

/// A network on reals and its state.
pub struct RealRun<'a> {
    network: &'a RealNetwork,
    order: Vec<usize>,
    sources: Vec<Vec<(usize, bool)>>,
    inputs: Vec<usize>,
    values: Vec<Vec<f32>>,
    states: Vec<Option<State>>,
}

impl<'a> RealRun<'a> {
    /// A run with fresh state of a network whose shapes are inferred.
    ///
    /// # Errors
    /// Every node that cannot be run.
    pub fn new(
        network: &'a RealNetwork,
        integration: Integration,
    ) -> Result<RealRun<'a>, Vec<RealError>> {
        let order = network.order().map_err(|e| vec![e])?;
        let (mut states, mut errors) = (Vec::with_capacity(order.len()), Vec::new());
        for node in &network.nodes {
            let elements: usize = node.shape.iter().product();
            match State::new(&node.op, elements, integration) {
                Ok(state) => states.push(state),
                Err(reason) => errors.push(RealError { node: node.name.clone(), reason }),
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let values = network.nodes.iter().map(|n| vec![0.0; n.shape.iter().product()]).collect();
        let sources = (0..network.nodes.len()).map(|i| network.sources(i).collect()).collect();
        let inputs = network.indices(|op| *op == RealOp::Input);
        Ok(RealRun { network, order, sources, inputs, values, states })
    }

    /// The inputs, in the order in which [`RealRun::step`] takes them.
    pub fn inputs(&self) -> &[usize] {
        &self.inputs
    }

    /// One timestep. What the inputs lack is 0.
    pub fn step(&mut self, inputs: &[Vec<f32>]) {
        let before = self.recurrent_values();
        for place in 0..self.order.len() {
            let node = self.order[place];
            let op = &self.network.nodes[node].op;
            if *op == RealOp::Input {
                let given = self.inputs.iter().position(|&i| i == node).and_then(|i| inputs.get(i));
                for (i, value) in self.values[node].iter_mut().enumerate() {
                    *value = given.and_then(|g| g.get(i)).copied().unwrap_or(0.0);
                }
                continue;
            }
            let arriving = self.arriving(node, &before);
            let shape = self.sources[node]
                .iter()
                .find(|(_, late)| !late)
                .map_or(&[][..], |(s, _)| self.network.nodes[*s].shape.as_slice());
            let sent = match op {
                RealOp::Input | RealOp::Output | RealOp::Flatten => arriving,
                RealOp::Dense { weights, bias } => {
                    linear::dense(weights, bias.as_deref(), &arriving)
                }
                RealOp::Scale { factor } => {
                    let scaled = arriving.iter().enumerate();
                    scaled.map(|(i, x)| neurons::at(factor, i) * x).collect()
                }
                RealOp::Threshold { threshold } => {
                    let each = arriving.iter().enumerate();
                    each.map(|(i, &x)| f32::from(x > neurons::at(threshold, i))).collect()
                }
                RealOp::Convolution { window, groups, weights, bias } => {
                    let outputs = &self.network.nodes[node].shape[1..];
                    linear::convolution(
                        window,
                        *groups,
                        (weights, bias),
                        (&arriving, shape),
                        outputs,
                    )
                }
                RealOp::Pool { window, mean } => {
                    let outputs = &self.network.nodes[node].shape[1..];
                    linear::pool(window, *mean, (&arriving, shape), outputs)
                }
                RealOp::Delay { .. } | RealOp::Neurons(_) => match &mut self.states[node] {
                    Some(state) => state.step(op, arriving),
                    None => arriving,
                },
            };
            self.values[node] = sent;
        }
    }

    /// What was sent over recurrent edges in the last timestep.
    fn recurrent_values(&self) -> Vec<Option<Vec<f32>>> {
        let mut before = vec![None; self.values.len()];
        for &(source, _) in self.sources.iter().flatten().filter(|(_, late)| *late) {
            before[source] = Some(self.values[source].clone());
        }
        before
    }

    /// The sum of what arrives at a node.
    fn arriving(&self, node: usize, before: &[Option<Vec<f32>>]) -> Vec<f32> {
        let mut total: Option<Vec<f32>> = None;
        for &(source, late) in &self.sources[node] {
            let value = match (&before[source], late) {
                (Some(value), true) => value,
                _ => &self.values[source],
            };
            match &mut total {
                None => total = Some(value.clone()),
                Some(total) => total.iter_mut().zip(value).for_each(|(t, v)| *t += v),
            }
        }
        total.unwrap_or_default()
    }

    /// What a node sent in the last timestep.
    pub fn sent(&self, node: usize) -> &[f32] {
        &self.values[node]
    }

    /// Membrane potentials of a node after the last timestep, spikes' resets included; none for
    /// what is no neuron.
    pub fn potentials(&self, node: usize) -> Option<&[f32]> {
        self.states[node].as_ref().and_then(State::potentials)
    }
}
