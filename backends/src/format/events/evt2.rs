//! Prophesee's EVT 2.0 (words of 32 bits) and EVT 2.1 (words of 64 bits that hold up to 32 events of a row).
//!
//! Source: Prophesee, "EVT 2.0 Format" and "EVT 2.1 Format" in the Metavision documentation, version 5. In both a
//! word's upper four bits are its type: 0 darker, 1 brighter, 8 the upper 28 bits of the time in microseconds, of
//! which events hold the lower 6.

use super::header::Header;
use super::{Event, EventError, Read, Recording};

const DARKER: u64 = 0;
const BRIGHTER: u64 = 1;
const TIME_HIGH: u64 = 8;
/// Types that a word may have: those above, a trigger, and what belongs to devices.
const TYPES: [u64; 6] = [DARKER, BRIGHTER, TIME_HIGH, 10, 14, 15];
/// Upper bits of the time.
const HIGH_BITS: u32 = 28;

/// A clock of which a word holds the upper bits, and which overflows.
pub(super) struct Clock {
    bits: u32,
    high: Option<u64>,
    passed: u64,
}

impl Clock {
    /// A clock whose upper part has `bits` bits.
    pub fn new(bits: u32) -> Self {
        Clock { bits, high: None, passed: 0 }
    }

    /// Takes the upper bits that a word holds. They fall by more than half of their range only where the clock
    /// has overflowed; less far they fall where words have changed places.
    pub fn set(&mut self, high: u64) {
        let fell = self.high.is_some_and(|old| old > high && old - high > 1 << (self.bits - 1));
        if fell {
            self.passed += 1 << self.bits;
        }
        self.high = Some(high);
    }

    /// The time in units of the upper bits' lowest, once a word has given them.
    pub fn upper(&self) -> Option<u64> {
        Some(self.passed + self.high?)
    }
}

/// A recording in EVT 2.0: x in bits 21 to 11 and y in bits 10 to 0.
pub fn read(header: &Header<'_>) -> Read {
    let (mut events, mut clock) = (Vec::new(), Clock::new(HIGH_BITS));
    let (words, rest) = header.body.as_chunks::<4>();
    for word in words {
        let word = u64::from(u32::from_le_bytes(*word));
        match word >> 28 {
            TIME_HIGH => clock.set(word & 0x0fff_ffff),
            kind @ (DARKER | BRIGHTER) => {
                // Before the first time word nothing says when an event was.
                let Some(upper) = clock.upper() else { continue };
                events.push(Event {
                    microseconds: upper << 6 | word >> 22 & 0x3f,
                    x: (word >> 11 & 0x7ff) as u16,
                    y: (word & 0x7ff) as u16,
                    brighter: kind == BRIGHTER,
                });
            }
            _ => {}
        }
    }
    Recording { events, ..Recording::default() }.since_first().read(cut(header, rest.len()))
}

/// A recording in EVT 2.1: x in bits 53 to 43, y in 42 to 32, and a bit for each pixel from x on in bits 31 to 0.
pub fn read_vectors(header: &Header<'_>) -> Read {
    let (mut events, mut clock) = (Vec::new(), Clock::new(HIGH_BITS));
    let (words, rest) = header.body.as_chunks::<8>();
    let halves = halves_first(header, words);
    for word in words {
        let word = number(word, halves);
        match word >> 60 {
            TIME_HIGH => clock.set(word >> 32 & 0x0fff_ffff),
            kind @ (DARKER | BRIGHTER) => {
                let Some(upper) = clock.upper() else { continue };
                let mut valid = word as u32;
                while valid != 0 {
                    events.push(Event {
                        microseconds: upper << 6 | word >> 54 & 0x3f,
                        x: (word >> 43 & 0x7ff) as u16 + valid.trailing_zeros() as u16,
                        y: (word >> 32 & 0x7ff) as u16,
                        brighter: kind == BRIGHTER,
                    });
                    valid &= valid - 1;
                }
            }
            _ => {}
        }
    }
    Recording { events, ..Recording::default() }.since_first().read(cut(header, rest.len()))
}

/// A word of 64 bits, whose upper half comes first if `halves`.
fn number(bytes: &[u8; 8], halves: bool) -> u64 {
    u64::from_le_bytes(*bytes).rotate_left(if halves { 32 } else { 0 })
}

/// Whether the upper half of each word comes first, as IMX636 sends it ("legacy") and GenX320 does not: what the
/// header says, else what gives more words a type that there is.
fn halves_first(header: &Header<'_>, words: &[[u8; 8]]) -> bool {
    if header.says("endianness=") {
        return header.says("endianness=legacy");
    }
    let known = |halves: bool| {
        let typed = |word: &&[u8; 8]| TYPES.contains(&(number(word, halves) >> 60));
        words.iter().take(1 << 16).filter(typed).count()
    };
    known(true) > known(false)
}

/// The damage of a file that ends within a word.
pub(super) fn cut(header: &Header<'_>, rest: usize) -> Option<EventError> {
    let offset = header.size + header.body.len() - rest;
    (rest != 0).then_some(EventError::Cut { offset })
}
