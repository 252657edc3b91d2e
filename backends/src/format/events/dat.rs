//! Prophesee's DAT of change detection: after the header two bytes, the type and size of an event, then events of
//! 8 bytes, little-endian: 32 bits of microseconds, then x in bits 13 to 0, y in 27 to 14, polarity in 28.
//!
//! Source: Prophesee, "DAT File Format" in the Metavision documentation, version 5.

use super::evt2::Clock;
use super::header::Header;
use super::{Event, EventError, Read, Recording};

const SIZE: u8 = 8;

/// The recording of a DAT file of version 2.
///
/// # Errors
/// When its events are of another version or size.
pub fn read(header: &Header<'_>) -> Result<Read, EventError> {
    if header.value("Version") != Some("2") {
        return Err(EventError::Unread("DAT of another version than 2"));
    }
    let [_, size, body @ ..] = header.body else {
        let damage = Some(EventError::Cut { offset: header.size });
        return Ok(Recording::default().read(damage));
    };
    if *size != SIZE {
        return Err(EventError::Unread("DAT with events of another size than 8 bytes"));
    }
    let (records, rest) = body.as_chunks::<8>();
    let (mut events, mut clock) = (Vec::with_capacity(records.len()), Clock::new(32));
    for record in records {
        let record = u64::from_le_bytes(*record);
        clock.set(record & 0xffff_ffff);
        events.push(Event {
            microseconds: clock.upper().unwrap_or_default(),
            x: (record >> 32 & 0x3fff) as u16,
            y: (record >> 46 & 0x3fff) as u16,
            brighter: record >> 60 & 1 == 1,
        });
    }
    let offset = header.size + header.body.len() - rest.len();
    let damage = (!rest.is_empty()).then_some(EventError::Cut { offset });
    Ok(Recording { events, ..Recording::default() }.since_first().read(damage))
}
