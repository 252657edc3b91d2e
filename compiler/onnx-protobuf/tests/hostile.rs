//! Malformed input is an error, never a crash.

use onnx_protobuf::*;

const EVERY_FIELD: &[u8] = include_bytes!("data/every_field.onnx");

/// `content` as a length-delimited field; `tag` below 16.
fn field(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag << 3 | 2];
    let mut len = content.len();
    while len >= 0x80 {
        bytes.push(len as u8 | 0x80);
        len >>= 7;
    }
    bytes.push(len as u8);
    bytes.extend_from_slice(content);
    bytes
}

fn nested_subgraphs(levels: usize) -> Vec<u8> {
    let mut graph = field(2, b"innermost");
    for _ in 0..levels {
        let (attribute, node, nodes) = (6, 5, 1);
        graph = field(nodes, &field(node, &field(attribute, &graph)));
    }
    field(7, &graph)
}

#[test]
fn deeply_nested_groups_are_rejected() {
    // Field 100 is unknown, so these are skipped rather than decoded.
    let groups = [0xa3, 0x06].repeat(2_000_000);
    assert!(ModelProto::decode(groups.as_slice()).is_err());
}

#[test]
fn deeply_nested_subgraphs_are_rejected() {
    assert!(ModelProto::decode(nested_subgraphs(2000).as_slice()).is_err());
}

#[test]
fn deeply_nested_types_are_rejected() {
    let mut ty = Vec::new();
    for _ in 0..2000 {
        ty = field(4, &field(1, &ty));
    }
    assert!(TypeProto::decode(ty.as_slice()).is_err());
}

#[test]
fn nesting_as_in_real_control_flow_is_accepted() {
    let model = ModelProto::decode(nested_subgraphs(30).as_slice()).unwrap();
    let mut graph = model.graph.as_ref().unwrap();
    let mut depth = 0;
    while let Some(node) = graph.node.first() {
        graph = node.attribute[0].as_graph().unwrap();
        depth += 1;
    }
    assert_eq!((depth, graph.name.as_str()), (30, "innermost"));
}

#[test]
fn truncated_input_is_rejected() {
    // A single field, as a cut between two fields leaves a valid message.
    let graph = ModelProto::decode(EVERY_FIELD).unwrap().graph;
    let bytes = ModelProto { graph, ..Default::default() }.encode_to_vec();
    for len in 1..bytes.len() {
        assert!(ModelProto::decode(&bytes[..len]).is_err(), "cut at {len}");
    }
}

#[test]
fn lengths_beyond_the_input_are_rejected() {
    let huge = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    for tag in [0x3a, 0x12, 0x42] {
        let bytes = [&[tag], &huge[..]].concat();
        assert!(ModelProto::decode(Bytes::from(bytes)).is_err());
    }
    let raw_data = [&[0x4a], &huge[..]].concat();
    assert!(TensorProto::decode(Bytes::from(raw_data)).is_err());
}

#[test]
fn flipped_bits_never_panic() {
    let mut bytes = EVERY_FIELD.to_vec();
    for at in 0..bytes.len() {
        for bit in 0..8 {
            bytes[at] ^= 1 << bit;
            if let Ok(model) = ModelProto::decode(bytes.as_slice()) {
                // Compared as bytes, since a flip may have made a NaN.
                let encoded = model.encode_to_vec();
                let again = ModelProto::decode(encoded.as_slice()).unwrap();
                assert_eq!(again.encode_to_vec(), encoded);
            }
            bytes[at] ^= 1 << bit;
        }
    }
}
