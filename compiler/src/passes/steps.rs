//! The steps of compilation by name: the passes, and what stands before, between and behind them.

use super::{CANONICAL, Meaning, QUANTISED};

/// A step after which the network can be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The name that `--print-after` and `dump --stage` take.
    pub name: &'static str,
    /// What it does.
    pub summary: &'static str,
    /// What it does to the network's meaning.
    pub meaning: Meaning,
}

/// The import of an ONNX file.
pub const IMPORT: Step = Step {
    name: "import",
    summary: "reads the ONNX file as a graph of tensor operators",
    meaning: Meaning::Kept,
};

/// Neurons that a graph writes out.
pub const RECOGNISE: Step = Step {
    name: "recognise",
    summary: "finds the neurons that a spiking network writes out as tensor operators",
    meaning: Meaning::Reordered,
};

/// Quantisers for a network without any.
pub const CALIBRATED: Step = Step {
    name: "calibrate",
    summary: "gives an unquantised network quantisers, by the calibration set",
    meaning: Meaning::Approximated,
};

/// From codes to spikes.
pub const GRADED: Step = Step {
    name: "graded",
    summary: "makes populations and projections of the quantised network, one timestep; sums of maps whose scales have no common unit are rounded, and the certificate states it",
    meaning: Meaning::Approximated,
};

/// From one coding to another.
pub const CODE: Step = Step {
    name: "code",
    summary: "rewrites the populations in another coding, where the target does not do it itself",
    meaning: Meaning::Approximated,
};

/// From the canonical network to a target's arithmetic.
pub const LEGALISE: Step = Step {
    name: "legalise",
    summary: "rewrites the network in the target's arithmetic; the certificate states what changes",
    meaning: Meaning::Approximated,
};

/// Every step, in order; a pass that runs again is named once.
pub fn steps() -> Vec<Step> {
    let mut all = vec![IMPORT, RECOGNISE];
    let mut add = |step: Step| {
        if !all.iter().any(|s| s.name == step.name) {
            all.push(step);
        }
    };
    let step = |p: &&super::Pass| Step { name: p.name, summary: p.summary, meaning: p.meaning };
    CANONICAL.iter().map(step).for_each(&mut add);
    add(CALIBRATED);
    QUANTISED.iter().map(step).for_each(&mut add);
    [GRADED, CODE, LEGALISE].into_iter().for_each(add);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pass_is_a_step_with_a_sentence() {
        let all = steps();
        for pass in CANONICAL.iter().chain(QUANTISED) {
            assert_eq!(all.iter().filter(|s| s.name == pass.name).count(), 1, "{}", pass.name);
        }
        assert!(all.iter().all(|s| s.summary.len() > 20), "{all:?}");
        let at = |name: &str| all.iter().position(|s| s.name == name);
        assert!(at("import") < at("calibrate") && at("calibrate") < at("graded"));
    }
}
