//! The weights of one layer: shifted for the errors that have come in, then rounded column by column.

use rayon::prelude::*;
use snnc_runtime::kernels::Isa;
use snnc_runtime::kernels::least_squares::{descend, factor_of_inverse, round_row};

/// Share of the mean diagonal of a Hessian that is added to it (Frantar et al. 2022, GPTQ, section 3.3).
const DAMPING: f64 = 0.01;
/// Times that single codes are tried once more, one by one.
const SWEEPS: usize = 8;
/// Clipping points that are tried, as shares of the largest weight.
const CLIPS: [f64; 15] =
    [1.0, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6, 0.55, 0.5, 0.45, 0.4, 0.35, 0.3];

/// The sums that the weights of a group of outputs are chosen by.
pub(super) struct Problem {
    /// Inputs of each output.
    pub(super) k: usize,
    /// `X^T X` of the centred inputs, row by row.
    pub(super) hessian: Vec<f64>,
    /// `X^T T` of the centred inputs and targets, a row of `k` for each output.
    pub(super) products: Vec<f64>,
    /// The weights, a row of `k` for each output.
    pub(super) weights: Vec<f64>,
}

/// Codes of a row of weights, and their step.
pub(super) struct Rounded {
    pub(super) codes: Vec<i16>,
    pub(super) step: f32,
}

/// Chooses the codes of each output with the least squared error of `X (W_q - W*)`, `W*` being the ridge
/// solution of `X W* = T` near `W` (Li et al. 2025, GPTAQ: the quantised inputs are to give the outputs of
/// the float network). Codes have a magnitude of up to `levels`. `None` where the sums do not say enough.
pub(super) fn round(isa: Isa, mut problem: Problem, levels: f64) -> Option<Vec<Rounded>> {
    let k = problem.k;
    let mean = (0..k).map(|i| problem.hessian[i * k + i]).sum::<f64>() / k.max(1) as f64;
    if !(mean > 0.0 && mean.is_finite()) {
        return None;
    }
    // Large inputs first: their errors find the most columns that make up for them.
    let mut order: Vec<usize> = (0..k).collect();
    order.sort_by(|&a, &b| problem.hessian[b * k + b].total_cmp(&problem.hessian[a * k + a]));
    let damping = DAMPING * mean;
    let mut hessian = vec![0.0; k * k];
    for (i, &a) in order.iter().enumerate() {
        for (j, &b) in order.iter().enumerate() {
            hessian[i * k + j] = problem.hessian[a * k + b];
        }
        hessian[i * k + i] += damping;
    }
    problem.hessian = Vec::new();
    let factored = factor_of_inverse(isa, &hessian, k)?;
    let rows = problem.weights.par_chunks(k).zip(problem.products.par_chunks(k));
    let of_row = |(weights, products): (&[f64], &[f64])| {
        let mut wanted: Vec<f64> =
            order.iter().map(|&i| products[i] + damping * weights[i]).collect();
        factored.solve(&mut wanted);
        let found = best_clip(isa, &wanted, (&factored.upper, &hessian), levels);
        let mut codes = vec![0i16; k];
        for (&place, code) in order.iter().zip(&found.0) {
            codes[place] = *code as i16;
        }
        Rounded { codes, step: found.1 as f32 }
    };
    Some(rows.map(of_row).collect())
}

/// Codes and step of the clipping point of least error.
fn best_clip(
    isa: Isa,
    wanted: &[f64],
    (upper, hessian): (&[f64], &[f64]),
    levels: f64,
) -> (Vec<f64>, f64) {
    let reach = wanted.iter().fold(0f64, |m, w| m.max(w.abs()));
    if !(reach > 0.0 && reach.is_finite()) {
        return (vec![0.0; wanted.len()], 1.0);
    }
    let mut best = (f64::INFINITY, vec![0.0; wanted.len()], 1.0);
    let (mut weights, mut codes) = (wanted.to_vec(), vec![0.0; wanted.len()]);
    for clip in CLIPS {
        // Weights are emitted in single precision: the step that is tried is the one that is kept.
        let step = f64::from(((clip * reach / levels) as f32).max(f32::MIN_POSITIVE));
        weights.copy_from_slice(wanted);
        let error = round_row(isa, &mut weights, upper, step, levels, &mut codes);
        let error = error - descend(isa, wanted, hessian, step, levels, SWEEPS, &mut codes);
        if error < best.0 {
            best.0 = error;
            best.1.copy_from_slice(&codes);
            best.2 = step;
        }
    }
    (best.1, best.2)
}

#[cfg(test)]
mod tests {
    use snnc_runtime::kernels::Kernels;

    use super::*;

    /// The error `sum (X w_q - T)^2` of a row.
    fn error(x: &[[f64; 2]], targets: &[f64], rounded: &Rounded) -> f64 {
        let w: Vec<f64> =
            rounded.codes.iter().map(|&c| f64::from(c) * f64::from(rounded.step)).collect();
        x.iter().zip(targets).map(|(x, t)| (x[0] * w[0] + x[1] * w[1] - t).powi(2)).sum()
    }

    #[test]
    fn what_one_column_loses_another_makes_up_for() {
        // Two inputs that are nearly the same: the sum of their weights is what counts.
        let x: Vec<[f64; 2]> = (0..40)
            .map(|i| [f64::from(i % 9) - 4.0, f64::from(i % 9) - 4.0 + 0.01 * f64::from(i % 2)])
            .collect();
        let weights = [0.6, 0.6];
        let targets: Vec<f64> = x.iter().map(|x| x[0] * 0.6 + x[1] * 0.6 + 0.0).collect();
        let sum = |f: &dyn Fn(&[f64; 2]) -> f64| x.iter().map(f).sum::<f64>();
        let hessian = (0..4).map(|i| sum(&|x| x[i / 2] * x[i % 2])).collect();
        let products =
            (0..2).map(|i| x.iter().zip(&targets).map(|(x, t)| x[i] * t).sum::<f64>()).collect();
        let isa = Isa::of(Kernels::best()).unwrap();
        let problem = Problem { k: 2, hessian, products, weights: weights.to_vec() };
        let found = round(isa, problem, 1.0).unwrap();
        let nearest = Rounded { codes: vec![1, 1], step: 0.6 };
        assert!(error(&x, &targets, &found[0]) <= error(&x, &targets, &nearest) + 1e-3);
    }

    #[test]
    fn inputs_that_never_move_say_nothing() {
        let problem = Problem { k: 1, hessian: vec![0.0], products: vec![0.0], weights: vec![1.0] };
        assert!(round(Isa::of(Kernels::best()).unwrap(), problem, 7.0).is_none());
    }
}
