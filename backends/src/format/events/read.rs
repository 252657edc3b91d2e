//! Bytes to recordings.

use std::io::Read;

use bytes::Bytes;

use super::{Event, EventError, Recording};
use crate::format::npz::Npz;
use crate::format::{EMPTY_ZIP_MAGIC, LimitExceeded, Limits, ZIP_MAGIC};

const GZIP_MAGIC: &[u8] = &[0x1f, 0x8b];
const EVENT: usize = 5;
const HEADER: usize = 12;
/// Row that marks an overflow of the clock.
const OVERFLOW_ROW: u8 = 240;
/// Microseconds that it stands for.
const OVERFLOW: u64 = 1 << 13;
/// Largest time of an `.npz`: beyond any recording, and far from any overflow of sums.
const MAX_TIME: i64 = 1 << 50;

/// Reads the recordings of a file, in the file's order; events are sorted by time, equal times in
/// the file's order.
///
/// # Errors
/// When the bytes are of no known form, or damaged.
pub fn read(bytes: impl Into<Bytes>) -> Result<Vec<Recording>, EventError> {
    let bytes = bytes.into();
    let bytes = if bytes.starts_with(GZIP_MAGIC) { expand(&bytes)? } else { bytes };
    let mut recordings = if bytes.starts_with(ZIP_MAGIC) || bytes.starts_with(EMPTY_ZIP_MAGIC) {
        vec![arrays(&Npz::open(bytes)?)?]
    } else if let Some(many) = with_headers(&bytes) {
        many
    } else if bytes.len() % EVENT == 0 {
        vec![Recording { label: None, events: events(&bytes) }]
    } else {
        return Err(EventError::Length(bytes.len()));
    };
    for recording in &mut recordings {
        recording.events.sort_by_key(|e| e.microseconds);
    }
    Ok(recordings)
}

fn expand(bytes: &Bytes) -> Result<Bytes, EventError> {
    let limits = Limits::default();
    let stored = bytes.len() as u64;
    let most = limits.budget(stored).min(limits.max_member_bytes);
    let mut out = Vec::new();
    flate2::read::MultiGzDecoder::new(bytes.as_ref()).take(most + 1).read_to_end(&mut out)?;
    let expanded = out.len() as u64;
    if expanded > most {
        return Err(LimitExceeded::Ratio { stored, expanded, limit: limits.max_ratio }.into());
    }
    Ok(out.into())
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
        recordings.push(Recording { label: Some(label.into()), events: events(body) });
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

fn arrays(npz: &Npz) -> Result<Recording, EventError> {
    let column = |name: &'static str, limit: i64| -> Result<Vec<i64>, EventError> {
        let array = npz.get(name)?.ok_or(EventError::Missing(name))?;
        let values = array.to_i64().map_err(|source| EventError::Array { name, source })?;
        match values.iter().position(|v| !(0..=limit).contains(v)) {
            Some(index) => Err(EventError::Range { index, name, value: values[index], limit }),
            None => Ok(values),
        }
    };
    let t = column("t", MAX_TIME)?;
    let axis = |name, limit| {
        let values = column(name, limit)?;
        if values.len() == t.len() {
            return Ok(values);
        }
        Err(EventError::Lengths { name, expected: t.len(), found: values.len() })
    };
    let (x, y, p) = (axis("x", u16::MAX.into())?, axis("y", u16::MAX.into())?, axis("p", 1)?);
    let event = |(((&t, &x), &y), &p): (((&i64, &i64), &i64), &i64)| Event {
        microseconds: t as u64,
        x: x as u16,
        y: y as u16,
        brighter: p == 1,
    };
    let events = t.iter().zip(&x).zip(&y).zip(&p).map(event).collect();
    Ok(Recording { label: None, events })
}
