//! Trained thresholds: the quantiser that a spiking neuron is, on the Gaussian of the ATIF paper
//! (Castagnetti, Pegatoquet and Miramond, Frontiers in Neuroscience 2023, sigma 0.1, T = 4), and its closed
//! form under a constant current.

#![allow(clippy::print_stdout, reason = "what was measured is shown with --nocapture")]

use proptest::prelude::*;
use snnc_ir::{Comparison, IntegrateAndFire, Leak, Reset, TimeTable};

const TIMESTEPS: usize = 4;

/// Units of potential in the real number 1.
const ONE: f64 = 65536.0;

fn neuron(thresholds: Vec<i64>, initial: i64, maximum: i64) -> IntegrateAndFire {
    IntegrateAndFire {
        threshold: TimeTable::per_timestep(thresholds),
        reset: Reset::Soft,
        initial: vec![initial],
        leak: Leak::None,
        maximum,
        comparison: Comparison::AtLeast,
        signed_limit: None,
        decode: None,
    }
}

/// Spikes of a neuron under the constant current `x`.
fn count(n: &IntegrateAndFire, x: i64, timesteps: usize) -> i64 {
    let (mut v, mut total) = (n.initial[0], 0);
    for t in 0..timesteps {
        let (level, left) = n.step(0, t, v + x, total);
        v = left;
        total += level;
    }
    total
}

/// Signal to quantisation noise in dB, `10 log10(E[x^2] / E[(x - x_q)^2])` (equation 8), of rectified
/// Gaussian inputs; a spike stands for `amplitude / T`.
fn sqnr(thresholds: &[f64], amplitude: f64) -> f64 {
    const SIGMA: f64 = 0.1;
    let n = neuron(thresholds.iter().map(|t| (t * ONE).round() as i64).collect(), 0, 1);
    let (mut signal, mut noise) = (0.0, 0.0);
    for i in 0..1200 {
        let x = 0.0005 * (f64::from(i) + 0.5);
        let weight = (-x * x / (2.0 * SIGMA * SIGMA)).exp();
        let spikes = count(&n, (x * ONE).round() as i64, TIMESTEPS);
        let decoded = spikes as f64 * amplitude / TIMESTEPS as f64;
        signal += weight * x * x;
        noise += weight * (x - decoded) * (x - decoded);
    }
    10.0 * (signal / noise).log10()
}

/// The threshold for all timesteps with the best ratio.
fn calibrated() -> (f64, f64) {
    let candidates = (4..200).map(|i| 0.005 * f64::from(i));
    candidates.map(|v| (v, sqnr(&[v; TIMESTEPS], v))).max_by(|a, b| a.1.total_cmp(&b.1)).unwrap()
}

/// Improves thresholds and amplitude by random steps from a fixed seed.
fn searched(start: f64) -> f64 {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut random = move || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1u64 << 53) as f64 * 2.0 - 1.0
    };
    let (mut best, mut amplitude) = ([start; TIMESTEPS], start);
    let mut reached = sqnr(&best, amplitude);
    for step in 0..1500 {
        let size = 0.5 * 0.997f64.powi(step) + 0.01;
        let tried = best.map(|v| v * (1.0 + size * random()));
        let tried_amplitude = amplitude * (1.0 + 0.3 * size * random());
        let found = sqnr(&tried, tried_amplitude);
        if found > reached {
            (best, amplitude, reached) = (tried, tried_amplitude, found);
        }
    }
    reached
}

#[test]
fn trained_thresholds_gain_ten_decibels_and_non_uniform_ones_about_three_more() {
    let fixed = sqnr(&[1.0; TIMESTEPS], 1.0);
    let (threshold, uniform) = calibrated();
    let non_uniform = searched(threshold);
    println!(
        "V_th = 1: {fixed:.2} dB, V_th = {threshold:.3}: {uniform:.2} dB, V_th(t): {non_uniform:.2} dB"
    );
    assert!(uniform - fixed >= 10.0);
    assert!(non_uniform - uniform >= 2.5);
}

proptest! {
    /// Equation 7, with several levels and any initial potential below the threshold.
    #[test]
    fn a_constant_current_is_counted_by_division(
        threshold in 1i64..500, start in 0.0f64..1.0, x in -400i64..2000, levels in 1i64..5, timesteps in 1usize..20,
    ) {
        let initial = (start * threshold as f64) as i64;
        let n = neuron(vec![threshold], initial, levels);
        let total = (initial + timesteps as i64 * x).div_euclid(threshold);
        prop_assert_eq!(count(&n, x, timesteps), total.clamp(0, levels * timesteps as i64));
    }
}
