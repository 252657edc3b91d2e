//! Canonical networks for tests.

use snnc_ir::analysis::bisect_thresholds;
use snnc_ir::{
    Coding, Connectivity, DType, Decoder, Encoder, GradedNeuron, Graph, LookupNeuron, Neuron, Node,
    NodeId, Population, Presentation, Projection, Readout, SpikingOp, Stage, Tensor,
    ThresholdTable, Verified, Window, verify, window_outputs,
};

/// Builds canonical networks with weights that look random and never change.
pub(crate) struct Builder {
    graph: Graph,
    last: NodeId,
    seed: u64,
}

impl Builder {
    /// A network with codes `minimum..=maximum` as its input.
    pub fn new(shape: &[usize], minimum: i64, maximum: i64, zero_point: i64) -> Self {
        let mut graph = Graph::new("tiny", Stage::Spiking);
        let encoder = Encoder {
            scale: 1.0 / 255.0,
            zero_point,
            minimum,
            maximum,
            offset: None,
            rounding: Default::default(),
            thresholds: Vec::new(),
            presentation: Presentation::Once,
        };
        let last = graph.add(Node::spiking("input", SpikingOp::Encoder(encoder), shape), &[]);
        Builder { graph, last, seed: 7 }
    }

    fn weights(&mut self, count: usize, limit: i64) -> Vec<i64> {
        (0..count)
            .map(|_| {
                self.seed =
                    self.seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                (self.seed >> 33) as i64 % (2 * limit + 1) - limit
            })
            .collect()
    }

    fn project(
        mut self,
        connectivity: Connectivity,
        shape: &[usize],
        limit: i64,
        out: Vec<usize>,
    ) -> Self {
        let values = self.weights(shape.iter().product(), limit);
        let name = self.graph.fresh_name("w");
        let node = Node::spiking(name, SpikingOp::Projection(Projection::exact(connectivity)), out)
            .with_data(Tensor::from_integers(shape, &values));
        self.last = self.graph.add(node, &[self.last]);
        self
    }

    /// A convolution with padding `before` and `after`.
    pub fn convolution(self, filters: usize, window: Window, limit: i64) -> Self {
        let shape = self.graph[self.last].ty.shape.clone();
        let out = window_outputs(&window, &shape[1..], false).unwrap();
        let out = [&[filters], out.as_slice()].concat();
        let weights = [&[filters, shape[0]], window.kernel.as_slice()].concat();
        self.project(Connectivity::Convolution { window, groups: 1 }, &weights, limit, out)
    }

    /// A filter for each channel, with a weight range of 1 on either side.
    pub fn depthwise(self, window: Window) -> Self {
        let shape = self.graph[self.last].ty.shape.clone();
        let out = window_outputs(&window, &shape[1..], false).unwrap();
        let out = [&shape[..1], out.as_slice()].concat();
        let weights = [&[shape[0], 1], window.kernel.as_slice()].concat();
        let groups = shape[0];
        self.project(Connectivity::Convolution { window, groups }, &weights, 1, out)
    }

    /// A function by table on what the last node sends.
    pub fn table(mut self, name: &str, table: Vec<i64>) -> Self {
        let shape = self.graph[self.last].ty.shape.clone();
        let ones = Tensor::from_integers(&[shape[0]], &vec![1; shape[0]]);
        let direct = SpikingOp::Projection(Projection::exact(Connectivity::OneToOne));
        let fresh = self.graph.fresh_name("direct");
        let node = Node::spiking(fresh, direct, shape).with_data(ones);
        self.last = self.graph.add(node, &[self.last]);
        let maximum = table.iter().copied().max().unwrap_or(0);
        let population = Population {
            coding: Coding::Graded,
            bias: Vec::new(),
            bias_placement: Default::default(),
            neuron: Neuron::Lookup(LookupNeuron { minimum: 0, table }),
            minimum: 0,
            maximum,
            scale: vec![0.5],
        };
        self.populate(name, population)
    }

    pub fn dense(self, units: usize, limit: i64) -> Self {
        let inputs = self.graph[self.last].ty.len();
        self.project(Connectivity::Dense, &[units, inputs], limit, vec![units])
    }

    fn populate(mut self, name: &str, population: Population) -> Self {
        let shape = self.graph[self.last].ty.shape.clone();
        let node = Node::spiking(name, SpikingOp::Population(population), shape);
        self.last = self.graph.add(node, &[self.last]);
        self
    }

    /// Neurons that round `v * scale` half to even.
    pub fn fire(self, name: &str, scale: f32, (minimum, maximum): (i64, i64)) -> Self {
        let answer = |v: i64| ((v as f32 * scale).round_ties_even() as i64).clamp(minimum, maximum);
        let thresholds = bisect_thresholds(answer, (-1 << 24, 1 << 24), (minimum, maximum));
        let channels = self.graph[self.last].ty.shape[0] as i64;
        let population = Population {
            coding: Coding::Graded,
            bias: (0..channels).map(|c| 13 * c - 20).collect(),
            bias_placement: Default::default(),
            neuron: Neuron::Thresholds(ThresholdTable { thresholds: vec![thresholds], minimum }),
            minimum,
            maximum,
            scale: vec![0.5],
        };
        self.populate(name, population)
    }

    pub fn max_pool(mut self, name: &str, size: usize) -> Self {
        let shape = &self.graph[self.last].ty.shape;
        let window = Window { strides: vec![size; 2], ..Window::plain(&[size; 2]) };
        let out = window_outputs(&window, &shape[1..], false).unwrap();
        let out = [&shape[..1], out.as_slice()].concat();
        self.last =
            self.graph.add(Node::spiking(name, SpikingOp::MaxPool { window }, out), &[self.last]);
        self
    }

    /// What the last node sends, to be used again.
    pub fn here(&self) -> NodeId {
        self.last
    }

    /// The sum over each channel's whole map.
    pub fn global(mut self) -> Self {
        let shape = self.graph[self.last].ty.shape.clone();
        let (c, window) = (shape[0], Window::plain(&shape[1..]));
        let connectivity = Connectivity::Convolution { window, groups: c };
        let projection = SpikingOp::Projection(Projection::exact(connectivity));
        let ones =
            Tensor::from_integers(&[c, 1, shape[1], shape[2]], &vec![1; shape.iter().product()]);
        let node = Node::spiking("global", projection, vec![c, 1, 1]).with_data(ones);
        self.last = self.graph.add(node, &[self.last]);
        self
    }

    /// The last projection and, one to one, what `skip` sends, rectified.
    pub fn residual(mut self, name: &str, skip: NodeId, maximum: i64) -> Self {
        let shape = self.graph[skip].ty.shape.clone();
        let own = self.last;
        let one = 1i64 << 30;
        if let snnc_ir::Op::Spiking(SpikingOp::Projection(p)) = &mut self.graph[own].op {
            p.gain = vec![one / 40; shape[0]];
        }
        let direct =
            Projection { gain: vec![one / 10 * 7], ..Projection::exact(Connectivity::OneToOne) };
        let ones = Tensor::from_integers(&[shape[0]], &vec![1; shape[0]]);
        let node =
            Node::spiking("skip", SpikingOp::Projection(direct), shape.clone()).with_data(ones);
        let direct = self.graph.add(node, &[skip]);
        let neuron = GradedNeuron {
            multiplier: vec![1],
            offset: vec![one / 2],
            divisor: vec![one],
            minimum: 0,
            maximum,
        };
        let population = Population {
            coding: Coding::Graded,
            bias: vec![one / 3; shape[0]],
            bias_placement: Default::default(),
            neuron: Neuron::Graded(neuron),
            minimum: 0,
            maximum,
            scale: vec![0.5],
        };
        let node = Node::spiking(name, SpikingOp::Population(population), shape);
        self.last = self.graph.add(node, &[own, direct]);
        self
    }

    /// Scores without activation.
    pub fn scores(self, name: &str) -> Verified {
        let channels = self.graph[self.last].ty.shape[0] as i64;
        let population = Population {
            coding: Coding::Graded,
            bias: (0..channels).map(|c| c - 1).collect(),
            bias_placement: Default::default(),
            neuron: Neuron::Accumulate,
            minimum: -1 << 20,
            maximum: 1 << 20,
            scale: vec![0.25],
        };
        self.populate(name, population).done()
    }

    /// The network with what the last node sends as its output.
    pub fn done(mut self) -> Verified {
        let shape = self.graph[self.last].ty.shape.clone();
        let decoder = Decoder { readout: Readout::Last, scale: vec![0.25], zero: Vec::new() };
        let mut node = Node::spiking("logits", SpikingOp::Decoder(decoder), shape);
        node.ty.dtype = DType::F32;
        self.graph.add(node, &[self.last]);
        verify(self.graph).unwrap()
    }
}

/// A square kernel with as much padding on all sides.
pub(crate) fn square(kernel: usize, stride: usize, pad: usize) -> Window {
    Window {
        kernel: vec![kernel; 2],
        strides: vec![stride; 2],
        dilations: vec![1; 2],
        before: vec![pad; 2],
        after: vec![pad; 2],
    }
}
