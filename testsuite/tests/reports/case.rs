//! One case: a model, samples, and what ONNX Runtime or the framework answers.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use onnx_protobuf::{Message, ModelProto};
use snnc::artefact;
use snnc::data::{Dataset, Scaling};
use snnc::evaluate::Runner;
use snnc_backends::format::npy::NpyArray;
use snnc_backends::format::npz::Npz;
use snnc_testsuite::command::{Outcome, snnc};

/// Values count as equal up to so much of the largest expected magnitude.
const TOLERANCE: f64 = 1e-5;

/// What a model is, and so what its artefacts may be held to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Has quantisers on activations: artefacts give the same codes.
    Quantised,
    /// Has none: artefacts give what the network quantised by calibration gives.
    Float,
    /// Has neurons: artefacts give the same spikes.
    Spiking,
}

/// A shape and its values.
struct Array {
    shape: Vec<usize>,
    values: Vec<f64>,
}

/// A case in its folder.
pub struct Case {
    pub name: String,
    folder: PathBuf,
    kind: Kind,
    /// Names of the model's outputs.
    outputs: Vec<String>,
    expected: Vec<Array>,
    /// Smallest and largest value of each output over all ways in which near ties may fall.
    ties: Option<Vec<[Array; 2]>>,
}

fn arrays(npz: &Npz, prefix: &str) -> Result<Vec<Array>, String> {
    let mut found = Vec::new();
    while let Some(array) =
        npz.get(&format!("{prefix}{}", found.len())).map_err(|e| e.to_string())?
    {
        let values = array.to_f32().map_err(|e| e.to_string())?;
        let values = values.into_iter().map(f64::from).collect();
        found.push(Array { shape: array.shape, values });
    }
    Ok(found)
}

fn read(path: &Path) -> Result<Npz, String> {
    let bytes = std::fs::read(path).map_err(|e| format!("`{}`: {e}", path.display()))?;
    Npz::open(bytes).map_err(|e| format!("`{}`: {e}", path.display()))
}

fn kind(name: &str, model: &ModelProto) -> Kind {
    let quantises =
        |op: &str| op.starts_with("Q") || ["BipolarQuant", "MultiThreshold", "Trunc"].contains(&op);
    let nodes = model.graph.iter().flat_map(|g| &g.node);
    let functions = model.functions.iter().flat_map(|f| &f.node);
    match () {
        () if name.starts_with("spiking-") => Kind::Spiking,
        () if nodes.chain(functions).any(|n| quantises(&n.op_type)) => Kind::Quantised,
        () => Kind::Float,
    }
}

/// How an answer differs from what is expected.
struct Distance {
    of: usize,
    differing: usize,
    /// Of those, how many lie where a near tie may bring them.
    ties: usize,
    largest: f64,
    magnitude: f64,
    /// Shape of the first output that has the right number of values in another shape.
    shape: Option<Vec<usize>>,
}

impl Distance {
    fn unexplained(&self) -> usize {
        self.differing - self.ties
    }

    /// Outcome, and the figures behind it.
    fn row(&self) -> Row {
        let mut row = Row::default();
        match (self.differing, self.unexplained()) {
            (0, _) => row.add("outcome", "exact"),
            (n, 0) => row.add("outcome", &format!("{n} ties")),
            (n, _) => {
                row.add("outcome", "approximate");
                let ties =
                    if self.ties > 0 { format!(" ({} ties)", self.ties) } else { String::new() };
                row.add("differing", &format!("{n}{ties} of {}", self.of));
                row.add("largest", &format!("{:.1e} of {:.1e}", self.largest, self.magnitude));
            }
        }
        if let Some(shape) = &self.shape {
            row.add("shape", &format!("{shape:?}"));
        }
        row
    }
}

/// A row of the table, in YAML's flow form.
#[derive(Default)]
pub struct Row {
    fields: Vec<String>,
    /// What refused to compile the case, if that is the row.
    pub refused: Option<Outcome>,
}

impl Row {
    pub fn add(&mut self, key: &str, value: &str) {
        let plain = |c: char| c.is_ascii_alphanumeric() || " ()+-.".contains(c);
        let list = value.starts_with('[') && value.ends_with(']');
        let value = match !value.is_empty() && (list || value.chars().all(plain)) {
            true => value.to_owned(),
            false => serde_json::to_string(value).expect("text is JSON"),
        };
        self.fields.push(format!("{key}: {value}"));
    }

    fn refused(what: &str, outcome: &Outcome, places: [&Path; 2]) -> Row {
        let mut row = Row::default();
        row.add("outcome", what);
        row.add("exit", &outcome.code.to_string());
        let mut reason = outcome.reason();
        for place in places {
            reason = reason.replace(&format!("{}/", place.display()), "");
        }
        row.add("reason", &reason);
        match outcome.code {
            5 => row.add("WRONG", "a fault of snnc"),
            124 => row.add("WRONG", "hangs"),
            101.. => row.add("WRONG", "panics"),
            _ => {}
        }
        row
    }

    fn is(&self, outcome: &str) -> bool {
        self.fields.first().is_some_and(|f| f.strip_prefix("outcome: ") == Some(outcome))
    }

    pub fn to_text(&self) -> String {
        format!("{{{}}}", self.fields.join(", "))
    }
}

/// The verdict of an artefact's certificate, and how many populations are proved.
fn certificate(artefact: &Path) -> Option<(String, String)> {
    let text = std::fs::read(artefact.join("certificate.json")).ok()?;
    let json: serde_json::Value = serde_json::from_slice(&text).ok()?;
    let populations = json["populations"].as_array()?;
    let proved = populations.iter().filter(|p| p["verdict"] == "proved").count();
    Some((json["verdict"].as_str()?.to_owned(), format!("{proved} of {}", populations.len())))
}

/// Whether calibration has quantised the model of an artefact, all of it or what its own quantisers left.
fn is_calibrated(artefact: &Path) -> bool {
    let manifest = std::fs::read_to_string(artefact.join("manifest.yaml")).unwrap_or_default();
    manifest.lines().any(|line| line.trim_start().starts_with("quantise.payload-bits:"))
}

impl Case {
    pub fn open(folder: &Path) -> Result<Case, String> {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let bytes = std::fs::read(folder.join("model.onnx")).map_err(|e| e.to_string())?;
        let model = ModelProto::decode(bytes.as_slice()).map_err(|e| e.to_string())?;
        let outputs = model.graph.iter().flat_map(|g| &g.output).map(|o| o.name.clone()).collect();
        let expected = arrays(&read(&folder.join("expected.npz"))?, "o")?;
        let path = folder.join("ties.npz");
        let ties = match path.exists() {
            true => {
                let npz = read(&path)?;
                let bounds = arrays(&npz, "low")?.into_iter().zip(arrays(&npz, "high")?);
                Some(bounds.map(|(low, high)| [low, high]).collect())
            }
            false => None,
        };
        let kind = kind(&name, &model);
        Ok(Case { name, folder: folder.to_owned(), kind, outputs, expected, ties })
    }

    fn data(&self) -> String {
        self.folder.join("data.npz").display().to_string()
    }

    fn model(&self) -> String {
        self.folder.join("model.onnx").display().to_string()
    }

    /// Runs a model or an artefact on the samples.
    fn answer(&self, network: &str, scratch: &Path) -> Result<Npz, Row> {
        let output = scratch.join("answer.npz").display().to_string();
        let run = snnc(&["run", network, "--input", &self.data(), "-o", &output]);
        if run.code != 0 {
            return Err(Row::refused("not run", &run, [&self.folder, scratch]));
        }
        read(Path::new(&output)).map_err(|e| {
            let mut row = Row::default();
            row.add("outcome", "no answer");
            row.add("reason", &e);
            row
        })
    }

    /// How an answer differs from what is expected.
    fn distance(&self, answer: &Npz) -> Result<Distance, String> {
        let mut all =
            Distance { of: 0, differing: 0, ties: 0, largest: 0.0, magnitude: 0.0, shape: None };
        for (i, (expected, name)) in self.expected.iter().zip(&self.outputs).enumerate() {
            // Of a model of one timestep that is run for several, the first output is also there as the total.
            let values = expected.values.len();
            let whole = |a: &NpyArray| a.shape.iter().product::<usize>() == values;
            let named = answer.get(name).map_err(|e| e.to_string())?;
            let found = match named {
                Some(named) if whole(&named) || i > 0 => Some(named),
                named => answer.get("output").map_err(|e| e.to_string())?.or(named),
            };
            let Some(found) = found else { return Err(format!("there is no output {name}")) };
            if found.shape.iter().product::<usize>() != expected.values.len() {
                return Err(format!("shape {:?} instead of {:?}", found.shape, expected.shape));
            }
            if found.shape != expected.shape {
                all.shape.get_or_insert(found.shape.clone());
            }
            let values = found.to_f32().map_err(|e| e.to_string())?;
            let bounds = self.ties.as_ref().and_then(|t| t.get(i));
            all.add(expected, &values, bounds);
        }
        Ok(all)
    }

    fn judged(&self, answer: &Npz) -> (Row, bool) {
        match self.distance(answer) {
            Ok(distance) => (distance.row(), distance.unexplained() > 0),
            Err(reason) => {
                let mut row = Row::default();
                row.add("outcome", "other outputs");
                row.add("reason", &reason);
                (row, true)
            }
        }
    }

    /// `snnc run MODEL` must answer as ONNX Runtime or the framework does.
    fn run_model(&self, scratch: &Path) -> Row {
        let answer = match self.answer(&self.model(), scratch) {
            Ok(answer) => answer,
            Err(row) => return row,
        };
        let (mut row, differs) = self.judged(&answer);
        if differs {
            row.add("WRONG", "run differs");
        }
        row
    }

    /// `snnc compile MODEL --target TARGET`, then `snnc run` of the artefact.
    fn compile(&self, target: &str, scratch: &Path) -> Row {
        let out = scratch.join("out").display().to_string();
        let (model, data) = (self.model(), self.data());
        let compile = snnc(&["compile", &model, "--target", target, "--data", &data, "-o", &out]);
        if compile.code != 0 {
            let row = Row::refused("refused", &compile, [&self.folder, scratch]);
            return Row { refused: Some(compile), ..row };
        }
        let artefact = scratch.join("out").join(target);
        let certificate = certificate(&artefact);
        let answer = self.answer(&artefact.display().to_string(), scratch);
        let (mut row, differs) = match &answer {
            Ok(answer) => self.judged(answer),
            Err(_) => (Row::default(), false),
        };
        let mut wrong = match (&answer, self.kind) {
            (Err(refused), _) => {
                row.fields.extend(refused.fields.iter().cloned());
                Some("compiled but not run")
            }
            _ if row.is("other outputs") => Some("compiled to other outputs"),
            (_, Kind::Spiking) if differs && target == "reference" => Some("other spikes"),
            _ => None,
        };
        if let Some((verdict, proved)) = &certificate {
            row.add("verdict", verdict);
            row.add("proved", proved);
            let refuted = match &answer {
                Ok(answer) if self.kind == Kind::Float || is_calibrated(&artefact) => {
                    self.differs_from_quantised(&artefact, answer)
                }
                _ => differs,
            };
            match verdict.as_str() {
                "proved" if refuted => wrong = Some("proved but differs"),
                "failed" => wrong = Some("failed with exit 0"),
                _ => {}
            }
        }
        if let Some(wrong) = wrong {
            row.add("WRONG", wrong);
        }
        row
    }

    /// Whether an artefact answers other than the quantised network that it holds, which the tensor
    /// interpreter runs.
    fn differs_from_quantised(&self, artefact: &Path, answer: &Npz) -> bool {
        let compared = || -> Option<bool> {
            let source = artefact::open(artefact).ok()??.source?;
            let path = self.folder.join("data.npz");
            let data = Dataset::load(&path, None).ok()?;
            let answers = Runner::tensor(&source, Scaling::default()).ok()?.answers(&data, &path);
            let values: Vec<f64> =
                answers.ok()?.iter().flat_map(|a| &a.scores).map(|&v| f64::from(v)).collect();
            let found = answer.get("output").ok()??.to_f32().ok()?;
            let mut distance = Distance {
                of: 0,
                differing: 0,
                ties: 0,
                largest: 0.0,
                magnitude: 0.0,
                shape: None,
            };
            if found.len() != values.len() {
                return Some(true);
            }
            distance.add(&Array { shape: vec![values.len()], values }, &found, None);
            Some(distance.differing > 0)
        };
        compared().unwrap_or(false)
    }

    /// The row of `run MODEL` or of a target.
    pub fn row(&self, what: &str) -> Row {
        let scratch = tempfile::tempdir().expect("a folder for what is written");
        match what {
            "run" => self.run_model(scratch.path()),
            target => self.compile(target, scratch.path()),
        }
    }

    /// The outcome of compiling for a target in a coding.
    pub fn in_coding(&self, target: &str, coding: &str) -> Outcome {
        let scratch = tempfile::tempdir().expect("a folder for what is written");
        let out = scratch.path().join("out").display().to_string();
        let (model, data) = (self.model(), self.data());
        let mut line = vec!["compile", &model, "--target", target, "--data", &data, "-o", &out];
        line.extend(["--code", coding]);
        let plain = snnc(&line);
        let asks = |e: &String| e.starts_with("--timesteps");
        if !plain.errors.iter().any(asks) {
            return plain;
        }
        line.extend(["--timesteps", "16"]);
        snnc(&line)
    }
}

impl Distance {
    fn add(&mut self, expected: &Array, found: &[f32], ties: Option<&[Array; 2]>) {
        let magnitude = expected.values.iter().fold(0.0f64, |m, v| m.max(v.abs()));
        let allowed = TOLERANCE * magnitude.max(1e-9);
        self.of += expected.values.len();
        self.magnitude = self.magnitude.max(magnitude);
        for (i, (&wanted, &value)) in expected.values.iter().zip(found).enumerate() {
            let value = f64::from(value);
            let distance = (value - wanted).abs();
            if distance <= allowed || value.is_nan() && wanted.is_nan() {
                continue;
            }
            self.differing += 1;
            self.largest =
                if distance.is_nan() { f64::INFINITY } else { self.largest.max(distance) };
            let inside = |[low, high]: &[Array; 2]| {
                low.values.get(i).is_some_and(|&low| value >= low - allowed)
                    && high.values.get(i).is_some_and(|&high| value <= high + allowed)
            };
            self.ties += usize::from(ties.is_some_and(inside));
        }
    }
}

/// The folders of cases by name.
pub fn folders(root: &Path) -> BTreeMap<String, PathBuf> {
    let entries = std::fs::read_dir(root).expect("the cases are in the repository");
    let folders = entries.filter_map(|e| Some(e.ok()?.path())).filter(|p| p.is_dir());
    folders.map(|p| (p.file_name().unwrap_or_default().to_string_lossy().into_owned(), p)).collect()
}
