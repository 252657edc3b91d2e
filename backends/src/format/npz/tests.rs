//! Against an archive that NumPy 2.4 wrote, and against hostile ones.

use super::*;
use crate::format::npy::{NpyArray, NpyType};
use crate::format::{LimitExceeded, Limits};
use proptest::prelude::*;
use std::io::{Cursor, Write};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// `numpy.savez_compressed(file, **{"x": arange(3, int16), "/conv/1": float32(2)})`
const FROM_NUMPY: &str = "\
    504b03042d0000000800000021006acff251ffffffffffffffff05001400782e6e707901001000860000000000\
    00004a000000000000009bec17ea1b10c9c850c650ad9e925a9c5ca46ea5a06e9369a4aea3a09e965f54529498\
    179f5f94920a12774bcc294e058a17672416a402f91ac63a9a3a0ab50a14002e06064606260600504b03042d00\
    0000080000002100c6a8a656ffffffffffffffff0b0014002f636f6e762f312e6e707901001000840000000000\
    000046000000000000009bec17ea1b10c9c850c650ad9e925a9c5ca46ea5a06e9366a2aea3a09e965f54529498\
    179f5f94920a12774bcc294e058a17672416a402f91a9a3a0ab50a14012e0606060700504b01022d032d000000\
    0800000021006acff2514a00000086000000050000000000000000000000800100000000782e6e7079504b0102\
    2d032d000000080000002100c6a8a65646000000840000000b00000000000000000000008001810000002f636f\
    6e762f312e6e7079504b050600000000020002006c000000040100000000";

/// Offsets of fields in an entry of the central directory.
const FLAGS: usize = 8;
const METHOD: usize = 10;
const STORED_SIZE: usize = 20;
const SIZE: usize = 24;

fn hex(text: &str) -> Vec<u8> {
    let nibble = |digit: u8| char::from(digit).to_digit(16).unwrap() as u8;
    text.as_bytes().chunks(2).map(|pair| nibble(pair[0]) << 4 | nibble(pair[1])).collect()
}

fn archive(compression: Compression, arrays: &[(&str, NpyArray)]) -> Vec<u8> {
    let mut writer = NpzWriter::new(compression);
    for (name, array) in arrays {
        writer.add(name, array).unwrap();
    }
    writer.finish().unwrap()
}

fn ramp(len: usize) -> NpyArray {
    NpyArray::from_i32([len], &(0..len as i32).collect::<Vec<_>>()).unwrap()
}

/// An archive of one deflated member with any content.
fn deflated(file_name: &str, content: &[u8]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
    writer.start_file(file_name, options).unwrap();
    writer.write_all(content).unwrap();
    writer.finish().unwrap().into_inner()
}

/// Overwrites a field in the first entry of the central directory.
fn patch(bytes: &mut [u8], field: usize, value: &[u8]) {
    let entry = bytes.windows(4).position(|window| window == b"PK\x01\x02").unwrap();
    bytes[entry + field..][..value.len()].copy_from_slice(value);
}

fn get(bytes: Vec<u8>, name: &str) -> Result<NpyArray, NpzError> {
    Npz::open(bytes)?.get(name).map(|array| array.expect("the name is in the archive"))
}

#[test]
fn reads_what_numpy_writes() {
    let npz = Npz::open(hex(FROM_NUMPY)).unwrap();
    assert_eq!(npz.names().collect::<Vec<_>>(), ["x", "/conv/1"]);
    assert_eq!(npz.get("x").unwrap().unwrap(), NpyArray::from_i16([3], &[0, 1, 2]).unwrap());
    assert_eq!(npz.get("/conv/1").unwrap().unwrap(), NpyArray::from_f32([], &[2.0]).unwrap());
    assert_eq!(npz.get("y").unwrap(), None);
}

#[test]
fn the_same_arrays_give_the_same_bytes() {
    let arrays = [("b", ramp(100)), ("a", ramp(3))];
    for compression in [Compression::Stored, Compression::Deflated] {
        let bytes = archive(compression, &arrays);
        assert_eq!(bytes, archive(compression, &arrays));
        let npz = Npz::open(bytes.clone()).unwrap();
        assert_eq!(npz.names().collect::<Vec<_>>(), ["b", "a"]);
        // 1 January 1980, midnight, in the entry of the directory.
        let entry = bytes.windows(4).position(|window| window == b"PK\x01\x02").unwrap();
        assert_eq!(bytes[entry + 12..][..4], [0, 0, 0x21, 0]);
    }
    let stored = archive(Compression::Stored, &arrays).len();
    assert!(archive(Compression::Deflated, &arrays).len() < stored);
}

#[test]
fn a_stored_array_is_not_copied() {
    let bytes = bytes::Bytes::from(archive(Compression::Stored, &[("x", ramp(100))]));
    let array = Npz::open(bytes.clone()).unwrap().get("x").unwrap().unwrap();
    assert!(bytes.as_ptr_range().contains(&array.data.as_ptr()));
}

#[test]
fn names_are_keys_and_not_paths() {
    let names = ["../x", "/a/b", "a\\b", "C:", "a.npy", "größe", " ", "a/"];
    let arrays = names.map(|name| (name, ramp(name.len())));
    let npz = Npz::open(archive(Compression::Stored, &arrays)).unwrap();
    assert_eq!(npz.names().collect::<Vec<_>>(), names);
    for (name, array) in arrays {
        assert_eq!(npz.get(name).unwrap(), Some(array));
    }
}

#[test]
fn names_that_cannot_be_stored_are_refused() {
    for name in ["", "a\0b", &"x".repeat(65532)] {
        let error = NpzWriter::new(Compression::Stored).add(name, &ramp(1)).unwrap_err();
        assert!(matches!(error, NpzError::Name { .. }), "{error}");
    }
    archive(Compression::Stored, &[(&"x".repeat(65000), ramp(1))]);
}

#[test]
fn the_writer_refuses_a_second_array_of_one_name() {
    let mut writer = NpzWriter::new(Compression::Stored);
    writer.add("x", &ramp(1)).unwrap();
    assert!(matches!(writer.add("x", &ramp(2)), Err(NpzError::Duplicate { .. })));
    let contradiction = NpyArray { shape: vec![9], ..ramp(1) };
    assert!(matches!(writer.add("y", &contradiction), Err(NpzError::Array { .. })));
    let npz = Npz::open(writer.finish().unwrap()).unwrap();
    assert_eq!(npz.names().collect::<Vec<_>>(), ["x"]);
}

#[test]
fn the_reader_refuses_two_arrays_of_one_name() {
    let mut bytes = archive(Compression::Stored, &[("aa", ramp(1)), ("ab", ramp(1))]);
    while let Some(at) = bytes.windows(6).position(|window| window == b"ab.npy") {
        bytes[at + 1] = b'a';
    }
    assert!(matches!(Npz::open(bytes), Err(NpzError::Duplicate { .. })));

    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for name in ["a", "a.npy"] {
        writer.start_file(name, SimpleFileOptions::default()).unwrap();
        writer.write_all(&ramp(1).to_bytes().unwrap()).unwrap();
    }
    let bytes = writer.finish().unwrap().into_inner();
    assert!(matches!(Npz::open(bytes), Err(NpzError::Duplicate { name }) if name == "a"));
}

#[test]
fn members_that_share_their_bytes_are_refused() {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    writer.start_file("a.npy", SimpleFileOptions::default()).unwrap();
    writer.write_all(&ramp(1000).to_bytes().unwrap()).unwrap();
    writer.shallow_copy_file("a.npy", "b.npy").unwrap();
    let bytes = writer.finish().unwrap().into_inner();
    assert!(matches!(Npz::open(bytes), Err(NpzError::Overlap)));
}

#[test]
fn folders_and_foreign_members_are_left_alone() {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    writer.add_directory("folder", SimpleFileOptions::default()).unwrap();
    writer.start_file("notes.txt", SimpleFileOptions::default()).unwrap();
    writer.write_all(b"not an array").unwrap();
    writer.start_file("x.npy", SimpleFileOptions::default()).unwrap();
    writer.write_all(&ramp(3).to_bytes().unwrap()).unwrap();
    let npz = Npz::open(writer.finish().unwrap().into_inner()).unwrap();
    assert_eq!(npz.names().collect::<Vec<_>>(), ["notes.txt", "x"]);
    assert_eq!(npz.get("x").unwrap(), Some(ramp(3)));
    assert!(matches!(npz.get("notes.txt"), Err(NpzError::Array { .. })));
}

#[test]
fn an_array_beyond_the_cap_is_refused() {
    let limits = Limits { max_member_bytes: 1000, ..Limits::default() };
    for compression in [Compression::Stored, Compression::Deflated] {
        let bytes = archive(compression, &[("small", ramp(200)), ("large", ramp(250))]);
        let npz = Npz::open_with(bytes, limits).unwrap();
        assert_eq!(npz.get("small").unwrap(), Some(ramp(200)));
        let error = npz.get("large").unwrap_err();
        assert!(
            matches!(error, NpzError::Limit { source: LimitExceeded::Size { .. }, .. }),
            "{error}"
        );
    }
}

#[test]
fn an_impossible_expansion_is_refused_before_it_is_tried() {
    let mut bytes = archive(Compression::Deflated, &[("x", ramp(100))]);
    patch(&mut bytes, SIZE, &(1u32 << 30).to_le_bytes());
    let error = get(bytes, "x").unwrap_err();
    assert!(
        matches!(error, NpzError::Limit { source: LimitExceeded::Ratio { .. }, .. }),
        "{error}"
    );
}

#[test]
fn honest_zeros_are_not_taken_for_a_bomb() {
    let zeros = NpyArray::new(NpyType::U8, [32 << 20], vec![0; 32 << 20]).unwrap();
    let bytes = archive(Compression::Deflated, &[("x", zeros.clone())]);
    assert!(bytes.len() < zeros.data.len() / 900);
    assert_eq!(get(bytes, "x").unwrap(), zeros);
}

#[test]
fn a_bomb_that_declares_little_is_refused() {
    // The header of a small array, and then 20 MiB of zeros.
    let mut content = ramp(100).to_bytes().unwrap();
    let declared = content.len() as u32;
    content.resize(20 << 20, 0);
    let mut bytes = deflated("x.npy", &content);
    patch(&mut bytes, SIZE, &declared.to_le_bytes());
    let error = get(bytes, "x").unwrap_err();
    assert!(matches!(error, NpzError::Member { .. }), "{error}");
}

#[test]
fn the_header_has_to_promise_what_the_directory_declares() {
    for wrong in [0, 399, 401] {
        let mut content = ramp(100).to_bytes().unwrap();
        content.resize(128 + wrong, 0);
        let error = get(deflated("x.npy", &content), "x").unwrap_err();
        assert!(matches!(error, NpzError::Size { found: 528, .. }), "{error}");
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
        writer.start_file("x.npy", options).unwrap();
        writer.write_all(&content).unwrap();
        let error = get(writer.finish().unwrap().into_inner(), "x").unwrap_err();
        assert!(matches!(error, NpzError::Array { .. }), "{error}");
    }
}

#[test]
fn a_stream_shorter_than_declared_is_refused() {
    let whole = ramp(100).to_bytes().unwrap();
    let mut bytes = deflated("x.npy", &whole[..500]);
    patch(&mut bytes, SIZE, &(whole.len() as u32).to_le_bytes());
    let error = get(bytes, "x").unwrap_err();
    assert!(matches!(error, NpzError::Size { evidence: "what was inflated", .. }), "{error}");
}

#[test]
fn damage_is_noticed() {
    let mut bytes = archive(Compression::Stored, &[("x", ramp(100))]);
    let at = 300;
    bytes[at] ^= 1;
    assert!(matches!(get(bytes, "x"), Err(NpzError::Checksum { .. })));

    let mut bytes = archive(Compression::Stored, &[("x", ramp(100))]);
    patch(&mut bytes, SIZE, &[1, 0, 0, 0]);
    assert!(matches!(get(bytes, "x"), Err(NpzError::Size { .. })));

    let mut bytes = archive(Compression::Stored, &[("x", ramp(100))]);
    patch(&mut bytes, SIZE, &[0, 0, 1, 0]);
    patch(&mut bytes, STORED_SIZE, &[0, 0, 1, 0]);
    assert!(matches!(Npz::open(bytes), Err(NpzError::Overlap)));

    let mut bytes = archive(Compression::Deflated, &[("x", ramp(100))]);
    patch(&mut bytes, 16, &[1, 2, 3, 4]);
    assert!(matches!(get(bytes, "x"), Err(NpzError::Member { .. })));
}

#[test]
fn encrypted_and_exotic_members_are_refused() {
    let mut bytes = archive(Compression::Deflated, &[("x", ramp(100))]);
    patch(&mut bytes, FLAGS, &[1, 0]);
    assert!(matches!(get(bytes, "x"), Err(NpzError::Member { .. })));
    let mut bytes = archive(Compression::Deflated, &[("x", ramp(100))]);
    patch(&mut bytes, METHOD, &[93, 0]);
    assert!(matches!(get(bytes, "x"), Err(NpzError::Member { .. })));
}

#[test]
fn a_cut_off_archive_is_refused() {
    let bytes = archive(Compression::Deflated, &[("x", ramp(100))]);
    for len in 0..bytes.len() {
        assert!(matches!(Npz::open(bytes[..len].to_vec()), Err(NpzError::Archive(_))), "{len}");
    }
}

proptest! {
    #[test]
    fn round_trip(
        arrays in proptest::collection::btree_map("[^\0]{1,12}", 0usize..300, 0..6),
        deflate in any::<bool>(),
    ) {
        let compression = if deflate { Compression::Deflated } else { Compression::Stored };
        let arrays: Vec<(&str, NpyArray)> =
            arrays.iter().map(|(name, &len)| (name.as_str(), ramp(len))).collect();
        let npz = Npz::open(archive(compression, &arrays)).unwrap();
        prop_assert_eq!(npz.names().len(), arrays.len());
        for (name, array) in arrays {
            prop_assert_eq!(npz.get(name).unwrap(), Some(array));
        }
    }

    #[test]
    fn damaged_archives_never_panic(
        deflate in any::<bool>(),
        flips in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let compression = if deflate { Compression::Deflated } else { Compression::Stored };
        let mut bytes = archive(compression, &[("x", ramp(20)), ("y", ramp(3))]);
        for (at, value) in flips {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Ok(npz) = Npz::open(bytes) {
            for name in npz.names() {
                let _ = npz.get(name);
            }
        }
    }
}
