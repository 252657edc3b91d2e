//! Random spiking networks of the kinds that images hold.

use snnc_ir::{
    Accumulator, BiasPlacement, Coding, Comparison, Connectivity, DType, Decoder, Encoder, Graph,
    IntegrateAndFire, Leak, Neuron, Node, NodeId, Overflow, Population, Presentation, Projection,
    Readout, Reset, Schedule, SpikingOp, Stage, Tensor, TimeTable, Timing, Verified, Window,
    verify, window_outputs,
};
use snnc_runtime::spiking::Sample;

/// Numbers from a seed (SplitMix64).
pub struct Numbers(pub u64);

impl Numbers {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// From `low` to `high`, both included.
    pub fn within(&mut self, low: i64, high: i64) -> i64 {
        low + (self.next() % (high - low + 1) as u64) as i64
    }

    pub fn size(&mut self, low: usize, high: usize) -> usize {
        self.within(low as i64, high as i64) as usize
    }

    pub fn chance(&mut self, percent: u64) -> bool {
        self.next() % 100 < percent
    }
}

/// A network with its samples.
pub struct Case {
    pub network: Verified,
    pub samples: Vec<Sample>,
}

struct Builder {
    graph: Graph,
    numbers: Numbers,
    steps: usize,
}

/// The network and samples of a seed.
pub fn case(seed: u64) -> Case {
    let mut numbers = Numbers(seed);
    let steps = numbers.size(1, 8);
    let mut graph = Graph::new(format!("random {seed}"), Stage::Spiking);
    let schedule =
        if numbers.chance(20) { Schedule::LayerSynchronous } else { Schedule::Streaming };
    graph.timing = Timing { timesteps: steps, schedule };
    let mut shape = vec![numbers.size(1, 3)];
    let spatial = if numbers.chance(25) { 1 } else { 2 };
    shape.extend((0..spatial).map(|_| numbers.size(4, 8)));
    let most = numbers.within(1, 4);
    let encoder = Encoder {
        scale: 1.0,
        zero_point: 0,
        minimum: if numbers.chance(25) { -most } else { 0 },
        maximum: most,
        offset: None,
        rounding: Default::default(),
        thresholds: Vec::new(),
        presentation: Presentation::InTime,
    };
    let low = encoder.minimum;
    let x = graph.add(Node::spiking("x", SpikingOp::Encoder(encoder), shape.clone()), &[]);
    let mut builder = Builder { graph, numbers, steps };
    let mut last = x;
    let layers = builder.numbers.size(1, 3);
    for layer in 0..layers {
        let before = last;
        last = builder.convolution(&format!("conv{layer}"), last);
        if builder.numbers.chance(35) {
            last = builder.residual(&format!("residual{layer}"), before, last);
        }
        if builder.numbers.chance(30) {
            last = builder.pool(&format!("pool{layer}"), last);
        }
    }
    if builder.numbers.chance(50) {
        let targets = builder.numbers.size(1, 9);
        last = builder.dense("hidden", last, targets, true);
    }
    let classes = builder.numbers.size(2, 6);
    last = builder.dense("scores", last, classes, false);
    let decoder = Decoder { readout: Readout::Last, scale: vec![1.0], zero: Vec::new() };
    let mut y = Node::spiking("y", SpikingOp::Decoder(decoder), vec![classes]);
    y.ty.dtype = DType::F32;
    builder.graph.add(y, &[last]);
    let neurons: usize = shape.iter().product();
    let samples = (0..2).map(|_| builder.sample(neurons, low, most)).collect();
    Case { network: verify(builder.graph).expect("a sound network"), samples }
}

impl Builder {
    fn sample(&mut self, neurons: usize, low: i64, high: i64) -> Sample {
        let steps = self.steps;
        let numbers = &mut self.numbers;
        let density = numbers.next() % 90;
        let mut one = |_| if numbers.chance(density) { numbers.within(low, high) } else { 0 };
        Sample::InTime((0..steps).map(|_| (0..neurons).map(&mut one).collect()).collect())
    }

    fn weights(&mut self, shape: &[usize]) -> Tensor {
        let count = shape.iter().product();
        let values: Vec<i64> = (0..count).map(|_| self.numbers.within(-7, 7)).collect();
        Tensor::from_integers(shape, &values)
    }

    fn projection(
        &mut self,
        name: &str,
        source: NodeId,
        connectivity: Connectivity,
        weights: &[usize],
        shape: Vec<usize>,
    ) -> NodeId {
        let mut projection = Projection::exact(connectivity);
        projection.accumulator = Accumulator { bits: 40, overflow: Overflow::Error };
        if self.numbers.chance(20) {
            projection.gain = vec![self.numbers.within(1, 3)];
        }
        let data = self.weights(weights);
        let node = Node::spiking(name, SpikingOp::Projection(projection), shape).with_data(data);
        self.graph.add(node, &[source])
    }

    fn convolution(&mut self, name: &str, source: NodeId) -> NodeId {
        let from = self.graph[source].ty.shape.clone();
        let (window, to) = self.window(&from[1..], 3);
        let groups = if self.numbers.chance(25) { from[0] } else { 1 };
        let channels = groups * self.numbers.size(1, if groups > 1 { 2 } else { 6 });
        let shape = [&[channels], to.as_slice()].concat();
        let kernel = [&[channels, from[0] / groups], window.kernel.as_slice()].concat();
        let connectivity = Connectivity::Convolution { window, groups };
        let main =
            self.projection(&format!("{name}.a"), source, connectivity, &kernel, shape.clone());
        let mut ports = vec![main];
        if shape == from && self.numbers.chance(70) {
            let skip = Connectivity::OneToOne;
            ports.push(self.projection(
                &format!("{name}.b"),
                source,
                skip,
                &[channels],
                shape.clone(),
            ));
        } else if self.numbers.chance(20) {
            let plain = Window::plain(&vec![1; to.len()]);
            let (strides, fits) = self.strides(&from[1..], &to);
            if fits {
                let kernel = [&[channels, from[0]], vec![1; to.len()].as_slice()].concat();
                let skip =
                    Connectivity::Convolution { window: Window { strides, ..plain }, groups: 1 };
                ports.push(self.projection(
                    &format!("{name}.b"),
                    source,
                    skip,
                    &kernel,
                    shape.clone(),
                ));
            }
        }
        self.population(name, &ports, shape, true)
    }

    /// Strides by which a window of one cell has as many places as `to`.
    fn strides(&mut self, from: &[usize], to: &[usize]) -> (Vec<usize>, bool) {
        let mut strides = Vec::new();
        for (&cells, &places) in from.iter().zip(to) {
            match (1..=cells).find(|s| (cells - 1) / s + 1 == places) {
                Some(stride) => strides.push(stride),
                None => return (Vec::new(), false),
            }
        }
        (strides, true)
    }

    fn window(&mut self, cells: &[usize], largest: usize) -> (Window, Vec<usize>) {
        loop {
            let n = cells.len();
            let numbers = &mut self.numbers;
            let mut many = |low, high| (0..n).map(|_| numbers.size(low, high)).collect::<Vec<_>>();
            let window = Window {
                kernel: many(1, largest + 1),
                strides: many(1, 3),
                dilations: many(1, 2),
                before: many(0, 2),
                after: many(0, 2),
            };
            if let Ok(places) = window_outputs(&window, cells, false)
                && places.iter().all(|&p| p <= 8)
            {
                return (window, places);
            }
        }
    }

    fn pool(&mut self, name: &str, source: NodeId) -> NodeId {
        let from = self.graph[source].ty.shape.clone();
        let (window, to) = self.window(&from[1..], 2);
        let shape = [&from[..1], to.as_slice()].concat();
        let running = self.numbers.chance(50);
        let op = match running {
            true => SpikingOp::RunningMaxPool { window },
            false => SpikingOp::MaxPool { window },
        };
        self.graph.add(Node::spiking(name, op, shape), &[source])
    }

    /// Adds what was before the last layer to it, one layer later: the branches meet again after
    /// different numbers of layers.
    fn residual(&mut self, name: &str, before: NodeId, last: NodeId) -> NodeId {
        let (from, to) = (self.graph[before].ty.shape.clone(), self.graph[last].ty.shape.clone());
        let (strides, fits) = self.strides(&from[1..], &to[1..]);
        if !fits {
            return last;
        }
        let plain = Window::plain(&vec![1; to.len() - 1]);
        let window = Window { strides, ..plain };
        let kernel = [&[to[0], from[0]], vec![1; to.len() - 1].as_slice()].concat();
        let skip = Connectivity::Convolution { window, groups: 1 };
        let ports = [
            self.projection(
                &format!("{name}.a"),
                last,
                Connectivity::OneToOne,
                &to[..1],
                to.clone(),
            ),
            self.projection(&format!("{name}.b"), before, skip, &kernel, to.clone()),
        ];
        self.population(name, &ports, to, true)
    }

    fn dense(&mut self, name: &str, source: NodeId, targets: usize, fires: bool) -> NodeId {
        let sources = self.graph[source].ty.len();
        let port = self.projection(
            &format!("{name}.a"),
            source,
            Connectivity::Dense,
            &[targets, sources],
            vec![targets],
        );
        self.population(name, &[port], vec![targets], fires)
    }

    fn population(
        &mut self,
        name: &str,
        ports: &[NodeId],
        shape: Vec<usize>,
        fires: bool,
    ) -> NodeId {
        let channels = shape[0];
        let barrier = self.graph.timing.schedule == Schedule::LayerSynchronous;
        let neuron = if fires { self.neuron(channels, barrier) } else { Neuron::Accumulate };
        let numbers = &mut self.numbers;
        let most = match &neuron {
            Neuron::IntegrateAndFire(n) => {
                let values = n.decode.iter().flat_map(|d| d.0.iter().flatten().copied());
                n.maximum * values.max().unwrap_or(1)
            }
            _ => 1 << 40,
        };
        let population = Population {
            coding: Coding::MultiLevel,
            bias: (0..channels).map(|_| numbers.within(-6, 6)).collect(),
            bias_placement: match numbers.next() % 3 {
                0 if barrier || !fires => BiasPlacement::FirstTimestep,
                1 if barrier => BiasPlacement::AfterLastTimestep,
                _ => BiasPlacement::EveryTimestep,
            },
            neuron,
            minimum: if fires { 0 } else { -most },
            maximum: most,
            scale: Vec::new(),
        };
        self.graph.add(Node::spiking(name, SpikingOp::Population(population), shape), ports)
    }

    fn neuron(&mut self, channels: usize, barrier: bool) -> Neuron {
        let steps = self.steps;
        let numbers = &mut self.numbers;
        let in_time = numbers.chance(30);
        let mut table = |low: i64, high: i64| {
            let columns = if in_time { steps } else { 1 };
            let mut row = |_| (0..columns).map(|_| numbers.within(low, high)).collect();
            TimeTable((0..channels).map(&mut row).collect())
        };
        let threshold = table(1, 25);
        let (taken, values) = (table(1, 25), table(1, 3));
        let leak = match numbers.next() % 5 {
            0 if !barrier => {
                let shift = numbers.size(1, 3) as u8;
                Leak::Averaging { shift, kept: (1 << shift) - 1 }
            }
            1 if !barrier => Leak::Subtracting { shift: numbers.size(1, 3) as u8 },
            _ => Leak::None,
        };
        let reset = match numbers.next() % 4 {
            0 => Reset::Hard(numbers.within(-3, 3)),
            1 => Reset::SoftBy(taken),
            _ => Reset::Soft,
        };
        let maximum = numbers.within(1, 7);
        let strict = maximum == 1 && numbers.chance(20);
        Neuron::IntegrateAndFire(IntegrateAndFire {
            threshold,
            reset,
            initial: (0..channels).map(|_| numbers.within(-8, 8)).collect(),
            leak,
            maximum,
            comparison: if strict { Comparison::Above } else { Comparison::AtLeast },
            signed_limit: None,
            decode: (in_time && numbers.chance(50)).then_some(values),
        })
    }
}
