//! Biases keep their value on the way to integers, or stand beside them.

use onnx_protobuf::DataType;
use snnc::certificate::{Verdict, certify};
use snnc_runtime::spiking::Sample;
use snnc_runtime::tensor::Value;
use snnc_testsuite::onnx_model::Builder;

use crate::{converted, run, spike};

const WEIGHTS: [i64; 12] = [7, -3, 5, -8, 1, 4, 6, -2, -7, 3, 8, -5];

struct Layer {
    /// Scales of the input, of the weights and of the result.
    scales: [f32; 3],
    bias: [f32; 3],
}

impl Layer {
    fn model(&self, bias_codes: Option<(&[i64; 3], f32)>) -> Builder {
        let mut model = Builder::new();
        let [sx, sw, sy] = self.scales;
        model
            .input("x", DataType::Float, &[1, 4])
            .reals("sx", &[], &[sx])
            .integers("zx", DataType::Uint8, &[], &[0])
            .reals("sw", &[], &[sw])
            .reals("sy", &[], &[sy])
            .integers("zy", DataType::Uint8, &[], &[20])
            .integers("w", DataType::Int8, &[3, 4], &WEIGHTS)
            .node("QuantizeLinear", &["x", "sx", "zx"], "q", &[])
            .node("DequantizeLinear", &["q", "sx", "zx"], "r", &[])
            .node("DequantizeLinear", &["w", "sw"], "wr", &[]);
        match bias_codes {
            None => {
                model.reals("b", &[3], &self.bias);
            }
            Some((codes, scale)) => {
                model.integers("bq", DataType::Int32, &[3], codes).reals("sb", &[], &[scale]);
                model.node("DequantizeLinear", &["bq", "sb"], "b", &[]);
            }
        }
        model
            .node("Gemm", &["r", "wr", "b"], "m", &[snnc_testsuite::onnx_model::int("transB", 1)])
            .node("QuantizeLinear", &["m", "sy", "zy"], "yq", &[])
            .node("DequantizeLinear", &["yq", "sy", "zy"], "y", &[])
            .output("y", DataType::Float, &[1, 3]);
        model
    }

    /// The integers that the weights add up, for codes of the input.
    fn sums(&self, codes: &[i64]) -> Vec<i64> {
        WEIGHTS.chunks(4).map(|row| row.iter().zip(codes).map(|(w, c)| w * c).sum()).collect()
    }

    fn code(&self, units: f32) -> f32 {
        let level = units.round_ties_even().clamp(-20.0, 235.0);
        level * self.scales[2]
    }

    /// Holds model and spiking network against `expected` of the layer's integers, and asks for a proof.
    fn check(&self, model: &Builder, expected: &dyn Fn(usize, i64) -> f32) {
        let (graph, conversion) = converted(model.bytes());
        for seed in 0..60i64 {
            let codes: Vec<i64> = (0..4).map(|i| (i * 97 + seed * 41) % 256).collect();
            let x: Vec<f32> = codes.iter().map(|&c| c as f32 * self.scales[0]).collect();
            let sums = self.sums(&codes);
            let expected: Vec<f32> =
                sums.iter().enumerate().map(|(i, &a)| expected(i, a)).collect();
            let value = Value::from_f32(&[1, 4], x.clone()).unwrap();
            assert_eq!(run(&graph, &[value])[0], expected, "{:?}", self.bias);
            assert_eq!(
                spike(&conversion.network, &[Sample::Real(x)])[0],
                expected,
                "{:?}",
                self.bias
            );
        }
        let certificate = certify(&graph, &conversion, &conversion.network);
        assert_eq!(certificate.verdict, Verdict::Proved, "{:?}", self.bias);
    }
}

/// Whatever the size of a bias, codes are those of `f32(acc) * unit + bias`.
#[test]
fn biases_between_two_units_are_added_as_reals() {
    let small = [0.031, 0.017, 0.9];
    let large = [1000.0, 0.5, 40_000.0];
    for (scales, bias) in [
        (small, [0.123_456_7, -3.3, 0.000_01]),
        (small, [1e30, -1e30, 0.3]),
        (small, [f32::MAX, f32::MIN, 1e-45]),
        (small, [4e6, -4e6, 0.1]),
        // A unit is worth much, so that small biases would vanish.
        (large, [1.5, -2.25, 3.0]),
        (large, [1e-3, 2e4, -2e4]),
    ] {
        let layer = Layer { scales, bias };
        let unit = scales[0] * scales[1];
        let real = |i: usize, acc: i64| layer.code((acc as f32 * unit + bias[i]) / scales[2]);
        layer.check(&layer.model(None), &real);
    }
}

/// Codes of the model's in units of the accumulator are added as integers.
#[test]
fn biases_in_units_of_the_accumulator_are_integers() {
    let layer = Layer { scales: [0.031, 0.017, 0.9], bias: [0.0; 3] };
    let [sx, sw, sy] = layer.scales;
    for codes in [[5, -700, 90_000], [0, 1, -1], [1 << 20, -(1 << 20), 3]] {
        for scale in [sx * sw, (sx * sw).next_up(), (f64::from(sx) * f64::from(sw)) as f32] {
            let rule = |i: usize, acc: i64| layer.code((acc + codes[i]) as f32 * (sx * sw / sy));
            layer.check(&layer.model(Some((&codes, scale))), &rule);
        }
    }
}

/// At the ends of 32 bits nothing wraps: the reals decide, as in ONNX Runtime's operators on reals.
#[test]
fn biases_at_the_ends_of_their_type_saturate() {
    let layer = Layer { scales: [0.031, 0.017, 0.9], bias: [0.0; 3] };
    let [sx, sw, sy] = layer.scales;
    let codes = [i64::from(i32::MAX), i64::from(i32::MIN), 12];
    let scale = sx * sw;
    let real = |i: usize, acc: i64| layer.code((acc as f32 * scale + codes[i] as f32 * scale) / sy);
    layer.check(&layer.model(Some((&codes, scale))), &real);
}

/// What is read out has its whole bias: `run` and the artefact's host add what the units leave over.
#[test]
fn read_outs_keep_their_bias() {
    for (scales, bias) in [
        ([0.031, 0.017], [0.123_456_7, -3.3, 0.000_01]),
        ([1000.0, 0.5], [1.5, -200.25, 3.0]),
        ([0.031, 0.017], [1e30, -1e30, 0.3]),
    ] {
        let [sx, sw] = scales;
        let mut model = Builder::new();
        model
            .input("x", DataType::Float, &[1, 4])
            .reals("sx", &[], &[sx])
            .integers("zx", DataType::Uint8, &[], &[0])
            .reals("sw", &[], &[sw])
            .integers("w", DataType::Int8, &[3, 4], &WEIGHTS)
            .reals("b", &[3], &bias)
            .node("QuantizeLinear", &["x", "sx", "zx"], "q", &[])
            .node("DequantizeLinear", &["q", "sx", "zx"], "r", &[])
            .node("DequantizeLinear", &["w", "sw"], "wr", &[])
            .node("Gemm", &["r", "wr", "b"], "y", &[snnc_testsuite::onnx_model::int("transB", 1)])
            .output("y", DataType::Float, &[1, 3]);
        let (graph, conversion) = converted(model.bytes());
        let layer = Layer { scales: [sx, sw, 1.0], bias };
        for seed in 0..20i64 {
            let codes: Vec<i64> = (0..4).map(|i| (i * 97 + seed * 41) % 256).collect();
            let x: Vec<f32> = codes.iter().map(|&c| c as f32 * sx).collect();
            let real = |(i, acc): (usize, i64)| acc as f32 * (sx * sw) + bias[i];
            let expected: Vec<f32> = layer.sums(&codes).into_iter().enumerate().map(real).collect();
            let largest = expected.iter().fold(0f32, |m, y| m.max(y.abs()));
            let close = |found: &[f32]| {
                found.iter().zip(&expected).all(|(a, b)| (a - b).abs() <= 1e-6 * largest)
            };
            let value = Value::from_f32(&[1, 4], x.clone()).unwrap();
            let found = run(&graph, &[value]);
            assert!(close(&found[0]), "{found:?} and not {expected:?}");
            // The host's inputs stand for what the decoders show.
            let shown = spike(&conversion.network, &[Sample::Real(x)]);
            let shown: Vec<Value> =
                shown.into_iter().map(|s| Value::from_f32(&[1, 3], s).unwrap()).collect();
            let found = run(&conversion.host, &shown);
            assert!(close(&found[0]), "{found:?} and not {expected:?}");
            let nearest = |(a, b): (&f32, &f32)| (a - b).abs() <= 0.51 * sx * sw || b.abs() > 1e6;
            let raw = shown[0].to_f32();
            assert!(
                raw.iter().zip(&expected).all(nearest),
                "{raw:?}: a unit at most is the host's"
            );
        }
        let certificate = certify(&graph, &conversion, &conversion.network);
        assert_eq!(certificate.verdict, Verdict::Proved);
    }
}
