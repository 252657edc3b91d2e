//! Layers between neurons, as expressions.

use snnc_ir::{Connectivity, DType, Graph, Node, NodeId, Pool, PoolKind, Tensor, TensorOp, Window};

use super::super::expression::{Expression, Id, Layer, LayerKind};
use super::super::linear::{shortened, spread};
use super::{Framed, Result1};

impl Framed {
    pub(super) fn dense(
        &mut self,
        graph: &Graph,
        op: &TensorOp,
        sources: &[NodeId],
        node: &Node,
    ) -> Result1 {
        let weights = sources.get(1).and_then(|&w| constant(graph, w));
        let Some(weights) = weights else { return Err("multiplies what is computed".into()) };
        let &[rows, columns] = weights.shape() else {
            return Err("has weights of another rank".into());
        };
        let (weights, outputs, inputs) = match op {
            TensorOp::Dense => (weights, rows, columns),
            _ => (transposed(&weights), columns, rows),
        };
        let bias = match sources.get(2) {
            Some(&b) => Some(constant(graph, b).ok_or("has a bias that is computed")?.to_f32()),
            None => None,
        };
        let layer = Layer {
            kind: LayerKind::Synapses(Connectivity::Dense),
            weights: Some(weights),
            bias,
            input: vec![inputs],
            output: vec![outputs],
        };
        self.apply(layer, sources[0], node)
    }

    pub(super) fn convolution(
        &mut self,
        graph: &Graph,
        kind: Connectivity,
        sources: &[NodeId],
        node: &Node,
    ) -> Result1 {
        let weights = sources.get(1).and_then(|&w| constant(graph, w));
        let Some(weights) = weights else { return Err("has weights that are computed".into()) };
        let bias = match sources.get(2) {
            Some(&b) => Some(constant(graph, b).ok_or("has a bias that is computed")?.to_f32()),
            None => None,
        };
        let output = node.ty.shape[1..].to_vec();
        let plane: usize = output[1..].iter().product();
        let bias = bias.map(|b| b.iter().flat_map(|&v| std::iter::repeat_n(v, plane)).collect());
        let layer = Layer {
            kind: LayerKind::Synapses(kind),
            weights: Some(weights),
            bias,
            input: graph[sources[0]].ty.shape[1..].to_vec(),
            output,
        };
        self.apply(layer, sources[0], node)
    }

    pub(super) fn pool(
        &mut self,
        pool: &Pool,
        (x, from): (NodeId, &[usize]),
        node: &Node,
    ) -> Result1 {
        let (input, output) = (from[1..].to_vec(), node.ty.shape[1..].to_vec());
        let window = reaching(&pool.window, &input[1..], &output[1..]);
        if pool.kind == PoolKind::Max {
            let kind = LayerKind::Maximum(window);
            return self.apply(Layer { kind, weights: None, bias: None, input, output }, x, node);
        }
        // How many cells each mean is of; not one number where windows reach into the padding.
        let padded = pool.kind == PoolKind::AverageWithPadding;
        let counts = match pool.kind {
            PoolKind::Sum | PoolKind::EvenSum { .. } => vec![1.0],
            _ => counts(&pool.window, &input[1..], &output[1..], padded),
        };
        let counts = shortened(counts);
        let weight = if let [all] = counts[..] { (1.0 / all) as f32 } else { 1.0 };
        let sums = self.add_up((window, weight), (input, output.clone()), x, node)?;
        if counts.len() == 1 {
            return Ok(sums);
        }
        let shares = counts.iter().map(|c| 1.0 / c).collect::<Vec<f64>>();
        let shares = shares.repeat(output[0]);
        let share = self.table.constant(shares, &output);
        let origin = node.origins.first();
        Ok(sums.into_iter().map(|sum| self.table.product(sum, share, origin)).collect())
    }

    /// Adds up the cells of each window of each channel.
    fn add_up(
        &mut self,
        (window, weight): (Window, f32),
        (input, output): (Vec<usize>, Vec<usize>),
        x: NodeId,
        node: &Node,
    ) -> Result1 {
        let (groups, cells) = (input[0], window.kernel.iter().product::<usize>());
        let shape: Vec<usize> = [&[groups, 1], window.kernel.as_slice()].concat();
        let weights = Tensor::from_f32(&shape, &vec![weight; groups * cells]);
        let kind = LayerKind::Synapses(Connectivity::Convolution { window, groups });
        self.apply(Layer { kind, weights: Some(weights), bias: None, input, output }, x, node)
    }

    /// Sums or means over time, or over places of a map.
    pub(super) fn reduce(
        &mut self,
        (axes, mean): (&[usize], bool),
        (x, from): (NodeId, &[usize]),
        node: &Node,
    ) -> Result1 {
        let frames = self.values[&x].clone();
        let origin = node.origins.first();
        let steps: usize = axes.iter().map(|&a| from[a]).product();
        if steps == 1 {
            return Ok(frames);
        }
        let before = |axis: usize| from[..axis].iter().product::<usize>();
        let long: Vec<usize> = axes.iter().copied().filter(|&a| from[a] > 1).collect();
        if let [time] = long[..]
            && before(time) == 1
            && frames.len() == steps
        {
            let sum = frames[1..].iter().fold(frames[0], |a, &b| self.table.sum(a, b, origin));
            let share = self.table.constant(vec![1.0 / steps as f64], &[]);
            return Ok(vec![if mean { self.table.product(sum, share, origin) } else { sum }]);
        }
        let whole = before(1) == frames.len() && from.len() > 2 && axes.iter().all(|&a| a > 1);
        if !whole {
            return Err("adds up neither timesteps nor places of a map".into());
        }
        let kernel: Vec<usize> =
            (2..from.len()).map(|a| if axes.contains(&a) { from[a] } else { 1 }).collect();
        let left = from[2..].iter().zip(&kernel).map(|(size, k)| size + 1 - k);
        let output: Vec<usize> = std::iter::once(from[1]).chain(left).collect();
        let weight = if mean { 1.0 / steps as f32 } else { 1.0 };
        let input = from[1..].to_vec();
        self.add_up((Window::plain(&kernel), weight), (input, output), x, node)
    }

    /// `(x - mean) / sqrt(variance + epsilon) * scale + bias`, channel by channel.
    pub(super) fn normalise(
        &mut self,
        graph: &Graph,
        epsilon: f32,
        sources: &[NodeId],
        node: &Node,
    ) -> Result1 {
        let mut parameters = Vec::with_capacity(4);
        for &id in &sources[1..] {
            let constant = constant(graph, id).ok_or("normalises by what is computed")?;
            parameters.push(constant.to_f32().into_iter().map(f64::from).collect::<Vec<f64>>());
        }
        let [scale, bias, mean, variance] = parameters.as_slice() else {
            return Err("lacks parameters".into());
        };
        let factor: Vec<f64> =
            scale.iter().zip(variance).map(|(s, v)| s / (v + f64::from(epsilon)).sqrt()).collect();
        let offset: Vec<f64> = (0..factor.len()).map(|c| bias[c] - mean[c] * factor[c]).collect();
        let shape = node.ty.shape.get(1..).unwrap_or_default();
        let (factor, offset) = (spread(&factor, shape), spread(&offset, shape));
        let factor = self.table.constant(factor, shape);
        let offset = self.table.constant(offset, shape);
        let neurons: usize = shape.iter().product();
        let frames = self.values[&sources[0]].clone();
        if frames.iter().any(|&f| self.table.shape(f).iter().product::<usize>() != neurons) {
            return Err("normalises other channels than those of one timestep".into());
        }
        let origin = node.origins.first();
        let mut one = |x: Id| {
            let scaled = self.table.product(x, factor, origin);
            self.table.biased_sum(scaled, offset, origin)
        };
        Ok(frames.into_iter().map(&mut one).collect())
    }

    fn apply(&mut self, layer: Layer, x: NodeId, node: &Node) -> Result1 {
        let frames = self.values[&x].clone();
        let neurons: usize = layer.input.iter().product();
        if let Some(&odd) =
            frames.iter().find(|&&f| self.table.shape(f).iter().product::<usize>() != neurons)
        {
            let found: usize = self.table.shape(odd).iter().product();
            return Err(format!(
                "takes {neurons} values, but a timestep has {found}: the first dimension must be time, and the batch 1"
            ));
        }
        let shape = layer.output.clone();
        let layer = self.table.layer(layer, &node.origins);
        let origin = node.origins.first();
        let one =
            |source: Id| self.table.intern(Expression::Layer { layer, source }, &shape, origin);
        Ok(frames.into_iter().map(one).collect())
    }
}

/// The window with as much padding behind as the last windows of `output` reach into.
fn reaching(window: &Window, input: &[usize], output: &[usize]) -> Window {
    let mut window = window.clone();
    for axis in 0..window.rank() {
        let extent = (window.kernel[axis] - 1) * window.dilations[axis] + 1;
        let end = output[axis].saturating_sub(1) * window.strides[axis] + extent;
        let inside = input[axis] + window.before[axis];
        // No further than what was there or is needed, or the shapes would be others.
        if end > inside + window.after[axis] {
            window.after[axis] = end - inside;
        }
    }
    window
}

/// How many cells of the map, and of its padding if that counts, each window covers.
fn counts(window: &Window, input: &[usize], output: &[usize], padded: bool) -> Vec<f64> {
    let along = |axis: usize, place: usize| {
        let covered = |&k: &usize| {
            let at = place * window.strides[axis] + k * window.dilations[axis];
            let (before, size) = (window.before[axis], input[axis]);
            match padded {
                true => at < before + size + window.after[axis],
                false => at >= before && at < before + size,
            }
        };
        (0..window.kernel[axis]).filter(covered).count() as f64
    };
    let mut all = vec![1.0];
    for (axis, &places) in output.iter().enumerate() {
        let row: Vec<f64> = (0..places).map(|place| along(axis, place)).collect();
        all = all.iter().flat_map(|a| row.iter().map(move |b| a * b)).collect();
    }
    all
}

/// The constant that a node is, transposed where it is a transposition of one.
fn constant(graph: &Graph, id: NodeId) -> Option<Tensor> {
    match graph[id].as_tensor()? {
        TensorOp::Constant => graph[id].data.clone().filter(|d| d.dtype() == DType::F32),
        TensorOp::Transpose { permutation } if permutation[..] == [1, 0] => {
            Some(transposed(&constant(graph, graph.source(id, 0)?)?))
        }
        _ => None,
    }
}

fn transposed(weights: &Tensor) -> Tensor {
    let &[rows, columns] = weights.shape() else { return weights.clone() };
    let values = weights.to_f32();
    let turned: Vec<f32> =
        (0..rows * columns).map(|i| values[i % rows * columns + i / rows]).collect();
    Tensor::from_f32(&[columns, rows], &turned)
}
