//! The synapses of a population on both sides, weight by weight.

use std::cell::OnceCell;

use snnc_ir::{Connectivity, Graph, NodeId, Op, Projection, SpikingOp, Tensor, Window};

use super::frame;

/// The synapses of one population, port by port.
pub(super) struct Inputs<'a> {
    pub(super) ports: Vec<Port<'a>>,
}

pub(super) struct Port<'a> {
    pub(super) projection: &'a Projection,
    tensor: &'a Tensor,
    /// The tensor's integers, once they are asked for.
    weights: OnceCell<Vec<i64>>,
    /// Which populations reach the port, and through which pools.
    pub(super) origin: String,
    /// How many times a payload comes in a frame.
    presentations: i64,
    /// Spatial extents of what the projection makes, and of what it reads.
    made: Vec<usize>,
    read: Vec<usize>,
}

impl<'a> Inputs<'a> {
    pub(super) fn of(graph: &'a Graph, population: NodeId) -> Option<Self> {
        let mut ports = Vec::new();
        for id in graph.sources(population) {
            let mut id = id;
            // Pooling of potentials commutes with any monotone neuron.
            let mut pools = String::new();
            while let Some(SpikingOp::MaxPool { window }) = graph[id].as_spiking() {
                pools += &geometry(window);
                id = graph.source(id, 0)?;
            }
            let Op::Spiking(SpikingOp::Projection(projection)) = &graph[id].op else { return None };
            let tensor = graph[id].data.as_ref().filter(|t| !t.dtype().is_float())?;
            let source = graph.source(id, 0)?;
            let origin = pools + &origin(graph, source)?;
            let presentations = frame::presentations(graph, source)?;
            let weights = OnceCell::new();
            let map = |id: NodeId| graph[id].ty.shape.get(1..).unwrap_or_default().to_vec();
            let (made, read) = (map(id), map(source));
            ports.push(Port { projection, tensor, weights, origin, presentations, made, read });
        }
        Some(Inputs { ports })
    }

    /// What a frame's payload brings `channel` through each synapse of port `port`.
    pub(super) fn row(&self, port: usize, channel: usize, channels: usize) -> Vec<i64> {
        let Port { projection, tensor, weights, presentations, .. } = &self.ports[port];
        let weights = weights.get_or_init(|| tensor.to_i64().unwrap_or_default());
        let gain = projection.gain_at(channel).saturating_mul(*presentations);
        let length = weights.len() / channels.max(1);
        let row = match projection.connectivity {
            Connectivity::OneToOne if weights.len() == 1 => &weights[..],
            _ => &weights[channel * length..(channel + 1) * length],
        };
        let brought = |(i, &w): (usize, &i64)| {
            w.saturating_mul(gain).saturating_mul(1 << self.shift(port, i, row.len()))
        };
        row.iter().enumerate().map(brought).collect()
    }

    /// Whether a payload brings the same through each synapse of `other`, weight by weight.
    fn same_as(&self, other: &Inputs<'_>) -> bool {
        let same = |(a, b): (&Port<'_>, &Port<'_>)| {
            let (p, q) = (a.projection, b.projection);
            (a.presentations, &p.gain, &p.input_shift) == (b.presentations, &q.gain, &q.input_shift)
                && a.alike(b)
                && a.tensor == b.tensor
        };
        self.ports.len() == other.ports.len() && self.ports.iter().zip(&other.ports).all(same)
    }

    fn shift(&self, port: usize, synapse: usize, synapses: usize) -> u8 {
        let shifts = &self.ports[port].projection.input_shift;
        match shifts.len() {
            0 => 0,
            n => shifts[synapse * n / synapses.max(1)],
        }
    }
}

/// One synapse: the channel of its source, and by how many cells that lies beside the neuron's own
/// window, along each axis.
type Tap = (usize, Vec<isize>);

impl Port<'_> {
    /// Whether the weights of both lie in the same order at the same places.
    pub(super) fn alike(&self, other: &Port<'_>) -> bool {
        match (&self.projection.connectivity, &other.projection.connectivity) {
            // Padding after the last window that is used moves none of them: the maps' sizes say how
            // many there are.
            (
                Connectivity::Convolution { window: a, groups: g },
                Connectivity::Convolution { window: b, groups: h },
            ) => geometry(a) == geometry(b) && g == h,
            (a, b) => std::mem::discriminant(a) == std::mem::discriminant(b),
        }
    }

    /// Whether neurons of both take steps of one length over the map they read.
    fn keeps_pace(&self, other: &Port<'_>) -> bool {
        let strides = |port: &Port<'_>| match &port.projection.connectivity {
            Connectivity::Convolution { window, .. } => Some(window.strides.clone()),
            Connectivity::OneToOne => Some(vec![1; port.made.len()]),
            Connectivity::Dense => None,
        };
        match (strides(self), strides(other)) {
            (Some(a), Some(b)) => {
                // Of a single window no step is taken.
                let one = |axis: usize| self.made[axis] == 1 && other.made[axis] == 1;
                self.made == other.made
                    && self.read == other.read
                    && a.len() == b.len()
                    && (0..a.len()).all(|axis| a[axis] == b[axis] || one(axis))
            }
            (a, b) => a.is_none() && b.is_none(),
        }
    }

    /// Where each weight of `channel` lies, in the order of the row.
    fn taps(&self, channel: usize, channels: usize) -> Vec<Tap> {
        let Connectivity::Convolution { window, groups } = &self.projection.connectivity else {
            return vec![(channel, vec![0; self.made.len()])];
        };
        let inner = self.tensor.shape().get(1).copied().unwrap_or(1);
        let first = channel / (channels / (*groups).max(1)).max(1) * inner;
        let cells: usize = window.kernel.iter().product();
        let tap = |i: usize| {
            let mut rest = i % cells.max(1);
            let mut place = vec![0; window.rank()];
            for axis in (0..window.rank()).rev() {
                let along = rest % window.kernel[axis] * window.dilations[axis];
                place[axis] = along as isize - window.before[axis] as isize;
                rest /= window.kernel[axis];
            }
            (first + i / cells.max(1), place)
        };
        (0..inner * cells).map(tap).collect()
    }
}

/// The weights of two rows tap by tap, where a tap that one of them does not have weighs 0.
fn aligned(rows: [(Vec<i64>, Vec<Tap>); 2]) -> [Vec<i64>; 2] {
    let mut taps: std::collections::BTreeMap<Tap, [i64; 2]> = Default::default();
    for (side, (weights, places)) in rows.into_iter().enumerate() {
        for (w, place) in weights.into_iter().zip(places) {
            taps.entry(place).or_default()[side] += w;
        }
    }
    [0, 1].map(|side| taps.values().map(|w| w[side]).collect())
}

/// The rows of port `port` of both, weight by weight for the same source; `None` where windows step
/// otherwise.
pub(super) fn rows(
    (inputs, reference): (&Inputs<'_>, &Inputs<'_>),
    port: usize,
    channel: usize,
    channels: usize,
) -> [Vec<i64>; 2] {
    let both = [inputs, reference];
    let [a, b] = both.map(|i| i.row(port, channel, channels));
    if inputs.ports[port].alike(&reference.ports[port]) {
        return [a, b];
    }
    let [x, y] = both.map(|i| i.ports[port].taps(channel, channels));
    aligned([(a, x), (b, y)])
}

/// Whether every neuron reads its source at the same places in both, weights of 0 left out of account.
pub(super) fn same_geometry(inputs: &Inputs<'_>, reference: &Inputs<'_>) -> bool {
    let pairs = inputs.ports.iter().zip(&reference.ports);
    pairs.into_iter().all(|(a, b)| a.alike(b) || a.keeps_pace(b))
}

fn geometry(w: &Window) -> String {
    format!("max {:?} {:?} {:?} {:?} of ", w.kernel, w.strides, w.dilations, w.before)
}

/// Names of the populations whose payloads reach `id` through pools and joins.
fn origin(graph: &Graph, id: NodeId) -> Option<String> {
    match graph[id].as_spiking()? {
        SpikingOp::MaxPool { window } | SpikingOp::RunningMaxPool { window } => {
            Some(geometry(window) + &origin(graph, graph.source(id, 0)?)?)
        }
        SpikingOp::Concatenate { .. } => {
            let names: Option<Vec<_>> =
                graph.sources(id).into_iter().map(|s| origin(graph, s)).collect();
            Some(names?.join("+"))
        }
        // A population that only turns the input into changes stands for the encoder.
        SpikingOp::Population(p) if p.neuron.encodes() => origin(graph, graph.source(id, 0)?),
        _ => Some(graph[id].name.clone()),
    }
}

/// The positive factor `numerator / denominator` by which `row` is `reference`, if there is one.
pub(super) fn factor(row: &[i64], reference: &[i64]) -> Option<(i64, i64)> {
    if row.len() != reference.len() {
        return None;
    }
    let mut ratio: Option<(i64, i64)> = None;
    for (&a, &b) in row.iter().zip(reference) {
        match (a, b) {
            (0, 0) => {}
            (0, _) | (_, 0) => return None,
            _ if a.signum() != b.signum() => return None,
            _ => match ratio {
                None => ratio = Some((a.abs(), b.abs())),
                Some((n, d)) => {
                    if i128::from(a.abs()) * i128::from(d) != i128::from(b.abs()) * i128::from(n) {
                        return None;
                    }
                }
            },
        }
    }
    Some(ratio.unwrap_or((1, 1)))
}

/// For each channel the factor by which all its synapses of `inputs` are those of `reference`.
pub(super) fn factors(
    inputs: &Inputs<'_>,
    reference: &Inputs<'_>,
    channels: usize,
) -> Option<Vec<(i64, i64)>> {
    if inputs.same_as(reference) {
        return Some(vec![(1, 1); channels]);
    }
    let all = |c: usize| -> [Vec<i64>; 2] {
        let mut both = [Vec::new(), Vec::new()];
        for port in 0..inputs.ports.len() {
            let rows = rows((inputs, reference), port, c, channels);
            both.iter_mut().zip(rows).for_each(|(all, row)| all.extend(row));
        }
        both
    };
    let factor = |c: usize| {
        let [own, reference] = all(c);
        factor(&own, &reference)
    };
    (0..channels).map(factor).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taps_of_weight_0_do_not_count() {
        let tap = |c: usize, y: isize| (c, vec![y]);
        let small = (vec![3, 4], vec![tap(0, 0), tap(0, 1)]);
        let wide = (vec![0, 6, 8], vec![tap(0, -1), tap(0, 0), tap(0, 1)]);
        let moved = (vec![0, 6, 8], vec![tap(0, 0), tap(0, 1), tap(0, 2)]);
        let [own, reference] = aligned([wide, small.clone()]);
        assert_eq!(factor(&own, &reference), Some((6, 3)));
        let [own, reference] = aligned([moved, small]);
        assert_eq!(factor(&own, &reference), None);
    }

    #[test]
    fn a_row_is_a_multiple_or_not() {
        assert_eq!(factor(&[2, 0, -4], &[1, 0, -2]), Some((2, 1)));
        assert_eq!(factor(&[3, 6], &[2, 4]), Some((3, 2)));
        assert_eq!(factor(&[0, 0], &[0, 0]), Some((1, 1)));
        for (row, reference) in
            [([2, 1], [1, 0]), ([2, 0], [1, 1]), ([2, 5], [1, 2]), ([-1, -2], [1, 2])]
        {
            assert_eq!(factor(&row, &reference), None);
        }
    }
}
