//! Turns activations that are written as a choice between two values into the operators that they are.

use snnc_ir::{Binary, Graph, NodeId, TensorOp, Unary};

use super::rewrite::{constant, inherit, op, set_op, set_sources};
use super::{Context, Meaning, Pass};
use crate::Error;

pub(super) const PASS: Pass = Pass {
    name: "raise-activations",
    summary: "turns `x > 0 ? x : a * x` and its like into leaky rectifiers and clips",
    meaning: Meaning::Kept,
    run,
};

fn run(graph: &mut Graph, _: &mut Context) -> Result<bool, Error> {
    let mut changed = false;
    for id in super::order(graph)? {
        changed |= raise(graph, id).is_some();
    }
    Ok(changed)
}

/// Whether `x` is above a limit. What holds at the limit itself is left open: where both sides agree
/// there, it does not matter.
struct Comparison {
    x: NodeId,
    limit: f32,
    /// Whether the truth value says above, and not below.
    above: bool,
}

/// What a choice gives on one side of the limit.
enum Side {
    /// So many times `x`.
    Slope(f32),
    /// `x` times a constant of many values.
    Slopes(NodeId),
    /// Always the same.
    Fixed(f32),
}

fn raise(graph: &mut Graph, id: NodeId) -> Option<()> {
    if !graph[id].ty.dtype.is_float() {
        return None;
    }
    let (condition, [above, below]) = match op(graph, id)? {
        TensorOp::Select => {
            let [condition, yes, no] = graph.sources(id).try_into().ok()?;
            (condition, [yes, no].map(Some))
        }
        TensorOp::Binary(Binary::Mul) => masked(graph, id)?,
        _ => return None,
    };
    let Comparison { x, limit, above: direct } = comparison(graph, condition)?;
    if graph[x].ty.shape != graph[id].ty.shape {
        return None;
    }
    let side = |value: Option<NodeId>| match value {
        Some(value) => side(graph, value, x),
        None => Some(Side::Fixed(0.0)),
    };
    let mut sides = (side(above)?, side(below)?);
    if !direct {
        sides = (sides.1, sides.0);
    }
    let (operator, more) = operator(sides, limit)?;
    inherit(graph, condition, id);
    set_op(graph, id, operator);
    set_sources(graph, id, &[Some(x), more].into_iter().flatten().collect::<Vec<_>>());
    Some(())
}

/// A factor that is 1 where something holds and else 0: the condition, and the values on both sides.
fn masked(graph: &Graph, id: NodeId) -> Option<(NodeId, [Option<NodeId>; 2])> {
    let [a, b] = graph.sources(id).try_into().ok()?;
    let mask = |id: NodeId| {
        let condition = graph.source(id, 0)?;
        let casts = matches!(op(graph, id)?, TensorOp::Cast);
        (casts && graph[condition].ty.dtype == snnc_ir::DType::Bool).then_some(condition)
    };
    match (mask(a), mask(b)) {
        (Some(condition), None) => Some((condition, [Some(b), None])),
        (None, Some(condition)) => Some((condition, [Some(a), None])),
        _ => None,
    }
}

fn comparison(graph: &Graph, id: NodeId) -> Option<Comparison> {
    use Binary::{Greater, GreaterOrEqual, Less, LessOrEqual};
    let greater = match op(graph, id)? {
        TensorOp::Unary(Unary::Not) => {
            let inner = comparison(graph, graph.source(id, 0)?)?;
            return Some(Comparison { above: !inner.above, ..inner });
        }
        TensorOp::Binary(Greater | GreaterOrEqual) => true,
        TensorOp::Binary(Less | LessOrEqual) => false,
        _ => return None,
    };
    let [a, b] = graph.sources(id).try_into().ok()?;
    match (single(graph, a), single(graph, b)) {
        (None, Some(limit)) => Some(Comparison { x: a, limit, above: greater }),
        (Some(limit), None) => Some(Comparison { x: b, limit, above: !greater }),
        _ => None,
    }
}

/// The one real of a constant.
fn single(graph: &Graph, id: NodeId) -> Option<f32> {
    let value = constant(graph, id).filter(|v| v.len() == 1 && v.dtype().is_float())?;
    value.to_f32().first().copied().filter(|v| v.is_finite())
}

fn side(graph: &Graph, id: NodeId, x: NodeId) -> Option<Side> {
    if id == x {
        return Some(Side::Slope(1.0));
    }
    if let Some(value) = single(graph, id) {
        return Some(Side::Fixed(value));
    }
    match op(graph, id)? {
        TensorOp::Unary(Unary::Neg) if graph.source(id, 0) == Some(x) => Some(Side::Slope(-1.0)),
        TensorOp::Binary(Binary::Mul) => {
            let factor = match *graph.sources(id).as_slice() {
                [a, b] if a == x => b,
                [a, b] if b == x => a,
                _ => return None,
            };
            match single(graph, factor) {
                Some(slope) => Some(Side::Slope(slope)),
                None => constant(graph, factor).map(|_| Side::Slopes(factor)),
            }
        }
        _ => None,
    }
}

/// The operator that gives one side above the limit and the other below, and its second operand. Both sides
/// meet at the limit.
fn operator((above, below): (Side, Side), limit: f32) -> Option<(TensorOp, Option<NodeId>)> {
    let unary = |op| Some((TensorOp::Unary(op), None));
    let zero = limit == 0.0;
    match (above, below) {
        (Side::Slope(1.0), Side::Fixed(0.0) | Side::Slope(0.0)) if zero => unary(Unary::Relu),
        (Side::Slope(1.0), Side::Slope(alpha)) if zero => unary(Unary::LeakyRelu { alpha }),
        (Side::Slope(1.0), Side::Slopes(slopes)) if zero => {
            Some((TensorOp::Binary(Binary::Slope), Some(slopes)))
        }
        (Side::Slope(1.0), Side::Fixed(value)) if value == limit => {
            let minimum = Some(f64::from(limit));
            Some((TensorOp::Clip { minimum, maximum: None }, None))
        }
        (Side::Fixed(value), Side::Slope(1.0)) if value == limit => {
            let maximum = Some(f64::from(limit));
            Some((TensorOp::Clip { minimum: None, maximum }, None))
        }
        _ => None,
    }
}
