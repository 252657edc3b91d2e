//! Networks that look random and depend on a seed alone.

use snnc_ir::{
    Accumulator, AkidaTwoNeuron, BiasPlacement, Coding, Comparison, Connectivity, DType, Decoder,
    Encoder, GradedNeuron, Graph, IntegrateAndFire, Leak, LookupNeuron, NegativeSpikes, Neuron,
    Node, NodeId, Op, Overflow, Population, Presentation, Projection, Readout, Reset, Rounding,
    Schedule, SpikingOp, Stage, Tensor, TensorType, ThresholdTable, TimeTable, Timing, Window,
};

/// Numbers that look random and depend on the seed alone.
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        let x = self.0 ^ (self.0 >> 29);
        x.wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 20
    }

    pub fn range(&mut self, low: i64, high: i64) -> i64 {
        low + (self.roll() % (high - low + 1) as u64) as i64
    }

    pub fn one_in(&mut self, n: u64) -> bool {
        self.roll().is_multiple_of(n)
    }

    pub fn many(&mut self, n: usize, low: i64, high: i64) -> Vec<i64> {
        (0..n).map(|_| self.range(low, high)).collect()
    }
}

fn integrate_and_fire(dice: &mut Dice, channels: usize, steps: usize) -> Neuron {
    let rows = if dice.one_in(2) { channels } else { 1 };
    let columns = if dice.one_in(3) { steps } else { 1 };
    let mut table =
        |low, high| TimeTable((0..rows).map(|_| dice.many(columns, low, high)).collect());
    let (threshold, other, decode) = (table(1, 60), table(-3, 60), table(-2, 9));
    let reset = match dice.range(0, 4) {
        0 => Reset::Hard(dice.range(-5, 5)),
        1 => Reset::SoftBy(other.clone()),
        _ => Reset::Soft,
    };
    Neuron::IntegrateAndFire(IntegrateAndFire {
        threshold,
        reset,
        initial: dice.many(if rows == 1 { 1 } else { channels }, -9, 30),
        leak: if dice.one_in(5) { Leak::Subtracting { shift: 2 } } else { Leak::None },
        maximum: if dice.one_in(3) { 3 } else { 1 },
        comparison: if dice.one_in(3) { Comparison::Above } else { Comparison::AtLeast },
        signed_limit: match dice.range(0, 7) {
            0 => Some(NegativeSpikes::Retracting { minimum: 0, maximum: 3 }),
            1 => Some(NegativeSpikes::Below(TimeTable::constant(-7))),
            _ => None,
        },
        decode: dice.one_in(4).then_some(decode),
    })
}

fn neuron(dice: &mut Dice, channels: usize, steps: usize) -> Neuron {
    match dice.range(0, if steps == 1 { 4 } else { 9 }) {
        0 => Neuron::Graded(GradedNeuron {
            multiplier: dice.many(channels, 1, 90),
            offset: dice.many(channels, -3000, 3000),
            divisor: dice.many(1, 100, 9000),
            minimum: dice.range(-20, 0),
            maximum: dice.range(1, 200),
        }),
        1 => Neuron::Thresholds(ThresholdTable {
            thresholds: (0..channels)
                .map(|_| {
                    let mut row = dice.many(15, -400, 900);
                    row.sort_unstable();
                    row
                })
                .collect(),
            minimum: dice.range(-3, 0),
        }),
        2 => {
            let mut table = dice.many(40, -20, 100);
            if dice.one_in(2) {
                table.sort_unstable();
            }
            Neuron::Lookup(LookupNeuron { minimum: -17, table })
        }
        3 => Neuron::AkidaTwo(AkidaTwoNeuron {
            bias: dice.many(channels, -100, 100),
            bias_shift: dice.many(1, 0, 3),
            fused_bits: None,
            post_bits: 20,
            ceiling: dice.one_in(2).then(|| dice.many(1, 50, 4000)),
            scale: dice.many(channels, 1, 127),
            shift: dice.many(1, -9, -5),
            output_bits: if dice.one_in(2) { 4 } else { 8 },
        }),
        _ => integrate_and_fire(dice, channels, steps),
    }
}

fn projection(dice: &mut Dice, connectivity: Connectivity, channels: [usize; 2]) -> Projection {
    let mut p = Projection::exact(connectivity);
    if dice.one_in(4) {
        p.gain = dice.many(channels[1], -3, 3);
    }
    if dice.one_in(5) {
        p.input_shift = dice.many(channels[0], 0, 1).iter().map(|&s| s as u8).collect();
    }
    let overflow = [Overflow::Error, Overflow::Saturate, Overflow::SaturateEach, Overflow::Wrap];
    p.accumulator = Accumulator { bits: 40, overflow: overflow[dice.range(0, 3) as usize] };
    p
}

/// Adds a projection from `from` with its population and returns that.
pub struct Maker {
    pub graph: Graph,
    pub dice: Dice,
    pub count: usize,
}

impl Maker {
    pub fn name(&mut self, what: &str) -> String {
        self.count += 1;
        format!("{what}{}", self.count)
    }

    pub fn convolution(&mut self, from: NodeId) -> NodeId {
        let shape = self.graph[from].ty.shape.clone();
        let depthwise = self.dice.one_in(4);
        let halves = !depthwise && shape[0].is_multiple_of(2) && self.dice.one_in(4);
        let groups = if depthwise { shape[0] } else { 1 + usize::from(halves) };
        let targets = if depthwise { shape[0] } else { groups * self.dice.range(1, 20) as usize };
        let mut window = Window::plain(&[1, 1]);
        let mut output = vec![targets];
        for axis in 0..2 {
            let extent = shape[1 + axis];
            window.kernel[axis] = self.dice.range(1, extent.min(3) as i64) as usize;
            window.before[axis] = self.dice.range(0, 1) as usize;
            window.after[axis] = self.dice.range(0, 2) as usize;
            window.strides[axis] = self.dice.range(1, 2) as usize;
            let reach = window.kernel[axis];
            output.push(
                (extent + window.before[axis] + window.after[axis] - reach) / window.strides[axis]
                    + 1,
            );
        }
        let weights = [targets, shape[0] / groups, window.kernel[0], window.kernel[1]];
        let connectivity = Connectivity::Convolution { window, groups };
        self.project(from, connectivity, &weights, output)
    }

    pub fn dense(&mut self, from: NodeId, targets: usize) -> NodeId {
        let sources = self.graph[from].ty.len();
        self.project(from, Connectivity::Dense, &[targets, sources], vec![targets])
    }

    pub fn project(
        &mut self,
        from: NodeId,
        connectivity: Connectivity,
        weights: &[usize],
        output: Vec<usize>,
    ) -> NodeId {
        let channels = [self.graph[from].ty.shape[0], output[0]];
        let dense = connectivity == Connectivity::Dense;
        let mut p = projection(&mut self.dice, connectivity, channels);
        if dense {
            p.input_shift.truncate(1);
        }
        let (most, dtype) = if self.dice.one_in(6) { (3000, DType::I16) } else { (60, DType::I8) };
        let values = self.dice.many(weights.iter().product(), -most, most);
        let name = self.name("p");
        let node = Node::spiking(name, SpikingOp::Projection(p), output)
            .with_data(Tensor::from_i64(dtype, weights, &values));
        self.graph.add(node, &[from])
    }

    pub fn population(&mut self, projections: &[NodeId], steps: usize) -> NodeId {
        let shape = self.graph[projections[0]].ty.shape.clone();
        let placements = [
            BiasPlacement::EveryTimestep,
            BiasPlacement::FirstTimestep,
            BiasPlacement::AfterLastTimestep,
        ];
        let population = Population {
            coding: Coding::Rate,
            bias: if self.dice.one_in(3) { Vec::new() } else { self.dice.many(shape[0], -99, 99) },
            bias_placement: placements[self.dice.range(0, 2) as usize],
            neuron: neuron(&mut self.dice, shape[0], steps),
            minimum: -128,
            maximum: 255,
            scale: Vec::new(),
        };
        let name = self.name("n");
        self.graph.add(Node::spiking(name, SpikingOp::Population(population), shape), projections)
    }

    /// As `population`, with neurons of one kind and without a bias.
    pub fn population_of(&mut self, projections: &[NodeId], neuron: Neuron) -> NodeId {
        let shape = self.graph[projections[0]].ty.shape.clone();
        let population = Population {
            coding: Coding::Rate,
            bias: Vec::new(),
            bias_placement: BiasPlacement::EveryTimestep,
            neuron,
            minimum: 0,
            maximum: 255,
            scale: Vec::new(),
        };
        let name = self.name("n");
        self.graph.add(Node::spiking(name, SpikingOp::Population(population), shape), projections)
    }

    /// Adds a dense layer that only accumulates, and a decoder.
    pub fn read_out(&mut self, from: NodeId) {
        let targets = self.dice.range(1, 40) as usize;
        let p = self.dense(from, targets);
        let read_out = Population {
            coding: Coding::Rate,
            bias: self.dice.many(targets, -50, 50),
            bias_placement: BiasPlacement::EveryTimestep,
            neuron: Neuron::Accumulate,
            minimum: i64::from(i32::MIN),
            maximum: i64::from(i32::MAX),
            scale: Vec::new(),
        };
        let out = Node::spiking("y", SpikingOp::Population(read_out), vec![targets]);
        let at = self.graph.add(out, &[p]);
        let readout = if self.dice.one_in(3) { Readout::Sum } else { Readout::Last };
        let decoder = Decoder { readout, scale: vec![0.5], zero: Vec::new() };
        let mut node = Node::spiking("o", SpikingOp::Decoder(decoder), vec![targets]);
        node.ty = TensorType::new(DType::F32, vec![targets]);
        self.graph.add(node, &[at]);
    }

    /// A shortcut beside the projection: one weight for each channel.
    pub fn shortcut(&mut self, from: NodeId) -> NodeId {
        let shape = self.graph[from].ty.shape.clone();
        self.project(from, Connectivity::OneToOne, &[shape[0]], shape)
    }

    pub fn pool(&mut self, from: NodeId, running: bool) -> NodeId {
        let shape = self.graph[from].ty.shape.clone();
        let mut window = Window::plain(&[2, 2]);
        window.strides = vec![2, 2];
        window.before = vec![1, 0];
        window.after = vec![1, 1];
        let out = |axis: usize| {
            (shape[axis] + window.before[axis - 1] + window.after[axis - 1] - 2) / 2 + 1
        };
        let shape = vec![shape[0], out(1), out(2)];
        let name = self.name("m");
        let op = match running {
            true => SpikingOp::RunningMaxPool { window },
            false => SpikingOp::MaxPool { window },
        };
        self.graph.add(Node::spiking(name, op, shape), &[from])
    }

    pub fn encoder(&mut self, shape: Vec<usize>) -> NodeId {
        let signed = self.dice.one_in(2);
        let presentation = match self.dice.range(0, 3) {
            0 => Presentation::Once,
            1 => Presentation::BitSerial { bits: 3 },
            _ => Presentation::EveryTimestep,
        };
        let encoder = Encoder {
            scale: 0.037,
            zero_point: if signed { 0 } else { 7 },
            minimum: if signed { -128 } else { 0 },
            maximum: if signed { 127 } else { 255 },
            offset: None,
            rounding: if self.dice.one_in(4) { Rounding::Floor } else { Rounding::HalfEven },
            thresholds: Vec::new(),
            presentation,
        };
        self.graph.add(Node::spiking("x", SpikingOp::Encoder(encoder), shape), &[])
    }
}

/// A network of a few layers, with its input's length.
pub fn network(seed: u64) -> (Graph, usize) {
    let mut m = Maker { graph: Graph::new("random", Stage::Spiking), dice: Dice(seed), count: 0 };
    m.dice.many(9, 0, 1);
    let steps = if m.dice.one_in(2) { 1 } else { m.dice.range(2, 6) as usize };
    let schedule = if m.dice.one_in(3) { Schedule::LayerSynchronous } else { Schedule::Streaming };
    m.graph.timing = Timing { timesteps: steps, schedule };
    let shape: Vec<usize> =
        vec![m.dice.range(1, 9) as usize, m.dice.range(1, 6) as usize, m.dice.range(1, 7) as usize];
    let mut at = m.encoder(shape.clone());
    for _ in 0..m.dice.range(0, 2) {
        let p = m.convolution(at);
        at = m.population(&[p], steps);
        if m.dice.one_in(3) {
            let (p, q) = (m.convolution(at), m.shortcut(at));
            let plain = m.graph[p].ty.shape == m.graph[q].ty.shape;
            at = if plain {
                m.population(&[p, q], steps)
            } else {
                m.graph.remove(p);
                m.population(&[q], steps)
            };
        }
        if m.dice.one_in(3) && m.graph[at].ty.shape[2] > 1 {
            let running = m.dice.one_in(2);
            at = m.pool(at, running);
        }
        if m.dice.one_in(4) {
            let p = m.shortcut(at);
            let other = m.population(&[p], steps);
            let mut shape = m.graph[at].ty.shape.clone();
            shape[0] *= 2;
            let name = m.name("c");
            let join = SpikingOp::Concatenate { axis: 0 };
            at = m.graph.add(Node::spiking(name, join, shape), &[at, other]);
        }
    }
    m.read_out(at);
    (m.graph, shape.iter().product())
}

/// A network of wide layers whose neurons fire so seldom that their spikes are added up one by one:
/// convolutions over more than 64 outputs, averages that are sums, and more spikes than one sum of 16
/// bits holds.
pub fn sparse_network(seed: u64, threshold: i64) -> (Graph, usize) {
    let mut m = Maker { graph: Graph::new("sparse", Stage::Spiking), dice: Dice(seed), count: 0 };
    m.graph.timing = Timing { timesteps: 5, schedule: Schedule::Streaming };
    let mut at = m.encoder(vec![3, 8, 7]);
    for (targets, threshold) in [(64, threshold), (96, 500), (130, 800)] {
        let [c, y, x] = m.graph[at].ty.shape[..] else { unreachable!() };
        let mut window = Window::plain(&[3, 3]);
        (window.before, window.after) = (vec![1, 1], vec![1, 1]);
        let connectivity = Connectivity::Convolution { window, groups: 1 };
        let p = m.project(at, connectivity, &[targets, c, 3, 3], vec![targets, y, x]);
        let fires = IntegrateAndFire {
            threshold: TimeTable::constant(threshold),
            reset: Reset::Soft,
            initial: vec![0],
            leak: Leak::None,
            maximum: 1,
            comparison: Comparison::AtLeast,
            signed_limit: None,
            decode: None,
        };
        at = m.population_of(&[p], Neuron::IntegrateAndFire(fires));
    }
    let [c, y, x] = m.graph[at].ty.shape[..] else { unreachable!() };
    let mut window = Window::plain(&[2, 2]);
    window.strides = vec![2, 2];
    let connectivity = Connectivity::Convolution { window, groups: c };
    let p = Projection::exact(connectivity);
    let ones = Tensor::from_i64(DType::I8, &[c, 1, 2, 2], &vec![1; 4 * c]);
    let p = Node::spiking("ones", SpikingOp::Projection(p), vec![c, y / 2, x / 2]).with_data(ones);
    let p = m.graph.add(p, &[at]);
    let same = GradedNeuron {
        multiplier: vec![1],
        offset: vec![0],
        divisor: vec![1],
        minimum: 0,
        maximum: 4,
    };
    at = m.population_of(&[p], Neuron::Graded(same));
    m.read_out(at);
    (m.graph, 3 * 8 * 7)
}

/// A residual block whose branches have gains beyond 32 bits together.
pub fn wide_network(seed: u64) -> (Graph, usize) {
    let mut m = Maker { graph: Graph::new("wide", Stage::Spiking), dice: Dice(seed), count: 0 };
    m.graph.timing = Timing { timesteps: 1, schedule: Schedule::Streaming };
    let from = m.encoder(vec![6, 5, 5]);
    let (mut window, targets) = (Window::plain(&[3, 3]), 21);
    (window.before, window.after) = (vec![1, 1], vec![1, 1]);
    let connectivity = Connectivity::Convolution { window, groups: 1 };
    let point = Connectivity::Convolution { window: Window::plain(&[1, 1]), groups: 1 };
    let p = m.project(from, connectivity, &[targets, 6, 3, 3], vec![targets, 5, 5]);
    let q = m.project(from, point, &[targets, 6, 1, 1], vec![targets, 5, 5]);
    for (id, gain) in [(p, 1 << 21), (q, 1 << 23)] {
        let gains = m.dice.many(targets, gain, 2 * gain);
        let Op::Spiking(SpikingOp::Projection(p)) = &mut m.graph[id].op else { unreachable!() };
        (p.gain, p.input_shift) = (gains, Vec::new());
        p.accumulator = Accumulator { bits: 64, overflow: Overflow::Error };
    }
    let graded = GradedNeuron {
        multiplier: vec![1],
        offset: vec![1 << 29],
        divisor: vec![1 << 30],
        minimum: -9,
        maximum: 200,
    };
    let at = m.population_of(&[p, q], Neuron::Graded(graded));
    let bias = m.dice.many(targets, -(1 << 36), 1 << 36);
    let Op::Spiking(SpikingOp::Population(p)) = &mut m.graph[at].op else { unreachable!() };
    p.bias = bias;
    m.read_out(at);
    (m.graph, 6 * 5 * 5)
}
