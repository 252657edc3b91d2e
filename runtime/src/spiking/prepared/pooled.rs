//! Neurons behind the largest of several sums: a pool between a projection and a population.

use snnc_ir::{NodeId, Population, SpikingOp};

use super::build::{Builder, Cells};
use super::forms::NodeForm;
use super::map::extents;
use super::{Plan, Why};
use crate::kernels::signed;

impl Builder<'_> {
    /// The projection whose sums a pool takes the largest of, if only neurons see what it makes of them.
    pub(super) fn pooled(&self, pool: NodeId) -> Option<NodeId> {
        let graph = self.graph;
        let Some(SpikingOp::MaxPool { .. }) = graph[pool].as_spiking() else { return None };
        let ([user], [source]) = (&graph.users(pool)[..], &graph.sources(pool)[..]) else {
            return None;
        };
        let on_time = |id: NodeId| graph.operands(id).iter().all(|o| self.delay(o) == 0);
        let alone = |id: NodeId| graph.users(id).len() == 1;
        let neurons = matches!(graph[*user].as_spiking(), Some(SpikingOp::Population(_)));
        let projects = matches!(graph[*source].as_spiking(), Some(SpikingOp::Projection(_)));
        let plain = neurons && graph.sources(*user).len() == 1 && projects && alone(*source);
        (plain && [pool, *user, *source].into_iter().all(on_time)).then_some(*source)
    }

    /// The pool that is part of a population, if there is one.
    pub(super) fn pool_before(&self, population: NodeId) -> Option<NodeId> {
        let [pool] = self.graph.sources(population)[..] else { return None };
        self.pooled(pool).map(|_| pool)
    }

    /// Whether a node is part of a population behind it by way of a pool: the pool, or its projection.
    pub(super) fn is_pooled(&self, id: NodeId) -> bool {
        let [user] = self.graph.users(id)[..] else { return false };
        self.pooled(id).is_some() || self.pooled(user) == Some(id)
    }

    /// Makes a layer of a population, the pool before it and the projection before that; where it cannot, each of
    /// them runs by itself.
    pub(super) fn behind_pool(
        &mut self,
        id: NodeId,
        p: &Population,
        pool: NodeId,
    ) -> Result<(), Why> {
        let (graph, before) = (self.graph, self.mark());
        let projection = self.pooled(pool).ok_or("it is behind no pool")?;
        let cells = self.cells(pool).ok_or("windows without sums, or of more than two dimensions");
        match cells.and_then(|cells| self.layer(id, p, &[projection], Some((pool, cells)))) {
            Ok(()) => {
                let form = self.form(id);
                self.forms.push(form);
                Ok(())
            }
            Err(reason) => {
                self.reset(before, id);
                for own in [projection, pool, id] {
                    let op = graph[own].as_spiking().ok_or("it is no spiking network")?;
                    let form = self.stepped(own, op)?;
                    self.forms.push(NodeForm { node: own, form, reason });
                }
                Ok(())
            }
        }
    }

    fn cells(&self, pool: NodeId) -> Option<Cells> {
        let graph = self.graph;
        let Some(SpikingOp::MaxPool { window }) = graph[pool].as_spiking() else { return None };
        let [_, height, width] = extents(&graph[graph.source(pool, 0)?].ty.shape)?;
        let [_, rows, columns] = extents(&graph[pool].ty.shape)?;
        let plane = |v: &[usize], fill: usize| match *v {
            [x] => Some([fill, x]),
            [y, x] => Some([y, x]),
            _ => None,
        };
        let (kernel, strides) = (plane(&window.kernel, 1)?, plane(&window.strides, 1)?);
        let (dilations, before) = (plane(&window.dilations, 1)?, plane(&window.before, 0)?);
        let along = |axis: usize, at: usize, extent: usize| -> Vec<usize> {
            let place = |k: usize| {
                let place = (at * strides[axis] + k * dilations[axis]).checked_sub(before[axis])?;
                (place < extent).then_some(place)
            };
            (0..kernel[axis]).filter_map(place).collect()
        };
        let (each, mut all) = (kernel[0] * kernel[1], Vec::new());
        for y in 0..rows {
            for x in 0..columns {
                let (ys, xs) = (along(0, y, height), along(1, x, width));
                let own = ys.iter().flat_map(|y| xs.iter().map(move |x| y * width + x));
                let own: Vec<usize> = own.collect();
                all.extend(own.iter().cycle().take(each));
                // A window without cells has no largest sum.
                own.first()?;
            }
        }
        Some(Cells { each, all })
    }
}

impl Plan {
    /// What a pool sent of some sums, `[row][width]`, of which `channels` are real.
    pub(super) fn activity_of_sums(
        &self,
        sums: &[i32],
        width: usize,
        channels: usize,
    ) -> (u64, u64) {
        if channels == width {
            return signed::activity_of_sums(self.isa, sums);
        }
        let rows = sums.chunks_exact(width);
        rows.map(|row| signed::activity_of_sums(self.isa, &row[..channels]))
            .fold((0, 0), |sum, own| (sum.0 + own.0, sum.1 + own.1))
    }
}
