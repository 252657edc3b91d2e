//! Files of cameras, written here bit by bit from the formats' descriptions.

use super::*;

fn file(header: &str, body: impl IntoIterator<Item = Vec<u8>>) -> Vec<u8> {
    let mut bytes = header.as_bytes().to_vec();
    body.into_iter().for_each(|part| bytes.extend(part));
    bytes
}

fn one(bytes: Vec<u8>) -> Recording {
    let mut recordings = read(bytes).unwrap();
    assert_eq!(recordings.len(), 1);
    recordings.remove(0)
}

/// What is left of a file whose last byte is missing, and that it is refused otherwise.
fn without_its_end(mut bytes: Vec<u8>) -> usize {
    bytes.pop();
    assert!(matches!(read(bytes.clone()), Err(EventError::Cut { .. })));
    let (recordings, damage) = read_lenient(bytes).unwrap();
    assert!(damage.is_some());
    recordings[0].events.len()
}

#[test]
fn evt_2_has_the_upper_time_in_words_of_its_own() {
    let word = |kind: u32, rest: u32| (kind << 28 | rest).to_le_bytes().to_vec();
    let cd = |kind, low: u32, x: u32, y: u32| word(kind, low << 22 | x << 11 | y);
    let words = [
        cd(1, 9, 1, 1),
        word(8, 100),
        cd(1, 5, 2047, 3),
        word(10, 1),
        cd(0, 6, 4, 2047),
        word(8, 0x0fff_ffff),
        word(8, 0),
        cd(0, 1, 7, 8),
    ];
    let bytes = file("% Date 2020-01-01\n% evt 2.0\n", words);
    let recording = one(bytes.clone());
    assert_eq!(recording.began, 100 << 6 | 5);
    let after = (1 << 34) + 1 - recording.began;
    let all = [event(2047, 3, true, 0), event(4, 2047, false, 1), event(7, 8, false, after)];
    assert_eq!(recording.events, all, "events before the first time word are left out");
    assert_eq!(without_its_end(bytes), 2);
}

#[test]
fn evt_2_1_holds_32_pixels_in_a_word_of_either_order() {
    let cd = |kind: u64, low: u64, x: u64, y: u64, valid: u64| {
        kind << 60 | low << 54 | x << 43 | y << 32 | valid
    };
    let words = [8 << 60 | 3 << 32, cd(1, 2, 64, 5, 1 << 30 | 1), cd(0, 3, 32, 6, 2)];
    let all = [event(64, 5, true, 0), event(94, 5, true, 0), event(33, 6, false, 1)];
    let whole = words.map(|w: u64| w.to_le_bytes().to_vec());
    let halves = words.map(|w| w.rotate_left(32).to_le_bytes().to_vec());
    let headers = ["% evt 2.1\n", "% format EVT21;height=720;width=1280\n% end\n"];
    for header in headers {
        for words in [&whole, &halves] {
            let recording = one(file(header, words.clone()));
            assert_eq!((recording.events.as_slice(), recording.began), (&all[..], 194), "{header}");
        }
    }
    let said = "% format EVT21;endianness=legacy;height=720\n% end\n";
    assert_eq!(one(file(said, halves)).events, all);
    assert_eq!(without_its_end(file(headers[0], whole)), 2);
}

#[test]
fn evt_3_keeps_row_base_and_time() {
    let words: [u16; 14] = [
        0x8001, 0x6002, 0x0005, 0x2803, // time 4098, row 5, x 3 brighter
        0x3064, 0x4801, 0x5003, // base 100 darker, bits 0 and 11, then bits 0 and 1 from 112
        0x8001, 0x6009, 0x6003, // the same upper time, a step ahead and back
        0x2007, 0x8fff, 0x8000, 0x2009, // x 7; overflow of 24 bits; x 9
    ];
    let bytes = file("% evt 3.0\n", words.map(|w| w.to_le_bytes().to_vec()));
    let recording = one(bytes.clone());
    assert_eq!(recording.began, 4098);
    let expected = [
        event(3, 5, true, 0),
        event(100, 5, false, 0),
        event(111, 5, false, 0),
        event(112, 5, false, 0),
        event(113, 5, false, 0),
        event(7, 5, false, 1),
        event(9, 5, false, (1 << 24) - 4098),
    ];
    assert_eq!(recording.events, expected);
    assert_eq!(without_its_end(bytes), 6);
}

#[test]
fn dat_is_read_in_version_2() {
    let record = |t: u32, x: u32, y: u32, p: u32| {
        [t.to_le_bytes(), (x | y << 14 | p << 28).to_le_bytes()].concat()
    };
    let header = "% Data file containing CD events\n% Version 2\n% Width 640\n";
    let body = [vec![0x0c, 8], record(u32::MAX, 639, 479, 1), record(4, 1, 2, 0)];
    let bytes = file(header, body.clone());
    let recording = one(bytes.clone());
    assert_eq!(recording.events, [event(639, 479, true, 0), event(1, 2, false, 5)]);
    assert_eq!(without_its_end(bytes), 1);
    let old = file("% Data file containing CD events\n% Version 1\n", body.clone());
    assert!(matches!(read(old), Err(EventError::Unread(_))));
    let mut wide = body;
    wide[0][1] = 16;
    assert!(matches!(read(file(header, wide)), Err(EventError::Unread(_))));
}

#[test]
fn aedat_2_counts_rows_from_below() {
    let record = |address: u32, t: u32| [address.to_be_bytes(), t.to_be_bytes()].concat();
    let dvs = file(
        "#!AER-DAT2.0\r\n# created by jAER\r\n",
        [record(2 << 8 | 1 << 1, 50), record(127 << 8 | 127 << 1 | 1, 60), record(1 << 15, 61)],
    );
    assert_eq!(one(dvs.clone()).events, [event(126, 125, true, 0), event(0, 0, false, 10)]);
    assert_eq!(without_its_end(dvs), 2);
    let davis = file(
        "#!AER-DAT2.0\r\n# AEChip: eu.seebetter.ini.chips.davis.DAVIS240C\r\n",
        [
            record(179 << 22 | 239 << 12 | 1 << 11, 5),
            record(1 << 31, 6),
            record(1 << 10, 7),
            record(0, 8),
        ],
    );
    assert_eq!(one(davis).events, [event(239, 0, true, 0), event(0, 179, false, 3)]);
}

#[test]
fn aedat_3_1_is_read_packet_by_packet() {
    let packet = |kind: u16, overflow: u32, events: &[(u32, u32)]| {
        let count = events.len() as u32;
        let head = [8, 4, overflow, count, count, count].map(u32::to_le_bytes).concat();
        let body = events.iter().flat_map(|&(data, t)| [data, t].map(u32::to_le_bytes).concat());
        [kind.to_le_bytes().to_vec(), vec![1, 0], head, body.collect()].concat()
    };
    let valid = |x: u32, y: u32, p: u32| x << 17 | y << 2 | p << 1 | 1;
    let bytes = file(
        "#!AER-DAT3.1\r\n#Format: RAW\r\n#!END-HEADER\r\n",
        [
            packet(1, 0, &[(valid(3, 4, 1), 10), (valid(5, 6, 0) & !1, 11)]),
            packet(2, 0, &[(valid(9, 9, 1), 12)]),
            packet(1, 1, &[(valid(7, 8, 0), 13)]),
        ],
    );
    let all = [event(3, 4, true, 0), event(7, 8, false, (1 << 31) + 3)];
    assert_eq!(one(bytes.clone()).events, all);
    assert_eq!(without_its_end(bytes), 1);
    assert!(matches!(read(b"#!AER-DAT4.0\r\n".to_vec()), Err(EventError::Unread("AEDAT 4"))));
}

/// Of what has no mark of its own each five bytes would be an event.
#[test]
fn what_is_known_to_be_something_else_is_no_atis() {
    let others: [&[u8]; 4] = [
        b"% evt 9.9\n\x01\x02\x03\x04\x05",
        b"\x93NUMPY\x01\x00v\x00",
        b"\x89HDF\r\n\x1a\n\x00\x00",
        b"t,x,y,p\n1,2,3,1\n4,5,6,0\n\n",
    ];
    for bytes in others {
        assert_eq!(bytes.len() % 5, 0, "else the length gives it away");
        assert!(matches!(read(bytes.to_vec()), Err(EventError::Unread(_))), "{bytes:?}");
    }
}

#[test]
fn headers_alone_are_recordings_without_events() {
    for header in ["% evt 2.0\n", "% evt 2.1\n", "% evt 3.0\n", "#!AER-DAT3.1\r\n#!END-HEADER\r\n"]
    {
        assert_eq!(one(header.as_bytes().to_vec()), Recording::default(), "{header}");
    }
}

proptest! {
    /// Damage never brings down a reader, and what comes before it is read.
    #[test]
    fn any_bytes_behind_any_header_are_read_or_refused(
        header in prop::sample::select(vec![
            "% evt 2.0\n", "% evt 2.1\n", "% evt 3.0\n", "% Version 2\n", "#!AER-DAT2.0\r\n",
            "#!AER-DAT2.0\r\n# DAVIS346\r\n", "#!AER-DAT3.1\r\n#!END-HEADER\r\n",
        ]),
        body in prop::collection::vec(any::<u8>(), 0..400),
    ) {
        let bytes = file(header, [body]);
        if let Ok((recordings, _)) = read_lenient(bytes) {
            let sorted = |r: &Recording| r.events.is_sorted_by_key(|e| e.microseconds);
            prop_assert!(recordings.iter().all(sorted));
        }
    }
}
