//! Intervals of how far values lie from the reference's, taken through synapses and pools.

use snnc_ir::{Connectivity, Graph, NodeId, PerChannel, SpikingOp, Window};

/// By how much a value is more than the reference's, at least and at most.
pub(super) type Span = (f64, f64);

/// Nothing is known to differ.
pub(super) const EQUAL: Span = (0.0, 0.0);

/// The synapses of a projection with weights in `f64`, row by row as the graph has them.
pub(super) struct Synapses {
    connectivity: Connectivity,
    pub(super) weights: Vec<f64>,
    /// Shapes of what is read and of what is made.
    from: Vec<usize>,
    to: Vec<usize>,
}

impl Synapses {
    /// Those of projection `id`, gains and shifts included; `None` where synapses have delays or take spikes alone.
    pub(super) fn of(graph: &Graph, id: NodeId) -> Option<Synapses> {
        let SpikingOp::Projection(p) = graph[id].as_spiking()? else { return None };
        let values = graph[id].data.as_ref()?.to_i64().ok()?;
        let (from, to) = (graph[graph.source(id, 0)?].ty.shape.clone(), graph[id].ty.shape.clone());
        if !p.delays.is_empty() || p.binary || !p.input_shift.is_empty() {
            return None;
        }
        let channels = to.first().copied().unwrap_or(1).max(1);
        let weights: Vec<f64> = match p.connectivity {
            Connectivity::OneToOne => {
                let each = |c: usize| *PerChannel::of(&values).at(c);
                (0..channels).map(|c| (each(c) * p.gain_at(c)) as f64).collect()
            }
            _ => {
                let row = (values.len() / channels).max(1);
                let gained = values.iter().enumerate();
                gained.map(|(i, &w)| (w * p.gain_at(i / row)) as f64).collect()
            }
        };
        Some(Synapses { connectivity: p.connectivity.clone(), weights, from, to })
    }

    /// The same synapses with other weights.
    pub(super) fn with(&self, weights: Vec<f64>) -> Synapses {
        let (from, to) = (self.from.clone(), self.to.clone());
        Synapses { connectivity: self.connectivity.clone(), weights, from, to }
    }

    /// Whether both join the same neurons in the same order.
    pub(super) fn alike(&self, other: &Synapses) -> bool {
        let joined = match (&self.connectivity, &other.connectivity) {
            (
                Connectivity::Convolution { window: a, groups: g },
                Connectivity::Convolution { window: b, groups: h },
            ) => {
                (&a.kernel, &a.strides, &a.dilations, &a.before, g)
                    == (&b.kernel, &b.strides, &b.dilations, &b.before, h)
            }
            (a, b) => a == b,
        };
        joined
            && self.weights.len() == other.weights.len()
            && self.from.iter().product::<usize>() == other.from.iter().product::<usize>()
            && self.to == other.to
    }

    /// The source channel of each weight of a row of target channel `c`.
    pub(super) fn source_channels(&self, c: usize) -> Vec<usize> {
        let channels = self.to.first().copied().unwrap_or(1).max(1);
        let width = self.weights.len() / channels;
        match &self.connectivity {
            Connectivity::OneToOne => vec![c],
            Connectivity::Dense => {
                let plane = self.from.iter().skip(1).product::<usize>().max(1);
                (0..width).map(|i| i / plane).collect()
            }
            Connectivity::Convolution { window, groups } => {
                let cells = window.kernel.iter().product::<usize>().max(1);
                let first = c / (channels / (*groups).max(1)).max(1) * (width / cells);
                (0..width).map(|i| first + i / cells).collect()
            }
        }
    }

    /// What the spans of the sources add up to at each target.
    pub(super) fn carry(&self, spans: &[Span]) -> Vec<Span> {
        let mut sums = vec![EQUAL; self.to.iter().product()];
        let channels = self.to.first().copied().unwrap_or(1).max(1);
        let width = self.weights.len() / channels;
        let plane = self.from.iter().skip(1).product::<usize>().max(1);
        let add = |sum: &mut Span, w: f64, (low, high): Span| {
            let (a, b) = (w * low, w * high);
            *sum = (sum.0 + a.min(b), sum.1 + a.max(b));
        };
        for (i, &span) in spans.iter().enumerate().filter(|(_, s)| **s != EQUAL) {
            match &self.connectivity {
                Connectivity::OneToOne => add(&mut sums[i], self.weights[i / plane], span),
                Connectivity::Dense => {
                    for (f, sum) in sums.iter_mut().enumerate() {
                        add(sum, self.weights[f * width + i], span);
                    }
                }
                Connectivity::Convolution { window, groups } => {
                    let (channel, place) = (i / plane, i % plane);
                    let cells = window.kernel.iter().product::<usize>().max(1);
                    let (inner, filters) = (width / cells, channels / (*groups).max(1));
                    let first = channel / inner.max(1) * filters;
                    let map = self.to.iter().skip(1).product::<usize>().max(1);
                    for (cell, at) in reached(window, &self.from[1..], &self.to[1..], place) {
                        for f in first..first + filters {
                            let w = self.weights[f * width + channel % inner.max(1) * cells + cell];
                            add(&mut sums[f * map + at], w, span);
                        }
                    }
                }
            }
        }
        sums
    }
}

/// The windows over a map that see the cell `place`: which of their cells it is, and where they lie.
fn reached(window: &Window, from: &[usize], to: &[usize], place: usize) -> Vec<(usize, usize)> {
    let mut found = vec![(0, 0)];
    let mut rest = place;
    let mut at = vec![0; from.len()];
    for axis in (0..from.len()).rev() {
        (at[axis], rest) = (rest % from[axis], rest / from[axis]);
    }
    for axis in 0..from.len() {
        let (padded, stride) = (at[axis] + window.before[axis], window.strides[axis]);
        let mut next = Vec::new();
        for &(cell, place) in &found {
            for k in 0..window.kernel[axis] {
                let Some(start) = padded.checked_sub(k * window.dilations[axis]) else { continue };
                let target = start / stride;
                if start % stride == 0 && target < to[axis] {
                    next.push((cell * window.kernel[axis] + k, place * to[axis] + target));
                }
            }
        }
        found = next;
    }
    found
}

/// The spans of maxima over windows, of values and their spans.
pub(super) fn pooled(
    window: &Window,
    (from, to): (&[usize], &[usize]),
    values: &[i64],
    spans: &[Span],
    shown: &[i64],
) -> Vec<Span> {
    let (plane, map) = (from[1..].iter().product::<usize>(), to[1..].iter().product::<usize>());
    let mut most = vec![(f64::NEG_INFINITY, f64::NEG_INFINITY); shown.len()];
    for (i, (&value, &(low, high))) in values.iter().zip(spans).enumerate() {
        for (_, at) in reached(window, &from[1..], &to[1..], i % plane) {
            let found = &mut most[i / plane * map + at];
            *found = (found.0.max(value as f64 + low), found.1.max(value as f64 + high));
        }
    }
    let from_shown = |((low, high), &v): (Span, &i64)| (low - v as f64, high - v as f64);
    most.into_iter().zip(shown).map(from_shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_seen_by_the_windows_over_it() {
        let window = Window {
            strides: vec![2, 1],
            before: vec![1, 1],
            after: vec![1, 1],
            ..Window::plain(&[3, 3])
        };
        let (from, to) = ([4, 5], [2, 5]);
        for place in 0..20 {
            let (y, x) = (place / 5, place % 5);
            let mut wanted = Vec::new();
            for (ky, kx, oy, ox) in (0..90).map(|i| (i / 30, i / 10 % 3, i / 5 % 2, i % 5)) {
                if oy * 2 + ky == y + 1 && ox + kx == x + 1 {
                    wanted.push((ky * 3 + kx, oy * 5 + ox));
                }
            }
            let mut found = reached(&window, &from, &to, place);
            found.sort_unstable();
            wanted.sort_unstable();
            assert_eq!(found, wanted, "{place}");
        }
    }
}
