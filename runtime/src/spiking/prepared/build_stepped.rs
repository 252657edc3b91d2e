//! Nodes that have no form on bytes.

use snnc_ir::{Graph, NodeId, Operand as Edge, Projection, SpikingOp};

use super::build::Builder;
use super::forms::Form;
use super::link::Link;
use super::lists::Listed;
use super::order::sends;
use super::stepped::{Operand, Stepped, Work, quiet};
use super::{Action, Source, Why};

impl Builder<'_> {
    /// Lets a node run timestep by timestep.
    pub(super) fn stepped(&mut self, id: NodeId, op: &SpikingOp) -> Result<Form, Why> {
        let graph = self.graph;
        let [channels, plane] = split(&graph[id].ty.shape);
        let edges = graph.operands(id);
        let operands = match op {
            SpikingOp::Projection(p) => vec![self.through(id, p)?],
            _ => edges.iter().map(|edge| self.operand(edge)).collect::<Result<Vec<_>, _>>()?,
        };
        let work = match op {
            SpikingOp::Encoder(e) => {
                let input = graph.inputs().iter().position(|&i| i == id).ok_or("no input")?;
                Work::Encode { input, encoder: e.clone() }
            }
            SpikingOp::Projection(_) => Work::Pass,
            SpikingOp::Population(p) => {
                let constant =
                    |o: &Operand| o.link.is_none() && o.delay == 0 && self.is_constant(o.from);
                let on_time = |o: &Operand| o.link.as_ref().is_none_or(|link| link.delay == 0);
                let constant = operands.iter().all(constant);
                let quiet = quiet(p, channels, constant);
                let own = !self.behind_barrier && operands.iter().all(on_time);
                quiet.filter(|_| own).unwrap_or(Work::Neurons)
            }
            SpikingOp::MaxPool { window } => Work::MaxPool(window.clone()),
            SpikingOp::RunningMaxPool { window } => Work::RunningMaxPool(window.clone()),
            SpikingOp::Concatenate { axis } => Work::Concatenate(*axis),
            SpikingOp::Decoder(_) => return Err("it reads out"),
        };
        let fast = operands.iter().all(|o| o.link.as_ref().is_none_or(Link::is_fast));
        let form = match work {
            Work::Encode { .. } | Work::Pass | Work::Once | Work::SigmaDelta(_) if fast => {
                Form::Events
            }
            Work::Neurons if fast => Form::Neurons,
            _ => Form::Scalar,
        };
        let to = match (op, &work) {
            (SpikingOp::Population(p), Work::Neurons | Work::Once) if p.neuron.fires() => {
                let map = p.neuron.payloads().ok_or("unknown");
                map.and_then(|sent| self.map(id, sent.with_zero(), false, true)).ok()
            }
            _ => None,
        };
        let to = to.map(Source::Map).unwrap_or_else(|| {
            let slot = self.slots.get(&id).copied();
            self.lists.push(Listed { channels, plane, slot, counted: sends(op) });
            Source::Lists(self.lists.len() - 1)
        });
        self.sources.insert(id, to);
        let behind_barrier = self.behind_barrier;
        let own = Stepped { id, to, operands, channels, plane, behind_barrier, work };
        self.actions.push(Action::Stepped(Box::new(own)));
        Ok(form)
    }

    fn operand(&self, edge: &Edge) -> Result<Operand, Why> {
        match self.graph[edge.source].as_spiking() {
            Some(SpikingOp::Projection(p)) if self.absorbed(edge.source) => {
                self.through(edge.source, p)
            }
            _ => self.plain(edge),
        }
    }

    fn plain(&self, edge: &Edge) -> Result<Operand, Why> {
        let from = *self.sources.get(&edge.source).ok_or("it reads something that is not run")?;
        let [channels, plane] = split(&self.graph[edge.source].ty.shape);
        Ok(Operand { from, delay: self.delay(edge), channels, plane, link: None })
    }

    /// What comes through a projection.
    fn through(&self, id: NodeId, p: &Projection) -> Result<Operand, Why> {
        let graph: &Graph = self.graph;
        let edges = graph.operands(id);
        let edge = edges.first().ok_or("it reads nothing")?;
        let own = self.plain(edge)?;
        if self.settles && !p.delays.is_empty() {
            return Err("it runs until nothing is on its way through delayed synapses");
        }
        // A map counts what its projections do, if they are on time.
        let counted = matches!(own.from, Source::Map(_)) && own.delay == 0;
        let slot = if counted { None } else { self.slots.get(&edge.source).copied() };
        let link = Link::new(graph, id, p, slot).ok_or("a projection cannot be run")?;
        Ok(Operand { link: Some(link), ..own })
    }

    fn is_constant(&self, from: Source) -> bool {
        matches!(from, Source::Map(index) if {
            let map = &self.maps[index];
            map.steps == 1 && map.repeats == self.steps
        })
    }
}

/// Channels, and neurons of each.
fn split(shape: &[usize]) -> [usize; 2] {
    [shape.first().copied().unwrap_or(1), shape.iter().skip(1).product()]
}
