//! Round trips, files of other writers, and refusals. Hostile files are in [`hostile`].

mod hostile;

use super::*;
use crate::format::npy::{NpyArray, NpyType};
use proptest::prelude::*;

/// Written by h5py 3.16, as `testdata/make.py` says.
const FROM_H5PY: &[u8] = include_bytes!("testdata/from_h5py.h5");

fn f32_array(values: &[f32]) -> Hdf5Value {
    NpyArray::from_f32([values.len()], values).unwrap().into()
}

/// A tree with something of everything that can be written.
fn sample() -> Hdf5Tree {
    let mut tree = Hdf5Tree::new();
    let mut put = |path: &str, value: Hdf5Value| tree.insert(path, value).unwrap();
    for layer in 0..12 {
        put(&format!("layer/{layer}/type"), Hdf5Value::ascii_array("dense"));
        let weight = NpyArray::from_i8([2, 3], &[-128, 1, 2, 3, 4, 127]).unwrap();
        put(&format!("layer/{layer}/weight"), weight.into());
        let decay = NpyArray::from_i32([], &[4096]).unwrap();
        put(&format!("layer/{layer}/neuron/iDecay"), decay.into());
        put(&format!("layer/{layer}/neuron/type"), Hdf5Value::ascii("CUBA"));
    }
    put("version", Hdf5Value::utf8("größe"));
    let edges = ["in", "a", "a", ""].map(str::to_owned).to_vec();
    put("node/edges", Hdf5Value::utf8_array([2, 2], edges));
    put("node/none", Hdf5Value::utf8_array([0, 2], vec![]));
    put("node/tau", f32_array(&[0.1, f32::NAN]));
    for dtype in NpyType::ALL {
        let data = vec![1; 3 * dtype.size()];
        put(&format!("types/{dtype}"), NpyArray::new(dtype, [1, 3], data).unwrap().into());
        put(&format!("types/no {dtype}"), NpyArray::new(dtype, [0], vec![]).unwrap().into());
    }
    tree.insert("empty group", Hdf5Tree::new()).unwrap();
    tree
}

#[test]
fn a_tree_survives_a_file() {
    let tree = sample();
    assert_eq!(Hdf5Tree::read(tree.to_bytes().unwrap()).unwrap(), tree);
    let empty = Hdf5Tree::new();
    assert_eq!(Hdf5Tree::read(empty.to_bytes().unwrap()).unwrap(), empty);
}

#[test]
fn the_same_tree_gives_the_same_bytes() {
    let bytes = sample().to_bytes().unwrap();
    assert_eq!(bytes, sample().to_bytes().unwrap());
    assert_eq!(Hdf5Tree::read(bytes.clone()).unwrap().to_bytes().unwrap(), bytes);
}

#[test]
fn a_group_may_have_thousands_of_members() {
    let mut tree = Hdf5Tree::new();
    for index in 0..5000 {
        let value = NpyArray::from_i64([], &[index]).unwrap();
        tree.insert(&format!("node/nodes/a somewhat longer name {index}"), Hdf5Value::from(value))
            .unwrap();
    }
    assert_eq!(Hdf5Tree::read(tree.to_bytes().unwrap()).unwrap(), tree);
}

#[test]
fn layers_can_be_had_in_the_order_of_names_or_of_numbers() {
    let mut tree = Hdf5Tree::new();
    for name in ["10", "2", "0", "1", "x", "01", "-1", "99999999999999999999"] {
        tree.insert(name, Hdf5Tree::new()).unwrap();
    }
    let names: Vec<&str> = tree.iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["-1", "0", "01", "1", "10", "2", "99999999999999999999", "x"]);
    let numbers: Vec<u64> = tree.iter_numbered().map(|(number, _)| number).collect();
    assert_eq!(numbers, [0, 1, 2, 10]);
}

#[test]
fn reads_what_h5py_writes() {
    let tree = Hdf5Tree::read(FROM_H5PY).unwrap();
    assert_eq!(tree.scalar_i64("scalar/i64").unwrap(), -5);
    assert_eq!(tree.scalar_i64("hard").unwrap(), -5);
    assert_eq!(tree.array("scalar/f64").unwrap(), &NpyArray::from_f64([], &[0.1]).unwrap());
    assert_eq!(tree.text("scalar/vlen").unwrap(), "größe");
    assert_eq!(tree.text("scalar/fixed").unwrap(), "dense");
    let matrix = NpyArray::from_u8([2, 3], &[0, 1, 2, 3, 4, 5]).unwrap();
    assert_eq!(tree.array("array/u8").unwrap(), &matrix);
    let swapped = NpyArray::from_i16([4], &[-2, -1, 0, 1]).unwrap();
    assert_eq!(tree.array("array/i16_big_endian").unwrap(), &swapped);
    assert_eq!(tree.array("array/f16").unwrap().dtype, NpyType::F16);
    assert_eq!(tree.f32s("array/f16").unwrap(), [0.5, -2.0, 65504.0]);
    let flags = NpyArray::new(NpyType::Bool, [3], vec![1, 0, 1]).unwrap();
    assert_eq!(tree.array("array/bool").unwrap(), &flags);
    let numbers = NpyArray::from_i16([2], &[2, 1]).unwrap();
    assert_eq!(tree.array("array/enum").unwrap(), &numbers);
    let fixed = tree.strings("array/fixed").unwrap();
    assert_eq!(fixed.encoding, StringEncoding::FixedAscii);
    assert_eq!(
        (&fixed.shape[..], &fixed.values[..]),
        (&[2][..], &["conv", "flatten"].map(String::from)[..])
    );
    assert_eq!(tree.text("array/fixed_utf8").unwrap(), "ä");
    assert_eq!(tree.text("array/space_padded").unwrap(), " a b");
    let edges = tree.strings("array/edges").unwrap();
    assert_eq!(edges.encoding, StringEncoding::VariableUtf8);
    assert_eq!(edges.shape, [2, 2]);
    assert_eq!(edges.values, ["in", "a", "a", ""]);
    let nothing = NpyArray::from_f32([0, 3], &[]).unwrap();
    assert_eq!(tree.array("array/empty").unwrap(), &nothing);
}

#[test]
fn reads_compressed_and_chunked_datasets_of_h5py() {
    let tree = Hdf5Tree::read(FROM_H5PY).unwrap();
    let expected: Vec<i32> = (0..70).collect();
    let expected = NpyArray::from_i32([7, 10], &expected).unwrap();
    assert_eq!(tree.array("chunked/gzip_shuffle").unwrap(), &expected);
    let expected: Vec<f32> = (0u8..10).map(f32::from).collect();
    assert_eq!(tree.f32s("chunked/gzip").unwrap(), expected);
    assert_eq!(tree.i64s("chunked/never_written").unwrap(), [7, 7, 7]);
    assert_eq!(tree.i64s("chunked/resizable").unwrap(), [0, 1, 2, 3, 4]);
}

#[test]
fn what_is_not_understood_is_an_error_only_when_asked_for() {
    let tree = Hdf5Tree::read(FROM_H5PY).unwrap();
    for (name, part) in [
        ("null", "no value"),
        ("compound", "records"),
        ("ragged", "vary in length"),
        ("opaque", "opaque"),
        ("latin1", "UTF-8"),
        ("latin1_vlen", "UTF-8"),
        ("f128", "IEEE 754"),
        ("twelve_bits", "whole bytes"),
    ] {
        let path = format!("strange/{name}");
        for error in [tree.array(&path).unwrap_err(), tree.strings(&path).unwrap_err()] {
            assert!(matches!(error, Hdf5Error::Unreadable { .. }), "{error}");
            let text = error.to_string();
            assert!(text.contains(part) && text.contains(&path), "{text}");
        }
    }
    assert!(tree.get("type").is_none());
    let error = tree.to_bytes().unwrap_err();
    assert!(
        matches!(&error, Hdf5Error::Unreadable { path, .. } if path == "strange/compound"),
        "{error}"
    );
}

#[test]
fn paths_lead_to_members() {
    let tree = sample();
    assert_eq!(tree.text("/layer/10/neuron/type").unwrap(), "CUBA");
    assert_eq!(tree.group("layer").unwrap().iter().len(), 12);
    assert_eq!(tree.group("layer").unwrap().text("0/type").unwrap(), "dense");
    for path in ["", "/", "layer//0", "layer/12", "version/x", "layer/0/"] {
        assert!(tree.get(path).is_none(), "{path}");
        assert!(matches!(tree.array(path), Err(Hdf5Error::NotFound { .. })), "{path}");
        assert!(matches!(tree.strings(path), Err(Hdf5Error::NotFound { .. })), "{path}");
        assert!(matches!(tree.group(path), Err(Hdf5Error::NotFound { .. })), "{path}");
    }
}

#[test]
fn the_wrong_kind_of_member_is_named() {
    let tree = sample();
    for (error, found) in [
        (tree.group("version").unwrap_err(), "text of shape []"),
        (tree.array("layer").unwrap_err(), "a group"),
        (tree.array("version").unwrap_err(), "text of shape []"),
        (tree.strings("node/tau").unwrap_err(), "f32 of shape [2]"),
        (tree.text("node/edges").unwrap_err(), "text of shape [2, 2]"),
        (tree.scalar_i64("layer/0/weight").unwrap_err(), "i8 of shape [2, 3]"),
    ] {
        assert!(matches!(error, Hdf5Error::WrongKind { .. }), "{error}");
        assert!(error.to_string().ends_with(found), "{error}");
    }
    let error = tree.i64s("node/tau").unwrap_err();
    assert!(matches!(&error, Hdf5Error::Value { path, .. } if path == "node/tau"), "{error}");
    let error = tree.f32s("types/i64").unwrap_err();
    assert!(matches!(error, Hdf5Error::Value { .. }), "{error}");
}

#[test]
fn impossible_names_are_refused() {
    let mut tree = sample();
    for path in ["", "/", "a//b", "a/", ".", "a/./b", "a\0b", "layer", "layer/0/type", "version/x"]
    {
        let error = tree.insert(path, Hdf5Tree::new()).unwrap_err();
        assert!(matches!(error, Hdf5Error::Name { .. }), "{error}");
    }
    assert_eq!(tree, sample());
}

#[test]
fn values_that_cannot_be_stored_are_refused() {
    let refused = |value: Hdf5Value| {
        let mut tree = Hdf5Tree::new();
        tree.insert("a/b", value).unwrap();
        let error = tree.to_bytes().unwrap_err();
        assert!(error.to_string().contains("\"a/b\""), "{error}");
        error
    };
    for value in [
        Hdf5Value::ascii("größe"),
        Hdf5Value::ascii("a\0"),
        Hdf5Value::utf8("a\0b"),
        Hdf5Value::utf8("\u{fffd}"),
        Hdf5Value::utf8_array([3], vec![String::new()]),
        Hdf5Value::utf8_array([usize::MAX, 2], vec![]),
        Hdf5Value::utf8_array([1; 33], vec![String::new()]),
    ] {
        assert!(matches!(refused(value), Hdf5Error::Text { .. }));
    }
    let array = NpyArray::from_u8([2], &[0, 1]).unwrap();
    let contradiction = NpyArray { shape: vec![3], ..array };
    assert!(matches!(refused(contradiction.into()), Hdf5Error::Value { .. }));
    let deep = NpyArray::from_u8([1; 33], &[0]).unwrap();
    assert!(matches!(refused(deep.into()), Hdf5Error::Value { .. }));
    let unreadable = Hdf5Value::Unreadable("it is a record".into());
    assert!(matches!(refused(unreadable), Hdf5Error::Unreadable { .. }));
}

#[test]
fn depth_is_bounded_in_both_directions() {
    let nested = |levels: usize| {
        let mut tree = Hdf5Tree::new();
        tree.insert(&vec!["g"; levels].join("/"), Hdf5Tree::new()).unwrap();
        tree
    };
    let tree = nested(MAX_DEPTH);
    assert_eq!(Hdf5Tree::read(tree.to_bytes().unwrap()).unwrap(), tree);
    assert!(matches!(nested(MAX_DEPTH + 1).to_bytes(), Err(Hdf5Error::TooDeep { .. })));
}

fn any_value() -> impl Strategy<Value = Hdf5Value> {
    let shape = || proptest::collection::vec(0usize..4, 0..4);
    let array =
        (proptest::sample::select(&NpyType::ALL[..]), shape()).prop_flat_map(|(dtype, shape)| {
            let len = dtype.size() * shape.iter().product::<usize>();
            proptest::collection::vec(any::<u8>(), len).prop_map(move |data| {
                Hdf5Value::from(NpyArray::new(dtype, shape.clone(), data).unwrap())
            })
        });
    let strings = |encoding, pattern: &'static str| {
        proptest::collection::vec(0usize..4, 0..3).prop_flat_map(move |shape| {
            proptest::collection::vec(pattern, shape.iter().product::<usize>()).prop_map(
                move |values| {
                    Hdf5Value::Strings(Hdf5Strings { encoding, shape: shape.clone(), values })
                },
            )
        })
    };
    prop_oneof![
        array,
        strings(StringEncoding::FixedAscii, "[ -~]{0,9}"),
        strings(StringEncoding::VariableUtf8, "[^\0\u{fffd}]{0,9}"),
    ]
}

proptest! {
    #[test]
    fn any_tree_survives_a_file(
        values in proptest::collection::btree_map("[a-c/]{1,4}", any_value(), 0..8),
    ) {
        let mut tree = Hdf5Tree::new();
        for (path, value) in values {
            // Paths that are taken or malformed are left out.
            let _ = tree.insert(&path, value);
        }
        prop_assert_eq!(Hdf5Tree::read(tree.to_bytes().unwrap()).unwrap(), tree);
    }
}
