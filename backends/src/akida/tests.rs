//! What both targets emit for a few tiny networks, and that it is read back as it was.

use snnc_ir::analysis::bisect_thresholds;
use snnc_ir::{
    Coding, Connectivity, DType, Decoder, Encoder, GradedNeuron, Graph, LookupNeuron, Neuron, Node,
    NodeId, Population, Presentation, PrintOptions, Projection, Readout, SpikingOp, Stage, Tensor,
    ThresholdTable, Verified, Window, verify, window_outputs,
};

use super::{Akida1, Akida2};
use crate::format::npz::Npz;
use crate::{MemoryFiles, Target, TargetOptions, Violation};

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

fn cnn(levels: i64, limit: i64) -> Verified {
    Builder::new(&[1, 6, 5], 0, 255, 0)
        .convolution(2, square(3, 1, 1), 15)
        .fire("conv1", 0.002, (0, levels))
        .convolution(3, square(3, 1, 1), limit)
        .fire("conv2", 0.04, (0, levels))
        .dense(2, limit)
        .scores("fc")
}

/// Text without what the files do not carry: origins and units of populations.
fn bare(graph: &Graph) -> String {
    let mut graph = graph.clone();
    for id in graph.ids().collect::<Vec<_>>() {
        graph[id].origins.clear();
        if let snnc_ir::Op::Spiking(SpikingOp::Population(p)) = &mut graph[id].op {
            p.scale.clear();
        }
    }
    graph.to_text(PrintOptions::default())
}

/// Emits a network, checks that it is read back as it was, and returns the spec.
fn emitted(target: &dyn Target, network: &Verified) -> String {
    let options = TargetOptions::default();
    let legal = target.legalise(network, &options).unwrap();
    let artefact = target.emit(&legal, &options).unwrap();
    let again = target.emit(&target.legalise(network, &options).unwrap(), &options).unwrap();
    assert_eq!(artefact.files, again.files);
    let entry = &artefact.files[0];
    assert!(target.recognises(&entry.path, &entry.content));
    let read = target.read(&MemoryFiles::from(&artefact), &entry.path).unwrap();
    assert_eq!(bare(&read), bare(&legal.network));
    verify(read).unwrap();
    String::from_utf8(entry.content.to_vec()).unwrap()
}

/// The spec, and below it the arrays.
fn shown(target: &dyn Target, network: &Verified) -> String {
    let mut text = emitted(target, network);
    let options = TargetOptions::default();
    let legal = target.legalise(network, &options).unwrap();
    let artefact = target.emit(&legal, &options).unwrap();
    let archive = Npz::open(artefact.files[1].content.clone()).unwrap();
    let names: Vec<String> = archive.names().map(str::to_owned).collect();
    for name in names {
        let array = archive.get(&name).unwrap().unwrap();
        let values = match array.to_i64() {
            Ok(values) => format!("{values:?}"),
            Err(_) => format!("{:?}", array.to_f32().unwrap()),
        };
        text += &format!("{name}: {}{:?} {values}\n", array.dtype, array.shape);
    }
    text
}

fn refused(target: &dyn Target, network: &Verified) -> Vec<Violation> {
    target.legalise(network, &TargetOptions::default()).unwrap_err()
}

#[test]
fn akida1_convolutions_and_dense() {
    insta::assert_snapshot!("akida1_cnn", shown(&Akida1, &cnn(15, 7)));
}

#[test]
fn akida2_convolutions_and_dense() {
    insta::assert_snapshot!("akida2_cnn", shown(&Akida2, &cnn(15, 7)));
}

#[test]
fn payloads_of_8_bits_are_sent_in_steps_of_2() {
    let network = cnn(255, 100);
    let legal = Akida2.legalise(&network, &TargetOptions::default()).unwrap();
    assert!(legal.notes.iter().any(|n| n.text.contains("in steps of 2")), "{:?}", legal.notes);
    emitted(&Akida2, &network);
    let violations = refused(&Akida1, &network);
    let nodes: Vec<&str> = violations.iter().map(|v| v.node.as_str()).collect();
    // Both activations, and the weights of all layers but the first.
    assert_eq!(nodes, ["`conv1`", "`conv2`", "`conv2`", "`fc`"]);
}

#[test]
fn a_zero_point_becomes_the_padding_value() {
    let network = Builder::new(&[3, 6, 6], -128, 127, -100)
        .convolution(2, square(3, 1, 1), 9)
        .fire("conv1", 0.002, (0, 15))
        .dense(2, 7)
        .scores("fc");
    for target in [&Akida1 as &dyn Target, &Akida2] {
        let spec: serde_json::Value = serde_json::from_str(&emitted(target, &network)).unwrap();
        assert_eq!(spec["encoding"]["zero_point"], -100);
        if target.name() == "akida1" {
            assert_eq!(spec["layers"][0]["parameters"]["padding_value"], 28);
        }
    }
}

#[test]
fn an_input_of_few_bits_has_a_layer_of_its_own() {
    let network =
        Builder::new(&[9], 0, 3, 0).dense(4, 7).fire("fc1", 0.1, (0, 3)).dense(2, 1).scores("fc2");
    insta::assert_snapshot!("akida1_mlp", shown(&Akida1, &network));
    emitted(&Akida2, &network);
}

#[test]
fn pools_go_into_the_layer_before() {
    let network = Builder::new(&[1, 8, 8], 0, 255, 0)
        .convolution(2, square(3, 1, 1), 9)
        .fire("conv1", 0.003, (0, 15))
        .max_pool("pool1", 2)
        .convolution(2, square(3, 1, 1), 7)
        .fire("conv2", 0.05, (0, 15))
        .dense(2, 7)
        .scores("fc");
    for target in [&Akida1 as &dyn Target, &Akida2] {
        let spec: serde_json::Value = serde_json::from_str(&emitted(target, &network)).unwrap();
        assert_eq!(spec["layers"][0]["parameters"]["pool_type"], 1);
        assert_eq!(spec["layers"][0]["output_shape"], serde_json::json!([4, 4, 2]));
    }
}

#[test]
fn an_8_bit_input_into_a_dense_layer_is_refused() {
    let network = Builder::new(&[1, 4, 4], 0, 255, 0)
        .dense(4, 7)
        .fire("fc1", 0.01, (0, 15))
        .dense(2, 7)
        .scores("fc2");
    for target in [&Akida1 as &dyn Target, &Akida2] {
        let violations = refused(target, &network);
        assert_eq!(violations.len(), 1, "{violations:?}");
        assert!(violations[0].reason.contains("codes 0 to 255"), "{}", violations[0]);
    }
}

#[test]
fn few_accumulators_differ_at_4_bits() {
    for target in [&Akida1 as &dyn Target, &Akida2] {
        let legal = target.legalise(&cnn(15, 7), &TargetOptions::default()).unwrap();
        for note in &legal.notes {
            let count: u64 = note.text.split(' ').next().unwrap().parse().unwrap();
            assert!(count <= 8, "{}: {note:?}", target.name());
        }
    }
}

/// Where weights of -7 to 7 leave differences, several copies of what is read take them away.
#[test]
fn copies_of_filters_make_staircases_exact() {
    let network = Builder::new(&[1, 6, 5], 0, 255, 0)
        .convolution(2, square(3, 1, 1), 15)
        .fire("conv1", 0.002, (0, 15))
        .convolution(3, square(3, 1, 1), 7)
        .fire("conv2", 0.0873, (0, 15))
        .dense(2, 7)
        .scores("fc");
    let filters = |options: &TargetOptions| {
        let legal = Akida1.legalise(&network, options).unwrap();
        let artefact = Akida1.emit(&legal, options).unwrap();
        let spec: serde_json::Value = serde_json::from_slice(&artefact.files[0].content).unwrap();
        let filters = spec["layers"][0]["parameters"]["filters"].as_i64().unwrap();
        let differing =
            |n: &crate::Note| n.text.split(' ').next().and_then(|w| w.parse::<u64>().ok());
        let own = legal.notes.iter().filter(|n| n.node == "`conv2`");
        (filters, own.filter_map(differing).sum::<u64>())
    };
    let (copied, few) = filters(&TargetOptions::default());
    let extra = [("copies".to_owned(), "1".to_owned())].into();
    let alone = TargetOptions { extra, ..TargetOptions::default() };
    let (plain, many) = filters(&alone);
    assert_eq!(plain, 2);
    assert!(
        copied > 2 && copied % 2 == 0 && 5 * few <= many && many > 0,
        "{copied}: {few}, {many}"
    );
    emitted(&Akida1, &network);
    let extra = [("copies".to_owned(), "many".to_owned())].into();
    let wrong = TargetOptions { extra, ..TargetOptions::default() };
    assert!(Akida1.legalise(&network, &wrong).unwrap_err()[0].node.contains("copies"));
}

#[test]
fn depthwise_convolutions_have_layers_of_their_own() {
    let network = Builder::new(&[1, 8, 8], 0, 255, 0)
        .convolution(4, square(3, 1, 1), 9)
        .fire("conv1", 0.003, (0, 15))
        .depthwise(square(3, 1, 1))
        .fire("depthwise", 0.0731, (0, 15))
        .dense(2, 7)
        .scores("fc");
    let one = [
        ("InputConvolutional", "conv1"),
        ("SeparableConvolutional", "depthwise"),
        ("FullyConnected", "fc"),
    ];
    assert_eq!(outline(&emitted(&Akida1, &network)), pairs(&one));
    let two = [
        ("InputConv2D", "conv1"),
        ("DepthwiseConv2D", "depthwise"),
        ("Dense1D", "fc"),
        ("Dequantizer", "logits"),
    ];
    assert_eq!(outline(&emitted(&Akida2, &network)), pairs(&two));
}

#[test]
fn tables_are_look_ups_of_akida_2_alone() {
    let network = Builder::new(&[1, 8, 8], 0, 255, 0)
        .convolution(2, square(3, 1, 1), 9)
        .fire("conv1", 0.003, (0, 15))
        .table("squared", (0..16).map(|v| v * v / 15).collect())
        .dense(2, 7)
        .scores("fc");
    let spec: serde_json::Value = serde_json::from_str(&emitted(&Akida2, &network)).unwrap();
    let layers = spec["layers"].as_array().unwrap();
    let table = layers.iter().find(|l| l["name"] == "squared").unwrap();
    assert_eq!(table["parameters"]["activation"], 2);
    assert_eq!(table["variables"]["lut_values"]["shape"], serde_json::json!([2048]));
}

#[test]
fn an_unknown_device_is_named() {
    let device = Some("AKD9000".to_owned());
    let options = TargetOptions { device, ..TargetOptions::default() };
    let violations = Akida1.legalise(&cnn(15, 7), &options).unwrap_err();
    assert!(violations[0].reason.contains("AKD9000"), "{violations:?}");
    assert_eq!(Akida1.devices()[0], "AKD1000");
}

/// Type and name of each layer.
fn outline(spec: &str) -> Vec<(String, String)> {
    let spec: serde_json::Value = serde_json::from_str(spec).unwrap();
    let text = |v: &serde_json::Value| v.as_str().unwrap().to_owned();
    let layers = spec["layers"].as_array().unwrap().iter();
    layers.map(|l| (text(&l["parameters"]["layer_type"]), text(&l["name"]))).collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|&(a, b)| (a.to_owned(), b.to_owned())).collect()
}

/// As LeNet-5: a convolution without padding, and a max-pool before the dense layer.
#[test]
fn unpadded_convolutions_and_pools_before_dense_layers_are_lowered() {
    let network = Builder::new(&[1, 12, 12], 0, 255, 0)
        .convolution(2, square(5, 1, 2), 9)
        .fire("conv1", 0.002, (0, 15))
        .max_pool("pool1", 2)
        .convolution(3, square(3, 1, 0), 7)
        .fire("conv2", 0.05, (0, 15))
        .max_pool("pool2", 2)
        .dense(2, 7)
        .scores("fc");
    // The padded map is 6x6 with the canonical 4x4 at (1, 1), which pools in steps of 2 do not meet.
    let violations = refused(&Akida1, &network);
    assert!(violations.iter().any(|v| v.node == "`pool2`"), "{violations:?}");

    let network = Builder::new(&[1, 16, 16], 0, 255, 0)
        .convolution(2, square(5, 1, 2), 9)
        .fire("conv1", 0.002, (0, 15))
        .max_pool("pool1", 2)
        .convolution(3, square(5, 1, 0), 7)
        .fire("conv2", 0.05, (0, 15))
        .max_pool("pool2", 2)
        .dense(2, 7)
        .scores("fc");
    let one = [
        ("InputConvolutional", "conv1"),
        ("Convolutional", "conv2"),
        ("Convolutional", "pool2"),
        ("FullyConnected", "fc"),
    ];
    assert_eq!(outline(&emitted(&Akida1, &network)), pairs(&one));
    let two = [
        ("InputConv2D", "conv1"),
        ("Conv2D", "conv2"),
        ("Conv2D", "pool2"),
        ("Dense1D", "fc"),
        ("Dequantizer", "logits"),
    ];
    assert_eq!(outline(&emitted(&Akida2, &network)), pairs(&two));
}

#[test]
fn residual_additions_are_akida_2_s_alone() {
    for levels in [15, 255] {
        let stem = Builder::new(&[3, 6, 6], 0, 255, 0).convolution(2, square(3, 1, 1), 9).fire(
            "stem",
            0.002,
            (0, levels),
        );
        let skip = stem.here();
        let network = stem
            .convolution(2, square(3, 1, 1), 7)
            .residual("sum", skip, levels)
            .global()
            .fire("gap", 1.0 / 36.0, (0, levels))
            .dense(2, 7)
            .scores("fc");
        let layers = [
            ("InputConv2D", "stem"),
            ("Conv2D", "stem.copy"),
            ("Conv2D", "sum.a"),
            ("Add", "sum.add"),
            ("Conv2D", "sum"),
            ("Conv2D", "gap"),
            ("Dense1D", "fc"),
            ("Dequantizer", "logits"),
        ];
        assert_eq!(outline(&emitted(&Akida2, &network)), pairs(&layers));
        let violations = refused(&Akida1, &network);
        assert!(violations.iter().any(|v| v.node == "`sum`" && v.remedy.contains("akida2")));
    }
}
