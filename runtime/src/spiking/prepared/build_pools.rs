//! Pools and concatenations of maps of bytes.

use snnc_ir::analysis::Interval;
use snnc_ir::{NodeId, Window};

use super::build::{Builder, DIMENSIONS};
use super::{Action, Pool, PoolKind, Why};
use crate::kernels::elements::Windows;

impl Builder<'_> {
    /// A pool on bytes.
    pub(super) fn pool(&mut self, id: NodeId, window: &Window, kind: PoolKind) -> Result<(), Why> {
        let from = self.source_map(self.graph.source(id, 0).ok_or("it reads nothing")?)?;
        let (low, high) = (self.maps[from].low, self.maps[from].high);
        let constant = kind == PoolKind::Maximum
            && self.maps[from].steps == 1
            && self.maps[from].repeats == self.steps;
        let to = self.map(id, Interval::new(low, high), constant, true)?;
        let plane = |v: &[usize], fill: usize| match *v {
            [x] => Some([fill, x]),
            [y, x] => Some([y, x]),
            _ => None,
        };
        let of = |v: &[usize], fill: usize| plane(v, fill).ok_or(DIMENSIONS);
        let (kernel, strides) = (of(&window.kernel, 1)?, of(&window.strides, 1)?);
        let (dilations, before) = (of(&window.dilations, 1)?, of(&window.before, 0)?);
        let (source, own) = (&self.maps[from], &self.maps[to]);
        let (mut windows, mut cells) = (Windows::default(), Vec::new());
        for y in 0..own.height {
            for x in 0..own.width {
                cells.clear();
                for (ky, kx) in (0..kernel[0]).flat_map(|y| (0..kernel[1]).map(move |x| (y, x))) {
                    let along = |at: usize, k: usize, axis: usize| {
                        (at * strides[axis] + k * dilations[axis]).checked_sub(before[axis])
                    };
                    let (sy, sx) = (along(y, ky, 0), along(x, kx, 1));
                    if let (Some(sy), Some(sx)) = (sy, sx)
                        && sy < source.height
                        && sx < source.width
                    {
                        cells.push(source.place(sy, sx));
                    }
                }
                windows.push(own.place(y, x), &cells);
            }
        }
        self.actions.push(Action::Pool(Pool { kind, from, to, windows }));
        Ok(())
    }

    /// A concatenation of channels.
    pub(super) fn concatenate(&mut self, id: NodeId) -> Result<(), Why> {
        let parts = self.graph.sources(id);
        let parts = parts.into_iter().map(|s| self.source_map(s)).collect::<Result<Vec<_>, _>>()?;
        let (first, rest) = parts.split_first().ok_or("it joins nothing")?;
        let mut sent = Interval::new(self.maps[*first].low, self.maps[*first].high);
        for &part in rest {
            sent = sent.union(Interval::new(self.maps[part].low, self.maps[part].high));
            if self.maps[part].steps != self.maps[*first].steps {
                return Err("it joins what is the same in every timestep and what is not");
            }
        }
        let constant = self.maps[*first].steps == 1 && self.maps[*first].repeats == self.steps;
        let to = self.map(id, sent, constant, false)?;
        self.actions.push(Action::Concatenate { parts, to });
        Ok(())
    }
}
