//! The shape of a projection as the configuration words have it.

use snnc_ir::{Connectivity, Window};

/// A map of neurons: channels, rows, columns. A vector has one row and one column, a
/// one-dimensional map one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Map {
    /// Channels.
    pub c: usize,
    /// Rows.
    pub h: usize,
    /// Columns.
    pub w: usize,
}

impl Map {
    /// The map of a shape (C), (C, L) or (C, H, W).
    pub fn of(shape: &[usize]) -> Option<Map> {
        match *shape {
            [c] => Some(Map { c, h: 1, w: 1 }),
            [c, w] => Some(Map { c, h: 1, w }),
            [c, h, w] => Some(Map { c, h, w }),
            _ => None,
        }
    }

    /// Number of neurons.
    pub fn neurons(self) -> usize {
        self.c * self.h * self.w
    }

    /// Place of a neuron in (C, H, W) order.
    pub fn place(self, c: usize, y: usize, x: usize) -> usize {
        (c * self.h + y) * self.w + x
    }

    /// Place of a neuron in event order (y, x, c).
    pub fn event_place(self, c: usize, y: usize, x: usize) -> usize {
        (y * self.w + x) * self.c + c
    }

    /// Channel, row and column of the neuron that comes `index`-th in event order (y, x, c).
    pub fn at_event(self, index: usize) -> (usize, usize, usize) {
        (index % self.c, index / self.c / self.w, index / self.c % self.w)
    }
}

/// What a projection connects, rows first in every pair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Whether every source meets every target.
    pub dense: bool,
    /// The sources as their events name them.
    pub source: Map,
    /// The targets.
    pub target: Map,
    /// Extent of the window.
    pub kernel: [usize; 2],
    /// Step of the window.
    pub strides: [usize; 2],
    /// Distance between the cells of the window.
    pub dilations: [usize; 2],
    /// Rows above and columns before that are padding.
    pub before: [usize; 2],
    /// Groups of channels.
    pub groups: usize,
}

impl Geometry {
    /// The geometry of a projection from neurons of one shape to neurons of another; `Err` says why
    /// the configuration words cannot have it.
    pub fn of(
        connectivity: &Connectivity,
        source_shape: &[usize],
        target_shape: &[usize],
    ) -> Result<Geometry, String> {
        let map = |shape: &[usize]| {
            Map::of(shape)
                .ok_or_else(|| format!("a map of shape {shape:?} has too many dimensions"))
        };
        let (source, target) = (map(source_shape)?, map(target_shape)?);
        let plain = Geometry {
            dense: false,
            source,
            target,
            kernel: [1, 1],
            strides: [1, 1],
            dilations: [1, 1],
            before: [0, 0],
            groups: 1,
        };
        Ok(match connectivity {
            Connectivity::Dense if target.h * target.w != 1 => {
                return Err(format!("a dense projection onto a map of shape {target_shape:?}"));
            }
            Connectivity::Dense => Geometry { dense: true, ..plain },
            Connectivity::OneToOne => Geometry { groups: source.c, ..plain },
            Connectivity::Convolution { window, groups } => Geometry {
                kernel: pair(&window.kernel, 1)?,
                strides: pair(&window.strides, 1)?,
                dilations: pair(&window.dilations, 1)?,
                before: pair(&window.before, 0)?,
                groups: *groups,
                ..plain
            },
        })
    }

    /// The connectivity that has this geometry, for source and target maps of `rank` dimensions;
    /// padding after is the least that gives as many windows.
    pub fn connectivity(&self, rank: usize) -> Connectivity {
        let spatial = match rank {
            _ if self.dense => return Connectivity::Dense,
            0 | 1 => return Connectivity::OneToOne,
            2 => 1..2,
            _ => 0..2,
        };
        let (source, target) = ([self.source.h, self.source.w], [self.target.h, self.target.w]);
        let after: Vec<usize> = spatial
            .clone()
            .map(|i| {
                let extent = self.kernel[i].saturating_sub(1) * self.dilations[i] + 1;
                let end = target[i].saturating_sub(1) * self.strides[i] + extent;
                end.saturating_sub(self.before[i] + source[i])
            })
            .collect();
        let cut = |values: &[usize; 2]| values[spatial.clone()].to_vec();
        let window = Window {
            kernel: cut(&self.kernel),
            strides: cut(&self.strides),
            dilations: cut(&self.dilations),
            before: cut(&self.before),
            after,
        };
        Connectivity::Convolution { window, groups: self.groups }
    }

    /// Input channels as the weight memory counts them: every source of a dense layer is one.
    pub fn inputs(&self) -> usize {
        if self.dense { self.source.neurons() } else { self.source.c }
    }

    /// Input channels that one output channel meets.
    pub fn inputs_per_group(&self) -> usize {
        self.inputs() / self.groups.max(1)
    }

    /// Weights of one output channel.
    pub fn weights_per_channel(&self) -> usize {
        self.inputs_per_group() * self.kernel[0] * self.kernel[1]
    }

    /// Shape of the weights in the spiking IR, for maps of `rank` dimensions.
    pub fn weight_shape(&self, rank: usize) -> Vec<usize> {
        match rank {
            _ if self.dense => vec![self.target.c, self.source.neurons()],
            0 | 1 => vec![self.target.c],
            2 => vec![self.target.c, self.inputs_per_group(), self.kernel[1]],
            _ => vec![self.target.c, self.inputs_per_group(), self.kernel[0], self.kernel[1]],
        }
    }

    /// Where the weight of output channel `co` that the memory has at input `ci` (counted within
    /// the group; for a dense layer in event order) and tap (`ky`, `kx`) is in the IR's tensor.
    pub fn weight_place(&self, co: usize, ci: usize, ky: usize, kx: usize) -> usize {
        if self.dense {
            let (c, y, x) = self.source.at_event(ci);
            co * self.source.neurons() + self.source.place(c, y, x)
        } else {
            ((co * self.inputs_per_group() + ci) * self.kernel[0] + ky) * self.kernel[1] + kx
        }
    }
}

fn pair(values: &[usize], absent: usize) -> Result<[usize; 2], String> {
    match *values {
        [x] => Ok([absent, x]),
        [y, x] => Ok([y, x]),
        _ => Err(format!("a window of {} dimensions", values.len())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use snnc_ir::window_outputs;

    proptest! {
        #[test]
        fn a_window_survives_with_the_least_padding_after(
            kernel in [1usize..5, 1usize..5], strides in [1usize..4, 1usize..4], dilations in [1usize..3, 1usize..3],
            before in [0usize..3, 0usize..3], after in [0usize..4, 0usize..4], cells in [1usize..9, 1usize..9], one in any::<bool>(),
        ) {
            let cut = |v: [usize; 2]| if one { vec![v[1]] } else { v.to_vec() };
            let window = Window { kernel: cut(kernel), strides: cut(strides), dilations: cut(dilations), before: cut(before), after: cut(after) };
            let Ok(outputs) = window_outputs(&window, &cut(cells), false) else { return Ok(()) };
            let connectivity = Connectivity::Convolution { window, groups: 1 };
            let (source, target) = ([&[3], &cut(cells)[..]].concat(), [&[2], &outputs[..]].concat());
            let geometry = Geometry::of(&connectivity, &source, &target).unwrap();
            let Connectivity::Convolution { window: least, .. } = geometry.connectivity(source.len()) else { panic!() };
            prop_assert_eq!(window_outputs(&least, &cut(cells), false).unwrap(), outputs);
            prop_assert!(least.after.iter().zip(cut(after)).all(|(&a, b)| a <= b));
            let again = Connectivity::Convolution { window: least, groups: 1 };
            prop_assert_eq!(Geometry::of(&again, &source, &target).unwrap(), geometry);
        }
    }

    #[test]
    fn dense_columns_go_by_events() {
        let g = Geometry::of(&Connectivity::Dense, &[2, 1, 3], &[4]).unwrap();
        // Events come as (y, x, c): columns c0x0, c1x0, c0x1, ..; the IR counts c0x0, c0x1, c0x2, c1x0, ..
        let places: Vec<_> = (0..6).map(|ci| g.weight_place(1, ci, 0, 0)).collect();
        assert_eq!(places, [6, 9, 7, 10, 8, 11]);
    }
}
