//! The structs against the wire format as the reference implementation writes it.

use onnx_protobuf::*;

/// Written by the official package with every field of every message set, see `every_field.py`.
const EVERY_FIELD: &[u8] = include_bytes!("data/every_field.onnx");

fn int(i: i64) -> AttributeProto {
    AttributeProto {
        name: "axis".into(),
        i,
        r#type: AttributeType::Int.into(),
        ..Default::default()
    }
}

fn small_model() -> ModelProto {
    let weights = TensorProto {
        name: "w".into(),
        dims: vec![2, 3],
        data_type: DataType::Int8.into(),
        raw_data: Bytes::from_static(&[1, 2, 3, 4, 5, 6]),
        ..Default::default()
    };
    let batch = Dimension {
        value: Some(DimensionValue::Param("N".into())),
        denotation: "DATA_BATCH".into(),
    };
    let tensor = TensorType {
        elem_type: DataType::Float.into(),
        shape: Some(TensorShapeProto {
            dim: vec![
                batch,
                Dimension { value: Some(DimensionValue::Value(0)), ..Default::default() },
                Dimension::default(),
            ],
        }),
    };
    let sequence = SequenceType {
        elem_type: Some(Box::new(TypeProto {
            value: Some(TypeValue::Tensor(tensor.clone())),
            ..Default::default()
        })),
    };
    let value = |name: &str, value| ValueInfoProto {
        name: name.into(),
        r#type: Some(TypeProto { value: Some(value), ..Default::default() }),
        ..Default::default()
    };
    ModelProto {
        ir_version: IR_VERSION,
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: 28 }],
        graph: Some(GraphProto {
            name: "g".into(),
            node: vec![NodeProto {
                op_type: "SplitToSequence".into(),
                input: vec!["x".into(), String::new()],
                output: vec!["y".into()],
                attribute: vec![int(-1)],
                ..Default::default()
            }],
            initializer: vec![weights],
            input: vec![value("x", TypeValue::Tensor(tensor))],
            output: vec![value("y", TypeValue::Sequence(sequence))],
            ..Default::default()
        }),
        ..Default::default()
    }
}

#[test]
fn a_built_model_survives_encoding() {
    let model = small_model();
    assert_eq!(ModelProto::decode(model.encode_to_vec().as_slice()).unwrap(), model);
}

#[test]
fn every_field_reencodes_to_the_bytes_of_the_reference() {
    let model = ModelProto::decode(EVERY_FIELD).unwrap();
    assert_eq!(model.encode_to_vec(), EVERY_FIELD);
}

#[test]
fn every_field_has_its_own_value() {
    // Equal bytes cannot show two strings of one message in each other's place, but in this file
    // each string spells the name of its field.
    let model = ModelProto::decode(EVERY_FIELD).unwrap();
    let debug = format!("{model:?}").replace(": [\"", ": \"");
    let mut strings = 0;
    for (at, separator) in debug.match_indices(": \"") {
        let field = debug[..at].rsplit(' ').next().unwrap();
        let value = debug[at + separator.len()..].split('"').next().unwrap();
        if !value.is_empty() {
            assert_eq!(field, value);
            strings += 1;
        }
    }
    assert!(strings > 60, "found only {strings} strings in {debug}");

    let tensor = model.graph.as_ref().unwrap().node[0].attribute[0].t.as_deref().unwrap();
    assert_eq!((model.ir_version, model.model_version), (1, 5));
    assert_eq!((tensor.data_type, tensor.data_location), (2, 1));
    assert_eq!(tensor.segment, Some(Segment { begin: 1, end: 2 }));
    assert_eq!(tensor.raw_data.as_ref(), b"raw_data\x00\xff");
    assert_eq!(tensor.int32_data, [5, -5]);
    assert_eq!(tensor.int64_data, [7, -7]);
    assert_eq!(tensor.uint64_data, [11, 11]);
}

#[test]
fn lists_decode_packed_and_unpacked() {
    let unpacked = [0x08, 2, 0x08, 3];
    let packed = [0x0a, 2, 2, 3];
    let mixed = [0x0a, 1, 2, 0x08, 3];
    for bytes in [&unpacked[..], &packed, &mixed] {
        assert_eq!(TensorProto::decode(bytes).unwrap().dims, [2, 3]);
    }
    // int32_data is the other way round: packed by specification.
    assert_eq!(TensorProto::decode(&[0x28, 7, 0x28, 8][..]).unwrap().int32_data, [7, 8]);
}

#[test]
fn explicit_defaults_equal_absent_fields() {
    // proto2 writers store a zero that was set, proto3 writers leave it out.
    let stored = AttributeProto::decode(&[0x18, 0, 0xa0, 0x01, 2][..]).unwrap();
    let absent = AttributeProto::decode(&[0xa0, 0x01, 2][..]).unwrap();
    assert_eq!(stored, absent);
    assert_eq!(stored.as_int(), Some(0));
}

#[test]
fn unknown_enum_values_survive() {
    let tensor = TensorProto { data_type: 999, data_location: -7, ..Default::default() };
    let back = TensorProto::decode(tensor.encode_to_vec().as_slice()).unwrap();
    assert_eq!((back.data_type, back.data_location), (999, -7));
    assert_eq!((back.data_type(), back.data_location()), (None, None));

    let attribute = AttributeProto { r#type: 77, i: 1, ..Default::default() };
    let back = AttributeProto::decode(attribute.encode_to_vec().as_slice()).unwrap();
    assert_eq!(back.r#type, 77);
    assert_eq!(back.attribute_type(), None);
    assert_eq!(back.as_int(), None);
}

#[test]
fn unknown_fields_are_skipped() {
    let model = small_model();
    let unknown: [&[u8]; 5] = [
        &[0xc0, 0x3e, 5],                                                 // varint
        &[0xc1, 0x3e, 0, 1, 2, 3, 4, 5, 6, 7],                            // 64 bits
        &[0xc5, 0x3e, 0, 1, 2, 3],                                        // 32 bits
        &[0xc2, 0x3e, 3, b'a', b'b', b'c'],                               // length-delimited
        &[0xc3, 0x3e, 0xc0, 0x3e, 5, 0xc3, 0x3e, 0xc4, 0x3e, 0xc4, 0x3e], // nested groups
    ];
    for field in unknown {
        let bytes = [field, &model.encode_to_vec(), field].concat();
        assert_eq!(ModelProto::decode(bytes.as_slice()).unwrap(), model);
    }
}

#[test]
fn raw_data_borrows_from_the_source() {
    let source = Bytes::from(small_model().encode_to_vec());
    let model = ModelProto::decode(source.clone()).unwrap();
    let raw = &model.graph.as_ref().unwrap().initializer[0].raw_data;
    assert_eq!(raw.as_ref(), [1, 2, 3, 4, 5, 6]);
    assert!(source.as_ptr_range().contains(&raw.as_ptr()));
    assert!(source.as_ptr_range().end >= raw.as_ptr_range().end);
}
