//! What a neuron sends in a whole frame, as a function of all that reaches it in the frame.

use snnc_ir::{
    BiasPlacement, Comparison, Graph, IntegrateAndFire, Leak, NegativeSpikes, NodeId, PerChannel,
    Population, Presentation, Reset, Schedule, SpikingOp, Staircase,
};

/// The payloads of one frame, summed up.
pub(super) enum Frame<'a> {
    /// A staircase that never falls, from potentials to payloads.
    Staircase {
        /// The payload.
        answer: Box<dyn Fn(usize, i64) -> i64 + 'a>,
        /// The smallest potential of a level, in closed form where there is one.
        threshold: Box<dyn Fn(usize, i64) -> Option<i64> + 'a>,
        /// How it is known.
        method: &'static str,
    },
    /// A train of spikes behind a barrier, by the neuron's own steps.
    Trains {
        /// The neuron.
        neuron: &'a IntegrateAndFire,
        /// Timesteps to fire in.
        timesteps: usize,
    },
    /// Not a function of the sum alone.
    Unknown(&'static str),
}

/// Timesteps in which the graph input or population `id` shows one payload.
pub(super) fn presentations(graph: &Graph, id: NodeId) -> Option<i64> {
    match graph[id].as_spiking()? {
        SpikingOp::Encoder(e) => match e.presentation {
            Presentation::EveryTimestep => Some(graph.timing.timesteps as i64),
            Presentation::Once | Presentation::InTime => Some(1),
            Presentation::BitSerial { .. } if graph.timing.timesteps == 1 => Some(1),
            Presentation::BitSerial { .. } => None,
        },
        SpikingOp::Population(_) => Some(1),
        _ => {
            let mut all = graph.sources(id).into_iter().map(|s| presentations(graph, s));
            let first = all.next()??;
            all.all(|p| p == Some(first)).then_some(first)
        }
    }
}

/// Whether all that reaches a population is the same in every timestep.
fn is_constant(graph: &Graph, id: NodeId) -> bool {
    match graph[id].as_spiking() {
        Some(SpikingOp::Encoder(e)) => e.presentation == Presentation::EveryTimestep,
        Some(SpikingOp::Projection(_) | SpikingOp::Concatenate { .. }) => {
            graph.operands(id).iter().all(|o| o.delay == 0 && is_constant(graph, o.source))
        }
        _ => false,
    }
}

/// The bias of `channel` that a whole frame adds.
pub(super) fn bias(graph: &Graph, p: &Population, channel: usize) -> i64 {
    match p.bias_placement {
        BiasPlacement::EveryTimestep => {
            p.bias_at(channel).saturating_mul(graph.timing.timesteps as i64)
        }
        _ => p.bias_at(channel),
    }
}

/// A soft reset by a threshold that does not change in time, no leak, spikes worth 1, firing at it.
pub(super) fn is_plain(n: &IntegrateAndFire) -> bool {
    n.reset == Reset::Soft
        && n.leak == Leak::None
        && n.decode.is_none()
        && n.comparison == Comparison::AtLeast
        && n.threshold.0.iter().all(|row| row.len() == 1 && row[0] > 0)
}

impl<'a> Frame<'a> {
    /// The frame of a population.
    pub(super) fn of(graph: &'a Graph, id: NodeId, population: &'a Population) -> Frame<'a> {
        let timesteps = graph.timing.timesteps;
        let neuron = &population.neuron;
        let Some(n) = neuron.get::<IntegrateAndFire>() else {
            return match (neuron.staircase(), neuron.single_shot(0, 0)) {
                (Some(stairs), _) => Frame::single_shot(stairs),
                (None, Some(_)) => Frame::Unknown("its payloads fall where its potential rises"),
                (None, None) => Frame::Unknown("its neuron answers over several timesteps"),
            };
        };
        if let (1, Some(stairs)) = (timesteps, neuron.staircase()) {
            return Frame::single_shot(stairs);
        }
        match graph.timing.schedule {
            Schedule::LayerSynchronous => Frame::Trains { neuron: n, timesteps },
            Schedule::UntilSettled => Frame::settled(n),
            Schedule::Streaming => Frame::constant(graph, id, population, n, timesteps),
        }
    }

    fn single_shot(stairs: Staircase<'a>) -> Frame<'a> {
        Frame::Staircase {
            answer: Box::new(move |c, v| stairs.payload(c, v)),
            threshold: Box::new(move |c, level| stairs.threshold(c, level)),
            method: "thresholds were compared on all reachable accumulators",
        }
    }

    /// At rest the potential is in `0..threshold` or the count at an end, and potential plus threshold
    /// times the count is all that came in: the count is `floor((V0 + v) / threshold)`, clamped.
    fn settled(n: &'a IntegrateAndFire) -> Frame<'a> {
        match n.signed_limit {
            Some(NegativeSpikes::Retracting { minimum, maximum }) if is_plain(n) => {
                Frame::floor(n, minimum, maximum, "thresholds of the settled state were compared")
            }
            _ => Frame::Unknown("its spikes cannot be taken back"),
        }
    }

    /// With the same current in every timestep the count is `floor((V0 + v) / threshold)`, clamped
    /// (Castagnetti et al. 2023, equation 7).
    fn constant(
        graph: &Graph,
        id: NodeId,
        p: &Population,
        n: &'a IntegrateAndFire,
        timesteps: usize,
    ) -> Frame<'a> {
        let inputs =
            graph.operands(id).iter().all(|o| o.delay == 0 && is_constant(graph, o.source));
        let biased = p.bias.is_empty() || p.bias_placement == BiasPlacement::EveryTimestep;
        let rows = n.threshold.0.len().max(n.initial.len());
        let start = |c: usize| *PerChannel::of(&n.initial).at(c);
        let started = (0..rows).all(|c| (0..n.threshold.at(c, 0)).contains(&start(c)));
        if inputs && biased && started && is_plain(n) && n.signed_limit.is_none() {
            let most = n.maximum.saturating_mul(timesteps as i64);
            Frame::floor(
                n,
                0,
                most,
                "the current is constant: thresholds of the count were compared",
            )
        } else {
            Frame::Unknown("it fires before its input is complete, or its input comes unevenly")
        }
    }

    fn floor(n: &'a IntegrateAndFire, low: i64, high: i64, method: &'static str) -> Frame<'a> {
        let start = |c: usize| *PerChannel::of(&n.initial).at(c);
        Frame::Staircase {
            answer: Box::new(move |c, v| {
                v.saturating_add(start(c)).div_euclid(n.threshold.at(c, 0)).clamp(low, high)
            }),
            threshold: Box::new(move |c, level| {
                let inside = level > low && level <= high;
                inside.then(|| level.saturating_mul(n.threshold.at(c, 0)).saturating_sub(start(c)))
            }),
            method,
        }
    }
}
