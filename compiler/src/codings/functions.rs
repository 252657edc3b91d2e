//! Few-spikes neurons that approximate a function of their input (Stöckl and Maass, Nature Machine
//! Intelligence 2021): published coefficients, their error, and a fit of one's own.
//!
//! For quantised networks there is no need of them: a function of a code is a table, and exact.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Error;

/// The published coefficients, with their source.
const PUBLISHED: &str = include_str!("../../data/few_spikes_functions.yaml");

/// A function that neurons can be fitted to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    /// `x / (1 + exp(-x))`.
    Swish,
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
    /// Hyperbolic tangent.
    Tanh,
    /// `x * clamp(x / 6 + 1/2, 0, 1)`.
    HardSwish,
    /// `max(x, 0)`.
    Relu,
}

impl Function {
    /// Every function.
    pub const ALL: [Function; 5] =
        [Function::Swish, Function::Sigmoid, Function::Tanh, Function::HardSwish, Function::Relu];

    /// The name users write.
    pub const fn name(self) -> &'static str {
        match self {
            Function::Swish => "swish",
            Function::Sigmoid => "sigmoid",
            Function::Tanh => "tanh",
            Function::HardSwish => "hard-swish",
            Function::Relu => "relu",
        }
    }

    /// The function of that name.
    pub fn from_name(name: &str) -> Option<Function> {
        Function::ALL.into_iter().find(|f| f.name() == name)
    }

    /// Its value.
    pub fn at(self, x: f64) -> f64 {
        match self {
            Function::Swish => x / (1.0 + (-x).exp()),
            Function::Sigmoid => 1.0 / (1.0 + (-x).exp()),
            Function::Tanh => x.tanh(),
            Function::HardSwish => x * (x / 6.0 + 0.5).clamp(0.0, 1.0),
            Function::Relu => x.max(0.0),
        }
    }
}

/// A neuron that says a number in K timesteps: `z(t) = v(t) > threshold[t]`,
/// `v(t + 1) = v(t) - reset[t] z(t)`, `y = sum of worth[t] z(t)`, all in units of the input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FewSpikesNeuron {
    /// T(t), exceeded by the membrane potential of a neuron that fires.
    pub threshold: Vec<f64>,
    /// h(t), subtracted after a spike.
    pub reset: Vec<f64>,
    /// d(t), the worth of a spike.
    pub worth: Vec<f64>,
}

/// How far a neuron is from its function over an interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct FitError {
    /// Mean of the squared error.
    pub mean_squared: f64,
    /// Largest magnitude of the error.
    pub maximum: f64,
    /// Mean number of spikes for one input.
    pub spikes: f64,
}

impl FewSpikesNeuron {
    /// Number of timesteps, K.
    pub fn timesteps(&self) -> usize {
        self.threshold.len()
    }

    /// What the neuron makes of an input, and its spikes.
    pub fn answer(&self, x: f64) -> (f64, usize) {
        let (mut v, mut y, mut spikes) = (x, 0.0, 0);
        for t in 0..self.timesteps() {
            if v > self.threshold[t] {
                v -= self.reset[t];
                y += self.worth[t];
                spikes += 1;
            }
        }
        (y, spikes)
    }

    /// Error on evenly spaced inputs of `low..=high`.
    pub fn error(&self, function: Function, (low, high): (f64, f64), points: usize) -> FitError {
        let mut error = FitError { mean_squared: 0.0, maximum: 0.0, spikes: 0.0 };
        for x in grid((low, high), points) {
            let (y, spikes) = self.answer(x);
            let off = (y - function.at(x)).abs();
            error.mean_squared += off * off / points as f64;
            error.maximum = error.maximum.max(off);
            error.spikes += spikes as f64 / points as f64;
        }
        error
    }

    /// The coefficients rounded to integers of `bits` bits, one of them the sign, that cover `±range`.
    pub fn rounded(&self, bits: u32, range: f64) -> FewSpikesNeuron {
        let unit = range / f64::from(1u32 << (bits - 1));
        let (low, high) = (-range / unit, range / unit - 1.0);
        let round =
            |v: &[f64]| v.iter().map(|x| (x / unit).round().clamp(low, high) * unit).collect();
        FewSpikesNeuron {
            threshold: round(&self.threshold),
            reset: round(&self.reset),
            worth: round(&self.worth),
        }
    }
}

fn grid((low, high): (f64, f64), points: usize) -> impl Iterator<Item = f64> {
    let step = (high - low) / (points.max(2) - 1) as f64;
    (0..points).map(move |i| low + step * i as f64)
}

/// The published neuron for a function, if there is one.
///
/// # Errors
/// When the data file is damaged, which a test excludes.
pub fn published(function: Function) -> Result<Option<FewSpikesNeuron>, Error> {
    let all: BTreeMap<String, FewSpikesNeuron> = serde_yaml::from_str(PUBLISHED)
        .map_err(|e| Error::input("few_spikes_functions.yaml", e.to_string(), ""))?;
    Ok(all.get(function.name()).cloned())
}

/// What is fitted.
#[derive(Clone, Copy, Debug)]
pub struct FitOptions {
    /// Timesteps, K.
    pub timesteps: usize,
    /// Interval of inputs.
    pub range: (f64, f64),
    /// Candidates tried.
    pub trials: usize,
    /// Seed of the search: equal seeds find equal neurons.
    pub seed: u64,
}

/// Points of the interval on which candidates are judged.
const POINTS: usize = 400;

/// Fits thresholds, resets and worths to a function. The spikes depend on thresholds and resets
/// only, and the output is linear in the worths: those are searched by simulated annealing, these
/// solved for by least squares.
pub fn fit(function: Function, options: FitOptions) -> FewSpikesNeuron {
    let inputs: Vec<f64> = grid(options.range, POINTS).collect();
    let wanted: Vec<f64> = inputs.iter().map(|&x| function.at(x)).collect();
    let mut random = Random(options.seed | 1);
    let mut current = Candidate::radix(&options);
    let mut cost = current.solve(&inputs, &wanted);
    let (mut best, mut least) = (current.clone(), cost);
    let width = options.range.1 - options.range.0;
    for trial in 0..options.trials {
        let left = 1.0 - trial as f64 / options.trials as f64;
        let mut next = current.clone();
        for _ in 0..1 + random.below(2) {
            let t = random.below(options.timesteps);
            let step = random.symmetric() * width * 0.25 * left * left + random.symmetric() * 0.01;
            let moved = match random.below(2) {
                0 => &mut next.neuron.threshold[t],
                _ => &mut next.neuron.reset[t],
            };
            *moved += step;
        }
        let found = next.solve(&inputs, &wanted);
        // The temperature is a share of the error reached: errors differ by orders of magnitude.
        if found < cost || random.unit() < (-(found - cost) / (least * 0.1 * left + 1e-12)).exp() {
            (current, cost) = (next, found);
        }
        if cost < least {
            (best, least) = (current.clone(), cost);
        }
    }
    best.neuron
}

#[derive(Clone)]
struct Candidate {
    neuron: FewSpikesNeuron,
}

impl Candidate {
    /// The digits of `x - low`, most significant first.
    fn radix(options: &FitOptions) -> Self {
        let width = options.range.1 - options.range.0;
        let digit = |t: usize| width * (-(t as f64) - 1.0).exp2();
        let reset: Vec<f64> = (0..options.timesteps).map(digit).collect();
        let threshold = reset.iter().map(|h| options.range.0 + h).collect();
        let worth = vec![0.0; options.timesteps];
        Candidate { neuron: FewSpikesNeuron { threshold, reset, worth } }
    }

    /// Sets the worths that give the least mean squared error, and returns it.
    fn solve(&mut self, inputs: &[f64], wanted: &[f64]) -> f64 {
        let k = self.neuron.timesteps();
        let mut gram = vec![vec![0.0; k + 1]; k];
        let mut patterns = Vec::with_capacity(inputs.len());
        for (&x, &y) in inputs.iter().zip(wanted) {
            let pattern = self.spikes(x);
            for i in (0..k).filter(|i| pattern >> i & 1 == 1) {
                for j in (0..k).filter(|j| pattern >> j & 1 == 1) {
                    gram[i][j] += 1.0;
                }
                gram[i][k] += y;
            }
            patterns.push(pattern);
        }
        for (i, row) in gram.iter_mut().enumerate() {
            // Timesteps that never fire, or always together, leave the worths undetermined.
            row[i] += 1e-6;
        }
        self.neuron.worth = solved(gram);
        let worth = &self.neuron.worth;
        let off = |(pattern, y): (&u64, &f64)| {
            let said: f64 = (0..k).filter(|t| pattern >> t & 1 == 1).map(|t| worth[t]).sum();
            (said - y) * (said - y)
        };
        patterns.iter().zip(wanted).map(off).sum::<f64>() / inputs.len() as f64
    }

    /// Bit t says whether the neuron fires at timestep t.
    fn spikes(&self, x: f64) -> u64 {
        let (mut v, mut pattern) = (x, 0);
        for (t, (threshold, reset)) in
            self.neuron.threshold.iter().zip(&self.neuron.reset).enumerate()
        {
            if v > *threshold {
                v -= reset;
                pattern |= 1 << t;
            }
        }
        pattern
    }
}

/// Solves a symmetric positive system, given with its right-hand side as last column.
fn solved(mut rows: Vec<Vec<f64>>) -> Vec<f64> {
    let n = rows.len();
    for pivot in 0..n {
        for below in pivot + 1..n {
            let factor = rows[below][pivot] / rows[pivot][pivot];
            if factor != 0.0 {
                let (upper, lower) = rows.split_at_mut(below);
                for (target, source) in lower[0][pivot..].iter_mut().zip(&upper[pivot][pivot..]) {
                    *target -= factor * source;
                }
            }
        }
    }
    let mut solution = vec![0.0; n];
    for i in (0..n).rev() {
        let rest: f64 = (i + 1..n).map(|j| rows[i][j] * solution[j]).sum();
        solution[i] = (rows[i][n] - rest) / rows[i][i];
    }
    solution
}

/// A small generator, so that fits do not depend on a library's version (xorshift64*, Vigna 2016).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    fn symmetric(&mut self) -> f64 {
        2.0 * self.unit() - 1.0
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RANGE: (f64, f64) = (-8.0, 12.0);

    #[test]
    fn published_neurons_have_the_errors_that_were_measured() {
        let swish = published(Function::Swish).unwrap().unwrap();
        let error = swish.error(Function::Swish, RANGE, 20_001);
        assert!((error.mean_squared - 3.4e-3).abs() < 1e-4, "{error:?}");
        assert!((error.maximum - 0.295).abs() < 5e-3, "{error:?}");
        let sigmoid = published(Function::Sigmoid).unwrap().unwrap();
        let error = sigmoid.error(Function::Sigmoid, (-10.0, 10.0), 20_001);
        assert!((error.mean_squared - 1.44e-4).abs() < 1e-6, "{error:?}");
        assert!((error.maximum - 0.058).abs() < 2e-3, "{error:?}");
        assert_eq!(published(Function::Tanh).unwrap(), None);
    }

    #[test]
    fn published_coefficients_bear_ten_bits_and_not_eight() {
        let swish = published(Function::Swish).unwrap().unwrap();
        let of = |bits| swish.rounded(bits, 16.0).error(Function::Swish, RANGE, 20_001);
        let (ten, eight) = (of(10).mean_squared, of(8).mean_squared);
        assert!(ten < 6e-3 && eight > 3.0 * ten, "{ten} {eight}");
    }

    #[test]
    fn a_fit_is_the_same_for_the_same_seed_and_better_than_no_search() {
        let options = FitOptions { timesteps: 6, range: RANGE, trials: 400, seed: 1 };
        let found = fit(Function::Swish, options);
        assert_eq!(found, fit(Function::Swish, options));
        let start = fit(Function::Swish, FitOptions { trials: 0, ..options });
        let of = |n: &FewSpikesNeuron| n.error(Function::Swish, RANGE, 2_001).mean_squared;
        assert!(of(&found) < 0.5 * of(&start), "{} {}", of(&found), of(&start));
    }

    #[test]
    fn a_relu_on_its_grid_is_said_to_within_a_step() {
        let options = FitOptions { timesteps: 6, range: (0.0, 25.0), trials: 0, seed: 1 };
        let error = fit(Function::Relu, options).error(Function::Relu, (0.0, 25.0), 5_001);
        assert!(error.maximum <= 25.0 / 64.0 * 1.01, "{error:?}");
    }
}
