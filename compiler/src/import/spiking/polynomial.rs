//! Expressions as sums of products, so that equal formulas are equal however they are written.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::expression::{Expression, Id, Table, Values, zip};

/// Coefficients by what they multiply: nothing, one expression, or two.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Polynomial(pub BTreeMap<Vec<Id>, Values>);

/// Most terms; neurons have a handful.
const TERMS: usize = 64;
/// Deepest nesting of sums and products.
const DEPTH: usize = 512;

impl Polynomial {
    fn constant(values: Values) -> Self {
        Polynomial(BTreeMap::from([(Vec::new(), values)])).tidy()
    }

    pub(super) fn atom(id: Id) -> Self {
        Polynomial(BTreeMap::from([(vec![id], vec![1.0])]))
    }

    /// The coefficient of a product; 0 if it is not there.
    pub(super) fn coefficient(&self, of: &[Id]) -> Values {
        self.0.get(of).cloned().unwrap_or_else(|| vec![0.0])
    }

    /// Every expression that occurs.
    pub(super) fn atoms(&self) -> HashSet<Id> {
        self.0.keys().flatten().copied().collect()
    }

    pub(super) fn plus(mut self, other: &Polynomial) -> Self {
        for (key, values) in &other.0 {
            let old = self.0.entry(key.clone()).or_insert_with(|| vec![0.0]);
            *old = zip(old, values, |a, b| a + b);
        }
        self.tidy()
    }

    /// The product; spikes are 0 or 1, so their squares are themselves. `None` beyond degree 2.
    pub(super) fn times(&self, other: &Polynomial, table: &Table) -> Option<Self> {
        let mut product = Polynomial::default();
        for (a, x) in &self.0 {
            for (b, y) in &other.0 {
                let mut key = [a.as_slice(), b].concat();
                key.sort_unstable();
                let before = key.len();
                key.dedup_by(|p, q| p == q && matches!(table.get(*p), Expression::Fires { .. }));
                if key.len() > 2 || (key.len() == before && key.windows(2).any(|w| w[0] == w[1])) {
                    return None;
                }
                let old = product.0.entry(key).or_insert_with(|| vec![0.0]);
                *old = zip(old, &zip(x, y, |x, y| x * y), |a, b| a + b);
            }
        }
        Some(product.tidy())
    }

    /// Without what is 0; f64 keeps what cancels in f32 formulas within 1e-9.
    fn tidy(mut self) -> Self {
        self.0.retain(|_, values| values.iter().any(|v| v.abs() > 1e-9));
        self
    }

    /// The same with one expression replaced; `None` beyond degree 2.
    pub(super) fn with(&self, id: Id, by: &Polynomial, table: &Table) -> Option<Self> {
        let mut result = Polynomial::default();
        for (key, values) in &self.0 {
            let mut term = Polynomial::constant(values.clone());
            for &factor in key {
                let atom = Polynomial::atom(factor);
                term = term.times(if factor == id { by } else { &atom }, table)?;
            }
            result = result.plus(&term);
        }
        Some(result)
    }
}

/// The polynomial of an expression over inputs, layers, spikes and the expressions in `cut`, itself
/// excepted; `None` where it is none of low degree.
pub(super) fn polynomial(table: &Table, root: Id, cut: &HashSet<Id>) -> Option<Polynomial> {
    let mut expansion = Expansion { table, root, cut, known: HashMap::new() };
    expansion.of(root, DEPTH)
}

struct Expansion<'a> {
    table: &'a Table,
    root: Id,
    cut: &'a HashSet<Id>,
    /// Shared parts are expanded once, or nested sums would take for ever.
    known: HashMap<Id, Option<Polynomial>>,
}

impl Expansion<'_> {
    fn of(&mut self, id: Id, depth: usize) -> Option<Polynomial> {
        if let Some(known) = self.known.get(&id) {
            return known.clone();
        }
        let result = self.expand(id, depth).filter(|p| p.0.len() <= TERMS);
        self.known.insert(id, result.clone());
        result
    }

    fn expand(&mut self, id: Id, depth: usize) -> Option<Polynomial> {
        let depth = depth.checked_sub(1)?;
        if id != self.root && self.cut.contains(&id) {
            return Some(Polynomial::atom(id));
        }
        match self.table.get(id) {
            Expression::Constant(v) => Some(Polynomial::constant(v.clone())),
            Expression::Sum(a, b) => Some(self.of(*a, depth)?.plus(&self.of(*b, depth)?)),
            Expression::Product(a, b) => {
                let (a, b) = (self.of(*a, depth)?, self.of(*b, depth)?);
                a.times(&b, self.table)
            }
            Expression::Input { .. }
            | Expression::Layer { .. }
            | Expression::Joined(_)
            | Expression::Fires { .. } => Some(Polynomial::atom(id)),
        }
    }
}
