//! Parameters that are no finite numbers.

use snnc_ir::{Binary, DType, Graph, NodeId, Tensor, TensorOp};

use crate::Problem;

/// Every constant of a graph in which a NaN or an infinity stands where a parameter must, with the node
/// that takes it and the first index. Infinities are numbers to compare with, to bound by and to choose
/// from; elsewhere they make NaN of zeros, and codes of nothing.
pub(crate) fn problems(graph: &Graph) -> Vec<Problem> {
    let mut found = Vec::new();
    for id in graph.ids() {
        if let Some(TensorOp::Clip { minimum, maximum }) = graph[id].as_tensor() {
            let nothing = |b: &Option<f64>, side: f64| b.is_some_and(|b| b.is_nan() || b == side);
            if nothing(minimum, f64::INFINITY) || nothing(maximum, f64::NEG_INFINITY) {
                let reason = format!("has the bounds {minimum:?} and {maximum:?}");
                found.push(problem(graph, id, reason));
            }
        }
        let Some(value) = graph[id].data.as_ref().filter(|v| v.dtype().is_float()) else {
            continue;
        };
        let Some(first) = First::of(value) else { continue };
        for (user, port) in parameters_of(graph, id, first.nan) {
            let name = &graph[id].name;
            let kind = if first.nan { "NaN" } else { "an infinity" };
            let index = index(first.place, value.shape());
            let reason = format!(
                "its operand {port}, `{name}`, holds {kind} at index {index:?}; {} of its values are not finite",
                first.count
            );
            found.push(problem(graph, user, reason));
        }
    }
    found
}

fn problem(graph: &Graph, id: NodeId, reason: String) -> Problem {
    Problem::new(
        graph[id].describe(),
        reason,
        "train or export the model again: a parameter must be a finite number",
    )
}

/// The first value that is no number, NaN before infinities.
struct First {
    place: usize,
    nan: bool,
    count: usize,
}

impl First {
    fn of(value: &Tensor) -> Option<First> {
        // Most weights are f32, and many: a look at their exponents is enough.
        if value.dtype() == DType::F32 {
            let is_number = |c: &[u8; 4]| u32::from_le_bytes(*c) & 0x7f80_0000 != 0x7f80_0000;
            if value.bytes().as_chunks::<4>().0.iter().all(is_number) {
                return None;
            }
        }
        let values = value.to_f32();
        let nan = values.iter().position(|v| v.is_nan());
        let place = nan.or_else(|| values.iter().position(|v| !v.is_finite()))?;
        let count = values.iter().filter(|v| !v.is_finite()).count();
        Some(First { place, nan: nan.is_some(), count })
    }
}

fn index(mut place: usize, shape: &[usize]) -> Vec<usize> {
    let mut index = vec![0; shape.len()];
    for (at, &extent) in index.iter_mut().zip(shape).rev() {
        (*at, place) = (place % extent.max(1), place / extent.max(1));
    }
    index
}

/// Nodes that take a constant as a parameter, with the operand that it is; through what only moves
/// elements, and through all but comparisons, bounds and choices where there is a NaN.
fn parameters_of(graph: &Graph, constant: NodeId, nan: bool) -> Vec<(NodeId, usize)> {
    let mut found = Vec::new();
    let mut pending = vec![constant];
    while let Some(id) = pending.pop() {
        let mut users = graph.users(id);
        users.sort_unstable();
        users.dedup();
        for user in users {
            let port = graph.sources(user).iter().position(|&s| s == id).unwrap_or(0);
            match graph[user].as_tensor() {
                Some(
                    TensorOp::Reshape
                    | TensorOp::Transpose { .. }
                    | TensorOp::Expand
                    | TensorOp::Cast
                    | TensorOp::Slice { .. }
                    | TensorOp::Concatenate { .. }
                    | TensorOp::Gather { .. },
                ) if graph[user].ty.dtype.is_float() => pending.push(user),
                Some(TensorOp::Binary(Binary::Min | Binary::Max) | TensorOp::Select) if !nan => {}
                Some(TensorOp::Binary(function)) if function.is_comparison() && !nan => {}
                Some(TensorOp::Output) => {}
                _ => found.push((user, port)),
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_indices() {
        assert_eq!(index(7, &[2, 3, 2]), [1, 0, 1]);
        assert_eq!(index(0, &[]), Vec::<usize>::new());
    }

    #[test]
    fn the_first_nan_is_found_before_an_infinity() {
        let first = First::of(&Tensor::from_f32(&[3], &[f32::INFINITY, 1.0, f32::NAN])).unwrap();
        assert_eq!((first.place, first.nan, first.count), (2, true, 2));
        assert!(First::of(&Tensor::from_f32(&[2], &[f32::MAX, -0.0])).is_none());
        let wide =
            Tensor::new(DType::F64, vec![1], 1e300f64.to_le_bytes().to_vec().into()).unwrap();
        assert!(First::of(&wide).is_some(), "it is infinite in single precision");
    }
}
