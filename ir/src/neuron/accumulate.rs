//! Read-outs.

use super::{Checks, EnergyClass, NeuronModel, Place};
use crate::interval::Interval;

/// Adds up what arrives, and shows the sum in each timestep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccumulateNeuron;

impl NeuronModel for AccumulateNeuron {
    /// The sum.
    type State = i64;
    type Value = i64;
    const WORD: &'static str = "accumulate";
    const NAME: &'static str = "read-outs";

    fn rest(&self, _: Place) -> i64 {
        0
    }

    fn step(&self, _: Place, _: usize, state: &mut i64, input: i64) -> i64 {
        *state += input;
        *state
    }

    fn potential(state: &i64) -> i64 {
        *state
    }

    fn energy_class(&self) -> EnergyClass {
        EnergyClass::ReadOut
    }

    fn check(&self, _: &mut Checks<'_>) {}

    fn single_shot(&self, _: usize, v: i64) -> Option<i64> {
        Some(v)
    }

    fn rises(&self) -> bool {
        true
    }

    fn sent(&self, _: usize, v: Interval, _: usize) -> Option<Interval> {
        Some(v.with_zero())
    }
}
