//! Small quantised models made from bytes, and what must hold of each: import and interpreter answer alike on
//! every instruction set, and no code differs where a certificate says `proved`.

use std::path::Path;

use onnx_protobuf::{AttributeProto, DataType};
use snnc::certificate::{Verdict, certify_against};
use snnc::codings;
use snnc::data::{Dataset, Scaling};
use snnc::evaluate::{Runner, takes_reals};
use snnc::import::{ImportOptions, from_bytes};
use snnc::passes::{Context, canonicalise, graded, quantised};
use snnc::reference::Semantics;
use snnc_backends::format::npy::NpyArray;
use snnc_backends::{TARGETS, TargetOptions};
use snnc_ir::{Coding, Graph, verify};
use snnc_runtime::kernels::Kernels;
use snnc_runtime::tensor::{Program, Value};

use crate::onnx_model::{Builder, float, int, ints};

/// Bytes as decisions; behind the last byte all are 0, which is the plainest decision.
pub struct Source<'a> {
    data: &'a [u8],
}

impl<'a> Source<'a> {
    /// Decisions from these bytes.
    pub fn new(data: &'a [u8]) -> Self {
        Source { data }
    }

    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.data.split_first() else { return 0 };
        self.data = rest;
        first
    }

    /// A number below `n`, which is at most 256.
    pub fn below(&mut self, n: usize) -> usize {
        usize::from(self.byte()) % n
    }

    /// One of `all`.
    pub fn pick<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    /// `count` whole numbers from `-most` to `most` that follow from two bytes.
    fn codes(&mut self, count: usize, most: i64) -> Vec<i64> {
        let mut state = u64::from(self.byte()) << 8 | u64::from(self.byte());
        let mut next = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as i64 % (2 * most + 1) - most
        };
        (0..count).map(|_| next()).collect()
    }
}

/// A model, and samples for its one input.
pub struct Generated {
    /// The ONNX file.
    pub model: Vec<u8>,
    /// Shape of its input `x`, the batch of 1 included.
    pub shape: Vec<usize>,
    /// Samples, one after the other.
    pub samples: Vec<f32>,
    /// The target or coding that is to be tried, of as many as there are.
    pub choice: u8,
}

/// Samples of each model.
const SAMPLES: usize = 4;

/// Scales of quantisers: powers of two, which make ties, and others.
const SCALES: [f32; 8] = [0.0625, 0.05, 0.03125, 0.02, 0.1, 0.007_812_5, 0.003_921_569, 0.013];

struct Maker<'a> {
    builder: Builder,
    source: Source<'a>,
    names: usize,
}

/// A value of the model under construction.
#[derive(Clone)]
struct Made {
    name: String,
    shape: Vec<usize>,
    /// Its scale, where a quantiser made it.
    scale: f32,
}

/// The model that bytes stand for: a chain of layers between quantisers, with residual additions.
pub fn generate(data: &[u8]) -> Generated {
    let mut source = Source::new(data);
    let choice = source.byte();
    let shape = match source.below(4) {
        0 => vec![1, 1 + source.below(12)],
        _ => vec![1, 1 + source.below(3), 3 + source.below(5), 3 + source.below(5)],
    };
    let samples = samples(&mut source, SAMPLES * shape.iter().product::<usize>());
    let mut maker = Maker { builder: Builder::new(), source, names: 0 };
    maker.builder.input("x", DataType::Float, &shape);
    let input = Made { name: "x".into(), shape: shape.clone(), scale: 0.0 };
    let mut value = maker.quantise(&input);
    for _ in 0..=maker.source.below(4) {
        value = maker.layer(value);
    }
    let last = maker.last(&value);
    maker.builder.node("Identity", &[&last.name], "y", &[]);
    maker.builder.output("y", DataType::Float, &last.shape);
    Generated { model: maker.builder.bytes().to_vec(), shape, samples, choice }
}

/// Values on a grid, of which some are ties of quantisers, or anywhere.
fn samples(source: &mut Source<'_>, count: usize) -> Vec<f32> {
    let unit = source.pick(&[0.031_25, 0.025, 1.0 / 255.0, 0.017]);
    let codes = source.codes(count, 100);
    codes.into_iter().map(|c| c as f32 * unit).collect()
}

impl Maker<'_> {
    fn name(&mut self, what: &str) -> String {
        self.names += 1;
        format!("{what}{}", self.names)
    }

    fn node(&mut self, op: &str, inputs: &[&str], attributes: &[AttributeProto]) -> String {
        let name = self.name(&op.to_lowercase());
        self.builder.node(op, inputs, &name, attributes);
        name
    }

    fn reals(&mut self, shape: &[usize], values: &[f32]) -> String {
        let name = self.name("c");
        self.builder.reals(&name, shape, values);
        name
    }

    fn integers(&mut self, kind: DataType, shape: &[usize], values: &[i64]) -> String {
        let name = self.name("c");
        self.builder.integers(&name, kind, shape, values);
        name
    }

    /// Quantises and dequantises; now and then to fewer bits by a `Clip` between the two.
    fn quantise(&mut self, value: &Made) -> Made {
        let scale = self.source.pick(&SCALES);
        let (kind, low, high) =
            self.source.pick(&[(DataType::Uint8, 0, 255), (DataType::Int8, -128, 127)]);
        let zero = match self.source.below(4) {
            0 | 1 => 0,
            2 => i64::from(self.source.byte()) % 20 + low.max(-10),
            _ => (low + high + 1) / 2,
        };
        let scale_name = self.reals(&[], &[scale]);
        let zero_name = self.integers(kind, &[], &[zero]);
        let mut codes = self.node("QuantizeLinear", &[&value.name, &scale_name, &zero_name], &[]);
        if self.source.below(4) == 1 {
            let bits = 2 + self.source.below(3) as u32;
            let (low, high) =
                if low < 0 { (-1 << (bits - 1), 1 << (bits - 1)) } else { (0, 1 << bits) };
            let low = self.integers(kind, &[], &[low]);
            let high = self.integers(kind, &[], &[high - 1]);
            codes = self.node("Clip", &[&codes, &low, &high], &[]);
        }
        let name = self.node("DequantizeLinear", &[&codes, &scale_name, &zero_name], &[]);
        Made { name, shape: value.shape.clone(), scale }
    }

    /// Weights of that shape behind a dequantiser, and the scale of each of the `channels` that axis 0 or
    /// `axis` counts.
    fn weights(&mut self, shape: &[usize], axis: usize) -> (String, Vec<f32>) {
        let most = self.source.pick(&[7, 1, 127]);
        let codes = self.source.codes(shape.iter().product(), most);
        let base = self.source.pick(&[0.0625, 0.01, 0.1, 0.031_25]) / most as f32 * 7.0;
        let each = self.source.below(3) == 1;
        let scales: Vec<f32> = match each {
            true => (0..shape[axis]).map(|c| base * [1.0, 0.5, 1.37, 0.71][c % 4]).collect(),
            false => vec![base],
        };
        let codes = self.integers(DataType::Int8, shape, &codes);
        let dims: &[usize] = if each { &[shape[axis]] } else { &[] };
        let (scale, zero) = (
            self.reals(dims, &scales),
            self.integers(DataType::Int8, dims, &vec![0; scales.len()]),
        );
        let attributes = [int("axis", axis as i64)];
        (self.node("DequantizeLinear", &[&codes, &scale, &zero], &attributes), scales)
    }

    /// A bias for `channels`: none, whole units of the accumulator, or reals.
    fn bias(&mut self, channels: usize, scale: f32, scales: &[f32]) -> Option<String> {
        match self.source.below(3) {
            0 => None,
            1 => {
                let codes = self.source.codes(channels, 300);
                let codes = self.integers(DataType::Int32, &[channels], &codes);
                let units: Vec<f32> = scales.iter().map(|s| s * scale).collect();
                let dims: &[usize] = if units.len() == 1 { &[] } else { &[channels] };
                let (unit, zero) = (
                    self.reals(dims, &units),
                    self.integers(DataType::Int32, dims, &vec![0; units.len()]),
                );
                let axis = [int("axis", 0)];
                Some(self.node("DequantizeLinear", &[&codes, &unit, &zero], &axis))
            }
            _ => {
                let reals: Vec<f32> =
                    self.source.codes(channels, 500).iter().map(|&c| c as f32 / 300.0).collect();
                Some(self.reals(&[channels], &reals))
            }
        }
    }

    fn layer(&mut self, value: Made) -> Made {
        let made = match (value.shape.len(), self.source.below(8)) {
            (2, _) => self.dense(&value),
            (_, 0..=2) => self.convolution(&value, false),
            (_, 3) => self.convolution(&value, true),
            (_, 4) => return self.pool(&value),
            (_, 5) => {
                let name = self.node("Flatten", &[&value.name], &[]);
                let shape = vec![1, value.shape.iter().product()];
                self.dense(&Made { name, shape, scale: value.scale })
            }
            (_, 6) => {
                let one = self.same(&value);
                let one = self.quantise(&one);
                let name = self.node("Add", &[&one.name, &value.name], &[]);
                Made { name, ..value }
            }
            _ => {
                let name = self.node("GlobalAveragePool", &[&value.name], &[]);
                Made { name, shape: vec![1, value.shape[1], 1, 1], scale: 0.0 }
            }
        };
        let made = self.activation(made);
        self.quantise(&made)
    }

    /// A convolution that keeps the shape.
    fn same(&mut self, value: &Made) -> Made {
        let channels = value.shape[1];
        let (weights, scales) = self.weights(&[channels, channels, 3, 3], 0);
        let bias = self.bias(channels, value.scale, &scales);
        let inputs: Vec<&str> =
            [value.name.as_str(), &weights].into_iter().chain(bias.as_deref()).collect();
        let name = self.node("Conv", &inputs, &[ints("pads", &[1; 4])]);
        Made { name, shape: value.shape.clone(), scale: 0.0 }
    }

    fn convolution(&mut self, value: &Made, depthwise: bool) -> Made {
        let [_, channels, height, width] = value.shape[..] else { return value.clone() };
        let outputs = if depthwise { channels } else { 1 + self.source.below(4) };
        let kernel = 1 + self.source.below(height.min(width).min(3));
        let (pad, stride) = (self.source.below(2).min(kernel - 1), 1 + self.source.below(2));
        let inputs = if depthwise { 1 } else { channels };
        let (weights, scales) = self.weights(&[outputs, inputs, kernel, kernel], 0);
        let bias = self.bias(outputs, value.scale, &scales);
        let operands: Vec<&str> =
            [value.name.as_str(), &weights].into_iter().chain(bias.as_deref()).collect();
        let name = self.node(
            "Conv",
            &operands,
            &[
                ints("pads", &[pad as i64; 4]),
                ints("strides", &[stride as i64; 2]),
                int("group", if depthwise { channels as i64 } else { 1 }),
            ],
        );
        let extent = |n: usize| (n + 2 * pad - kernel) / stride + 1;
        Made { name, shape: vec![1, outputs, extent(height), extent(width)], scale: 0.0 }
    }

    fn dense(&mut self, value: &Made) -> Made {
        let (inputs, outputs) = (value.shape[1], 1 + self.source.below(6));
        let gemm = self.source.below(2) == 0;
        let (shape, axis) = if gemm { ([outputs, inputs], 0) } else { ([inputs, outputs], 1) };
        let (weights, scales) = self.weights(&shape, axis);
        let bias = self.bias(outputs, value.scale, &scales);
        let name = match (gemm, bias) {
            (true, bias) => {
                let operands: Vec<&str> =
                    [value.name.as_str(), &weights].into_iter().chain(bias.as_deref()).collect();
                self.node("Gemm", &operands, &[int("transB", 1)])
            }
            (false, None) => self.node("MatMul", &[&value.name, &weights], &[]),
            (false, Some(bias)) => {
                let product = self.node("MatMul", &[&value.name, &weights], &[]);
                self.node("Add", &[&product, &bias], &[])
            }
        };
        Made { name, shape: vec![1, outputs], scale: 0.0 }
    }

    /// The largest or the mean of windows of 2x2; a mean is quantised again.
    fn pool(&mut self, value: &Made) -> Made {
        let [_, channels, height, width] = value.shape[..] else { return value.clone() };
        if height < 2 || width < 2 {
            return value.clone();
        }
        let stride = 1 + self.source.below(2);
        let attributes = [ints("kernel_shape", &[2, 2]), ints("strides", &[stride as i64; 2])];
        let shape = vec![1, channels, (height - 2) / stride + 1, (width - 2) / stride + 1];
        match self.source.below(2) {
            0 => {
                let name = self.node("MaxPool", &[&value.name], &attributes);
                Made { name, shape, scale: value.scale }
            }
            _ => {
                let name = self.node("AveragePool", &[&value.name], &attributes);
                self.quantise(&Made { name, shape, scale: 0.0 })
            }
        }
    }

    fn activation(&mut self, value: Made) -> Made {
        let name = match self.source.below(6) {
            0 | 1 => self.node("Relu", &[&value.name], &[]),
            2 => {
                let (low, high) = (self.reals(&[], &[0.0]), self.reals(&[], &[6.0]));
                self.node("Clip", &[&value.name, &low, &high], &[])
            }
            3 => self.node("LeakyRelu", &[&value.name], &[float("alpha", 0.125)]),
            4 => self.node("HardSigmoid", &[&value.name], &[float("alpha", 0.2)]),
            _ => value.name,
        };
        Made { name, ..value }
    }

    /// What the model answers: accumulators, or codes.
    fn last(&mut self, value: &Made) -> Made {
        if self.source.below(3) == 2 {
            return value.clone();
        }
        let flat = match value.shape.len() {
            2 => value.clone(),
            _ => {
                let name = self.node("Flatten", &[&value.name], &[]);
                let shape = vec![1, value.shape.iter().product()];
                Made { name, shape, scale: value.scale }
            }
        };
        self.dense(&flat)
    }
}

/// The differential test of the model that bytes stand for.
pub(super) fn differential(data: &[u8]) {
    let made = generate(data);
    let options = ImportOptions::default();
    let Ok(imported) = from_bytes(made.model.clone().into(), "model", None, &options) else {
        return;
    };
    kernels_agree(&imported.graph, &made);
    let mut context = Context::default();
    let Ok(canonical) = canonicalise(imported.graph, &mut context) else { return };
    let reals = takes_reals(&canonical);
    let Ok(codes) = quantised(canonical, &mut context) else { return };
    kernels_agree(&codes, &made);
    let Ok(conversion) = graded::convert(&codes) else { return };
    let Some((step, network)) = lowered(&conversion, made.choice) else { return };
    let certificate = certify_against(Semantics::Ort, &codes, &conversion, &network);
    // What is `failed` is not delivered.
    if certificate.verdict != Verdict::Proved {
        return;
    }
    let shape: Vec<usize> = [&[SAMPLES], &made.shape[1..]].concat();
    let array = NpyArray::from_f32(shape, &made.samples).expect("as many as the shape says");
    let data = Dataset::new(&array, None, None).expect("all are finite");
    let runner = Runner::spiking(&network, Some(&codes), reals, Scaling::AS_IS);
    let answers = runner.and_then(|r| r.evaluate(&data, Path::new("data"))).expect("it runs");
    assert_eq!(answers.mismatches_vs_reference.unwrap_or(0), 0, "{step}: proved, and codes differ");
}

/// The network in one of the codings or targets; none where that refuses it.
fn lowered(conversion: &graded::Conversion, choice: u8) -> Option<(String, Graph)> {
    let choice = usize::from(choice) % (Coding::ALL.len() + TARGETS.len());
    match choice.checked_sub(Coding::ALL.len()) {
        None => {
            let coding = Coding::ALL[choice];
            let network = codings::apply(coding, &codings::Options::default(), conversion).ok()?;
            Some((coding.to_string(), network))
        }
        Some(i) => {
            let canonical = verify(conversion.network.clone()).expect("conversion verifies");
            let legalised = TARGETS[i].legalise(&canonical, &TargetOptions::default()).ok()?;
            Some((TARGETS[i].name().to_owned(), legalised.network.into_inner()))
        }
    }
}

/// The interpreter gives the same bits by scalar code and by the fastest kernels.
fn kernels_agree(graph: &Graph, made: &Generated) {
    let programs = [Kernels::Scalar, Kernels::best()].map(|k| Program::with_kernels(graph, k));
    let [Ok(scalar), Ok(fast)] = programs else { return };
    for sample in made.samples.chunks_exact(made.shape.iter().product()) {
        let Ok(value) = Value::from_f32(&made.shape, sample.to_vec()) else { return };
        let answer = |program: &Program| {
            let outcome = program.run(std::slice::from_ref(&value));
            outcome.map(|o| format!("{:?}", o.outputs)).map_err(|e| e.to_string())
        };
        assert_eq!(answer(&scalar), answer(&fast));
    }
}
