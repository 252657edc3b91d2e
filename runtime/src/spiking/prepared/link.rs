//! Projections that bring numbers of any size.

use std::sync::OnceLock;

use snnc_ir::{Accumulator, Connectivity, Graph, NodeId, Overflow, PerChannel, Projection};

use super::lists::Entry;
use super::synapses::Geometry;
use crate::kernels::Isa;
use crate::kernels::scatter::{self, Event, Taps, Targets, Weights};
use crate::spiking::projections::Synapses;

/// A projection onto a node that runs timestep by timestep.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) id: NodeId,
    /// Where it ends: channels, and places of each.
    channels: usize,
    plane: usize,
    /// Channels and places of its source.
    source: [usize; 2],
    fast: Option<Fast>,
    /// By the scalar interpreter, made when it is first asked for.
    slow: OnceLock<Synapses>,
    /// Timesteps that its synapses delay by at the most.
    pub(super) delay: usize,
    /// Where its source's synaptic operations are counted, if nothing else counts them.
    pub(super) slot: Option<usize>,
}

/// Sums in 32 bits.
#[derive(Debug)]
struct Fast {
    taps: Taps,
    weights: Weights,
    targets: Targets,
    /// Taps of the kernel times channels that one source channel reaches.
    each: usize,
    /// Source channels of one group.
    group: usize,
    /// Largest sum of magnitudes of the weights of a target.
    reach: u64,
    shift: Vec<u8>,
    binary: bool,
    accumulator: Accumulator,
    gain: Vec<i64>,
}

/// Memory of a link.
#[derive(Debug, Default)]
pub(super) struct LinkRoom {
    events: Vec<Event>,
    sums: Vec<i32>,
    payloads: Vec<i64>,
}

/// Something that only the scalar interpreter can tell.
#[derive(Clone, Copy, Debug)]
pub(super) struct Failed;

impl Link {
    /// A projection; `None` where it cannot be run at all. `slot` as in the type.
    pub(super) fn new(
        graph: &Graph,
        id: NodeId,
        p: &Projection,
        slot: Option<usize>,
    ) -> Option<Link> {
        let shape = |shape: &[usize]| -> [usize; 2] {
            let channels = shape.first().copied().unwrap_or(1);
            [channels, shape.iter().skip(1).product()]
        };
        let [channels, plane] = shape(&graph[id].ty.shape);
        let link = Link {
            id,
            channels,
            plane,
            source: shape(&graph[graph.source(id, 0)?].ty.shape),
            fast: Fast::new(graph, id, p),
            slow: OnceLock::new(),
            delay: p.delays.iter().copied().max().unwrap_or(0).into(),
            slot,
        };
        if link.fast.is_none() {
            link.slow(graph).ok()?;
        }
        Some(link)
    }

    /// Whether it adds up payloads one by one, in 32 bits.
    pub(super) fn is_fast(&self) -> bool {
        self.fast.is_some()
    }

    fn slow(&self, graph: &Graph) -> Result<&Synapses, Failed> {
        if let Some(own) = self.slow.get() {
            return Ok(own);
        }
        let (node, projection) = (&graph[self.id], graph[self.id].as_spiking());
        let (Some(snnc_ir::SpikingOp::Projection(p)), Some(weights)) = (projection, &node.data)
        else {
            return Err(Failed);
        };
        let source = graph.source(self.id, 0).ok_or(Failed)?;
        let own = Synapses::new(&node.name, p, weights, &graph[source].ty.shape, &node.ty.shape);
        let own = own.map_err(|_| Failed)?;
        Ok(self.slow.get_or_init(|| own))
    }

    /// Room for what is on its way, `[timesteps to go][neuron]`.
    pub(super) fn arrivals(&self) -> Vec<Vec<i64>> {
        vec![vec![0; self.channels * self.plane]; self.delay + 1]
    }

    /// Adds what `entries` bring to `input`, `[place][channel]`, and returns the synaptic operations. With
    /// synaptic delays `arrivals` keeps what is on its way.
    pub(super) fn add(
        &self,
        isa: Isa,
        graph: &Graph,
        entries: &[Entry],
        arrivals: &mut [Vec<i64>],
        input: &mut [i64],
        room: &mut LinkRoom,
    ) -> Result<u64, Failed> {
        if let Some(fast) = &self.fast
            && let Some(operations) = fast.add(isa, entries, input, room)
        {
            return Ok(operations);
        }
        let [_, plane] = self.source;
        room.payloads.clear();
        room.payloads.resize(self.source[0] * plane, 0);
        for entry in entries {
            room.payloads[entry.channel as usize * plane + entry.place as usize] = entry.value;
        }
        let mut own;
        let arrivals = if self.delay == 0 {
            own = self.arrivals();
            own.as_mut_slice()
        } else {
            arrivals
        };
        let name = &graph[self.id].name;
        let operations = self.slow(graph)?.propagate(name, &room.payloads, arrivals);
        let operations = operations.map_err(|_| Failed)?;
        for (place, input) in input.chunks_exact_mut(self.channels.max(1)).enumerate() {
            for (channel, input) in input.iter_mut().enumerate() {
                *input += arrivals[0][channel * self.plane + place];
            }
        }
        if self.delay > 0 {
            arrivals.rotate_left(1);
            arrivals[self.delay].fill(0);
        }
        Ok(operations)
    }
}

impl Fast {
    fn new(graph: &Graph, id: NodeId, p: &Projection) -> Option<Fast> {
        let geometry = Geometry::of(graph, id, p)?;
        let g = &geometry;
        if !p.delays.is_empty() || p.input_shift.iter().any(|&shift| shift > 31) {
            return None;
        }
        if p.input_shift.len() > 1 && p.input_shift.len() != g.source[0] {
            return None;
        }
        let (sources, reached) = (g.source[0] / g.groups, g.targets / g.groups);
        let taps = g.kernel[0] * g.kernel[1];
        let values = graph[id].data.as_ref()?.to_i64().ok()?;
        let one = p.connectivity == Connectivity::OneToOne && values.len() == 1;
        if !one && values.len() != g.targets * sources * taps {
            return None;
        }
        let (each, mut reach) = (taps * reached, 0);
        let mut by_source = vec![0i32; g.source[0] * each];
        for target in 0..g.targets {
            let mut magnitude = 0u64;
            for within in 0..sources {
                let source = target / reached * sources + within;
                for tap in 0..taps {
                    let at = if one { 0 } else { (target * sources + within) * taps + tap };
                    let weight = i32::try_from(values[at]).ok()?;
                    magnitude += u64::from(weight.unsigned_abs());
                    by_source[(source * taps + tap) * reached + target % reached] = weight;
                }
            }
            reach = reach.max(magnitude);
        }
        let bytes = by_source.iter().map(|&w| i8::try_from(w).ok()).collect::<Option<Vec<i8>>>();
        // Events say in 32 bits where their weights begin.
        u32::try_from(by_source.len()).ok()?;
        Some(Fast {
            taps: geometry.met()?,
            weights: bytes.map_or(Weights::Words(by_source), Weights::Bytes),
            targets: Targets { channels: g.targets, reached },
            each,
            group: sources,
            reach,
            shift: p.input_shift.clone(),
            binary: p.binary,
            accumulator: p.accumulator,
            gain: p.gain.clone(),
        })
    }

    /// As [`Link::add`]; `None` where 32 bits might not hold the sums.
    fn add(
        &self,
        isa: Isa,
        entries: &[Entry],
        input: &mut [i64],
        room: &mut LinkRoom,
    ) -> Option<u64> {
        let mut largest = 0u64;
        room.events.clear();
        let mut operations = 0;
        for entry in entries {
            let channel = entry.channel as usize;
            let value = match self.shift.as_slice() {
                _ if self.binary => 1,
                [] => entry.value,
                shifts => entry.value.checked_mul(1 << *PerChannel::of(shifts).at(channel))?,
            };
            largest = largest.max(value.unsigned_abs());
            let met = self.taps.of(entry.place as usize).len();
            operations += (met * self.targets.reached) as u64;
            room.events.push(Event {
                place: entry.place,
                weights: (channel * self.each) as u32,
                first: (channel / self.group * self.targets.reached) as u32,
                value: value as i32,
            });
        }
        let bits = self.accumulator.bits.min(32);
        // What wraps within 32 bits needs no more than those of any sum.
        let wraps = self.accumulator.overflow == Overflow::Wrap && self.accumulator.bits <= 32;
        let holds =
            largest.checked_mul(self.reach.max(1)).is_some_and(|most| most < 1 << (bits - 1));
        if !wraps && !holds {
            return None;
        }
        room.sums.clear();
        room.sums.resize(input.len(), 0);
        scatter::scatter(
            isa,
            &self.taps,
            &self.weights,
            self.targets,
            &room.events,
            &mut room.sums,
        );
        let unused = if wraps { 32 - u32::from(bits) } else { 0 };
        match self.gain.as_slice() {
            [] => input.iter_mut().zip(&room.sums).for_each(|(input, &sum)| {
                *input += i64::from((sum << unused) >> unused);
            }),
            gains => {
                let channels = self.targets.channels;
                for (input, sums) in
                    input.chunks_exact_mut(channels).zip(room.sums.chunks_exact(channels))
                {
                    for (c, (input, &sum)) in input.iter_mut().zip(sums).enumerate() {
                        *input +=
                            PerChannel::of(gains).at(c) * i64::from((sum << unused) >> unused);
                    }
                }
            }
        }
        Some(operations)
    }
}
