//! Recordings of event cameras: what each pixel saw grow brighter or darker, and when.
//!
//! Two forms are read, the content decides which:
//!
//! * The 40-bit events of ATIS, in which N-MNIST is published (Orchard et al., "Converting Static
//!   Image Datasets to Spiking Neuromorphic Datasets Using Saccades", Frontiers in Neuroscience
//!   9:437, 2015): x in bits 39 to 32, y in 31 to 24, polarity in 23, microseconds in 22 to 0, most
//!   significant byte first. An event at y = 240 is no event but says that 2^13 microseconds have
//!   passed that the clock does not show. A file holds one recording, or many, each after a header
//!   of three little-endian 32-bit numbers: its index, its label and its number of events.
//! * `.npz` with arrays `t` (microseconds), `x`, `y` and `p` (0 darker, 1 brighter) of one recording.
//!
//! Either may be gzipped. [`Bins`] cuts a recording into timesteps.

mod bins;
mod read;
#[cfg(test)]
mod tests;

pub use bins::{Bins, Form};
pub use read::read;

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
}

/// Why bytes are no recording, or a recording does not fit.
#[derive(Debug, thiserror::Error)]
pub enum EventError {
    /// The bytes are neither of the forms.
    #[error("{0} bytes are no whole number of 5-byte events, nor recordings with headers")]
    Length(usize),
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
    #[error("event {index}: {name} = {value} is not from 0 to {limit}")]
    Range {
        /// Which event.
        index: usize,
        /// The array.
        name: &'static str,
        /// Its value.
        value: i64,
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
