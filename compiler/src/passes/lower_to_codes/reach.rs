//! Codes that a quantiser can give at all.

use snnc_ir::{Quantisation, TensorOp};

use super::function::levels;
use super::{Lowering, Value};
use crate::passes::rewrite::op;

impl Lowering<'_> {
    /// The quantisation with no codes but those that a mean of codes can reach, where it has too many
    /// for a table.
    pub(super) fn reachable(&self, q: &Quantisation, operand: &Value) -> Option<Quantisation> {
        let Value::Sum(terms, _) = operand else { return None };
        let &[sum] = terms.as_slice() else { return None };
        if levels(q.minimum, q.maximum).is_some() || q.axis.is_some() {
            return None;
        }
        let pooled = matches!(
            op(&self.target, sum),
            Some(TensorOp::Pool(pool)) if pool.is_of_codes()
        );
        let codes = self.target.source(sum, 0).filter(|_| pooled)?;
        let given = self.quantisation(codes)?;
        let low = given.real(given.minimum, 0).min(0.0);
        let high = given.real(given.maximum, 0).max(0.0);
        // One more on each side, as the unit of the sum is rounded.
        let minimum = q.code(low, 0).saturating_sub(1).max(q.minimum);
        let maximum = q.code(high, 0).saturating_add(1).min(q.maximum);
        Some(Quantisation { minimum, maximum, ..q.clone() })
    }
}
