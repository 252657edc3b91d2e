//! The 40-bit events of ATIS, in which N-MNIST is published (Orchard et al., "Converting Static Image Datasets
//! to Spiking Neuromorphic Datasets Using Saccades", Frontiers in Neuroscience 9:437, 2015): x in bits 39 to 32,
//! y in 31 to 24, polarity in 23, microseconds in 22 to 0, most significant byte first. An event at y = 240 is no
//! event but says that 2^13 microseconds have passed that the clock does not show.
//!
//! A file holds one recording, or many, each after a header of three little-endian 32-bit numbers: its index, its
//! label and its number of events.

use super::{Event, EventError, Read, Recording};

const EVENT: usize = 5;
const HEADER: usize = 12;
/// Row that marks an overflow of the clock.
const OVERFLOW_ROW: u8 = 240;
/// Microseconds that it stands for.
const OVERFLOW: u64 = 1 << 13;

/// The recordings of a file without any mark of its form.
pub fn read(bytes: &[u8]) -> Read {
    if let Some(many) = with_headers(bytes) {
        return Read::whole(many);
    }
    let (events, rest) = (events(bytes), bytes.len() % EVENT);
    let damage = (rest != 0).then_some(EventError::Length(bytes.len()));
    Read { recordings: vec![Recording { events, ..Recording::default() }], damage }
}

/// Recordings behind headers, if that is what the bytes are from end to end.
fn with_headers(mut bytes: &[u8]) -> Option<Vec<Recording>> {
    let mut recordings = Vec::new();
    while !bytes.is_empty() {
        let (header, rest) = bytes.split_at_checked(HEADER)?;
        let word = |at: usize| {
            let word = header.get(at..at + 4)?;
            Some(u32::from_le_bytes(word.try_into().ok()?))
        };
        let (label, count) = (word(4)?, usize::try_from(word(8)?).ok()?);
        let (body, rest) = rest.split_at_checked(count.checked_mul(EVENT)?)?;
        recordings.push(Recording { label: Some(label.into()), events: events(body), began: 0 });
        bytes = rest;
    }
    (!recordings.is_empty()).then_some(recordings)
}

fn events(bytes: &[u8]) -> Vec<Event> {
    let (mut out, mut passed) = (Vec::with_capacity(bytes.len() / EVENT), 0u64);
    for event in bytes.chunks_exact(EVENT) {
        let &[x, y, high, middle, low] = event else { continue };
        if y == OVERFLOW_ROW {
            passed += OVERFLOW;
            continue;
        }
        let clock = u32::from_be_bytes([0, high & 0x7f, middle, low]);
        out.push(Event {
            microseconds: passed + u64::from(clock),
            x: x.into(),
            y: y.into(),
            brighter: high & 0x80 != 0,
        });
    }
    out
}
