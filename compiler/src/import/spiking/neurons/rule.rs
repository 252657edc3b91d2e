//! How a membrane potential follows from the one of the timestep before.

use std::collections::BTreeMap;

use snnc_ir::{Comparison, Firing, FloatNeuron, FloatReset};

use super::super::expression::{Id, Table, Values, zip};
use super::super::polynomial::Polynomial;
use super::{Inputs, Threshold, equal, single, zero};

/// How a membrane potential follows from the one before: `decay * h + product * h * z + spike * z +
/// constant + inputs`.
pub(super) struct Rule {
    pub decay: Values,
    product: Values,
    spike: Values,
    pub constant: Values,
    pub inputs: Inputs,
}

impl Rule {
    pub fn of(p: &Polynomial, (h, z): (Id, Id)) -> Result<Rule, String> {
        let mut rule = Rule {
            decay: vec![0.0],
            product: vec![0.0],
            spike: vec![0.0],
            constant: vec![0.0],
            inputs: BTreeMap::new(),
        };
        let both = if h < z { [h, z] } else { [z, h] };
        for (key, values) in &p.0 {
            let values = values.clone();
            match key.as_slice() {
                [] => rule.constant = values,
                [one] if *one == h => rule.decay = values,
                [one] if *one == z => rule.spike = values,
                [one] => {
                    rule.inputs.insert(*one, values);
                }
                pair if *pair == both => rule.product = values,
                _ => return Err("multiplies states and inputs with each other".into()),
            }
        }
        Ok(rule)
    }

    /// Whether two timesteps differ in nothing but what flows in.
    pub fn like(&self, other: &Rule) -> bool {
        equal(&self.decay, &other.decay)
            && equal(&self.product, &other.product)
            && equal(&self.spike, &other.spike)
            && equal(&self.constant, &other.constant)
    }

    /// The polynomial of a timestep with the same input.
    pub fn instance(&self, (h, z): (Id, Id), table: &Table) -> Option<Polynomial> {
        let constant = |v: &Values| Polynomial(BTreeMap::from([(Vec::new(), v.clone())]));
        let of = |v: &Values, id: Id| constant(v).times(&Polynomial::atom(id), table);
        let product = of(&self.product, h)?.times(&Polynomial::atom(z), table)?;
        let mut sum = constant(&self.constant).plus(&of(&self.decay, h)?);
        sum = sum.plus(&product).plus(&of(&self.spike, z)?);
        for (&id, values) in &self.inputs {
            sum = sum.plus(&of(values, id)?);
        }
        Some(sum)
    }

    /// The neuron, which fires if it has a threshold.
    pub fn neuron(&self, threshold: Option<&Threshold>) -> Result<FloatNeuron, String> {
        let firing = threshold.map(|t| self.firing(t)).transpose()?;
        Ok(FloatNeuron {
            decay: single(&self.decay),
            gain: Vec::new(),
            input_bias: Vec::new(),
            drive: if zero(&self.constant) { Vec::new() } else { single(&self.constant) },
            current: None,
            initial: Vec::new(),
            firing,
        })
    }

    fn firing(&self, threshold: &Threshold) -> Result<Firing, String> {
        let lasting = !zero(&self.decay);
        let share = |v: &Values| zip(v, &self.decay, |v, a| if a == 0.0 { 0.0 } else { v / a });
        let minus = |v: &Values| v.iter().map(|v| -v).collect::<Values>();
        let reset = if zero(&self.product) {
            // With no leak both are one formula; strict comparison is snnTorch's, and so its order.
            let late = equal(&minus(&self.spike), &threshold.value)
                && (threshold.strict || !equal(&self.decay, &vec![1.0]));
            match (zero(&self.spike), late || !lasting) {
                (true, _) => FloatReset::None,
                (false, true) => FloatReset::SoftDelayed(single(&minus(&self.spike))),
                (false, false) => FloatReset::Soft(single(&minus(&share(&self.spike)))),
            }
        } else if equal(&minus(&self.product), &self.decay) {
            FloatReset::Hard(single(&share(&self.spike)))
        } else {
            return Err("has a reset that is neither soft nor hard".into());
        };
        let comparison = if threshold.strict { Comparison::Above } else { Comparison::AtLeast };
        let threshold = single(&threshold.value);
        Ok(Firing { threshold, comparison, reset })
    }
}
