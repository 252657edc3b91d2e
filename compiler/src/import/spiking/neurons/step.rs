//! Networks whose graph is one timestep, with states as inputs and outputs.

use std::collections::BTreeSet;

use snnc_ir::SynapticCurrent;

use super::super::expression::{Expression, Id, Values, zip};
use super::super::polynomial::{Polynomial, polynomial};
use super::rule::Rule;
use super::{Found, NEVER, Neurons, Refusal, STATES, Search, equal, single};

enum Update {
    Potential(Polynomial),
    Current(Polynomial),
}

impl Search<'_> {
    /// One timestep, with states as inputs and outputs; `None` where nothing lasts to the next.
    pub(super) fn step(&self, membrane: Id, found: &mut Found) -> Result<Option<Neurons>, Refusal> {
        let z = self.fires.get(&membrane).copied().unwrap_or(NEVER);
        let mut p = self.polynomials[&membrane].clone();
        let mut current = None;
        let mut lasting = false;
        for (state, update) in self.updates(membrane, z, &p)? {
            match update {
                Some((Update::Potential(q), output)) => {
                    found.feedback.push((state, output));
                    p = p.with(state, &q, self.table).ok_or((
                        membrane,
                        "has a state of too high a degree".to_owned(),
                        STATES,
                    ))?;
                    if let Some(&before) = self.fires.get(&state) {
                        if self.thresholds.get(&state) != self.thresholds.get(&membrane) {
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
                Some((Update::Current(q), output)) => {
                    found.feedback.push((state, output));
                    current = Some((state, q));
                    found.states.insert(state);
                    lasting = true;
                }
                None => {}
            }
        }
        if !lasting {
            return Ok(None);
        }
        for (input, output) in self.fed_back(membrane, z, &p, found)? {
            found.recurrent.insert(input, found.neurons.len());
            found.feedback.push((input, output));
        }
        let (current, inside) = match current {
            Some((state, q)) => {
                let (current, inside) = self.synaptic((membrane, z), &mut p, state, &q)?;
                (Some(current), inside)
            }
            None => (None, vec![0.0]),
        };
        let rule =
            Rule::of(&p, (membrane, z)).map_err(|r| (membrane, r, "use soft or hard reset"))?;
        let mut neuron = rule
            .neuron(self.thresholds.get(&membrane))
            .map_err(|r| (membrane, r, "use soft or hard reset"))?;
        neuron.current = current;
        let inputs = vec![rule.inputs.clone()];
        Ok(Some(Neurons {
            membranes: vec![membrane],
            inputs,
            decay: rule.decay,
            constant: rule.constant,
            first: None,
            inside,
            neuron,
            origin: None,
            shape: Vec::new(),
        }))
    }

    /// The inputs in a potential, each with what it becomes if it is a state.
    #[allow(clippy::type_complexity, reason = "a list of what `update` gives")]
    fn updates(
        &self,
        membrane: Id,
        z: Id,
        p: &Polynomial,
    ) -> Result<Vec<(Id, Option<(Update, usize)>)>, Refusal> {
        let mut inputs: Vec<Id> = p.atoms().into_iter().filter(|&a| self.is_input(a)).collect();
        inputs.sort_unstable();
        let mut all: Vec<_> =
            inputs.into_iter().map(|id| (id, self.update(id, membrane, z))).collect();
        let potential = |u: &Option<(Update, usize)>| matches!(u, Some((Update::Potential(_), _)));
        if all.iter().filter(|(_, u)| potential(u)).count() < 2 {
            return Ok(all);
        }
        // Inputs without a layer look like states; those are in the place of their output.
        let placed = |id: Id, u: &Option<(Update, usize)>| matches!((self.table.get(id), u), (Expression::Input { input, .. }, Some((_, output))) if input == output);
        let own = all.iter().filter(|(id, u)| potential(u) && placed(*id, u)).count();
        if own != 1 {
            let reason = "two inputs could be its membrane potential";
            let remedy = "put states in the same order behind the first input and the first output";
            return Err((membrane, reason.into(), remedy));
        }
        for (id, update) in &mut all {
            if potential(update) && !placed(*id, update) {
                *update = None;
            }
        }
        Ok(all)
    }

    /// How an input that may be a state becomes one of the outputs, and which.
    fn update(&self, state: Id, membrane: Id, z: Id) -> Option<(Update, usize)> {
        let mut cut = self.cut.clone();
        cut.insert(membrane);
        let mut found = Vec::new();
        for (index, (_, frames)) in self.framed.outputs.iter().enumerate() {
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
                found.push((Update::Potential(q), index));
            } else if atoms.contains(&state) && !atoms.contains(&membrane) {
                found.push((Update::Current(q), index));
            }
        }
        // What follows from the state itself is its own; else it is the potential.
        found.sort_by_key(|(u, _)| matches!(u, Update::Potential(_)));
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
    ) -> Result<Vec<(Id, usize)>, Refusal> {
        // An output that comes back may also be the answer, under a name of its own.
        let shown = self.framed.outputs.iter().rposition(|(_, f)| f.as_slice() == [z]);
        let Some(shown) = shown else { return Ok(Vec::new()) };
        let shape = self.table.shape(membrane);
        let mut sources = BTreeSet::new();
        for atom in p.atoms() {
            if matches!(self.table.get(atom), Expression::Layer { .. } | Expression::Joined(_)) {
                self.inputs_of(atom, &mut sources);
            }
        }
        let all = sources.len();
        let fits = |s: &Id| self.table.shape(*s) == shape && !found.states.contains(s);
        let mut own: Vec<Id> = sources.into_iter().filter(fits).collect();
        if own.len() == all && all > 1 {
            // The input may have as many neurons; what comes back is in the place of its output.
            own.retain(|&s| {
                matches!(self.table.get(s), Expression::Input { input, .. } if *input == shown)
            });
            if own.len() != 1 {
                let reason =
                    "gets two inputs of the shape of its own spikes: which of them comes back?";
                return Err((membrane, reason.into(), "export all timesteps unrolled"));
            }
        }
        match all {
            0 | 1 => Ok(Vec::new()),
            _ => Ok(own.into_iter().map(|source| (source, shown)).collect()),
        }
    }

    /// The graph inputs that flow into an expression without a neuron between.
    fn inputs_of(&self, id: Id, inputs: &mut BTreeSet<Id>) {
        match self.table.get(id) {
            Expression::Input { .. } => {
                inputs.insert(id);
            }
            Expression::Layer { source, .. } => self.inputs_of(*source, inputs),
            Expression::Sum(a, b) | Expression::Product(a, b) => {
                self.inputs_of(*a, inputs);
                self.inputs_of(*b, inputs);
            }
            Expression::Joined(parts) => {
                parts.iter().for_each(|(part, _)| self.inputs_of(*part, inputs));
            }
            Expression::Constant(_) | Expression::Fires { .. } => {}
        }
    }

    /// Takes a synaptic current out of the potential's rule: the current, and the constant inside it.
    fn synaptic(
        &self,
        (membrane, z): (Id, Id),
        p: &mut Polynomial,
        state: Id,
        q: &Polynomial,
    ) -> Result<(SynapticCurrent, Values), Refusal> {
        let refuse = || {
            let reason = "has a second state that is no synaptic current".to_owned();
            (membrane, reason, "use IF, LIF or current-based LIF neurons")
        };
        let decay = q.coefficient(&[state]);
        let gain = zip(&p.coefficient(&[state]), &decay, |a, b| if b == 0.0 { 0.0 } else { a / b });
        // All of the current moves the potential, its new part and what was kept, and nothing else does.
        for (key, values) in &q.0 {
            let expected = zip(values, &gain, |v, g| v * g);
            if key.len() > 1 || (key.len() == 1 && !equal(&p.coefficient(key), &expected)) {
                return Err(refuse());
            }
        }
        let own = |key: &[Id]| matches!(key, [a] if [membrane, z].contains(a)) || key.len() != 1;
        if p.0.keys().any(|key| !own(key) && !q.0.contains_key(key)) {
            return Err(refuse());
        }
        p.0.remove(&vec![state]);
        let inside = zip(&q.coefficient(&[]), &gain, |k, g| k * g);
        let outside = zip(&p.coefficient(&[]), &inside, |all, inside| all - inside);
        p.0.insert(Vec::new(), outside);
        Ok((SynapticCurrent { decay: single(&decay), gain: Vec::new() }, inside))
    }
}
