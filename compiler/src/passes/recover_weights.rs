//! Finds the codes of weights that lie on a grid, where their quantiser was evaluated away.

use snnc_ir::query::is_layout;
use snnc_ir::{DType, Graph, Node, NodeId, Quantisation, Tensor, TensorOp, TensorType};

use super::rewrite::{Names, add_constant, constant, op, set_sources};
use super::{Context, Meaning, Pass};
use crate::Error;

pub(super) const PASS: Pass = Pass {
    name: "recover-weights",
    summary: "finds the codes of real weights that are whole multiples of a scale",
    meaning: Meaning::Kept,
    run,
};

/// Largest code that is looked for.
const LARGEST: i64 = 127;

fn run(graph: &mut Graph, _: &mut Context) -> Result<bool, Error> {
    let mut names = Names::of(graph);
    let mut changed = false;
    for id in super::order(graph)? {
        changed |= recover(graph, &mut names, id).is_some();
    }
    Ok(changed)
}

/// Only behind codes: elsewhere nothing is gained by knowing them.
fn recover(graph: &mut Graph, names: &mut Names, layer: NodeId) -> Option<()> {
    if !matches!(op(graph, layer)?, TensorOp::Dense | TensorOp::Convolution { .. }) {
        return None;
    }
    let mut sources = graph.sources(layer);
    let weights = *sources.get(1)?;
    let value = constant(graph, weights).filter(|v| v.dtype() == DType::F32)?;
    if !stands_for_codes(graph, *sources.first()?) {
        return None;
    }
    let outputs = *value.shape().first()?;
    let reals = value.to_f32();
    let row = reals.len().checked_div(outputs)?.max(1);
    let (codes, scale) = grid(&reals).map(|(codes, s)| (codes, vec![s])).or_else(|| {
        let rows: Option<Vec<_>> = reals.chunks(row).map(grid).collect();
        let (codes, scale): (Vec<_>, Vec<_>) = rows?.into_iter().unzip();
        Some((codes.concat(), scale))
    })?;
    let shape = value.shape().to_vec();
    let most = codes.iter().map(|c| c.abs()).max().unwrap_or(0).max(1);
    let q = match scale[..] {
        [one] => Quantisation::per_tensor(one, 0, -most, most),
        _ => Quantisation::per_axis(scale, 0, -most, most),
    };
    let origins = graph[weights].origins.clone();
    let codes = Tensor::from_i64(DType::I8, &shape, &codes);
    let codes = add_constant(graph, names, layer, "codes", codes);
    let name = names.fresh(&format!("{}.weights", graph[layer].name));
    let ty = TensorType::new(DType::F32, shape);
    let node = Node::tensor(name, TensorOp::Dequantise(q), ty).with_origins(&origins);
    sources[1] = graph.add(node, &[codes]);
    set_sources(graph, layer, &sources);
    Some(())
}

fn stands_for_codes(graph: &Graph, mut id: NodeId) -> bool {
    loop {
        match op(graph, id) {
            Some(TensorOp::Dequantise(_)) => return true,
            Some(TensorOp::Pool(_)) => {}
            Some(other) if is_layout(other) => {}
            _ => return false,
        }
        match graph.source(id, 0) {
            Some(source) => id = source,
            None => return false,
        }
    }
}

/// Codes and the scale with which each value is exactly `code * scale` in f32: the largest such
/// scale of which the smallest value is at most seven units.
fn grid(values: &[f32]) -> Option<(Vec<i64>, f32)> {
    let nonzero = values.iter().map(|v| v.abs()).filter(|&v| v > 0.0);
    let smallest = nonzero.fold(f32::INFINITY, f32::min);
    if !smallest.is_finite() {
        return values.iter().all(|&v| v == 0.0).then(|| (vec![0; values.len()], 1.0));
    }
    (1..=7).find_map(|units| {
        let scale = smallest / units as f32;
        let code = |&v: &f32| {
            let code = (v / scale).round_ties_even();
            (code.abs() <= LARGEST as f32 && code * scale == v).then_some(code as i64)
        };
        let codes: Option<Vec<i64>> = values.iter().map(code).collect();
        Some((codes?, scale))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_on_a_grid_have_codes() {
        assert_eq!(grid(&[0.5, -1.0, 0.0]), Some((vec![1, -2, 0], 0.5)));
        assert_eq!(grid(&[0.75, -0.5]), Some((vec![3, -2], 0.25)));
        assert_eq!(grid(&[0.0, 0.0]), Some((vec![0, 0], 1.0)));
    }

    #[test]
    fn values_off_the_grid_have_none() {
        assert_eq!(grid(&[0.1, 0.2345, 0.317]), None);
        assert_eq!(grid(&[1.0, 128.0]), None, "a code of 8 bits");
        assert_eq!(grid(&[1.0, f32::NAN]), None);
        assert_eq!(grid(&[1.0, f32::INFINITY]), None);
    }
}
