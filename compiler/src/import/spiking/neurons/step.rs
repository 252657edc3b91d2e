//! Networks whose graph is one timestep, with states as inputs and outputs.

use snnc_ir::SynapticCurrent;

use super::super::expression::{Expression, Id, zip};
use super::super::polynomial::{Polynomial, polynomial};
use super::rule::Rule;
use super::{Found, Neurons, Refusal, STATES, Search, equal, single};

enum Update {
    Potential(Polynomial),
    Current(Polynomial),
}

impl Search<'_> {
    /// One timestep, with states as inputs and outputs.
    pub(super) fn step(&self, membrane: Id, found: &mut Found) -> Result<Neurons, Refusal> {
        let z = self.fires[&membrane];
        let mut p = self.polynomials[&membrane].clone();
        let mut current = None;
        let (mut lasting, mut potential) = (false, false);
        let states: Vec<Id> = {
            let mut s: Vec<Id> = p.atoms().into_iter().filter(|&a| self.is_input(a)).collect();
            s.sort_unstable();
            s
        };
        for state in states {
            match self.update(state, membrane, z) {
                Some(Update::Potential(_)) if lasting && potential => {
                    let reason = "two inputs could be its membrane potential";
                    return Err((membrane, reason.into(), "export all timesteps unrolled"));
                }
                Some(Update::Potential(q)) => {
                    potential = true;
                    p = p.with(state, &q, self.table).ok_or((
                        membrane,
                        "has a state of too high a degree".to_owned(),
                        STATES,
                    ))?;
                    if let Some(&before) = self.fires.get(&state) {
                        if self.thresholds[&state] != self.thresholds[&membrane] {
                            let reason = "fires by one threshold and resets by another";
                            return Err((membrane, reason.into(), "use one threshold"));
                        }
                        p = p.with(before, &Polynomial::atom(z), self.table).ok_or((
                            membrane,
                            "has a reset of too high a degree".to_owned(),
                            STATES,
                        ))?;
                    }
                    found.states.insert(state);
                    lasting = true;
                }
                Some(Update::Current(q)) => {
                    current = Some((state, q));
                    found.states.insert(state);
                    lasting = true;
                }
                None => {}
            }
        }
        if !lasting {
            let reason = "fires without a membrane potential that lasts to the next timestep: the exporter has left the state out";
            return Err((membrane, reason.into(), STATES));
        }
        for input in self.fed_back(membrane, z, &p, found)? {
            found.recurrent.insert(input, found.neurons.len());
        }
        let current = match current {
            Some((state, q)) => Some(self.synaptic(membrane, &mut p, state, &q)?),
            None => None,
        };
        let rule =
            Rule::of(&p, (membrane, z)).map_err(|r| (membrane, r, "use soft or hard reset"))?;
        let mut neuron = rule
            .neuron(&self.thresholds[&membrane])
            .map_err(|r| (membrane, r, "use soft or hard reset"))?;
        neuron.current = current;
        let inputs = vec![rule.inputs];
        Ok(Neurons { membranes: vec![membrane], inputs, neuron, origin: None, shape: Vec::new() })
    }

    /// How an input that may be a state becomes one of the outputs.
    fn update(&self, state: Id, membrane: Id, z: Id) -> Option<Update> {
        let mut cut = self.cut.clone();
        cut.insert(membrane);
        let mut found = Vec::new();
        for (_, frames) in &self.framed.outputs {
            let &[output] = frames.as_slice() else { continue };
            if self.table.shape(output) != self.table.shape(state) || self.is_spike(output) {
                continue;
            }
            let q = if output == membrane {
                Some(Polynomial::atom(membrane))
            } else {
                polynomial(self.table, output, &cut)
            };
            let Some(q) = q else { continue };
            let atoms = q.atoms();
            if atoms.contains(&membrane) && atoms.iter().all(|a| [membrane, z].contains(a)) {
                found.push(Update::Potential(q));
            } else if atoms.contains(&state) && !atoms.contains(&membrane) {
                found.push(Update::Current(q));
            }
        }
        // What follows from the state itself is its own; else it is the potential.
        found.sort_by_key(|u| matches!(u, Update::Potential(_)));
        found.into_iter().next()
    }

    fn is_spike(&self, id: Id) -> bool {
        matches!(self.table.get(id), Expression::Fires { .. })
    }

    /// Inputs that, through synapses, feed the neurons whose spikes are an output of that shape.
    fn fed_back(
        &self,
        membrane: Id,
        z: Id,
        p: &Polynomial,
        found: &Found,
    ) -> Result<Vec<Id>, Refusal> {
        let shown = self.framed.outputs.iter().any(|(_, f)| f.as_slice() == [z]);
        if !shown {
            return Ok(Vec::new());
        }
        let shape = self.table.shape(membrane);
        let feeds = p.atoms().into_iter().filter_map(|a| match *self.table.get(a) {
            Expression::Layer { source, .. } if self.is_input(source) => Some(source),
            _ => None,
        });
        let mut sources: Vec<Id> = feeds.collect();
        sources.sort_unstable();
        sources.dedup();
        let all = sources.len();
        sources.retain(|&s| self.table.shape(s) == shape && !found.states.contains(&s));
        match sources.len() {
            _ if all < 2 => Ok(Vec::new()),
            own if own == all => {
                let reason =
                    "gets two inputs of the shape of its own spikes: which of them comes back?";
                Err((membrane, reason.into(), "export all timesteps unrolled"))
            }
            _ => Ok(sources),
        }
    }

    /// Takes a synaptic current out of the potential's rule.
    fn synaptic(
        &self,
        membrane: Id,
        p: &mut Polynomial,
        state: Id,
        q: &Polynomial,
    ) -> Result<SynapticCurrent, Refusal> {
        let refuse = || {
            let reason = "has a second state that is no synaptic current".to_owned();
            (membrane, reason, "use IF, LIF or current-based LIF neurons")
        };
        let decay = q.coefficient(&[state]);
        let gain = zip(&p.coefficient(&[state]), &decay, |a, b| if b == 0.0 { 0.0 } else { a / b });
        for (key, values) in &q.0 {
            let expected = zip(values, &gain, |v, g| v * g);
            if key.len() > 1 || !equal(&p.coefficient(key), &expected) {
                return Err(refuse());
            }
        }
        p.0.remove(&vec![state]);
        if !equal(&gain, &vec![1.0]) {
            return Err(refuse());
        }
        Ok(SynapticCurrent { decay: single(&decay), gain: Vec::new() })
    }
}
