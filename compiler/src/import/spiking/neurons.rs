//! Finds the neurons in a table of expressions: what is compared with a threshold is a membrane
//! potential, and how each follows from the one before says what the neuron does.

use std::collections::{BTreeMap, HashMap, HashSet};

use snnc_ir::{Comparison, Firing, FloatNeuron, FloatReset, Origin, SynapticCurrent};

use super::expression::{Expression, Id, Table, Values, zip};
use super::frames::Framed;
use super::polynomial::{Polynomial, polynomial};
use crate::Problem;

/// The neurons of one layer, over all timesteps in which the graph has them.
pub(super) struct Neurons {
    /// Membrane potential before the reset, timestep by timestep.
    pub membranes: Vec<Id>,
    /// What flows in at each timestep, with its factor.
    pub inputs: Vec<Inputs>,
    pub neuron: FloatNeuron,
    pub origin: Option<Origin>,
    pub shape: Vec<usize>,
}

/// All neurons, and what the graph's inputs are to them.
pub(super) struct Found {
    pub neurons: Vec<Neurons>,
    /// For each spike expression the layer and the timestep.
    pub spikes: HashMap<Id, (usize, usize)>,
    /// Graph inputs that carry spikes of the timestep before: the layer.
    pub recurrent: HashMap<Id, usize>,
    /// Graph inputs that carry states.
    pub states: HashSet<Id>,
}

/// A comparison with a threshold.
#[derive(Clone, PartialEq)]
struct Threshold {
    value: Values,
    strict: bool,
}

const STATES: &str = "export the states as inputs and outputs, or all timesteps unrolled (SpikingJelly: step mode `m` with torch.onnx.export(.., dynamo=True))";

/// How close two coefficients must be to be one; the graph's own are single precision.
fn equal(a: &Values, b: &Values) -> bool {
    zip(a, b, |x, y| (x - y).abs() - 1e-6 * x.abs().max(y.abs()).max(1.0)).iter().all(|&d| d <= 0.0)
}

fn zero(a: &Values) -> bool {
    equal(a, &vec![0.0])
}

fn single(values: &Values) -> Vec<f32> {
    values.iter().map(|&v| v as f32).collect()
}

/// Where, why, and what would help.
type Refusal = (Id, String, &'static str);

/// What flows into a layer, each with its factor.
type Inputs = BTreeMap<Id, Values>;

struct Search<'a> {
    framed: &'a Framed,
    table: &'a Table,
    thresholds: BTreeMap<Id, Threshold>,
    /// Spike expression of each membrane.
    fires: HashMap<Id, Id>,
    polynomials: HashMap<Id, Polynomial>,
    cut: HashSet<Id>,
    problems: Vec<Problem>,
}

/// Finds all neurons.
///
/// # Errors
/// Everything that fires and is no neuron, with what the exporter may have left out.
pub(super) fn find(framed: &Framed) -> Result<Found, Vec<Problem>> {
    let mut search = Search {
        framed,
        table: &framed.table,
        thresholds: BTreeMap::new(),
        fires: HashMap::new(),
        polynomials: HashMap::new(),
        cut: HashSet::new(),
        problems: Vec::new(),
    };
    search.thresholds();
    search.expand();
    if !search.problems.is_empty() {
        return Err(search.problems);
    }
    let mut found = Found {
        neurons: Vec::new(),
        spikes: HashMap::new(),
        recurrent: HashMap::new(),
        states: HashSet::new(),
    };
    for chain in search.chains() {
        search.layer(&chain, &mut found);
    }
    if search.problems.is_empty() { Ok(found) } else { Err(search.problems) }
}

impl Search<'_> {
    fn place(&self, id: Id) -> String {
        match self.table.origin(id) {
            Some(o) => format!("{} `{}`", o.op, o.node),
            None => "a neuron".into(),
        }
    }

    fn problem(&mut self, id: Id, reason: impl Into<String>, remedy: &str) {
        let problem = Problem::new(self.place(id), reason, remedy);
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    /// What is compared, and with what.
    fn thresholds(&mut self) {
        for id in 0..self.table.len() {
            let Expression::Fires { strict, left, right } = *self.table.get(id) else { continue };
            let (membrane, value) = match (self.table.get(left), self.table.get(right)) {
                (_, Expression::Constant(limit)) => {
                    match (self.table.get(left), limit.as_slice()) {
                        (Expression::Sum(h, c), [0.0])
                            if let Expression::Constant(c) = self.table.get(*c) =>
                        {
                            (*h, c.iter().map(|c| -c).collect())
                        }
                        _ => (left, limit.clone()),
                    }
                }
                (Expression::Constant(_), _) => {
                    let reason = "fires below a threshold, for which there is no neuron";
                    self.problem(id, reason, "export neurons that fire above their threshold");
                    continue;
                }
                _ => {
                    let reason = "compares two computed values: its threshold is no constant";
                    self.problem(id, reason, "export in evaluation mode, with constant thresholds");
                    continue;
                }
            };
            let threshold = Threshold { value, strict };
            match self.thresholds.get(&membrane) {
                Some(other) if *other != threshold => {
                    let reason =
                        "is compared with several thresholds, for which there is no neuron";
                    self.problem(membrane, reason, "export neurons with one threshold each");
                }
                _ => {
                    self.thresholds.insert(membrane, threshold);
                    self.fires.insert(membrane, id);
                }
            }
        }
        self.cut = self.thresholds.keys().copied().collect();
    }

    fn expand(&mut self) {
        for membrane in self.thresholds.keys().copied().collect::<Vec<_>>() {
            match polynomial(self.table, membrane, &self.cut) {
                Some(p) => {
                    self.polynomials.insert(membrane, p);
                }
                None => {
                    let reason =
                        "is a membrane potential that is no sum of its state, spikes and input";
                    self.problem(membrane, reason, "use IF, LIF or current-based LIF neurons");
                }
            }
        }
    }

    /// The membrane potential of the timestep before: what the reset is about, or what alone flows in.
    fn previous(&self, membrane: Id) -> Option<Id> {
        let atoms = self.polynomials.get(&membrane)?.atoms();
        let spiked = |m: &&Id| self.fires.get(m).is_some_and(|z| atoms.contains(z));
        let others: Vec<&Id> =
            self.cut.iter().filter(|&&m| m != membrane && atoms.contains(&m)).collect();
        let reset: Vec<&&Id> = others.iter().filter(|m| spiked(m)).collect();
        match (reset.as_slice(), others.as_slice()) {
            ([one], _) => Some(***one),
            (_, [one]) => Some(**one),
            _ => None,
        }
    }

    /// Membrane potentials in the order of time, one row for each layer.
    fn chains(&mut self) -> Vec<Vec<Id>> {
        let mut next: HashMap<Id, Id> = HashMap::new();
        let mut first = Vec::new();
        for &membrane in self.thresholds.keys().collect::<Vec<_>>() {
            // A graph input that is compared is the state before the only timestep.
            if matches!(self.table.get(membrane), Expression::Input { .. })
                && self.fires_later(membrane)
            {
                continue;
            }
            match self.previous(membrane).filter(|&p| !self.is_input(p)) {
                Some(before) => {
                    if next.insert(before, membrane).is_some() {
                        let problem = Problem::new(
                            self.place(membrane),
                            "two membrane potentials follow from one",
                            STATES,
                        );
                        self.problems.push(problem);
                    }
                }
                None => first.push(membrane),
            }
        }
        let follow = |start: Id| {
            std::iter::successors(Some(start), |m| next.get(m).copied()).take(self.table.len())
        };
        first.into_iter().map(|m| follow(m).collect()).collect()
    }

    fn is_input(&self, id: Id) -> bool {
        matches!(self.table.get(id), Expression::Input { .. })
    }

    /// Whether another membrane potential follows from this one.
    fn fires_later(&self, id: Id) -> bool {
        self.polynomials.iter().any(|(&m, p)| m != id && p.atoms().contains(&id))
    }

    fn layer(&mut self, chain: &[Id], found: &mut Found) {
        let result =
            if chain.len() == 1 { self.step(chain[0], found) } else { self.unrolled(chain) };
        match result {
            Ok(mut neurons) => {
                let layer = found.neurons.len();
                for (t, m) in chain.iter().enumerate() {
                    if let Some(&z) = self.fires.get(m) {
                        found.spikes.insert(z, (layer, t));
                    }
                }
                let last = chain[chain.len() - 1];
                neurons.origin = self.table.origin(self.fires[&last]).cloned();
                neurons.shape = self.table.shape(last).to_vec();
                found.neurons.push(neurons);
            }
            Err((id, reason, remedy)) => self.problem(id, reason, remedy),
        }
    }

    /// All timesteps are in the graph: they must be copies of one.
    fn unrolled(&self, chain: &[Id]) -> Result<Neurons, Refusal> {
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

    /// One timestep, with states as inputs and outputs.
    fn step(&self, membrane: Id, found: &mut Found) -> Result<Neurons, Refusal> {
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

enum Update {
    Potential(Polynomial),
    Current(Polynomial),
}

/// How a membrane potential follows from the one before: `decay * h + product * h * z + spike * z +
/// constant + inputs`.
struct Rule {
    decay: Values,
    product: Values,
    spike: Values,
    constant: Values,
    inputs: Inputs,
}

impl Rule {
    fn of(p: &Polynomial, (h, z): (Id, Id)) -> Result<Rule, String> {
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
    fn like(&self, other: &Rule) -> bool {
        equal(&self.decay, &other.decay)
            && equal(&self.product, &other.product)
            && equal(&self.spike, &other.spike)
            && equal(&self.constant, &other.constant)
    }

    /// The polynomial of a timestep with the same input.
    fn instance(&self, (h, z): (Id, Id), table: &Table) -> Option<Polynomial> {
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

    fn neuron(&self, threshold: &Threshold) -> Result<FloatNeuron, String> {
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
        Ok(FloatNeuron {
            decay: single(&self.decay),
            gain: Vec::new(),
            input_bias: Vec::new(),
            drive: if zero(&self.constant) { Vec::new() } else { single(&self.constant) },
            current: None,
            initial: Vec::new(),
            firing: Some(Firing { threshold, comparison, reset }),
        })
    }
}
