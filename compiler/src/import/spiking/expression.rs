//! What a graph computes, neuron by neuron and timestep by timestep: a shared table of expressions
//! in which equal computations are one, whatever exporters called them.

use std::collections::HashMap;

use snnc_ir::{Connectivity, Origin, PerChannel, Tensor, Window};

/// An expression: its place in the table.
pub(super) type Id = usize;

/// Values of a constant, one for all neurons or one for each.
pub(super) type Values = Vec<f64>;

/// One expression on the neurons of one layer at one timestep.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Expression {
    /// A frame of a graph input: which input, and which row along its first dimension.
    Input {
        input: usize,
        row: usize,
    },
    /// A constant.
    Constant(Values),
    /// What a layer makes of another expression.
    Layer {
        layer: usize,
        source: Id,
    },
    /// Frames one after the other along their first dimension, each in the shape in which it is joined.
    Joined(Vec<(Id, Vec<usize>)>),
    Sum(Id, Id),
    Product(Id, Id),
    /// 1 where `left > right`, or `left >= right` if not strict.
    Fires {
        strict: bool,
        left: Id,
        right: Id,
    },
}

/// Hashable form, with constants by their bits.
#[derive(PartialEq, Eq, Hash)]
enum Key {
    Input(usize, usize),
    Constant(Vec<u64>, Vec<usize>),
    Layer(usize, Id),
    Joined(Vec<(Id, Vec<usize>)>),
    Sum(Id, Id),
    Product(Id, Id),
    Fires(bool, Id, Id),
}

/// A layer that is linear, or a pooling: what stands between populations.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Layer {
    pub kind: LayerKind,
    /// Weights in the order that the connectivity asks for.
    pub weights: Option<Tensor>,
    /// Added to the sums, one entry for each target.
    pub bias: Option<Vec<f32>>,
    pub input: Vec<usize>,
    pub output: Vec<usize>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum LayerKind {
    Synapses(Connectivity),
    Maximum(Window),
}

/// All expressions of a graph.
#[derive(Default)]
pub(super) struct Table {
    expressions: Vec<Expression>,
    shapes: Vec<Vec<usize>>,
    origins: Vec<Option<Origin>>,
    known: HashMap<Key, Id>,
    pub layers: Vec<Layer>,
    /// The node that made each layer first.
    pub layer_origins: Vec<Vec<Origin>>,
}

impl Table {
    pub(super) fn get(&self, id: Id) -> &Expression {
        &self.expressions[id]
    }

    /// Shape of the layer whose neurons the expression is on.
    pub(super) fn shape(&self, id: Id) -> &[usize] {
        &self.shapes[id]
    }

    /// The ONNX node that computes it, for messages.
    pub(super) fn origin(&self, id: Id) -> Option<&Origin> {
        self.origins[id].as_ref()
    }

    pub(super) fn len(&self) -> usize {
        self.expressions.len()
    }

    pub(super) fn intern(&mut self, e: Expression, shape: &[usize], origin: Option<&Origin>) -> Id {
        let key = match &e {
            Expression::Input { input, row } => Key::Input(*input, *row),
            Expression::Constant(v) => {
                Key::Constant(v.iter().map(|x| x.to_bits()).collect(), shape.to_vec())
            }
            Expression::Layer { layer, source } => Key::Layer(*layer, *source),
            Expression::Joined(parts) => Key::Joined(parts.clone()),
            Expression::Sum(a, b) => Key::Sum(*a.min(b), *a.max(b)),
            Expression::Product(a, b) => Key::Product(*a.min(b), *a.max(b)),
            Expression::Fires { strict, left, right } => Key::Fires(*strict, *left, *right),
        };
        if let Some(&id) = self.known.get(&key) {
            return id;
        }
        self.expressions.push(e);
        self.shapes.push(shape.to_vec());
        self.origins.push(origin.cloned());
        let id = self.expressions.len() - 1;
        self.known.insert(key, id);
        id
    }

    /// A constant; one number for all neurons has no shape, and leading ones say nothing.
    pub(super) fn constant(&mut self, values: Values, shape: &[usize]) -> Id {
        if values.windows(2).all(|w| w[0] == w[1]) {
            let one = values.first().copied().into_iter().collect();
            return self.intern(Expression::Constant(one), &[], None);
        }
        let shape: Vec<usize> = shape.iter().copied().skip_while(|&d| d == 1).collect();
        self.intern(Expression::Constant(values), &shape, None)
    }

    pub(super) fn values(&self, id: Id) -> Option<&Values> {
        match &self.expressions[id] {
            Expression::Constant(v) => Some(v),
            _ => None,
        }
    }

    /// `a + b`; a constant that is added to the sums of a layer becomes its bias.
    pub(super) fn biased_sum(&mut self, a: Id, b: Id, origin: Option<&Origin>) -> Id {
        let (a, b) = if self.values(a).is_some() { (b, a) } else { (a, b) };
        if let Expression::Layer { layer, source } = self.expressions[a]
            && self.values(b).is_some_and(|v| v[..] != [0.0])
            && let Some(biased) = self.biased(layer, b)
        {
            let shape = self.shapes[a].clone();
            return self.intern(Expression::Layer { layer: biased, source }, &shape, origin);
        }
        self.sum(a, b, origin)
    }

    /// `a + b`.
    pub(super) fn sum(&mut self, a: Id, b: Id, origin: Option<&Origin>) -> Id {
        let shape = self.wider(a, b);
        match (self.values(a), self.values(b)) {
            (Some(x), Some(y)) => {
                let values = zip(x, y, |x, y| x + y);
                return self.constant(values, &shape);
            }
            (Some(_), None) => return self.sum(b, a, origin),
            (None, Some(y)) if y[..] == [0.0] => return a,
            _ => {}
        }
        self.intern(Expression::Sum(a, b), &shape, origin)
    }

    /// The layer with a bias, if it is linear and has none.
    fn biased(&mut self, index: usize, bias: Id) -> Option<usize> {
        let found = &self.layers[index];
        if found.bias.is_some() || !matches!(found.kind, LayerKind::Synapses(_)) {
            return None;
        }
        let (values, targets) = (self.values(bias)?, found.output.iter().product::<usize>());
        if values.len() != 1 && values.len() != targets {
            return None;
        }
        let at = |i: usize| *PerChannel::of(values).at(i) as f32;
        let layer = Layer { bias: Some((0..targets).map(at).collect()), ..found.clone() };
        let origins = self.layer_origins.get(index).cloned().unwrap_or_default();
        Some(self.layer(layer, &origins))
    }

    /// The layer's place among all; equal ones are one, with the origins of the first.
    pub(super) fn layer(&mut self, layer: Layer, origins: &[Origin]) -> usize {
        match self.layers.iter().position(|l| *l == layer) {
            Some(place) => place,
            None => {
                self.layers.push(layer);
                self.layer_origins.push(origins.to_vec());
                self.layers.len() - 1
            }
        }
    }

    pub(super) fn product(&mut self, a: Id, b: Id, origin: Option<&Origin>) -> Id {
        let shape = self.wider(a, b);
        match (self.values(a), self.values(b)) {
            (Some(x), Some(y)) => {
                let values = zip(x, y, |x, y| x * y);
                return self.constant(values, &shape);
            }
            (Some(_), None) => return self.product(b, a, origin),
            (None, Some(y)) if y[..] == [0.0] => return self.constant(vec![0.0], &shape),
            (None, Some(y)) if y[..] == [1.0] => return a,
            _ => {}
        }
        self.intern(Expression::Product(a, b), &shape, origin)
    }

    pub(super) fn negated(&mut self, a: Id, origin: Option<&Origin>) -> Id {
        let shape = self.shapes[a].clone();
        let minus = self.constant(vec![-1.0], &shape);
        self.product(a, minus, origin)
    }

    pub(super) fn difference(&mut self, a: Id, b: Id, origin: Option<&Origin>) -> Id {
        let b = self.negated(b, origin);
        self.sum(a, b, origin)
    }

    /// `1 / a` of a constant.
    pub(super) fn reciprocal(&mut self, a: Id) -> Option<Id> {
        let values = self.values(a)?.iter().map(|x| 1.0 / x).collect();
        let shape = self.shapes[a].clone();
        Some(self.constant(values, &shape))
    }

    /// The constant with one entry for each of the neurons of `shape`, by ONNX's broadcasting; itself
    /// if it is no constant. `None` where it does not fit.
    pub(super) fn fitted(&mut self, id: Id, shape: &[usize]) -> Option<Id> {
        let neurons: usize = shape.iter().product();
        let Some(values) = self.values(id) else { return Some(id) };
        if values.len() == 1 || values.len() == neurons {
            return Some(id);
        }
        let own: Vec<usize> = self.shapes[id].iter().copied().skip_while(|&d| d == 1).collect();
        let mut wide = vec![1; shape.len().checked_sub(own.len())?];
        wide.extend(&own);
        if wide.iter().zip(shape).any(|(&d, &to)| d != 1 && d != to)
            || own.iter().product::<usize>() != values.len()
        {
            return None;
        }
        let place = |mut i: usize| {
            let (mut at, mut run) = (0, 1);
            for (&d, &to) in wide.iter().zip(shape).rev() {
                at += if d == 1 { 0 } else { i % to * run };
                run *= d;
                i /= to;
            }
            at
        };
        let spread: Values = (0..neurons).map(|i| values[place(i)]).collect();
        Some(self.constant(spread, shape))
    }

    /// 1 where `left > right` or `left >= right`.
    pub(super) fn fires(&mut self, strict: bool, left: Id, right: Id, o: Option<&Origin>) -> Id {
        let shape = self.wider(left, right);
        if let (Some(x), Some(y)) = (self.values(left), self.values(right)) {
            let holds = |x: f64, y: f64| f64::from(u8::from(if strict { x > y } else { x >= y }));
            let values = zip(x, y, holds);
            return self.constant(values, &shape);
        }
        self.intern(Expression::Fires { strict, left, right }, &shape, o)
    }

    /// The shape of the operand with more neurons.
    fn wider(&self, a: Id, b: Id) -> Vec<usize> {
        let size = |id: Id| self.shapes[id].iter().product::<usize>();
        let (x, y) = (&self.shapes[a], &self.shapes[b]);
        let constant = self.values(a).is_some();
        if size(b) > size(a) || (size(a) == size(b) && constant) { y.clone() } else { x.clone() }
    }
}

/// Entry by entry, single ones serving all.
pub(super) fn zip(a: &[f64], b: &[f64], f: impl Fn(f64, f64) -> f64) -> Values {
    let at = |v: &[f64], i: usize| PerChannel::of(v).get(i).copied().unwrap_or(0.0);
    (0..a.len().max(b.len())).map(|i| f(at(a, i), at(b, i))).collect()
}
