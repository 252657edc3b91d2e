//! Files that are damaged by accident or made to do harm. Those in `testdata` are described in
//! `testdata/make.py`.

use super::*;
use crate::format::{LimitExceeded, Limits};
use hdf5_pure::{Datatype, FileBuilder};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use std::thread;

/// Reads what may be damaged, and everything in it.
fn survives(bytes: Vec<u8>) {
    match Hdf5Tree::read(bytes) {
        Err(error) => assert!(!error.to_string().is_empty()),
        Ok(tree) => {
            let _ = (tree.scalar_i64("scalar/i64"), tree.text("version"), tree.to_bytes());
        }
    }
}

#[test]
fn other_files_are_refused() {
    for bytes in [&b""[..], b"\x89HDF", b"\x93NUMPY", &[0; 5000]] {
        assert!(matches!(Hdf5Tree::read(bytes), Err(Hdf5Error::NotHdf5)));
    }
}

#[test]
fn cut_off_files_do_not_panic() {
    for whole in [FROM_H5PY, &sample().to_bytes().unwrap()] {
        for len in (0..whole.len()).step_by(29) {
            survives(whole[..len].to_vec());
        }
    }
}

#[test]
fn flipped_bytes_do_not_panic() {
    let config = Config { cases: 2000, failure_persistence: None, ..Config::default() };
    for (whole, seed) in [(FROM_H5PY.to_vec(), 1), (sample().to_bytes().unwrap(), 2)] {
        // Most of the file of h5py is zeros between the objects, where flips would test nothing.
        let used: Vec<usize> = (0..whole.len()).filter(|&at| whole[at] != 0).collect();
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
        let flip = (proptest::sample::select(used), any::<u8>());
        TestRunner::new_with_rng(config.clone(), rng)
            .run(&proptest::collection::vec(flip, 1..5), |flips| {
                let mut bytes = whole.clone();
                for (at, value) in flips {
                    bytes[at] = value;
                }
                survives(bytes);
                Ok(())
            })
            .unwrap();
    }
}

#[test]
fn a_panic_of_the_library_is_an_error() {
    for work in [|| panic!("of {}", "some kind"), || panic!("of some kind")] {
        let error = read::on_own_thread(work).unwrap_err();
        assert!(
            matches!(&error, Hdf5Error::Damaged { reason } if reason == "of some kind"),
            "{error}"
        );
    }
}

#[test]
fn a_cut_off_dataset_is_named() {
    let mut tree = Hdf5Tree::new();
    let long = NpyArray::from_u8([5000], &[7; 5000]).unwrap();
    tree.insert("a/long", Hdf5Value::from(long)).unwrap();
    let bytes = tree.to_bytes().unwrap();
    let start = bytes.windows(9).position(|window| window == [7; 9]).unwrap();
    let shorter = [&bytes[..start], &bytes[start + 4000..]].concat();
    let tree = Hdf5Tree::read(shorter).unwrap();
    let error = tree.array("a/long").unwrap_err();
    assert!(matches!(&error, Hdf5Error::Unreadable { path, .. } if path == "a/long"), "{error}");
}

#[test]
fn soft_links_of_the_oldest_format_are_an_orderly_error() {
    let error = Hdf5Tree::read(&include_bytes!("../testdata/soft_link.h5")[..]).unwrap_err();
    assert!(matches!(error, Hdf5Error::Structure { .. }), "{error}");
}

#[test]
fn circles_of_groups_are_refused() {
    let error = Hdf5Tree::read(&include_bytes!("../testdata/circle.h5")[..]).unwrap_err();
    assert!(matches!(error, Hdf5Error::TooDeep { .. }), "{error}");
    let error = Hdf5Tree::read(&include_bytes!("../testdata/branching.h5")[..]).unwrap_err();
    assert!(matches!(error, Hdf5Error::TooManyObjects { .. }), "{error}");
}

/// Tables of a group that lead to each other: every one names the next 64 times.
#[test]
fn tables_that_branch_without_end_are_given_up() {
    const ROOT_TABLE: usize = 80;
    let mut bytes = include_bytes!("../testdata/many_chunks.h5").to_vec();
    let original: [u8; 8] = bytes[ROOT_TABLE..][..8].try_into().unwrap();
    let mut next = original;
    for level in 1..=12 {
        let address = bytes.len() as u64;
        bytes.extend_from_slice(&[b'T', b'R', b'E', b'E', 0, level, 64, 0]);
        bytes.extend_from_slice(&[0xff; 16]);
        for _ in 0..64 {
            bytes.extend_from_slice(&[0; 8]);
            bytes.extend_from_slice(&next);
        }
        bytes.extend_from_slice(&[0; 8]);
        next = address.to_le_bytes();
    }
    while let Some(at) = bytes[..1400].windows(8).position(|window| window == original) {
        bytes[at..at + 8].copy_from_slice(&next);
    }
    let error = Hdf5Tree::read(bytes).unwrap_err();
    let reason = std::error::Error::source(&error).unwrap().to_string();
    assert!(reason.contains("circles"), "{reason}");
}

#[test]
fn a_chunk_larger_than_the_file_takes_no_memory() {
    let mut bytes = include_bytes!("../testdata/large_chunk.h5").to_vec();
    let table = bytes.windows(5).position(|window| window == b"TREE\x01").unwrap();
    bytes[table + 24..][..4].copy_from_slice(&[0xff; 4]);
    let error = Hdf5Tree::read(bytes).unwrap().array("x").unwrap_err();
    assert!(error.to_string().contains("beyond the end"), "{error}");
}

#[test]
fn data_that_is_not_there_takes_no_memory() {
    let refused = |bytes: &'static [u8]| match Hdf5Tree::read(bytes).unwrap_err() {
        Hdf5Error::Limit { path, source } => (path, source),
        other => panic!("{other}"),
    };
    let (path, limit) = refused(include_bytes!("../testdata/large_shape.h5"));
    assert!(path == "x" && matches!(limit, LimitExceeded::Size { .. }), "{path}: {limit}");
    let (path, limit) = refused(include_bytes!("../testdata/large_together.h5"));
    assert!(path == "1" && matches!(limit, LimitExceeded::Ratio { .. }), "{path}: {limit}");
    let (path, limit) = refused(include_bytes!("../testdata/many_strings.h5"));
    assert!(path == "x" && matches!(limit, LimitExceeded::Ratio { .. }), "{path}: {limit}");
}

#[test]
fn what_is_stored_once_and_used_often_is_counted_often() {
    let limits = Limits { max_member_bytes: 1 << 20, ..Limits::default() };
    for bytes in [
        &include_bytes!("../testdata/large_chunk.h5")[..],
        &include_bytes!("../testdata/shared_text.h5")[..],
    ] {
        let error = Hdf5Tree::read_with(bytes, limits).unwrap_err();
        assert!(matches!(&error, Hdf5Error::Limit { path, .. } if path == "x"), "{error}");
        let tree = Hdf5Tree::read(bytes).unwrap();
        assert!(tree.get("x").is_some());
    }
}

#[test]
fn more_chunks_than_a_file_can_hold_are_not_listed() {
    let tree = Hdf5Tree::read(&include_bytes!("../testdata/many_chunks.h5")[..]).unwrap();
    let error = tree.array("x").unwrap_err();
    assert!(error.to_string().contains("more chunks"), "{error}");
}

#[test]
fn datasets_that_can_grow_in_the_newest_format_are_refused() {
    let tree = Hdf5Tree::read(&include_bytes!("../testdata/growing.h5")[..]).unwrap();
    let error = tree.array("x").unwrap_err();
    assert!(error.to_string().contains("it can grow"), "{error}");
    assert_eq!(tree.i64s("fixed").unwrap(), [0, 1, 2, 3, 4]);
}

/// Types inside types, as many as a file can hold, on the stack that every other thread has.
#[test]
fn nested_types_do_not_exhaust_the_stack() {
    const LEVELS: usize = 8000;
    let write = || {
        let mut datatype = hdf5_pure::make_i8_type();
        for _ in 0..LEVELS {
            datatype = Datatype::VariableLength {
                is_string: false,
                padding: None,
                charset: None,
                base_type: Box::new(datatype),
            };
        }
        let mut file = FileBuilder::new();
        file.create_dataset("x").with_raw_data(datatype, vec![], 0).with_shape(&[0]);
        file.finish().unwrap()
    };
    let bytes = thread::Builder::new().stack_size(256 << 20).spawn(write).unwrap().join().unwrap();
    assert!(bytes.len() > 8 * LEVELS);
    let tree = Hdf5Tree::read(bytes).unwrap();
    assert!(matches!(tree.array("x"), Err(Hdf5Error::Unreadable { .. })));
}
