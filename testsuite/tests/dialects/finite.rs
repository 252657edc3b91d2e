//! Parameters that are no finite numbers are refused with node and index, all at once.

use onnx_protobuf::DataType;
use snnc::import::from_bytes;
use snnc::passes::{self, Context};
use snnc::{Error, Problem};
use snnc_testsuite::onnx_model::{Builder, QONNX, float};

/// What is wrong with a model, at import or when constants are folded.
fn problems(model: &Builder) -> Vec<Problem> {
    let imported = from_bytes(model.bytes(), "case", None, &Default::default());
    let canonical = imported.and_then(|i| passes::canonicalise(i.graph, &mut Context::default()));
    match canonical {
        Ok(_) => Vec::new(),
        Err(Error::Input(problems)) => problems,
        Err(other) => panic!("{other}"),
    }
}

/// A model with a node whose operands besides the input are constants, one of which holds `bad`.
fn with_bad(op: &str, shapes: &[&[usize]], bad: (usize, f32)) -> Builder {
    let domain = if matches!(op, "Quant" | "MultiThreshold") { QONNX } else { "" };
    let mut model = Builder::new();
    model.input("x", DataType::Float, &[1, 3, 4, 4]);
    let names: Vec<String> = (0..shapes.len()).map(|i| format!("c{i}")).collect();
    for (i, shape) in shapes.iter().enumerate() {
        let mut values = vec![2.0; shape.iter().product()];
        if i == bad.0 {
            *values.last_mut().unwrap() = bad.1;
        }
        model.reals(&names[i], shape, &values);
    }
    let inputs: Vec<&str> = std::iter::once("x").chain(names.iter().map(String::as_str)).collect();
    model.node_of(domain, op, &inputs, "node", &[]).output("node", DataType::Float, &[1, 3, 4, 4]);
    model
}

type Shapes = &'static [&'static [usize]];

#[test]
fn a_parameter_must_be_a_finite_number() {
    let cases: &[(&str, Shapes)] = &[
        ("Conv", &[&[3, 3, 1, 1], &[3]]),
        ("MatMul", &[&[4, 4]]),
        ("BatchNormalization", &[&[3], &[3], &[3], &[3]]),
        ("Add", &[&[1]]),
        ("Sub", &[&[3, 1, 1]]),
        ("Mul", &[&[1]]),
        ("Div", &[&[1, 3, 1, 1]]),
        ("PRelu", &[&[3, 1, 1]]),
        ("Quant", &[&[], &[], &[]]),
    ];
    for (op, shapes) in cases {
        for port in 0..shapes.len() {
            for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                let found = problems(&with_bad(op, shapes, (port, bad)));
                assert_eq!(found.len(), 1, "{op}, operand {port}: {bad}: {found:?}");
                assert!(found[0].place.contains("`node`"), "{found:?}");
            }
        }
    }
    let found = problems(&with_bad("Conv", &[&[3, 3, 1, 1], &[3]], (0, f32::NAN)));
    let said = &found[0].reason;
    assert!(said.contains("`c0`") && said.contains("NaN at index [2, 2, 0, 0]"), "{said}");
}

#[test]
fn bounds_and_what_is_compared_may_be_infinite_but_no_nan() {
    for (op, shapes) in
        [("Max", &[&[1usize][..]][..]), ("Min", &[&[1]]), ("MultiThreshold", &[&[1, 3]])]
    {
        for infinity in [f32::INFINITY, f32::NEG_INFINITY] {
            assert_eq!(problems(&with_bad(op, shapes, (0, infinity))), [], "{op} {infinity}");
        }
        assert_eq!(problems(&with_bad(op, shapes, (0, f32::NAN))).len(), 1, "{op}");
    }
    let clip = |low, high| {
        let mut model = Builder::new();
        model
            .input("x", DataType::Float, &[1, 2])
            .reals("low", &[], &[low])
            .reals("high", &[], &[high])
            .node("Clip", &["x", "low", "high"], "y", &[])
            .output("y", DataType::Float, &[1, 2]);
        problems(&model).len()
    };
    assert_eq!(clip(f32::NEG_INFINITY, f32::INFINITY), 0);
    assert_eq!(
        [clip(f32::NAN, 1.0), clip(0.0, f32::NAN), clip(f32::INFINITY, f32::INFINITY)],
        [1, 1, 1]
    );
}

#[test]
fn attributes_and_folded_constants_are_looked_at() {
    let mut leaky = Builder::new();
    leaky.input("x", DataType::Float, &[1, 2]).output("y", DataType::Float, &[1, 2]);
    leaky.node("LeakyRelu", &["x"], "y", &[float("alpha", f32::NAN)]);
    assert_eq!(problems(&leaky).len(), 1);
    // The root of a negative variance.
    let mut model = Builder::new();
    model.input("x", DataType::Float, &[1, 3, 4, 4]).output("y", DataType::Float, &[1, 3, 4, 4]);
    model.reals("w", &[3, 3, 1, 1], &[0.5; 9]).reals("one", &[3], &[1.0; 3]).reals(
        "v",
        &[3],
        &[1.0, -2.0, 1.0],
    );
    model.node("Conv", &["x", "w"], "c", &[]);
    model.node("BatchNormalization", &["c", "one", "one", "one", "v"], "y", &[]);
    let found = problems(&model);
    assert!(!found.is_empty() && found.iter().all(|p| p.reason.contains("NaN")), "{found:?}");
}

#[test]
fn all_are_said_at_once() {
    let mut model = Builder::new();
    model.input("x", DataType::Float, &[1, 2]).output("z", DataType::Float, &[1, 2]);
    model.reals("w", &[2, 2], &[1.0, f32::NAN, 0.0, f32::INFINITY]).reals(
        "b",
        &[2],
        &[f32::INFINITY, 0.0],
    );
    model.node("MatMul", &["x", "w"], "y", &[]).node("Add", &["y", "b"], "z", &[]);
    let found = problems(&model);
    let places: Vec<&str> = found.iter().map(|p| p.place.as_str()).collect();
    assert_eq!(places.len(), 2, "{found:?}");
    assert!(places.iter().any(|p| p.contains("`y`")) && places.iter().any(|p| p.contains("`z`")));
}
