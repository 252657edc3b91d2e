//! Outputs of codes are codes: an artefact gives back the zero point that its payloads leave out.

use onnx_protobuf::DataType;
use snnc_runtime::spiking::Sample;
use snnc_runtime::tensor::Value;
use snnc_testsuite::onnx_model::{Builder, ints};

use crate::{converted, run, spike};

/// Codes of `kind` and the spiking network's, for some inputs.
fn answers(builder: &Builder, shape: &[usize], low: i64) {
    let (graph, conversion) = converted(builder.bytes());
    let count: usize = shape.iter().product();
    for seed in 0..8i64 {
        let x: Vec<i64> = (0..count as i64).map(|i| low + (i * 37 + seed * 91) % 256).collect();
        let value = Value::from_i64(shape, x.clone()).unwrap();
        let inputs = vec![value];
        let expected = run(&graph, &inputs);
        assert_eq!(spike(&conversion.network, &[Sample::Codes(x)]), expected);
        assert!(expected.iter().flatten().any(|&code| code != 0.0));
    }
}

#[test]
fn every_type_of_codes_keeps_its_zero_point() {
    for (kind, zero) in [
        (DataType::Uint8, 128),
        (DataType::Uint8, 3),
        (DataType::Int8, -100),
        (DataType::Int8, 0),
        (DataType::Uint16, 40_000),
        (DataType::Int16, -7),
    ] {
        let mut model = Builder::new();
        model
            .input("x", DataType::Uint8, &[1, 6])
            .reals("sx", &[], &[0.0231])
            .integers("zx", DataType::Uint8, &[], &[3])
            .integers(
                "w",
                DataType::Int8,
                &[6, 4],
                &(0..24).map(|i| (i * 53) % 200 - 99).collect::<Vec<_>>(),
            )
            .reals("sw", &[], &[0.0041])
            .reals("sy", &[], &[0.0317])
            .integers("zy", kind, &[], &[zero])
            .node("DequantizeLinear", &["x", "sx", "zx"], "xr", &[])
            .node("DequantizeLinear", &["w", "sw"], "wr", &[])
            .node("MatMul", &["xr", "wr"], "m", &[])
            .node("QuantizeLinear", &["m", "sy", "zy"], "y", &[])
            .output("y", kind, &[1, 4]);
        answers(&model, &[1, 6], 0);
    }
}

#[test]
fn several_outputs_have_each_its_own_zero_point() {
    let mut model = Builder::new();
    model
        .input("x", DataType::Int8, &[1, 2, 3, 3])
        .reals("sx", &[], &[0.05])
        .integers("zx", DataType::Int8, &[], &[-20])
        .integers(
            "w",
            DataType::Uint8,
            &[3, 2, 2, 2],
            &(0..24).map(|i| (i * 71) % 256).collect::<Vec<_>>(),
        )
        .reals("sw", &[3], &[0.01, 0.023, 0.017])
        .integers("zw", DataType::Uint8, &[3], &[5, 128, 200])
        .reals("sy", &[], &[0.31])
        .integers("zy", DataType::Uint8, &[], &[77])
        .reals("sz", &[], &[0.11])
        .integers("zz", DataType::Int8, &[], &[-9])
        .node(
            "QLinearConv",
            &["x", "sx", "zx", "w", "sw", "zw", "sy", "zy"],
            "y",
            &[ints("pads", &[1, 1, 0, 0])],
        )
        .node("DequantizeLinear", &["y", "sy", "zy"], "yr", &[])
        .node("Relu", &["yr"], "r", &[])
        .node("QuantizeLinear", &["r", "sz", "zz"], "z", &[])
        .output("y", DataType::Uint8, &[1, 3, 3, 3])
        .output("z", DataType::Int8, &[1, 3, 3, 3]);
    answers(&model, &[1, 2, 3, 3], -128);
}

#[test]
fn accumulators_can_be_the_output() {
    let mut model = Builder::new();
    model
        .input("x", DataType::Uint8, &[1, 5])
        .integers("zx", DataType::Uint8, &[], &[17])
        .integers(
            "w",
            DataType::Int8,
            &[5, 3],
            &(0..15).map(|i| (i * 31) % 250 - 125).collect::<Vec<_>>(),
        )
        .integers("zw", DataType::Int8, &[], &[4])
        .node("MatMulInteger", &["x", "w", "zx", "zw"], "y", &[])
        .output("y", DataType::Int32, &[1, 3]);
    answers(&model, &[1, 5], 0);
}
