//! ONNX's backend test cases: a model, inputs, and the outputs that it must give.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::Path;

use onnx_protobuf::{Bytes, DataType, Message, ModelProto, TensorProto};
use snnc_ir::{DType, Tensor};
use snnc_runtime::tensor::{Program, Value};

/// One case.
#[derive(Clone, Debug, Default)]
pub struct Case {
    /// Bytes of the model.
    pub model: Bytes,
    /// Data sets: tensors of inputs and outputs, each as bytes, by data set and position.
    pub sets: BTreeMap<String, Set>,
}

/// Inputs and the outputs that belong to them, by position.
#[derive(Clone, Debug, Default)]
pub struct Set {
    /// Bytes of the inputs.
    pub inputs: BTreeMap<usize, Bytes>,
    /// Bytes of the outputs.
    pub outputs: BTreeMap<usize, Bytes>,
}

/// Which operands of a case are the model's inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operands {
    /// All, as the case says.
    Given,
    /// The first; the others become constants, as scales, bounds and shapes of a network are.
    Bound,
}

/// The cases of a folder of `NAME/model.onnx` and `NAME/test_data_set_K/{input,output}_J.pb`.
///
/// # Errors
/// When the folder cannot be read.
pub fn from_folder(folder: &Path) -> io::Result<BTreeMap<String, Case>> {
    let mut cases = BTreeMap::new();
    let mut pending = vec![folder.to_path_buf()];
    while let Some(folder) = pending.pop() {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                pending.push(path);
            } else {
                add(&mut cases, &path, || std::fs::read(&path).map(Bytes::from))?;
            }
        }
    }
    Ok(cases)
}

/// The cases of a `.tar.gz` of such a folder.
///
/// # Errors
/// When the archive cannot be read.
pub fn from_archive(path: &Path) -> io::Result<BTreeMap<String, Case>> {
    let mut cases = BTreeMap::new();
    let file = flate2::read::GzDecoder::new(std::fs::File::open(path)?);
    for entry in tar::Archive::new(file).entries()? {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        add(&mut cases, &path, || {
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes)?;
            Ok(bytes.into())
        })?;
    }
    Ok(cases)
}

/// Adds a file to the case that its path names; other files are left out.
fn add(
    cases: &mut BTreeMap<String, Case>,
    path: &Path,
    read: impl FnOnce() -> io::Result<Bytes>,
) -> io::Result<()> {
    let parts: Vec<&str> = path.iter().filter_map(|p| p.to_str()).collect();
    match parts.as_slice() {
        [.., case, "model.onnx"] => {
            cases.entry((*case).to_owned()).or_default().model = read()?;
        }
        [.., case, set, file] if set.starts_with("test_data_set_") => {
            let Some((kind, index)) = file.strip_suffix(".pb").and_then(|f| f.rsplit_once('_'))
            else {
                return Ok(());
            };
            let Ok(index) = index.parse() else { return Ok(()) };
            let case = cases.entry((*case).to_owned()).or_default();
            let set = case.sets.entry((*set).to_owned()).or_default();
            match kind {
                "input" => set.inputs.insert(index, read()?),
                "output" => set.outputs.insert(index, read()?),
                _ => None,
            };
        }
        _ => {}
    }
    Ok(())
}

impl Case {
    /// Imports the model, runs it on every data set and compares.
    ///
    /// # Errors
    /// What went wrong, or where a value differs.
    pub fn run(&self, name: &str, operands: Operands) -> Result<(), String> {
        if self.sets.is_empty() {
            return Err("the case has no data".into());
        }
        self.sets.iter().try_for_each(|(set, data)| {
            run_set(&self.model, name, data, operands).map_err(|e| format!("{set}: {e}"))
        })
    }
}

fn run_set(model: &Bytes, name: &str, set: &Set, operands: Operands) -> Result<(), String> {
    let mut proto = ModelProto::decode(model.clone()).map_err(|e| e.to_string())?;
    let graph = proto.graph.as_mut().ok_or("the model has no graph")?;
    let mut inputs = BTreeMap::new();
    for (position, bytes) in &set.inputs {
        let mut tensor = TensorProto::decode(bytes.clone()).map_err(|e| e.to_string())?;
        let input = graph.input.get(*position).ok_or("more data than inputs")?.name.clone();
        if operands == Operands::Bound && *position > 0 {
            tensor.name = input;
            graph.initializer.push(tensor);
        } else {
            inputs.insert(input, Value::from(&decode(&tensor)?));
        }
    }
    let expected = set
        .outputs
        .values()
        .map(|bytes| decode(&TensorProto::decode(bytes.clone()).map_err(|e| e.to_string())?));
    let expected = expected.collect::<Result<Vec<_>, String>>()?;

    let bytes = Bytes::from(proto.encode_to_vec());
    let imported = snnc::import::from_bytes(bytes, name, None, &Default::default());
    let graph = imported.map_err(|e| e.to_string())?.graph;
    let given = graph.inputs().into_iter().map(|id| {
        let name = &graph[id].name;
        inputs.get(name).cloned().ok_or_else(|| format!("there is no data for input `{name}`"))
    });
    let given = given.collect::<Result<Vec<_>, String>>()?;
    let program = Program::new(&graph).map_err(|e| e.to_string())?;
    let outcome = program.run(&given).map_err(|e| e.to_string())?;
    for (id, ((name, found), expected)) in
        graph.outputs().into_iter().zip(outcome.outputs.iter().zip(&expected))
    {
        let dtype = graph[id].ty.dtype;
        if dtype != expected.dtype() {
            return Err(format!("`{name}` is {dtype} instead of {}", expected.dtype()));
        }
        compare(found, &Value::from(expected)).map_err(|e| format!("`{name}`: {e}"))?;
    }
    if outcome.outputs.len() == expected.len() {
        Ok(())
    } else {
        Err(format!("{} outputs instead of {}", outcome.outputs.len(), expected.len()))
    }
}

/// ONNX's own tolerances for its test cases.
const RELATIVE: f32 = 1e-3;
const ABSOLUTE: f32 = 1e-7;

/// Compares as ONNX's test runner does: integers exactly, reals within a tolerance.
fn compare(found: &Value, expected: &Value) -> Result<(), String> {
    if found.shape() != expected.shape() {
        return Err(format!("shape {:?} instead of {:?}", found.shape(), expected.shape()));
    }
    let differs = |i: usize, found: &dyn std::fmt::Display, expected: &dyn std::fmt::Display| {
        Err(format!("element {i} is {found} instead of {expected}"))
    };
    match (found.as_i64(), expected.as_i64(), found.as_f32(), expected.as_f32()) {
        (Some(a), Some(b), ..) => match a.iter().zip(b).position(|(a, b)| a != b) {
            Some(i) => differs(i, &a[i], &b[i]),
            None => Ok(()),
        },
        (.., Some(a), Some(b)) => {
            let close = |(a, b): (&f32, &f32)| {
                a == b || a.is_nan() && b.is_nan() || (a - b).abs() <= ABSOLUTE + RELATIVE * b.abs()
            };
            match a.iter().zip(b).position(|pair| !close(pair)) {
                Some(i) => differs(i, &a[i], &b[i]),
                None => Ok(()),
            }
        }
        _ => Err("integers instead of reals, or the reverse".into()),
    }
}

/// The tensor of a message, independently of the import.
fn decode(proto: &TensorProto) -> Result<Tensor, String> {
    let kind = proto.data_type().ok_or("an unknown element type")?;
    let dtype = dtype(kind).ok_or_else(|| format!("elements of type {}", kind.name()))?;
    let shape: Vec<usize> = proto.dims.iter().map(|&d| d as usize).collect();
    let bytes =
        if proto.raw_data.is_empty() { listed(proto, dtype) } else { proto.raw_data.clone() };
    Tensor::new(dtype, shape, bytes).map_err(|e| e.to_string())
}

/// Elements from the typed lists, as bytes.
fn listed(proto: &TensorProto, dtype: DType) -> Bytes {
    let width = dtype.bits().div_ceil(8);
    let narrow = |bytes: [u8; 8]| bytes.into_iter().take(width).collect::<Vec<_>>();
    match dtype {
        DType::F32 => proto.float_data.iter().flat_map(|x| x.to_le_bytes()).collect(),
        DType::F64 => proto.double_data.iter().flat_map(|x| x.to_le_bytes()).collect(),
        DType::I64 => proto.int64_data.iter().flat_map(|x| x.to_le_bytes()).collect(),
        DType::U32 | DType::U64 => {
            proto.uint64_data.iter().flat_map(|x| narrow(x.to_le_bytes())).collect()
        }
        // Types below a byte stay packed: each entry is one byte of several elements.
        _ => proto.int32_data.iter().flat_map(|x| narrow(i64::from(*x).to_le_bytes())).collect(),
    }
}

fn dtype(kind: DataType) -> Option<DType> {
    Some(match kind {
        DataType::Float => DType::F32,
        DataType::Uint8 => DType::U8,
        DataType::Int8 => DType::I8,
        DataType::Uint16 => DType::U16,
        DataType::Int16 => DType::I16,
        DataType::Int32 => DType::I32,
        DataType::Int64 => DType::I64,
        DataType::Bool => DType::Bool,
        DataType::Float16 => DType::F16,
        DataType::Double => DType::F64,
        DataType::Uint32 => DType::U32,
        DataType::Uint64 => DType::U64,
        DataType::Bfloat16 => DType::Bf16,
        DataType::Uint4 => DType::U4,
        DataType::Int4 => DType::I4,
        DataType::Uint2 => DType::U2,
        DataType::Int2 => DType::I2,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_found() {
        let real = |x: f32| Value::from_f32(&[1], vec![x]).unwrap();
        assert!(compare(&real(1.0009), &real(1.0)).is_ok());
        assert!(compare(&real(1.0011), &real(1.0)).is_err());
        assert!(compare(&real(2e-7), &real(0.0)).is_err());
        assert!(compare(&real(f32::NAN), &real(f32::NAN)).is_ok());
        assert!(compare(&real(f32::INFINITY), &real(f32::INFINITY)).is_ok());
        let code = |x| Value::from_i64(&[1], vec![x]).unwrap();
        assert!(compare(&code(1), &code(2)).is_err() && compare(&code(1), &real(1.0)).is_err());
        assert!(compare(&code(1), &Value::from_i64(&[], vec![1]).unwrap()).is_err());
    }
}
