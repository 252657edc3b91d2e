//! The choice of units: how much of a code one unit of a layer's state is worth.
//!
//! NetX's sigma-delta neuron does not rescale, so the scale of every layer lies in its weights. For
//! target channel `o` with `y[o] = sum(real[o, i] * x[i]) + beta[o]` in codes, and sources that send
//! `p[i]` units worth `unit[i]` codes each, the layer's state is
//!
//! `sigma = sum(w[o, i] * p[i]) + (bias[o] << 12)` with `w = round(t * real * unit)` and
//! `bias = round(t * beta / 4096)`, so that `y = sigma / t`,
//!
//! and what is sent on is `sigma >> 6`. A large `t` makes the rounding of weights and biases small;
//! 8 bits of weight and 24 bits of state limit it, and finer payloads leave fewer bits to the weights
//! of the next layer. Each channel has its own `t`, the candidate with the least error: multiples that
//! keep integer weights exact, values that make the bias exact, and an even grid below the largest
//! that fits.

use snnc_ir::analysis::Interval;

use super::net::{BIASES, FINE_WEIGHT, SPIKE_EXPONENT, STATE_EXPONENT, STATE_LIMIT};

/// State that one unit of bias is worth.
const BIAS_UNIT: f64 = (1i64 << (SPIKE_EXPONENT + STATE_EXPONENT)) as f64;
/// State that one unit of payload is worth.
const PAYLOAD_UNIT: f64 = (1i64 << STATE_EXPONENT) as f64;
/// Part of the full scale by which a channel may be off (root mean square, estimated) before the
/// proof that its state never overflows is given up for a finer unit.
const TOLERANCE: f64 = 1.0 / 64.0;
/// Multiple of the full scale that the state holds at least, where no proof bounds it.
const HEADROOM: f64 = 8.0;
/// Factor from one octave of the even grid to the next point, and its number of points.
const GRID: (f64, u32) = (0.96, 120);
/// Candidates of each of the two exact kinds.
const EXACT_CANDIDATES: i64 = 24;

/// The neurons that project to a layer, channel by channel.
#[derive(Clone, Debug)]
pub(super) struct Sources {
    /// Codes per unit of payload.
    pub unit: Vec<f64>,
    /// What the sum of the payloads sent can be, for any input.
    pub range: Vec<Interval>,
    /// The largest sum of payloads that stands for a code of the reference.
    pub useful: Vec<f64>,
}

/// The synapses of one target channel, in codes.
pub(super) struct Row<'a> {
    /// Integer weights of the reference.
    pub weights: &'a [i64],
    /// Source channel of each weight.
    pub channels: &'a [usize],
    /// Codes per unit of the reference's accumulator.
    pub slope: f64,
    /// Codes added.
    pub beta: f64,
    /// Codes of the largest value that matters; what lies beyond is only kept from overflowing.
    pub full_scale: f64,
    /// Number of weights of one neuron of the next layer. 0 for the last layer, whose state itself
    /// is shown (a `Sigma` output) and to which the bias is added outside.
    pub next_fan_in: usize,
}

impl Row<'_> {
    fn is_read_out(&self) -> bool {
        self.next_fan_in == 0
    }
}

/// What became of one target channel.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Choice {
    /// Weights for NetX.
    pub weights: Vec<i64>,
    /// Bias for NetX.
    pub bias: i64,
    /// State per code.
    pub t: f64,
    /// Estimated root mean square error, as a part of the full scale.
    pub error: f64,
    /// What the state can be, bias included, for any input.
    pub range: Interval,
}

impl Choice {
    /// Whether neither the state nor a change of it can leave 24 bits.
    pub fn is_proved(&self) -> bool {
        self.range.high.saturating_sub(self.range.low) <= STATE_LIMIT
    }

    /// Codes per unit of payload sent on.
    pub fn unit(&self) -> f64 {
        PAYLOAD_UNIT / self.t
    }
}

/// Chooses the unit of one target channel; `None` if all its weights are 0 and so any would do.
pub(super) fn choose(row: &Row<'_>, sources: &Sources) -> Option<Choice> {
    let real: Vec<f64> = row
        .weights
        .iter()
        .zip(row.channels)
        .map(|(&w, &c)| w as f64 * row.slope * sources.unit[c])
        .collect();
    let largest = real.iter().fold(0.0, |m: f64, r| m.max(r.abs()));
    if largest == 0.0 {
        return None;
    }
    let full = FINE_WEIGHT as f64 / largest;
    let proved = best_below(full.min(proved_limit(&real, row, sources)), &real, row, sources);
    if let Some(best) = proved.filter(|b| b.is_proved() && b.error <= TOLERANCE) {
        return Some(best);
    }
    let roomy = STATE_LIMIT as f64 / (HEADROOM * row.full_scale);
    best_below(full.min(roomy), &real, row, sources)
}

/// The size that the sums of a read-out have on typical input, in codes: four times the root mean
/// square if the sources were independent and sent a third of what they can.
pub(super) fn typical_size(weights: &[i64], channels: &[usize], sources: &Sources) -> f64 {
    let square = |(&w, &c): (&i64, &usize)| {
        let part = w as f64 * sources.unit[c] * sources.useful[c] / 3.0;
        part * part
    };
    4.0 * weights.iter().zip(channels).map(square).sum::<f64>().sqrt()
}

/// The largest `t` with which the state stays within its bits for any input.
fn proved_limit(real: &[f64], row: &Row<'_>, sources: &Sources) -> f64 {
    let (mut low, mut high) = (0.0, 0.0);
    for (&r, &c) in real.iter().zip(row.channels) {
        let (a, b) = (sources.range[c].low as f64, sources.range[c].high as f64);
        low += (r * a).min(r * b).min(0.0);
        high += (r * a).max(r * b).max(0.0);
    }
    let beta = if row.is_read_out() { 0.0 } else { row.beta };
    let span = (high + beta.max(0.0)) - (low + beta.min(0.0));
    // Rounding may add half a unit to each weight; the exact range is checked afterwards.
    0.99 * STATE_LIMIT as f64 / span.max(f64::MIN_POSITIVE)
}

fn best_below(top: f64, real: &[f64], row: &Row<'_>, sources: &Sources) -> Option<Choice> {
    let mut best: Option<(f64, f64)> = None;
    for t in candidates(top, row, sources) {
        let error = squared_error(t, real, row, sources);
        if best.is_none_or(|(least, _)| error < least) {
            best = Some((error, t));
        }
    }
    let (error, t) = best?;
    let weights: Vec<i64> = real.iter().map(|r| (r * t).round() as i64).collect();
    let bias = if row.is_read_out() { 0 } else { bias_at(t, row) as i64 };
    let start = bias << (SPIKE_EXPONENT + STATE_EXPONENT);
    let mut range = Interval::new(start.min(0), start.max(0));
    for (&w, &c) in weights.iter().zip(row.channels) {
        range = range.plus(sources.range[c].with_zero().times(w));
    }
    Some(Choice { weights, bias, t, error: error.sqrt() / row.full_scale, range })
}

fn bias_at(t: f64, row: &Row<'_>) -> f64 {
    (row.beta * t / BIAS_UNIT).round().clamp(BIASES.0 as f64, BIASES.1 as f64)
}

/// Values of `t` worth trying, none above `top`.
fn candidates(top: f64, row: &Row<'_>, sources: &Sources) -> Vec<f64> {
    let (factor, points) = GRID;
    let mut found: Vec<f64> =
        std::iter::successors(Some(top), |t| Some(t * factor)).take(points as usize).collect();
    let mut multiples = |step: f64| {
        if step > 0.0 && step.is_finite() {
            let most = (top / step).floor().min(1e9) as i64;
            let least = (most - EXACT_CANDIDATES + 1).max(1);
            found.extend((least..=most).map(|k| k as f64 * step));
            found.extend((1..least.min(EXACT_CANDIDATES)).map(|k| k as f64 * step));
        }
    };
    if let Some(&unit) = sources.unit.first()
        && sources.unit.iter().all(|&u| u == unit)
    {
        multiples(1.0 / (row.slope * unit));
    }
    if !row.is_read_out() {
        multiples(BIAS_UNIT / row.beta.abs());
    }
    found
}

/// Expected squared error of `y` in codes: rounded weights, rounded bias, payloads cut to integers,
/// and the rounding of the next layer's weights, each source taken to send a third of its useful
/// range.
fn squared_error(t: f64, real: &[f64], row: &Row<'_>, sources: &Sources) -> f64 {
    let mut error = 0.0;
    for (&r, &c) in real.iter().zip(row.channels) {
        let off = ((r * t).round() - r * t) / t * sources.useful[c] / 3.0;
        error += off * off;
    }
    if !row.is_read_out() {
        let bias = (bias_at(t, row) * BIAS_UNIT - row.beta * t) / t;
        let cut = PAYLOAD_UNIT / t;
        // A weight is off by 1/sqrt(12) when a payload of full scale meets a state of which full
        // scale takes the part that headroom leaves.
        let payload = t * row.full_scale / PAYLOAD_UNIT;
        let state = STATE_LIMIT as f64 / HEADROOM;
        let next = payload / 3.0 / 12f64.sqrt() / state * row.full_scale;
        error += bias * bias + cut * cut / 3.0 + next * next * row.next_fan_in as f64;
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sources(channels: usize, code: i64) -> Sources {
        Sources {
            unit: vec![1.0 / 64.0; channels],
            range: vec![Interval::new(0, 64 * code); channels],
            useful: vec![64.0 * code as f64; channels],
        }
    }

    #[test]
    fn small_integer_weights_stay_exact() {
        let weights = [-7, 3, 0, 5];
        let row = Row {
            weights: &weights,
            channels: &[0, 1, 2, 3],
            slope: 0.037,
            beta: 0.0,
            full_scale: 15.0,
            next_fan_in: 10,
        };
        let choice = choose(&row, &sources(4, 15)).unwrap();
        let factor = choice.weights[1] / 3;
        assert!(factor > 1);
        assert_eq!(choice.weights, weights.map(|w| w * factor));
    }

    #[test]
    fn too_fine_a_unit_is_not_called_proved() {
        let weights = vec![127; 4000];
        let channels: Vec<usize> = (0..4000).collect();
        let row = Row {
            weights: &weights,
            channels: &channels,
            slope: 1e-3,
            beta: 3.0,
            full_scale: 255.0,
            next_fan_in: 100,
        };
        let choice = choose(&row, &sources(4000, 255)).unwrap();
        let top: i64 = choice.weights.iter().map(|w| w * 64 * 255).sum();
        assert_eq!(choice.is_proved(), top + (choice.bias << 12) <= STATE_LIMIT);
    }

    proptest! {
        #[test]
        fn the_state_is_the_code_times_t(
            weights in prop::collection::vec(-7i64..=7, 1..30),
            slope in 0.001f64..0.2,
            beta in -20f64..20.0,
            x in prop::collection::vec(0i64..=15, 30),
        ) {
            let channels: Vec<usize> = (0..weights.len()).collect();
            let sources = sources(weights.len(), 15);
            let row = Row { weights: &weights, channels: &channels, slope, beta, full_scale: 15.0, next_fan_in: 100 };
            if let Some(choice) = choose(&row, &sources) {
                prop_assert!(choice.weights.iter().all(|w| w.abs() <= FINE_WEIGHT));
                let sum = |w: &[i64], unit: i64| w.iter().zip(&x).map(|(w, x)| w * x * unit).sum::<i64>();
                let sigma = sum(&choice.weights, 64) + (choice.bias << 12);
                prop_assert!((choice.range.low..=choice.range.high).contains(&sigma));
                let y = sum(&weights, 1) as f64 * slope + beta;
                // Rounding of weights and bias, at worst.
                let worst = (x.iter().sum::<i64>() as f64 * 32.0 + 2048.0) / choice.t;
                prop_assert!((sigma as f64 / choice.t - y).abs() <= worst + 1e-9);
            }
        }
    }
}
