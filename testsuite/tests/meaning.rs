//! Every pass does to a network what its `Meaning` says: the interpreter runs each model before and
//! after each pass that changes it, from the import to integer codes. What follows is approximated as far
//! as its certificate states: where `graded`, `code` or `legalise` is proved, no code differs.
//!
//! The steps at both ends are held against other programs: `import` against ONNX Runtime by `reports`,
//! `recognise` against the spikes that frameworks recorded by `spiking_graphs`, and `calibrate` by `calibration`.
//!
//! The models are those of the repository, the graphs of `cases/passes`, and with `SNNC_LONG=1` those
//! beside the repository.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;

use libtest_mimic::{Arguments, Trial};
use snnc::certificate::{Verdict, certify_against};
use snnc::codings;
use snnc::data::{Dataset, Scaling};
use snnc::evaluate::{Runner, takes_reals};
use snnc::import::{self, ImportOptions};
use snnc::passes::{
    CANONICAL, Context, Meaning, Means, Pass, QUANTISED, canonicalise, graded, quantised, run,
};
use snnc::reference::Semantics;
use snnc_backends::format::npy::NpyArray;
use snnc_backends::format::npz::Npz;
use snnc_backends::{TARGETS, TargetOptions};
use snnc_ir::{Coding, Graph, verify};
use snnc_runtime::tensor::{Program, Value};
use snnc_testsuite::repository;

/// The inputs of each sample.
type Samples = Vec<Vec<Value>>;

/// Samples of each model.
const SAMPLES: usize = 4;

/// Reordered sums may differ by so much of the largest magnitude.
const REORDERED: f32 = 1e-5;

/// Passes that do not do what they say, and the models that show it: each is a defect to be mended.
const FAULTS: &[(&str, &str)] = &[];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let root = repository();
    let mut trials = Vec::new();
    let mut lowered = Vec::new();
    let mut add = |name: String, path: PathBuf, ignored: bool| {
        let trial = Trial::test(name, move || Ok(holds(&path)?));
        trials.push(trial.with_ignored_flag(ignored));
    };
    for folder in listed(&root.join("testsuite/cases/reports")) {
        if folder.is_dir() {
            add(format!("reports::{}", stem(&folder)), folder.join("model.onnx"), false);
        }
    }
    for (group, folder) in [
        ("passes", root.join("testsuite/cases/passes")),
        ("each", root.join("testsuite/cases/passes/each")),
        ("digits", root.join("examples/digits")),
        ("spiking", root.join("testsuite/cases/spiking")),
    ] {
        for path in listed(&folder) {
            if path.extension().is_some_and(|e| e == "onnx" || e == "snnir") {
                let name = format!("lowered::{group}::{}", stem(&path));
                let own = path.clone();
                lowered.push(Trial::test(name, move || Ok(lowered_holds(&own)?)));
                add(format!("{group}::{}", stem(&path)), path, false);
            }
        }
    }
    let shared =
        std::env::var_os("SNNC_SHARED").map_or_else(|| root.join("../shared"), PathBuf::from);
    let long = std::env::var_os("SNNC_LONG").is_some();
    for model in BESIDE {
        let path = shared.join("models").join(format!("{model}.onnx"));
        let ignored = !long || !path.is_file();
        add(format!("shared::{model}"), path, ignored);
    }
    trials.extend(lowered);
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// Models beside the repository.
const BESIDE: &[&str] = &[
    "cifar/cifar10_resnet8_nchw_float",
    "cifar/cifar10_resnet8_w4a4_qat_qcdq",
    "cifar/cifar10_resnet8_w8a8_ptq_qcdq",
    "cifar/cifar10_resnet20_bn_float",
    "mlperf-tiny/ad01_int8",
    "mlperf-tiny/kws_ref_model",
    "mlperf-tiny/kws_ref_model_float32",
    "mlperf-tiny/pretrainedResnet",
    "mlperf-tiny/pretrainedResnet_quant",
    "qonnx/TFC_1W1A",
    "qonnx/TFC_2W2A",
    "qonnx/TFC_2W2A_lowered",
    "qonnx/qkeras_jettagging",
    "qonnx/residual_block_clean",
    "snn-toolbox/mnist_lenet5_9914",
    "trained/fmnist_lenet_bn_float",
    "trained/fmnist_lenet_bn_float_torchexport",
    "trained/fmnist_lenet_folded_float",
    "trained/fmnist_lenet_int8_qdq_ort",
    "trained/fmnist_lenet_int8_qoperator_ort",
    "trained/fmnist_lenet_u8s8_qdq_ort",
    "trained/fmnist_lenet_w2a2_qcdq",
    "trained/fmnist_lenet_w3a3_qcdq",
    "trained/fmnist_lenet_w4a4_qcdq",
    "trained/fmnist_lenet_w4a4_qdq_int4",
    "trained/fmnist_resnet8_bn_float",
    "trained/fmnist_resnet8_int8_qdq_ort",
    "trained/fmnist_resnet8_u8s8_qdq_ort",
    "trained/fmnist_resnet8_w4a4_qcdq",
    "trained/mnist_mlp_float",
    "trained/mnist_mlp_w4a4_qcdq",
    "trained/mnist_mlp_w4a4_qdq_int4",
    "zoo/mnist-8",
    "zoo/mnist-opset1",
];

fn listed(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("the cases are in the repository");
    let mut paths: Vec<PathBuf> = entries.filter_map(|e| Some(e.ok()?.path())).collect();
    paths.sort();
    paths
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// A model, and samples for its inputs: those of its case, else made up. None of a model that cannot be
/// imported, to which no pass does anything.
fn opened(path: &Path) -> Result<Option<(Graph, Samples)>, String> {
    let graph = match path.extension().is_some_and(|e| e == "snnir") {
        true => {
            let text = std::fs::read_to_string(path).map_err(|e| e.to_string())?;
            let text = text.split("// becomes:").next().unwrap_or_default();
            let graph = Graph::from_text(text).map_err(|e| e.to_string())?;
            verify(graph).map_err(|e| format!("{e:?}"))?.into_inner()
        }
        false => match import::load(path, &ImportOptions::default()) {
            Ok(imported) => imported.graph,
            Err(snnc::Error::Unsupported(_)) => return Ok(None),
            Err(e) => return Err(e.to_string()),
        },
    };
    let data = path.with_file_name("data.npz");
    let data = match data.exists() && path.ends_with("model.onnx") {
        true => {
            let bytes = std::fs::read(data).map_err(|e| e.to_string())?;
            Some(Npz::open(bytes).map_err(|e| e.to_string())?)
        }
        false => None,
    };
    let mut samples = Vec::new();
    for s in 0..SAMPLES {
        let value = |id| -> Result<Value, String> {
            let node: &snnc_ir::Node = &graph[id];
            let (shape, n) = (&node.ty.shape, node.ty.len());
            let given = data.as_ref().and_then(|d| d.get(&node.name).ok().flatten());
            let given = given.filter(|a| a.shape.iter().product::<usize>() >= (s + 1) * n);
            let values = match given {
                Some(array) => {
                    let all = array.to_f32().map_err(|e| e.to_string())?;
                    all[s * n..(s + 1) * n].to_vec()
                }
                None => (0..n).map(|i| made_up(s, i)).collect(),
            };
            let made = match node.ty.dtype.is_float() {
                true => Value::from_f32(shape, values),
                false => {
                    let (low, high) = node.ty.dtype.integer_range().unwrap_or((0, 1));
                    let whole = values.iter().map(|v| (v * 100.0) as i64);
                    Value::from_i64(shape, whole.map(|v| v.clamp(low, high)).collect())
                }
            };
            made.map_err(|e| e.to_string())
        };
        samples.push(graph.inputs().into_iter().map(value).collect::<Result<_, _>>()?);
    }
    Ok(Some((graph, samples)))
}

/// Whole 255th parts from -1/4 to 1, in no order.
fn made_up(sample: usize, index: usize) -> f32 {
    let x = (index * 37 + sample * 101 + ((index * index) >> 5) + 13 * (index / 7)) % 320;
    (x as f32 - 64.0) / 255.0
}

/// A sample in the order of channels that an input takes by now.
fn turned(value: &Value, shape: &[usize]) -> Result<Value, String> {
    if value.shape() == shape {
        return Ok(value.clone());
    }
    let from = value.shape();
    let Some((&channels, cells)) = from.split_last().filter(|_| from.len() > 2) else {
        return value.reshaped(shape).map_err(|e| e.to_string());
    };
    let batch = from[0];
    let cells: usize = cells[1..].iter().product();
    let index = |i: usize| {
        let (n, c, cell) = (i / (channels * cells), i / cells % channels, i % cells);
        (n * cells + cell) * channels + c
    };
    let all = batch * channels * cells;
    let turned = match (value.as_f32(), value.as_i64()) {
        (Some(v), _) => Value::from_f32(shape, (0..all).map(|i| v[index(i)]).collect()),
        (_, Some(v)) => Value::from_i64(shape, (0..all).map(|i| v[index(i)]).collect()),
        _ => return Err("an input is neither integers nor reals".into()),
    };
    turned.map_err(|e| e.to_string())
}

/// The outputs for all samples.
fn answers(graph: &Graph, samples: &[Vec<Value>]) -> Result<Vec<Vec<Value>>, String> {
    let program = Program::new(graph).map_err(|e| e.to_string())?;
    let run = |sample: &Vec<Value>| {
        let inputs = graph.inputs().into_iter().zip(sample);
        let inputs: Result<Vec<Value>, String> =
            inputs.map(|(id, value)| turned(value, &graph[id].ty.shape)).collect();
        let outcome = program.run(&inputs?).map_err(|e| e.to_string())?;
        Ok(outcome.outputs.into_iter().map(|(_, value)| value).collect())
    };
    samples.iter().map(run).collect()
}

/// How many values differ more than a meaning allows, and the largest distance relative to the
/// largest magnitude.
fn differing(meaning: Meaning, before: &[Vec<Value>], after: &[Vec<Value>]) -> (usize, usize, f32) {
    let (mut count, mut of, mut largest) = (0, 0, 0.0f32);
    for (before, after) in before.iter().flatten().zip(after.iter().flatten()) {
        let (a, b) = (before.to_f32(), after.to_f32());
        let magnitude = a.iter().fold(0.0f32, |m, v| m.max(v.abs())).max(f32::MIN_POSITIVE);
        if a.len() != b.len() {
            return (a.len().max(1), a.len(), f32::INFINITY);
        }
        of += a.len();
        for (&a, &b) in a.iter().zip(&b) {
            let same = a.to_bits() == b.to_bits() || a == b || a.is_nan() && b.is_nan();
            let distance = if same { 0.0 } else { (a - b).abs() / magnitude };
            let allowed = if meaning == Meaning::Kept { 0.0 } else { REORDERED };
            count += usize::from(!same && (distance.is_nan() || distance > allowed));
            largest = largest.max(distance);
        }
    }
    (count, of, largest)
}

fn holds(path: &Path) -> Result<(), String> {
    let Some((mut graph, samples)) = opened(path)? else { return Ok(()) };
    let mut before = answers(&graph, &samples)?;
    let mut problems = Vec::new();
    for pass in CANONICAL.iter().chain(QUANTISED) {
        let changed = Rc::new(Cell::new(false));
        let seen = Rc::clone(&changed);
        let mut context = Context { means: Means::Single, ..Context::default() };
        context.after_pass = Some(Box::new(move |_, _, changed| seen.set(changed)));
        // What a pass refuses has no meaning to be kept.
        let Ok(next) = run(&[pass], graph, &mut context) else { break };
        graph = next;
        if !changed.get() {
            continue;
        }
        let after = answers(&graph, &samples)?;
        let reported = !context.notes.is_empty();
        judge(pass, reported, &before, &after, path, &mut problems);
        before = after;
    }
    if problems.is_empty() { Ok(()) } else { Err(problems.join("\n")) }
}

fn judge(
    pass: &Pass,
    reported: bool,
    before: &[Vec<Value>],
    after: &[Vec<Value>],
    path: &Path,
    problems: &mut Vec<String>,
) {
    let (count, of, largest) = differing(pass.meaning, before, after);
    let expected = FAULTS
        .iter()
        .any(|(name, model)| *name == pass.name && path.to_string_lossy().contains(model));
    // An error that the pass reports is what it says it does.
    let allowed = pass.meaning == Meaning::Approximated && reported;
    if expected != (count > 0 && !allowed) {
        problems.push(format!(
            "{} ({:?}): {count} of {of} values differ, by at most {largest:.1e}",
            pass.name, pass.meaning
        ));
    }
}

/// What is proved of the steps from codes to a target's arithmetic holds on the samples.
fn lowered_holds(path: &Path) -> Result<(), String> {
    let Some((graph, samples)) = opened(path)? else { return Ok(()) };
    let ([_], context) = (graph.inputs().as_slice(), &mut Context::default()) else {
        return Ok(());
    };
    let Ok(tensor) = canonicalise(graph, context) else { return Ok(()) };
    let takes_reals = takes_reals(&tensor);
    let Ok(quantised) = quantised(tensor, context) else { return Ok(()) };
    let Ok(conversion) = graded::convert(&quantised) else { return Ok(()) };
    let mut networks = vec![("graded".to_owned(), conversion.network.clone())];
    for coding in Coding::ALL {
        if let Ok(network) = codings::apply(coding, &codings::Options::default(), &conversion) {
            networks.push((format!("code {coding}"), network));
        }
    }
    let canonical = verify(conversion.network.clone()).map_err(|e| format!("{e:?}"))?;
    for target in TARGETS {
        if let Ok(legalised) = target.legalise(&canonical, &TargetOptions::default()) {
            networks.push((format!("legalise {}", target.name()), legalised.network.into_inner()));
        }
    }
    let shape = quantised[quantised.inputs()[0]].ty.shape.iter().skip(1).copied();
    let shape: Vec<usize> = std::iter::once(samples.len()).chain(shape).collect();
    let values: Vec<f32> = samples.iter().flatten().flat_map(Value::to_f32).collect();
    let whole: Vec<i64> =
        samples.iter().flatten().flat_map(|v| v.as_i64().unwrap_or(&[]).to_vec()).collect();
    let array = match takes_reals {
        true => NpyArray::from_f32(shape, &values),
        false => NpyArray::from_i64(shape, &whole),
    };
    let data = Dataset::new(&array.map_err(|e| e.to_string())?, None, None);
    let data = data.map_err(|(reason, _)| reason)?;
    let mut problems = Vec::new();
    for (step, network) in networks {
        let certificate = certify_against(Semantics::Ort, &quantised, &conversion, &network);
        if certificate.verdict != Verdict::Proved {
            continue;
        }
        let runner = Runner::spiking(&network, Some(&quantised), takes_reals, Scaling::AS_IS);
        let answers = runner.and_then(|r| r.evaluate(&data, path)).map_err(|e| e.to_string())?;
        if let Some(n) = answers.mismatches_vs_reference.filter(|n| *n > 0) {
            problems.push(format!("{step} is proved, and {n} codes differ"));
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(problems.join("\n")) }
}
