//! Means: sums of payloads over windows.

use snnc_ir::analysis::Interval;
use snnc_ir::{
    Coding, Connectivity, GradedNeuron, Node, NodeId, Op, Pool, Population, SpikingOp, TensorOp,
    Window,
};

use super::{Converter, Form, Payloads, Synapses, unbatched};

/// Weights that a mean over windows of different numbers of cells may take.
const MOST_WEIGHTS: usize = 1 << 24;

impl Converter<'_> {
    pub(super) fn sum_pool(&mut self, id: NodeId, window: Window) -> Form {
        let source = match self.map_of(id) {
            Ok(source) => source,
            Err(form) => return form,
        };
        let channels = source.shape[0];
        let cells: usize = window.kernel.iter().product();
        let weight_shape = [&[channels, 1], window.kernel.as_slice()].concat();
        let connectivity = Connectivity::Convolution { window, groups: channels };
        self.summing(id, source, connectivity, (vec![1; channels * cells], weight_shape))
    }

    /// Each neuron adds up the cells of its own window, with the weight that their number leaves each.
    pub(super) fn even_sum(&mut self, id: NodeId, pool: &Pool) -> Form {
        let source = match self.map_of(id) {
            Ok(source) => source,
            Err(form) => return form,
        };
        let shape = unbatched(&self.quantised[id].ty.shape);
        let (map, outputs) = (source.shape[1..].to_vec(), shape[1..].to_vec());
        let (from, to) = (map.iter().product::<usize>(), outputs.iter().product::<usize>());
        let (sources, targets) = (from * shape[0], to * shape[0]);
        let few = sources.checked_mul(targets).is_some_and(|n| n <= MOST_WEIGHTS);
        let (Some(common), true) = (pool.common(&map, &outputs), few) else {
            let text = "its windows have different numbers of cells, which takes a synapse of its own for \
                        each pair of cells, more than there is room for";
            return self.problem(id, text, "count the padding (count_include_pad), or do not pad");
        };
        let counts = pool.counts(&map, &outputs);
        let mut weights = vec![0; targets * sources];
        for (window, count) in counts.iter().enumerate() {
            for cell in cells(&pool.window, &map, &outputs, window) {
                for channel in 0..shape[0] {
                    let target = channel * to + window;
                    weights[target * sources + channel * from + cell] = (common / count) as i64;
                }
            }
        }
        self.summing(id, source, Connectivity::Dense, (weights, vec![targets, sources]))
    }

    /// The synapses of a sum; neurons that send it as it is where something else than a neuron with
    /// thresholds takes it.
    fn summing(
        &mut self,
        id: NodeId,
        source: Payloads,
        connectivity: Connectivity,
        (weights, weight_shape): (Vec<i64>, Vec<usize>),
    ) -> Form {
        let node = &self.quantised[id];
        let Some(q) = &node.ty.quantisation else {
            return self.problem(id, "its sum has no scale", "");
        };
        let synapses = Synapses {
            weights,
            weight_shape,
            bias: Vec::new(),
            scale: q.scale.clone(),
            shape: unbatched(&node.ty.shape),
            connectivity,
            codes: None,
            source,
        };
        let passes_on = |user: &NodeId| {
            !matches!(
                self.quantised[*user].as_tensor(),
                Some(TensorOp::Requantise | TensorOp::Threshold(_) | TensorOp::Dequantise(_))
            ) && !self.host.tail.contains(user)
        };
        if self.quantised.users(id).iter().any(passes_on) {
            return self.sent(id, &synapses);
        }
        Form::Sum(Box::new(synapses))
    }

    /// Neurons whose payloads are the sums themselves.
    fn sent(&mut self, id: NodeId, synapses: &Synapses) -> Form {
        let node = self.named(id, SpikingOp::Concatenate { axis: 0 }, &synapses.shape);
        let Some((projection, range)) = self.project(id, &node.name, synapses, Vec::new()) else {
            return Form::Nothing;
        };
        let whole = range.iter().copied().reduce(Interval::union).unwrap_or(Interval::new(0, 0));
        let neuron = GradedNeuron {
            multiplier: vec![1],
            offset: vec![0],
            divisor: vec![1],
            minimum: whole.low,
            maximum: whole.high,
        };
        let population = Population {
            coding: Coding::Graded,
            bias: Vec::new(),
            bias_placement: Default::default(),
            neuron: neuron.into(),
            minimum: whole.low.min(0),
            maximum: whole.high.max(0),
            scale: synapses.scale.clone(),
        };
        let node = Node { op: Op::Spiking(SpikingOp::Population(population)), ..node };
        let node = self.network.add(node, &[projection]);
        self.correspondence.push((node, id));
        Form::Payloads(Payloads { node, shape: synapses.shape.clone(), order: None, range })
    }
}

/// The cells of a map that lie in a window.
fn cells(window: &Window, map: &[usize], outputs: &[usize], mut index: usize) -> Vec<usize> {
    let mut found = vec![0];
    let mut places = vec![0; outputs.len()];
    for axis in (0..outputs.len()).rev() {
        places[axis] = index % outputs[axis];
        index /= outputs[axis];
    }
    for axis in 0..map.len() {
        let along = |k: usize| {
            let padded = places[axis] * window.strides[axis] + k * window.dilations[axis];
            padded.checked_sub(window.before[axis]).filter(|&cell| cell < map[axis])
        };
        let own: Vec<usize> = (0..window.kernel[axis]).filter_map(along).collect();
        found = found.iter().flat_map(|f| own.iter().map(move |o| f * map[axis] + o)).collect();
    }
    found
}
