//! What has a state: neurons and delays.

use std::collections::VecDeque;

use snnc_ir::{PerChannel, RealNeurons, RealOp};

use super::{Integration, LONGEST};

/// How the equations of neurons become steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// `x += dt * dx/dt`, what arrives in a timestep flowing throughout it.
    Euler,
    /// The solution of each equation under what drives it, taken as constant within a timestep.
    Exact,
}

/// The parameter of element `i`, where one may serve all.
pub(super) fn at(values: &[f32], i: usize) -> f32 {
    PerChannel::of(values).get(i).copied().unwrap_or(0.0)
}

/// Share by which a state with time constant `tau` nears its target in one timestep.
fn share(tau: f32, integration: Integration) -> f32 {
    match integration.method {
        Method::Euler => integration.dt / tau,
        Method::Exact => -(-integration.dt / tau).exp_m1(),
    }
}

/// The state of one node.
pub(super) enum State {
    Neurons(Membranes),
    Delay(DelayLine),
}

pub(super) struct Membranes {
    /// Share of the synaptic current, and of the membrane.
    current_share: Vec<f32>,
    share: Vec<f32>,
    dt: f32,
    current: Vec<f32>,
    potential: Vec<f32>,
}

pub(super) struct DelayLine {
    steps: Vec<usize>,
    /// What came in, newest first.
    past: VecDeque<Vec<f32>>,
}

impl State {
    /// The fresh state of a node; none for what has no state.
    pub(super) fn new(
        op: &RealOp,
        elements: usize,
        integration: Integration,
    ) -> Result<Option<State>, String> {
        let dt = integration.dt;
        if !(dt > 0.0 && dt.is_finite()) {
            return Err(format!("a timestep of {dt} s"));
        }
        match op {
            RealOp::Neurons(n) => {
                Membranes::new(n, elements, integration).map(|m| Some(State::Neurons(m)))
            }
            RealOp::Delay { seconds } => {
                let steps = |i| {
                    let steps = (at(seconds, i) / dt).round();
                    if (0.0..=LONGEST).contains(&steps) {
                        Ok(steps as usize)
                    } else {
                        Err(format!("a delay of {steps} timesteps, {LONGEST} is the longest"))
                    }
                };
                let steps = (0..elements).map(steps).collect::<Result<_, _>>()?;
                Ok(Some(State::Delay(DelayLine { steps, past: VecDeque::new() })))
            }
            _ => Ok(None),
        }
    }

    /// One timestep of the node `op`.
    pub(super) fn step(&mut self, op: &RealOp, arriving: Vec<f32>) -> Vec<f32> {
        match (self, op) {
            (State::Neurons(m), RealOp::Neurons(n)) => m.step(n, &arriving),
            (State::Delay(line), _) => line.step(arriving),
            (State::Neurons(_), _) => arriving,
        }
    }

    pub(super) fn potentials(&self) -> Option<&[f32]> {
        match self {
            State::Neurons(m) => Some(&m.potential),
            State::Delay(_) => None,
        }
    }
}

impl DelayLine {
    fn step(&mut self, arriving: Vec<f32>) -> Vec<f32> {
        self.past.push_front(arriving);
        self.past.truncate(self.steps.iter().max().map_or(1, |s| s + 1));
        let back = |(i, &steps): (usize, &usize)| {
            self.past.get(steps).and_then(|v| v.get(i)).copied().unwrap_or(0.0)
        };
        self.steps.iter().enumerate().map(back).collect()
    }
}

impl Membranes {
    fn new(n: &RealNeurons, elements: usize, integration: Integration) -> Result<Self, String> {
        let shares = |what: &str, tau: Option<&[f32]>| -> Result<Vec<f32>, String> {
            let Some(tau) = tau else { return Ok(Vec::new()) };
            let share = |i| {
                let tau = at(tau, i);
                if tau > 0.0 {
                    Ok(share(tau, integration))
                } else {
                    Err(format!("a time constant of {what} of {tau} s"))
                }
            };
            (0..elements).map(share).collect()
        };
        Ok(Membranes {
            current_share: shares("synapses", n.synapses.as_ref().map(|s| s.tau.as_slice()))?,
            share: shares("the membrane", n.leak.as_ref().map(|l| l.tau.as_slice()))?,
            dt: integration.dt,
            current: vec![0.0; elements],
            potential: vec![0.0; elements],
        })
    }

    fn step(&mut self, n: &RealNeurons, arriving: &[f32]) -> Vec<f32> {
        let mut all = Vec::with_capacity(self.potential.len());
        for i in 0..self.potential.len() {
            let x = arriving.get(i).copied().unwrap_or(0.0);
            let current = match &n.synapses {
                None => x,
                Some(s) => {
                    let i0 = self.current[i];
                    let i1 = i0 + self.current_share[i] * (at(&s.weight, i) * x - i0);
                    self.current[i] = i1;
                    i1
                }
            };
            let drive = at(&n.resistance, i) * current;
            let v = self.potential[i];
            let v = match &n.leak {
                None => v + self.dt * drive,
                Some(l) => v + self.share[i] * ((at(&l.potential, i) - v) + drive),
            };
            let (sent, left) = match &n.firing {
                None => (v, v),
                Some(f) if v > at(&f.threshold, i) => (1.0, at(&f.reset, i)),
                Some(_) => (0.0, v),
            };
            self.potential[i] = left;
            all.push(sent);
        }
        all
    }
}
