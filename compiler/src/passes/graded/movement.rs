//! Elements of a map moved, left out, repeated, or put among silent ones: what slices, paddings,
//! shuffles of channels and nearest-neighbour upsampling do to payloads.
//!
//! Where the next layer can read the payloads from their old places, its weights do so; elsewhere a
//! population copies them, through synapses of weight 1.

use snnc_ir::analysis::Interval;
use snnc_ir::{
    Coding, Connectivity, DType, GradedNeuron, Node, NodeId, Population, SpikingOp, TensorOp,
    TensorType, Window, window_outputs,
};
use snnc_runtime::tensor::{Value, evaluate};

use super::{Converter, Form, Payloads, Synapses, unbatched};

/// Weights that a copy may take.
const MOST_WEIGHTS: usize = 1 << 24;

/// A map whose elements are a node's payloads in another order, or silent.
#[derive(Clone, Debug)]
pub(super) struct Moved {
    node: NodeId,
    /// Shape without batch.
    pub(super) shape: Vec<usize>,
    /// For each element the neuron that sends it; none if it is silent.
    pub(super) places: Vec<Option<usize>>,
    /// Range of one payload for each channel of the node.
    range: Vec<Interval>,
}

/// How a map can be copied.
struct Copying {
    connectivity: Connectivity,
    weights: Vec<i64>,
    weight_shape: Vec<usize>,
}

impl From<Payloads> for Moved {
    fn from(p: Payloads) -> Moved {
        let elements = p.shape.iter().product();
        let places = match &p.order {
            Some(order) => order.iter().map(|&neuron| Some(neuron)).collect(),
            None => (0..elements).map(Some).collect(),
        };
        Moved { node: p.node, shape: p.shape, places, range: p.range }
    }
}

impl Moved {
    /// The same elements in another shape.
    pub(super) fn reshaped(self, shape: Vec<usize>) -> Moved {
        Moved { shape, ..self }
    }

    /// Ranges of the channels of the moved map.
    fn ranges(&self, neurons: usize) -> Vec<Interval> {
        let channels = self.shape.first().copied().unwrap_or(1).max(1);
        let (each, plane) =
            (self.places.len() / channels, (neurons / self.range.len().max(1)).max(1));
        let silent = Interval::new(0, 0);
        let of = |place: &Option<usize>| place.map_or(silent, |neuron| self.range[neuron / plane]);
        self.places
            .chunks(each.max(1))
            .map(|own| own.iter().map(of).fold(silent, Interval::union))
            .collect()
    }

    /// Weights of a dense layer, or of a convolution, for the node's own order; `None` where a
    /// convolution would read from more than one place.
    fn folded(&self, own_shape: &[usize], s: &Synapses) -> Option<(Vec<i64>, Vec<usize>)> {
        let (targets, taps, sources) = match &s.connectivity {
            Connectivity::Dense => {
                let places = self.places.clone();
                (s.weight_shape[0], 1, (own_shape.iter().product::<usize>(), places))
            }
            Connectivity::Convolution { groups: 1, window } => {
                let channels = self.channels(own_shape)?;
                let taps = window.kernel.iter().product();
                (s.weight_shape[0], taps, (*own_shape.first()?, channels))
            }
            _ => return None,
        };
        let (inputs, places) = sources;
        let count = targets.checked_mul(inputs)?.checked_mul(taps)?;
        if count > MOST_WEIGHTS.max(4 * s.weights.len()) {
            return None;
        }
        let mut weights = vec![0i64; count];
        for target in 0..targets {
            for (old, place) in places.iter().enumerate() {
                let Some(place) = place else { continue };
                let from = &s.weights[(target * places.len() + old) * taps..][..taps];
                let to = &mut weights[(target * inputs + place) * taps..][..taps];
                to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
            }
        }
        let shape = match &s.connectivity {
            Connectivity::Convolution { window, .. } => {
                [&[targets, inputs], window.kernel.as_slice()].concat()
            }
            _ => vec![targets, inputs],
        };
        Some((weights, shape))
    }

    /// For each channel the channel that it is a copy of, place by place.
    fn channels(&self, own_shape: &[usize]) -> Option<Vec<Option<usize>>> {
        if self.shape.get(1..)? != own_shape.get(1..)? {
            return None;
        }
        let plane: usize = own_shape[1..].iter().product::<usize>().max(1);
        let channel = |own: &[Option<usize>]| -> Option<Option<usize>> {
            let first = own.first().copied().flatten().map(|place| place / plane);
            let expected = |i: usize| first.map(|channel| channel * plane + i);
            own.iter().enumerate().all(|(i, place)| *place == expected(i)).then_some(first)
        };
        self.places.chunks(plane).map(channel).collect()
    }

    /// Synapses that copy the map: a convolution with one tap for each channel where there is one,
    /// else one synapse for each element.
    fn copying(&self, own_shape: &[usize]) -> Option<Copying> {
        if let Some(found) = self.strided(own_shape) {
            return Some(found);
        }
        let (targets, sources) = (self.places.len(), own_shape.iter().product::<usize>());
        if targets.checked_mul(sources)? > MOST_WEIGHTS {
            return None;
        }
        let mut weights = vec![0; targets * sources];
        for (target, place) in self.places.iter().enumerate() {
            if let Some(source) = place {
                weights[target * sources + source] = 1;
            }
        }
        let weight_shape = vec![targets, sources];
        Some(Copying { connectivity: Connectivity::Dense, weights, weight_shape })
    }

    /// A convolution whose every target channel copies one source channel, in steps along each
    /// dimension.
    fn strided(&self, own_shape: &[usize]) -> Option<Copying> {
        let (from, to) = (own_shape.get(1..)?, self.shape.get(1..)?);
        if from.is_empty() || from.len() != to.len() {
            return None;
        }
        let (plane, own_plane) = (from.iter().product::<usize>(), to.iter().product::<usize>());
        let position = |mut index: usize, extents: &[usize]| {
            let mut at = vec![0isize; extents.len()];
            for (axis, &extent) in extents.iter().enumerate().rev() {
                at[axis] = (index % extent) as isize;
                index /= extent;
            }
            at
        };
        let filled = self.places.chunks(own_plane).find(|own| own.iter().any(Option::is_some))?;
        let seen: Vec<(Vec<isize>, Vec<isize>)> = filled
            .iter()
            .enumerate()
            .filter_map(|(i, p)| Some((position(i, to), position(p.as_ref()? % plane, from))))
            .collect();
        let (first, origin) = seen.first()?;
        let mut strides = vec![1isize; to.len()];
        for (axis, stride) in strides.iter_mut().enumerate() {
            if let Some((at, source)) = seen.iter().find(|(at, _)| at[axis] != first[axis]) {
                *stride = (source[axis] - origin[axis]) / (at[axis] - first[axis]);
            }
        }
        if strides.iter().any(|&s| s < 1) {
            return None;
        }
        let offsets: Vec<isize> =
            (0..to.len()).map(|a| origin[a] - strides[a] * first[a]).collect();
        let source_of = |at: &[isize]| {
            let mut index = 0;
            for axis in 0..at.len() {
                let along = usize::try_from(offsets[axis] + strides[axis] * at[axis]).ok()?;
                index = (along < from[axis]).then_some(index * from[axis] + along)?;
            }
            Some(index)
        };
        let expected: Vec<Option<usize>> =
            (0..own_plane).map(|i| source_of(&position(i, to))).collect();
        let mut channels = Vec::new();
        for own in self.places.chunks(own_plane) {
            let channel = own.iter().flatten().next().map(|place| place / plane);
            let fits = own.iter().zip(&expected).all(|(place, within)| {
                *place == channel.and_then(|c| within.map(|within| c * plane + within))
            });
            if !fits {
                return None;
            }
            channels.push(channel);
        }
        let window = window_for(from, to, &strides, &offsets)?;
        let tap = window.kernel.iter().zip(&offsets).fold(0, |tap, (&kernel, &offset)| {
            tap * kernel + usize::try_from(offset.max(0)).unwrap_or(0)
        });
        let taps: usize = window.kernel.iter().product();
        let inputs = own_shape[0];
        if channels.len().checked_mul(inputs)?.checked_mul(taps)? > MOST_WEIGHTS {
            return None;
        }
        let mut weights = vec![0; channels.len() * inputs * taps];
        for (target, channel) in channels.iter().enumerate() {
            if let Some(channel) = channel {
                weights[(target * inputs + channel) * taps + tap] = 1;
            }
        }
        let weight_shape = [&[channels.len(), inputs], window.kernel.as_slice()].concat();
        let connectivity = Connectivity::Convolution { window, groups: 1 };
        Some(Copying { connectivity, weights, weight_shape })
    }
}

/// The window with exactly the outputs `to` over a map `from`, whose tap at the offset (at 0 where that
/// is negative) reads what the offset and the stride say.
fn window_for(
    from: &[usize],
    to: &[usize],
    strides: &[isize],
    offsets: &[isize],
) -> Option<Window> {
    let mut window = Window::plain(&vec![1; from.len()]);
    for axis in 0..from.len() {
        let stride = usize::try_from(strides[axis]).ok()?;
        let before = usize::try_from((-offsets[axis]).max(0)).ok()?;
        let least = usize::try_from(offsets[axis].max(0)).ok()? + 1;
        // Cells that no window begins in are left to a larger kernel.
        let kernel = least.max((before + from[axis] + 1).saturating_sub(to[axis] * stride));
        let reach = (to[axis] - 1) * stride + kernel;
        window.kernel[axis] = kernel;
        window.strides[axis] = stride;
        window.before[axis] = before;
        window.after[axis] = reach.saturating_sub(before + from[axis]);
    }
    (window_outputs(&window, from, false).ok()? == to).then_some(window)
}

impl Converter<'_> {
    /// Moves payloads as an operator of layout moves codes.
    pub(super) fn moved(&mut self, id: NodeId, op: &TensorOp) -> Form {
        let source = match self.form(id, 0) {
            Form::Payloads(p) => Moved::from(p),
            Form::Moved(moved) => *moved,
            Form::Nothing => return Form::Nothing,
            _ => return self.problem(id, "moves what is not quantised", "quantise its input"),
        };
        let sample = |shape: &[usize]| [&[1], shape].concat();
        let ty = TensorType::new(DType::I64, sample(&source.shape));
        let indices = (1..=source.places.len() as i64).collect();
        let Ok(indices) = Value::from_i64(&ty.shape, indices) else { return Form::Nothing };
        let mut operands = vec![(indices, ty)];
        for constant in self.quantised.sources(id).into_iter().skip(1) {
            let node = &self.quantised[constant];
            let Some(data) = &node.data else {
                return self.problem(id, "its indices are not constant", "");
            };
            operands.push((Value::from(data), node.ty.clone()));
        }
        let op = match op {
            TensorOp::Pad { before, after, value } => {
                let zero = self.quantised[id].ty.quantisation.as_ref().map_or(0, |q| q.zero_at(0));
                if *value != zero as f64 {
                    let remedy = "pad with zeros";
                    return self.problem(id, "pads with a value that is not silent", remedy);
                }
                TensorOp::Pad { before: before.clone(), after: after.clone(), value: 0.0 }
            }
            other => other.clone(),
        };
        let shape = unbatched(&self.quantised[id].ty.shape);
        let ty = TensorType::new(DType::I64, sample(&shape));
        let typed: Vec<(&Value, &TensorType)> = operands.iter().map(|(v, ty)| (v, ty)).collect();
        let found = evaluate(&op, &typed, &ty).ok();
        let Some(found) = found.as_ref().and_then(Value::as_i64) else {
            return self.problem(id, "moves elements from one sample to another", "");
        };
        let place = |index: &i64| {
            usize::try_from(index - 1).ok().and_then(|index| source.places.get(index).copied()?)
        };
        let places = found.iter().map(place).collect();
        Form::Moved(Box::new(Moved { shape, places, ..source }))
    }

    /// What operand `port` of `id` has become, as payloads in the order of a node of its own.
    pub(super) fn plain(&mut self, id: NodeId, port: usize) -> Form {
        let moved = match self.form(id, port) {
            Form::Payloads(p) if self.is_plain(&p) => return Form::Payloads(p),
            Form::Payloads(p) => Moved::from(p),
            Form::Moved(moved) => *moved,
            other => return other,
        };
        let Some(of) = self.quantised.source(id, port) else { return Form::Nothing };
        self.copied(of, &moved)
    }

    fn is_plain(&self, p: &Payloads) -> bool {
        p.order.is_none() && p.shape == self.network[p.node].ty.shape
    }

    /// A population that copies a map, which is the value of node `of`.
    fn copied(&mut self, of: NodeId, moved: &Moved) -> Form {
        if let Some(known) = self.copies.get(&of) {
            return Form::Payloads(known.clone());
        }
        let Some(synapses) = self.copying(of, moved) else { return Form::Nothing };
        let node = self.named(of, SpikingOp::Concatenate { axis: 0 }, &moved.shape);
        let Some((projection, range)) = self.project(of, &node.name, &synapses, Vec::new()) else {
            return Form::Nothing;
        };
        let whole = range.iter().copied().reduce(Interval::union).unwrap_or(Interval::new(0, 0));
        let population = Population {
            coding: Coding::Graded,
            bias: Vec::new(),
            bias_placement: Default::default(),
            neuron: GradedNeuron {
                multiplier: vec![1],
                offset: vec![0],
                divisor: vec![1],
                minimum: whole.low,
                maximum: whole.high,
            }
            .into(),
            minimum: whole.low.min(0),
            maximum: whole.high.max(0),
            scale: synapses.scale.clone(),
        };
        let node = Node { op: snnc_ir::Op::Spiking(SpikingOp::Population(population)), ..node };
        let node = self.network.add(node, &[projection]);
        self.correspondence.push((node, of));
        let copy = Payloads { node, shape: moved.shape.clone(), order: None, range };
        self.copies.insert(of, copy.clone());
        Form::Payloads(copy)
    }

    /// Synapses of weight 1 from each neuron to the element that it moves to.
    pub(super) fn copying(&mut self, of: NodeId, moved: &Moved) -> Option<Synapses> {
        let own_shape = self.network[moved.node].ty.shape.clone();
        let Some(copying) = moved.copying(&own_shape) else {
            let text = format!(
                "moves {} elements to places that take more than {MOST_WEIGHTS} synapses to reach",
                moved.places.len()
            );
            self.problem(of, text, "use smaller maps here, or leave this operator out");
            return None;
        };
        let q = self.quantised[of].ty.quantisation.as_ref();
        let scale = q.map_or_else(|| vec![1.0], |q| q.scale.clone());
        let source = Payloads {
            node: moved.node,
            shape: own_shape,
            order: None,
            range: moved.range.clone(),
        };
        let Copying { connectivity, weights, weight_shape } = copying;
        Some(Synapses {
            source,
            connectivity,
            weights,
            weight_shape,
            bias: Vec::new(),
            scale,
            shape: moved.shape.clone(),
            codes: None,
        })
    }

    /// Synapses whose source is a moved map, read from where the payloads are: by their weights if these
    /// can, else from a copy.
    pub(super) fn reading(&mut self, of: NodeId, moved: Moved, s: Synapses) -> Option<Synapses> {
        let own_shape = self.network[moved.node].ty.shape.clone();
        if let Some((weights, weight_shape)) = moved.folded(&own_shape, &s) {
            let Moved { node, range, .. } = moved;
            let source = Payloads { node, shape: own_shape, order: None, range };
            return Some(Synapses { source, weights, weight_shape, ..s });
        }
        match self.copied(of, &moved) {
            Form::Payloads(source) => Some(Synapses { source, ..s }),
            _ => None,
        }
    }

    /// A moved map as if a node of its own sent it.
    pub(super) fn shown_as(&self, moved: &Moved) -> Payloads {
        let range = moved.ranges(self.network[moved.node].ty.len());
        Payloads { node: moved.node, shape: moved.shape.clone(), order: None, range }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: [usize; 3] = [2, 5, 6];

    /// What a copy makes of the numbers 1, 2, 3.. in the neurons.
    fn copied(copying: &Copying, shape: &[usize]) -> Vec<i64> {
        let neurons: usize = OWN.iter().product();
        let value = |i: usize| i as i64 + 1;
        let Connectivity::Convolution { window, groups: 1 } = &copying.connectivity else {
            let rows = copying.weights.chunks(neurons);
            return rows.map(|row| (0..neurons).map(|i| row[i] * value(i)).sum()).collect();
        };
        let (kernel, taps) = (&window.kernel, window.kernel.iter().product::<usize>());
        let mut made = Vec::new();
        for target in 0..shape.iter().product() {
            let (f, y, x) =
                (target / (shape[1] * shape[2]), target / shape[2] % shape[1], target % shape[2]);
            let mut sum = 0;
            for (i, weight) in
                copying.weights[f * OWN[0] * taps..][..OWN[0] * taps].iter().enumerate()
            {
                let (c, ky, kx) = (i / taps, i % taps / kernel[1], i % kernel[1]);
                let row = (y * window.strides[0] + ky).checked_sub(window.before[0]);
                let column = (x * window.strides[1] + kx).checked_sub(window.before[1]);
                if let (Some(row), Some(column)) = (row, column)
                    && row < OWN[1]
                    && column < OWN[2]
                {
                    sum += weight * value((c * OWN[1] + row) * OWN[2] + column);
                }
            }
            made.push(sum);
        }
        made
    }

    /// A map of `shape` whose channel `c` is a channel of the node, cell (y, x) that at
    /// `stride * (y, x) + offset`.
    fn map(shape: [usize; 3], strides: [isize; 2], offsets: [isize; 2]) -> Moved {
        let mut places = Vec::new();
        for (c, y, x) in (0..shape[0])
            .flat_map(|c| (0..shape[1]).flat_map(move |y| (0..shape[2]).map(move |x| (c, y, x))))
        {
            let (row, column) =
                (y as isize * strides[0] + offsets[0], x as isize * strides[1] + offsets[1]);
            let inside = (0..OWN[1] as isize).contains(&row)
                && (0..OWN[2] as isize).contains(&column)
                && c < 3;
            let place = || (c % OWN[0] * OWN[1] + row as usize) * OWN[2] + column as usize;
            places.push(inside.then(place));
        }
        let range = vec![Interval::new(0, 60); OWN[0]];
        Moved { node: NodeId::new(0), shape: shape.to_vec(), places, range }
    }

    fn expected(moved: &Moved) -> Vec<i64> {
        moved.places.iter().map(|place| place.map_or(0, |p| p as i64 + 1)).collect()
    }

    #[test]
    fn strided_copies_are_those_element_by_element() {
        let mut convolutions = 0;
        for (height, width) in [(1, 1), (2, 3), (5, 6), (7, 9)] {
            for strides in [[1, 1], [2, 1], [2, 3]] {
                for offsets in [[0, 0], [1, 0], [0, 3], [-1, 2], [-2, -3]] {
                    let shape = [4, height, width];
                    let moved = map(shape, strides, offsets);
                    let copying = moved.copying(&OWN).unwrap();
                    assert_eq!(copied(&copying, &shape), expected(&moved), "{shape:?} {offsets:?}");
                    convolutions += usize::from(copying.connectivity != Connectivity::Dense);
                }
            }
        }
        assert!(convolutions > 40, "{convolutions} of 60");
    }

    #[test]
    fn other_copies_have_a_synapse_for_each_element() {
        // Upsampling by two, a reversed row, and two channels in one.
        let twice =
            (0..2 * 10 * 12).map(|i| Some((i / 120 * 5 + i / 12 % 10 / 2) * 6 + i % 12 / 2));
        let reversed = (0..60).map(|i| Some(i / 6 * 6 + 5 - i % 6));
        let mixed = (0..30).map(|i| Some(i + 30 * (i % 2)));
        for (shape, places) in [
            (vec![2, 10, 12], twice.collect::<Vec<_>>()),
            (vec![2, 5, 6], reversed.collect()),
            (vec![1, 5, 6], mixed.collect()),
        ] {
            let range = vec![Interval::new(-4, 60); OWN[0]];
            let moved = Moved { node: NodeId::new(0), shape: shape.clone(), places, range };
            assert!(moved.strided(&OWN).is_none());
            let copying = moved.copying(&OWN).unwrap();
            assert_eq!(copied(&copying, &shape), expected(&moved));
            assert!(moved.ranges(60).iter().all(|r| (r.low, r.high) == (-4, 60)));
        }
    }
}
