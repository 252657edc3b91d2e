//! What nodes sent, read where it lies.

use snnc_ir::NodeId;

use super::buffers::Buffers;
use super::lists::{Listed, Lists};
use super::map::Map;
use super::{Plan, Source};
use crate::kernels::{Isa, elements};

/// Is told of what every node sent: sample, node, values.
pub type BatchObserver<'a> = dyn FnMut(usize, NodeId, Shown<'_>) + 'a;

/// What one node sent in one run.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a>(Values<'a>);

#[derive(Clone, Copy, Debug)]
enum Values<'a> {
    Bytes {
        map: &'a Map,
        bytes: &'a [u8],
        isa: Isa,
        steps: usize,
    },
    /// `[timestep][neuron]`
    Totals {
        values: &'a [i64],
        neurons: usize,
    },
    Lists {
        own: &'a Listed,
        lists: &'a Lists,
        /// The first timestep of the sample, and how many it has.
        first: usize,
        steps: usize,
    },
    /// Timestep by timestep.
    Integers(&'a [Vec<i64>]),
}

impl<'a> Shown<'a> {
    /// Values timestep by timestep.
    pub(in crate::spiking) fn integers(values: &'a [Vec<i64>]) -> Shown<'a> {
        Shown(Values::Integers(values))
    }

    /// Timesteps.
    pub fn timesteps(&self) -> usize {
        match self.0 {
            Values::Bytes { steps, .. } => steps,
            Values::Totals { values, neurons } => values.len() / neurons.max(1),
            Values::Lists { steps, .. } => steps,
            Values::Integers(values) => values.len(),
        }
    }

    /// The values of one timestep, in the order of the node's shape, instead of what is in `payloads`.
    ///
    /// # Panics
    /// When there is no such timestep.
    pub fn payloads(&self, timestep: usize, payloads: &mut Vec<i64>) {
        match self.0 {
            Values::Bytes { map, bytes, .. } => map.payloads(bytes, timestep, payloads),
            Values::Totals { values, neurons } => {
                payloads.clear();
                payloads.extend_from_slice(&values[timestep * neurons..][..neurons]);
            }
            Values::Lists { own, lists, first, steps } => {
                assert!(timestep < steps, "there is no such timestep");
                own.dense(lists.at(first + timestep), payloads);
            }
            Values::Integers(values) => {
                payloads.clear();
                payloads.extend_from_slice(&values[timestep]);
            }
        }
    }

    /// The sum of the squares of all payloads of a run of one timestep, where it is quickly had.
    pub fn squares(&self) -> Option<u64> {
        match self.0 {
            Values::Bytes { map, bytes, isa, steps: 1 } => {
                Some(elements::squares(isa, bytes, map.silence()))
            }
            _ => None,
        }
    }
}

impl Plan {
    /// What a node sent in the run of one sample of a group.
    pub(super) fn shown<'a>(
        &'a self,
        id: NodeId,
        sample: usize,
        b: &'a Buffers,
    ) -> Option<Shown<'a>> {
        let values = match *self.sources.get(&id)? {
            Source::Map(index) => {
                let bytes = self.of_sample(index, sample, b);
                Values::Bytes {
                    map: &self.maps[index],
                    bytes,
                    isa: self.isa,
                    steps: b.last[sample] + 1,
                }
            }
            Source::Totals(index) => {
                let neurons = self.totals[index].neurons;
                let values = self.totals_of_sample(index, sample, b);
                let values = &values[..(b.last[sample] + 1) * neurons];
                Values::Totals { values, neurons }
            }
            Source::Lists(index) => Values::Lists {
                own: &self.lists[index],
                lists: &b.lists[index],
                first: sample * self.steps,
                steps: b.last[sample] + 1,
            },
        };
        Some(Shown(values))
    }
}
