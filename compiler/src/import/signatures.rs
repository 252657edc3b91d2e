//! What nodes of ONNX's own operators may have: as ONNX Runtime does, a model is refused whose nodes have
//! inputs or attributes that are not in the operator's definition, since what they were meant to say is lost.

use std::collections::HashMap;
use std::sync::LazyLock;

use onnx_protobuf::NodeProto;

use super::call::Failure;

/// A definition: how many inputs at most, and the attributes.
struct Signature {
    inputs: usize,
    attributes: Vec<&'static str>,
}

static SIGNATURES: LazyLock<HashMap<(&str, i64), Signature>> = LazyLock::new(|| {
    let lines = include_str!("signatures.txt").lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| {
            let mut words = line.split(' ');
            let key = (words.next()?, words.next()?.parse().ok()?);
            let inputs = match words.next()? {
                "*" => usize::MAX,
                number => number.parse().ok()?,
            };
            Some((key, Signature { inputs, attributes: words.collect() }))
        })
        .collect()
});

/// That a node of ONNX's own domain has no more than the definition that came with version `since` says.
///
/// # Errors
/// The first input or attribute that is not in the definition.
pub(crate) fn check(node: &NodeProto, since: i64) -> Result<(), Failure> {
    let Some(signature) = SIGNATURES.get(&(node.op_type.as_str(), since)) else { return Ok(()) };
    let given = node.input.iter().rposition(|name| !name.is_empty()).map_or(0, |last| last + 1);
    let definition = format!("{} in its version {since}", node.op_type);
    if given > signature.inputs {
        let most = signature.inputs;
        return Err(Failure::malformed(format!(
            "has {given} inputs, but {definition} takes at most {most}"
        )));
    }
    let known = |name: &str| signature.attributes.contains(&name);
    match node.attribute.iter().find(|attribute| !known(&attribute.name)) {
        None => Ok(()),
        Some(attribute) => Err(Failure::malformed(format!(
            "has the attribute `{}`, which {definition} does not have",
            attribute.name
        ))),
    }
}

#[cfg(test)]
mod tests {
    use onnx_protobuf::AttributeProto;

    use super::*;

    fn node(op: &str, inputs: &[&str], attributes: &[&str]) -> NodeProto {
        let attribute = |name: &&str| AttributeProto { name: (*name).into(), ..Default::default() };
        NodeProto {
            op_type: op.into(),
            input: inputs.iter().map(|&name| name.into()).collect(),
            attribute: attributes.iter().map(attribute).collect(),
            ..Default::default()
        }
    }

    #[test]
    fn what_is_not_in_the_definition_is_refused() {
        assert!(check(&node("Gemm", &["a", "b", "c"], &["alpha", "transB"]), 13).is_ok());
        assert!(check(&node("Gemm", &["a", "b", "c"], &["axis"]), 13).is_err());
        assert!(check(&node("Relu", &["a", "a"], &[]), 14).is_err());
        // An input that is left out is none.
        assert!(check(&node("Relu", &["a", ""], &[]), 14).is_ok());
        assert!(check(&node("Concat", &["a"; 99], &["axis"]), 13).is_ok());
        // Bounds were attributes, then inputs.
        assert!(check(&node("Clip", &["a"], &["min", "max"]), 6).is_ok());
        assert!(check(&node("Clip", &["a"], &["min", "max"]), 11).is_err());
        assert!(check(&node("Clip", &["a", "b", "c"], &[]), 6).is_err());
    }
}
