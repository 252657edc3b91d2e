//! Every network of `../shared/models` as `snnc run MODEL` runs it, against what onnxruntime
//! computes (`onnx/predictions.txt` and `onnx/outputs.txt`, written by `onnx/record.py`). Prints one
//! table.
//!
//! Takes a part of the samples by default, all with `SNNC_FULL=1`. `SNNC_RECORDED=FOLDER` names the
//! outputs that `record.py` writes there, and then each one is compared.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use comfy_table::{CellAlignment, Table, presets};
use snnc::data::{Dataset, Scaling};
use snnc::driver::runnable;
use snnc::evaluate::{Runner, prediction};
use snnc::import::ImportOptions;
use snnc_backends::format::npy::{NpyArray, NpyType};
use snnc_ir::Stage;

const PREDICTIONS: &str = include_str!("../onnx/predictions.txt");
const OUTPUTS: &str = include_str!("../onnx/outputs.txt");

/// Outputs of networks on reals may differ by so much of the sample's largest.
const TOLERANCE: f64 = 1e-4;

/// Elements of weights and results that a network of the default run may cost in all samples.
const COST: usize = 12_000_000;

/// What was recorded of one model.
struct Recorded {
    model: &'static str,
    dialect: &'static str,
    data: &'static str,
    form: &'static str,
    samples: usize,
    /// For each sample whose prediction is not the label, that prediction.
    mistakes: Option<BTreeMap<usize, i64>>,
}

fn recorded() -> Vec<Recorded> {
    let row = |line: &'static str| {
        let fields: Vec<&str> = line.split(' ').collect();
        let [model, dialect, data, form, samples, wrong] = fields[..] else { panic!("{line}") };
        let mistakes = (data != "-").then(|| mistakes(wrong));
        Recorded { model, dialect, data, form, samples: samples.parse().unwrap(), mistakes }
    };
    PREDICTIONS.lines().filter(|l| !l.starts_with('#')).map(row).collect()
}

/// Reads `12c7a`: sample 12 is taken for class 2, sample 19 for class 0.
fn mistakes(text: &str) -> BTreeMap<usize, i64> {
    let (mut found, mut distance, mut at) = (BTreeMap::new(), 0, 0);
    for byte in text.bytes().filter(|&b| b != b'-') {
        if byte.is_ascii_digit() {
            distance = 10 * distance + usize::from(byte - b'0');
        } else {
            at += distance;
            distance = 0;
            found.insert(at, i64::from(byte - b'a'));
        }
    }
    found
}

/// Largest and smallest output and the sum with signs in turn, of the first samples of a model.
fn figures(model: &str) -> Vec<[f64; 3]> {
    let lines = OUTPUTS.lines().filter(|l| l.split(' ').next() == Some(model));
    let row = |line: &str| {
        let numbers: Vec<f64> = line.split(' ').skip(2).map(|f| f.parse().unwrap()).collect();
        <[f64; 3]>::try_from(numbers).unwrap()
    };
    lines.map(row).collect()
}

#[derive(Default)]
struct Row {
    stage: &'static str,
    samples: usize,
    here: Option<f64>,
    there: Option<f64>,
    differing: Option<usize>,
    distance: Option<f64>,
}

#[test]
#[cfg_attr(not(shared), ignore = "../shared was not there when this was built")]
fn predictions_are_those_of_onnxruntime() {
    let shared = snnc_testsuite::beside();
    let full = std::env::var_os("SNNC_FULL").is_some();
    let mut out = std::io::stderr();
    if !full {
        writeln!(out, "a part of the samples: SNNC_FULL=1 takes all").unwrap();
    }
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header([
        "model",
        "dialect",
        "runs on",
        "samples",
        "here %",
        "there %",
        "differing",
        "distance",
    ]);
    let mut wrong = Vec::new();
    for recorded in recorded() {
        let row = measured(&shared, &recorded, full);
        if let Err(reason) = row.verdict(&recorded) {
            wrong.push(format!("{}: {reason}", recorded.model));
        }
        table.add_row(row.cells(&recorded));
    }
    for column in table.column_iter_mut().skip(3) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    writeln!(out, "{table}").unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
#[cfg_attr(not(shared), ignore = "../shared was not there when this was built")]
fn every_model_has_a_record() {
    let shared = snnc_testsuite::beside();
    let known: Vec<PathBuf> =
        recorded().iter().map(|r| PathBuf::from(format!("{}.onnx", r.model))).collect();
    for folder in std::fs::read_dir(shared.join("models")).unwrap() {
        for file in std::fs::read_dir(folder.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            let name = path.strip_prefix(shared.join("models")).unwrap();
            let model = name.extension().is_some_and(|e| e == "onnx");
            // Maps of 224 x 224: the tables of digests hold them, a run of them takes minutes.
            let large = name.starts_with("imagenet");
            assert!(
                !model || large || known.iter().any(|k| k == name),
                "{} has none",
                name.display()
            );
        }
    }
}

fn measured(shared: &Path, recorded: &Recorded, full: bool) -> Row {
    let path = shared.join("models").join(format!("{}.onnx", recorded.model));
    let graph = runnable(&path, &ImportOptions::default()).unwrap();
    let stage = if graph.stage == Stage::Quantised { "codes" } else { "reals" };
    let cost: usize = graph.ids().map(|id| graph[id].ty.len()).sum();
    let part = (COST / cost.max(1)).clamp(1, 500);
    let samples = if full { recorded.samples } else { part.min(recorded.samples) };
    let input = graph[graph.inputs()[0]].ty.clone();
    let scaling = match recorded.form {
        "unit" => Scaling::default(),
        "made" if input.dtype.is_float() => Scaling::default(),
        "signed" | "made" => Scaling { scale: 1.0, offset: -128.0 },
        _ => Scaling { scale: 1.0, offset: 0.0 },
    };
    let data = match recorded.form {
        "made" => made(&input.shape[1..], samples),
        _ => {
            let file = shared.join("data").join(format!("{}.npz", recorded.data));
            Dataset::load(&file, Some(samples)).unwrap()
        }
    };
    let runner = Runner::tensor(&graph, scaling).unwrap();
    let answers = runner.answers(&data, Path::new(recorded.data)).unwrap();
    let outputs: Vec<Vec<f32>> = answers.into_iter().map(|a| a.scores).collect();
    let mut row = Row { stage, samples, distance: distance(recorded, &outputs), ..Row::default() };
    if let (Some(mistakes), Some(labels)) = (&recorded.mistakes, &data.labels) {
        let theirs: Vec<i64> =
            labels.iter().enumerate().map(|(i, y)| *mistakes.get(&i).unwrap_or(y)).collect();
        let ours: Vec<i64> = outputs.iter().map(|o| prediction(o)).collect();
        let equal = |a: &[i64], b: &[i64]| a.iter().zip(b).filter(|(a, b)| a == b).count();
        let percent = |n: usize| 100.0 * n as f64 / samples as f64;
        row.here = Some(percent(equal(&ours, labels)));
        row.there = Some(percent(equal(&theirs, labels)));
        row.differing = Some(samples - equal(&ours, &theirs));
    }
    row
}

/// Element i of sample s is the byte (37 i + 101 s + floor(i^2 / 128)) mod 256, as in `record.py`.
fn made(shape: &[usize], samples: usize) -> Dataset {
    let len: usize = shape.iter().product();
    let byte = |s: usize, i: usize| ((37 * i + 101 * s + ((i * i) >> 7)) % 256) as u8;
    let bytes: Vec<u8> = (0..samples).flat_map(|s| (0..len).map(move |i| byte(s, i))).collect();
    let shape = [&[samples], shape].concat();
    Dataset::new(&NpyArray { dtype: NpyType::U8, shape, data: bytes.into() }, None, None).unwrap()
}

/// The largest distance of an output from the recorded one, relative to the sample's largest: of
/// every output where they are at hand, else of the figures of the first samples.
fn distance(recorded: &Recorded, ours: &[Vec<f32>]) -> Option<f64> {
    let largest = |values: &[f32]| values.iter().fold(1e-30f64, |m, x| m.max(f64::from(x.abs())));
    if let Some(folder) = std::env::var_os("SNNC_RECORDED") {
        let name = format!("{}.npy", recorded.model.replace('/', "-"));
        let bytes = std::fs::read(Path::new(&folder).join(name)).unwrap();
        let theirs = NpyArray::read(bytes).unwrap().to_f32().unwrap();
        let pairs = ours.iter().zip(theirs.chunks(ours[0].len()));
        let far = |(a, b): (&Vec<f32>, &[f32])| {
            let differences = a.iter().zip(b).map(|(a, b)| f64::from((a - b).abs()));
            differences.fold(0.0, f64::max) / largest(b)
        };
        return Some(pairs.map(far).fold(0.0, f64::max));
    }
    let far = |(row, [high, low, sum]): (&Vec<f32>, [f64; 3])| {
        let ends = row.iter().fold((f64::NEG_INFINITY, f64::INFINITY), |(h, l), &x| {
            (h.max(f64::from(x)), l.min(f64::from(x)))
        });
        let signed = |(i, &x): (usize, &f32)| if i % 2 == 0 { f64::from(x) } else { -f64::from(x) };
        let total: f64 = row.iter().enumerate().map(signed).sum();
        let absolute: f64 = row.iter().map(|x| f64::from(x.abs())).sum();
        let ends = (ends.0 - high).abs().max((ends.1 - low).abs()) / largest(row);
        ends.max((total - sum).abs() / absolute.max(1e-30))
    };
    let figures = figures(recorded.model);
    (!figures.is_empty()).then(|| ours.iter().zip(figures).map(far).fold(0.0, f64::max))
}

impl Row {
    fn verdict(&self, recorded: &Recorded) -> Result<(), String> {
        let allowed = if self.stage == "reals" { 0 } else { self.samples / 1000 };
        if let Some(differing) = self.differing.filter(|&d| d > allowed) {
            return Err(format!("{differing} of {} predictions differ", self.samples));
        }
        // Codes of quantised networks may tip over; those without labels have nothing else to hold.
        let held = recorded.dialect == "float" || recorded.mistakes.is_none();
        match self.distance.filter(|&d| held && (d.is_nan() || d > TOLERANCE)) {
            Some(distance) => Err(format!("outputs differ by {distance:.1e}")),
            None => Ok(()),
        }
    }

    fn cells(&self, recorded: &Recorded) -> [String; 8] {
        let percent = |x: Option<f64>| x.map_or("-".into(), |x| format!("{x:.2}"));
        [
            recorded.model.into(),
            recorded.dialect.into(),
            self.stage.into(),
            self.samples.to_string(),
            percent(self.here),
            percent(self.there),
            self.differing.map_or("-".into(), |n| n.to_string()),
            self.distance.map_or("-".into(), |d| format!("{d:.1e}")),
        ]
    }
}

#[test]
fn mistakes_are_read_as_they_are_written() {
    assert_eq!(mistakes("12c7a"), BTreeMap::from([(12, 2), (19, 0)]));
    assert_eq!(mistakes("0l"), BTreeMap::from([(0, 11)]));
    assert!(mistakes("-").is_empty());
}
