//! `.npz` with arrays `t` (microseconds), `x`, `y` and `p` (1 brighter, 0 or -1 darker) of one recording.

use super::{Event, EventError, Read, Recording};
use crate::format::npz::Npz;

/// Largest time: beyond any recording and any count of microseconds since 1970, and far from overflow.
const MAX_TIME: i64 = 1 << 53;
/// A first time of 71 minutes or more is that of a clock that ran before the recording.
const RUNNING: u64 = 1 << 32;

/// The recording of an archive.
pub fn read(npz: &Npz) -> Result<Read, EventError> {
    let column = |name: &'static str, least: i64, limit: i64| -> Result<Vec<i64>, EventError> {
        let array = npz.get(name)?.ok_or(EventError::Missing(name))?;
        let values = array.to_i64().map_err(|source| EventError::Array { name, source })?;
        match values.iter().position(|v| !(least..=limit).contains(v)) {
            Some(index) => {
                Err(EventError::Range { index, name, value: values[index], least, limit })
            }
            None => Ok(values),
        }
    };
    let t = column("t", 0, MAX_TIME)?;
    let axis = |name, least, limit| {
        let values = column(name, least, limit)?;
        if values.len() == t.len() {
            return Ok(values);
        }
        Err(EventError::Lengths { name, expected: t.len(), found: values.len() })
    };
    let (x, y) = (axis("x", 0, u16::MAX.into())?, axis("y", 0, u16::MAX.into())?);
    let p = axis("p", -1, 1)?;
    // A file with -1 uses it for darker events; 0 in the same file would be neither polarity.
    if let (true, Some(index)) = (p.contains(&-1), p.iter().position(|&p| p == 0)) {
        return Err(EventError::Polarity(index));
    }
    let event = |(((&t, &x), &y), &p): (((&i64, &i64), &i64), &i64)| Event {
        microseconds: t as u64,
        x: x as u16,
        y: y as u16,
        brighter: p == 1,
    };
    let events: Vec<Event> = t.iter().zip(&x).zip(&y).zip(&p).map(event).collect();
    let first = events.iter().map(|e| e.microseconds).min().unwrap_or(0);
    let recording = Recording { label: None, events, began: 0 };
    Ok(Read::whole(vec![if first >= RUNNING { recording.since_first() } else { recording }]))
}
