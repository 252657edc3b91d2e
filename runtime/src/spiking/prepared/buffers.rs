//! The memory of a run, kept from one run to the next.

use super::Plan;
use super::link::LinkRoom;
use super::lists::{Entry, Lists};
use super::map::Map;
use crate::kernels::aligned::Aligned;
use crate::kernels::events::Spikes;
use crate::kernels::scatter::SigmaDeltaStates;

/// Kernels may read this many bytes behind a map.
const BEHIND: usize = 64;

/// All memory of a run.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    /// Samples that are run.
    pub(super) samples: usize,
    /// Samples for which there is room.
    room: usize,
    /// Each map of one sample after the other, then what kernels may read behind.
    pub(super) maps: Vec<Vec<u8>>,
    /// `[sample][timestep][neuron]`
    pub(super) totals: Vec<Vec<i64>>,
    pub(super) constant: Aligned<i32>,
    pub(super) varying: Aligned<i32>,
    /// Sums that wait for their gain.
    pub(super) terms: Aligned<i32>,
    /// Numbers that nodes send as lists.
    pub(super) lists: Vec<Lists>,
    pub(super) stepped: Room,
    /// Numbers other than 0 that the pool of a layer sent for each sample, and their magnitudes.
    pub(super) pooled: Vec<[u64; 2]>,
    /// The last timestep of each sample.
    pub(super) last: Vec<usize>,
    /// Spikes of each map, of which those of this run are marked.
    pub(super) spikes: Vec<(bool, Spikes)>,
    pub(super) scratch: Scratch,
    pub(super) codes: Vec<u8>,
}

/// Where rows begin, and their patches.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    pub(super) rows: Vec<usize>,
    pub(super) patches: Vec<u8>,
    /// Places of a block, as places of a map, or as lines and places.
    pub(super) starts: Vec<usize>,
    pub(super) places: Vec<[u32; 2]>,
}

/// Memory of nodes that run timestep by timestep.
#[derive(Debug, Default)]
pub(super) struct Room {
    pub(super) link: LinkRoom,
    pub(super) input: Vec<i64>,
    pub(super) total: Vec<i64>,
    pub(super) small: Vec<i32>,
    pub(super) values: Vec<i64>,
    pub(super) sent: Vec<Entry>,
    pub(super) codes: Vec<u8>,
    pub(super) sigma_delta: SigmaDeltaStates,
    /// Synaptic operations by slot.
    pub(super) operations: Vec<(usize, u64)>,
}

impl Buffers {
    /// Makes room for a run of `samples` samples.
    pub(super) fn prepare(&mut self, plan: &Plan, samples: usize) {
        if self.room < samples {
            let [constant, varying] = plan.sums;
            let all = |m: &Map| vec![m.silence(); samples * m.len() + BEHIND];
            self.maps = plan.maps.iter().map(all).collect();
            let all = |neurons: usize| vec![0; samples * plan.steps * neurons];
            self.totals = plan.totals.iter().map(|t| all(t.neurons)).collect();
            if self.room == 0 {
                self.constant = Aligned::zeros(constant);
                self.varying = Aligned::zeros(varying);
                self.terms = Aligned::zeros(constant.max(varying));
                self.lists = plan.lists.iter().map(|_| Lists::default()).collect();
                self.spikes = plan.maps.iter().map(|_| Default::default()).collect();
                self.scratch.patches = vec![0; plan.patches];
            }
            self.room = samples;
        }
        self.samples = samples;
        self.spikes.iter_mut().for_each(|(listed, _)| *listed = false);
    }
}
