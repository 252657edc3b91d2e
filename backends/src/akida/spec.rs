//! The files: `model.spec.json` with `model.npz` as snnc writes them, and the vendor's own JSON.
//!
//! A layer object has the keys of the vendor's `Model.to_dict()`; a variable refers to its array in
//! the archive (`{"dtype", "shape", "blob"}`) instead of holding it (`{"dtype", "bitwidth",
//! "data"}`). How the model's input and output stand for reals is not part of the vendor's form and
//! lies in `encoding` and `decoding`.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use snnc_ir::{DType, Decoder, Encoder, Tensor};

use super::layer::{Layer, LayerType, Version, dtype_from_name, dtype_name};
use crate::format::npy::{NpyArray, NpyType};
use crate::format::npz::{Compression, Npz, NpzWriter};
use crate::{EmitError, File, FileSource, ReadError};

/// Name of the entry file.
pub const ENTRY: &str = "model.spec.json";
const ARCHIVE: &str = "model.npz";
const SCHEMA: &str = "snnc-akida";
const SCHEMA_VERSION: u32 = 1;

/// Input of a model: the encoder and its name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Encoding {
    /// Name of the node.
    pub name: String,
    /// Shape (C, X, Y), or (C) for a vector.
    pub shape: Vec<usize>,
    /// How reals become the codes of the input, less their smallest.
    #[serde(flatten)]
    pub encoder: Encoder,
}

/// Output of a model: the decoder and its name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decoding {
    /// Name of the node.
    pub name: String,
    /// Shape of the scores.
    pub shape: Vec<usize>,
    /// How raw values become scores.
    #[serde(flatten)]
    pub decoder: Decoder,
}

/// A model: its layers, and what its input and output mean.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    /// Name of the network.
    pub network: String,
    /// Generation.
    pub version: Version,
    /// Layers, each after those that feed it.
    pub layers: Vec<Layer>,
    /// Shapes (X, Y, C) of input and output of each layer; empty where they are not known.
    pub shapes: Vec<[[usize; 3]; 2]>,
    /// Meaning of the input; none in the vendor's form.
    pub encoding: Option<Encoding>,
    /// Meaning of the output; none in the vendor's form.
    pub decoding: Option<Decoding>,
}

#[derive(Deserialize)]
struct SpecFile {
    schema: Option<String>,
    schema_version: Option<u32>,
    #[serde(rename = "IP version")]
    version: Option<Version>,
    network: Option<String>,
    data: Option<String>,
    layers: Vec<LayerFile>,
    learning: Option<Value>,
    encoding: Option<Encoding>,
    decoding: Option<Decoding>,
}

#[derive(Deserialize)]
struct LayerFile {
    name: String,
    parameters: BTreeMap<String, Value>,
    #[serde(default)]
    variables: BTreeMap<String, VariableFile>,
    #[serde(default)]
    inbounds: Vec<String>,
}

#[derive(Deserialize)]
struct VariableFile {
    dtype: String,
    shape: Option<Vec<usize>>,
    blob: Option<String>,
    data: Option<Value>,
}

/// Only what tells a model from other JSON.
#[derive(Deserialize)]
struct Outline {
    #[serde(rename = "IP version")]
    version: Option<Version>,
    layers: Vec<OutlineLayer>,
}

#[derive(Deserialize)]
struct OutlineLayer {
    parameters: OutlineParameters,
}

#[derive(Deserialize)]
struct OutlineParameters {
    layer_type: LayerType,
}

/// The generation of the model in `content`, if it is one.
pub fn generation(content: &[u8]) -> Option<Version> {
    let outline: Outline = serde_json::from_slice(content).ok()?;
    let own = |l: &OutlineLayer| l.parameters.layer_type.form().version();
    if outline.layers.is_empty() {
        return None;
    }
    // `InputData` of more than 4 bits belongs to the second generation too, hence the last first.
    outline.version.or_else(|| outline.layers.iter().rev().find_map(own))
}

impl Spec {
    /// The two files.
    ///
    /// # Errors
    /// When a layer's name cannot be stored in the archive.
    pub fn to_files(&self) -> Result<Vec<File>, EmitError> {
        let container = |e: &dyn std::fmt::Display| EmitError::Container(e.to_string());
        let mut archive = NpzWriter::new(Compression::Stored);
        let mut layers = Vec::new();
        for (index, layer) in self.layers.iter().enumerate() {
            let mut variables = Map::new();
            for (name, tensor) in &layer.variables {
                let blob = format!("{}/{name}", layer.name);
                let array =
                    NpyArray::new(npy_type(tensor.dtype()), tensor.shape(), tensor.bytes().clone())
                        .map_err(|e| container(&e))?;
                archive.add(&blob, &array).map_err(|e| container(&e))?;
                let dtype = dtype_name(tensor.dtype());
                variables.insert(
                    name.clone(),
                    json!({"dtype": dtype, "shape": tensor.shape(), "blob": blob}),
                );
            }
            layers.push(self.layer_object(index, layer, variables));
        }
        let document = json!({
            "schema": SCHEMA,
            "schema_version": SCHEMA_VERSION,
            "network": self.network,
            "IP version": self.version.name(),
            "data": ARCHIVE,
            "layers": layers,
            "learning": null,
            "input_shape": self.shapes.first().map(|s| s[0]),
            "output_shape": self.shapes.last().map(|s| s[1]),
            "encoding": self.encoding,
            "decoding": self.decoding,
        });
        let mut text = serde_json::to_vec_pretty(&document).map_err(|e| container(&e))?;
        text.push(b'\n');
        let data = archive.finish().map_err(|e| container(&e))?;
        Ok(vec![File::new(ENTRY, text), File::new(ARCHIVE, data)])
    }

    fn layer_object(&self, index: usize, layer: &Layer, variables: Map<String, Value>) -> Value {
        let mut parameters: Map<String, Value> =
            layer.parameters.iter().map(|(k, v)| (k.clone(), json!(v))).collect();
        parameters.insert("layer_type".into(), json!(layer.kind));
        let mut object = Map::new();
        object.insert("name".into(), json!(layer.name));
        object.insert("parameters".into(), Value::Object(parameters));
        object.insert("variables".into(), Value::Object(variables));
        object.insert("inbounds".into(), json!(layer.inbounds));
        if let Some([input, output]) = self.shapes.get(index) {
            object.insert("input_shape".into(), json!(input));
            object.insert("output_shape".into(), json!(output));
        }
        Value::Object(object)
    }

    /// The model in an entry file and the archive that it refers to.
    ///
    /// # Errors
    /// When a file is missing or does not hold a model.
    pub fn from_files(files: &dyn FileSource, entry: &str) -> Result<Spec, ReadError> {
        let malformed = |place: &str, reason: String| ReadError::Malformed {
            file: entry.to_owned(),
            place: place.to_owned(),
            reason,
        };
        let content = files.read(entry)?;
        let file: SpecFile = serde_json::from_slice(&content).map_err(|e| {
            malformed(&format!("line {} column {}", e.line(), e.column()), e.to_string())
        })?;
        if file.schema.as_deref().is_some_and(|s| s != SCHEMA) {
            return Err(malformed("schema", format!("expected `{SCHEMA}`")));
        }
        if file.schema.is_some() && file.schema_version != Some(SCHEMA_VERSION) {
            return Err(malformed("schema_version", format!("this snnc reads {SCHEMA_VERSION}")));
        }
        if file.learning.is_some_and(|l| !l.is_null()) {
            return Err(ReadError::Unsupported {
                file: entry.into(),
                place: "learning".into(),
                what: "on-device learning".into(),
            });
        }
        let archive = match &file.data {
            None => None,
            Some(path) => Some((path.as_str(), open(files, path)?)),
        };
        let mut layers = Vec::new();
        let mut names = BTreeSet::new();
        for layer in file.layers {
            let place = format!("layer `{}`", layer.name);
            if !names.insert(layer.name.clone()) {
                return Err(malformed(&place, "the name is taken twice".into()));
            }
            layers.push(read_layer(layer, archive.as_ref()).map_err(|e| match e {
                LayerProblem::Reason(reason) => malformed(&place, reason),
                LayerProblem::Unsupported(what) => {
                    ReadError::Unsupported { file: entry.into(), place: place.clone(), what }
                }
            })?);
        }
        let own = layers.iter().rev().find_map(|l| l.kind.form().version());
        let version = file.version.or(own).unwrap_or(Version::V2);
        for layer in &layers {
            // InputData serves both generations.
            let fits = layer.kind.form().version().is_none_or(|v| v == version)
                || layer.kind == LayerType::InputData;
            if !fits {
                let reason = format!("{} is no layer of IP version {}", layer.kind, version.name());
                return Err(malformed(&format!("layer `{}`", layer.name), reason));
            }
        }
        Ok(Spec {
            network: file.network.unwrap_or_else(|| "akida".into()),
            version,
            layers,
            shapes: Vec::new(),
            encoding: file.encoding,
            decoding: file.decoding,
        })
    }
}

fn open(files: &dyn FileSource, path: &str) -> Result<Npz, ReadError> {
    Npz::open(files.read(path)?).map_err(|e| ReadError::Malformed {
        file: path.to_owned(),
        place: "archive".into(),
        reason: e.to_string(),
    })
}

enum LayerProblem {
    Reason(String),
    Unsupported(String),
}

impl From<String> for LayerProblem {
    fn from(reason: String) -> Self {
        LayerProblem::Reason(reason)
    }
}

fn read_layer(file: LayerFile, archive: Option<&(&str, Npz)>) -> Result<Layer, LayerProblem> {
    let mut parameters = file.parameters;
    let name = match parameters.remove("layer_type") {
        Some(Value::String(name)) => name,
        _ => return Err("`parameters` has no `layer_type`".to_owned().into()),
    };
    let kind: LayerType = serde_json::from_value(json!(name))
        .map_err(|_| LayerProblem::Unsupported(format!("the layer type {name}")))?;
    let form = kind.form();
    let mut layer = Layer { inbounds: file.inbounds, ..Layer::new(file.name, kind) };
    layer.parameters.clear();
    for (key, value) in parameters {
        if !form.parameters.contains_key(&key) {
            return Err(format!("{kind} has no parameter `{key}`").into());
        }
        let number = value.as_i64().or_else(|| value.as_bool().map(i64::from));
        let number = number.ok_or_else(|| format!("`{key}` is {value}, not an integer"))?;
        layer.parameters.insert(key, number);
    }
    for key in form.parameters.keys() {
        if !layer.parameters.contains_key(key) && !form.optional.contains(key) {
            return Err(format!("the parameter `{key}` is missing").into());
        }
    }
    for (key, variable) in file.variables {
        let Some(dtype) = form.variables.get(&key) else {
            return Err(format!("{kind} has no variable `{key}`").into());
        };
        if *dtype != variable.dtype {
            return Err(format!("`{key}` is {}, not {dtype}", variable.dtype).into());
        }
        let tensor = read_variable(&key, &variable, archive)?;
        layer.variables.insert(key, tensor);
    }
    Ok(layer)
}

fn read_variable(
    key: &str,
    variable: &VariableFile,
    archive: Option<&(&str, Npz)>,
) -> Result<Tensor, String> {
    let dtype = dtype_from_name(&variable.dtype)
        .ok_or_else(|| format!("`{key}`: the element type {} is unknown", variable.dtype))?;
    let tensor = match (&variable.data, &variable.blob) {
        (Some(data), _) => nested(key, dtype, data)?,
        (None, Some(blob)) => {
            let (path, archive) = archive
                .ok_or_else(|| format!("`{key}` refers to an archive, but `data` is missing"))?;
            let array = archive
                .get(blob)
                .map_err(|e| format!("`{key}`: `{path}`: {e}"))?
                .ok_or_else(|| format!("`{key}`: `{path}` has no array `{blob}`"))?;
            if array.dtype != npy_type(dtype) {
                return Err(format!("`{key}`: `{path}` holds `{blob}` as {}", array.dtype));
            }
            Tensor::new(dtype, array.shape, array.data).map_err(|e| format!("`{key}`: {e}"))?
        }
        (None, None) => return Err(format!("`{key}` has neither `data` nor `blob`")),
    };
    match &variable.shape {
        Some(shape) if shape != tensor.shape() => {
            Err(format!("`{key}` says shape {shape:?}, but its data has {:?}", tensor.shape()))
        }
        _ => Ok(tensor),
    }
}

/// An array written as nested lists.
fn nested(key: &str, dtype: DType, data: &Value) -> Result<Tensor, String> {
    let mut shape = Vec::new();
    let mut level = data;
    while let Value::Array(items) = level {
        shape.push(items.len());
        match items.first() {
            Some(first) => level = first,
            None => break,
        }
    }
    let mut leaves = Vec::new();
    collect(data, &shape, &mut leaves).ok_or_else(|| format!("`{key}` is not a regular array"))?;
    if dtype.is_float() {
        let values: Option<Vec<f32>> =
            leaves.iter().map(|v| v.as_f64().map(|x| x as f32)).collect();
        let values = values.ok_or_else(|| format!("`{key}` holds something else than numbers"))?;
        return Ok(Tensor::from_f32(&shape, &values));
    }
    let (low, high) = dtype.integer_range().unwrap_or((0, 0));
    let fits = |v: &&Value| v.as_i64().filter(|x| (low..=high).contains(x));
    let values: Option<Vec<i64>> = leaves.iter().map(fits).collect();
    let values = values.ok_or_else(|| format!("`{key}` holds a value outside {low}..{high}"))?;
    Ok(Tensor::from_i64(dtype, &shape, &values))
}

fn collect<'a>(value: &'a Value, shape: &[usize], leaves: &mut Vec<&'a Value>) -> Option<()> {
    match (value, shape.split_first()) {
        (Value::Array(items), Some((&n, inner))) if items.len() == n => {
            items.iter().try_for_each(|item| collect(item, inner, leaves))
        }
        (Value::Array(_), _) | (_, Some(_)) => None,
        (leaf, None) => {
            leaves.push(leaf);
            Some(())
        }
    }
}

fn npy_type(dtype: DType) -> NpyType {
    match dtype {
        DType::U8 => NpyType::U8,
        DType::I16 => NpyType::I16,
        DType::I32 => NpyType::I32,
        DType::F32 => NpyType::F32,
        _ => NpyType::I8,
    }
}
