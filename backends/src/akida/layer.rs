//! Layers of an Akida model as its JSON form has them: a type, integer parameters, arrays.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};
use snnc_ir::{DType, Tensor};

/// Generation of the architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Version {
    /// Akida 1.0: a chain of layers, weights of 1 to 4 bits (first layer 8), payloads of 1 to 4.
    V1,
    /// Akida 2.0: weights and payloads of 4 or 8 bits, branches.
    V2,
}

impl Version {
    /// The name in the JSON form.
    pub const fn name(self) -> &'static str {
        match self {
            Version::V1 => "v1",
            Version::V2 => "v2",
        }
    }
}

/// What a layer does; the names are those of the JSON form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[allow(missing_docs)] // named as in the vendor's API, which defines them
pub enum LayerType {
    InputData,
    InputConvolutional,
    Convolutional,
    SeparableConvolutional,
    FullyConnected,
    InputConv2D,
    Conv2D,
    DepthwiseConv2D,
    Conv2DTranspose,
    DepthwiseConv2DTranspose,
    Dense1D,
    Add,
    Concatenate,
    BufferTempConv,
    DepthwiseBufferTempConv,
    Quantizer,
    Dequantizer,
}

impl std::fmt::Display for LayerType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Debug::fmt(self, f)
    }
}

/// Which parameters and variables a layer of one type has.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayerForm {
    /// `v1`, `v2` or `any`.
    version: String,
    /// Default of each parameter; `None` where there is none.
    pub parameters: BTreeMap<String, Option<i64>>,
    /// Parameters that the JSON form may leave out.
    #[serde(default)]
    pub optional: Vec<String>,
    /// Element type of each variable, as NumPy names it.
    pub variables: BTreeMap<String, String>,
}

impl LayerForm {
    /// The generation that has the layer; `None` for both.
    pub fn version(&self) -> Option<Version> {
        match self.version.as_str() {
            "v1" => Some(Version::V1),
            "v2" => Some(Version::V2),
            _ => None,
        }
    }
}

static FORMS: LazyLock<BTreeMap<LayerType, LayerForm>> =
    LazyLock::new(|| serde_yaml::from_str(include_str!("layers.yaml")).unwrap_or_default());

impl LayerType {
    /// Parameters and variables.
    pub fn form(self) -> &'static LayerForm {
        static NONE: LazyLock<LayerForm> = LazyLock::new(|| LayerForm {
            version: "any".into(),
            parameters: BTreeMap::new(),
            optional: Vec::new(),
            variables: BTreeMap::new(),
        });
        FORMS.get(&self).unwrap_or(&NONE)
    }

    /// Whether the layer takes the model's input and has no inbound layer.
    pub fn is_input(self) -> bool {
        use LayerType::*;
        matches!(self, InputData | InputConvolutional | InputConv2D | Quantizer)
    }
}

/// The element type that NumPy calls `name`, among those that layers use.
pub fn dtype_from_name(name: &str) -> Option<DType> {
    Some(match name {
        "int8" => DType::I8,
        "uint8" => DType::U8,
        "int16" => DType::I16,
        "int32" => DType::I32,
        "float32" => DType::F32,
        _ => return None,
    })
}

/// NumPy's name of an element type.
pub fn dtype_name(dtype: DType) -> &'static str {
    match dtype {
        DType::I8 => "int8",
        DType::U8 => "uint8",
        DType::I16 => "int16",
        DType::I32 => "int32",
        DType::F32 => "float32",
        other => other.name(),
    }
}

/// Why a layer cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("layer `{layer}`: {reason}")]
pub struct LayerError {
    /// Name of the layer.
    pub layer: String,
    /// What is wrong, or not supported.
    pub reason: String,
    /// The layer is legal in the vendor's software, but snnc has no form for it.
    pub unsupported: bool,
}

/// One layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// Unique in the model.
    pub name: String,
    /// What it does.
    pub kind: LayerType,
    /// Names of the layers that feed it, in port order.
    pub inbounds: Vec<String>,
    /// Parameters without `layer_type`.
    pub parameters: BTreeMap<String, i64>,
    /// Arrays; a missing one holds its default.
    pub variables: BTreeMap<String, Tensor>,
}

impl Layer {
    /// A layer with the default parameters of its type.
    pub fn new(name: impl Into<String>, kind: LayerType) -> Self {
        let defaults = kind.form().parameters.iter();
        Layer {
            name: name.into(),
            kind,
            inbounds: Vec::new(),
            parameters: defaults.filter_map(|(k, v)| Some((k.clone(), (*v)?))).collect(),
            variables: BTreeMap::new(),
        }
    }

    /// The same layer, fed by another.
    pub fn after(mut self, inbound: impl Into<String>) -> Self {
        self.inbounds.push(inbound.into());
        self
    }

    /// The same layer with parameters set.
    pub fn with(mut self, parameters: &[(&str, i64)]) -> Self {
        self.parameters.extend(parameters.iter().map(|&(k, v)| (k.to_owned(), v)));
        self
    }

    /// The same layer with an array, in the element type that the layer has for it.
    pub fn array(mut self, name: &str, shape: &[usize], values: &[i64]) -> Self {
        let form = self.kind.form().variables.get(name);
        let dtype = form.and_then(|d| dtype_from_name(d)).unwrap_or(DType::I32);
        self.variables.insert(name.to_owned(), Tensor::from_i64(dtype, shape, values));
        self
    }

    /// The same layer with an array of reals.
    pub fn reals(mut self, name: &str, values: &[f32]) -> Self {
        self.variables.insert(name.to_owned(), Tensor::from_f32(&[values.len()], values));
        self
    }

    /// A complaint about this layer.
    pub fn error(&self, reason: impl Into<String>) -> LayerError {
        LayerError { layer: self.name.clone(), reason: reason.into(), unsupported: false }
    }

    /// A complaint that snnc has no form for something.
    pub fn unsupported(&self, what: impl Into<String>) -> LayerError {
        LayerError { unsupported: true, ..self.error(what) }
    }

    /// The parameter.
    ///
    /// # Errors
    /// When it is not there.
    pub fn parameter(&self, name: &str) -> Result<i64, LayerError> {
        let default = || self.kind.form().parameters.get(name).copied().flatten();
        self.parameters
            .get(name)
            .copied()
            .or_else(default)
            .ok_or_else(|| self.error(format!("the parameter `{name}` is missing")))
    }

    /// A parameter that must lie in a range.
    ///
    /// # Errors
    /// When it is not there or outside.
    pub fn within(&self, name: &str, low: i64, high: i64) -> Result<i64, LayerError> {
        let value = self.parameter(name)?;
        if (low..=high).contains(&value) {
            Ok(value)
        } else {
            Err(self.error(format!("`{name}` is {value}, outside {low}..{high}")))
        }
    }

    /// A parameter that counts or measures something, from 1 to 2^20.
    ///
    /// # Errors
    /// When it is not there or outside.
    pub fn size(&self, name: &str) -> Result<usize, LayerError> {
        Ok(self.within(name, 1, 1 << 20)? as usize)
    }

    /// Integers of a variable that must have the given shape.
    ///
    /// # Errors
    /// When it is not there, or its shape differs.
    pub fn tensor(&self, name: &str, shape: &[usize]) -> Result<Vec<i64>, LayerError> {
        let tensor = self
            .variables
            .get(name)
            .ok_or_else(|| self.error(format!("the variable `{name}` is missing")))?;
        if tensor.shape() != shape {
            let found = tensor.shape();
            return Err(self.error(format!("`{name}` has shape {found:?} instead of {shape:?}")));
        }
        tensor.to_i64().map_err(|e| self.error(format!("`{name}`: {e}")))
    }

    /// One integer for each channel; the default for each where the variable is missing.
    ///
    /// # Errors
    /// When its length differs.
    pub fn vector(
        &self,
        name: &str,
        channels: usize,
        default: i64,
    ) -> Result<Vec<i64>, LayerError> {
        match self.variables.get(name) {
            None => Ok(vec![default; channels]),
            Some(_) => self.tensor(name, &[channels]),
        }
    }

    /// One real for each channel; the default for each where the variable is missing.
    ///
    /// # Errors
    /// When its length differs or an element is not finite.
    pub fn real_vector(
        &self,
        name: &str,
        channels: usize,
        default: f32,
    ) -> Result<Vec<f32>, LayerError> {
        let Some(tensor) = self.variables.get(name) else { return Ok(vec![default; channels]) };
        if tensor.shape() != [channels] {
            let found = tensor.shape();
            return Err(self.error(format!("`{name}` has shape {found:?} instead of [{channels}]")));
        }
        let values = tensor.to_f32();
        if values.iter().all(|v| v.is_finite()) {
            Ok(values)
        } else {
            Err(self.error(format!("`{name}` holds a value that is not finite")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_layer_type_has_its_form() {
        assert_eq!(FORMS.len(), 17);
        for (kind, form) in FORMS.iter() {
            assert!(form.optional.iter().all(|k| form.parameters.contains_key(k)), "{kind}");
            assert!(form.variables.values().all(|d| dtype_from_name(d).is_some()), "{kind}");
        }
        let conv = Layer::new("c", LayerType::Conv2D);
        assert_eq!(conv.parameter("buffer_bits"), Ok(28));
        assert!(conv.parameter("filters").unwrap_err().reason.contains("filters"));
    }

    #[test]
    fn lengths_of_arrays_are_checked() {
        let layer = Layer::new("fc", LayerType::FullyConnected).array("threshold", &[2], &[1, 2]);
        assert_eq!(layer.vector("threshold", 2, 0).unwrap(), [1, 2]);
        assert!(layer.vector("threshold", 3, 0).is_err());
        assert_eq!(layer.vector("absent", 3, 7).unwrap(), [7, 7, 7]);
        assert!(
            layer.clone().reals("act_step", &[f32::NAN]).real_vector("act_step", 1, 1.0).is_err()
        );
    }
}
