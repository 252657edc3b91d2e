//! What is written for whole models stays what it was: digests of the targets' files and numbers of
//! proved populations, for every target and coding.
//!
//! `cases/digests.yaml` is the state from which changes are counted, and is not rewritten.
//! `cases/digests-changed.yaml` names every row that has changed since, with the reason:
//! `BLESS=1 BLESS_REASON="what changed"` writes it. Where fewer populations are proved than before the
//! reason must begin with `witness` and name the input that shows the old verdict to be wrong.
//!
//! `cases/forms.yaml` lists beside them which layers of what is compiled no kernel runs, and why; `BLESS=1` writes it.
//!
//! Models of the repository are always compiled, those of `../shared` with `SNNC_LONG=1`.
//! `SNNC=BINARY` tests that program, `SNNC_DIGESTS_BASE=FILE` writes all rows to FILE.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use libtest_mimic::{Arguments, Trial};
use snnc::artefact::sha256_hex;
use snnc::forms::forms;
use snnc_backends::format::npy::NpyArray;
use snnc_backends::format::npz::{Compression, Npz, NpzWriter};
use snnc_ir::Stage;
use snnc_testsuite::command::snnc;
use snnc_testsuite::table::{Rows, Table};
use snnc_testsuite::{digits, repository};

/// Models beside the repository, and for those without quantisers the samples to calibrate by.
const SHARED: &[(&str, &str)] = &[
    ("cifar/cifar10_resnet8_nchw_float", "cifar10-calibration-200"),
    ("cifar/cifar10_resnet8_w4a4_qat_qcdq", ""),
    ("cifar/cifar10_resnet8_w8a8_ptq_qcdq", ""),
    ("imagenet/efficientnet_lite0_int8_qdq_ort", ""),
    ("mlperf-tiny/ad01_int8", ""),
    ("mlperf-tiny/kws_ref_model", ""),
    ("mlperf-tiny/kws_ref_model_float32", "speech-commands-mfcc-1000"),
    ("mlperf-tiny/pretrainedResnet_quant", ""),
    ("qonnx/TFC_1W1A", ""),
    ("qonnx/TFC_2W2A", ""),
    ("qonnx/TFC_2W2A_lowered", ""),
    ("qonnx/qkeras_jettagging", ""),
    ("qonnx/residual_block_clean", ""),
    ("snn-toolbox/mnist_lenet5_9914", "mnist-calibration-2000"),
    ("trained/fmnist_lenet_bn_float", "fashion-mnist-calibration-2000"),
    ("trained/fmnist_lenet_bn_float_torchexport", "fashion-mnist-calibration-2000"),
    ("trained/fmnist_lenet_folded_float", "fashion-mnist-calibration-2000"),
    ("trained/fmnist_lenet_int8_qdq_ort", ""),
    ("trained/fmnist_lenet_int8_qoperator_ort", ""),
    ("trained/fmnist_lenet_u8s8_qdq_ort", ""),
    ("trained/fmnist_lenet_w2a2_qcdq", ""),
    ("trained/fmnist_lenet_w3a3_qcdq", ""),
    ("trained/fmnist_lenet_w4a4_qcdq", ""),
    ("trained/fmnist_lenet_w4a4_qdq_int4", ""),
    ("trained/fmnist_resnet8_bn_float", "fashion-mnist-calibration-2000"),
    ("trained/fmnist_resnet8_int8_qdq_ort", ""),
    ("trained/fmnist_resnet8_u8s8_qdq_ort", ""),
    ("trained/fmnist_resnet8_w4a4_qcdq", ""),
    ("trained/mnist_mlp_float", "mnist-calibration-2000"),
    ("trained/mnist_mlp_w4a4_qcdq", ""),
    ("trained/mnist_mlp_w4a4_qdq_int4", ""),
];

/// Models of the repository, in `examples/digits`.
const OWN: &[(&str, &str)] = &[
    ("digits_cnn_bn_float", "digits-train-1437"),
    ("digits_cnn_w2a2_qcdq", ""),
    ("digits_cnn_w4a4_qcdq", ""),
    ("digits_cnn_w4a4_qdq_int4", ""),
    ("digits_cnn_w8a8_qdq", ""),
    ("digits_mlp_w4a4_qcdq", ""),
];

/// Samples by which models without quantisers are calibrated.
const SAMPLES: usize = 64;

/// Models of more bytes are compiled for `reference` alone, graded.
const LARGE: u64 = 5_000_000;

/// What every artefact has besides its target's files.
const COMMON: [&str; 3] = ["manifest.yaml", "certificate.json", "source.snn"];

/// The folder of the sources that run an image.
const CORE: &str = "rtl";

struct Tables {
    base: Table,
    changed: Table,
    forms: Table,
    found: Mutex<Rows>,
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let cases = repository().join("testsuite/cases");
    let open = |name: &str| Table::open(&cases.join(name));
    let opened = (open("digests.yaml"), open("digests-changed.yaml"), open("forms.yaml"));
    let tables = match opened {
        (Ok(base), Ok(changed), Ok(forms)) => {
            Arc::new(Tables { base, changed, forms, found: Mutex::default() })
        }
        (Err(e), ..) | (_, Err(e), _) | (.., Err(e)) => {
            let trial = Trial::test("tables", move || Err(e.into()));
            return libtest_mimic::run(&arguments, vec![trial]).exit_code();
        }
    };
    let long = std::env::var_os("SNNC_LONG").is_some();
    let shared = std::env::var_os("SNNC_SHARED")
        .map_or_else(|| repository().join("../shared"), PathBuf::from);
    let (mut trials, mut names) = (Vec::new(), Vec::new());
    let own = OWN.iter().map(|(model, data)| {
        (*model, digits(&format!("{model}.onnx")), digits(&format!("{data}.npz")), data, true)
    });
    let beside = SHARED.iter().map(|(model, data)| {
        let file = shared.join("models").join(format!("{model}.onnx"));
        let samples = shared.join("data").join(format!("{data}.npz"));
        let runs = long && file.is_file();
        (model.rsplit('/').next().unwrap_or(model), file, samples, data, runs)
    });
    for (name, file, samples, data, runs) in own.chain(beside) {
        names.push(name.to_owned());
        let samples = (!data.is_empty()).then_some(samples);
        let tables = Arc::clone(&tables);
        let trial = move || {
            let (rows, forms) = rows(name, &file, samples.as_deref())?;
            let outcomes = [judge(&tables, name, &rows), tables.forms.judge(name, forms)];
            let failed: Vec<String> = outcomes.into_iter().filter_map(Result::err).collect();
            if failed.is_empty() { Ok(()) } else { Err(failed.join("\n").into()) }
        };
        trials.push(Trial::test(name, trial).with_ignored_flag(!runs));
    }
    let exit = libtest_mimic::run(&arguments, trials).exit_code();
    if let Some(path) = std::env::var_os("SNNC_DIGESTS_BASE") {
        let found = tables.found.lock().expect("no test has panicked with it");
        let text: String = found.iter().map(|(k, r)| format!("{k}: {r}\n")).collect();
        return std::fs::write(path, text).map_or(ExitCode::FAILURE, |()| exit);
    }
    match tables.changed.finish(&names).and_then(|()| tables.forms.finish(&names)) {
        Ok(()) => exit,
        Err(e) => {
            let trial = Trial::test("tables", move || Err(e.into()));
            libtest_mimic::run(&arguments, vec![trial]).exit_code()
        }
    }
}

/// Targets and the codings that each carries.
fn targets() -> Result<Vec<(String, Vec<String>)>, String> {
    let outcome = snnc(&["targets", "--format", "json"]);
    let json: serde_json::Value =
        serde_json::from_str(&outcome.answer).map_err(|e| format!("targets: {e}"))?;
    let rows = json.as_array().or_else(|| json["targets"].as_array()).ok_or("no targets")?;
    let text = |v: &serde_json::Value| v.as_str().unwrap_or_default().to_owned();
    let row = |t: &serde_json::Value| {
        (text(&t["name"]), t["codings"].as_array().into_iter().flatten().map(text).collect())
    };
    Ok(rows.iter().map(row).collect())
}

/// The rows of one model, and those of what no kernel runs.
fn rows(name: &str, model: &Path, samples: Option<&Path>) -> Result<(Rows, Rows), String> {
    let scratch = tempfile::tempdir().map_err(|e| e.to_string())?;
    let calibration = scratch.path().join("calibration.npz");
    if let Some(samples) = samples {
        few(samples, &calibration).map_err(|e| format!("`{}`: {e}", samples.display()))?;
    }
    let large = std::fs::metadata(model).map_err(|e| e.to_string())?.len() > LARGE;
    let (mut rows, mut slow) = (Rows::new(), Rows::new());
    for (target, codings) in targets()? {
        for coding in codings {
            if large && (target != "reference" || coding != "graded") {
                continue;
            }
            let folder = scratch.path().join(format!("{target}-{coding}"));
            let model = model.display().to_string();
            let out = folder.display().to_string();
            let data = calibration.display().to_string();
            let mut arguments =
                vec!["compile", &model, "--target", &target, "--code", &coding, "-o", &out];
            if samples.is_some() {
                arguments.extend(["--calibration", &data]);
            }
            let outcome = snnc(&arguments);
            let row = match outcome.code {
                0 => {
                    let key = format!("{name}/{target}/{coding}");
                    slow.extend(layers(&folder.join(&target))?.map(|row| (key, row)));
                    compiled(&folder.join(&target))?
                }
                code => {
                    let reason = serde_json::to_string(&outcome.reason());
                    format!("exit: {code}, reason: {}", reason.map_err(|e| e.to_string())?)
                }
            };
            rows.insert(format!("{name}/{target}/{coding}"), format!("{{{row}}}"));
        }
    }
    Ok((rows, slow))
}

/// The layers of an artefact that no kernel runs, with the reasons; `None` if there are none.
fn layers(folder: &Path) -> Result<Option<String>, String> {
    let opened = snnc::artefact::open(folder).map_err(|e| e.to_string())?;
    let network = opened.ok_or("it is no artefact")?.network;
    if network.stage != Stage::Spiking {
        return Ok(None);
    }
    let mut slow: BTreeMap<(&str, &str), Vec<String>> = BTreeMap::new();
    for row in forms(&network)?.into_iter().filter(|row| !row.is_fast()) {
        slow.entry((row.form, row.reason)).or_default().push(row.name);
    }
    let row = |((form, reason), names): (&(&str, &str), &Vec<String>)| {
        format!("{form} ({reason}): {}", names.join(" "))
    };
    let all: Vec<String> = slow.iter().map(row).collect();
    Ok((!all.is_empty()).then(|| format!("\"{}\"", all.join("; "))))
}

/// The first samples of a file.
fn few(from: &Path, to: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let x = Npz::open(std::fs::read(from)?)?.get("x")?.ok_or("has no `x`")?;
    let count = x.shape[0].min(SAMPLES);
    let bytes = x.data.len() / x.shape[0] * count;
    let shape: Vec<usize> = std::iter::once(count).chain(x.shape[1..].iter().copied()).collect();
    let mut writer = NpzWriter::new(Compression::Stored);
    writer.add("x", &NpyArray::new(x.dtype, shape, x.data.slice(..bytes))?)?;
    Ok(std::fs::write(to, writer.finish()?)?)
}

/// The digest of the target's files, and how many populations have which verdict.
fn compiled(folder: &Path) -> Result<String, String> {
    let mut files = BTreeMap::new();
    let mut pending = vec![folder.to_path_buf()];
    while let Some(next) = pending.pop() {
        for entry in std::fs::read_dir(&next).map_err(|e| e.to_string())? {
            let path = entry.map_err(|e| e.to_string())?.path();
            if path.is_dir() {
                // The sources of a core say nothing of the model that its memories do not, and have
                // tests of their own.
                if path.file_name() != Some(CORE.as_ref()) {
                    pending.push(path);
                }
                continue;
            }
            let name = path.strip_prefix(folder).map_err(|e| e.to_string())?;
            let name = name.to_string_lossy().replace('\\', "/");
            if !COMMON.contains(&name.as_str()) {
                let content = std::fs::read(&path).map_err(|e| e.to_string())?;
                files.insert(name, sha256_hex(&content));
            }
        }
    }
    let all: String = files.iter().map(|(name, digest)| format!("{digest} {name}\n")).collect();
    let digest = sha256_hex(all.as_bytes());
    let certificate = std::fs::read(folder.join("certificate.json")).map_err(|e| e.to_string())?;
    let json: serde_json::Value =
        serde_json::from_slice(&certificate).map_err(|e| e.to_string())?;
    let verdicts = json["populations"].as_array().ok_or("the certificate has no populations")?;
    let mut row = format!("files: {}", &digest[..16]);
    for verdict in ["proved", "differs", "approximate", "failed"] {
        let n = verdicts.iter().filter(|p| p["verdict"] == verdict).count();
        if n > 0 {
            row += &format!(", {verdict}: {n}");
        }
    }
    Ok(row)
}

/// A row without its reason, and the reason.
fn reasoned(row: &str) -> (String, Option<&str>) {
    match row.split_once(", because: ") {
        Some((row, reason)) => (format!("{row}}}"), reason.strip_suffix('}')),
        None => (row.to_owned(), None),
    }
}

fn proved(row: &str) -> usize {
    let number = row.split("proved: ").nth(1).map(|r| r.split([',', '}']).next());
    number.flatten().and_then(|n| n.parse().ok()).unwrap_or(0)
}

fn judge(tables: &Tables, name: &str, found: &Rows) -> Result<(), String> {
    if let Ok(mut all) = tables.found.lock() {
        all.extend(found.clone());
    }
    if std::env::var_os("SNNC_DIGESTS_BASE").is_some() {
        return Ok(());
    }
    let given = std::env::var("BLESS_REASON").ok().filter(|r| !r.is_empty());
    let given = given.map(|r| serde_json::to_string(&r).expect("text is JSON"));
    let mut changed = Rows::new();
    for (key, row) in found {
        let base = tables.base.row(key);
        if base == Some(row) {
            continue;
        }
        let listed = tables.changed.row(key).map(reasoned);
        let known = listed.and_then(|(listed, why)| (listed == *row).then_some(why?.to_owned()));
        let Some(reason) = known.or_else(|| given.clone()) else {
            if Table::blessing() {
                return Err(format!("{key} has changed: give BLESS_REASON"));
            }
            changed.insert(key.clone(), row.clone());
            continue;
        };
        if proved(row) < base.map_or(0, proved) && !reason.starts_with("\"witness") {
            return Err(format!(
                "{key}: {} populations are proved, {} were; a reason `witness ..` must say which \
                 input refutes the old verdict",
                proved(row),
                base.map_or(0, proved)
            ));
        }
        let row = row.strip_suffix('}').unwrap_or(row);
        changed.insert(key.clone(), format!("{row}, because: {reason}}}"));
    }
    let gone = tables.base.keys().filter(|k| k.starts_with(&format!("{name}/")));
    let gone: Vec<&str> = gone.filter(|k| !found.contains_key(*k)).collect();
    if !gone.is_empty() {
        return Err(format!("are compiled no more: {gone:?}"));
    }
    tables.changed.judge(name, changed)
}
