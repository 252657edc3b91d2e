//! What a network answers to samples, as arrays.

use std::collections::BTreeMap;

use snnc_backends::format::npy::{NpyArray, NpyType};
use snnc_ir::{DType, Graph, NodeId, SpikingOp};
use snnc_runtime::tensor::Value;

use crate::Error;
use crate::data::Dataset;
use crate::evaluate::{Answer, Runner};

/// Arrays with their names.
pub type Arrays = Vec<(String, NpyArray)>;

/// An array that cannot be made is a fault of the compiler.
pub(crate) fn array_fault(e: impl std::fmt::Display) -> Error {
    Error::internal("answer", e)
}

/// An array of reals.
pub(crate) fn reals(shape: &[usize], values: impl Iterator<Item = f32>) -> Result<NpyArray, Error> {
    NpyArray::from_f32(shape.to_vec(), &values.collect::<Vec<_>>()).map_err(array_fault)
}

/// An array of integers.
pub(crate) fn integers(shape: &[usize], values: &[i64]) -> Result<NpyArray, Error> {
    NpyArray::from_i64(shape.to_vec(), values).map_err(array_fault)
}

/// Whether the first output has one score for each class, or is the class.
pub fn is_vector(outputs: &[Value]) -> bool {
    let Some(first) = outputs.first() else { return false };
    let extents = first.shape().iter().filter(|&&d| d != 1).count();
    extents == 1 || (extents == 0 && first.as_i64().is_some())
}

/// The model's outputs: the first as `output`, each under its name, and what was read out as `codes`
/// where no output has that name.
///
/// # Errors
/// When an output is not of the type that the network says, which is a fault of the compiler.
pub fn outputs(runner: &Runner, answers: &[Answer]) -> Result<Arrays, Error> {
    let mut arrays = Arrays::new();
    for (i, port) in runner.outputs().iter().enumerate() {
        let values: Vec<&Value> = answers.iter().filter_map(|a| a.outputs.get(i)).collect();
        let array = joined(&values, port.ty.dtype)?;
        if i == 0 {
            arrays.push(("output".into(), array.clone()));
        }
        if port.name != "output" {
            arrays.push((port.name.clone(), array));
        }
    }
    let codes: Vec<&Value> = answers.iter().filter_map(|a| a.codes.as_ref()).collect();
    if !codes.is_empty() && arrays.iter().all(|(name, _)| name != "codes") {
        arrays.push(("codes".into(), joined(&codes, DType::I64)?));
    }
    Ok(arrays)
}

/// The values of all samples along their first dimension, in elements of type `dtype`.
fn joined(values: &[&Value], dtype: DType) -> Result<NpyArray, Error> {
    let (kind, stored) = match dtype {
        DType::Bool => (NpyType::Bool, DType::Bool),
        DType::U2 | DType::U4 | DType::U8 => (NpyType::U8, DType::U8),
        DType::I2 | DType::I4 | DType::I8 => (NpyType::I8, DType::I8),
        DType::U16 => (NpyType::U16, dtype),
        DType::I16 => (NpyType::I16, dtype),
        DType::U32 => (NpyType::U32, dtype),
        DType::I32 => (NpyType::I32, dtype),
        DType::U64 => (NpyType::U64, dtype),
        DType::I64 => (NpyType::I64, dtype),
        DType::F16 => (NpyType::F16, dtype),
        DType::Bf16 | DType::F32 => (NpyType::F32, DType::F32),
        DType::F64 => (NpyType::F64, dtype),
    };
    let shape = match values.first().and_then(|value| value.shape().split_first()) {
        Some((rows, rest)) => [&[rows * values.len()], rest].concat(),
        None => vec![values.len()],
    };
    let mut bytes = Vec::new();
    for value in values {
        bytes.extend_from_slice(value.to_tensor(stored).map_err(array_fault)?.bytes());
    }
    NpyArray::new(kind, shape, bytes).map_err(array_fault)
}

/// What one population sent, shaped (N, T, ..), and its spikes in each timestep.
pub struct Traced {
    /// The population's name.
    pub population: String,
    /// What it sent: integers, shaped (N, T, ..).
    pub sent: NpyArray,
    /// Spikes of all samples in each timestep.
    pub spikes: Vec<usize>,
}

/// Runs the samples of `data` one by one through the spiking network `graph` that `runner` runs, and keeps
/// what every encoder and population sent, shaped (N, T, ..).
///
/// # Errors
/// When a sample cannot be run, or samples take different numbers of timesteps.
pub fn traced(
    runner: &Runner,
    graph: &Graph,
    data: &Dataset,
) -> Result<(Vec<Answer>, Vec<Traced>), Error> {
    let mut sent: BTreeMap<NodeId, Vec<i64>> = BTreeMap::new();
    let mut answers = Vec::with_capacity(data.len());
    let traced = |&id: &NodeId| {
        matches!(graph[id].as_spiking(), Some(SpikingOp::Encoder(_) | SpikingOp::Population(_)))
    };
    let wanted: Vec<NodeId> = graph.ids().filter(traced).collect();
    for i in 0..data.len() {
        answers.push(runner.answer_showing(data, i, Some(&wanted), &mut |id, _, value| {
            sent.entry(id).or_default().extend_from_slice(value);
        })?);
    }
    let mut arrays = Vec::with_capacity(sent.len());
    for (id, values) in sent {
        let neurons = graph[id].ty.len().max(1);
        let steps = values.len() / neurons / data.len().max(1);
        let shape = [&[data.len(), steps], graph[id].ty.shape.as_slice()].concat();
        if values.len() != shape.iter().product::<usize>() {
            let reason = "samples took different numbers of timesteps";
            return Err(Error::usage("--trace", reason, "trace one sample with --limit 1"));
        }
        let mut spikes = vec![0; steps];
        for (i, row) in values.chunks(neurons).enumerate() {
            spikes[i % steps.max(1)] += row.iter().filter(|&&v| v != 0).count();
        }
        let population = graph[id].name.clone();
        arrays.push(Traced { population, sent: integers(&shape, &values)?, spikes });
    }
    Ok((answers, arrays))
}
