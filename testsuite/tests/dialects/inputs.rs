//! An input that several quantisers read has one encoder.

use onnx_protobuf::DataType;
use snnc::passes::graded;
use snnc_ir::SpikingOp;
use snnc_runtime::spiking::Sample;
use snnc_runtime::tensor::Value;
use snnc_testsuite::onnx_model::Builder;

use crate::{quantised, run, spike};

/// Two layers that read the input, each through a quantiser, and their sum.
fn branches(second: (f32, i64), before: Option<&str>) -> Builder {
    let mut model = Builder::new();
    model
        .input("x", DataType::Float, &[1, 4])
        .reals("lowest", &[], &[-0.5])
        .reals("highest", &[], &[0.75])
        .reals("s", &[], &[0.0131])
        .integers("z", DataType::Uint8, &[], &[117])
        .reals("s2", &[], &[second.0])
        .integers("z2", DataType::Uint8, &[], &[second.1])
        .reals("sw", &[], &[0.01])
        .reals("sy", &[], &[0.02])
        .integers("zy", DataType::Uint8, &[], &[128])
        .integers(
            "w",
            DataType::Int8,
            &[4, 3],
            &(0..12).map(|i| (i * 53) % 200 - 99).collect::<Vec<_>>(),
        )
        .integers(
            "v",
            DataType::Int8,
            &[4, 3],
            &(0..12).map(|i| (i * 91) % 200 - 99).collect::<Vec<_>>(),
        )
        .node("QuantizeLinear", &["x", "s", "z"], "q", &[])
        .node("DequantizeLinear", &["q", "s", "z"], "r", &[]);
    let inputs: &[&str] = if before == Some("Clip") { &["x", "lowest", "highest"] } else { &["x"] };
    if let Some(op) = before {
        model.node(op, inputs, "bounded", &[]);
    }
    let from = if before.is_some() { "bounded" } else { "x" };
    model
        .node("QuantizeLinear", &[from, "s2", "z2"], "q2", &[])
        .node("DequantizeLinear", &["q2", "s2", "z2"], "r2", &[])
        .node("DequantizeLinear", &["w", "sw"], "wr", &[])
        .node("DequantizeLinear", &["v", "sw"], "vr", &[]);
    for (x, w, y) in [("r", "wr", "a"), ("r2", "vr", "b")] {
        let (product, codes, real) = (format!("{y}.m"), format!("{y}.q"), format!("{y}.r"));
        model
            .node("MatMul", &[x, w], &product, &[])
            .node("QuantizeLinear", &[&product, "sy", "zy"], &codes, &[])
            .node("DequantizeLinear", &[&codes, "sy", "zy"], &real, &[])
            .output(&real, DataType::Float, &[1, 3]);
    }
    model
}

#[test]
fn quantisers_of_one_input_share_an_encoder() {
    for (second, before) in [
        ((0.0131, 117), None),
        ((0.0131, 117), Some("Relu")),
        ((0.0131, 117), Some("Clip")),
        // Neither says the other where its codes end: one set of codes says both.
        ((0.0131, 90), None),
        ((0.0171, 90), None),
        ((0.0171, 90), Some("Relu")),
    ] {
        let graph = quantised(branches(second, before).bytes());
        let conversion = graded::convert(&graph).expect("one encoder");
        let network = &conversion.network;
        let encoders = network
            .ids()
            .filter(|&id| matches!(network[id].as_spiking(), Some(SpikingOp::Encoder(_))));
        assert_eq!(encoders.count(), 1, "{second:?} {before:?}");
        for seed in 0..50 {
            let x: Vec<f32> =
                (0..4).map(|i| ((i * 71 + seed * 37) % 400 - 200) as f32 * 0.00917).collect();
            let value = Value::from_f32(&[1, 4], x.clone()).unwrap();
            let expected = run(&graph, &[value]);
            assert_eq!(spike(network, &[Sample::Real(x)]), expected, "{second:?} {before:?}");
        }
    }
}
