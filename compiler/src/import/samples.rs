//! Dimensions that a model leaves open and samples say.

use onnx_protobuf::{DimensionValue, TensorShapeProto, TensorType};

use super::ImportOptions;
use crate::data::Dataset;

/// Names of the dimensions of an input that are not fixed.
pub(super) fn symbols(ty: &TensorType) -> impl Iterator<Item = &str> {
    ty.shape.iter().flat_map(|shape| &shape.dim).filter_map(|dim| match &dim.value {
        Some(DimensionValue::Param(name)) => Some(name.as_str()),
        _ => None,
    })
}

/// Extent of dimension `index` of an input by the samples of the command; `None` where there are none, or they
/// have another shape than the dimensions that are known.
pub(super) fn extent(
    dims: &TensorShapeProto,
    index: usize,
    options: &ImportOptions,
) -> Option<usize> {
    let sample = Dataset::load(options.samples.as_deref()?, Some(1)).ok()?.shape;
    if sample.len() + 1 != dims.dim.len() {
        return None;
    }
    let agrees = dims.dim.iter().skip(1).zip(&sample).all(|(dim, &extent)| match dim.value {
        Some(DimensionValue::Value(v)) if v > 0 => usize::try_from(v) == Ok(extent),
        _ => true,
    });
    index.checked_sub(1).and_then(|i| sample.get(i)).copied().filter(|&n| agrees && n > 0)
}
