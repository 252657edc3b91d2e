//! The list of targets.

use crate::{Target, akida, loihi, nir, reference, spleat};

/// Every target, in the order of the documentation.
pub static TARGETS: &[&dyn Target] = &[
    &loihi::Loihi,
    &akida::Akida1,
    &akida::Akida2,
    &spleat::Spleat,
    &nir::Nir,
    &reference::Reference,
];

/// The target without limits, which stands in for those that refuse a network.
pub fn without_limits() -> &'static dyn Target {
    &reference::Reference
}

/// The target of that name.
pub fn target(name: &str) -> Option<&'static dyn Target> {
    TARGETS.iter().copied().find(|t| t.name() == name)
}
