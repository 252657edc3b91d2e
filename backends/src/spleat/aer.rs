//! Address events: the words between layers.

use super::geometry::Map;
use super::hardware::AerWord;

/// A word between layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// A spike.
    Spike(Event),
    /// All spikes of a timestep have been sent.
    EndOfTimestep,
    /// All timesteps of a sample have been sent.
    EndOfInference,
}

/// A spike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Event {
    /// Channel.
    pub c: usize,
    /// Row.
    pub y: usize,
    /// Column.
    pub x: usize,
    /// Payload, not 0.
    pub payload: i64,
}

/// The events of one timestep, in event order (y, x, c); `payloads` in (C, H, W) order.
pub fn events(payloads: &[i64], map: Map) -> Vec<Event> {
    let mut events = Vec::new();
    for y in 0..map.h {
        for x in 0..map.w {
            for c in 0..map.c {
                let payload = payloads.get(map.place(c, y, x)).copied().unwrap_or(0);
                if payload != 0 {
                    events.push(Event { c, y, x, payload });
                }
            }
        }
    }
    events
}

/// The words of one sample: its events timestep by timestep, each closed, and the end.
pub fn words(timesteps: &[Vec<i64>], map: Map) -> Vec<Word> {
    let mut words = Vec::new();
    for payloads in timesteps {
        words.extend(events(payloads, map).into_iter().map(Word::Spike));
        words.push(Word::EndOfTimestep);
    }
    words.push(Word::EndOfInference);
    words
}

impl AerWord {
    /// The bits of a word; fields keep their lowest bits.
    pub fn encode(&self, word: Word) -> u64 {
        let field = |[high, low]: [u32; 2], value: u64| {
            let mask = u64::MAX >> (63 - (high - low).min(63));
            (value & mask) << low
        };
        match word {
            Word::Spike(e) => {
                field(self.payload, e.payload as u64)
                    | field(self.c, e.c as u64)
                    | field(self.y, e.y as u64)
                    | field(self.x, e.x as u64)
            }
            Word::EndOfTimestep => field(self.kind, 1),
            Word::EndOfInference => field(self.kind, 2),
        }
    }

    /// The meaning of a word; `None` for the reserved type.
    pub fn decode(&self, bits: u64) -> Option<Word> {
        let field =
            |[high, low]: [u32; 2]| (bits >> low) & (u64::MAX >> (63 - (high - low).min(63)));
        match field(self.kind) {
            0 => {
                let width = self.payload[0] - self.payload[1] + 1;
                let raw = field(self.payload);
                let shift = 64 - width;
                let payload =
                    if self.payload_signed { ((raw << shift) as i64) >> shift } else { raw as i64 };
                let at = |range| field(range) as usize;
                Some(Word::Spike(Event { c: at(self.c), y: at(self.y), x: at(self.x), payload }))
            }
            1 => Some(Word::EndOfTimestep),
            2 => Some(Word::EndOfInference),
            _ => None,
        }
    }
}

/// A file of words, one to a line in hexadecimal, as simulators and people read it.
pub fn file(words: &[Word], aer: &AerWord) -> String {
    let digits = (aer.bits as usize).div_ceil(4);
    words.iter().map(|&w| format!("{:0digits$X}\n", aer.encode(w))).collect()
}

/// The same words as a table for people: timestep, type, channel, row, column, payload.
pub fn table(words: &[Word]) -> String {
    let mut out = String::from("t,type,c,y,x,p\n");
    let mut t = 0;
    for word in words {
        match word {
            Word::Spike(e) => {
                out.push_str(&format!("{t},spike,{},{},{},{}\n", e.c, e.y, e.x, e.payload));
            }
            Word::EndOfTimestep => {
                out.push_str(&format!("{t},end_of_timestep,,,,\n"));
                t += 1;
            }
            Word::EndOfInference => {
                out.push_str(&format!("{t},end_of_inference,,,,\n"));
                t = 0;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spleat::Hardware;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn words_survive(c in 0usize..4096, y in 0usize..2048, x in 0usize..2048, payload in -2048i64..2048) {
            let aer = Hardware::choose(None, None).unwrap().aer;
            for word in [Word::Spike(Event { c, y, x, payload }), Word::EndOfTimestep, Word::EndOfInference] {
                prop_assert_eq!(aer.decode(aer.encode(word)), Some(word));
            }
        }
    }

    #[test]
    fn events_come_by_place_then_channel() {
        let map = Map { c: 2, h: 1, w: 2 };
        let words = words(&[vec![1, 0, 3, -4], vec![0; 4]], map);
        assert_eq!(
            table(&words),
            "t,type,c,y,x,p\n0,spike,0,0,0,1\n0,spike,1,0,0,3\n0,spike,1,0,1,-4\n0,end_of_timestep,,,,\n1,end_of_timestep,,,,\n2,end_of_inference,,,,\n"
        );
        let aer = Hardware::choose(None, None).unwrap().aer;
        assert_eq!(file(&words[3..5], &aer), "400000000000\n400000000000\n");
        assert_eq!(aer.decode(3 << 46), None);
    }
}
