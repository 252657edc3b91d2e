//! Arrays that a run computes.

use std::sync::Arc;

use snnc_ir::{DType, Tensor, TensorType};

use super::{RunError, half};

/// An array has at most this many elements, so that a hostile shape is an error and not an abort.
const MAX_ELEMENTS: usize = 1 << 28;

/// The elements of a [`Value`], C order. Cloning shares them.
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    /// Reals. Types wider than `f32` are computed in `f32`, narrower ones rounded to their grid.
    F32(Arc<Vec<f32>>),
    /// Integers of any type: numbers, codes, accumulators; truth values are 0 and 1.
    Int(Arc<Vec<i64>>),
}

/// An array: shape and elements. Cloning is cheap.
#[derive(Clone, Debug, PartialEq)]
pub struct Value {
    shape: Vec<usize>,
    data: Data,
}

/// Number of elements of a shape that a run may hold. A dimension of 0 does not excuse the others,
/// so that every product of some of the dimensions is in range too.
pub(crate) fn element_count(shape: &[usize]) -> Result<usize, RunError> {
    shape
        .iter()
        .try_fold(1usize, |product, &d| product.checked_mul(d.max(1)))
        .filter(|&n| n <= MAX_ELEMENTS)
        .map(|n| if shape.contains(&0) { 0 } else { n })
        .ok_or_else(|| RunError::TooLarge(shape.to_vec()))
}

impl Value {
    /// An array of reals.
    ///
    /// # Errors
    /// When `elements` are not as many as the shape says.
    pub fn from_f32(shape: &[usize], elements: Vec<f32>) -> Result<Self, RunError> {
        Value::new(shape, Data::F32(Arc::new(elements)))
    }

    /// An array of integers.
    ///
    /// # Errors
    /// When `elements` are not as many as the shape says.
    pub fn from_i64(shape: &[usize], elements: Vec<i64>) -> Result<Self, RunError> {
        Value::new(shape, Data::Int(Arc::new(elements)))
    }

    /// An array over existing elements.
    ///
    /// # Errors
    /// When `data` has not as many elements as the shape says.
    pub fn new(shape: &[usize], data: Data) -> Result<Self, RunError> {
        let found = match &data {
            Data::F32(v) => v.len(),
            Data::Int(v) => v.len(),
        };
        if element_count(shape)? != found {
            let expected = format!("{shape:?}");
            return Err(RunError::Value { expected, found: format!("{found} elements") });
        }
        Ok(Value { shape: shape.to_vec(), data })
    }

    /// Dimensions, outermost first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The elements.
    pub fn data(&self) -> &Data {
        &self.data
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        match &self.data {
            Data::F32(v) => v.len(),
            Data::Int(v) => v.len(),
        }
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The elements, if they are reals.
    pub fn as_f32(&self) -> Option<&[f32]> {
        match &self.data {
            Data::F32(v) => Some(v),
            Data::Int(_) => None,
        }
    }

    /// The elements, if they are integers.
    pub fn as_i64(&self) -> Option<&[i64]> {
        match &self.data {
            Data::Int(v) => Some(v),
            Data::F32(_) => None,
        }
    }

    /// Every element as an `f32`; integers are rounded to nearest.
    pub fn to_f32(&self) -> Vec<f32> {
        match &self.data {
            Data::F32(v) => v.to_vec(),
            Data::Int(v) => v.iter().map(|&x| x as f32).collect(),
        }
    }

    /// The same elements in another shape.
    ///
    /// # Errors
    /// When the number of elements differs.
    pub fn reshaped(&self, shape: &[usize]) -> Result<Self, RunError> {
        Value::new(shape, self.data.clone())
    }

    /// Whether this can be a value of type `ty`: same shape, integers for integers.
    pub fn fits(&self, ty: &TensorType) -> bool {
        self.shape == ty.shape && self.as_f32().is_some() == ty.dtype.is_float()
    }

    /// An error that says that this is no value of type `ty`.
    pub(crate) fn misfit(&self, ty: &TensorType) -> RunError {
        let kind = if self.as_f32().is_some() { "reals" } else { "integers" };
        RunError::Value { expected: ty.to_string(), found: format!("{kind} {:?}", self.shape) }
    }

    /// The array as a constant of element type `dtype`, as constant folding needs it. Reals are
    /// rounded to the type.
    ///
    /// # Errors
    /// When reals are asked of integers or the reverse, or an integer is outside the type.
    pub fn to_tensor(&self, dtype: DType) -> Result<Tensor, RunError> {
        let bytes = match &self.data {
            Data::F32(v) => match dtype {
                DType::F32 => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
                DType::F64 => v.iter().flat_map(|x| f64::from(*x).to_le_bytes()).collect(),
                DType::F16 => v.iter().flat_map(|x| half::to_f16(*x).to_le_bytes()).collect(),
                DType::Bf16 => v.iter().flat_map(|x| half::to_bf16(*x).to_le_bytes()).collect(),
                other => return Err(RunError::Elements(other)),
            },
            Data::Int(v) => packed(v, dtype)?,
        };
        Tensor::new(dtype, self.shape.clone(), bytes.into())
            .map_err(|_| RunError::TooLarge(self.shape.clone()))
    }
}

/// Integers as ONNX stores them: little-endian, types below a byte from the low bits upwards.
fn packed(values: &[i64], dtype: DType) -> Result<Vec<u8>, RunError> {
    let (low, high) = dtype.integer_range().ok_or(RunError::Elements(dtype))?;
    let outside = |v: &&i64| dtype != DType::U64 && !(low..=high).contains(v);
    if let Some(&index) = values.iter().find(outside) {
        return Err(RunError::Index { index, low, high });
    }
    let bits = dtype.bits();
    if bits >= 8 {
        return Ok(values
            .iter()
            .flat_map(|v| v.to_le_bytes().into_iter().take(bits / 8))
            .collect());
    }
    let mask = (1u8 << bits) - 1;
    let byte = |chunk: &[i64]| {
        let fields = chunk.iter().enumerate();
        fields.fold(0u8, |byte, (i, &v)| byte | ((v as u8 & mask) << (bits * i)))
    };
    Ok(values.chunks(8 / bits).map(byte).collect())
}

impl From<&Tensor> for Value {
    fn from(tensor: &Tensor) -> Self {
        let data = match tensor.to_i64() {
            Ok(integers) => Data::Int(Arc::new(integers)),
            Err(_) => Data::F32(Arc::new(tensor.to_f32())),
        };
        Value { shape: tensor.shape().to_vec(), data }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_checked() {
        assert!(Value::from_f32(&[2, 2], vec![0.0; 3]).is_err());
        assert!(matches!(Value::from_i64(&[usize::MAX, 2], vec![]), Err(RunError::TooLarge(_))));
        assert!(Value::from_i64(&[0, 7], vec![]).is_ok());
        assert!(Value::from_i64(&[0, usize::MAX, 2], vec![]).is_err());
    }

    #[test]
    fn constants_come_and_go() {
        let codes = [-8, 7, -1, 3, 0];
        for dtype in [DType::I4, DType::I8, DType::I16, DType::I32, DType::I64] {
            let value = Value::from_i64(&[5], codes.to_vec()).unwrap();
            let tensor = value.to_tensor(dtype).unwrap();
            assert_eq!(Value::from(&tensor), value, "{dtype}");
        }
        let two = Value::from_i64(&[5], vec![0, 1, 2, 3, 2]).unwrap();
        assert_eq!(Value::from(&two.to_tensor(DType::U2).unwrap()), two);
        let reals = Value::from_f32(&[3], vec![1.0, -0.5, 65504.0]).unwrap();
        for dtype in [DType::F16, DType::F32, DType::F64] {
            assert_eq!(Value::from(&reals.to_tensor(dtype).unwrap()), reals, "{dtype}");
        }
        assert!(Value::from_i64(&[1], vec![8]).unwrap().to_tensor(DType::I4).is_err());
        assert!(reals.to_tensor(DType::I8).is_err());
    }
}
