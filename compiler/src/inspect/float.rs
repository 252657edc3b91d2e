//! What targets would make of a model on reals after calibration, by its shapes alone.

use snnc_backends::{TARGETS, Target};
use snnc_ir::Graph;

use super::{Obstacle, Rating, cannot, obstacles, rating};
use crate::trial::Trial;

/// What each target makes of the network, at the bits that it has by default.
pub(super) fn ratings(canonical: &Graph) -> Vec<Rating> {
    type Tried = Result<Trial, Vec<Obstacle>>;
    let mut trials: Vec<((u8, u8), Tried)> = Vec::new();
    let of_target = |target: &&'static dyn Target| {
        let bits = target.capabilities().bits();
        let index = match trials.iter().position(|(known, _)| *known == bits) {
            Some(index) => index,
            None => {
                let trial = Trial::at_bits(canonical, bits).map_err(|e| obstacles(&e));
                trials.push((bits, trial));
                trials.len() - 1
            }
        };
        match &trials[index].1 {
            Ok(trial) => rating(*target, &trial.quantised, &trial.conversion),
            Err(reasons) => cannot(*target, reasons.clone()),
        }
    };
    TARGETS.iter().map(of_target).collect()
}
