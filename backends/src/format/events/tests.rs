mod cameras;

use proptest::prelude::*;

use super::*;
use crate::format::npy::NpyArray;
use crate::format::npz::{Compression, NpzWriter};

/// The event x, y, polarity, microseconds in 40 bits.
fn packed(x: u8, y: u8, brighter: bool, t: u32) -> [u8; 5] {
    let [_, high, middle, low] = t.to_be_bytes();
    [x, y, high | u8::from(brighter) << 7, middle, low]
}

fn event(x: u16, y: u16, brighter: bool, microseconds: u64) -> Event {
    Event { microseconds, x, y, brighter }
}

#[test]
fn forty_bits_are_read_with_the_clock_that_overflows() {
    let bytes =
        [packed(3, 4, true, 0x7f_1234), packed(0, 240, false, 0), packed(33, 0, false, 5)].concat();
    let recordings = read(bytes).unwrap();
    assert_eq!(recordings.len(), 1);
    assert_eq!(recordings[0].events, [event(33, 0, false, 8192 + 5), event(3, 4, true, 0x7f_1234)]);
}

#[test]
fn recordings_behind_headers_have_labels() {
    let header =
        |index: u32, label: u32, count: u32| [index, label, count].map(u32::to_le_bytes).concat();
    let bytes = [header(1, 7, 1), packed(1, 2, true, 9).to_vec(), header(2, 3, 0)].concat();
    let recordings = read(bytes.clone()).unwrap();
    let labels: Vec<_> = recordings.iter().map(|r| (r.label, r.events.len())).collect();
    assert_eq!(labels, [(Some(7), 1), (Some(3), 0)]);
    assert!(matches!(read(bytes[..bytes.len() - 1].to_vec()), Err(EventError::Length(28))));
}

fn npz(columns: &[(&str, &[i64])]) -> Vec<u8> {
    let mut out = NpzWriter::new(Compression::Stored);
    for (name, values) in columns {
        out.add(name, &NpyArray::from_i64([values.len()], values).unwrap()).unwrap();
    }
    out.finish().unwrap()
}

#[test]
fn arrays_of_an_archive_are_a_recording() {
    let good = npz(&[("t", &[20, 10]), ("x", &[1, 2]), ("y", &[3, 4]), ("p", &[1, 0])]);
    let recordings = read(good).unwrap();
    assert_eq!(recordings[0].events, [event(2, 4, false, 10), event(1, 3, true, 20)]);
    let missing = npz(&[("t", &[1]), ("x", &[1]), ("y", &[1])]);
    assert!(matches!(read(missing), Err(EventError::Missing("p"))));
    let short = npz(&[("t", &[1]), ("x", &[]), ("y", &[1]), ("p", &[1])]);
    assert!(matches!(read(short), Err(EventError::Lengths { name: "x", .. })));
    let beyond = npz(&[("t", &[1]), ("x", &[1]), ("y", &[-1]), ("p", &[1])]);
    assert!(matches!(read(beyond), Err(EventError::Range { name: "y", value: -1, .. })));
}

#[test]
fn polarities_and_clocks_of_others_are_taken() {
    let signs = npz(&[("t", &[7, 8]), ("x", &[1, 2]), ("y", &[3, 4]), ("p", &[-1, 1])]);
    assert_eq!(read(signs).unwrap()[0].events, [event(1, 3, false, 7), event(2, 4, true, 8)]);
    let mixed = npz(&[("t", &[7, 8]), ("x", &[1, 2]), ("y", &[3, 4]), ("p", &[-1, 0])]);
    assert!(matches!(read(mixed), Err(EventError::Polarity(1))));
    // Microseconds since 1970.
    let since = 1_790_000_000_000_000;
    let epoch = npz(&[("t", &[since + 9, since]), ("x", &[1, 2]), ("y", &[3, 4]), ("p", &[0, 1])]);
    let recording = read(epoch).unwrap().remove(0);
    assert_eq!(recording.began, since as u64);
    assert_eq!(recording.events, [event(2, 4, true, 0), event(1, 3, false, 9)]);
}

#[test]
fn squares_are_summed_and_what_lies_outside_is_left_out() {
    let events = vec![event(9, 3, true, 0), event(4, 8, false, 5)];
    let mut recording = Recording { events, ..Recording::default() };
    recording.pool(3);
    assert_eq!(recording.events, [event(3, 1, true, 0), event(1, 2, false, 5)]);
    let bins = Bins::new(&[2, 3, 3], 1, Form::Counts).unwrap();
    assert!(matches!(bins.check(&recording), Err(EventError::Outside { index: 0, x: 3, .. })));
    bins.crop(&mut recording);
    assert_eq!(recording.events, [event(1, 2, false, 5)]);
    assert!(bins.check(&recording).is_ok());
}

#[test]
fn polarity_is_a_channel_and_payloads_count() {
    let recording = Recording {
        events: vec![
            event(0, 0, true, 0),
            event(0, 0, true, 99),
            event(1, 0, false, 99),
            event(1, 1, true, 250),
        ],
        ..Recording::default()
    };
    let bins = Bins::new(&[1, 2, 2, 2], 100, Form::Counts).unwrap();
    assert_eq!(bins.count(&recording).unwrap(), 3);
    let rows = bins.rows(&recording, 0, 3).unwrap();
    assert_eq!(rows[0], [0, 1, 0, 0, 2, 0, 0, 0]);
    assert_eq!(rows[1], [0; 8]);
    assert_eq!(rows[2], [0, 0, 0, 0, 0, 0, 0, 1]);
    assert_eq!(bins.rows(&recording, 2, 1).unwrap(), rows[2..]);
    let frames = Bins::new(&[2, 2], 1000, Form::Frames).unwrap();
    assert_eq!(frames.rows(&recording, 0, 1).unwrap(), [[1, 1, 0, 1]]);
    let small = Bins::new(&[2, 1, 2], 100, Form::Counts).unwrap();
    assert!(matches!(small.rows(&recording, 2, 1), Err(EventError::Outside { index: 3, .. })));
    assert!(matches!(Bins::new(&[3, 8, 8], 1, Form::Counts), Err(EventError::Shape(_))));
    let endless = Recording { events: vec![event(0, 0, true, 1 << 40)], ..Recording::default() };
    assert!(matches!(bins.count(&endless).map(|n| n > MAX_BINS), Err(EventError::TooLong(_))));
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        let _ = read(bytes.clone());
        let _ = read([&[0x1f, 0x8b, 8, 0][..], &bytes].concat());
        let _ = read([&b"PK\x03\x04"[..], &bytes].concat());
    }
}
