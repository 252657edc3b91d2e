//! Functions of one accumulator, of codes or of an input that differ from channel to channel or have too
//! many arguments for a table: what does not fall is a list of thresholds for each channel.

use snnc_ir::{
    Binary, DType, NodeId, Origin, Quantisation, Tensor, TensorOp, TensorType, ThresholdRows,
    Thresholds, Unary,
};

use super::function::Function;
use super::search::Search;
use super::{CALIBRATE, Lowering, Value};
use crate::passes::rewrite::{constant, op, quantised_constant};

/// Most thresholds of a node, over all of its channels.
const MOST_THRESHOLDS: usize = 1 << 22;

/// A function of one value of the new graph.
#[derive(Clone)]
pub(super) struct Curve {
    base: Base,
    /// The node of the old graph whose reals are the argument.
    of: NodeId,
    /// The nodes of the old graph that make the function, in order; none for the identity.
    nodes: Vec<NodeId>,
    trend: Trend,
}

/// What a curve is a function of.
#[derive(Clone)]
enum Base {
    /// An accumulator and constants, added in order.
    Sum(Vec<NodeId>, Vec<Origin>),
    /// Codes, as the reals that they stand for.
    Codes(Function),
    /// A graph input.
    Input(NodeId),
}

/// How a function goes with its argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trend {
    /// It never falls.
    Rises,
    /// It never rises.
    Falls,
    /// Neither is known.
    Open,
}

impl Trend {
    fn times(self, other: Trend) -> Trend {
        match (self, other) {
            (Trend::Rises, t) | (t, Trend::Rises) => t,
            (Trend::Falls, Trend::Falls) => Trend::Rises,
            _ => Trend::Open,
        }
    }

    fn both(self, other: Trend) -> Trend {
        if self == other { self } else { Trend::Open }
    }

    /// That of a factor.
    fn of_factor(values: &[f32]) -> Trend {
        if values.iter().all(|v| *v >= 0.0) {
            Trend::Rises
        } else if values.iter().all(|v| *v <= 0.0) {
            Trend::Falls
        } else {
            Trend::Open
        }
    }
}

/// One operand of an operator: a curve, or a constant.
enum Operand {
    Curve(Curve),
    Constant(Vec<f32>),
}

/// How an operator of one element goes with it.
fn trend_of_unary(function: Unary) -> Trend {
    use Unary::*;
    match function {
        Relu | Sigmoid | Tanh | Softplus | Erf | Exp | Floor | Ceil | Round | Sign => Trend::Rises,
        LeakyRelu { alpha } if alpha >= 0.0 => Trend::Rises,
        HardSigmoid { alpha, .. } if alpha >= 0.0 => Trend::Rises,
        HardSigmoid { .. } | Neg => Trend::Falls,
        _ => Trend::Open,
    }
}

fn trend_of_binary(function: Binary, operands: &[Operand]) -> Trend {
    use Binary::*;
    match (function, operands) {
        (Add | Min | Max, [Operand::Curve(a), Operand::Curve(b)]) => a.trend.both(b.trend),
        (Add | Min | Max, [Operand::Curve(c), _] | [_, Operand::Curve(c)]) => c.trend,
        (Sub, [Operand::Curve(a), Operand::Curve(b)]) => a.trend.both(Trend::Falls.times(b.trend)),
        (Sub | Greater | GreaterOrEqual, [Operand::Curve(c), Operand::Constant(_)]) => c.trend,
        (Less | LessOrEqual, [Operand::Constant(_), Operand::Curve(c)]) => c.trend,
        (Sub | Greater | GreaterOrEqual, [Operand::Constant(_), Operand::Curve(c)])
        | (Less | LessOrEqual, [Operand::Curve(c), Operand::Constant(_)]) => {
            Trend::Falls.times(c.trend)
        }
        (
            Mul,
            [Operand::Curve(c), Operand::Constant(v)] | [Operand::Constant(v), Operand::Curve(c)],
        )
        | (Div, [Operand::Curve(c), Operand::Constant(v)])
            if function == Mul || v.iter().all(|v| *v != 0.0) =>
        {
            c.trend.times(Trend::of_factor(v))
        }
        (Slope, [Operand::Curve(c), Operand::Constant(v)])
            if Trend::of_factor(v) == Trend::Rises =>
        {
            c.trend
        }
        _ => Trend::Open,
    }
}

impl Lowering<'_> {
    /// An operator on curves of one argument and on constants that are one for each channel at most;
    /// `None` where it is none.
    pub(super) fn curve(&mut self, id: NodeId, operands: &[(NodeId, Value)]) -> Option<Value> {
        let mut found = Vec::with_capacity(operands.len());
        for (operand, value) in operands {
            found.push(match value {
                Value::Constant => Operand::Constant(self.of_channels(id, *operand)?.to_f32()),
                value => Operand::Curve(self.as_curve(*operand, value)?),
            });
        }
        let curves = || {
            found.iter().filter_map(|o| match o {
                Operand::Curve(curve) => Some(curve),
                Operand::Constant(_) => None,
            })
        };
        let first = curves().next()?;
        let ty = &self.source[id].ty;
        let same = curves().all(|c| c.of == first.of);
        if !same || ty.shape.len() < 2 || ty.shape != self.source[first.of].ty.shape {
            return None;
        }
        let trend = match op(self.source, id)? {
            TensorOp::Unary(f) => first.trend.times(trend_of_unary(*f)),
            TensorOp::Clip { .. } => first.trend,
            TensorOp::Cast if ty.dtype == DType::F32 => first.trend,
            TensorOp::Binary(f) => trend_of_binary(*f, &found),
            _ => return None,
        };
        let mut nodes: Vec<NodeId> = Vec::new();
        for curve in curves() {
            let new = curve.nodes.iter().filter(|n| !nodes.contains(n)).copied();
            let new: Vec<NodeId> = new.collect();
            nodes.extend(new);
        }
        nodes.push(id);
        Some(Value::Curve(Box::new(Curve { base: first.base.clone(), of: first.of, nodes, trend })))
    }

    /// A value as a function of one argument.
    fn as_curve(&mut self, operand: NodeId, value: &Value) -> Option<Curve> {
        let base = match value {
            Value::Curve(curve) => return Some((**curve).clone()),
            Value::Sum(terms, origins) => {
                let lone = terms.iter().filter(|t| !self.is_constant(**t)).count() == 1;
                lone.then(|| Base::Sum(terms.clone(), origins.clone()))?
            }
            Value::Dequantised(codes) => Base::Codes(self.function_of(*codes, operand)?),
            Value::Function(function) => Base::Codes(function.clone()),
            Value::Reals(node) if matches!(op(&self.target, *node), Some(TensorOp::Input)) => {
                Base::Input(*node)
            }
            _ => return None,
        };
        Some(Curve { base, of: operand, nodes: Vec::new(), trend: Trend::Rises })
    }

    fn is_constant(&self, term: NodeId) -> bool {
        matches!(op(&self.target, term), Some(TensorOp::Constant))
    }

    /// The reals of a constant that is one number, or one for each channel of node `id`.
    pub(super) fn of_channels(&self, id: NodeId, operand: NodeId) -> Option<Tensor> {
        let own = &self.source[id].ty.shape;
        let shape = &self.source[operand].ty.shape;
        let trailing = own.len().checked_sub(shape.len())?;
        let along = |(axis, &extent): (usize, &usize)| extent == 1 || axis + trailing == 1;
        if !shape.iter().enumerate().all(along) {
            return None;
        }
        if let Some(value) = constant(self.source, operand) {
            return value.dtype().is_float().then(|| value.clone());
        }
        let (codes, q) = quantised_constant(self.source, operand)?;
        let row: usize = q.axis.map_or(1, |axis| shape[axis + 1..].iter().product());
        let extent = q.axis.map_or(1, |axis| shape[axis]).max(1);
        let real = |(i, &code): (usize, &i64)| q.real(code, i / row.max(1) % extent);
        let reals: Vec<f32> = codes.to_i64().ok()?.iter().enumerate().map(real).collect();
        Some(Tensor::from_f32(shape, &reals))
    }

    /// The codes of a value by a quantiser whose scales may differ from channel to channel.
    pub(super) fn quantise_by_thresholds(
        &mut self,
        id: NodeId,
        q: &Quantisation,
        operand: &(NodeId, Value),
        ty: TensorType,
    ) -> Value {
        let Some(levels) = super::function::levels(q.minimum, q.maximum) else {
            return self.obstacle(id, "has too many levels for thresholds", "use up to 16 bits");
        };
        let code = |channel: usize, x: f32| q.code(x, channel);
        let ends = (*levels.start(), *levels.end());
        let own_rows = if q.axis.is_some() { q.scale.len().max(q.zero_point.len()) } else { 1 };
        self.by_thresholds(id, operand, ty, ends, own_rows, &code)
    }

    /// The codes of a value by thresholds on its reals.
    pub(super) fn threshold(
        &mut self,
        id: NodeId,
        thresholds: &Thresholds,
        operand: &(NodeId, Value),
    ) -> Value {
        let most = thresholds.minimum + thresholds.rows.most() as i64;
        let ty = self.source[id].ty.clone();
        if let Value::Reals(node) = operand.1 {
            return Value::Codes(self.copy(
                id,
                TensorOp::Threshold(thresholds.clone()),
                ty,
                &[node],
            ));
        }
        if thresholds.axis != 1 && thresholds.rows.len() > 1 {
            return self.obstacle(
                id,
                "compares along another dimension than the channels of a layer",
                "export the model with its channels first",
            );
        }
        let code = |channel: usize, x: f32| thresholds.of_real(channel, x).unwrap_or(0);
        let ends = (thresholds.minimum, most);
        self.by_thresholds(id, operand, ty, ends, thresholds.rows.len(), &code)
    }

    /// A node with thresholds such that the code of each argument is `code` of the value; `own_rows` is
    /// how many channels `code` tells apart.
    fn by_thresholds(
        &mut self,
        id: NodeId,
        operand: &(NodeId, Value),
        ty: TensorType,
        (low, high): (i64, i64),
        own_rows: usize,
        code: &dyn Fn(usize, f32) -> i64,
    ) -> Value {
        let Some(curve) = self.as_curve(operand.0, &operand.1) else {
            return match &operand.1 {
                Value::Sum(..) => self.obstacle(
                    id,
                    "compares the sum of several activations with thresholds",
                    "quantise the sum before",
                ),
                _ => self.unquantised(id, operand.0),
            };
        };
        if curve.trend != Trend::Rises && !matches!(curve.base, Base::Codes(_)) {
            let last = curve.nodes.last().copied().unwrap_or(id);
            return self.obstacle(
                last,
                "rises and falls with what it is applied to, or only falls, and no neuron does so",
                "quantise its input, or use a function that never falls",
            );
        }
        let channels = self.source[curve.of].ty.shape.get(1).copied().unwrap_or(1);
        let rows = if own_rows > 1 || !self.is_uniform(&curve) { channels } else { 1 };
        if rows.saturating_mul((high - low) as usize) > MOST_THRESHOLDS {
            return self.obstacle(id, "takes too many thresholds", "use fewer bits");
        }
        let search = Search {
            lowering: self,
            of: curve.of,
            nodes: &curve.nodes,
            rows,
            ends: (low, high),
            code,
        };
        let found = match &curve.base {
            Base::Sum(terms, _) => search.accumulators(terms).map(ThresholdRows::Integers),
            Base::Input(_) => search.reals().map(ThresholdRows::Reals),
            Base::Codes(function) => match search.codes(function) {
                Ok(rows) => rows.map(ThresholdRows::Integers),
                Err(()) => {
                    let text = "rises and falls, channel by channel in its own way";
                    return self.obstacle(id, text, "use a function that never falls");
                }
            },
        };
        let Some(rows) = found else {
            return self.obstacle(id, "cannot be tabulated", CALIBRATE);
        };
        let argument = match &curve.base {
            Base::Sum(terms, _) => terms.iter().find(|t| !self.is_constant(**t)).copied(),
            Base::Codes(function) => Some(function.codes),
            Base::Input(node) => Some(*node),
        };
        let Some(argument) = argument else { return Value::Failed };
        let thresholds = TensorOp::Threshold(Thresholds { axis: 1, minimum: low, rows });
        let node = self.copy(id, thresholds, ty, &[argument]);
        let mut origins = match &curve.base {
            Base::Sum(_, origins) => origins.clone(),
            _ => Vec::new(),
        };
        for &part in &curve.nodes {
            for origin in &self.source[part].origins {
                if !origins.contains(origin) {
                    origins.push(origin.clone());
                }
            }
        }
        self.prepend_origins(node, &origins);
        Value::Codes(node)
    }

    /// Whether a curve is one function for all channels.
    fn is_uniform(&self, curve: &Curve) -> bool {
        let constants = curve.nodes.iter().flat_map(|&node| self.source.sources(node));
        let mut constants =
            constants.filter(|s| matches!(self.values.get(s), Some(Value::Constant)));
        let one = constants.all(|c| self.source[c].ty.len() == 1);
        let term = |t: &NodeId| {
            let q = self.quantisation(*t);
            q.is_some_and(|q| q.scale.len() == 1)
                && self.target[*t].data.as_ref().is_none_or(|d| d.len() == 1)
        };
        one && match &curve.base {
            Base::Sum(terms, _) => terms.iter().all(term),
            _ => true,
        }
    }
}
