//! What a canonical population gets and asks for, as both generations need it.

use snnc_ir::analysis::bisect_thresholds;
use snnc_ir::{Connectivity, NodeId, Op, Population, Projection, SpikingOp, Window};

use super::{Legaliser, Signal};
use crate::akida::layout::Padding;
use crate::akida::search::{Staircase, ceil_div};

/// How the synapses reach their targets.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    Dense,
    /// With weights (F, C, kx, ky).
    Plain(Window),
    /// One filter a channel, weights (C, 1, kx, ky).
    Depthwise(Window),
    /// The sum over each channel's whole map.
    Global,
    OneToOne,
}

/// The synapses behind one port of a canonical population.
#[derive(Clone, Debug)]
pub(super) struct Synapses {
    pub projection: NodeId,
    pub source: NodeId,
    pub kind: Kind,
    /// Weights, one row for each channel of the population.
    pub rows: Vec<Vec<i64>>,
    /// Multiplier of each row's sum.
    pub gain: Vec<i64>,
    /// Map of the source (C, X, Y) in the canonical network.
    pub own_map: [usize; 3],
    /// What the source sends.
    pub signal: Signal,
    /// Map of the sums (C, X, Y) in the canonical network.
    pub sums: [usize; 3],
}

/// A convolution in Akida's terms: kernel, strides, padding mode, and where the canonical map lies
/// within what comes out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Geometry {
    pub kernel: [usize; 2],
    pub strides: [usize; 2],
    pub padding: Padding,
    /// Rows and columns that come out.
    pub map: [usize; 2],
    /// First row and column of the canonical map.
    pub offset: [usize; 2],
    /// First row and column of the canonical kernel within the kernel.
    inset: [usize; 2],
}

/// Kernels and padding modes that a layer's hardware has, in order of preference.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shapes {
    pub kernels: &'static [usize],
    pub paddings: &'static [Padding],
}

impl Legaliser<'_> {
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

    /// The synapses behind one port of a population, or a violation that says what they are.
    pub(super) fn synapses(&mut self, id: NodeId, port: usize) -> Option<Synapses> {
        let projection = self.graph.source(id, port)?;
        let graph = self.graph;
        let node = &graph[projection];
        let Some(SpikingOp::Projection(p)) = node.as_spiking() else {
            self.violation(id, "potentials that were pooled", "pool behind the activation");
            return None;
        };
        let source = graph.source(projection, 0)?;
        let (Some(map), Some(sums)) = (self.map(source), self.map(projection)) else {
            let reason =
                format!("a map of shape {:?}; Akida has maps (C, H, W)", graph[source].ty.shape);
            self.violation(id, reason, "reshape one-dimensional maps to height 1");
            return None;
        };
        if !p.input_shift.is_empty() || !p.delays.is_empty() || p.binary {
            self.violation(id, "synapses with shifts, delays or binary spikes", "");
            return None;
        }
        // Without a signal the source was refused already.
        let signal = self.signals.get(&source).cloned()?;
        let values = node.data.as_ref().and_then(|d| d.to_i64().ok()).unwrap_or_default();
        let kind = self.kind(id, &p.connectivity, &values, map, sums)?;
        let channels = sums[0];
        let each = (values.len() / channels.max(1)).max(1);
        let mut rows: Vec<Vec<i64>> = values.chunks(each).map(<[i64]>::to_vec).collect();
        if kind == Kind::OneToOne && values.len() == 1 {
            rows = vec![values; channels];
        }
        let mut gain: Vec<i64> = (0..channels).map(|c| p.gain_at(c)).collect();
        for (row, gain) in rows.iter_mut().zip(&mut gain) {
            if *gain < 0 {
                row.iter_mut().for_each(|w| *w = -*w);
            }
            *gain = gain.abs().max(1);
        }
        let mut s = Synapses { projection, source, kind, rows, gain, own_map: map, signal, sums };
        if s.kind == Kind::Dense {
            s.spread_rows();
        }
        Some(s)
    }

    fn kind(
        &mut self,
        id: NodeId,
        connectivity: &Connectivity,
        values: &[i64],
        map: [usize; 3],
        sums: [usize; 3],
    ) -> Option<Kind> {
        let Connectivity::Convolution { window, groups } = connectivity else {
            if *connectivity == Connectivity::Dense && sums[1..] != [1, 1] {
                let reason = format!("synapses of their own onto every neuron of a map {sums:?}");
                let remedy = "enlarge maps outside of the network, or use another target";
                self.violation(id, reason, remedy);
                return None;
            }
            return Some(match connectivity {
                Connectivity::Dense => Kind::Dense,
                _ => Kind::OneToOne,
            });
        };
        let ones = values.iter().all(|&w| w == 1);
        let depthwise = *groups == map[0] && sums[0] == map[0];
        if depthwise
            && ones
            && !window.is_padded()
            && window.kernel == map[1..]
            && sums[1..] == [1, 1]
        {
            return Some(Kind::Global);
        }
        if window.dilations.iter().any(|&d| d != 1) {
            self.violation(id, "a dilated convolution", "use a dense kernel of the same extent");
            return None;
        }
        match *groups {
            1 => Some(Kind::Plain(window.clone())),
            _ if depthwise => Some(Kind::Depthwise(window.clone())),
            _ => {
                let reason = format!("a convolution in {groups} groups over {} channels", map[0]);
                self.violation(id, reason, "use a plain or a depthwise convolution");
                None
            }
        }
    }

    /// The geometry of a convolution in Akida's terms, preferring what the hardware has; rows are
    /// widened to the kernel. A violation where no padding mode can say it.
    pub(super) fn geometry(
        &mut self,
        id: NodeId,
        s: &mut Synapses,
        shapes: Shapes,
    ) -> Option<Geometry> {
        let (Kind::Plain(window) | Kind::Depthwise(window)) = s.kind.clone() else { return None };
        if window.rank() != 2 {
            self.violation(id, "a convolution over other than 2 dimensions", "reshape to height 1");
            return None;
        }
        let crop = self.tolerates_crop(id);
        let own = [window.kernel[0].max(window.kernel[1])];
        let all = [Padding::Same, Padding::SameUpper, Padding::Valid];
        let kernels = || shapes.kernels.iter().copied();
        let supported = kernels()
            .find_map(|k| placed(s, &window, [k, k], shapes.paddings, false))
            .or_else(|| {
                let square =
                    || kernels().find_map(|k| placed(s, &window, [k, k], shapes.paddings, true));
                crop.then(square).flatten()
            });
        if supported.is_none()
            && let Some((reason, remedy)) = other_padding(s, &window, shapes)
        {
            self.paddings.insert(self.graph[id].name.clone(), (reason, remedy));
        }
        let found = supported
            // What the hardware does not have the rules report, with what they ask for.
            .or_else(|| placed(s, &window, [own[0], own[0]], &all, false))
            .or_else(|| placed(s, &window, [window.kernel[0], window.kernel[1]], &all, false));
        let Some(found) = found else {
            let reason = format!(
                "padding {:?} before and {:?} after is neither SAME nor VALID for a {:?} kernel at stride {:?} on {:?}",
                window.before,
                window.after,
                window.kernel,
                window.strides,
                &s.own_map[1..]
            );
            self.violation(id, reason, "pad so that the output has ceil(n / stride) cells");
            return None;
        };
        s.widen(&window, &found);
        Some(found)
    }

    /// Whether everything that reads a population can leave out cells around its map.
    pub(super) fn tolerates_crop(&self, id: NodeId) -> bool {
        let users = self.graph.users(id);
        let reads_inside = |&u: &NodeId| match &self.graph[u].op {
            Op::Spiking(SpikingOp::MaxPool { window }) => {
                !window.is_padded() && self.tolerates_crop(u)
            }
            Op::Spiking(SpikingOp::Projection(p)) => match &p.connectivity {
                Connectivity::Dense => true,
                Connectivity::Convolution { window, .. } => !window.is_padded(),
                Connectivity::OneToOne => false,
            },
            _ => false,
        };
        !users.is_empty() && users.iter().all(reads_inside)
    }

    /// The thresholds that a channel should have on the sums of its row over what is sent, if its own
    /// payloads count `out` canonical units: for levels above `levels.0` up to `levels.1`.
    pub(super) fn staircase(
        &self,
        id: NodeId,
        p: &Population,
        s: &Synapses,
        channel: usize,
        out: f64,
        levels: (i64, i64),
    ) -> Staircase {
        let unit = s.gain[channel] as f64 * s.signal.ratio;
        let bias = p.bias_at(channel);
        let answer = |v: i64| p.neuron.single_shot(channel, v).unwrap_or(0);
        let potentials = self.intervals.potentials(id)[channel];
        let span = (potentials.low, potentials.high);
        let own = bisect_thresholds(answer, span, (p.minimum, p.maximum));
        let at = |level: i64| own.get(usize::try_from(level - p.minimum - 1).ok()?).copied();
        let range = self.reach(s, channel);
        let thresholds = (levels.0 + 1..=levels.1).map(|level| {
            let potential = if out == 1.0 {
                at(level)
            } else {
                // Level k is reached where the reference, unrounded, passes out * (k - 1/2); its own level j
                // is reached at j - 1/2.
                let place = out * (level as f64 - 0.5) + 0.5;
                let (below, part) = (place.floor() as i64, place - place.floor());
                let between = |(a, b): (i64, i64)| a + ((b - a) as f64 * part).ceil() as i64;
                at(below).zip(at(below + 1)).map(between).or(at(below)).or(at(below + 1))
            };
            // What all reachable potentials, or none, have reached is not moved by rounding.
            let potential = match potential {
                Some(t) if t <= span.0 => return range.0,
                Some(t) if t <= span.1 => t - bias,
                _ => return range.1 + 1,
            };
            if s.signal.ratio == 1.0 {
                ceil_div(potential, s.gain[channel])
            } else {
                (potential as f64 / unit).ceil() as i64
            }
        });
        Staircase { thresholds: thresholds.collect(), range }
    }

    /// Smallest and largest sum of a channel over what is sent.
    pub(super) fn reach(&self, s: &Synapses, channel: usize) -> (i64, i64) {
        let unit = s.gain[channel] as f64 * s.signal.ratio;
        let sum = self.intervals.values(s.projection)[channel];
        ((sum.low as f64 / unit).floor() as i64, (sum.high as f64 / unit).ceil() as i64)
    }
}

impl Synapses {
    /// Dense rows over the map that is sent, with weights 0 where the canonical map does not reach.
    fn spread_rows(&mut self) {
        let ([c, x, y], [_, ex, ey], [ox, oy]) =
            (self.own_map, self.signal.map, self.signal.offset);
        if [x, y] == [ex, ey] {
            return;
        }
        for row in &mut self.rows {
            let mut wide = vec![0; c * ex * ey];
            for (i, &w) in row.iter().enumerate() {
                let (channel, at_x, at_y) = (i / (x * y), i / y % x, i % y);
                wide[(channel * ex + at_x + ox) * ey + at_y + oy] = w;
            }
            *row = wide;
        }
    }

    /// Rows for the larger kernel of `g`.
    fn widen(&mut self, window: &Window, g: &Geometry) {
        let (old, new) = ([window.kernel[0], window.kernel[1]], g.kernel);
        if old == new {
            return;
        }
        for row in &mut self.rows {
            let channels = row.len() / (old[0] * old[1]);
            let mut wide = vec![0; channels * new[0] * new[1]];
            for (i, &w) in row.iter().enumerate() {
                let (c, kx, ky) = (i / (old[0] * old[1]), i / old[1] % old[0], i % old[1]);
                wide[(c * new[0] + kx + g.inset[0]) * new[1] + ky + g.inset[1]] = w;
            }
            *row = wide;
        }
    }
}

/// Rows of a 1x1 convolution that multiplies each channel.
pub(super) fn diagonal(factors: impl ExactSizeIterator<Item = i64>) -> Vec<Vec<i64>> {
    let n = factors.len();
    factors.enumerate().map(|(i, w)| (0..n).map(|j| if i == j { w } else { 0 }).collect()).collect()
}

/// What to say of a window that the hardware has but for its padding, and what to do: the cells that Akida
/// pads it with, as (top, bottom, left, right).
fn other_padding(s: &Synapses, window: &Window, shapes: Shapes) -> Option<(String, String)> {
    let (kernel, strides) = (window.kernel[0], window.strides[0]);
    if window.kernel[1] != kernel || !shapes.kernels.contains(&kernel) {
        return None;
    }
    let cells = |axis: usize| shapes.paddings[0].cells(s.own_map[axis], kernel, strides);
    let ((top, bottom), (left, right)) = (cells(1)?, cells(2)?);
    let own = (window.before[0], window.after[0], window.before[1], window.after[1]);
    let reason = format!("padding {own:?}; Akida pads {:?}", (top, bottom, left, right));
    let remedy = format!("train it with pads=[{top}, {left}, {bottom}, {right}]");
    Some((reason, remedy))
}

/// A padding mode with which a kernel of extent `kernel` around the canonical one gives the canonical
/// map: as all that comes out, or if `crop` as a part of it.
fn placed(
    s: &Synapses,
    window: &Window,
    kernel: [usize; 2],
    paddings: &[Padding],
    crop: bool,
) -> Option<Geometry> {
    let strides = [window.strides[0], window.strides[1]];
    paddings.iter().find_map(|&padding| {
        let axis = |a: usize| {
            let (n, own) = (s.signal.map[a + 1], s.own_map[a + 1]);
            let (k, own_k) = (kernel[a], window.kernel[a]);
            let (stride, shift, out) = (strides[a], s.signal.offset[a], s.sums[a + 1]);
            let room = k.checked_sub(own_k)?;
            let whole = n == own && shift == 0;
            let reaches_out =
                window.before[a] > 0 || (out - 1) * stride + own_k > own + window.before[a];
            if !whole && reaches_out {
                return None;
            }
            let before = padding.cells(n, k, stride)?.0;
            let outputs = padding.outputs(n, k, stride)?;
            // Output j + offset begins at (j + offset) * stride - before, its inset cell at the place of
            // the canonical window's first.
            (0..=room).find_map(|inset| {
                let first = before as i64 + shift as i64 - inset as i64 - window.before[a] as i64;
                if first < 0 || first % stride as i64 != 0 {
                    return None;
                }
                let offset = first as usize / stride;
                let fits =
                    if crop { offset + out <= outputs } else { offset == 0 && out == outputs };
                fits.then_some((outputs, offset, inset))
            })
        };
        let (x, y) = (axis(0)?, axis(1)?);
        Some(Geometry {
            kernel,
            strides,
            padding,
            map: [x.0, y.0],
            offset: [x.1, y.1],
            inset: [x.2, y.2],
        })
    })
}

/// A max-pool over what a convolution gives.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Pooled {
    pub size: [usize; 2],
    pub strides: [usize; 2],
    /// Rows and columns that come out.
    pub map: [usize; 2],
    /// First row and column of the canonical map.
    pub offset: [usize; 2],
}

impl Legaliser<'_> {
    /// The max-pool behind a population in its convolution's padding mode, if that can say it.
    pub(super) fn pooled(&self, id: NodeId, sums: [usize; 3], g: &Geometry) -> Option<Pooled> {
        let pool = self.pool_behind(id)?;
        let Some(SpikingOp::MaxPool { window }) = self.graph[pool].as_spiking() else {
            return None;
        };
        if window.rank() != 2 || window.dilations.iter().any(|&d| d != 1) {
            return None;
        }
        let out = self.map(pool)?;
        let crop = self.tolerates_crop(pool);
        let axis = |a: usize| {
            let (n, size, stride) = (g.map[a], window.kernel[a], window.strides[a]);
            let before = g.padding.cells(n, size, stride)?.0;
            let outputs = g.padding.outputs(n, size, stride)?;
            let first = (g.offset[a] + before).checked_sub(window.before[a])?;
            let offset = first / stride;
            let whole = n == sums[a + 1] && offset == 0 && outputs == out[a + 1];
            // Beyond the canonical map lie cells that must not win.
            let inside = window.before[a] == 0
                && (out[a + 1] - 1) * stride + size <= sums[a + 1]
                && offset + out[a + 1] <= outputs;
            let fits = first % stride == 0 && (whole || (crop && inside));
            fits.then_some((outputs, offset))
        };
        let (x, y) = (axis(0)?, axis(1)?);
        Some(Pooled {
            size: [window.kernel[0], window.kernel[1]],
            strides: [window.strides[0], window.strides[1]],
            map: [x.0, y.0],
            offset: [x.1, y.1],
        })
    }
}
