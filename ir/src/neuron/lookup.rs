//! Payloads by a table.

use serde::{Deserialize, Serialize};

use super::{Checks, EnergyClass, NeuronModel, Place};
use crate::interval::Interval;

/// `table[v - minimum]`, the ends serving what lies beyond. The payloads may rise and fall.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LookupNeuron {
    /// Potential of the first entry.
    pub minimum: i64,
    /// One payload for each potential.
    pub table: Vec<i64>,
}

impl LookupNeuron {
    /// The payload for potential `v`; 0 by an empty table.
    pub fn payload(&self, v: i64) -> i64 {
        let last = self.table.len().saturating_sub(1) as i64;
        let index = v.saturating_sub(self.minimum).clamp(0, last);
        self.table.get(index as usize).copied().unwrap_or(0)
    }
}

impl NeuronModel for LookupNeuron {
    /// What arrived last.
    type State = i64;
    type Value = i64;
    const WORD: &'static str = "lookup";
    const NAME: &'static str = "tables of payloads";

    fn rest(&self, _: Place) -> i64 {
        0
    }

    fn step(&self, _: Place, _: usize, state: &mut i64, input: i64) -> i64 {
        *state = input;
        self.payload(input)
    }

    fn potential(state: &i64) -> i64 {
        *state
    }

    fn energy_class(&self) -> EnergyClass {
        EnergyClass::Firing
    }

    fn check(&self, checks: &mut Checks<'_>) {
        checks.require(!self.table.is_empty(), "an empty table");
    }

    fn single_shot(&self, _: usize, v: i64) -> Option<i64> {
        (!self.table.is_empty()).then(|| self.payload(v))
    }

    fn rises(&self) -> bool {
        !self.table.is_empty() && self.table.is_sorted()
    }

    fn payloads(&self) -> Option<Interval> {
        let (low, high) = (self.table.iter().min()?, self.table.iter().max()?);
        Some(Interval::new(*low, *high))
    }
}
