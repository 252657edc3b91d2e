//! Recordings of event cameras: what each pixel saw grow brighter or darker, and when.
//!
//! The content decides which form a file has:
//!
//! | form | file | read by |
//! |---|---|---|
//! | 40-bit events of ATIS, as N-MNIST has them | `.bin` | `atis` |
//! | arrays `t`, `x`, `y`, `p` | `.npz` | `arrays` |
//! | Prophesee EVT 2.0 and 2.1 | `.raw` | `evt2` |
//! | Prophesee EVT 3.0 | `.raw` | `evt3` |
//! | Prophesee DAT, version 2 | `.dat` | `dat` |
//! | AEDAT 2.0 and 3.1 | `.aedat` | `aedat` |
//!
//! Each may be gzipped. HDF5 and AEDAT 4 are refused by name: their events are compressed with filters that no
//! kept library in Rust decodes. [`Bins`] cuts a recording into timesteps.

mod aedat;
mod arrays;
mod atis;
mod bins;
mod dat;
mod evt2;
mod evt3;
mod header;
mod read;
#[cfg(test)]
mod tests;

pub use bins::{Bins, Form};
pub use read::{read, read_lenient};

use super::LimitExceeded;
use super::npy::NpyError;
use super::npz::NpzError;

/// One event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Microseconds since the recording began.
    pub microseconds: u64,
    /// Column, from the left.
    pub x: u16,
    /// Row, from the top.
    pub y: u16,
    /// Whether the pixel grew brighter.
    pub brighter: bool,
}

/// The events of one recording, in the order of their times.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recording {
    /// Class, where the file says it.
    pub label: Option<i64>,
    /// The events.
    pub events: Vec<Event>,
    /// What the camera's clock showed at the beginning, in microseconds: 0 where it starts with the recording.
    pub began: u64,
}

impl Recording {
    /// Sums the events of squares of `side` pixels: what happened in one happened in its pixel.
    pub fn pool(&mut self, side: u16) {
        for event in &mut self.events {
            (event.x, event.y) = (event.x / side.max(1), event.y / side.max(1));
        }
    }

    /// The same with times counted from the first event, for clocks that run before a recording starts.
    fn since_first(mut self) -> Self {
        let first = self.events.iter().map(|e| e.microseconds).min().unwrap_or(0);
        for event in &mut self.events {
            event.microseconds -= first;
        }
        self.began = first;
        self
    }

    fn read(self, damage: Option<EventError>) -> Read {
        Read { recordings: vec![self], damage }
    }
}

/// What was read of a file: all of it, or what comes before the damage.
struct Read {
    recordings: Vec<Recording>,
    damage: Option<EventError>,
}

impl Read {
    fn whole(recordings: Vec<Recording>) -> Self {
        Read { recordings, damage: None }
    }
}

/// Why bytes are no recording, or a recording does not fit.
#[derive(Debug, thiserror::Error)]
pub enum EventError {
    /// The bytes are neither of the forms.
    #[error("{0} bytes are no whole number of 5-byte events, nor recordings with headers")]
    Length(usize),
    /// The file ends within a word, an event or a packet.
    #[error("the file is cut off: what begins at byte {offset} is not whole")]
    Cut {
        /// Where the damage begins.
        offset: usize,
    },
    /// A form that is known, but not read.
    #[error("recordings in {0} are not read")]
    Unread(&'static str),
    /// Polarities are -1 and 1, or 0 and 1, not all three.
    #[error("event {0}: p = 0 in a recording that has p = -1 too")]
    Polarity(usize),
    /// The gzip stream is damaged.
    #[error("the gzip stream is damaged: {0}")]
    Gzip(#[from] std::io::Error),
    /// It expands to too much.
    #[error(transparent)]
    Limit(#[from] LimitExceeded),
    /// It is an archive, but not a readable one.
    #[error(transparent)]
    Npz(#[from] NpzError),
    /// An array of the archive is missing.
    #[error("there is no array `{0}`: a recording has t, x, y and p")]
    Missing(&'static str),
    /// An array holds what it cannot hold.
    #[error("array `{name}`: {source}")]
    Array {
        /// Name of the array.
        name: &'static str,
        /// What is wrong.
        source: NpyError,
    },
    /// The arrays differ in length.
    #[error("array `{name}` has {found} entries, `t` {expected}")]
    Lengths {
        /// Name of the array.
        name: &'static str,
        /// Entries of `t`.
        expected: usize,
        /// Its own entries.
        found: usize,
    },
    /// A value that no event has.
    #[error("event {index}: {name} = {value} is not from {least} to {limit}")]
    Range {
        /// Which event.
        index: usize,
        /// The array.
        name: &'static str,
        /// Its value.
        value: i64,
        /// Smallest value.
        least: i64,
        /// Largest value.
        limit: i64,
    },
    /// An event lies outside the network's input.
    #[error(
        "event {index} at x = {x}, y = {y} lies outside the input of {width} by {height} pixels"
    )]
    Outside {
        /// Which event.
        index: usize,
        /// Column.
        x: u16,
        /// Row.
        y: u16,
        /// Columns of the input.
        width: usize,
        /// Rows of the input.
        height: usize,
    },
    /// The shape of the network's input has no place for events.
    #[error("an input of shape {0:?} takes no events: it must be (1 or 2, height, width)")]
    Shape(Vec<usize>),
    /// A recording that would take more timesteps than can be.
    #[error("{0} microseconds would be more than {MAX_BINS} timesteps")]
    TooLong(u64),
}

/// Most timesteps of one recording.
pub const MAX_BINS: usize = 1 << 24;
