//! Networks of lava-dl, read and run: the traces that were recorded with them, and their accuracy.

use std::path::Path;

use snnc_backends::format::npy::NpyArray;
use snnc_backends::format::npz::Npz;
use snnc_backends::loihi::{Loihi, reset_periodically};
use snnc_backends::{MemoryFiles, Target};
use snnc_ir::{
    Coding, Connectivity, DType, Decoder, Encoder, Graph, Neuron, NeuronState, Node, NodeId, Op,
    Population, Presentation, Projection, Readout, SigmaDeltaNeuron, SigmaDeltaRole, SpikingOp,
    Stage, Tensor, verify,
};
use snnc_runtime::spiking::{Network, Sample};
use snnc_testsuite::beside;

fn read_net(path: &Path) -> Graph {
    let content = std::fs::read(path).unwrap();
    let files = MemoryFiles([("network.net".to_owned(), content.into())].into());
    Loihi.read(&files, "network.net").unwrap()
}

/// A recorded array as integers, dimensions in the given order of the file's.
struct Recorded {
    shape: Vec<usize>,
    values: Vec<i64>,
}

impl Recorded {
    fn load(path: &Path) -> Self {
        let array = NpyArray::read(std::fs::read(path).unwrap()).unwrap();
        let values = array.to_f32().unwrap();
        // The recordings are floats that hold integers; numbers on the way to an integer are cut.
        Recorded { shape: array.shape, values: values.iter().map(|&x| x as i64).collect() }
    }

    /// The same array with dimension `i` taken from dimension `order[i]`.
    fn transposed(&self, order: &[usize]) -> Self {
        let shape: Vec<usize> = order.iter().map(|&d| self.shape[d]).collect();
        let stride = |d: usize| self.shape[d + 1..].iter().product::<usize>();
        let values = (0..self.values.len())
            .map(|mut index| {
                let mut from = 0;
                for (axis, &extent) in shape.iter().enumerate().rev() {
                    from += index % extent * stride(order[axis]);
                    index /= extent;
                }
                self.values[from]
            })
            .collect();
        Recorded { shape, values }
    }

    /// Slices along the first dimension.
    fn frames(&self) -> Vec<Vec<i64>> {
        let each = self.values.len() / self.shape[0];
        self.values.chunks(each).map(<[i64]>::to_vec).collect()
    }
}

/// Values of all neurons, timestep by timestep.
type Frames = Vec<Vec<i64>>;

/// What each population sent at each timestep, populations in order of the layers, and the state
/// of current-based ones (u).
fn traces(graph: Graph, sample: Sample) -> Vec<(Frames, Frames)> {
    let graph = verify(graph).unwrap();
    let populations: Vec<NodeId> = graph
        .order()
        .unwrap()
        .into_iter()
        .filter(|&id| matches!(graph[id].as_spiking(), Some(SpikingOp::Population(_))))
        .collect();
    let mut all = vec![(Vec::new(), Vec::new()); populations.len()];
    let mut currents = all.clone();
    let place = |id: NodeId| populations.iter().position(|&p| p == id);
    Network::new(&graph)
        .unwrap()
        .run_with_states(
            &[sample],
            &mut |id, _, value| {
                if let Some(i) = place(id) {
                    all[i].0.push(value.to_vec());
                }
            },
            &mut |id, _, state| {
                if let Some(i) = place(id) {
                    let own = match state {
                        NeuronState::CurrentBased(own) => {
                            own.states().iter().map(|s| s.current).collect()
                        }
                        other => vec![0; other.potentials().len()],
                    };
                    currents[i].1.push(own);
                }
            },
        )
        .unwrap();
    all.into_iter().zip(currents).map(|(a, c)| (a.0, c.1)).collect()
}

/// The recording has 16 steps, the first of them silent, and shows each layer without the latency
/// that its synapses take: step `i` of layer `k` is timestep `i - 1 + k` of a network whose layers
/// are reset one timestep after each other.
#[test]
#[cfg_attr(not(shared), ignore = "../shared was not there when this was built")]
fn tiny_net_reproduces_its_recorded_traces() {
    let shared = beside();
    let folder = shared.join("neuromorphic/tinynet");
    let mut graph = read_net(&shared.join("neuromorphic/tiny.net"));
    graph.timing.timesteps = 20;
    reset_periodically(&mut graph, 17, 0);
    let bias = Recorded::load(&folder.join("input_bias.npy")).transposed(&[2, 1, 0]);
    let layers = traces(graph, Sample::Codes(bias.values));
    let recorded = |name: &str| {
        let array = Recorded::load(&folder.join(name));
        // (1, C, H, W, T)
        array.transposed(&[4, 0, 1, 2, 3]).frames()
    };
    for (k, name) in ["input.npy", "layer1.npy", "output.npy"].into_iter().enumerate() {
        let frames = recorded(name);
        assert!(frames.iter().flatten().any(|&s| s != 0));
        for (i, frame) in frames.iter().enumerate().skip(1) {
            assert_eq!(&layers[k].0[i - 1 + k], frame, "{name}, step {i}");
        }
    }
    for (i, frame) in recorded("current.npy").iter().enumerate().skip(1) {
        let u: Vec<i64> = frame.iter().map(|a| a << 6).collect();
        assert_eq!(layers[1].1[i], u, "current, step {i}");
    }
}

/// A graph of one population behind a projection (or behind nothing), its input given in time.
fn one_layer(source: &[usize], projection: Option<Node>, population: Node) -> Graph {
    let mut graph = Graph::new("one-layer", Stage::Spiking);
    graph.timing.timesteps = 16;
    let encoder = Encoder {
        scale: 1.0,
        zero_point: 0,
        minimum: i32::MIN.into(),
        maximum: i32::MAX.into(),
        offset: None,
        rounding: Default::default(),
        thresholds: Vec::new(),
        presentation: Presentation::InTime,
    };
    let shape = population.ty.shape.clone();
    let mut last = graph.add(Node::spiking("x", SpikingOp::Encoder(encoder), source), &[]);
    if let Some(projection) = projection {
        let synapses = graph.add(projection, &[]);
        graph.connect(last, synapses, 1);
        last = synapses;
    }
    last = graph.add(population, &[last]);
    let decoder = Decoder { readout: Readout::Last, scale: vec![1.0], zero: Vec::new() };
    let mut node = Node::spiking("y", SpikingOp::Decoder(decoder), shape);
    node.ty.dtype = DType::F32;
    graph.add(node, &[last]);
    graph
}

fn sigma_delta(role: SigmaDeltaRole, threshold: i64, bias: Vec<i64>, shape: &[usize]) -> Node {
    let neuron = SigmaDeltaNeuron { role, threshold, bias, spike_exponent: 6, state_exponent: 6 };
    let population = Population {
        coding: Coding::SigmaDelta,
        bias: Vec::new(),
        bias_placement: Default::default(),
        neuron: Neuron::SigmaDelta(neuron),
        minimum: -(1 << 23),
        maximum: (1 << 23) - 1,
        scale: Vec::new(),
    };
    Node::spiking("n", SpikingOp::Population(population), shape)
}

/// Each layer of this network was recorded by itself, driven by the recording of the layer before.
#[test]
#[cfg_attr(not(shared), ignore = "../shared was not there when this was built")]
fn sigma_delta_layers_reproduce_their_recorded_traces() {
    let shared = beside();
    let folder = shared.join("neuromorphic/tinynet_sdnn");
    let load = |name: &str| Recorded::load(&folder.join(name));
    // (W, H, C, T) to (T, C, H, W)
    let in_time = |name: &str| load(name).transposed(&[3, 2, 1, 0]).frames();

    // The input: an image whose brightness goes through a sine, fractions cut off.
    let image = load("input_bias.npy").transposed(&[2, 1, 0]).values;
    let brightness = |t: i32| (std::f64::consts::TAU * f64::from(t) / 15.0).sin();
    let frames: Vec<Vec<i64>> = (0..15)
        .map(|t| image.iter().map(|&x| (x as f64 * brightness(t)) as i64).collect())
        .collect();
    let delta = sigma_delta(SigmaDeltaRole::Delta, 20, Vec::new(), &[3, 16, 16]);
    let sent = traces(one_layer(&[3, 16, 16], None, delta), Sample::InTime(frames));
    let recorded = in_time("input.npy");
    assert!(sent[0].0[..15] == recorded);

    // The convolution, of which one step was recorded. The kernel is (F, W, H, C), mirrored.
    let kernel = load("layer1_kernel.npy").transposed(&[0, 3, 2, 1]);
    let mirrored: Vec<i64> =
        kernel.values.chunks(25).flat_map(|taps| taps.iter().rev().copied()).collect();
    let net = read_net(&shared.join("neuromorphic/tiny.net"));
    let synapses = net.find("layer.1.synapses").unwrap();
    assert!(net[synapses].data.as_ref().unwrap().to_i64().unwrap() == mirrored);
    let mut projection = net[synapses].clone();
    if let Op::Spiking(SpikingOp::Projection(p)) = &mut projection.op {
        p.binary = false;
    }
    let bias = load("layer1_bias.npy").values;
    let neurons = sigma_delta(SigmaDeltaRole::SigmaDelta, 20, bias, &[24, 6, 6]);
    let graph = one_layer(&[3, 16, 16], Some(projection), neurons);
    let sent = traces(graph, Sample::InTime(recorded));
    assert!(sent[0].0[0] == in_time("layer1.npy")[0]);

    // The output, its sources in the order (W, H, C). It was recorded without message bits, so that
    // every payload counts as 1.
    let weights = load("layer2_weight.npy");
    let synapses = Projection { binary: true, ..Projection::exact(Connectivity::Dense) };
    let projection = Node::spiking("w", SpikingOp::Projection(synapses), [100])
        .with_data(Tensor::from_integers(&weights.shape, &weights.values));
    let neurons = sigma_delta(SigmaDeltaRole::Sigma, 0, Vec::new(), &[100]);
    let drive = load("layer1.npy").transposed(&[3, 0, 1, 2]).frames();
    let shown = traces(one_layer(&[864], Some(projection), neurons), Sample::InTime(drive));
    let recorded = load("layer2.npy").transposed(&[1, 0]).frames();
    assert!(shown[0].0 == recorded, "{:?} {:?}", shown[0].0[1], recorded[1]);
}

/// Accuracy of lava-dl's bootstrapped MNIST network on the first 2,000 test images. Its input
/// encoding (pixel / 127.5 - 1) belongs to it, and is nowhere in the file.
#[test]
#[cfg_attr(not(shared), ignore = "../shared was not there when this was built")]
fn the_bootstrapped_network_classifies_mnist() {
    let shared = beside();
    let graph = read_net(&shared.join("neuromorphic/mnist_bootstrap.net"));
    assert_eq!(graph.timing.timesteps, 16);
    let network = Network::new(&verify(graph).unwrap()).unwrap();
    let data = std::fs::read(shared.join("data/mnist-test-10000.npz")).unwrap();
    let data = Npz::open(data).unwrap();
    let array = |name: &str| data.get(name).unwrap().unwrap().to_i64().unwrap();
    let (x, y) = (array("x"), array("y"));
    let count = 2000;
    let correct = |range: std::ops::Range<usize>| {
        range
            .filter(|&i| {
                let pixels = &x[i * 784..(i + 1) * 784];
                let real = pixels.iter().map(|&p| p as f32 / 127.5 - 1.0).collect();
                let scores = network.run(&[Sample::Real(real)]).unwrap().outputs.remove(0).scores;
                let best = (0..10).max_by(|&a, &b| scores[a].total_cmp(&scores[b])).unwrap();
                best as i64 == y[i]
            })
            .count()
    };
    let half = count / 2;
    let total = std::thread::scope(|s| {
        let other = s.spawn(|| correct(half..count));
        correct(0..half) + other.join().unwrap()
    });
    let accuracy = 100.0 * total as f64 / count as f64;
    assert!((accuracy - 98.55).abs() <= 0.2, "{accuracy} %");
}
