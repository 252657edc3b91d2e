//! The helpers an importer uses on decoded messages.

use onnx_protobuf::*;

fn attribute(ty: AttributeType) -> AttributeProto {
    AttributeProto { name: "a".into(), r#type: ty.into(), ..Default::default() }
}

#[test]
fn accessors_follow_the_declared_type() {
    let int = AttributeProto { i: 3, ..attribute(AttributeType::Int) };
    assert_eq!(int.as_int(), Some(3));
    assert_eq!(int.as_float(), None);
    assert_eq!(int.as_ints(), None);
    assert_eq!(attribute(AttributeType::Ints).as_ints(), Some(&[][..]));

    let text = AttributeProto { s: "SAME_UPPER".into(), ..attribute(AttributeType::String) };
    assert_eq!(text.as_str(), Some("SAME_UPPER"));
    let binary =
        AttributeProto { s: Bytes::from_static(&[0xff]), ..attribute(AttributeType::String) };
    assert_eq!(binary.as_str(), None);
    assert_eq!(binary.as_bytes().unwrap().as_ref(), [0xff]);
}

#[test]
fn a_declared_message_that_is_missing_is_none() {
    assert_eq!(attribute(AttributeType::Tensor).as_tensor(), None);
    assert_eq!(attribute(AttributeType::Graph).as_graph(), None);
    assert_eq!(attribute(AttributeType::SparseTensor).as_sparse_tensor(), None);
    assert_eq!(attribute(AttributeType::TypeProto).as_type_proto(), None);
}

#[test]
fn a_reference_has_no_value_of_its_own() {
    let reference =
        AttributeProto { ref_attr_name: "alpha".into(), ..attribute(AttributeType::Float) };
    assert_eq!(reference.attribute_type(), Some(AttributeType::Float));
    assert_eq!(reference.as_float(), None);
}

#[test]
fn an_undeclared_type_is_inferred() {
    let undeclared = attribute(AttributeType::Undefined);
    let ints = AttributeProto { ints: vec![1, 2], ..undeclared.clone() };
    assert_eq!(ints.attribute_type(), Some(AttributeType::Ints));
    assert_eq!(ints.as_ints(), Some(&[1, 2][..]));
    assert_eq!(ints.as_int(), None);

    let ambiguous = AttributeProto { f: 1.0, ..ints };
    assert_eq!(ambiguous.attribute_type(), None);
    assert_eq!(ambiguous.as_ints(), None);

    assert_eq!(undeclared.attribute_type(), Some(AttributeType::Undefined));
    assert_eq!(undeclared.as_int(), Some(0));
    assert_eq!(undeclared.as_tensor(), None);
}

#[test]
fn node_attributes_are_found_by_name() {
    let node = NodeProto {
        attribute: vec![AttributeProto { i: 3, ..attribute(AttributeType::Int) }],
        ..Default::default()
    };
    assert_eq!(node.find_attribute("a").and_then(AttributeProto::as_int), Some(3));
    assert_eq!(node.find_attribute("b"), None);
}

#[test]
fn the_default_domain_has_two_names() {
    let import = |domain: &str, version| OperatorSetIdProto { domain: domain.into(), version };
    let model = ModelProto {
        opset_import: vec![import("com.microsoft", 1), import("ai.onnx", 21)],
        ..Default::default()
    };
    assert_eq!(model.opset_version(""), Some(21));
    assert_eq!(model.opset_version("ai.onnx"), Some(21));
    assert_eq!(model.opset_version("com.microsoft"), Some(1));
    assert_eq!(model.opset_version("onnx.brevitas"), None);
}

#[test]
fn element_counts_of_hostile_shapes_are_none() {
    let count =
        |dims: &[i64]| TensorProto { dims: dims.into(), ..Default::default() }.element_count();
    assert_eq!(count(&[]), Some(1));
    assert_eq!(count(&[2, 3]), Some(6));
    assert_eq!(count(&[i64::MAX, 4, 0]), Some(0));
    assert_eq!(count(&[i64::MAX, 4]), None);
    assert_eq!(count(&[-1, 3]), None);
    assert_eq!(count(&[0, -1]), None);
}

#[test]
fn external_data_is_found_by_key() {
    let entry =
        |key: &str, value: &str| StringStringEntryProto { key: key.into(), value: value.into() };
    let tensor = TensorProto {
        data_location: DataLocation::External.into(),
        external_data: vec![entry("location", "weights.bin"), entry("offset", "4096")],
        ..Default::default()
    };
    assert_eq!(tensor.data_location(), Some(DataLocation::External));
    assert_eq!(tensor.external_entry("location"), Some("weights.bin"));
    assert_eq!(tensor.external_entry("offset"), Some("4096"));
    assert_eq!(tensor.external_entry("length"), None);
}

#[test]
fn tensor_types_are_found_in_value_infos() {
    let tensor = TensorType { elem_type: DataType::Int4.into(), shape: None };
    let value = |value| ValueInfoProto {
        r#type: Some(TypeProto { value, ..Default::default() }),
        ..Default::default()
    };
    let info = value(Some(TypeValue::Tensor(tensor.clone())));
    assert_eq!(info.tensor_type(), Some(&tensor));
    assert_eq!(tensor.elem_type(), Some(DataType::Int4));
    assert_eq!(value(Some(TypeValue::SparseTensor(tensor))).tensor_type(), None);
    assert_eq!(value(None).tensor_type(), None);
    assert_eq!(ValueInfoProto::default().tensor_type(), None);
}

#[test]
fn enum_numbers_are_contiguous_and_named() {
    let types: Vec<_> = (0..100).map_while(|n| DataType::try_from(n).ok()).collect();
    assert_eq!(types.len(), 29);
    assert_eq!(types[25].name(), "UINT2");
    let types: Vec<_> = (0..100).map_while(|n| AttributeType::try_from(n).ok()).collect();
    assert_eq!(types.len(), 15);
    assert_eq!(types[11].name(), "SPARSE_TENSOR");
}
