//! Populations cut into cores, and cores laid out on chips.

use snnc_ir::{Connectivity, Graph, NodeId, Op, SpikingOp};

use super::device::Device;

/// Bits of the index and of the block header of an unshared synapse (nengo-loihi 1.1.0: per input
/// axon, blocks of up to 64 synapses with 10 bits of header, rounded up to words of 64 bits).
const INDEX_BITS: u64 = 10;
const BLOCK: u64 = 64;
const BLOCK_HEADER: u64 = 10;

/// The cores of one population: all alike but the last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::loihi) struct Block {
    /// The population.
    pub population: NodeId,
    /// Index of its first core.
    pub first_core: u64,
    /// Number of its cores.
    pub cores: u64,
    /// Neurons in a full core.
    pub neurons_per_core: u64,
    /// Bits of synapses in a full core.
    pub synapse_bits_per_core: u64,
    /// Neurons that a full core listens to.
    pub axons_per_core: u64,
    /// A single channel or neuron exceeds a core: what, and by how much it needs.
    pub excess: Option<(&'static str, u64)>,
}

/// The whole network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::loihi) struct Partition {
    /// Populations in order of the layers.
    pub blocks: Vec<Block>,
    /// Spikes from a core to another in a timestep in which every neuron fires, for each block.
    pub messages: Vec<u64>,
    /// Sum over those of the cores passed on the way, on a mesh along which the layers meander.
    pub hops: Vec<u64>,
}

impl Partition {
    /// Number of cores.
    pub fn cores(&self) -> u64 {
        self.blocks.iter().map(|b| b.cores).sum()
    }
}

/// What the synapses of a population ask for.
struct Demand {
    channels: u64,
    plane: u64,
    fan_in: u64,
    sources: u64,
    /// Rows of sources that one row of targets sees, of all, for maps.
    reach: Option<Reach>,
    shared: bool,
}

/// Geometry along the first spatial dimension.
#[derive(Clone, Copy)]
struct Reach {
    rows: u64,
    stride: u64,
    extent: u64,
    source_rows: u64,
    groups: u64,
}

impl Demand {
    /// Bits for the synapses of `channels` whole or partial channels with `neurons` in all.
    fn bits(&self, channels: u64, neurons: u64, axons: u64, device: &Device) -> u64 {
        let weight = device.weight_bits.value;
        if self.shared {
            return channels * self.fan_in * weight;
        }
        let synapses = neurons * self.fan_in;
        let per_axon = synapses.div_ceil(axons.max(1)).max(1);
        let blocks = per_axon.div_ceil(BLOCK);
        let bits = per_axon * (weight + INDEX_BITS) + blocks * BLOCK_HEADER;
        axons * bits.div_ceil(64) * 64
    }

    /// Sources that `channels` channels of `rows` rows of targets listen to.
    fn axons(&self, channels: u64, rows: u64) -> u64 {
        let Some(reach) = self.reach else { return self.sources };
        let seen = ((rows - 1) * reach.stride + reach.extent).min(reach.source_rows);
        let per_group = (self.channels / reach.groups).max(1);
        let groups = channels.div_ceil(per_group).min(reach.groups);
        self.sources * seen / reach.source_rows.max(1) * groups / reach.groups
    }
}

/// Cuts every population by channels, and channels that are too large by rows.
pub(in crate::loihi) fn partition(graph: &Graph, device: &Device) -> Partition {
    let mut result = Partition::default();
    let order = graph.order().unwrap_or_default();
    let mut next = 0;
    for id in order {
        let Op::Spiking(SpikingOp::Population(_)) = &graph[id].op else { continue };
        let block = block(id, next, &demand(graph, id, device), device);
        next += block.cores;
        result.blocks.push(block);
    }
    traffic(graph, &mut result, device);
    result
}

fn demand(graph: &Graph, id: NodeId, device: &Device) -> Demand {
    let shape: Vec<u64> = graph[id].ty.shape.iter().map(|&d| d as u64).collect();
    let channels = shape.first().copied().unwrap_or(1);
    let plane = shape.iter().skip(1).product();
    let mut demand = Demand { channels, plane, fan_in: 0, sources: 0, reach: None, shared: false };
    for projection in graph.sources(id) {
        let (Some(SpikingOp::Projection(p)), Some(weights), Some(source)) =
            (graph[projection].as_spiking(), &graph[projection].data, graph.source(projection, 0))
        else {
            continue;
        };
        let from = &graph[source].ty;
        demand.fan_in += weights.shape().iter().skip(1).product::<usize>() as u64;
        demand.sources += from.len() as u64;
        if let Connectivity::Convolution { window, groups } = &p.connectivity
            && let (&[_, rows, _], &[_, source_rows, _]) =
                (graph[id].ty.shape.as_slice(), from.shape.as_slice())
        {
            demand.shared = device.shared_kernels.value;
            demand.reach = Some(Reach {
                rows: rows as u64,
                stride: window.strides[0] as u64,
                extent: ((window.kernel[0] - 1) * window.dilations[0] + 1) as u64,
                source_rows: source_rows as u64,
                groups: (*groups).max(1) as u64,
            });
        }
    }
    demand
}

fn block(population: NodeId, first_core: u64, d: &Demand, device: &Device) -> Block {
    let rows = d.reach.map_or(1, |r| r.rows.max(1));
    let width = d.plane / rows;
    let fits = |channels: u64, rows: u64| {
        let neurons = channels * rows * width;
        let axons = d.axons(channels, rows);
        neurons <= device.neurons_per_core.value
            && d.bits(channels, neurons, axons, device) <= device.synapse_bits_per_core.value
            && device.input_axons_per_core.as_ref().is_none_or(|f| axons <= f.value)
    };
    // Whole channels if one fits, else as many rows of one channel as do.
    let (channels, rows_each) = match largest(d.channels, |c| fits(c, rows)) {
        Some(channels) => (channels, rows),
        None => (1, largest(rows, |r| fits(1, r)).unwrap_or(1)),
    };
    let axons = d.axons(channels, rows_each);
    let neurons = channels * rows_each * width;
    let bits = d.bits(channels, neurons, axons, device);
    let excess = if fits(channels, rows_each) {
        None
    } else if bits > device.synapse_bits_per_core.value {
        Some(("bits of synapses", bits))
    } else if neurons > device.neurons_per_core.value {
        Some(("neurons", neurons))
    } else {
        Some(("input axons", axons))
    };
    Block {
        population,
        first_core,
        cores: d.channels.div_ceil(channels) * rows.div_ceil(rows_each),
        neurons_per_core: neurons,
        synapse_bits_per_core: bits,
        axons_per_core: axons,
        excess,
    }
}

/// The largest of `1..=most` that fits, if 1 does; what fits once fits for all smaller.
fn largest(most: u64, fits: impl Fn(u64) -> bool) -> Option<u64> {
    let (mut low, mut high) = (0, most);
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        if fits(middle) { low = middle } else { high = middle - 1 }
    }
    (low > 0).then_some(low)
}

/// Messages between cores when every neuron fires: a spike goes once to every core that listens.
fn traffic(graph: &Graph, partition: &mut Partition, device: &Device) {
    let place = |core: u64| {
        // Rows of the mesh are walked to and fro, chip after chip, so that neighbours stay so.
        let width = device.mesh_width.value.max(1);
        let (row, along) = (core / width, core % width);
        (row, if row.is_multiple_of(2) { along } else { width - 1 - along })
    };
    let middle = |b: &Block| place(b.first_core + b.cores / 2);
    let find = |id: NodeId| partition.blocks.iter().find(|b| b.population == id);
    let (mut messages, mut hops) = (Vec::new(), Vec::new());
    for source in &partition.blocks {
        let (mut sent, mut passed) = (0, 0);
        for projection in graph.users(source.population) {
            for target in graph.users(projection) {
                let Some(target) = find(target) else { continue };
                // Each core hears `axons_per_core` of the sources.
                let count = target.cores * target.axons_per_core;
                let (a, b) = (middle(source), middle(target));
                sent += count;
                passed += count * (a.0.abs_diff(b.0) + a.1.abs_diff(b.1)).max(1);
            }
        }
        messages.push(sent);
        hops.push(passed);
    }
    (partition.messages, partition.hops) = (messages, hops);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loihi::mapping::device::device;
    use snnc_ir::{
        Accumulator, Coding, Neuron, Node, Population, Projection, Stage, Tensor, Window,
    };

    /// A chain of 3x3 convolutions (channels, rows) and dense layers (neurons, 1), pooled by strides.
    fn network(input: [usize; 3], layers: &[(usize, usize)]) -> Graph {
        let mut graph = Graph::new("n", Stage::Spiking);
        let population = || {
            SpikingOp::Population(Population {
                coding: Coding::SigmaDelta,
                bias: Vec::new(),
                bias_placement: Default::default(),
                neuron: Neuron::Accumulate,
                minimum: 0,
                maximum: 1,
                scale: Vec::new(),
            })
        };
        let mut last = graph.add(Node::spiking("in", population(), input), &[]);
        for (i, &(channels, rows)) in layers.iter().enumerate() {
            let from = graph[last].ty.shape.clone();
            let (shape, weights, connectivity) = if rows > 1 {
                let stride = from[1] / rows;
                let window = Window {
                    strides: vec![stride; 2],
                    before: vec![1; 2],
                    after: vec![1; 2],
                    ..Window::plain(&[3, 3])
                };
                let kind = Connectivity::Convolution { window, groups: 1 };
                (vec![channels, rows, rows], vec![channels, from[0], 3, 3], kind)
            } else {
                (vec![channels], vec![channels, from.iter().product()], Connectivity::Dense)
            };
            // The shape of the weights is all that the mapping looks at: two bits each will do.
            let bytes = vec![0; weights.iter().product::<usize>().div_ceil(4)];
            let data = Tensor::new(snnc_ir::DType::I2, weights, bytes.into()).unwrap();
            let projection =
                Projection { accumulator: Accumulator::EXACT, ..Projection::exact(connectivity) };
            let op = SpikingOp::Projection(projection);
            let node = Node::spiking(format!("p{i}"), op, shape.clone()).with_data(data);
            let projection = graph.add(node, &[last]);
            last = graph.add(Node::spiking(format!("n{i}"), population(), shape), &[projection]);
        }
        graph
    }

    fn vgg16() -> Graph {
        let stages = [(64, 224, 2), (128, 112, 2), (256, 56, 3), (512, 28, 3), (512, 14, 3)];
        let mut layers: Vec<(usize, usize)> =
            stages.iter().flat_map(|&(c, r, n)| std::iter::repeat_n((c, r), n)).collect();
        layers.extend([(4096, 1), (4096, 1), (1000, 1)]);
        network([3, 224, 224], &layers)
    }

    #[test]
    fn every_core_keeps_its_limits_and_every_neuron_has_a_core() {
        for name in ["loihi2", "loihi1"] {
            let device = device(Some(name)).unwrap();
            let graph = network([3, 32, 32], &[(16, 32), (32, 16), (64, 8), (10, 1)]);
            let partition = partition(&graph, device);
            let mut next = 0;
            for b in &partition.blocks {
                assert_eq!(b.first_core, next);
                next += b.cores;
                assert_eq!(b.excess, None);
                assert!(b.neurons_per_core <= device.neurons_per_core.value);
                assert!(b.synapse_bits_per_core <= device.synapse_bits_per_core.value);
                let neurons = graph[b.population].ty.len() as u64;
                assert!(b.cores * b.neurons_per_core >= neurons, "{b:?}");
            }
            assert_eq!(partition.cores(), next);
        }
    }

    #[test]
    fn vgg_16_takes_thousands_of_cores_and_little_time() {
        let graph = vgg16();
        let start = std::time::Instant::now();
        let partition = partition(&graph, device(None).unwrap());
        assert!((1000..10_000).contains(&partition.cores()), "{}", partition.cores());
        assert!(start.elapsed().as_secs() < 5);
    }

    /// As many neurons and weights as ResNet-50 has in its stages, in 3x3 kernels one after the other.
    fn resnet50() -> Graph {
        let stages = [(64, 56, 9), (128, 28, 12), (256, 14, 18), (512, 7, 9)];
        let mut layers = vec![(64, 112)];
        layers.extend(stages.iter().flat_map(|&(c, r, n)| std::iter::repeat_n((c, r), n)));
        layers.push((1000, 1));
        network([3, 224, 224], &layers)
    }

    #[test]
    fn fifty_layers_are_mapped_in_seconds() {
        let graph = resnet50();
        let start = std::time::Instant::now();
        let partition = partition(&graph, device(None).unwrap());
        assert_eq!(partition.blocks.len(), 51);
        assert!((300..10_000).contains(&partition.cores()), "{}", partition.cores());
        assert!(start.elapsed().as_secs() < 5);
        let spread = partition.hops.iter().zip(&partition.messages).all(|(h, m)| h >= m);
        assert!(spread && partition.messages.iter().rev().skip(1).all(|&m| m > 0));
    }

    #[test]
    fn what_exceeds_a_core_is_said() {
        let graph = network([64, 60, 60], &[(10, 1)]);
        let b = &partition(&graph, device(None).unwrap()).blocks[1];
        assert_eq!(b.excess, Some(("bits of synapses", b.synapse_bits_per_core)));
        assert!(b.synapse_bits_per_core > 1 << 20);
    }
}
