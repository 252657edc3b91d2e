//! Metadata of a NIR file: what NIR has no field for, for readers that know it.

use snnc_ir::{Population, SpikingOp};

use super::write::Metadata;
use crate::format::hdf5::Hdf5Value;
use crate::format::npy::NpyArray;

/// How an encoder presents its input.
pub(super) fn presentation(op: Option<&SpikingOp>) -> String {
    match op {
        Some(SpikingOp::Encoder(e)) => match serde_json::to_value(e.presentation) {
            Ok(serde_json::Value::String(name)) => name,
            Ok(other) => other.to_string(),
            Err(_) => String::new(),
        },
        _ => String::new(),
    }
}

/// The coding of a population, and the bits and range of its payloads.
pub(super) fn payload(p: &Population) -> Metadata {
    let mut metadata = text("coding", p.coding.name());
    metadata.extend(number("payload_bits", p.payload_bits().into()));
    metadata.extend(number("payload_minimum", p.minimum));
    metadata.extend(number("payload_maximum", p.maximum));
    metadata
}

/// A word.
pub(super) fn text(key: &str, value: &str) -> Metadata {
    Metadata::from([(key.to_owned(), Hdf5Value::utf8(value))])
}

/// A whole number.
pub(super) fn number(key: &str, value: i64) -> Metadata {
    let array = NpyArray::from_i64(Vec::new(), &[value]);
    array.map(|a| Metadata::from([(key.to_owned(), a.into())])).unwrap_or_default()
}

/// Whole numbers, one for each channel or neuron.
pub(super) fn array(key: &str, values: &[i64]) -> Metadata {
    let array = NpyArray::from_i64(vec![values.len()], values);
    array.map(|a| Metadata::from([(key.to_owned(), a.into())])).unwrap_or_default()
}
