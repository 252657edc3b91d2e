//! Replaces real arithmetic between quantisers by arithmetic on codes.
//!
//! The graph is rebuilt in order of computation. A real value is not computed where it appears but
//! kept as what it is made of ([`Value`]) until a quantiser or an output says what is needed of it:
//! a sum of accumulators is requantised, a function of one array of codes becomes a table.

mod curve;
mod function;
mod host;
mod layer;
mod mean;
mod reach;
mod search;
mod sums;

use std::collections::{HashMap, HashSet};

use snnc_ir::query::is_layout;
use snnc_ir::{
    Binary, DType, Graph, Node, NodeId, Origin, PoolKind, Quantisation, Stage, TensorOp, TensorType,
};

use super::merge_clip::same_scale;
use super::rewrite::{Names, constant, op, quantised_constant};
use super::sink_dequantise::moved;
use super::tail;
use super::{Context, Meaning, Pass};
use crate::{Error, Problem};
use curve::Curve;
use function::Function;

pub(super) const PASS: Pass = Pass {
    name: "lower-to-codes",
    summary: "replaces real arithmetic between quantisers by arithmetic on codes",
    // Means of codes are rounded by the integer rule, which may take the other side of a tie.
    meaning: Meaning::Approximated,
    run,
};

pub(crate) const CALIBRATE: &str = "quantise the model, or give calibration data with --data";

fn run(graph: &mut Graph, context: &mut Context) -> Result<bool, Error> {
    let mut lowering = Lowering {
        source: graph,
        target: Graph::new(graph.name.clone(), Stage::Quantised),
        names: Names::of(graph),
        values: HashMap::new(),
        tail: tail::of_reals(graph),
        unquantised: HashSet::new(),
        reals: HashMap::new(),
        problems: Vec::new(),
        context,
    };
    lowering.unquantised = tail::unquantised(graph, &lowering.tail);
    for id in super::order(graph)? {
        let value = lowering.node(id);
        lowering.values.insert(id, value);
    }
    if !lowering.problems.is_empty() {
        return Err(Error::Unsupported(lowering.problems));
    }
    *graph = lowering.target;
    Ok(true)
}

/// What a node of the tensor stage is made of; the nodes named are those of the new graph.
#[derive(Clone)]
enum Value {
    /// A constant, in the old graph.
    Constant,
    /// Integer codes.
    Codes(NodeId),
    /// The reals that codes stand for.
    Dequantised(NodeId),
    /// A function of the reals that codes stand for.
    Function(Function),
    /// A function of an accumulator, of codes or of an input, channel by channel.
    Curve(Box<Curve>),
    /// The sum of the reals that accumulators or codes stand for, with the nodes it comes from.
    Sum(Vec<NodeId>, Vec<Origin>),
    /// Reals, computed as such: a graph input, or what follows the last layer.
    Reals(NodeId),
    /// None, for a reason that has been given.
    Failed,
}

struct Lowering<'a> {
    source: &'a Graph,
    target: Graph,
    names: Names,
    values: HashMap<NodeId, Value>,
    /// What the host can compute, behind all that must be on codes.
    tail: HashSet<NodeId>,
    /// Of the tail, what no codes stand for.
    unquantised: HashSet<NodeId>,
    /// What the host computes of nodes of the old graph, or of codes of the new one.
    reals: HashMap<host::Source, NodeId>,
    problems: Vec<Problem>,
    context: &'a mut Context,
}

impl Lowering<'_> {
    fn node(&mut self, id: NodeId) -> Value {
        let Some(operator) = op(self.source, id) else { return Value::Failed };
        let operands: Vec<(NodeId, Value)> = self
            .source
            .sources(id)
            .into_iter()
            .map(|s| (s, self.values.get(&s).cloned().unwrap_or(Value::Failed)))
            .collect();
        if operands.iter().any(|(_, v)| matches!(v, Value::Failed)) {
            return self.behind_failure(id, &operands);
        }
        if self.unquantised.contains(&id) && !host::may_be_on_codes(operator) {
            return self.on_reals(id, &operands);
        }
        let before = self.problems.len();
        let value = self.on_codes(id, operator, &operands);
        if matches!(value, Value::Failed)
            && self.tail.contains(&id)
            && !matches!(operator, TensorOp::Output | TensorOp::Dequantise(_))
        {
            self.problems.truncate(before);
            return self.on_reals(id, &operands);
        }
        value
    }

    fn on_codes(&mut self, id: NodeId, operator: &TensorOp, operands: &[(NodeId, Value)]) -> Value {
        match operator {
            TensorOp::Constant => Value::Constant,
            TensorOp::Input => self.input(id),
            TensorOp::Output => self.output(id, &operands[0]),
            TensorOp::Quantise(q) => self.quantise(id, q, &operands[0]),
            TensorOp::Dequantise(q) => self.dequantise(id, q, &operands[0]),
            TensorOp::Convolution { .. }
            | TensorOp::TransposedConvolution { .. }
            | TensorOp::Dense => self.layer(id, operands),
            TensorOp::Binary(Binary::Add) => self.add(id, operands),
            TensorOp::Binary(_) | TensorOp::Unary(_) | TensorOp::Clip { .. } => {
                self.function(id, operands)
            }
            TensorOp::Threshold(thresholds) => self.threshold(id, thresholds, &operands[0]),
            TensorOp::Cast => self.cast(id, &operands[0]),
            TensorOp::Pool(pool) if pool.kind != PoolKind::Max => self.mean(id, pool, &operands[0]),
            TensorOp::Softmax { .. } | TensorOp::ArgMax { .. } => self.on_reals(id, operands),
            other if is_layout(other) => match operands[0].1 {
                Value::Codes(_) => self.layout(id, operands),
                _ => self.layout_of_reals(id, operands),
            },
            _ => self.obstacle(
                id,
                "has no form on integer codes",
                "remove it, or move it after the output",
            ),
        }
    }

    fn obstacle(&mut self, id: NodeId, reason: impl Into<String>, remedy: &str) -> Value {
        self.problems.push(Problem::new(self.source[id].describe(), reason, remedy));
        Value::Failed
    }

    /// A node behind one that could not be lowered. What is wrong with it for a reason of its own is
    /// said at once: a layer whose operand would be real in any case.
    fn behind_failure(&mut self, id: NodeId, operands: &[(NodeId, Value)]) -> Value {
        let layer = matches!(
            op(self.source, id),
            Some(
                TensorOp::Convolution { .. }
                    | TensorOp::TransposedConvolution { .. }
                    | TensorOp::Dense
                    | TensorOp::MatrixProduct
            )
        );
        match operands {
            [(x, Value::Failed), ..]
                if layer && !matches!(op(self.source, *x), Some(TensorOp::Dequantise(_))) =>
            {
                self.unquantised(id, *x)
            }
            _ => Value::Failed,
        }
    }

    /// What stands where codes are needed.
    fn unquantised(&mut self, id: NodeId, operand: NodeId) -> Value {
        let from = self.source[operand].describe();
        self.obstacle(id, format!("the input from {from} is not quantised"), CALIBRATE)
    }

    /// Copies a node of the old graph with another type and other operands.
    fn copy(
        &mut self,
        id: NodeId,
        operator: TensorOp,
        ty: TensorType,
        operands: &[NodeId],
    ) -> NodeId {
        let node = &self.source[id];
        let copied = Node::tensor(node.name.clone(), operator, ty).with_origins(&node.origins);
        self.target.add(copied, operands)
    }

    /// Adds a node beside the copies of those of the old graph.
    fn add_node(
        &mut self,
        name: &str,
        operator: TensorOp,
        ty: TensorType,
        origins: &[Origin],
        operands: &[NodeId],
    ) -> NodeId {
        let name = self.names.fresh(name);
        self.target.add(Node::tensor(name, operator, ty).with_origins(origins), operands)
    }

    fn input(&mut self, id: NodeId) -> Value {
        let mut ty = self.source[id].ty.clone();
        if ty.dtype.is_float() {
            return Value::Reals(self.copy(id, TensorOp::Input, ty, &[]));
        }
        // Codes given from outside mean what the first dequantiser behind them says.
        let mut pending = vec![id];
        let mut seen = HashSet::from([id]);
        while let Some(next) = pending.pop()
            && ty.quantisation.is_none()
        {
            for user in self.source.users(next) {
                if !seen.insert(user) {
                    continue;
                }
                match op(self.source, user) {
                    Some(TensorOp::Dequantise(q)) if q.axis.is_none() => {
                        ty.quantisation = Some(q.clone());
                    }
                    Some(TensorOp::Cast) if self.source[user].ty.dtype == DType::F32 => {
                        let whole = |(low, high)| Quantisation::per_tensor(1.0, 0, low, high);
                        ty.quantisation = ty.dtype.integer_range().map(whole);
                    }
                    Some(other) if is_layout(other) => pending.push(user),
                    _ => {}
                }
            }
        }
        Value::Codes(self.copy(id, TensorOp::Input, ty, &[]))
    }

    fn output(&mut self, id: NodeId, operand: &(NodeId, Value)) -> Value {
        let value = match &operand.1 {
            Value::Codes(codes) => Some(*codes),
            _ => self.reals(id, operand),
        };
        let Some(value) = value else { return Value::Failed };
        let ty = self.target[value].ty.clone();
        Value::Reals(self.copy(id, TensorOp::Output, ty, &[value]))
    }

    fn quantisation(&self, id: NodeId) -> Option<&Quantisation> {
        self.target[id].ty.quantisation.as_ref()
    }

    fn quantise(&mut self, id: NodeId, q: &Quantisation, operand: &(NodeId, Value)) -> Value {
        if q.axis.is_some_and(|axis| axis != 1) && !matches!(operand.1, Value::Constant) {
            return self.obstacle(
                id,
                "quantises an activation with scales that differ otherwise than from channel to channel",
                "use one scale for the whole activation",
            );
        }
        let dtype = self.source[id].ty.dtype;
        let shape = self.source[id].ty.shape.clone();
        let tight = self.reachable(q, &operand.1);
        let q = tight.as_ref().unwrap_or(q);
        let ty = TensorType::new(dtype, shape).quantised(q.clone());
        match &operand.1 {
            Value::Reals(node) => {
                Value::Codes(self.copy(id, TensorOp::Quantise(q.clone()), ty, &[*node]))
            }
            Value::Sum(terms, _) if !self.fits_sum(q, terms) => self.obstacle(
                id,
                "adds several activations onto channels of different zero points",
                "use one zero point for the sum",
            ),
            Value::Sum(terms, origins) => {
                let (terms, origins) = (terms.clone(), origins.clone());
                let rule = self.rule_of_sum(&terms, q);
                let node = self.copy(id, rule, ty, &terms);
                self.prepend_origins(node, &origins);
                Value::Codes(node)
            }
            Value::Curve(_) => self.quantise_by_thresholds(id, q, operand, ty),
            Value::Dequantised(_) | Value::Function(_) if q.axis.is_some() => {
                self.quantise_by_thresholds(id, q, operand, ty)
            }
            Value::Dequantised(codes) => {
                let codes = *codes;
                match self.function_of(codes, operand.0) {
                    Some(function) => self.requantise_function(id, function, ty, q),
                    None => self.unquantised(id, operand.0),
                }
            }
            Value::Function(function) => self.requantise_function(id, function.clone(), ty, q),
            _ => self.unquantised(id, operand.0),
        }
    }

    fn dequantise(&mut self, id: NodeId, q: &Quantisation, operand: &(NodeId, Value)) -> Value {
        match operand.1 {
            Value::Constant => Value::Constant,
            Value::Codes(codes) => match self.quantisation(codes) {
                Some(given) if same_scale(given, q) => Value::Dequantised(codes),
                _ => self.relabelled(id, codes, q),
            },
            _ => self.obstacle(id, "dequantises what are no codes", "export the model again"),
        }
    }

    /// Conversion between codes and the whole numbers that they are: accumulators in units of 1 are codes,
    /// and codes become reals with the scale 1.
    fn cast(&mut self, id: NodeId, operand: &(NodeId, Value)) -> Value {
        let own = self.source[id].ty.clone();
        match &operand.1 {
            Value::Constant => Value::Constant,
            Value::Sum(terms, _) if matches!(own.dtype, DType::I32 | DType::I64) => {
                let units = |t: NodeId| {
                    self.quantisation(t).is_some_and(|q| q.scale.iter().all(|&s| s == 1.0))
                };
                match terms[..] {
                    [term] if units(term) => Value::Codes(term),
                    _ => self.obstacle(id, "cuts off the fractions of a sum", CALIBRATE),
                }
            }
            Value::Curve(_) => match self.curve(id, std::slice::from_ref(operand)) {
                Some(curve) => curve,
                None => self.unquantised(id, operand.0),
            },
            Value::Codes(codes) if own.dtype == DType::F32 => {
                let ty = &self.target[*codes].ty;
                let range = ty.quantisation.as_ref().map(|q| (q.minimum, q.maximum));
                match range.or(ty.dtype.integer_range()) {
                    Some((low, high)) => {
                        self.dequantise(id, &Quantisation::per_tensor(1.0, 0, low, high), operand)
                    }
                    None => self.obstacle(id, "converts what are no codes", CALIBRATE),
                }
            }
            _ => self.obstacle(
                id,
                "has no form on integer codes",
                "remove it, or move it after the output",
            ),
        }
    }

    /// The same codes with another meaning.
    fn relabelled(&mut self, id: NodeId, codes: NodeId, q: &Quantisation) -> Value {
        let ty = &self.target[codes].ty;
        let range = ty.quantisation.as_ref().map(|given| (given.minimum, given.maximum));
        let Some((minimum, maximum)) = range.or(ty.dtype.integer_range()) else {
            return Value::Failed;
        };
        let Some(table) = function::levels(minimum, maximum) else {
            return self.obstacle(id, "gives codes of many bits another meaning", CALIBRATE);
        };
        let q = Quantisation { minimum, maximum, ..q.clone() };
        let ty = TensorType { quantisation: Some(q), ..ty.clone() };
        let origins = self.source[id].origins.clone();
        let name = self.source[id].name.clone();
        let table = TensorOp::Lookup { minimum, table: table.collect() };
        Value::Dequantised(self.add_node(&name, table, ty, &origins, &[codes]))
    }

    /// Whether all that the node makes goes to quantisers.
    fn is_quantised(&self, id: NodeId) -> bool {
        let quantiser = |user: &NodeId| {
            matches!(op(self.source, *user), Some(TensorOp::Quantise(_) | TensorOp::Threshold(_)))
        };
        self.source.users(id).iter().all(quantiser)
    }

    /// An operator that moves codes: the type says what they mean.
    fn layout(&mut self, id: NodeId, operands: &[(NodeId, Value)]) -> Value {
        let mut sources = Vec::with_capacity(operands.len());
        let mut quantisation: Option<Quantisation> = None;
        for (operand, value) in operands {
            match value {
                Value::Codes(node) => {
                    let q = self.quantisation(*node).cloned();
                    quantisation = match (quantisation, q) {
                        (None, q) => q,
                        (Some(a), Some(b)) if same_scale(&a, &b) => Some(Quantisation {
                            minimum: a.minimum.min(b.minimum),
                            maximum: a.maximum.max(b.maximum),
                            ..a
                        }),
                        _ => {
                            return self.obstacle(id, "joins codes of different scales", CALIBRATE);
                        }
                    };
                    sources.push(*node);
                }
                Value::Constant if constant(self.source, *operand).is_some() => {
                    let node = &self.source[*operand];
                    let copied = match self.target.find(&node.name) {
                        Some(found) => found,
                        None => self.target.add(node.clone(), &[]),
                    };
                    sources.push(copied);
                }
                _ => return self.unquantised(id, *operand),
            }
        }
        let own = &self.source[id].ty;
        let quantisation = match quantisation {
            // Scales of channels go where the channels go.
            Some(q) if q.axis.is_some() => {
                let from = &self.target[sources[0]].ty.shape;
                match op(self.source, id).and_then(|op| moved(op, &q, from, &own.shape)) {
                    Some(moved) => Some(moved),
                    None => {
                        return self.obstacle(id, "mixes channels of different scales", CALIBRATE);
                    }
                }
            }
            found => found.or(own.quantisation.clone()),
        };
        let ty = TensorType { quantisation, ..own.clone() };
        match op(self.source, id).cloned() {
            Some(operator) => Value::Codes(self.copy(id, operator, ty, &sources)),
            None => Value::Failed,
        }
    }

    /// The codes, quantisation and node of weights or of a bias.
    fn parameter(&self, id: NodeId) -> Option<(&snnc_ir::Tensor, &Quantisation)> {
        quantised_constant(self.source, id)
    }
}

/// The quantisation of accumulators up to a magnitude with these scales, of channels if there are several.
fn accumulator(scale: Vec<f32>, most: i64) -> Quantisation {
    let (minimum, maximum) = (-most - 1, most);
    match scale[..] {
        [one] => Quantisation::per_tensor(one, 0, minimum, maximum),
        _ => Quantisation::per_axis(scale, 1, minimum, maximum),
    }
}
