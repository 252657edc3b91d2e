//! Terms and scripts of SMT-LIB 2 (QF_LIA).

use std::fmt::Write as _;

use snnc_ir::analysis::Interval;

/// An integer; SMT-LIB has no negative literals.
pub(super) fn number(n: i128) -> String {
    if n < 0 { format!("(- {})", n.unsigned_abs()) } else { n.to_string() }
}

/// `term` limited to `low..=high`.
pub(super) fn clamp(term: &str, low: i128, high: i128) -> String {
    let (l, h) = (number(low), number(high));
    format!("(ite (< {term} {l}) {l} (ite (> {term} {h}) {h} {term}))")
}

/// `floor(term / divisor)` for a positive divisor, which SMT-LIB's `div` is.
pub(super) fn floor_div(term: &str, divisor: i128) -> String {
    if divisor == 1 { term.to_owned() } else { format!("(div {term} {})", number(divisor)) }
}

/// The first value whose condition holds, from the last pair to the first, else `least`.
pub(super) fn staircase(steps: &[(String, i128)], least: i128) -> String {
    let mut out = String::new();
    for (condition, value) in steps.iter().rev() {
        let _ = write!(out, "(ite {condition} {} ", number(*value));
    }
    out + &number(least) + &")".repeat(steps.len())
}

/// A script under construction.
pub(super) struct Script {
    text: String,
}

impl Script {
    /// An empty one about `title`.
    pub(super) fn new(title: &str) -> Self {
        let title = title.replace(['\n', '\r'], " ");
        Script { text: format!("; {title}\n(set-logic QF_LIA)\n(set-info :status unsat)\n") }
    }

    pub(super) fn declare(&mut self, name: &str) {
        let _ = writeln!(self.text, "(declare-const {name} Int)");
    }

    /// A constant of that range.
    pub(super) fn variable(&mut self, name: &str, range: Interval) {
        self.declare(name);
        let (low, high) = (number(range.low.into()), number(range.high.into()));
        self.assert(&format!("(and (<= {low} {name}) (<= {name} {high}))"));
    }

    pub(super) fn define(&mut self, name: &str, term: &str) {
        let _ = writeln!(self.text, "(define-fun {name} () Int {term})");
    }

    pub(super) fn assert(&mut self, formula: &str) {
        let _ = writeln!(self.text, "(assert {formula})");
    }

    pub(super) fn finish(mut self) -> String {
        self.text.push_str("(check-sat)\n");
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_are_smt_lib() {
        assert_eq!(number(-3), "(- 3)");
        assert_eq!(floor_div("x", 4), "(div x 4)");
        let steps = [("(>= x 1)".to_owned(), 1), ("(>= x 5)".to_owned(), 2)];
        assert_eq!(staircase(&steps, 0), "(ite (>= x 5) 2 (ite (>= x 1) 1 0))");
        assert_eq!(clamp("x", -1, 2), "(ite (< x (- 1)) (- 1) (ite (> x 2) 2 x))");
    }
}
