//! Prophesee's EVT 3.0: words of 16 bits that change a state of row, column, polarity and time.
//!
//! Source: Prophesee, "EVT 3.0 Format" in the Metavision documentation, version 5.

use super::evt2::{Clock, cut};
use super::header::Header;
use super::{Event, Read, Recording};

const ROW: u16 = 0;
const EVENT: u16 = 2;
const BASE: u16 = 3;
const TWELVE: u16 = 4;
const EIGHT: u16 = 5;
const TIME_LOW: u16 = 6;
const TIME_HIGH: u16 = 8;

/// A recording in EVT 3.0.
///
/// The time is the last `EVT_TIME_HIGH` times 4096 and the last `EVT_TIME_LOW`. Sensors repeat the first now and
/// then with a later second that the next takes back; a decoder that counts such steps as overflows of the lower
/// 12 bits runs ahead by 4096 microseconds each time.
pub fn read(header: &Header<'_>) -> Read {
    let (words, rest) = header.body.as_chunks::<2>();
    let mut state = State {
        clock: Clock::new(12),
        low: 0,
        row: 0,
        base: 0,
        brighter: false,
        events: Vec::with_capacity(words.len()),
    };
    for word in words {
        state.take(u16::from_le_bytes(*word));
    }
    let recording = Recording { events: state.events, ..Recording::default() };
    recording.since_first().read(cut(header, rest.len()))
}

struct State {
    clock: Clock,
    low: u64,
    row: u16,
    base: u16,
    brighter: bool,
    events: Vec<Event>,
}

impl State {
    fn take(&mut self, word: u16) {
        let (place, flag) = (word & 0x7ff, word & 0x800 != 0);
        match word >> 12 {
            ROW => self.row = place,
            EVENT => self.event(place, flag),
            BASE => (self.base, self.brighter) = (place, flag),
            TWELVE => self.vector(word & 0xfff, 12),
            EIGHT => self.vector(word & 0xff, 8),
            TIME_LOW => self.low = u64::from(word & 0xfff),
            TIME_HIGH => {
                let before = self.clock.upper();
                self.clock.set(u64::from(word & 0xfff));
                // The lower bits of another upper half are not known yet.
                if self.clock.upper() != before {
                    self.low = 0;
                }
            }
            _ => {}
        }
    }

    fn event(&mut self, x: u16, brighter: bool) {
        let Some(upper) = self.clock.upper() else { return };
        let microseconds = upper << 12 | self.low;
        self.events.push(Event { microseconds, x, y: self.row, brighter });
    }

    /// An event for each bit, from the base on, which moves on behind them.
    fn vector(&mut self, bits: u16, width: u16) {
        for place in (0..width).filter(|place| bits >> place & 1 == 1) {
            self.event(self.base.saturating_add(place), self.brighter);
        }
        self.base = self.base.saturating_add(width);
    }
}
