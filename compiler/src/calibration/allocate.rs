//! Graded-spike bit allocation: how many payload bits each population deserves.
//!
//! Quantising one site alone to `b` bits changes the network's answer by so much (the symmetric
//! Kullback-Leibler divergence of the class probabilities, mean over samples) and costs so much; what
//! is chosen is one `b` for each site with the least total change within a total cost, a
//! multiple-choice knapsack solved exactly on its Pareto frontier (the method of "Adaptive
//! Calibration", Wang et al., AAAI 2025, there for spike counts).

use std::collections::BTreeMap;
use std::path::Path;

use rayon::prelude::*;
use serde::Serialize;
use snnc_ir::Graph;
use snnc_runtime::tensor::{Program, Value};

use super::cost::{Cost, Prices};
use super::insert::{QuantiseOptions, quantise_site};
use super::{Site, Statistics};
use crate::Error;
use crate::data::Dataset;
use crate::feed::{Feed, Given};
use crate::inputs::Cut;

/// What one site costs and loses with one number of bits.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Choice {
    /// Payload bits.
    pub bits: u8,
    /// Cost, in the unit of the budget.
    pub cost: f64,
    /// Symmetric Kullback-Leibler divergence of the outputs, in nats.
    pub sensitivity: f64,
}

/// All choices of one site.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SiteChoices {
    /// Name of the site.
    pub site: String,
    /// Its neurons.
    pub neurons: usize,
    /// Choices, by bits ascending.
    pub choices: Vec<Choice>,
}

/// A choice of bits for every site.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Allocation {
    /// Bits by site.
    pub bits: BTreeMap<String, u8>,
    /// Total cost.
    pub cost: f64,
    /// Total sensitivity.
    pub sensitivity: f64,
}

/// The choice of one entry of each row with the least total sensitivity among those of total cost up
/// to `budget`; of equals the cheapest. `None` if even the cheapest is too dear.
///
/// Rows are joined one by one, and of the partial sums only those are kept that no other beats in
/// both cost and sensitivity.
pub fn choose(rows: &[Vec<(f64, f64)>], budget: f64) -> Option<Vec<usize>> {
    let mut frontier: Vec<(f64, f64, Vec<usize>)> = vec![(0.0, 0.0, Vec::new())];
    for row in rows {
        let mut joined: Vec<(f64, f64, Vec<usize>)> =
            Vec::with_capacity(frontier.len() * row.len());
        for (cost, sensitivity, chosen) in &frontier {
            for (index, (c, s)) in row.iter().enumerate() {
                if cost + c <= budget * (1.0 + 1e-12) {
                    joined.push((
                        cost + c,
                        sensitivity + s,
                        [chosen.as_slice(), &[index]].concat(),
                    ));
                }
            }
        }
        joined.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
        frontier.clear();
        for point in joined {
            if frontier.last().is_none_or(|best: &(f64, f64, _)| point.1 < best.1) {
                frontier.push(point);
            }
        }
    }
    // Sensitivity falls along the frontier.
    frontier.pop().map(|(_, _, chosen)| chosen)
}

/// Measures every choice of `bits` for every site but inputs on `samples` samples.
///
/// # Errors
/// When the network cannot be run.
pub fn measure(
    graph: &Graph,
    sites: &[Site],
    statistics: &Statistics,
    options: &QuantiseOptions,
    (data, path): (&Dataset, &Path),
    (samples, bits, cost): (usize, &[u8], Cost),
) -> Result<Vec<SiteChoices>, Error> {
    let shape = Cut::of(graph).batched();
    let data = &*data.fitted(shape.get(1..).unwrap_or(&shape), path)?;
    let samples = samples.min(data.len());
    let wanted = probabilities(graph, data, samples, &shape, options.input)?;
    let hidden: Vec<&Site> = sites.iter().filter(|s| !s.input).collect();
    let prices = Prices::new(graph, sites, options.weight_bits, cost);
    let mut rows = Vec::with_capacity(hidden.len());
    for site in hidden {
        let neurons = graph[site.node].ty.len();
        let mut choices = Vec::new();
        for &b in bits {
            let mut changed = graph.clone();
            let alone = QuantiseOptions {
                site_bits: BTreeMap::from([(site.name.clone(), b)]),
                ..options.clone()
            };
            let fires = quantise_site(&mut changed, site, sites, statistics, &alone)?;
            let found = probabilities(&changed, data, samples, &shape, options.input)?;
            let divergence: f64 =
                wanted.iter().zip(&found).map(|(p, q)| symmetric_divergence(p, q)).sum();
            // What is paid whatever is chosen goes with the first site.
            let fixed = if rows.is_empty() { prices.fixed() } else { 0.0 };
            let cost = fixed + prices.of(site, b, fires);
            choices.push(Choice { bits: b, cost, sensitivity: divergence / samples.max(1) as f64 });
        }
        rows.push(SiteChoices { site: site.name.clone(), neurons, choices });
    }
    Ok(rows)
}

/// The best allocation within a budget.
///
/// # Errors
/// When no choice is cheap enough.
pub fn allocate(rows: &[SiteChoices], budget: f64) -> Result<Allocation, Error> {
    let table: Vec<Vec<(f64, f64)>> =
        rows.iter().map(|r| r.choices.iter().map(|c| (c.cost, c.sensitivity)).collect()).collect();
    let Some(chosen) = choose(&table, budget) else {
        let least: f64 = rows
            .iter()
            .map(|r| r.choices.iter().map(|c| c.cost).fold(f64::INFINITY, f64::min))
            .sum();
        let reason = format!("no allocation costs {budget} or less: the cheapest costs {least:.3}");
        return Err(Error::usage("--budget", reason, "raise the budget"));
    };
    let picked: Vec<(&SiteChoices, Choice)> =
        rows.iter().zip(chosen).map(|(r, i)| (r, r.choices[i])).collect();
    Ok(Allocation {
        bits: picked.iter().map(|(r, c)| (r.site.clone(), c.bits)).collect(),
        cost: picked.iter().map(|(_, c)| c.cost).sum(),
        sensitivity: picked.iter().map(|(_, c)| c.sensitivity).sum(),
    })
}

/// Class probabilities of the first output for each sample.
fn probabilities(
    graph: &Graph,
    data: &Dataset,
    samples: usize,
    shape: &[usize],
    given: Given,
) -> Result<Vec<Vec<f64>>, Error> {
    let (program, cut) = (Program::new(graph).map_err(Error::network)?, Cut::of(graph));
    let feed = Feed::of_model(graph, given);
    (0..samples)
        .into_par_iter()
        .map(|i| {
            let value = feed.value(data, i, shape)?;
            let outcome = program.run(&cut.values(value)?).map_err(Error::network)?;
            Ok(softmax(&outcome.first().map(Value::to_f32).unwrap_or_default()))
        })
        .collect()
}

/// Softmax of scores; what already are probabilities stays as it is.
fn softmax(scores: &[f32]) -> Vec<f64> {
    let scores: Vec<f64> = scores.iter().map(|&s| f64::from(s)).collect();
    let sum: f64 = scores.iter().sum();
    if scores.iter().all(|s| *s >= 0.0) && (sum - 1.0).abs() < 1e-3 {
        return scores;
    }
    let top = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let raised: Vec<f64> = scores.iter().map(|s| (s - top).exp()).collect();
    let sum: f64 = raised.iter().sum();
    raised.into_iter().map(|r| r / sum).collect()
}

fn symmetric_divergence(p: &[f64], q: &[f64]) -> f64 {
    const LEAST: f64 = 1e-9;
    p.iter().zip(q).map(|(&p, &q)| (p - q) * (p.max(LEAST) / q.max(LEAST)).ln()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Tries every combination.
    fn brute_force(rows: &[Vec<(f64, f64)>], budget: f64) -> Option<f64> {
        let mut best: Option<f64> = None;
        let combinations: usize = rows.iter().map(Vec::len).product();
        for mut index in 0..combinations {
            let (mut cost, mut sensitivity) = (0.0, 0.0);
            for row in rows {
                let (c, s) = row[index % row.len()];
                index /= row.len();
                cost += c;
                sensitivity += s;
            }
            if cost <= budget * (1.0 + 1e-12) && best.is_none_or(|b| sensitivity < b) {
                best = Some(sensitivity);
            }
        }
        best
    }

    proptest! {
        #[test]
        fn the_frontier_finds_what_trying_all_finds(
            rows in proptest::collection::vec(proptest::collection::vec((0.1f64..5.0, 0.0f64..1.0), 1..8), 4),
            budget in 0.5f64..20.0,
        ) {
            let found = choose(&rows, budget).map(|chosen| {
                rows.iter().zip(chosen).map(|(row, i)| row[i].1).sum::<f64>()
            });
            match (found, brute_force(&rows, budget)) {
                (Some(a), Some(b)) => prop_assert!((a - b).abs() < 1e-9, "{a} against {b}"),
                (a, b) => prop_assert_eq!(a.is_some(), b.is_some()),
            }
        }
    }

    #[test]
    fn divergence_is_symmetric_and_zero_for_equals() {
        let (p, q) = (softmax(&[1.0, 2.0, 0.5]), softmax(&[0.5, 2.5, 0.1]));
        assert_eq!(symmetric_divergence(&p, &p), 0.0);
        assert!((symmetric_divergence(&p, &q) - symmetric_divergence(&q, &p)).abs() < 1e-15);
        assert!(symmetric_divergence(&p, &q) > 0.0);
    }
}
