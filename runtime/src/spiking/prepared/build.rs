//! From a spiking graph to a plan: maps laid out, weights packed, neurons chosen.

use std::collections::HashMap;

use snnc_ir::analysis::Interval;
use snnc_ir::{
    BiasPlacement, Graph, IntegrateAndFire, NodeId, Op, Operand, Population, Presentation,
    Schedule, SpikingOp,
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
pub(super) const LONGEST: usize = 1 << 12;

/// Potentials are kept as 32-bit integers below this size.
const LARGEST: i64 = 1 << 30;

pub(super) struct Builder<'a> {
    pub(super) graph: &'a Graph,
    pub(super) steps: usize,
    /// Timesteps of the input.
    given: usize,
    pub(super) settles: bool,
    pub(super) behind_barrier: bool,
    pub(super) maps: Vec<Map>,
    totals: Vec<Totals>,
    pub(super) lists: Vec<Listed>,
    pub(super) sources: HashMap<NodeId, Source>,
    pub(super) actions: Vec<Action>,
    /// Where the activity of nodes is counted.
    pub(super) slots: HashMap<NodeId, usize>,
    pub(super) forms: Vec<NodeForm>,
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

/// The cells of each window of a pool, as numbers of places; every window has as many, some of them twice.
pub(super) struct Cells {
    pub(super) each: usize,
    pub(super) all: Vec<usize>,
}

impl<'a> Builder<'a> {
    /// The plan of a graph; why not, if it belongs to the scalar interpreter.
    /// Where it runs until it settles, `steps` are as many as are tried.
    pub(super) fn plan(
        graph: &'a Graph,
        order: &[NodeId],
        isa: Isa,
        steps: usize,
    ) -> Result<Plan, Why> {
        let behind_barrier = graph.timing.schedule == Schedule::LayerSynchronous;
        let settles = graph.timing.schedule == Schedule::UntilSettled;
        if !(1..=LONGEST).contains(&steps) {
            return Err("it has more timesteps than are kept at once");
        }
        let counted: Vec<NodeId> =
            order.iter().copied().filter(|&id| has_activity(graph, id)).collect();
        let mut builder = Builder {
            graph,
            steps,
            given: graph.timing.timesteps,
            settles,
            behind_barrier,
            maps: Vec::new(),
            totals: Vec::new(),
            lists: Vec::new(),
            sources: HashMap::new(),
            actions: Vec::new(),
            slots: counted.iter().enumerate().map(|(slot, &id)| (id, slot)).collect(),
            forms: Vec::new(),
        };
        let read_out = |&id: &NodeId| matches!(graph[id].as_spiking(), Some(SpikingOp::Decoder(_)));
        for id in along(graph, order)? {
            let potential = matches!(
                graph[id].as_spiking(),
                Some(SpikingOp::Population(p)) if !p.neuron.fires()
            );
            if settles && potential && !graph.users(id).iter().all(read_out) {
                return Err("potentials that never settle reach neurons");
            }
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
            let block = layer.block * layer.cells;
            constant = constant.max(block * layer.width);
            // Neurons of wide sums are given those of each projection apart.
            let apart = if matches!(layer.fire, Fire::Wide(_)) { layer.synapses.len() } else { 1 };
            varying = varying.max(block * self.steps * layer.width * apart);
            for s in &layer.synapses {
                let rows = block * self.maps[s.from].steps;
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
            given: self.given,
            settles: self.settles,
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
            // Parts of one behind them.
            SpikingOp::Projection(_) | SpikingOp::MaxPool { .. } if self.is_pooled(id) => {
                return Ok(());
            }
            SpikingOp::Population(p) => {
                if let Some(pool) = self.pool_before(id) {
                    return self.behind_pool(id, p, pool);
                }
            }
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
        let before = self.mark();
        let form = match self.bytes(id, op) {
            Ok(()) => self.form(id),
            Err(why) => {
                self.reset(before, id);
                NodeForm { node: id, form: self.stepped(id, op)?, reason: why }
            }
        };
        self.forms.push(form);
        Ok(())
    }

    /// How much has been planned.
    pub(super) fn mark(&self) -> [usize; 3] {
        [self.maps.len(), self.totals.len(), self.actions.len()]
    }

    /// Takes back what has been planned for a node since.
    pub(super) fn reset(&mut self, [maps, totals, actions]: [usize; 3], id: NodeId) {
        self.maps.truncate(maps);
        self.totals.truncate(totals);
        self.actions.truncate(actions);
        self.sources.remove(&id);
    }

    /// How a node that has just got a form on bytes runs.
    pub(super) fn form(&self, node: NodeId) -> NodeForm {
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
                    Presentation::EveryTimestep => (Interval::new(low, high), !self.settles),
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
            SpikingOp::Population(p) => self.layer(id, p, &graph.sources(id), None),
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

    pub(super) fn source_map(&self, id: NodeId) -> Result<usize, Why> {
        match self.sources.get(&id) {
            Some(Source::Map(index)) => Ok(*index),
            _ => Err("what it reads is no map of bytes"),
        }
    }

    /// The layer of a population and of projections onto it, or onto a pool before it.
    pub(super) fn layer(
        &mut self,
        id: NodeId,
        p: &Population,
        projections: &[NodeId],
        pool: Option<(NodeId, Cells)>,
    ) -> Result<(), Why> {
        let [channels, height, columns] = extents(&self.graph[id].ty.shape).ok_or(DIMENSIONS)?;
        let plane = height * columns;
        let mut from = self.arrivals(p, channels, projections)?;
        let facts = Facts {
            population: p,
            channels,
            timesteps: self.steps,
            behind_barrier: self.behind_barrier,
            arriving: &from.arriving,
        };
        if let ([own], None) = (from.synapses.as_slice(), &pool)
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
            let slot = self.slots.get(&id).copied();
            self.totals.push(Totals { neurons: channels * plane, plane, slot });
            let to = Source::Totals(self.totals.len() - 1);
            self.sources.insert(id, to);
            (fire, to)
        } else {
            let sent = fire::range(&facts).ok_or(RANGE)?;
            let fire = match from.bias.as_ref().and_then(|_| fire::choose(&facts, sent)) {
                own @ (Some(Fire::Each) | None) if from.narrow && pool.is_none() => {
                    fire::wide(&facts, sent, &from.gains).or(own)
                }
                own => own,
            };
            (fire.ok_or(WIDE)?, Source::Map(self.map(id, sent, false, true)?))
        };
        let most = from.synapses.iter().map(|s| self.maps[s.from].steps).max().unwrap_or(1);
        let mut bias = from.bias.unwrap_or_default();
        bias.resize(channels.next_multiple_of(BLOCK), 0);
        let width = bias.len();
        let every = p.bias_placement == BiasPlacement::EveryTimestep;
        let early = self.settles && every && bias.iter().any(|&bias| bias != 0);
        let early_bias =
            if early { std::mem::replace(&mut bias, vec![0; width]) } else { Vec::new() };
        let pooled_at = pool.as_ref().and_then(|(pool, _)| self.slots.get(pool).copied());
        let cells = pool.as_ref().map_or(1, |(_, cells)| cells.each);
        if let Some((_, Cells { all, .. })) = &pool {
            for s in &mut from.synapses {
                s.bases = all.iter().map(|&cell| s.bases[cell]).collect();
                s.places = all.iter().map(|&cell| s.places[cell]).collect();
            }
        }
        self.actions.push(Action::Layer(Box::new(Layer {
            to,
            places: match to {
                Source::Map(index) => self.maps[index].places(),
                Source::Totals(_) | Source::Lists(_) => (0..plane).collect(),
            },
            cells,
            pooled_at,
            channels,
            width,
            block: (rows(width) / (most * cells)).clamp(1, LARGEST_GROUP * plane),
            bias,
            early_bias,
            bias_at: match p.bias_placement {
                BiasPlacement::EveryTimestep => None,
                BiasPlacement::FirstTimestep => Some(0),
                BiasPlacement::AfterLastTimestep => Some(self.given - 1),
            },
            population: p.clone(),
            behind_barrier: self.behind_barrier,
            synapses: from.synapses,
            fire,
        })));
        Ok(())
    }

    /// What reaches a population, and through which synapses.
    fn arrivals(
        &self,
        p: &Population,
        channels: usize,
        projections: &[NodeId],
    ) -> Result<Arrivals, Why> {
        let mut own = Arrivals {
            synapses: Vec::new(),
            gains: Vec::new(),
            arriving: vec![Interval::new(0, 0); channels],
            bias: (0..channels).map(|c| small(p.bias_at(c))).collect(),
            narrow: true,
        };
        for &projection in projections {
            if !self.absorbed(projection) && !self.is_pooled(projection) {
                return Err("it reads something other than projections of its own");
            }
            let source = self.graph.source(projection, 0).ok_or("it reads nothing")?;
            let from = self.source_map(source)?;
            let packed = Synapses::pack(self.graph, projection, (from, &self.maps[from]));
            let packed = packed.ok_or("bytes and exact sums do not carry its weights")?;
            for (sum, more) in own.arriving.iter_mut().zip(packed.bounds) {
                *sum = sum.plus(more);
            }
            own.synapses.extend(packed.synapses);
            own.gains.extend(packed.gains);
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
}

pub(super) const DIMENSIONS: Why = "it is no map of two dimensions, or leads to none";
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
