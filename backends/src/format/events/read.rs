//! Bytes to recordings.

use std::io::Read as _;

use bytes::Bytes;

use super::header::Header;
use super::{EventError, Read, Recording, aedat, arrays, atis, dat, evt2, evt3};
use crate::format::npz::Npz;
use crate::format::{EMPTY_ZIP_MAGIC, LimitExceeded, Limits, ZIP_MAGIC};

const GZIP_MAGIC: &[u8] = &[0x1f, 0x8b];
const NPY_MAGIC: &[u8] = b"\x93NUMPY";
const HDF5_MAGIC: &[u8] = b"\x89HDF\r\n\x1a\n";

/// Reads the recordings of a file, in the file's order; events are sorted by time, equal times in
/// the file's order.
///
/// # Errors
/// When the bytes are of no known form, or damaged.
pub fn read(bytes: impl Into<Bytes>) -> Result<Vec<Recording>, EventError> {
    let read = decode(bytes.into())?;
    match read.damage {
        None => Ok(read.recordings),
        Some(damage) => Err(damage),
    }
}

/// Reads what is undamaged of a file, and says where the damage begins.
///
/// # Errors
/// When the bytes are of no known form.
pub fn read_lenient(
    bytes: impl Into<Bytes>,
) -> Result<(Vec<Recording>, Option<EventError>), EventError> {
    let read = decode(bytes.into())?;
    Ok((read.recordings, read.damage))
}

fn decode(bytes: Bytes) -> Result<Read, EventError> {
    let bytes = if bytes.starts_with(GZIP_MAGIC) { expand(&bytes)? } else { bytes };
    let mut read = form(&bytes)?;
    for recording in &mut read.recordings {
        recording.events.sort_by_key(|e| e.microseconds);
    }
    Ok(read)
}

/// Which form the content is of.
fn form(bytes: &Bytes) -> Result<Read, EventError> {
    if bytes.starts_with(ZIP_MAGIC) || bytes.starts_with(EMPTY_ZIP_MAGIC) {
        return arrays::read(&Npz::open(bytes.clone())?);
    }
    if bytes.starts_with(HDF5_MAGIC) {
        return Err(EventError::Unread("HDF5"));
    }
    if bytes.starts_with(NPY_MAGIC) {
        return Err(EventError::Unread("NPY"));
    }
    if let Some(header) = Header::of(bytes, b'%') {
        let evt = header.value("evt").or_else(|| header.value("format")).unwrap_or_default();
        match evt.trim_start_matches("EVT").split(';').next().unwrap_or_default() {
            "2.0" | "2" => return Ok(evt2::read(&header)),
            "2.1" | "21" => return Ok(evt2::read_vectors(&header)),
            "3.0" | "3" => return Ok(evt3::read(&header)),
            "" => {}
            _ => return Err(EventError::Unread("EVT of another version than 2.0, 2.1 and 3.0")),
        }
        if header.value("Data").is_some() || header.value("Version").is_some() {
            return dat::read(&header);
        }
    }
    if bytes.starts_with(b"#!AER-DAT") {
        return aedat::read(bytes);
    }
    // What has no mark is ATIS, unless nothing in it is binary.
    if !bytes.is_empty() && bytes.iter().all(|b| b.is_ascii_graphic() || b.is_ascii_whitespace()) {
        return Err(EventError::Unread("text"));
    }
    Ok(atis::read(bytes))
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
