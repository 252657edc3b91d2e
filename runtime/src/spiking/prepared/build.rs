//! From a spiking graph to a plan: maps laid out, weights packed, neurons chosen.

use std::collections::HashMap;

use snnc_ir::analysis::Interval;
use snnc_ir::{
    BiasPlacement, Graph, IntegrateAndFire, NodeId, Op, Operand, Population, Presentation,
    Schedule, SpikingOp, Window,
};

use super::fire::{self, Facts, Fire};
use super::forms::{Form, NodeForm};
use super::lists::Listed;
use super::map::{Map, extents};
use super::order::{along, has_activity};
use super::synapses::{Geometry, Synapses};
use super::{Action, Layer, Plan, Pool, PoolKind, Source, Totals, Why};
use crate::kernels::Isa;
use crate::kernels::elements::Windows;
use crate::kernels::product::BLOCK;

/// Samples are run at once as long as all maps of them take less than the weights, or than so many bytes,
/// which the cache holds.
const NEAR: usize = 1 << 19;

/// More samples at once save nothing.
const LARGEST_GROUP: usize = 32;

/// A run of more timesteps would need large buffers.
const LONGEST: usize = 1 << 12;

/// Potentials are kept as 32-bit integers below this size.
const LARGEST: i64 = 1 << 30;

pub(super) struct Builder<'a> {
    pub(super) graph: &'a Graph,
    pub(super) steps: usize,
    pub(super) behind_barrier: bool,
    pub(super) maps: Vec<Map>,
    totals: Vec<Totals>,
    pub(super) lists: Vec<Listed>,
    pub(super) sources: HashMap<NodeId, Source>,
    pub(super) actions: Vec<Action>,
    /// Where the activity of nodes is counted.
    pub(super) slots: HashMap<NodeId, usize>,
    forms: Vec<NodeForm>,
}

/// What reaches a population.
struct Arrivals {
    synapses: Vec<Synapses>,
    /// Gains of each projection, channel by channel.
    gains: Vec<Vec<i64>>,
    /// What each channel can be given in one timestep; in the whole frame behind a barrier.
    arriving: Vec<Interval>,
    /// `None` where 32 bits do not hold it, or a gain.
    bias: Option<Vec<i32>>,
    /// Whether 32 bits hold the sums before their gains.
    narrow: bool,
}

impl<'a> Builder<'a> {
    /// The plan of a graph; why not, if it belongs to the scalar interpreter.
    pub(super) fn plan(graph: &'a Graph, order: &[NodeId], isa: Isa) -> Result<Plan, Why> {
        let behind_barrier = match graph.timing.schedule {
            Schedule::Streaming => false,
            Schedule::LayerSynchronous => true,
            Schedule::UntilSettled => return Err("it runs until nothing is sent any more"),
        };
        let steps = graph.timing.timesteps;
        if !(1..=LONGEST).contains(&steps) {
            return Err("it has more timesteps than are kept at once");
        }
        let counted: Vec<NodeId> =
            order.iter().copied().filter(|&id| has_activity(graph, id)).collect();
        let mut builder = Builder {
            graph,
            steps,
            behind_barrier,
            maps: Vec::new(),
            totals: Vec::new(),
            lists: Vec::new(),
            sources: HashMap::new(),
            actions: Vec::new(),
            slots: counted.iter().enumerate().map(|(slot, &id)| (id, slot)).collect(),
            forms: Vec::new(),
        };
        for id in along(graph, order)? {
            builder.node(id)?;
        }
        Ok(builder.finish(counted, isa))
    }

    fn finish(mut self, counted: Vec<NodeId>, isa: Isa) -> Plan {
        // Nothing reads what is decoded: outputs follow all else, in the order of the graph.
        self.actions.sort_by_key(|a| match a {
            Action::Decode { id, .. } => Some(*id),
            _ => None,
        });
        let layers = self.actions.iter().filter_map(|a| match a {
            Action::Layer(layer) => Some(layer),
            _ => None,
        });
        let (mut constant, mut varying, mut patches, mut weights) = (0, 0, 0, 0);
        for layer in layers {
            constant = constant.max(layer.block * layer.width);
            // Neurons of wide sums are given those of each projection apart.
            let apart = if matches!(layer.fire, Fire::Wide(_)) { layer.synapses.len() } else { 1 };
            varying = varying.max(layer.block * self.steps * layer.width * apart);
            for s in &layer.synapses {
                let rows = layer.block * self.maps[s.from].steps;
                patches = patches.max(rows * s.patch_len());
                weights += s.weights();
            }
        }
        let each: usize = self.maps.iter().map(Map::len).sum();
        self.maps.iter_mut().for_each(Map::tabulate);
        Plan {
            group: (weights.max(NEAR) / each.max(1)).clamp(1, LARGEST_GROUP),
            isa,
            steps: self.steps,
            maps: self.maps,
            totals: self.totals,
            lists: self.lists,
            actions: self.actions,
            counted,
            forms: self.forms,
            sources: self.sources,
            sums: [constant, varying],
            patches,
        }
    }

    fn node(&mut self, id: NodeId) -> Result<(), Why> {
        let graph = self.graph;
        let Op::Spiking(op) = &graph[id].op else { return Err("it is no spiking network") };
        match op {
            // A part of the population that it leads to.
            SpikingOp::Projection(_) if self.absorbed(id) => return Ok(()),
            SpikingOp::Decoder(d) => {
                let operands = graph.operands(id);
                let operand = operands.first().ok_or("nothing is read out")?;
                let from = *self.sources.get(&operand.source).ok_or("nothing is read out")?;
                let (delay, decoder) = (self.delay(operand), d.clone());
                self.actions.push(Action::Decode { id, from, delay, decoder });
                return Ok(());
            }
            _ => {}
        }
        let before = [self.maps.len(), self.totals.len(), self.actions.len()];
        let form = match self.bytes(id, op) {
            Ok(()) => self.form(id),
            Err(why) => {
                self.maps.truncate(before[0]);
                self.totals.truncate(before[1]);
                self.actions.truncate(before[2]);
                self.sources.remove(&id);
                NodeForm { node: id, form: self.stepped(id, op)?, reason: why }
            }
        };
        self.forms.push(form);
        Ok(())
    }

    /// How a node that has just got a form on bytes runs.
    fn form(&self, node: NodeId) -> NodeForm {
        match self.actions.last() {
            Some(Action::Layer(layer)) if matches!(layer.fire, Fire::Each) => {
                let reason = "its neurons are of no kind that has a kernel";
                NodeForm { node, form: Form::Neurons, reason }
            }
            _ => NodeForm { node, form: Form::Bytes, reason: "" },
        }
    }

    /// Whether a projection is a part of the population that it leads to.
    pub(super) fn absorbed(&self, id: NodeId) -> bool {
        let graph = self.graph;
        let [user] = graph.users(id)[..] else { return false };
        let delayed = |o: &Operand| o.source == id && self.delay(o) > 0;
        matches!(graph[user].as_spiking(), Some(SpikingOp::Population(_)))
            && !graph.operands(user).iter().any(delayed)
    }

    /// Timesteps by which an operand is late; behind barriers, none.
    pub(super) fn delay(&self, operand: &Operand) -> usize {
        if self.behind_barrier { 0 } else { operand.delay as usize }
    }

    /// Gives a node a form on bytes.
    fn bytes(&mut self, id: NodeId, op: &SpikingOp) -> Result<(), Why> {
        let graph = self.graph;
        let late = |&id: &NodeId| graph.operands(id).iter().any(|o| self.delay(o) > 0);
        let projections = graph.sources(id).into_iter().filter(|&s| self.absorbed(s));
        if late(&id) || projections.collect::<Vec<_>>().iter().any(late) {
            return Err("what reaches it is delayed");
        }
        match op {
            SpikingOp::Encoder(e) => {
                let (low, high) = (e.minimum - e.zero_point, e.maximum - e.zero_point);
                let (range, constant) = match e.presentation {
                    Presentation::EveryTimestep => (Interval::new(low, high), true),
                    Presentation::Once => (Interval::new(low, high), self.steps == 1),
                    Presentation::BitSerial { .. } => (Interval::new(0, 1), false),
                    Presentation::InTime => return Err("its numbers are given in time"),
                };
                let to = self.map(id, range.with_zero(), constant, true)?;
                let input = graph.inputs().iter().position(|&i| i == id).ok_or("no input")?;
                self.actions.push(Action::Encode { input, encoder: e.clone(), to });
                Ok(())
            }
            SpikingOp::Projection(_) => Err("its sums are read by something other than neurons"),
            SpikingOp::Population(p) => self.layer(id, p),
            SpikingOp::MaxPool { window } => self.pool(id, window, PoolKind::Maximum),
            SpikingOp::RunningMaxPool { window } => self.pool(id, window, PoolKind::Running),
            SpikingOp::Concatenate { axis: 0 } => self.concatenate(id),
            SpikingOp::Concatenate { .. } => Err("it joins along another dimension than channels"),
            SpikingOp::Decoder(_) => Err("it reads out"),
        }
    }

    /// Adds the map of a node, with the borders that its readers need.
    pub(super) fn map(
        &mut self,
        id: NodeId,
        sent: Interval,
        constant: bool,
        counted: bool,
    ) -> Result<usize, Why> {
        let graph = self.graph;
        let [channels, height, width] = extents(&graph[id].ty.shape).ok_or(DIMENSIONS)?;
        if sent.high.checked_sub(sent.low).is_none_or(|span| span > 255) {
            return Err("a byte does not hold what it sends");
        }
        let mut map = Map {
            channels,
            height,
            width,
            stride: if channels < 4 { channels } else { channels.next_multiple_of(4) },
            steps: if constant { 1 } else { self.steps },
            repeats: if constant { self.steps } else { 1 },
            low: sent.low,
            high: sent.high,
            border: [0; 4],
            counted,
            slot: self.slots.get(&id).copied(),
            projects: false,
            fan_out: Vec::new(),
            fan_out_each: Vec::new(),
        };
        let mut readers = Vec::new();
        for user in graph.users(id) {
            let on_time = |o: &Operand| o.source == id && self.delay(o) == 0;
            if let Some(SpikingOp::Projection(p)) = graph[user].as_spiking()
                && graph.operands(user).iter().any(on_time)
            {
                let geometry = Geometry::of(graph, user, p).ok_or(DIMENSIONS)?;
                for (own, needed) in map.border.iter_mut().zip(geometry.border()) {
                    *own = (*own).max(needed);
                }
                readers.push(geometry);
            }
        }
        for reader in &readers {
            map.projects = true;
            map.add_fan_out(|y, x| reader.fan_out(y, x));
        }
        if map.fan_out.is_empty() {
            map.add_fan_out(|_, _| 0);
        }
        self.maps.push(map);
        let index = self.maps.len() - 1;
        self.sources.insert(id, Source::Map(index));
        Ok(index)
    }

    fn source_map(&self, id: NodeId) -> Result<usize, Why> {
        match self.sources.get(&id) {
            Some(Source::Map(index)) => Ok(*index),
            _ => Err("what it reads is no map of bytes"),
        }
    }

    fn layer(&mut self, id: NodeId, p: &Population) -> Result<(), Why> {
        let [channels, height, width] = extents(&self.graph[id].ty.shape).ok_or(DIMENSIONS)?;
        let from = self.arrivals(id, p, channels)?;
        let facts = Facts {
            population: p,
            channels,
            timesteps: self.steps,
            behind_barrier: self.behind_barrier,
            arriving: &from.arriving,
        };
        if let [own] = from.synapses.as_slice()
            && let Some(cells) = self.sum_pool(&facts, own)
        {
            let to = self.map(id, fire::range(&facts).ok_or(RANGE)?, false, true)?;
            let mut windows = Windows::default();
            for (at, cells) in self.maps[to].places().into_iter().zip(cells) {
                windows.push(at, &cells);
            }
            let from = own.from;
            self.actions.push(Action::Pool(Pool { kind: PoolKind::Sum, from, to, windows }));
            return Ok(());
        }
        let (fire, to) = if !p.neuron.fires() {
            from.bias.as_ref().ok_or(WIDE)?;
            let fire = fire::choose(&facts, Interval::new(0, 0)).ok_or(WIDE)?;
            let (plane, slot) = (height * width, self.slots.get(&id).copied());
            self.totals.push(Totals { neurons: channels * plane, plane, slot });
            let to = Source::Totals(self.totals.len() - 1);
            self.sources.insert(id, to);
            (fire, to)
        } else {
            let sent = fire::range(&facts).ok_or(RANGE)?;
            let fire = match from.bias.as_ref().and_then(|_| fire::choose(&facts, sent)) {
                own @ (Some(Fire::Each) | None) if from.narrow => {
                    fire::wide(&facts, sent, &from.gains).or(own)
                }
                own => own,
            };
            (fire.ok_or(WIDE)?, Source::Map(self.map(id, sent, false, true)?))
        };
        let most = from.synapses.iter().map(|s| self.maps[s.from].steps).max().unwrap_or(1);
        let mut bias = from.bias.unwrap_or_default();
        bias.resize(channels.next_multiple_of(BLOCK), 0);
        self.actions.push(Action::Layer(Box::new(Layer {
            to,
            places: match to {
                Source::Map(index) => self.maps[index].places(),
                Source::Totals(_) | Source::Lists(_) => (0..height * width).collect(),
            },
            channels,
            width: bias.len(),
            block: (rows(bias.len()) / most).clamp(1, LARGEST_GROUP * height * width),
            bias,
            bias_at: match p.bias_placement {
                BiasPlacement::EveryTimestep => None,
                BiasPlacement::FirstTimestep => Some(0),
                BiasPlacement::AfterLastTimestep => Some(self.steps - 1),
            },
            population: p.clone(),
            behind_barrier: self.behind_barrier,
            synapses: from.synapses,
            fire,
        })));
        Ok(())
    }

    /// What reaches a population, and through which synapses.
    fn arrivals(&self, id: NodeId, p: &Population, channels: usize) -> Result<Arrivals, Why> {
        let mut own = Arrivals {
            synapses: Vec::new(),
            gains: Vec::new(),
            arriving: vec![Interval::new(0, 0); channels],
            bias: (0..channels).map(|c| small(p.bias_at(c))).collect(),
            narrow: true,
        };
        for projection in self.graph.sources(id) {
            if !self.absorbed(projection) {
                return Err("it reads something other than projections of its own");
            }
            let source = self.graph.source(projection, 0).ok_or("it reads nothing")?;
            let from = self.source_map(source)?;
            let packed = Synapses::pack(self.graph, projection, (from, &self.maps[from]));
            let packed = packed.ok_or("bytes and exact sums do not carry its weights")?;
            for (sum, more) in own.arriving.iter_mut().zip(packed.bounds) {
                *sum = sum.plus(more);
            }
            own.synapses.push(packed.synapses);
            own.gains.push(packed.gains);
            let [gains, sums] = packed.narrow;
            own.bias = own.bias.filter(|_| gains);
            own.narrow &= sums;
        }
        let frames = if self.behind_barrier { self.steps as i64 } else { 1 };
        let always = self.steps == 1 || p.bias_placement == BiasPlacement::EveryTimestep;
        for (c, sum) in own.arriving.iter_mut().enumerate() {
            let bias = Interval::new(p.bias_at(c), p.bias_at(c));
            *sum = sum.plus(if always { bias } else { bias.with_zero() }).times(frames);
        }
        Ok(own)
    }

    /// The sources of each place of a population that sends the sum of bytes as it is, without a state.
    fn sum_pool(&self, facts: &Facts<'_>, synapses: &Synapses) -> Option<Vec<Vec<usize>>> {
        let (population, from) = (facts.population, &self.maps[synapses.from]);
        let has_state = population.neuron.get::<IntegrateAndFire>().is_some();
        let each_timestep = self.steps == 1 || !self.behind_barrier && !has_state;
        let same = |(c, sum): (usize, &Interval)| {
            sum.low == 0
                && sum.high <= 255
                && (0..=sum.high).all(|v| population.neuron.single_shot(c, v) == Some(v))
        };
        let plain = each_timestep
            && population.neuron.fires()
            && from.low == 0
            && from.steps == self.steps
            && (0..facts.channels).all(|c| population.bias_at(c) == 0)
            && facts.arriving.iter().enumerate().all(same);
        if plain { synapses.plain_sums(facts.channels) } else { None }
    }

    fn pool(&mut self, id: NodeId, window: &Window, kind: PoolKind) -> Result<(), Why> {
        let from = self.source_map(self.graph.source(id, 0).ok_or("it reads nothing")?)?;
        let (low, high) = (self.maps[from].low, self.maps[from].high);
        let constant = kind == PoolKind::Maximum
            && self.maps[from].steps == 1
            && self.maps[from].repeats == self.steps;
        let to = self.map(id, Interval::new(low, high), constant, true)?;
        let plane = |v: &[usize], fill: usize| match *v {
            [x] => Some([fill, x]),
            [y, x] => Some([y, x]),
            _ => None,
        };
        let of = |v: &[usize], fill: usize| plane(v, fill).ok_or(DIMENSIONS);
        let (kernel, strides) = (of(&window.kernel, 1)?, of(&window.strides, 1)?);
        let (dilations, before) = (of(&window.dilations, 1)?, of(&window.before, 0)?);
        let (source, own) = (&self.maps[from], &self.maps[to]);
        let (mut windows, mut cells) = (Windows::default(), Vec::new());
        for y in 0..own.height {
            for x in 0..own.width {
                cells.clear();
                for (ky, kx) in (0..kernel[0]).flat_map(|y| (0..kernel[1]).map(move |x| (y, x))) {
                    let along = |at: usize, k: usize, axis: usize| {
                        (at * strides[axis] + k * dilations[axis]).checked_sub(before[axis])
                    };
                    let (sy, sx) = (along(y, ky, 0), along(x, kx, 1));
                    if let (Some(sy), Some(sx)) = (sy, sx)
                        && sy < source.height
                        && sx < source.width
                    {
                        cells.push(source.place(sy, sx));
                    }
                }
                windows.push(own.place(y, x), &cells);
            }
        }
        self.actions.push(Action::Pool(Pool { kind, from, to, windows }));
        Ok(())
    }

    fn concatenate(&mut self, id: NodeId) -> Result<(), Why> {
        let parts = self.graph.sources(id);
        let parts = parts.into_iter().map(|s| self.source_map(s)).collect::<Result<Vec<_>, _>>()?;
        let (first, rest) = parts.split_first().ok_or("it joins nothing")?;
        let mut sent = Interval::new(self.maps[*first].low, self.maps[*first].high);
        for &part in rest {
            sent = sent.union(Interval::new(self.maps[part].low, self.maps[part].high));
            if self.maps[part].steps != self.maps[*first].steps {
                return Err("it joins what is the same in every timestep and what is not");
            }
        }
        let constant = self.maps[*first].steps == 1 && self.maps[*first].repeats == self.steps;
        let to = self.map(id, sent, constant, false)?;
        self.actions.push(Action::Concatenate { parts, to });
        Ok(())
    }
}

const DIMENSIONS: Why = "it is no map of two dimensions, or leads to none";
const RANGE: Why = "what it sends in a timestep is not known to fit a byte";
const WIDE: Why = "32 bits do not hold its potential, or it keeps a state that has no kernel";

/// About so many rows of sums are computed before their neurons run: many, so that weights are read
/// seldom, but no more than the cache holds.
fn rows(width: usize) -> usize {
    (SUMS / width.max(1)).clamp(64, 512)
}

/// Sums that stay in the cache.
const SUMS: usize = 1 << 16;

fn small(x: i64) -> Option<i32> {
    i32::try_from(x).ok().filter(|x| i64::from(*x).abs() < LARGEST)
}
