//! Clocks of the layers' own RTL model, out of the events that a network exchanges.
//!
//! These are clocks of the model in `rtl/`, not of SPLEAT: each tap of an event takes one clock for
//! each group of channels if it meets the output, else one; a sweep takes two clocks for each place
//! and group, and one for each spike sent.

use super::aer::Event;
use super::geometry::Geometry;
use super::layer::Layer;

/// A cell of the window under which an event reaches an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tap {
    /// Row in the kernel.
    pub ky: usize,
    /// Column in the kernel.
    pub kx: usize,
    /// Row of the output, and its column, if there is one.
    pub target: Option<(usize, usize)>,
}

/// Every tap of an event, in the order in which the model visits them.
pub fn taps(geometry: &Geometry, event: &Event) -> Vec<Tap> {
    if geometry.dense {
        return vec![Tap { ky: 0, kx: 0, target: Some((0, 0)) }];
    }
    let along = |place: usize, axis: usize, k: usize| {
        let places = [geometry.target.h, geometry.target.w][axis];
        let at = (place + geometry.before[axis]).checked_sub(k * geometry.dilations[axis])?;
        let whole = at % geometry.strides[axis] == 0 && at / geometry.strides[axis] < places;
        whole.then_some(at / geometry.strides[axis])
    };
    let mut taps = Vec::with_capacity(geometry.kernel[0] * geometry.kernel[1]);
    for ky in 0..geometry.kernel[0] {
        for kx in 0..geometry.kernel[1] {
            let target = along(event.y, 0, ky).zip(along(event.x, 1, kx));
            taps.push(Tap { ky, kx, target });
        }
    }
    taps
}

/// Clocks that a layer spends on an event at one of its ports.
pub fn accumulate(layer: &Layer, port: usize, event: &Event) -> u64 {
    let Some(port) = layer.ports.get(port) else { return 0 };
    let each = layer.groups_per_bank() as u64;
    let clocks = |tap: &Tap| if tap.target.is_some() { each } else { 1 };
    taps(&port.geometry, event).iter().map(clocks).sum()
}

/// Clocks that a layer spends on sweeps that send so many spikes in all.
pub fn sweep(layer: &Layer, sweeps: usize, spikes: u64) -> u64 {
    let places = layer.target.h as u64 * layer.target.w as u64 * layer.groups_per_bank() as u64;
    2 * places * sweeps as u64 + spikes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spleat::Map;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn taps_are_the_windows_that_hold_the_event(
            kernel in [1usize..4, 1usize..4], strides in [1usize..4, 1usize..4], dilations in [1usize..3, 1usize..3],
            before in [0usize..3, 0usize..3], y in 0usize..6, x in 0usize..6,
        ) {
            let target = Map { c: 1, h: 4, w: 5 };
            let source = Map { c: 1, h: 6, w: 6 };
            let g = Geometry { dense: false, source, target, kernel, strides, dilations, before, groups: 1 };
            let mut expected = Vec::new();
            for (ky, kx) in (0..kernel[0]).flat_map(|ky| (0..kernel[1]).map(move |kx| (ky, kx))) {
                let hit = |yo: usize, xo: usize| {
                    yo * strides[0] + ky * dilations[0] == y + before[0] && xo * strides[1] + kx * dilations[1] == x + before[1]
                };
                let places = (0..target.h).flat_map(|yo| (0..target.w).map(move |xo| (yo, xo)));
                expected.push(Tap { ky, kx, target: places.into_iter().find(|&(yo, xo)| hit(yo, xo)) });
            }
            prop_assert_eq!(taps(&g, &Event { c: 0, y, x, payload: 1 }), expected);
        }
    }
}
