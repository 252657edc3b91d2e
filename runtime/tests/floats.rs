//! The prepared form of a network of real neurons against the scalar interpreter: every value of every
//! node in every timestep must be equal, for every instruction set of this processor.

use proptest::prelude::*;
use snnc_ir::{
    BiasPlacement, Coding, Comparison, Connectivity, DType, Decoder, Encoder, Firing, FloatNeuron,
    FloatReset, Graph, Neuron, Node, NodeId, Operand, Population, Presentation, Projection,
    Readout, Rounding, Schedule, SpikingOp, Stage, SynapticCurrent, Tensor, TensorType, Timing,
    Window, verify,
};
use snnc_runtime::kernels::Kernels;
use snnc_runtime::spiking::FloatNetwork;

/// Numbers that look random and depend on the seed alone.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        let x = self.0 ^ (self.0 >> 29);
        x.wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 20
    }

    fn range(&mut self, low: usize, high: usize) -> usize {
        low + (self.roll() % (high - low + 1) as u64) as usize
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.roll().is_multiple_of(n)
    }

    /// A real whose last bits matter.
    fn real(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * (self.roll() % (1 << 24)) as f32 / (1 << 24) as f32
    }

    fn reals(&mut self, n: usize, low: f32, high: f32) -> Vec<f32> {
        (0..n).map(|_| self.real(low, high)).collect()
    }

    /// One number for all, one for each, or none where that is allowed.
    fn parameter(&mut self, neurons: usize, low: f32, high: f32, absent: bool) -> Vec<f32> {
        match self.range(usize::from(!absent), 2) {
            0 => Vec::new(),
            1 => self.reals(1, low, high),
            _ => self.reals(neurons, low, high),
        }
    }

    fn neuron(&mut self, n: usize) -> FloatNeuron {
        let reset = match self.range(0, 4) {
            0 => FloatReset::None,
            1 => FloatReset::SoftDelayed(self.parameter(n, 0.5, 1.5, false)),
            2 => FloatReset::Hard(self.parameter(n, -0.5, 0.5, false)),
            _ => FloatReset::Soft(self.parameter(n, 0.5, 1.5, false)),
        };
        let firing = Firing {
            threshold: self.parameter(n, 0.3, 1.5, false),
            comparison: if self.one_in(2) { Comparison::Above } else { Comparison::AtLeast },
            reset,
        };
        let current = SynapticCurrent {
            decay: self.parameter(n, 0.2, 1.0, false),
            gain: self.parameter(n, 0.2, 1.0, true),
        };
        FloatNeuron {
            decay: self.parameter(n, 0.5, 1.0, false),
            gain: self.parameter(n, 0.2, 1.0, true),
            input_bias: self.parameter(n, -0.3, 0.6, true),
            drive: self.parameter(n, -0.1, 0.3, true),
            current: self.one_in(3).then_some(current),
            initial: self.parameter(n, -0.3, 0.6, true),
            firing: (!self.one_in(5)).then_some(firing),
        }
    }
}

struct Maker {
    graph: Graph,
    dice: Dice,
}

impl Maker {
    fn node(&mut self, op: SpikingOp, shape: Vec<usize>, operands: &[NodeId]) -> NodeId {
        let name = format!("n{}", self.graph.len());
        self.graph.add(Node::spiking(name, op, shape), operands)
    }

    fn project(
        &mut self,
        from: NodeId,
        connectivity: Connectivity,
        weights: &[usize],
        shape: Vec<usize>,
    ) -> NodeId {
        let values = self.dice.reals(weights.iter().product(), -0.5, 0.7);
        let id = self.node(SpikingOp::Projection(Projection::exact(connectivity)), shape, &[from]);
        self.graph[id].data = Some(Tensor::from_f32(weights, &values));
        id
    }

    fn convolution(&mut self, from: NodeId) -> NodeId {
        let shape = self.graph[from].ty.shape.clone();
        let groups = match self.dice.range(0, 5) {
            0 => shape[0],
            1 if shape[0].is_multiple_of(2) => 2,
            _ => 1,
        };
        let targets = groups * self.dice.range(1, if groups == 1 { 100 } else { 3 });
        let mut window = Window::plain(&vec![1; shape.len() - 1]);
        let mut output = vec![targets];
        for (axis, &extent) in shape[1..].iter().enumerate() {
            window.dilations[axis] = self.dice.range(1, 2);
            let widest = (extent - 1) / window.dilations[axis] + 1;
            window.kernel[axis] = self.dice.range(1, widest.min(3));
            window.before[axis] = self.dice.range(0, 1);
            window.after[axis] = self.dice.range(0, 2);
            window.strides[axis] = self.dice.range(1, 2);
            let reach = (window.kernel[axis] - 1) * window.dilations[axis] + 1;
            let whole = extent + window.before[axis] + window.after[axis];
            output.push((whole - reach) / window.strides[axis] + 1);
        }
        let weights = [&[targets, shape[0] / groups], window.kernel.as_slice()].concat();
        self.project(from, Connectivity::Convolution { window, groups }, &weights, output)
    }

    fn dense(&mut self, from: NodeId, targets: usize) -> NodeId {
        let sources = self.graph[from].ty.len();
        self.project(from, Connectivity::Dense, &[targets, sources], vec![targets])
    }

    fn population(&mut self, projections: &[NodeId]) -> NodeId {
        let shape = self.graph[projections[0]].ty.shape.clone();
        let population = Population {
            coding: Coding::Rate,
            bias: Vec::new(),
            bias_placement: BiasPlacement::EveryTimestep,
            neuron: Neuron::Float(self.dice.neuron(shape.iter().product())),
            minimum: 0,
            maximum: 1,
            scale: Vec::new(),
        };
        self.node(SpikingOp::Population(population), shape, projections)
    }

    fn pool(&mut self, from: NodeId) -> NodeId {
        let shape = self.graph[from].ty.shape.clone();
        let n = shape.len() - 1;
        let mut window = Window::plain(&vec![2; n]);
        window.strides = vec![2; n];
        let even = shape[1..].iter().all(|extent| extent.is_multiple_of(2));
        if !even || self.dice.one_in(2) {
            window.before[0] = 1;
            window.after = vec![1; n];
        }
        let mut out = vec![shape[0]];
        out.extend((0..n).map(|i| (shape[1 + i] + window.before[i] + window.after[i] - 2) / 2 + 1));
        self.node(SpikingOp::MaxPool { window }, out, &[from])
    }

    fn decoder(&mut self, from: NodeId) {
        let readout = if self.dice.one_in(2) { Readout::Sum } else { Readout::Last };
        let decoder = Decoder { readout, scale: vec![1.0], zero: Vec::new() };
        let shape = self.graph[from].ty.shape.clone();
        let id = self.node(SpikingOp::Decoder(decoder), shape.clone(), &[from]);
        self.graph[id].ty = TensorType::new(DType::F32, shape);
    }

    fn encoder(&mut self, shape: &[usize]) -> NodeId {
        let presentation = match self.dice.range(0, 2) {
            0 => Presentation::Once,
            1 => Presentation::InTime,
            _ => Presentation::EveryTimestep,
        };
        let encoder = Encoder {
            scale: if self.dice.one_in(2) { 1.0 } else { 0.37 },
            zero_point: 0,
            minimum: -128,
            maximum: 127,
            offset: None,
            rounding: Rounding::HalfEven,
            thresholds: Vec::new(),
            presentation,
        };
        self.node(SpikingOp::Encoder(encoder), shape.to_vec(), &[])
    }

    /// A dense layer that gets what it sent some timesteps before, and what another layer sent.
    fn recurrent(&mut self, from: NodeId) -> NodeId {
        let n = self.dice.range(1, 70);
        let arriving = self.dense(from, n);
        let layer = self.population(&[arriving]);
        let back = self.dense(layer, n);
        let delay = self.dice.range(1, 3) as u32;
        let source = self.graph.source(back, 0).unwrap();
        self.graph.set_operands(back, &[Operand { source, delay }]);
        let operands = [arriving, back].map(|source| Operand { source, delay: 0 });
        self.graph.set_operands(layer, &operands);
        layer
    }
}

/// A network of a few layers, the neurons of its input and its timesteps.
fn network(seed: u64) -> (Graph, usize, usize) {
    let mut m = Maker { graph: Graph::new("random", Stage::Spiking), dice: Dice(seed) };
    m.dice.reals(9, 0.0, 1.0);
    // Beyond what is run at once, too.
    let steps = if m.dice.one_in(3) { m.dice.range(30, 70) } else { m.dice.range(1, 9) };
    m.graph.timing = Timing { timesteps: steps, schedule: Schedule::Streaming };
    let mut shape = vec![m.dice.range(1, 9), m.dice.range(1, 6), m.dice.range(1, 7)];
    if m.dice.one_in(4) {
        shape.pop();
    }
    let input = m.encoder(&shape);
    let mut at = input;
    for _ in 0..m.dice.range(0, 2) {
        let p = m.convolution(at);
        at = m.population(&[p]);
        if m.dice.one_in(3) {
            let channels = m.graph[at].ty.shape[0];
            let shape = m.graph[at].ty.shape.clone();
            let weights = if m.dice.one_in(2) { 1 } else { channels };
            let p = m.project(at, Connectivity::OneToOne, &[weights], shape.clone());
            let late = m.graph.source(p, 0).unwrap();
            m.graph.set_operands(p, &[Operand { source: late, delay: m.dice.range(0, 2) as u32 }]);
            let other = m.population(&[p]);
            let joined = [&[2 * channels], &shape[1..]].concat();
            at = m.node(SpikingOp::Concatenate { axis: 0 }, joined, &[at, other]);
        }
        if m.dice.one_in(3) {
            at = m.pool(at);
        }
    }
    if m.dice.one_in(3) {
        at = m.recurrent(at);
    }
    let targets = m.dice.range(1, 90);
    let mut arriving = vec![m.dense(at, targets)];
    for _ in 0..m.dice.range(0, 2) {
        arriving.push(m.dense(input, targets));
    }
    at = m.population(&arriving);
    m.decoder(at);
    if m.dice.one_in(3) {
        let shape = [m.dice.range(1, 5)];
        let silent = m.encoder(&shape);
        let p = m.dense(silent, 3);
        let other = m.population(&[p]);
        m.decoder(other);
    }
    (m.graph, shape.iter().product(), steps)
}

/// The first value that is not equal; what is no number is equal to its like.
fn difference(found: &Seen, expected: &Seen) -> Option<String> {
    let same = |a: &[f32], b: &[f32]| {
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a == b || a.is_nan() && b.is_nan())
    };
    for (f, e) in found.0.iter().zip(&expected.0) {
        if f.0 != e.0 || f.1 != e.1 || !same(&f.2, &e.2) {
            return Some(format!("{f:?} instead of {e:?}"));
        }
    }
    let shown = found.1.iter().zip(&expected.1).all(|(f, e)| same(f, e));
    let whole = found.0.len() == expected.0.len() && found.1.len() == expected.1.len();
    (!shown || !whole).then(|| "other outputs, or fewer values".to_owned())
}

type Seen = (Vec<(NodeId, usize, Vec<f32>)>, Vec<Vec<f32>>);

fn seen(run: impl FnOnce(&mut dyn FnMut(NodeId, usize, &[f32])) -> Vec<Vec<f32>>) -> Seen {
    let mut seen = Vec::new();
    let shown = run(&mut |id, t, v| seen.push((id, t, v.to_vec())));
    (seen, shown)
}

fn compare(seed: u64) -> Result<(), TestCaseError> {
    let (graph, inputs, steps) = network(seed);
    let graph = verify(graph).unwrap().into_inner();
    let mut dice = Dice(seed ^ 77);
    let row = |dice: &mut Dice| -> Vec<f32> {
        let value = |_| if dice.one_in(3) { 0.0 } else { dice.real(-2.0, 3.0) };
        (0..inputs).map(value).collect()
    };
    let rows: Vec<Vec<f32>> = (0..steps + 3).map(|_| row(&mut dice)).collect();
    let twin = FloatNetwork::with_kernels(&graph, Kernels::Scalar).unwrap();
    prop_assert!(!twin.is_prepared());
    let in_time = seen(|observe| twin.run(&rows, observe).unwrap());
    let presented = twin.presented(&rows[0]);
    let sample = seen(|observe| twin.run(&presented, observe).unwrap());
    let found = seen(|observe| twin.run_sample(&rows[0], observe).unwrap());
    prop_assert_eq!(difference(&found, &sample), None);
    for kernels in &Kernels::ALL[1..] {
        let fast = FloatNetwork::with_kernels(&graph, *kernels).unwrap();
        prop_assert!(fast.is_prepared(), "seed {}", seed);
        // Twice, so that nothing of one run stays for the next.
        for _ in 0..2 {
            let found = seen(|observe| fast.run(&rows, observe).unwrap());
            prop_assert_eq!(difference(&found, &in_time), None, "seed {} on {:?}", seed, kernels);
            let found = seen(|observe| fast.run_sample(&rows[0], observe).unwrap());
            prop_assert_eq!(difference(&found, &sample), None, "seed {} on {:?}", seed, kernels);
        }
        let many: Vec<&Vec<f32>> = rows.iter().take(3).collect();
        let expected: Vec<_> =
            many.iter().map(|x| seen(|observe| fast.run_sample(x, observe).unwrap())).collect();
        prop_assert_eq!(apart(&fast, &many, &expected), None, "seed {} on {:?}", seed, kernels);
        let longer = [vec![0.0; inputs + 1]];
        prop_assert!(fast.run(&longer, &mut |_, _, _| ()).is_err(), "a row too long");
    }
    Ok(())
}

/// What differs when samples are run together.
fn apart(network: &FloatNetwork, samples: &[&Vec<f32>], expected: &[Seen]) -> Option<String> {
    let mut values = vec![Vec::new(); samples.len()];
    let observe = &mut |i: usize, id, t, v: &[f32]| values[i].push((id, t, v.to_vec()));
    let shown = network.run_batch(samples, observe).unwrap();
    // Together they go through some nodes before the others.
    let sorted = |mut values: Vec<(NodeId, usize, Vec<f32>)>| {
        values.sort_by_key(|&(id, t, _)| (id, t));
        values
    };
    let found = values.into_iter().zip(shown).zip(expected);
    let mut differences = found.map(|((values, shown), expected)| {
        let expected = (sorted(expected.0.clone()), expected.1.clone());
        difference(&(sorted(values), shown), &expected)
    });
    differences.find_map(|d| d)
}

/// A network with more weights than stay near, at its input or behind a convolution.
fn far(dice: &mut Dice, first: bool) -> (Graph, usize) {
    let mut m = Maker { graph: Graph::new("far", Stage::Spiking), dice: Dice(dice.roll()) };
    m.graph.timing = Timing { timesteps: m.dice.range(1, 5), schedule: Schedule::Streaming };
    let shape = vec![1, 10, if first { 110 } else { 11 }];
    let mut at = m.encoder(&shape);
    if !first {
        let window = Window { before: vec![1; 2], after: vec![1; 2], ..Window::plain(&[3, 3]) };
        let connectivity = Connectivity::Convolution { window, groups: 1 };
        let p = m.project(at, connectivity, &[10, 1, 3, 3], vec![10, 10, 11]);
        at = m.population(&[p]);
    }
    let p = m.dense(at, 1000);
    at = m.population(&[p]);
    let p = m.dense(at, 10);
    at = m.population(&[p]);
    m.decoder(at);
    (m.graph, shape.iter().product())
}

#[test]
fn samples_run_together_as_they_do_alone() {
    let mut dice = Dice(7);
    for i in 0..6 {
        let (graph, inputs) = far(&mut dice, i % 2 == 0);
        let graph = verify(graph).unwrap().into_inner();
        let samples: Vec<Vec<f32>> = (0..11).map(|_| dice.reals(inputs, -1.0, 2.0)).collect();
        let samples: Vec<&Vec<f32>> = samples.iter().collect();
        for kernels in &Kernels::ALL[1..] {
            let fast = FloatNetwork::with_kernels(&graph, *kernels).unwrap();
            assert_eq!(fast.batch(), 8);
            let alone = |x: &&Vec<f32>| seen(|observe| fast.run_sample(x, observe).unwrap());
            let mut expected: Vec<Seen> = samples.iter().map(alone).collect();
            for _ in 0..2 {
                assert_eq!(apart(&fast, &samples, &expected), None, "{kernels:?}");
            }
            // A value of another sample would be seen.
            let other = expected[3].1[0][4].next_up() + 1.0;
            expected[3].1[0][4] = other;
            assert!(apart(&fast, &samples, &expected).is_some());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]
    #[test]
    fn prepared_values_are_equal_to_the_scalar_interpreter_s(seed: u64) {
        compare(seed)?;
    }
}

/// The comparison above would see one bit of one weight.
#[test]
fn another_last_bit_of_a_weight_is_seen() {
    let (graph, inputs, steps) = network(5);
    let mut other = graph.clone();
    let id = other.ids().find(|&id| other[id].data.is_some()).unwrap();
    let data = other[id].data.clone().unwrap();
    let values: Vec<f32> = data.to_f32().into_iter().map(f32::next_up).collect();
    other[id].data = Some(Tensor::from_f32(data.shape(), &values));
    let rows: Vec<Vec<f32>> = vec![Dice(3).reals(inputs, 0.1, 1.0); steps];
    let run = |graph: &Graph| {
        let network = FloatNetwork::new(graph).unwrap();
        seen(|observe| network.run(&rows, observe).unwrap())
    };
    assert_eq!(run(&graph), run(&graph));
    assert_ne!(run(&graph), run(&other));
}

#[test]
fn weights_that_are_not_finite_belong_to_the_scalar_interpreter() {
    let (mut graph, inputs, _) = network(5);
    let id = graph.ids().find(|&id| graph[id].data.is_some()).unwrap();
    let data = graph[id].data.clone().unwrap();
    let mut values = data.to_f32();
    values[0] = f32::INFINITY;
    graph[id].data = Some(Tensor::from_f32(data.shape(), &values));
    let network = FloatNetwork::with_kernels(&graph, Kernels::best()).unwrap();
    assert!(!network.is_prepared());
    assert!(network.run(&[vec![0.0; inputs]], &mut |_, _, _| {}).is_ok());
}
