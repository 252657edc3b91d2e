//! Every network of `../shared/models` against onnxruntime's recorded predictions
//! (`onnx/predictions.txt`, written by `onnx/record.py`), as imported, in canonical form, and on
//! integer codes where the network is quantised. Prints one table.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use snnc::data::{Dataset, Scaling};
use snnc::import::{ImportOptions, load};
use snnc::passes::{Context, canonicalise, quantised};
use snnc_ir::{Graph, TensorType};
use snnc_runtime::tensor::{Program, Value};

const PREDICTIONS: &str = include_str!("../onnx/predictions.txt");

/// Samples of each network, by default; `SNNC_SAMPLES` asks for others, up to the recorded 200.
const SAMPLES: usize = 20;

fn shared() -> PathBuf {
    std::env::var_os("SNNC_SHARED").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared"),
        PathBuf::from,
    )
}

struct Row<'a> {
    model: &'a str,
    data: &'a str,
    form: &'a str,
    predictions: Vec<usize>,
}

fn rows() -> Vec<Row<'static>> {
    let row = |line: &'static str| {
        let fields: Vec<&str> = line.split(' ').collect();
        let [model, data, form, predictions] = fields[..] else { panic!("{line}") };
        let predictions = predictions.split(',').map(|p| p.parse().unwrap()).collect();
        Row { model, data, form, predictions }
    };
    PREDICTIONS.lines().map(row).collect()
}

#[test]
fn predictions_are_those_of_onnxruntime() {
    let shared = shared();
    if !shared.join("models").is_dir() {
        writeln!(std::io::stderr(), "skipped: ../shared not found").unwrap();
        return;
    }
    let samples = std::env::var("SNNC_SAMPLES").ok().and_then(|s| s.parse().ok());
    let samples = samples.unwrap_or(SAMPLES);
    let mut table = format!(
        "{:42} {:>7} {:>8} {:>8} {:>8} {:>8}\n",
        "model", "samples", "there %", "here %", "canon. %", "codes %"
    );
    let mut differing = Vec::new();
    for row in rows() {
        let line = measure(&shared, &row, samples, &mut differing);
        table.push_str(&line);
    }
    writeln!(std::io::stderr(), "{table}").unwrap();
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}

/// One line of the table; networks whose predictions differ go to `differing`.
fn measure(shared: &Path, row: &Row, samples: usize, differing: &mut Vec<String>) -> String {
    let data = shared.join("data").join(format!("{}.npz", row.data));
    let data = Dataset::load(&data, Some(samples.min(row.predictions.len()))).unwrap();
    let labels = data.labels.clone().unwrap();
    let accuracy = |found: &[usize]| {
        let right = found.iter().zip(&labels).filter(|(p, y)| **p as i64 == **y).count();
        100.0 * right as f64 / data.len() as f64
    };
    let path = shared.join("models").join(format!("{}.onnx", row.model));
    let imported = load(&path, &ImportOptions::default()).unwrap();
    let mut context = Context::default();
    let canonical = canonicalise(imported.graph.clone(), &mut context).unwrap();
    let codes = quantised(canonical.clone(), &mut context).ok();
    let expected = &row.predictions[..data.len()];
    let mut line = format!("{:42} {:>7} {:>8.2}", row.model, data.len(), accuracy(expected));
    let stages =
        [("as imported", Some(imported.graph)), ("canonical", Some(canonical)), ("codes", codes)];
    for (stage, graph) in stages {
        let Some(graph) = graph else { continue };
        let found = predictions(&graph, &data, row.form);
        let _ = write!(line, " {:>8.2}", accuracy(&found));
        let wrong = found.iter().zip(expected).filter(|(a, b)| a != b).count();
        if wrong > data.len() / 1000 {
            differing.push(format!("{} {stage}: {wrong} predictions differ", row.model));
        }
    }
    line + "\n"
}

fn predictions(graph: &Graph, data: &Dataset, form: &str) -> Vec<usize> {
    let program = Program::new(graph).unwrap();
    let ty = &graph[graph.inputs()[0]].ty;
    (0..data.len())
        .map(|i| {
            let outcome = program.run(&[fed(data, i, form, ty)]).unwrap();
            let scores = outcome.first().unwrap().to_f32();
            (0..scores.len()).rev().max_by(|&a, &b| scores[a].total_cmp(&scores[b])).unwrap()
        })
        .collect()
}

fn fed(data: &Dataset, index: usize, form: &str, ty: &TensorType) -> Value {
    let as_is = Scaling { scale: 1.0, offset: 0.0 };
    let mut reals = match form {
        "unit" => data.reals(index, as_is).iter().map(|x| x * (1.0 / 255.0f64) as f32).collect(),
        _ => data.reals(index, as_is),
    };
    if form.starts_with("nhwc") {
        let [channels, pixels] = [data.shape[0], data.shape[1] * data.shape[2]];
        let at = |i: usize| reals[(i % channels) * pixels + i / channels];
        reals = (0..reals.len()).map(at).collect();
    }
    if ty.dtype.is_float() {
        return Value::from_f32(&ty.shape, reals).unwrap();
    }
    let offset = if form == "nhwc-signed" { 128 } else { 0 };
    let codes = reals.iter().map(|&x| x as i64 - offset).collect();
    Value::from_i64(&ty.shape, codes).unwrap()
}
