//! What is seen on data: the codes of the reference beside the payloads of the emitted network.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use snnc_ir::{Graph, NodeId, SpikingOp};

use crate::passes::graded::Conversion;

/// Codes of one population over all samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Activations compared.
    pub activations: u64,
    /// Activations whose code is another.
    pub differing: u64,
    /// Mean distance of the codes.
    pub mean_error: f64,
    /// Largest distance of the codes.
    pub maximum_error: i64,
    /// Sum of the squares of the reference's payloads.
    #[serde(default)]
    pub signal: f64,
    /// Sum of the squares of the distances, in units of the reference's payload.
    #[serde(default)]
    pub noise: f64,
}

impl Measured {
    /// Signal to quantisation noise in dB, `10 log10(E[x^2] / E[(x - x_q)^2])` (Castagnetti et al. 2023,
    /// equation 8); `None` where there is no noise, or no signal.
    pub fn sqnr_db(&self) -> Option<f64> {
        (self.noise > 0.0 && self.signal > 0.0).then(|| 10.0 * (self.signal / self.noise).log10())
    }

    /// What both have seen.
    pub fn merged(self, other: Measured) -> Measured {
        let activations = self.activations + other.activations;
        let total =
            self.mean_error * self.activations as f64 + other.mean_error * other.activations as f64;
        Measured {
            activations,
            differing: self.differing + other.differing,
            mean_error: if activations == 0 { 0.0 } else { total / activations as f64 },
            maximum_error: self.maximum_error.max(other.maximum_error),
            signal: self.signal + other.signal,
            noise: self.noise + other.noise,
        }
    }
}

/// One population on both sides.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// Name of the population.
    pub population: String,
    /// Node of the quantised graph whose value is the codes.
    pub reference: NodeId,
    /// Node of the emitted graph whose payloads are summed over time.
    pub emitted: NodeId,
    zero: i64,
    minimum: i64,
    maximum: i64,
    scale: f64,
    /// Real value of one unit of emitted payload, for each channel or one for all.
    emitted_scale: Vec<f32>,
    neurons: usize,
}

impl Comparison {
    /// The populations that send codes on both sides, in order of computation.
    pub fn all(quantised: &Graph, canonical: &Conversion, emitted: &Graph) -> Vec<Comparison> {
        let mut list = Vec::new();
        for &(node, reference) in &canonical.correspondence {
            let name = &canonical.network[node].name;
            let Some(SpikingOp::Population(own)) = canonical.network[node].as_spiking() else {
                continue;
            };
            let (Some(id), Some(q)) = (emitted.find(name), &quantised[reference].ty.quantisation)
            else {
                continue;
            };
            let Some(SpikingOp::Population(theirs)) = emitted[id].as_spiking() else { continue };
            // A larger map, of which readers leave a border out, has no neuron for each code.
            let (a, b) = (&canonical.network[node].ty.shape, &emitted[id].ty.shape);
            if !own.neuron.fires() || a.get(1..) != b.get(1..) {
                continue;
            }
            list.push(Comparison {
                population: name.clone(),
                reference,
                emitted: id,
                zero: q.zero_at(0),
                minimum: q.minimum,
                maximum: q.maximum,
                scale: f64::from(q.scale_at(0)),
                emitted_scale: if theirs.scale.is_empty() {
                    own.scale.clone()
                } else {
                    theirs.scale.clone()
                },
                neurons: emitted[id].ty.len(),
            });
        }
        list
    }

    /// Whether what the emitted population sends counts in units of the reference's code.
    pub fn sends_codes(&self) -> bool {
        self.emitted_scale.iter().all(|&unit| f64::from(unit) == self.scale)
    }

    /// The codes that payloads stand for; `None` where one stands for none.
    pub fn codes(&self, payloads: &[i64]) -> Option<Vec<i64>> {
        let code = |&p: &i64| {
            p.checked_add(self.zero).filter(|c| (self.minimum..=self.maximum).contains(c))
        };
        payloads.iter().map(code).collect()
    }

    /// Compares one sample: codes of the reference, payloads of the emitted population summed over
    /// all timesteps.
    pub fn sample(&self, codes: &[i64], payloads: &[i64]) -> Measured {
        let scale = self.emitted_scale.as_slice();
        if let [unit] = scale
            && f64::from(*unit) == self.scale
            && self.maximum - self.minimum < 1 << 16
        {
            return self.in_units(codes, payloads);
        }
        let plane = self.neurons / self.emitted_scale.len().max(1);
        let mut measured = Measured { activations: codes.len() as u64, ..Measured::default() };
        let mut total = 0u64;
        for (i, (&code, &payload)) in codes.iter().zip(payloads).enumerate() {
            let unit =
                f64::from(self.emitted_scale[(i / plane.max(1)).min(self.emitted_scale.len() - 1)]);
            let level = if unit == self.scale {
                payload
            } else {
                (payload as f64 * unit / self.scale).round() as i64
            };
            let found = (level + self.zero).clamp(self.minimum, self.maximum);
            let distance = (found - code).abs();
            let (expected, sent) = ((code - self.zero) as f64, payload as f64 * unit / self.scale);
            measured.signal += expected * expected;
            measured.noise += (expected - sent) * (expected - sent);
            measured.differing += u64::from(distance != 0);
            measured.maximum_error = measured.maximum_error.max(distance);
            total += distance as u64;
        }
        measured.mean_error =
            if codes.is_empty() { 0.0 } else { total as f64 / codes.len() as f64 };
        measured
    }
}

impl Comparison {
    /// What is measured of payloads that are the reference's own.
    pub fn equal(&self, payloads: &[i64]) -> Measured {
        let activations = payloads.len() as u64;
        let signal = if self.maximum - self.minimum < 1 << 16 {
            payloads.iter().map(|p| p * p).sum::<i64>() as f64
        } else {
            payloads.iter().map(|&p| p as f64 * p as f64).sum()
        };
        Measured { activations, signal, ..Measured::default() }
    }

    /// As [`Comparison::equal`] of payloads of which the sum of their squares is known.
    pub fn equal_squares(&self, squares: u64) -> Measured {
        let (activations, signal) = (self.neurons as u64, squares as f64);
        Measured { activations, signal, ..Measured::default() }
    }

    /// Compares where both sides have the same unit, so that everything is an integer.
    fn in_units(&self, codes: &[i64], payloads: &[i64]) -> Measured {
        let (mut total, mut signal, mut noise) = (0u64, 0i64, 0.0);
        let mut measured = Measured { activations: codes.len() as u64, ..Measured::default() };
        for (&code, &payload) in codes.iter().zip(payloads) {
            let expected = code - self.zero;
            signal += expected * expected;
            if payload == expected {
                continue;
            }
            let distance = ((payload + self.zero).clamp(self.minimum, self.maximum) - code).abs();
            let error = (expected - payload) as f64;
            noise += error * error;
            measured.differing += u64::from(distance != 0);
            measured.maximum_error = measured.maximum_error.max(distance);
            total += distance as u64;
        }
        let signal = signal as f64;
        (measured.signal, measured.noise) = (signal, noise);
        measured.mean_error =
            if codes.is_empty() { 0.0 } else { total as f64 / codes.len() as f64 };
        measured
    }
}

/// Compares one sample on all populations; the maps hold the values of both runs.
pub fn compare_sample(
    comparisons: &[Comparison],
    codes: &HashMap<NodeId, Vec<i64>>,
    payloads: &HashMap<NodeId, Vec<i64>>,
) -> Vec<Measured> {
    let none = Vec::new();
    comparisons
        .iter()
        .map(|c| {
            c.sample(
                codes.get(&c.reference).unwrap_or(&none),
                payloads.get(&c.emitted).unwrap_or(&none),
            )
        })
        .collect()
}
