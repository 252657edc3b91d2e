//! What a network shows: spikes, what a last layer makes of them, a potential, or sums over time.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use snnc_ir::{DType, Decoder, Graph, Node, NodeId, Readout, SpikingOp, TensorType};

use super::super::Shown;
use super::super::expression::{Expression, Id, LayerKind, Values, zip};
use super::super::flow::{Affine, Flow};
use super::super::linear::shortened;
use super::super::neurons::{equal, single};
use super::{Builder, population, relay, take};

/// How far weights of timesteps may be from equal, or from a geometric row.
const NEAR: f64 = 1e-5;

/// What each timestep adds to an expression.
#[derive(Clone, Default)]
struct Timed {
    steps: BTreeMap<usize, Affine>,
    constant: Values,
}

/// What is decoded, and how.
struct Answer {
    from: NodeId,
    readout: Readout,
    scale: f32,
    /// Whether the output has a row for each timestep.
    every: bool,
}

const HOW: &str = "show spikes, what a linear layer makes of them, or a membrane potential; sums and means over all timesteps too";

impl Builder<'_> {
    /// Adds a decoder for each output that is no state.
    pub(super) fn outputs(&mut self, source: &Graph) {
        let (framed, found) = (self.framed, self.found);
        let mut answered: Vec<&[Id]> = Vec::new();
        for (index, (node, frames)) in framed.outputs.iter().enumerate() {
            let Some(last) = frames.last() else { continue };
            let state = found.feedback.iter().any(|&(_, output)| output == index);
            let shown = found.readouts.contains_key(last) || found.spikes.contains_key(last);
            if state && (!shown || answered.contains(&frames.as_slice())) {
                continue;
            }
            answered.push(frames);
            let node = &source[*node];
            if found.neurons.iter().any(|n| n.neuron.firing.is_some() && n.membranes.contains(last))
            {
                let text = "is not answered: it is the potential of neurons that fire";
                self.notes.push((node.describe(), text.into()));
                continue;
            }
            match self.answer(source, frames) {
                Ok(answer) => {
                    let name = self.decode(node, &answer);
                    let shape = node.ty.shape.clone();
                    self.shown.push(Shown { name, shape, every: answer.every, index });
                }
                Err(reason) => self.problem(node.describe(), reason, HOW),
            }
        }
        if self.graph.outputs().is_empty() && self.problems.is_empty() {
            let reason = "shows no spikes, and nothing that is made of spikes";
            self.problem("graph".into(), reason, HOW);
        }
    }

    fn decode(&mut self, node: &Node, answer: &Answer) -> String {
        let shape = self.graph[answer.from].ty.shape.clone();
        let decoder =
            Decoder { readout: answer.readout, scale: vec![answer.scale], zero: Vec::new() };
        let name = self.graph.fresh_name(&node.name);
        let mut out = Node::spiking(name.clone(), SpikingOp::Decoder(decoder), shape.clone());
        out.ty = TensorType::new(DType::F32, shape);
        self.graph.add(out.with_origins(&node.origins), &[answer.from]);
        name
    }

    fn answer(&mut self, source: &Graph, frames: &[Id]) -> Result<Answer, String> {
        let timesteps = self.graph.timing.timesteps;
        let (first, last) = (frames[0], frames[frames.len() - 1]);
        if let Some(&layer) = self.found.readouts.get(&last) {
            let from = self.populations[layer];
            // A graph of one timestep shows the potential whenever it is run.
            let every = frames.len() > 1 || timesteps == 1;
            return Ok(Answer { from, readout: Readout::Last, scale: 1.0, every });
        }
        if frames.len() == timesteps {
            let spikes: Option<Vec<(usize, usize)>> =
                frames.iter().map(|f| self.found.spikes.get(f).copied()).collect();
            let own = |s: &[(usize, usize)]| {
                s.iter().enumerate().all(|(t, &(layer, at))| layer == s[0].0 && at == t)
            };
            let from = match spikes.as_deref() {
                Some(steps) if own(steps) => self.populations[steps[0].0],
                _ => self.current(source, frames)?,
            };
            return Ok(Answer { from, readout: Readout::Sum, scale: 1.0, every: true });
        }
        if frames.len() != 1 {
            return Err("shows some of the timesteps and leaves out others".into());
        }
        let timed = self.timed(first, &mut HashMap::new())?;
        self.over_time(source, (*timed).clone(), timesteps)
    }

    /// Neurons that send what the same sum brings in each timestep.
    fn current(&mut self, source: &Graph, frames: &[Id]) -> Result<NodeId, String> {
        let last = frames.len() - 1;
        let sum = self.flows.affine(frames[last], last)?;
        for (t, &frame) in frames.iter().enumerate().filter(|_| last > 0) {
            let (own, expected) = (self.flows.affine(frame, t)?, self.flows.begun(&sum, t));
            if !own.like(&expected) || !equal(&own.constant, &expected.constant) {
                return Err(format!("shows something else in timestep {t} than at the end"));
            }
        }
        self.summed(source, sum)
    }

    fn summed(&mut self, source: &Graph, sum: Affine) -> Result<NodeId, String> {
        if sum.terms.is_empty() {
            return Err("shows a constant".into());
        }
        let shape = sum.shape.clone();
        Ok(self.sender(source, &Flow::Sum(Box::new(sum)), &shape).0)
    }

    /// The read-out of a sum over timesteps.
    fn over_time(
        &mut self,
        source: &Graph,
        timed: Timed,
        timesteps: usize,
    ) -> Result<Answer, String> {
        let Some((&at, base)) = timed.steps.last_key_value() else {
            return Err("shows nothing that is made of spikes".into());
        };
        if at + 1 != timesteps {
            return Err(format!("shows timestep {at}, which is not the last"));
        }
        let mut base = base.clone();
        if timed.steps.len() == 1 {
            base.constant = timed.constant;
            let from = self.summed(source, base)?;
            return Ok(Answer { from, readout: Readout::Last, scale: 1.0, every: false });
        }
        let shares: Option<Vec<f64>> = timed.steps.values().map(|s| share(s, &base)).collect();
        let shares = shares.filter(|s| s.len() == timesteps);
        let shares = shares.ok_or("adds up other things in some timesteps than in others")?;
        let decay = shares[timesteps - 2];
        let near = |a: f64, b: f64| (a - b).abs() <= NEAR * a.abs().max(b.abs()).max(1e-3);
        let mut weight = 1.0;
        let mut all = 0.0;
        for &share in shares.iter().rev() {
            if !near(share, weight) {
                return Err("weights its timesteps neither alike nor by a decay".into());
            }
            all += weight;
            weight *= decay;
        }
        base.constant = shortened(timed.constant.iter().map(|k| k / all).collect());
        if !near(decay, 1.0) {
            let from = self.integrator(source, base, decay);
            return Ok(Answer { from, readout: Readout::Last, scale: 1.0, every: false });
        }
        // A mean of spikes counts them.
        if let ([only], [0.0]) = (base.terms.as_slice(), base.constant.as_slice())
            && let (None, Flow::Spikes { layer, delay: 0 }, &[scale]) =
                (only.layer, &only.of, only.factor.as_slice())
        {
            let from = self.populations[*layer];
            let scale = scale as f32;
            return Ok(Answer { from, readout: Readout::Sum, scale, every: false });
        }
        let from = self.summed(source, base)?;
        Ok(Answer { from, readout: Readout::Sum, scale: 1.0, every: false })
    }

    /// Neurons that keep a share of their potential and never fire.
    fn integrator(&mut self, source: &Graph, sum: Affine, decay: f64) -> NodeId {
        let shape = sum.shape.clone();
        let intake = self.intake(sum, false);
        let mut neuron = relay();
        neuron.decay = single(&vec![decay]);
        take(&mut neuron, &intake);
        let name = self.graph.fresh_name("readout");
        let id = self.graph.add(population(name, neuron, &shape, None), &[]);
        self.connect(source, id, intake.pieces);
        id
    }

    /// What each timestep adds to an expression.
    fn timed(&mut self, id: Id, known: &mut HashMap<Id, Rc<Timed>>) -> Result<Rc<Timed>, String> {
        if let Some(timed) = known.get(&id) {
            return Ok(timed.clone());
        }
        let of = |steps, constant| Timed { steps, constant };
        let timed = match self.table.get(id).clone() {
            Expression::Constant(values) => of(BTreeMap::new(), values),
            Expression::Sum(a, b) => {
                let (a, b) = (self.timed(a, known)?, self.timed(b, known)?);
                let mut sum = (*a).clone();
                for (t, affine) in &b.steps {
                    let own = sum.steps.remove(t);
                    let all = own.map_or_else(|| affine.clone(), |own| own.plus(affine.clone()));
                    sum.steps.insert(*t, all);
                }
                sum.constant = shortened(zip(&sum.constant, &b.constant, |a, b| a + b));
                sum
            }
            Expression::Product(a, b) => {
                let (a, b) = (self.timed(a, known)?, self.timed(b, known)?);
                if !b.steps.is_empty() {
                    return Err("multiplies what neurons send".into());
                }
                let scaled = |(t, s): (&usize, &Affine)| (*t, s.clone().scaled(&b.constant));
                let constant = zip(&a.constant, &b.constant, |a, b| a * b);
                of(a.steps.iter().map(scaled).collect(), shortened(constant))
            }
            Expression::Layer { layer, source } => {
                let inner = self.timed(source, known)?;
                let pool = matches!(self.table.layers[layer].kind, LayerKind::Maximum(_));
                if pool && (inner.steps.len() != 1 || inner.constant != [0.0]) {
                    return Err("takes the largest of sums over time".into());
                }
                let mut steps = BTreeMap::new();
                for (&t, affine) in &inner.steps {
                    steps.insert(t, self.flows.through_without_bias(layer, affine.clone()));
                }
                let constant =
                    if pool { vec![0.0] } else { self.flows.applied(layer, &inner.constant) };
                of(steps, constant)
            }
            Expression::Joined(_) | Expression::Input { .. } | Expression::Fires { .. } => {
                let t = self.time(id).ok_or("shows the input itself")?;
                let mut affine = self.flows.affine(id, t)?;
                let constant = std::mem::replace(&mut affine.constant, vec![0.0]);
                of(BTreeMap::from([(t, affine)]), constant)
            }
        };
        let timed = Rc::new(timed);
        known.insert(id, timed.clone());
        Ok(timed)
    }

    /// The timestep of a source.
    fn time(&self, id: Id) -> Option<usize> {
        match self.table.get(id) {
            Expression::Fires { .. } => self.found.spikes.get(&id).map(|&(_, t)| t),
            Expression::Input { row, .. } => Some(*row),
            Expression::Joined(parts) => parts.iter().find_map(|(part, _)| self.time(*part)),
            Expression::Sum(a, b) | Expression::Product(a, b) => {
                self.time(*a).or_else(|| self.time(*b))
            }
            Expression::Layer { source, .. } => self.time(*source),
            Expression::Constant(_) => None,
        }
    }
}

/// How many times `base` a sum is.
fn share(sum: &Affine, base: &Affine) -> Option<f64> {
    let factor = |a: &Affine| a.terms.first().and_then(|t| t.factor.first().copied());
    let twin = base.terms.first()?;
    let own = sum.terms.iter().find(|t| t.layer == twin.layer && t.of == twin.of)?;
    let (a, b) = match twin.factor.iter().position(|f| f.abs() > 1e-9) {
        Some(place) => (*own.factor.get(place).or(own.factor.first())?, twin.factor[place]),
        None => (factor(sum)?, factor(base)?),
    };
    let share = a / b;
    sum.like(&base.clone().scaled(&[share])).then_some(share)
}
