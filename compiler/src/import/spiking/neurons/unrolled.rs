//! Networks whose graph holds all timesteps, copies of one.

use std::collections::BTreeMap;

use super::super::expression::{Id, Values};
use super::rule::Rule;
use super::{Inputs, NEVER, Neurons, Refusal, STATES, Search};

impl Search<'_> {
    /// All timesteps are in the graph: they must be copies of one.
    pub(super) fn unrolled(&self, chain: &[Id]) -> Result<Neurons, Refusal> {
        let last = chain[chain.len() - 1];
        let spike = |m: &Id| self.fires.get(m).copied().unwrap_or(NEVER);
        let symbols = |t: usize| (chain[t - 1], spike(&chain[t - 1]));
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
            if self.thresholds.get(m) != self.thresholds.get(&last) {
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
        let (first, constant) = self.beginning(chain[0])?;
        inputs.insert(0, first);
        let threshold = self.thresholds.get(&last);
        let neuron = rule.neuron(threshold).map_err(|r| (last, r, "use soft or hard reset"))?;
        Ok(Neurons {
            membranes: chain.to_vec(),
            inputs,
            decay: rule.decay,
            constant: rule.constant,
            first: Some(constant),
            inside: vec![0.0],
            neuron,
            origin: None,
            shape: Vec::new(),
        })
    }

    /// What flows in at the first timestep, and what is there without it.
    fn beginning(&self, first: Id) -> Result<(Inputs, Values), Refusal> {
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
        Ok((inputs, p.coefficient(&[])))
    }
}
