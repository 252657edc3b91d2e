//! What a canonical population gets and asks for, as both generations need it.

use snnc_ir::analysis::bisect_thresholds;
use snnc_ir::{Connectivity, NodeId, Population, Projection, SpikingOp, Window};

use super::Legaliser;
use crate::akida::layout::Padding;
use crate::akida::search::{Staircase, ceil_div};

/// The synapses of a canonical population with one projection.
pub(super) struct Synapses<'a> {
    pub projection: NodeId,
    pub source: NodeId,
    pub connectivity: &'a Connectivity,
    /// Weights, one row for each channel of the population.
    pub rows: Vec<Vec<i64>>,
    /// Multiplier of each row's sum.
    pub gain: Vec<i64>,
    /// Map of the source (C, X, Y).
    pub map: [usize; 3],
    /// Map of the sums.
    pub sums: [usize; 3],
}

/// Kernel, strides and padding mode of a convolution that Akida's modes can say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Geometry {
    pub kernel: [usize; 2],
    pub strides: [usize; 2],
    pub padding: Padding,
}

impl<'a> Legaliser<'a> {
    /// Number of groups, if the node is a convolution's projection.
    pub(super) fn convolution_groups(&self, id: NodeId) -> Option<usize> {
        match self.graph[id].as_spiking() {
            Some(SpikingOp::Projection(Projection {
                connectivity: Connectivity::Convolution { groups, .. },
                ..
            })) => Some(*groups),
            _ => None,
        }
    }

    /// (C, X, Y) of a node's payloads.
    pub(super) fn map(&self, id: NodeId) -> Option<[usize; 3]> {
        match *self.graph[id].ty.shape.as_slice() {
            [c] => Some([c, 1, 1]),
            [c, x, y] => Some([c, x, y]),
            _ => None,
        }
    }

    /// The synapses behind one port of a population.
    pub(super) fn synapses(&mut self, id: NodeId, port: usize) -> Option<Synapses<'a>> {
        let projection = self.graph.source(id, port)?;
        let node = &self.graph[projection];
        let Some(SpikingOp::Projection(p)) = node.as_spiking() else {
            self.violation(id, "potentials that were pooled", "pool behind the activation");
            return None;
        };
        let source = self.graph.source(projection, 0)?;
        let (Some(map), Some(sums)) = (self.map(source), self.map(projection)) else {
            let shape = self.graph[source].ty.shape.clone();
            self.violation(
                id,
                format!("a map of shape {shape:?}; Akida has maps (C, H, W)"),
                "reshape one-dimensional maps to height 1",
            );
            return None;
        };
        if !p.input_shift.is_empty() || !p.delays.is_empty() || p.binary {
            self.violation(id, "synapses with shifts, delays or binary spikes", "");
            return None;
        }
        let channels = sums[0];
        let values = node.data.as_ref().and_then(|d| d.to_i64().ok()).unwrap_or_default();
        let each = values.len() / channels.max(1);
        let mut rows: Vec<Vec<i64>> = values.chunks(each.max(1)).map(<[i64]>::to_vec).collect();
        if matches!(p.connectivity, Connectivity::OneToOne) && values.len() == 1 {
            rows = vec![values; channels];
        }
        let mut gain: Vec<i64> = (0..channels).map(|c| p.gain_at(c)).collect();
        for (row, gain) in rows.iter_mut().zip(&mut gain) {
            if *gain < 0 {
                row.iter_mut().for_each(|w| *w = -*w);
                *gain = -*gain;
            }
            *gain = (*gain).max(1);
        }
        Some(Synapses { projection, source, connectivity: &p.connectivity, rows, gain, map, sums })
    }

    /// The geometry of a convolution, or a violation that says why Akida's modes cannot say it.
    pub(super) fn geometry(
        &mut self,
        id: NodeId,
        s: &Synapses<'_>,
        window: &Window,
    ) -> Option<Geometry> {
        let [_, x, y] = s.map;
        let (&[kx, ky], &[sx, sy]) = (window.kernel.as_slice(), window.strides.as_slice()) else {
            self.violation(id, "a convolution over other than 2 dimensions", "reshape to height 1");
            return None;
        };
        if window.dilations.iter().any(|&d| d != 1) {
            self.violation(id, "a dilated convolution", "use a dense kernel of the same extent");
            return None;
        }
        match Padding::of(window, [x, y], [s.sums[1], s.sums[2]]) {
            Some(padding) => Some(Geometry { kernel: [kx, ky], strides: [sx, sy], padding }),
            None => {
                let reason = format!(
                    "padding {:?} before and {:?} after is neither SAME nor VALID for a {kx}x{ky} kernel at stride {sx}x{sy} on {x}x{y}",
                    window.before, window.after
                );
                self.violation(
                    id,
                    reason,
                    "pad symmetrically so that the output has ceil(n / stride) cells",
                );
                None
            }
        }
    }

    /// The thresholds that a channel should have on the sums of rows whose inputs count `ratio`
    /// canonical units each, and whose own payloads count `out` of them: for levels above
    /// `levels.0` up to `levels.1`.
    pub(super) fn staircase(
        &self,
        id: NodeId,
        p: &Population,
        s: &Synapses<'_>,
        channel: usize,
        (ratio, out): (i64, i64),
        levels: (i64, i64),
    ) -> Staircase {
        let sum = self.intervals.values(s.projection)[channel];
        let unit = s.gain[channel].saturating_mul(ratio).max(1);
        let range = (sum.low.div_euclid(unit), ceil_div(sum.high, unit));
        let bias = p.bias_at(channel);
        let answer = |v: i64| p.neuron.single_shot(channel, v).unwrap_or(0);
        let span = {
            let v = self.intervals.potentials(id)[channel];
            (v.low, v.high)
        };
        let own = bisect_thresholds(answer, span, (p.minimum, p.maximum));
        let at = |level: i64| own.get(usize::try_from(level - p.minimum - 1).ok()?).copied();
        let thresholds = (levels.0 + 1..=levels.1).map(|level| {
            let potential = match out {
                1 => at(level),
                // Level k is reached where the reference, unrounded, passes out * (k - 1/2): between the
                // thresholds of its levels next to out * k - out / 2 + 1/2.
                _ => {
                    let twice = 2 * out * level - out + 1;
                    let (below, above) = (at(twice.div_euclid(2)), at(ceil_div(twice, 2)));
                    below.zip(above).map(|(a, b)| a + (b - a) / 2).or(below).or(above)
                }
            };
            let beyond = span.1 + 1;
            ceil_div(potential.unwrap_or(beyond) - bias, unit)
        });
        Staircase { thresholds: thresholds.collect(), range }
    }
}
