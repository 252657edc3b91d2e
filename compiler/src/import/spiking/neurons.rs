//! Finds the neurons in a table of expressions: what is compared with a threshold is a membrane
//! potential, and how each follows from the one before says what the neuron does.

use std::collections::{BTreeMap, HashMap, HashSet};

use snnc_ir::{FloatNeuron, Origin};

use super::expression::{Expression, Id, Table, Values, zip};
use super::frames::Framed;
use super::polynomial::{Polynomial, polynomial};
use crate::Problem;

mod rule;
mod step;
mod unrolled;

/// The neurons of one layer, over all timesteps in which the graph has them.
pub(super) struct Neurons {
    /// Membrane potential before the reset, timestep by timestep.
    pub membranes: Vec<Id>,
    /// What flows in at each timestep, with its factor.
    pub inputs: Vec<Inputs>,
    /// Share of the potential that is kept.
    pub decay: Values,
    /// Added to the potential in each timestep.
    pub constant: Values,
    /// What is added in the first timestep, the potential before it included; as `constant` if `None`.
    pub first: Option<Values>,
    /// Added to what flows in, inside the synaptic current.
    pub inside: Values,
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
    /// Outputs that come back as a graph input in the next timestep: that input, and which output.
    pub feedback: Vec<(Id, usize)>,
    /// Neurons that do not fire and whose potential is shown: its last expression, and the layer.
    pub readouts: HashMap<Id, usize>,
}

/// A comparison with a threshold.
#[derive(Clone, PartialEq)]
struct Threshold {
    value: Values,
    strict: bool,
}

const STATES: &str = "export the states as inputs and outputs, or all timesteps unrolled (SpikingJelly: step mode `m` with torch.onnx.export(.., dynamo=True))";

/// How close two coefficients must be to be one; the graph's own are single precision.
pub(super) fn equal(a: &Values, b: &Values) -> bool {
    zip(a, b, |x, y| (x - y).abs() - 1e-6 * x.abs().max(y.abs()).max(1.0)).iter().all(|&d| d <= 0.0)
}

pub(super) fn zero(a: &Values) -> bool {
    equal(a, &vec![0.0])
}

pub(super) fn single(values: &Values) -> Vec<f32> {
    values.iter().map(|&v| v as f32).collect()
}

/// The spike of a potential that never fires.
const NEVER: Id = Id::MAX;

/// Where, why, and what would help.
type Refusal = (Id, String, &'static str);

/// What flows into a layer, each with its factor.
pub(super) type Inputs = BTreeMap<Id, Values>;

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
        feedback: Vec::new(),
        readouts: HashMap::new(),
    };
    for chain in search.chains() {
        search.layer(&chain, &mut found);
    }
    search.readouts(&mut found);
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
        let result = match chain {
            &[one] => self.step(one, found).and_then(|neurons| {
                let reason = "fires without a membrane potential that lasts to the next timestep: the exporter has left the state out";
                neurons.ok_or((one, reason.into(), STATES))
            }),
            _ => self.unrolled(chain),
        };
        match result {
            Ok(mut neurons) => {
                let layer = found.neurons.len();
                for (t, m) in chain.iter().enumerate() {
                    if let Some(&z) = self.fires.get(m) {
                        found.spikes.insert(z, (layer, t));
                    }
                }
                let last = chain[chain.len() - 1];
                let shown = self.fires.get(&last).copied().unwrap_or(last);
                neurons.origin = self.table.origin(shown).cloned();
                neurons.shape = self.table.shape(last).to_vec();
                found.neurons.push(neurons);
            }
            Err((id, reason, remedy)) => self.problem(id, reason, remedy),
        }
    }

    /// Potentials that are shown and never compared: of read-outs, which integrate and do not fire.
    fn readouts(&mut self, found: &mut Found) {
        for (index, (_, frames)) in self.framed.outputs.iter().enumerate() {
            let Some(&last) = frames.last() else { continue };
            let known = |f: &Id| found.spikes.contains_key(f) || self.cut.contains(f);
            let fed = found.feedback.iter().any(|&(_, output)| output == index);
            let plain = matches!(self.table.get(last), Expression::Constant(_));
            if fed || plain || frames.iter().any(known) || found.readouts.contains_key(&last) {
                continue;
            }
            let cut: HashSet<Id> = self.cut.iter().chain(frames).copied().collect();
            let sums: Option<Vec<Polynomial>> =
                frames.iter().map(|&f| polynomial(self.table, f, &cut)).collect();
            let Some(sums) = sums else { continue };
            let follows = |t: usize| sums[t].0.contains_key(&vec![frames[t - 1]]);
            let result = match frames.len() {
                1 => {
                    self.polynomials.insert(last, sums[0].clone());
                    self.step(last, found)
                }
                n if (1..n).all(follows) => {
                    self.polynomials.extend(frames.iter().copied().zip(sums));
                    self.unrolled(frames).map(Some)
                }
                _ => continue,
            };
            match result {
                Ok(Some(mut neurons)) => {
                    found.readouts.insert(last, found.neurons.len());
                    neurons.origin = self.table.origin(last).cloned();
                    neurons.shape = self.table.shape(last).to_vec();
                    found.neurons.push(neurons);
                }
                Ok(None) => {}
                Err((id, reason, remedy)) => self.problem(id, reason, remedy),
            }
        }
    }
}
