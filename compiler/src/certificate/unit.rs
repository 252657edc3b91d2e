//! The real values of payloads.

use snnc_ir::{PerChannel, Population};

/// Whether one unit of payload stands for another real value than in the canonical network; a
/// population that does not say is taken to be in its unit.
pub(super) fn other_unit(own: &Population, theirs: &Population) -> bool {
    let at = |v: &[f32], c: usize| *PerChannel::of(v).at(c);
    let channels = own.scale.len().max(theirs.scale.len());
    !own.scale.is_empty()
        && !theirs.scale.is_empty()
        && (0..channels).any(|c| at(&own.scale, c) != at(&theirs.scale, c))
}
