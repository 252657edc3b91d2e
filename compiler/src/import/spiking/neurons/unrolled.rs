//! Networks whose graph holds all timesteps, copies of one.

use std::collections::BTreeMap;

use super::super::expression::{Id, Values, zip};
use super::rule::Rule;
use super::{Inputs, Neurons, Refusal, STATES, Search, equal, single, zero};

impl Search<'_> {
    /// All timesteps are in the graph: they must be copies of one.
    pub(super) fn unrolled(&self, chain: &[Id]) -> Result<Neurons, Refusal> {
        let last = chain[chain.len() - 1];
        let symbols = |t: usize| (chain[t - 1], self.fires[&chain[t - 1]]);
        let rule = Rule::of(&self.polynomials[&last], symbols(chain.len() - 1))
            .map_err(|reason| (last, reason, "use soft or hard reset"))?;
        let mut inputs: Vec<Inputs> = Vec::with_capacity(chain.len());
        for (t, m) in chain.iter().enumerate().skip(1) {
            let p = &self.polynomials[m];
            let own = Rule::of(p, symbols(t));
            let differs = || {
                let reason = format!(
                    "timestep {t} is no copy of the others: its weights, decay, threshold or reset differ"
                );
                (*m, reason, "export a network that does the same in every timestep")
            };
            if self.thresholds[m] != self.thresholds[&last] {
                return Err(differs());
            }
            match own {
                Ok(own) if own.like(&rule) => inputs.push(own.inputs),
                // The first potential can be the very input that keeps flowing in.
                _ if rule.instance(symbols(t), self.table) == Some(p.clone()) => {
                    inputs.push(rule.inputs.clone());
                }
                _ => return Err(differs()),
            }
        }
        let (first, initial) = self.beginning(chain[0], &rule, &inputs[0])?;
        inputs.insert(0, first);
        let threshold = &self.thresholds[&last];
        let mut neuron = rule.neuron(threshold).map_err(|r| (last, r, "use soft or hard reset"))?;
        if !zero(&initial) {
            neuron.initial = single(&initial);
        }
        Ok(Neurons { membranes: chain.to_vec(), inputs, neuron, origin: None, shape: Vec::new() })
    }

    /// What flows in at the first timestep, and the potential before it.
    fn beginning(
        &self,
        first: Id,
        rule: &Rule,
        second: &Inputs,
    ) -> Result<(Inputs, Values), Refusal> {
        let p = &self.polynomials[&first];
        let mut inputs = BTreeMap::new();
        for (key, values) in &p.0 {
            match key.as_slice() {
                [] => {}
                [one] => {
                    inputs.insert(*one, values.clone());
                }
                _ => return Err((first, "begins with a product of states".into(), STATES)),
            }
        }
        let mut expected: Vec<&Values> = second.values().collect();
        let mut seen: Vec<&Values> = inputs.values().collect();
        let order =
            |a: &&Values, b: &&Values| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal);
        expected.sort_by(order);
        seen.sort_by(order);
        // Spikes that come back, of which there are none yet, are missing in the first timestep.
        let known = seen.iter().all(|s| expected.iter().any(|e| equal(s, e)));
        if !known {
            let reason =
                "the first timestep is no copy of the others: its input has another weight";
            return Err((first, reason.into(), "begin with states of 0"));
        }
        let offset = zip(&p.coefficient(&[]), &rule.constant, |a, b| a - b);
        let initial = zip(&offset, &rule.decay, |o, a| if a == 0.0 { 0.0 } else { o / a });
        Ok((inputs, initial))
    }
}
