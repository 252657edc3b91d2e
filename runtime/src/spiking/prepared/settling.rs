//! Networks that run until nothing is sent any more.
//!
//! How many timesteps that takes is not known beforehand, and layers run over all timesteps at once. So a group of
//! samples is run over some number of them; if one of them has not settled by then, all are run again over more, and
//! so are the groups that follow.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use snnc_ir::{Graph, NodeId, SpikingOp};

use super::buffers::Buffers;
use super::build::LONGEST;
use super::link::Failed;
use super::shown::BatchObserver;
use super::{Plan, Prepared, Source};
use crate::spiking::boundary::Sample;
use crate::spiking::outcome::Outcome;

/// A network over more timesteps, each half as many more than the one before.
#[derive(Debug, Default)]
pub(super) struct Longer {
    plans: Mutex<Vec<Arc<Prepared>>>,
    /// How many of them, counted from the shortest, have been too short for some sample.
    short: AtomicUsize,
}

impl Prepared {
    /// Runs one group of samples over as many timesteps as it takes.
    pub(super) fn settle(
        &self,
        graph: &Graph,
        group: &[&[Sample]],
        wanted: &[NodeId],
        observe: &mut BatchObserver<'_>,
    ) -> Result<Vec<Outcome>, Failed> {
        let mut tried = self.longer.short.load(Ordering::Relaxed);
        loop {
            let longer;
            let own = match tried.checked_sub(1) {
                None => self,
                Some(index) => {
                    longer = self.longer(graph, index)?;
                    &*longer
                }
            };
            if let Some(outcomes) = own.group_of(graph, group, wanted, observe)? {
                return Ok(outcomes);
            }
            tried += 1;
            self.longer.short.fetch_max(tried, Ordering::Relaxed);
        }
    }

    fn longer(&self, graph: &Graph, index: usize) -> Result<Arc<Prepared>, Failed> {
        let mut plans = self.longer.plans.lock().unwrap_or_else(PoisonError::into_inner);
        while plans.len() <= index {
            let before = plans.last().map_or(self.plan.steps, |last| last.plan.steps);
            let steps = before + (before / 2).max(8);
            if steps > LONGEST {
                return Err(Failed);
            }
            let order = graph.order().map_err(|_| Failed)?;
            let own = Prepared::of_steps(graph, &order, self.plan.isa, steps);
            plans.push(Arc::new(own.map_err(|_| Failed)?));
        }
        Ok(plans[index].clone())
    }
}

impl Plan {
    /// For each sample the first timestep after the input in which no population sends; `None` where there is none
    /// for one of them.
    pub(super) fn settled(&self, graph: &Graph, b: &Buffers) -> Result<Option<Vec<usize>>, Failed> {
        if !self.settles {
            return Ok(Some(vec![self.steps - 1; b.samples]));
        }
        let mut active = vec![false; b.samples * self.steps];
        for (&id, &source) in &self.sources {
            let fires = matches!(
                graph[id].as_spiking(),
                Some(SpikingOp::Population(p)) if p.neuron.fires()
            );
            if fires {
                for (sample, active) in active.chunks_exact_mut(self.steps).enumerate() {
                    self.mark(source, sample, b, active);
                }
            }
        }
        let mut all = Vec::with_capacity(b.samples);
        for active in active.chunks_exact(self.steps) {
            let silent = (self.given..self.steps).find(|&t| !active[t]);
            let Some(last) = silent else { return Ok(None) };
            // What is sent after a pause is none of the run, but is in the buffers.
            if active[last..].contains(&true) {
                return Err(Failed);
            }
            all.push(last);
        }
        Ok(Some(all))
    }

    /// Marks the timesteps after the input in which a source sends.
    fn mark(&self, source: Source, sample: usize, b: &Buffers, active: &mut [bool]) {
        match source {
            Source::Map(index) => {
                let map = &self.maps[index];
                let (bytes, silence) = (self.of_sample(index, sample, b), map.silence());
                for y in 0..map.height {
                    for x in 0..map.width {
                        let place = &bytes[map.place(y, x)..][..map.place_len()];
                        let rows = place.chunks_exact(map.stride).enumerate().skip(self.given);
                        for (t, row) in rows {
                            let other = |any: u8, &byte: &u8| any | (byte ^ silence);
                            active[t] |= row[..map.channels].iter().fold(0, other) != 0;
                        }
                    }
                }
            }
            Source::Lists(index) => {
                for (t, active) in active.iter_mut().enumerate().skip(self.given) {
                    *active |= !b.lists[index].at(sample * self.steps + t).is_empty();
                }
            }
            Source::Totals(_) => {}
        }
    }
}
