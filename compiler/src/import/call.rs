//! One application of an ONNX operator, as the functions that import it see it.

use std::collections::HashMap;

use onnx_protobuf::{AttributeProto, NodeProto, TensorProto};
use snnc_ir::{NodeId, Origin};

use super::limits;

/// Why a node cannot be imported: reason and remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// It is valid, but there is nothing here that it could become.
    Unsupported(String, String),
    /// It contradicts the specification or itself.
    Malformed(String, String),
}

impl Failure {
    pub(crate) fn unsupported(reason: impl Into<String>, remedy: impl Into<String>) -> Self {
        Failure::Unsupported(reason.into(), remedy.into())
    }

    pub(crate) fn malformed(reason: impl Into<String>) -> Self {
        Failure::Malformed(
            reason.into(),
            "check the model with onnx.checker and export it again".into(),
        )
    }
}

/// Attributes given by the call of the function in whose body a node stands.
pub(crate) type Bindings = HashMap<String, AttributeProto>;

/// One node: its attributes and the nodes of the graph that its operands became.
pub(crate) struct Call<'a> {
    /// The node.
    pub node: &'a NodeProto,
    /// Version in which the operator got the definition that holds here.
    pub since: i64,
    /// Name and operator for messages and provenance.
    pub origin: Origin,
    /// Operands; `None` for an omitted one.
    pub inputs: Vec<Option<NodeId>>,
    /// What attributes of the enclosing function stand for.
    pub bindings: &'a Bindings,
}

impl Call<'_> {
    /// An operand that must be there.
    pub(crate) fn input(&self, index: usize) -> Result<NodeId, Failure> {
        self.optional(index)
            .ok_or_else(|| Failure::malformed(format!("operand {index} is missing")))
    }

    /// An operand that may be omitted.
    pub(crate) fn optional(&self, index: usize) -> Option<NodeId> {
        self.inputs.get(index).copied().flatten()
    }

    /// All operands, none of which may be omitted.
    pub(crate) fn all_inputs(&self) -> Result<Vec<NodeId>, Failure> {
        if self.inputs.is_empty() {
            return Err(Failure::malformed("there are no operands"));
        }
        (0..self.inputs.len()).map(|i| self.input(i)).collect()
    }

    fn attribute(&self, name: &str) -> Option<&AttributeProto> {
        let attribute = self.node.find_attribute(name)?;
        if attribute.ref_attr_name.is_empty() {
            Some(attribute)
        } else {
            self.bindings.get(&attribute.ref_attr_name)
        }
    }

    fn typed<'s, T>(
        &'s self,
        name: &str,
        of: impl Fn(&'s AttributeProto) -> Option<T>,
    ) -> Result<Option<T>, Failure> {
        let Some(attribute) = self.attribute(name) else { return Ok(None) };
        match of(attribute) {
            Some(value) => Ok(Some(value)),
            None => Err(Failure::malformed(format!("the attribute `{name}` has the wrong type"))),
        }
    }

    /// Whether the attribute is given.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.attribute(name).is_some()
    }

    pub(crate) fn int(&self, name: &str, default: i64) -> Result<i64, Failure> {
        Ok(self.typed(name, AttributeProto::as_int)?.unwrap_or(default))
    }

    pub(crate) fn flag(&self, name: &str, default: bool) -> Result<bool, Failure> {
        Ok(self.int(name, i64::from(default))? != 0)
    }

    pub(crate) fn float(&self, name: &str, default: f32) -> Result<f32, Failure> {
        let value = self.typed(name, AttributeProto::as_float)?.unwrap_or(default);
        // Bounds may be infinite.
        match value {
            v if v.is_finite() || (v.is_infinite() && matches!(name, "min" | "max")) => Ok(v),
            v => Err(Failure::malformed(format!("the attribute `{name}` is {v}"))),
        }
    }

    pub(crate) fn string(&self, name: &str, default: &str) -> Result<String, Failure> {
        Ok(self.typed(name, AttributeProto::as_str)?.unwrap_or(default).to_owned())
    }

    pub(crate) fn ints(&self, name: &str) -> Result<Option<&[i64]>, Failure> {
        self.typed(name, AttributeProto::as_ints)
    }

    pub(crate) fn floats(&self, name: &str) -> Result<Option<&[f32]>, Failure> {
        let values = self.typed(name, AttributeProto::as_floats)?;
        match values.and_then(|v| v.iter().position(|v| !v.is_finite())) {
            None => Ok(values),
            Some(i) => Err(Failure::malformed(format!(
                "the attribute `{name}` holds what is no finite number at index {i}"
            ))),
        }
    }

    pub(crate) fn tensor(&self, name: &str) -> Result<Option<&TensorProto>, Failure> {
        self.typed(name, AttributeProto::as_tensor)
    }

    /// A list of `rank` counts (cells, steps), each at least `least`; `default` for all if absent.
    pub(crate) fn counts(
        &self,
        name: &str,
        rank: usize,
        default: usize,
        least: i64,
    ) -> Result<Vec<usize>, Failure> {
        let Some(values) = self.ints(name)? else { return Ok(vec![default; rank]) };
        if values.len() != rank {
            return Err(Failure::malformed(format!(
                "`{name}` has {} entries, but {rank} are needed",
                values.len()
            )));
        }
        values
            .iter()
            .map(|&v| match v {
                v if (least..=limits::EXTENT).contains(&v) => Ok(v as usize),
                v => Err(Failure::malformed(format!("`{name}` holds {v}"))),
            })
            .collect()
    }

    /// An axis of a value of rank `rank`, negative ones counted from the end.
    pub(crate) fn axis(&self, name: &str, default: i64, rank: usize) -> Result<usize, Failure> {
        axis(self.int(name, default)?, rank)
    }
}

/// The axis `axis` of a value of rank `rank`, negative ones counted from the end.
pub(crate) fn axis(axis: i64, rank: usize) -> Result<usize, Failure> {
    let wrapped = if axis < 0 { axis.saturating_add(rank as i64) } else { axis };
    match usize::try_from(wrapped) {
        Ok(index) if index < rank => Ok(index),
        _ => Err(Failure::malformed(format!("there is no axis {axis} in {rank} dimensions"))),
    }
}
