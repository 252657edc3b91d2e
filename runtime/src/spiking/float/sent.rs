//! What nodes have sent, and how others read it.

use crate::kernels::reals::Lists;

/// What a node has sent: rows of values, the last timesteps of the chunk before in front.
#[derive(Debug, Default)]
pub(super) struct Sent {
    pub(super) values: Vec<f32>,
    /// Of each row the indices of what is not 0, and their values.
    pub(super) indices: Vec<u32>,
    pub(super) listed: Vec<f32>,
    pub(super) counts: Vec<u32>,
}

/// Room for the indices of a row.
pub(super) fn room(len: usize) -> usize {
    len.next_multiple_of(16)
}

/// What a node reads: rows of an operand from one row on, each of them so many times where it is the same
/// in every timestep.
#[derive(Clone, Copy)]
pub(super) struct Read<'a> {
    pub(super) sent: &'a Sent,
    pub(super) len: usize,
    pub(super) first: usize,
    pub(super) times: usize,
}

impl<'a> Read<'a> {
    pub(super) fn row(&self, t: usize) -> usize {
        self.first + t / self.times
    }

    pub(super) fn values(&self, t: usize) -> &'a [f32] {
        &self.sent.values[self.row(t) * self.len..][..self.len]
    }

    /// Lists of the rows of `steps` timesteps.
    pub(super) fn lists(&self, steps: usize) -> Lists<'a> {
        let (row, stride) = (self.row(0), room(self.len));
        Lists {
            indices: &self.sent.indices[row * stride..],
            values: &self.sent.listed[row * stride..],
            counts: &self.sent.counts[row..row + steps],
            stride,
        }
    }

    /// The sources that send something in a timestep, with what they send.
    pub(super) fn sources(&self, t: usize) -> impl Iterator<Item = (usize, f32)> + 'a {
        let (row, values) = (self.row(t), self.values(t));
        let indices = &self.sent.indices[row * room(self.len)..];
        let indices = &indices[..self.sent.counts[row] as usize];
        indices.iter().map(|&i| (i as usize, values[i as usize]))
    }
}
