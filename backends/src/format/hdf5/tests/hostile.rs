//! Files that are damaged by accident or made to do harm. Those in `testdata` are described in
//! `testdata/make.py`.

use super::*;
use crate::format::{LimitExceeded, Limits};
use hdf5_pure::{Datatype, FileBuilder};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use std::thread;

/// Reads what may be damaged, and everything in it. A panic of the library is told apart from
/// orderly errors.
fn survives(bytes: Vec<u8>) {
    match Hdf5Tree::read(bytes) {
        Err(Hdf5Error::Damaged { reason }) => panic!("the library panicked: {reason}"),
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
    let config = Config { cases: 3000, failure_persistence: None, ..Config::default() };
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
fn a_cut_off_dataset_is_named() {
    let mut tree = Hdf5Tree::new();
    let long = NpyArray::from_u8([5000], &[7; 5000]).unwrap();
    tree.insert("a/long", Hdf5Value::from(long)).unwrap();
    let bytes = tree.to_bytes().unwrap();
    let start = bytes.windows(9).position(|window| window == [7; 9]).unwrap();
    let shorter = [&bytes[..start], &bytes[start + 4000..]].concat();
    match Hdf5Tree::read(shorter) {
        Ok(tree) => {
            let error = tree.array("a/long").unwrap_err();
            assert!(error.to_string().contains("\"a/long\""), "{error}");
        }
        Err(error) => assert!(matches!(error, Hdf5Error::Structure { .. }), "{error}"),
    }
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

#[test]
fn data_that_is_not_there_takes_no_memory() {
    let error = Hdf5Tree::read(&include_bytes!("../testdata/large_shape.h5")[..]).unwrap_err();
    assert!(
        matches!(&error, Hdf5Error::Limit { path, source: LimitExceeded::Size { .. } } if path == "x"),
        "{error}"
    );
    let error = Hdf5Tree::read(&include_bytes!("../testdata/large_together.h5")[..]).unwrap_err();
    assert!(
        matches!(&error, Hdf5Error::Limit { path, source: LimitExceeded::Ratio { .. } } if path == "1"),
        "{error}"
    );
    let error = Hdf5Tree::read(&include_bytes!("../testdata/many_strings.h5")[..]).unwrap_err();
    assert!(matches!(error, Hdf5Error::Limit { .. }), "{error}");
}

#[test]
fn what_is_stored_once_and_used_often_is_counted_often() {
    let limits = Limits { max_member_bytes: 1 << 20, ..Limits::default() };
    for bytes in [
        &include_bytes!("../testdata/large_chunk.h5")[..],
        &include_bytes!("../testdata/shared_text.h5")[..],
    ] {
        let error = Hdf5Tree::read_with(bytes, limits).unwrap_err();
        assert!(
            matches!(&error, Hdf5Error::Limit { path, source: LimitExceeded::Size { .. } } if path == "x"),
            "{error}"
        );
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
