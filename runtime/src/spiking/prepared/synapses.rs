//! Projections with their weights packed for the kernels.

use snnc_ir::analysis::Interval;
use snnc_ir::{Connectivity, Graph, NodeId, Overflow, Projection, SpikingOp, saturate};

use super::map::{Map, extents};
use crate::kernels::Isa;
use crate::kernels::events::Sums;
use crate::kernels::product::{BLOCK, Product};
use crate::kernels::scatter::Taps;

/// One projection onto a population.
#[derive(Debug)]
pub(super) struct Synapses {
    /// Map whose payloads it carries.
    pub(super) from: usize,
    /// Where the first tap of each target place lies in the map.
    pub(super) bases: Vec<usize>,
    /// The same as line and place, the border counted.
    pub(super) places: Vec<[u32; 2]>,
    pub(super) arithmetic: Arithmetic,
    /// Multiplier of the sum for each channel, padded to whole blocks; none means 1.
    pub(super) gain: Vec<i32>,
}

#[derive(Debug)]
pub(super) enum Arithmetic {
    /// Every channel meets every other.
    Product {
        product: Box<Product>,
        patches: Option<Patches>,
        /// The same for spikes, where the map sends nothing else.
        sums: Option<Sums>,
    },
    /// Every channel meets itself alone.
    Diagonal { taps: Vec<usize>, weights: Vec<i32>, initial: Vec<i32> },
}

/// Patches that are copied together, for maps of fewer than 4 channels.
#[derive(Debug)]
pub(super) struct Patches {
    /// Runs of bytes: distance from the row, length.
    pub(super) runs: Vec<(usize, usize)>,
    /// Bytes of a patch, a multiple of 4.
    pub(super) len: usize,
}

/// A projection over maps: `[kernel height, kernel width]` and the rest likewise.
#[derive(Clone, Copy, Debug)]
pub(super) struct Geometry {
    pub(super) kernel: [usize; 2],
    pub(super) strides: [usize; 2],
    pub(super) dilations: [usize; 2],
    pub(super) before: [usize; 2],
    pub(super) output: [usize; 2],
    /// Channels, height and width of the source.
    pub(super) source: [usize; 3],
    pub(super) targets: usize,
    pub(super) groups: usize,
}

impl Geometry {
    /// The geometry of projection `id`; a dense one is a convolution whose kernel is the whole map.
    pub(super) fn of(graph: &Graph, id: NodeId, p: &Projection) -> Option<Geometry> {
        let source = extents(&graph[graph.source(id, 0)?].ty.shape)?;
        let [targets, height, width] = extents(&graph[id].ty.shape)?;
        let whole = Geometry {
            kernel: [1, 1],
            strides: [1, 1],
            dilations: [1, 1],
            before: [0, 0],
            output: [height, width],
            source,
            targets,
            groups: 1,
        };
        match &p.connectivity {
            Connectivity::Dense if height * width == 1 => {
                Some(Geometry { kernel: [source[1], source[2]], ..whole })
            }
            Connectivity::Dense => None,
            Connectivity::OneToOne => Some(Geometry { groups: source[0], ..whole }),
            Connectivity::Convolution { window, groups } => {
                let plane = |v: &[usize], fill: usize| match *v {
                    [x] => Some([fill, x]),
                    [y, x] => Some([y, x]),
                    _ => None,
                };
                Some(Geometry {
                    kernel: plane(&window.kernel, 1)?,
                    strides: plane(&window.strides, 1)?,
                    dilations: plane(&window.dilations, 1)?,
                    before: plane(&window.before, 0)?,
                    groups: *groups,
                    ..whole
                })
            }
        }
    }

    /// Places of silence that the map needs above, left, below and right.
    pub(super) fn border(&self) -> [usize; 4] {
        let after = |axis: usize| {
            let reach = (self.output[axis] - 1) * self.strides[axis]
                + (self.kernel[axis] - 1) * self.dilations[axis]
                + 1;
            reach.saturating_sub(self.before[axis] + self.source[1 + axis])
        };
        [self.before[0], self.before[1], after(0), after(1)]
    }

    /// The taps that each place of the source meets.
    pub(super) fn met(&self) -> Option<Taps> {
        let along = |axis: usize, i: usize| -> Vec<[u32; 2]> {
            let meets = |k: usize| {
                let distance = (i + self.before[axis]).checked_sub(k * self.dilations[axis])?;
                let at = distance / self.strides[axis];
                let meets = distance % self.strides[axis] == 0 && at < self.output[axis];
                meets.then_some([k as u32, at as u32])
            };
            (0..self.kernel[axis]).filter_map(meets).collect()
        };
        let (width, columns) =
            (u32::try_from(self.kernel[1]).ok()?, u32::try_from(self.output[1]).ok()?);
        let all: Vec<Vec<[u32; 2]>> = (0..self.source[2]).map(|x| along(1, x)).collect();
        let mut taps = Taps::default();
        for y in 0..self.source[1] {
            let rows = along(0, y);
            for own in &all {
                let pair =
                    |[ky, ty]: [u32; 2], [kx, tx]: [u32; 2]| [ky * width + kx, ty * columns + tx];
                taps.push(rows.iter().flat_map(|&row| own.iter().map(move |&at| pair(row, at))));
            }
        }
        Some(taps)
    }

    /// Synapses of each channel of the source at a place.
    pub(super) fn fan_out(&self, y: usize, x: usize) -> u64 {
        let met = |axis: usize, i: usize| {
            let meets = |k: &usize| {
                let distance = (i + self.before[axis]).checked_sub(k * self.dilations[axis]);
                distance.is_some_and(|d| {
                    d % self.strides[axis] == 0 && d / self.strides[axis] < self.output[axis]
                })
            };
            (0..self.kernel[axis]).filter(meets).count()
        };
        (met(0, y) * met(1, x) * (self.targets / self.groups)) as u64
    }

    fn taps(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        let [height, width] = self.kernel;
        let all = (0..height).flat_map(move |y| (0..width).map(move |x| (y, x)));
        all.map(|(y, x)| (y * self.dilations[0], x * self.dilations[1]))
    }

    /// Line and place of the first tap of each target place, the border counted.
    fn places(&self, map: &Map) -> Option<Vec<[u32; 2]>> {
        let [height, width] = self.output;
        let all = (0..height).flat_map(move |y| (0..width).map(move |x| [y, x]));
        let along = |at: usize, axis: usize| {
            u32::try_from(at * self.strides[axis] + map.border[axis] - self.before[axis]).ok()
        };
        all.map(|[y, x]| Some([along(y, 0)?, along(x, 1)?])).collect()
    }
}

/// The weights of a projection as numbers, shifts of the payload in them, with what each channel of
/// the target can receive.
struct Weights {
    values: Vec<i64>,
    /// Weights of one target.
    each: usize,
    bounds: Vec<Interval>,
    /// Largest magnitude of a sum before its gain.
    largest: u64,
}

/// A projection made ready, with what is known of it.
pub(super) struct Packed {
    /// One, or one for each part of weights that are wider than bytes.
    pub(super) synapses: Vec<Synapses>,
    /// What each target channel can receive in one timestep.
    pub(super) bounds: Vec<Interval>,
    /// Gains of each, channel by channel.
    pub(super) gains: Vec<Vec<i64>>,
    /// Whether 32 bits hold the gains, and whether they hold the sums before those.
    pub(super) narrow: [bool; 2],
}

/// The integers that payloads in `sent` can become in the accumulator, if it never overflows.
fn weights(p: &Projection, node: &snnc_ir::Node, g: &Geometry, sent: Interval) -> Option<Weights> {
    let data = node.data.as_ref()?;
    let mut values = data.to_i64().ok()?;
    let taps = g.kernel[0] * g.kernel[1];
    let sources = g.source[0] / g.groups;
    let each = sources * taps;
    if p.connectivity == Connectivity::OneToOne && values.len() == 1 {
        values = vec![values[0]; g.targets];
    }
    if values.len() != each * g.targets || p.binary && (sent.low < 0 || sent.high > 1) {
        return None;
    }
    let holds = |i: Interval| {
        let bits = p.accumulator.bits;
        saturate(i.low, bits) == i.low && saturate(i.high, bits) == i.high
    };
    if p.input_shift.len() > 1 && p.input_shift.len() != g.source[0] {
        return None;
    }
    let saturates = matches!(p.accumulator.overflow, Overflow::Saturate | Overflow::SaturateEach);
    let (mut bounds, per_group) = (Vec::with_capacity(g.targets), g.targets / g.groups);
    let mut largest = 0;
    for (target, row) in values.chunks_exact_mut(each).enumerate() {
        let mut sum = Interval::new(0, 0);
        for (i, w) in row.iter_mut().enumerate() {
            let channel = target / per_group * sources + i / taps;
            let shift = match p.input_shift.as_slice() {
                _ if p.binary => 0,
                [] => 0,
                [shift] => *shift,
                shifts => shifts[channel],
            };
            if shift > 31 || saturates && !holds(sent.times(1 << shift)) {
                return None;
            }
            *w = w.checked_mul(1 << shift)?;
            sum = sum.plus(sent.times(*w).with_zero());
        }
        if !holds(sum) {
            return None;
        }
        largest = largest.max(sum.magnitude());
        bounds.push(sum.times(p.gain_at(target)));
    }
    Some(Weights { values, each, bounds, largest })
}

impl Synapses {
    /// Packs the weights of projection `id`; `None` where bytes cannot carry it exactly.
    pub(super) fn pack(graph: &Graph, id: NodeId, (from, map): (usize, &Map)) -> Option<Packed> {
        let Some(SpikingOp::Projection(p)) = graph[id].as_spiking() else { return None };
        let g = Geometry::of(graph, id, p)?;
        let w = weights(p, &graph[id], &g, Interval::new(map.low, map.high))?;
        let small = |x: i64| i32::try_from(x).ok();
        let width = g.targets.next_multiple_of(BLOCK);
        let taps: Vec<usize> = g.taps().map(|(y, x)| map.bordered(y, x)).collect();
        let places = g.places(map)?;
        let begin = |&[y, x]: &[u32; 2]| map.bordered(y as usize, x as usize);
        let bases: Vec<usize> = places.iter().map(begin).collect();
        let diagonal = g.groups > 1 && g.groups == g.source[0] && g.targets == g.groups;
        let gains: Vec<i64> = (0..g.targets).map(|c| p.gain_at(c)).collect();
        let narrow = |parts: usize| {
            let fits = gains.iter().all(|&gain| small(gain.saturating_mul(UPPER)).is_some());
            let fits = if parts > 1 { fits } else { gains.iter().all(|&g| small(g).is_some()) };
            // Sums of parts of the weights may be larger than those of the weights.
            [fits, parts == 1 && w.largest < 1 << 31]
        };
        let parts = if diagonal { vec![(1, w.values.clone())] } else { parts(&w.values)? };
        let narrow = narrow(parts.len());
        let (mut synapses, mut all_gains) = (Vec::new(), Vec::new());
        for (factor, values) in parts {
            // A byte stands for the payload less `low`, so that sums of bytes lack `low * weights`.
            let initial = values
                .chunks_exact(w.each)
                .map(|row| small(row.iter().sum::<i64>().checked_mul(map.low)?))
                .collect::<Option<Vec<i32>>>()?;
            let arithmetic = match diagonal {
                true => self::diagonal(&values, w.each, taps.clone(), initial, width)?,
                false => product(&values, w.each, &g, map, taps.clone(), &initial)?,
            };
            let gains: Vec<i64> = gains.iter().map(|gain| gain.saturating_mul(factor)).collect();
            let mut gain = Vec::new();
            if gains.iter().any(|&gain| gain != 1) {
                // Wider ones are left to neurons that take them themselves.
                gain = gains.iter().map(|&gain| small(gain).unwrap_or(0)).collect();
                gain.resize(width, 0);
            }
            all_gains.push(gains);
            let (bases, places) = (bases.clone(), places.clone());
            synapses.push(Synapses { from, bases, places, arithmetic, gain });
        }
        Some(Packed { synapses, bounds: w.bounds, gains: all_gains, narrow })
    }

    /// Whether spikes of a share `density` of all neurons are added up sooner than multiplied.
    pub(super) fn prefers_events(&self, isa: Isa, density: f32) -> bool {
        match &self.arithmetic {
            Arithmetic::Product { product, sums: Some(sums), .. } => {
                sums.worthwhile(isa, product, density)
            }
            _ => false,
        }
    }

    /// Where the sources of each target place begin in the map, if all weights are 1 and nothing else is
    /// added.
    pub(super) fn plain_sums(&self, channels: usize) -> Option<Vec<Vec<usize>>> {
        let Arithmetic::Diagonal { taps, weights, initial } = &self.arithmetic else { return None };
        let ones = |row: &[i32]| row[..channels].iter().all(|&w| w == 1);
        let plain = self.gain.is_empty()
            && initial.iter().all(|&sum| sum == 0)
            && weights.chunks_exact(initial.len().max(1)).all(ones);
        let cells = |&base: &usize| taps.iter().map(|tap| base + tap).collect();
        plain.then(|| self.bases.iter().map(cells).collect())
    }

    /// Weights that every row meets.
    pub(super) fn weights(&self) -> usize {
        match &self.arithmetic {
            Arithmetic::Product { product, .. } => product.products(),
            Arithmetic::Diagonal { weights, .. } => weights.len(),
        }
    }

    /// Bytes of patches for one row, 0 if none are copied.
    pub(super) fn patch_len(&self) -> usize {
        match &self.arithmetic {
            Arithmetic::Product { patches: Some(patches), .. } => patches.len,
            _ => 0,
        }
    }
}

/// What the upper part of a weight of two bytes counts for.
const UPPER: i64 = 256;

/// Weights as sums of signed bytes times factors: themselves, or two parts of each. `None` beyond two bytes.
fn parts(values: &[i64]) -> Option<Vec<(i64, Vec<i64>)>> {
    let byte = |x: i64| i8::try_from(x).is_ok();
    if values.iter().all(|&w| byte(w)) {
        return Some(vec![(1, values.to_vec())]);
    }
    let lower: Vec<i64> = values.iter().map(|&w| i64::from(w as i8)).collect();
    let upper: Vec<i64> = values.iter().zip(&lower).map(|(w, l)| (w - l) / UPPER).collect();
    upper.iter().all(|&w| byte(w)).then(|| vec![(1, lower), (UPPER, upper)])
}

fn diagonal(
    values: &[i64],
    each: usize,
    taps: Vec<usize>,
    mut initial: Vec<i32>,
    width: usize,
) -> Option<Arithmetic> {
    let mut weights = vec![0i32; taps.len() * width];
    for (c, row) in values.chunks_exact(each).enumerate() {
        for (tap, &value) in row.iter().enumerate() {
            weights[tap * width + c] = i32::try_from(value).ok()?;
        }
    }
    initial.resize(width, 0);
    Some(Arithmetic::Diagonal { taps, weights, initial })
}

fn product(
    values: &[i64],
    each: usize,
    g: &Geometry,
    map: &Map,
    taps: Vec<usize>,
    initial: &[i32],
) -> Option<Arithmetic> {
    let bytes: Vec<i8> = values.iter().map(|&v| i8::try_from(v).ok()).collect::<Option<_>>()?;
    let (count, sources) = (taps.len(), g.source[0] / g.groups);
    let per_group = g.targets / g.groups;
    // Channels of another group have the weight 0.
    let weight = |target: usize, tap: usize, channel: usize| match channel
        .checked_sub(target / per_group * sources)
    {
        Some(within) if within < sources => bytes[target * each + within * count + tap],
        _ => 0,
    };
    let channels = g.source[0];
    if map.stride.is_multiple_of(4) {
        let product = Box::new(Product::new(taps, channels, initial, weight));
        let sums = map.is_binary().then(|| Sums::new(&product, map.layout(1)));
        return Some(Arithmetic::Product { product, patches: None, sums });
    }
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for &tap in &taps {
        match runs.last_mut() {
            Some((from, len)) if *from + *len == tap => *len += channels,
            _ => runs.push((tap, channels)),
        }
    }
    let &(_, longest) = runs.first()?;
    let groups = |bytes: usize| bytes.div_ceil(4);
    let alike = runs.iter().all(|&(_, len)| len == longest);
    if alike && groups(longest) * runs.len() <= 2 * groups(count * channels) {
        // Bytes behind a run meet weights of 0.
        let taps = runs.iter().map(|&(from, _)| from).collect();
        let product = Box::new(Product::new(taps, longest, initial, |target, run, i| {
            weight(target, (run * longest + i) / channels, i % channels)
        }));
        return Some(Arithmetic::Product { product, patches: None, sums: None });
    }
    let product = Box::new(Product::new(vec![0], count * channels, initial, |target, _, i| {
        weight(target, i / channels, i % channels)
    }));
    let len = (count * channels).next_multiple_of(4);
    Some(Arithmetic::Product { product, patches: Some(Patches { runs, len }), sums: None })
}
