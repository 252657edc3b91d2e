//! Against bytes that NumPy 2.4 wrote, and against damaged ones.

use super::*;
use proptest::prelude::*;

/// An NPY file of the given version with `text` as its header and `data` behind it.
fn file(major: u8, text: &str, data: &[u8]) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    out.extend_from_slice(&[major, 0]);
    match major {
        1 => out.extend_from_slice(&(text.len() as u16).to_le_bytes()),
        _ => out.extend_from_slice(&(text.len() as u32).to_le_bytes()),
    }
    out.extend_from_slice(text.as_bytes());
    out.extend_from_slice(data);
    out
}

fn dict(descr: &str, fortran_order: &str, shape: &str) -> String {
    format!("{{'descr': {descr}, 'fortran_order': {fortran_order}, 'shape': {shape}, }}\n")
}

fn read_header(text: &str) -> Result<NpyArray, NpyError> {
    NpyArray::read(file(1, text, &[]))
}

#[test]
fn writes_what_numpy_writes() {
    let mut expected =
        b"\x93NUMPY\x01\x00v\x00{'descr': '<i2', 'fortran_order': False, 'shape': (2, 3), }"
            .to_vec();
    expected.resize(127, b' ');
    expected.push(b'\n');
    expected.extend_from_slice(&[0, 0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0]);
    let array = NpyArray::from_i16([2, 3], &[0, 1, 2, 3, 4, 5]).unwrap();
    assert_eq!(array.to_bytes().unwrap(), expected);
    assert_eq!(NpyArray::read(expected).unwrap(), array);
}

#[test]
fn writes_tuples_as_python_does() {
    for (shape, text) in [(vec![], "'shape': (), }"), (vec![1], "'shape': (1,), }")] {
        let bytes = NpyArray::from_u8(shape, &[7]).unwrap().to_bytes().unwrap();
        let header = String::from_utf8_lossy(&bytes[10..127]).into_owned();
        assert!(header.contains(text) && header.contains("'|u1'"), "{header}");
    }
}

#[test]
fn data_starts_at_a_multiple_of_64_bytes() {
    for rank in 0..=64 {
        let bytes = NpyArray::from_u8(vec![1; rank], &[7]).unwrap().to_bytes().unwrap();
        assert_eq!((bytes.len() - 1) % 64, 0, "rank {rank}");
    }
}

#[test]
fn big_endian_becomes_little_endian() {
    let bytes = file(1, &dict("'>i4'", "False", "(2,)"), &[0, 0, 1, 2, 255, 255, 255, 254]);
    let array = NpyArray::read(bytes).unwrap();
    assert_eq!(array, NpyArray::from_i32([2], &[258, -2]).unwrap());
}

#[test]
fn fortran_order_becomes_c_order() {
    let bytes = file(1, &dict("'<i2'", "True", "(2, 3)"), &[0, 0, 3, 0, 1, 0, 4, 0, 2, 0, 5, 0]);
    let array = NpyArray::read(bytes).unwrap();
    assert_eq!(array, NpyArray::from_i16([2, 3], &[0, 1, 2, 3, 4, 5]).unwrap());

    // Element (i, j, k) of shape (2, 3, 2) stands at i + 2j + 6k.
    let bytes = file(1, &dict("'>u2'", "True", "(2, 3, 2)"), &(0..24).collect::<Vec<u8>>());
    let value = |i: i64, j: i64, k: i64| 257 * 2 * (i + 2 * j + 6 * k) + 1;
    let expected: Vec<i64> = (0..2)
        .flat_map(|i| (0..3).flat_map(move |j| (0..2).map(move |k| value(i, j, k))))
        .collect();
    assert_eq!(NpyArray::read(bytes).unwrap().to_i64().unwrap(), expected);
}

#[test]
fn an_array_in_c_order_is_not_copied() {
    let bytes = Bytes::from(NpyArray::from_f32([3], &[1.0, 2.0, 3.0]).unwrap().to_bytes().unwrap());
    let array = NpyArray::read(bytes.clone()).unwrap();
    assert_eq!(array.data.as_ptr(), bytes[128..].as_ptr());
}

#[test]
fn later_versions_and_loose_spelling_are_read() {
    let text = "{\"shape\":(2L , 1 ,),'fortran_order' :False,\"descr\":\"|i1\"}   \n";
    for major in [1, 2, 3] {
        let array = NpyArray::read(file(major, text, &[1, 255])).unwrap();
        assert_eq!(array, NpyArray::from_i8([2, 1], &[1, -1]).unwrap());
    }
}

#[test]
fn every_type_is_read() {
    for dtype in NpyType::ALL {
        let array = NpyArray::new(dtype, [3, 0, 2], vec![]).unwrap();
        assert_eq!(NpyArray::read(array.to_bytes().unwrap()).unwrap(), array);
        let array = NpyArray::new(dtype, [2], vec![0x35; 2 * dtype.size()]).unwrap();
        assert_eq!(NpyArray::read(array.to_bytes().unwrap()).unwrap(), array);
    }
}

#[test]
fn types_that_are_not_numbers_are_refused() {
    for (descr, part) in [
        ("'|O'", "pickled"),
        ("'<U2'", "text"),
        ("'|S10'", "text"),
        ("'<M8[s]'", "dates"),
        ("'|V8'", "records"),
        ("'<c8'", "complex"),
        ("'<f16'", "not one of"),
        ("[('a', '<f4'), ('b', '<i2')]", "structured"),
        ("('<f4', (2, 2))", "sub-array"),
        ("'|i4'", "byte order"),
        ("'i4'", "byte order"),
        ("''", "byte order"),
    ] {
        let error = read_header(&dict(descr, "False", "(1,)")).unwrap_err();
        assert!(matches!(error, NpyError::UnsupportedType { .. }), "{error}");
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[test]
fn malformed_headers_are_refused() {
    let shape = |shape| dict("'<f4'", "False", shape);
    for (text, part) in [
        (String::new(), "dictionary must start"),
        ("{}".into(), "must all be given"),
        ("{'descr': '<f4', 'shape': (1,)}".into(), "must all be given"),
        ("{'descr': '<f4', 'descr': '<f4'}".into(), "second time"),
        ("{'colour': 1}".into(), "only descr"),
        ("{'descr' '<f4'}".into(), "colon"),
        ("{'descr': '<f4' 'shape': (1,)}".into(), "comma or }"),
        ("{'descr': '<f4".into(), "not closed"),
        ("{'descr': '<f\\x34'}".into(), "plain ASCII"),
        ("{'descr': 4}".into(), "in quotes"),
        (dict("'<f4'", "0", "(1,)"), "True or False"),
        (shape("[1]"), "tuple of dimensions"),
        (shape("(1 2)"), "comma or )"),
        (shape("(1)"), "needs a comma"),
        (shape("(-1,)"), "whole number"),
        (shape("(,)"), "whole number"),
        (shape("(99999999999999999999,)"), "too large"),
        (shape("(1,)") + "x", "only spaces"),
    ] {
        let error = read_header(&text).unwrap_err();
        assert!(matches!(error, NpyError::MalformedHeader { .. }), "{text}: {error}");
        assert!(error.to_string().contains(part), "{text}: {error}");
    }
}

#[test]
fn foreign_and_cut_off_files_are_refused() {
    assert_eq!(NpyArray::read(&b"\x89HDF\r\n"[..]), Err(NpyError::NotNpy));
    assert_eq!(NpyArray::read(&b""[..]), Err(NpyError::NotNpy));
    let whole = NpyArray::from_i64([2], &[1, 2]).unwrap().to_bytes().unwrap();
    for len in 0..whole.len() {
        let error = NpyArray::read(Bytes::copy_from_slice(&whole[..len])).unwrap_err();
        match len {
            0..6 => assert_eq!(error, NpyError::NotNpy),
            6..128 => assert!(matches!(error, NpyError::Truncated { .. }), "{len}: {error}"),
            _ => assert!(matches!(error, NpyError::LengthMismatch { .. }), "{len}: {error}"),
        }
    }
    for (major, minor) in [(0, 0), (4, 0), (1, 1)] {
        let bytes = [MAGIC, &[major, minor, 0, 0, 0, 0]].concat();
        assert_eq!(NpyArray::read(bytes), Err(NpyError::UnsupportedVersion { major, minor }));
    }
}

#[test]
fn data_of_another_length_is_refused() {
    let text = dict("'<f4'", "False", "(2,)");
    for len in [0, 7, 9, 12] {
        let error = NpyArray::read(file(1, &text, &vec![0; len])).unwrap_err();
        assert!(matches!(error, NpyError::LengthMismatch { expected: 8, .. }), "{error}");
    }
}

#[test]
fn promises_that_cannot_be_kept_allocate_nothing() {
    let huge = usize::MAX / 8;
    let error = read_header(&dict("'<f8'", "False", &format!("({huge},)"))).unwrap_err();
    assert!(matches!(error, NpyError::ShapeOverflow { .. }), "{error}");
    let error = read_header(&dict("'<f8'", "True", &format!("(0, {huge}, {huge})"))).unwrap_err();
    assert!(matches!(error, NpyError::ShapeOverflow { .. }), "{error}");
    let large = usize::MAX / 64;
    let error = read_header(&dict("'<f8'", "True", &format!("({large}, 2)"))).unwrap_err();
    assert!(matches!(error, NpyError::LengthMismatch { .. }), "{error}");
    let error = read_header(&dict("'<f8'", "True", &format!("({})", "1,".repeat(65)))).unwrap_err();
    assert!(matches!(error, NpyError::TooManyDimensions { rank: 65, .. }), "{error}");

    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&[2, 0, 255, 255, 255, 255]);
    let error = NpyArray::read(bytes).unwrap_err();
    assert!(matches!(error, NpyError::HeaderTooLong { len: 0xffff_ffff, .. }), "{error}");
}

#[test]
fn fields_that_contradict_each_other_are_refused() {
    let good = NpyArray::from_i32([2], &[1, 2]).unwrap();
    let bad = NpyArray { shape: vec![3], ..good.clone() };
    assert!(matches!(bad.to_bytes(), Err(NpyError::LengthMismatch { .. })));
    assert!(matches!(bad.to_i64(), Err(NpyError::LengthMismatch { .. })));
    assert!(matches!(NpyArray::from_i32([3], &[1]), Err(NpyError::LengthMismatch { .. })));
    assert_eq!(good.element_count(), Ok(2));
    assert_eq!(NpyArray::from_i32([], &[1]).unwrap().element_count(), Ok(1));
}

#[test]
fn conversions_keep_every_value() {
    let one = |dtype, bytes: &[u8]| NpyArray::new(dtype, [1], bytes.to_vec()).unwrap();
    let array = one(NpyType::Bool, &[2]);
    assert_eq!((array.to_i64(), array.to_u8()), (Ok(vec![1]), Ok(vec![1])));
    assert_eq!(one(NpyType::U16, &[255, 255]).to_i64(), Ok(vec![65535]));
    assert_eq!(one(NpyType::U32, &[255; 4]).to_i64(), Ok(vec![0xffff_ffff]));
    let wide = NpyArray::from_i64([2], &[i64::MIN, i64::MAX]).unwrap();
    assert_eq!(wide.to_i64(), Ok(vec![i64::MIN, i64::MAX]));
    let whole = NpyArray::from_f32([3], &[-0.0, 255.0, 7.0]).unwrap();
    assert_eq!(whole.to_u8(), Ok(vec![0, 255, 7]));
    let rounded = NpyArray::from_f64([2], &[0.1, f64::INFINITY]).unwrap();
    assert_eq!(rounded.to_f32(), Ok(vec![0.1, f32::INFINITY]));
    assert_eq!(
        NpyArray::from_i64([1], &[1 << 60]).unwrap().to_f32(),
        Ok(vec![(1u64 << 60) as f32])
    );
    assert!(NpyArray::from_f64([1], &[f64::NAN]).unwrap().to_f32().unwrap()[0].is_nan());
}

#[test]
fn conversions_refuse_what_they_would_change() {
    let refused = |error: NpyError, part: &str| {
        assert!(matches!(error, NpyError::NotRepresentable { .. }), "{error}");
        assert!(error.to_string().contains(part), "{error}");
    };
    let u64_max = NpyArray::new(NpyType::U64, [1], vec![255; 8]).unwrap();
    refused(u64_max.to_i64().unwrap_err(), "element 0 of the u64 array, 18446744073709551615");
    refused(u64_max.to_f32().unwrap_err(), "f32");
    for value in [1.5, f64::NAN, f64::INFINITY, 9.3e18, -9.3e18, 2f64.powi(127)] {
        refused(NpyArray::from_f64([1], &[value]).unwrap().to_i64().unwrap_err(), "i64");
    }
    let mixed = NpyArray::from_i64([3], &[0, 255, 256]).unwrap();
    refused(mixed.to_u8().unwrap_err(), "element 2 of the i64 array, 256, cannot be held by u8");
    refused(NpyArray::from_i8([1], &[-1]).unwrap().to_u8().unwrap_err(), "-1");
    refused(NpyArray::from_i64([1], &[(1 << 24) + 1]).unwrap().to_f32().unwrap_err(), "16777217");
    refused(NpyArray::from_f64([1], &[1e39]).unwrap().to_f32().unwrap_err(), "f32");
}

#[test]
fn half_precision_is_exact() {
    for (bits, value) in [
        (0x0000, 0.0),
        (0x8000, -0.0),
        (0x3c00, 1.0),
        (0xc000, -2.0),
        (0x3555, 0.333_251_95),
        (0x7bff, 65504.0),
        (0x0400, 6.103_515_6e-5),
        (0x0001, 5.960_464_5e-8),
        (0x83ff, -6.097_555e-5),
        (0x7c00, f32::INFINITY),
        (0xfc00, f32::NEG_INFINITY),
    ] {
        let array = NpyArray::new(NpyType::F16, [1], u16::to_le_bytes(bits).to_vec()).unwrap();
        assert_eq!(array.to_f32().unwrap()[0].to_bits(), f32::to_bits(value), "{bits:#06x}");
    }
    let nan = NpyArray::new(NpyType::F16, [1], vec![1, 0x7e]).unwrap();
    assert!(nan.to_f32().unwrap()[0].is_nan());
}

fn any_array() -> impl Strategy<Value = NpyArray> {
    let shape = proptest::collection::vec(0usize..5, 0..4);
    (proptest::sample::select(&NpyType::ALL[..]), shape).prop_flat_map(|(dtype, shape)| {
        let len = dtype.size() * shape.iter().product::<usize>();
        proptest::collection::vec(any::<u8>(), len)
            .prop_map(move |data| NpyArray::new(dtype, shape.clone(), data).unwrap())
    })
}

proptest! {
    #[test]
    fn round_trip(array in any_array()) {
        let bytes = array.to_bytes().unwrap();
        prop_assert_eq!(&NpyArray::read(bytes.clone()).unwrap(), &array);
        prop_assert_eq!(NpyArray::read(bytes.clone()).unwrap().to_bytes().unwrap(), bytes);
    }

    #[test]
    fn fortran_order_read_twice_is_the_transpose(array in any_array()) {
        let tuple = |dims: &[usize]| {
            let dims: String = dims.iter().map(|dim| format!("{dim},")).collect();
            if dims.is_empty() { "()".to_owned() } else { format!("({dims})") }
        };
        let descr = format!("'<{}'", array.dtype.code());
        let text = dict(&descr, "True", &tuple(&array.shape));
        let once = NpyArray::read(file(1, &text, &array.data)).unwrap();
        let reversed: Vec<usize> = array.shape.iter().rev().copied().collect();
        let text = dict(&descr, "True", &tuple(&reversed));
        let twice = NpyArray::read(file(1, &text, &once.data)).unwrap();
        prop_assert_eq!(twice.data, array.data);
    }

    #[test]
    fn damaged_files_never_panic(
        array in any_array(),
        flips in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = array.to_bytes().unwrap();
        for (at, value) in flips {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Ok(array) = NpyArray::read(bytes) {
            prop_assert!(array.check().is_ok());
            let _ = (array.to_i64(), array.to_f32(), array.to_u8());
        }
    }
}
