//! AEDAT 2.0 and 3.1, of jAER and cAER.
//!
//! Sources: iniVation, "AEDAT file formats" (2.0 and 3.1); jAER's event extractors of DVS128 and DAVIS for the
//! bits of addresses in version 2; libcaer's `events/common.h` and `events/polarity.h` for version 3.1.

use super::evt2::Clock;
use super::header::Header;
use super::{Event, EventError, Read, Recording};

/// The recording of a file that begins with `#!AER-DAT`.
///
/// # Errors
/// When it is of another version.
pub fn read(bytes: &[u8]) -> Result<Read, EventError> {
    let version = |v: &str| bytes[b"#!AER-DAT".len()..].starts_with(v.as_bytes());
    let Some(header) = Header::of(bytes, b'#') else {
        return Err(EventError::Unread("AEDAT without the end of its first line"));
    };
    match () {
        () if version("2.0") => Ok(addresses(&header)),
        () if version("3.1") => Ok(packets(&header)),
        () if version("4") => Err(EventError::Unread("AEDAT 4")),
        () => Err(EventError::Unread("AEDAT of another version than 2.0 and 3.1")),
    }
}

/// Where the address of a camera's event has its parts; in all of them jAER counts rows from below.
struct Camera {
    name: &'static str,
    /// Columns and rows.
    size: [u16; 2],
}

/// Cameras of the DAVIS family, whose addresses are laid out alike.
const DAVIS: [Camera; 5] = [
    Camera { name: "DAVIS240", size: [240, 180] },
    Camera { name: "DAVIS346", size: [346, 260] },
    Camera { name: "Davis346", size: [346, 260] },
    Camera { name: "DAVIS640", size: [640, 480] },
    Camera { name: "DAVIS128", size: [128, 128] },
];
/// Columns and rows of a DVS128.
const DVS128: u16 = 128;

/// Version 2.0: an address and a time in microseconds, each of 32 bits, most significant byte first.
///
/// DVS128: polarity in bit 0 (1 darker), x in bits 7 to 1 from the right, y in 14 to 8 from below. DAVIS: bits 31
/// (a sample of a frame) and 10 (another kind) clear, polarity in bit 11, x in 21 to 12, y in 30 to 22 from below.
fn addresses(header: &Header<'_>) -> Read {
    let davis = DAVIS.iter().find(|c| header.says(c.name)).map(|c| c.size);
    let (records, rest) = header.body.as_chunks::<8>();
    let (mut events, mut clock) = (Vec::with_capacity(records.len()), Clock::new(32));
    for record in records {
        let record = u64::from_be_bytes(*record);
        let address = record >> 32;
        clock.set(record & 0xffff_ffff);
        let bits = |from: u32, count: u32| (address >> from & ((1 << count) - 1)) as u16;
        let (x, y, brighter) = match davis {
            // A pixel below the first row is none of the camera.
            Some(size) if bits(31, 1) == 0 && bits(10, 1) == 0 && bits(22, 9) < size[1] => {
                (bits(12, 10), size[1] - 1 - bits(22, 9), bits(11, 1) == 1)
            }
            None if address < 1 << 15 => {
                (DVS128 - 1 - bits(1, 7), DVS128 - 1 - bits(8, 7), bits(0, 1) == 0)
            }
            _ => continue,
        };
        events.push(Event { microseconds: clock.upper().unwrap_or_default(), x, y, brighter });
    }
    let offset = header.size + header.body.len() - rest.len();
    let damage = (!rest.is_empty()).then_some(EventError::Cut { offset });
    Recording { events, ..Recording::default() }.since_first().read(damage)
}

/// Bytes of a packet's header.
const PACKET: usize = 28;
/// Type of packets of polarity events.
const POLARITY: u16 = 1;
/// Bytes of a polarity event.
const EVENT: usize = 8;

/// Version 3.1: packets, little-endian, of which those of polarity events are read. A packet's header holds its
/// type (bits 15 to 0 of the first word), the size of an event (second word), how often the clock of 31 bits has
/// overflowed (fourth) and how many events follow (sixth). An event's first word has bit 0 set if it is valid,
/// polarity in bit 1, y in bits 16 to 2, x in 31 to 17; its second word is the time.
fn packets(header: &Header<'_>) -> Read {
    let (mut events, mut bytes) = (Vec::new(), header.body);
    let mut damage = None;
    while !bytes.is_empty() {
        let Some((body, stride, overflow, rest)) = packet(bytes) else {
            let offset = header.size + header.body.len() - bytes.len();
            damage = Some(EventError::Cut { offset });
            break;
        };
        let polarity = u16::from_le_bytes([bytes[0], bytes[1]]) == POLARITY && stride >= EVENT;
        for event in body.chunks_exact(stride).filter(|_| polarity) {
            let (Some(data), Some(time)) = (word(event, 0), word(event, 1)) else { continue };
            if data & 1 == 0 {
                continue;
            }
            events.push(Event {
                microseconds: u64::from(overflow) << 31 | u64::from(time & 0x7fff_ffff),
                x: (data >> 17) as u16,
                y: (data >> 2 & 0x7fff) as u16,
                brighter: data & 2 != 0,
            });
        }
        bytes = rest;
    }
    Recording { events, ..Recording::default() }.since_first().read(damage)
}

/// Events, size of one, overflows of the clock, and what follows, of the packet at the beginning of `bytes`.
fn packet(bytes: &[u8]) -> Option<(&[u8], usize, u32, &[u8])> {
    let (head, rest) = bytes.split_at_checked(PACKET)?;
    let (stride, overflow, count) = (word(head, 1)?, word(head, 3)?, word(head, 5)?);
    let stride = usize::try_from(stride).ok().filter(|&s| s > 0)?;
    let size = usize::try_from(count).ok()?.checked_mul(stride)?;
    let (body, rest) = rest.split_at_checked(size)?;
    Some((body, stride, overflow, rest))
}

fn word(bytes: &[u8], index: usize) -> Option<u32> {
    let bytes = bytes.get(index * 4..index * 4 + 4)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}
