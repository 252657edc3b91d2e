//! What expressions send, without their timestep: equal flows of two timesteps are one computation.
//!
//! A flow is a source, or an affine sum of flows that went through layers. Factors and offsets stay where
//! they stand: one before a layer scales its input and not its bias, one behind scales both.

use std::collections::HashMap;

use super::expression::{Expression, Id, LayerKind, Table, Values, zip};
use super::linear::{applied, by_channel, shortened, spread};
use super::neurons::{Found, equal};

/// What an expression sends.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Flow {
    /// A graph input, row by row or the same in every timestep.
    Input { input: usize, in_time: bool },
    /// Neurons, so many timesteps ago.
    Spikes { layer: usize, delay: usize },
    /// The largest of each window.
    Maximum { layer: usize, of: Box<Flow> },
    /// Maps one after the other along their channels.
    Joined { parts: Vec<(Flow, Vec<usize>)>, shape: Vec<usize> },
    /// A sum that is not split up.
    Sum(Box<Affine>),
}

/// A sum of flows and a constant.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Affine {
    pub terms: Vec<Term>,
    /// One entry for all neurons, or one for each.
    pub constant: Values,
    pub shape: Vec<usize>,
}

/// `factor * layer(of)` without the layer's bias, which is in the sum's constant; or `factor * of`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Term {
    pub factor: Values,
    pub layer: Option<usize>,
    pub of: Flow,
}

impl Affine {
    fn constant(values: Values, shape: &[usize]) -> Self {
        Affine { terms: Vec::new(), constant: values, shape: shape.to_vec() }
    }

    fn of(flow: Flow, shape: &[usize]) -> Self {
        match flow {
            Flow::Sum(sum) => *sum,
            of => Affine {
                terms: vec![Term { factor: vec![1.0], layer: None, of }],
                constant: vec![0.0],
                shape: shape.to_vec(),
            },
        }
    }

    pub(super) fn scaled(mut self, factor: &[f64]) -> Self {
        for term in &mut self.terms {
            term.factor = shortened(zip(&term.factor, factor, |a, b| a * b));
        }
        self.terms.retain(|t| t.factor != [0.0]);
        self.constant = shortened(zip(&self.constant, factor, |a, b| a * b));
        self
    }

    pub(super) fn plus(mut self, other: Affine) -> Self {
        for term in other.terms {
            match self.terms.iter_mut().find(|t| t.layer == term.layer && t.of == term.of) {
                Some(own) => own.factor = shortened(zip(&own.factor, &term.factor, |a, b| a + b)),
                None => self.terms.push(term),
            }
        }
        self.terms.retain(|t| t.factor != [0.0]);
        self.constant = shortened(zip(&self.constant, &other.constant, |a, b| a + b));
        if other.shape.iter().product::<usize>() > self.shape.iter().product::<usize>() {
            self.shape = other.shape;
        }
        self
    }

    /// The flow, without a sum around what is sent unchanged.
    fn into_flow(mut self) -> Flow {
        let plain = |t: &Term| t.factor == [1.0] && t.layer.is_none();
        match self.terms.as_slice() {
            [only] if plain(only) && self.constant == [0.0] => self.terms.remove(0).of,
            _ => Flow::Sum(Box::new(self)),
        }
    }

    /// Whether both add up the same, but for the order and the last bits of factors.
    pub(super) fn like(&self, other: &Affine) -> bool {
        let same = |t: &Term| {
            let twin = |o: &&Term| o.layer == t.layer && o.of == t.of;
            other.terms.iter().find(twin).is_some_and(|o| equal(&o.factor, &t.factor))
        };
        self.terms.len() == other.terms.len() && self.terms.iter().all(same)
    }
}

/// Reads flows out of a table.
pub(super) struct Flows<'a> {
    table: &'a Table,
    found: &'a Found,
    /// Rows of each graph input.
    rows: Vec<usize>,
    /// What layers make of constants.
    known: HashMap<(usize, Vec<u64>), Values>,
}

impl<'a> Flows<'a> {
    pub(super) fn new(table: &'a Table, found: &'a Found, inputs: usize) -> Self {
        let mut rows = vec![0; inputs];
        for id in 0..table.len() {
            if let Expression::Input { input, row } = table.get(id) {
                rows[*input] = rows[*input].max(row + 1);
            }
        }
        Flows { table, found, rows, known: HashMap::new() }
    }

    /// What a sum of expressions with factors brings at timestep `t`.
    pub(super) fn sum(
        &mut self,
        inputs: &std::collections::BTreeMap<Id, Values>,
        (t, shape): (usize, &[usize]),
    ) -> Result<Affine, String> {
        let mut sum = Affine::constant(vec![0.0], shape);
        for (&id, factor) in inputs {
            sum = sum.plus(self.affine(id, t)?.scaled(factor));
        }
        Ok(sum)
    }

    /// What an expression brings at timestep `t`.
    pub(super) fn affine(&mut self, id: Id, t: usize) -> Result<Affine, String> {
        let shape = self.table.shape(id).to_vec();
        Ok(match self.table.get(id).clone() {
            Expression::Constant(values) => Affine::constant(values, &shape),
            Expression::Sum(a, b) => self.affine(a, t)?.plus(self.affine(b, t)?),
            Expression::Product(a, b) => {
                let (a, b) = (self.affine(a, t)?, self.affine(b, t)?);
                match (a.terms.is_empty(), b.terms.is_empty()) {
                    (_, true) => a.scaled(&b.constant),
                    (true, _) => b.scaled(&a.constant),
                    _ => return Err("gets a product of what two layers send".into()),
                }
            }
            Expression::Layer { layer, source } => {
                let source = self.affine(source, t)?;
                self.through(layer, source)
            }
            Expression::Joined(parts) => {
                let mut flows = Vec::with_capacity(parts.len());
                for (part, shape) in parts {
                    flows.push((self.affine(part, t)?.into_flow(), shape));
                }
                Affine::of(Flow::Joined { parts: flows, shape: shape.clone() }, &shape)
            }
            Expression::Input { .. } | Expression::Fires { .. } => {
                Affine::of(self.source(id, t)?, &shape)
            }
        })
    }

    fn source(&self, id: Id, t: usize) -> Result<Flow, String> {
        match self.table.get(id) {
            Expression::Input { .. } if self.found.states.contains(&id) => {
                Err("a state flows in through synapses".into())
            }
            Expression::Input { input, row } => match self.found.recurrent.get(&id) {
                Some(&layer) => Ok(Flow::Spikes { layer, delay: 1 }),
                None => {
                    let in_time = self.rows[*input] > 1;
                    if in_time && *row != t {
                        return Err(format!("timestep {t} takes row {row} of the input"));
                    }
                    Ok(Flow::Input { input: *input, in_time })
                }
            },
            _ => {
                let Some(&(layer, then)) = self.found.spikes.get(&id) else {
                    return Err("gets spikes of a neuron that is none".into());
                };
                let delay = t.checked_sub(then);
                let delay = delay.ok_or("gets spikes of a later timestep")?;
                Ok(Flow::Spikes { layer, delay })
            }
        }
    }

    /// What a layer makes of a sum.
    fn through(&mut self, layer: usize, source: Affine) -> Affine {
        let found = &self.table.layers[layer];
        let shape = found.output.clone();
        if let LayerKind::Maximum(_) = found.kind {
            return self.largest(layer, source);
        }
        let constant = match source.terms.is_empty() {
            // Nothing arrives but a constant.
            true => return Affine::constant(self.applied(layer, &source.constant), &shape),
            false => match &found.bias {
                Some(bias) => shortened(bias.iter().map(|&b| f64::from(b)).collect()),
                None => vec![0.0],
            },
        };
        let of = source.into_flow();
        let term = Term { factor: vec![1.0], layer: Some(layer), of };
        Affine { terms: vec![term], constant, shape }
    }

    /// What a layer makes of a sum, without its bias.
    pub(super) fn through_without_bias(&mut self, layer: usize, source: Affine) -> Affine {
        let mut passed = self.through(layer, source);
        if !matches!(self.table.layers[layer].kind, LayerKind::Maximum(_)) {
            let bias = self.applied(layer, &[0.0]);
            passed.constant = shortened(zip(&passed.constant, &bias, |all, bias| all - bias));
        }
        passed
    }

    /// A factor above 0 and a constant of each channel may be taken out of a maximum; others stay within.
    fn largest(&self, layer: usize, source: Affine) -> Affine {
        let found = &self.table.layers[layer];
        let shape = found.output.as_slice();
        let constant = by_channel(&source.constant, &found.input);
        if let (true, Some(c)) = (source.terms.is_empty(), &constant) {
            return Affine::constant(spread(c, shape), shape);
        }
        if let ([only], Some(constant)) = (source.terms.as_slice(), constant)
            && only.layer.is_none()
            && let Some(factor) = by_channel(&only.factor, &found.input)
            && factor.iter().all(|&f| f > 0.0)
        {
            let of = Box::new(only.of.clone());
            let largest = Affine::of(Flow::Maximum { layer, of }, shape);
            let constant = Affine::constant(spread(&constant, shape), shape);
            return largest.scaled(&spread(&factor, shape)).plus(constant);
        }
        Affine::of(Flow::Maximum { layer, of: Box::new(source.into_flow()) }, shape)
    }

    /// What a linear layer makes of a constant.
    pub(super) fn applied(&mut self, layer: usize, constant: &[f64]) -> Values {
        let bits = constant.iter().map(|c| c.to_bits()).collect();
        let table = self.table;
        let known = self.known.entry((layer, bits));
        known.or_insert_with(|| applied(&table.layers[layer], constant).unwrap_or_default()).clone()
    }

    /// The sum at timestep `t`, before which nothing was sent.
    pub(super) fn begun(&mut self, sum: &Affine, t: usize) -> Affine {
        let mut begun = Affine::constant(sum.constant.clone(), &sum.shape);
        for term in &sum.terms {
            let shape = match term.layer {
                Some(layer) => self.table.layers[layer].input.clone(),
                None => sum.shape.clone(),
            };
            let of = self.begun_flow(&term.of, t, &shape);
            let passed = match term.layer {
                None => of,
                // The bias is in the constant of the whole already.
                Some(layer) => self.through_without_bias(layer, of),
            };
            begun = begun.plus(passed.scaled(&term.factor));
        }
        begun
    }

    fn begun_flow(&mut self, flow: &Flow, t: usize, shape: &[usize]) -> Affine {
        match flow {
            Flow::Spikes { delay, .. } if *delay > t => Affine::constant(vec![0.0], shape),
            Flow::Input { .. } | Flow::Spikes { .. } => Affine::of(flow.clone(), shape),
            Flow::Sum(sum) => self.begun(sum, t),
            Flow::Maximum { layer, of } => {
                let input = self.table.layers[*layer].input.clone();
                let of = self.begun_flow(of, t, &input);
                self.largest(*layer, of)
            }
            Flow::Joined { parts, shape } => {
                let part = |(flow, shape): &(Flow, Vec<usize>)| {
                    (self.begun_flow(flow, t, shape).into_flow(), shape.clone())
                };
                let parts = parts.iter().map(part).collect();
                Affine::of(Flow::Joined { parts, shape: shape.clone() }, shape)
            }
        }
    }
}
