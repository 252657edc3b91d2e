//! From ONNX tensors and types to those of the IR.

use bytes::Bytes;
use onnx_protobuf::{DataLocation, DataType, TensorProto};
use snnc_ir::{DType, Tensor};

use super::call::Failure;
use super::external::Store;
use super::limits;

/// The element type of that number.
pub(crate) fn dtype(number: i32) -> Result<DType, Failure> {
    let Ok(ty) = DataType::try_from(number) else {
        return Err(Failure::malformed(format!("there is no element type number {number}")));
    };
    Ok(match ty {
        DataType::Bool => DType::Bool,
        DataType::Uint2 => DType::U2,
        DataType::Int2 => DType::I2,
        DataType::Uint4 => DType::U4,
        DataType::Int4 => DType::I4,
        DataType::Uint8 => DType::U8,
        DataType::Int8 => DType::I8,
        DataType::Uint16 => DType::U16,
        DataType::Int16 => DType::I16,
        DataType::Uint32 => DType::U32,
        DataType::Int32 => DType::I32,
        DataType::Uint64 => DType::U64,
        DataType::Int64 => DType::I64,
        DataType::Float16 => DType::F16,
        DataType::Bfloat16 => DType::Bf16,
        DataType::Float => DType::F32,
        DataType::Double => DType::F64,
        DataType::Undefined => return Err(Failure::malformed("an element type is missing")),
        other => {
            return Err(Failure::unsupported(
                format!("elements of type {}", other.name()),
                "export with float32 or integers of 2 to 64 bits",
            ));
        }
    })
}

/// The shape of a tensor or constant.
pub(crate) fn shape(dims: &[i64]) -> Result<Vec<usize>, Failure> {
    let shape: Option<Vec<usize>> = dims.iter().map(|&d| usize::try_from(d).ok()).collect();
    match shape.filter(|s| limits::elements(s).is_some()) {
        Some(shape) => Ok(shape),
        None => Err(Failure::malformed(format!("the shape {dims:?} is not possible"))),
    }
}

/// The value of a tensor; its bytes are borrowed from the file where the file holds them raw.
pub(crate) fn tensor(proto: &TensorProto, store: &mut Store) -> Result<Tensor, Failure> {
    let dtype = dtype(proto.data_type)?;
    let shape = shape(&proto.dims)?;
    if proto.segment.is_some() {
        return Err(Failure::unsupported("a tensor in segments", "store the tensor in one piece"));
    }
    let elements = shape.iter().product();
    let expected = dtype.byte_len(elements).unwrap_or(usize::MAX);
    let bytes = match proto.data_location() {
        Some(DataLocation::External) => store.read(proto, expected)?,
        _ if !proto.raw_data.is_empty() => proto.raw_data.clone(),
        _ => listed(proto, dtype),
    };
    Tensor::new(dtype, shape, bytes).map_err(|e| Failure::malformed(e.to_string()))
}

/// The bytes of elements given in one of the typed lists.
fn listed(proto: &TensorProto, dtype: DType) -> Bytes {
    let narrow = |width: usize| -> Bytes {
        proto.int32_data.iter().flat_map(|v| v.to_le_bytes().into_iter().take(width)).collect()
    };
    match dtype {
        DType::F32 => proto.float_data.iter().flat_map(|v| v.to_le_bytes()).collect(),
        DType::F64 => proto.double_data.iter().flat_map(|v| v.to_le_bytes()).collect(),
        DType::I64 => proto.int64_data.iter().flat_map(|v| v.to_le_bytes()).collect(),
        DType::U64 => proto.uint64_data.iter().flat_map(|v| v.to_le_bytes()).collect(),
        DType::U32 => proto.uint64_data.iter().flat_map(|v| (*v as u32).to_le_bytes()).collect(),
        DType::I32 => narrow(4),
        DType::I16 | DType::U16 | DType::F16 | DType::Bf16 => narrow(2),
        // Types narrower than a byte are packed there too, a byte's worth to an entry.
        DType::Bool | DType::I8 | DType::U8 => narrow(1),
        DType::I4 | DType::U4 | DType::I2 | DType::U2 => narrow(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(proto: &TensorProto) -> Result<Tensor, Failure> {
        tensor(proto, &mut Store::new(None, false))
    }

    #[test]
    fn typed_lists_become_bytes() {
        let of = |ty: DataType| TensorProto {
            data_type: ty as i32,
            dims: vec![2],
            int32_data: vec![-1, 7],
            float_data: vec![0.5, -2.0],
            uint64_data: vec![3, 4],
            ..Default::default()
        };
        assert_eq!(read(&of(DataType::Int8)).unwrap().to_i64().unwrap(), [-1, 7]);
        assert_eq!(read(&of(DataType::Uint16)).unwrap().to_i64().unwrap(), [65535, 7]);
        assert_eq!(read(&of(DataType::Uint32)).unwrap().to_i64().unwrap(), [3, 4]);
        assert_eq!(read(&of(DataType::Float)).unwrap().to_f32(), [0.5, -2.0]);
        let packed = TensorProto { dims: vec![4], ..of(DataType::Int4) };
        assert_eq!(read(&packed).unwrap().to_i64().unwrap(), [-1, -1, 7, 0]);
    }

    #[test]
    fn lengths_and_types_are_checked() {
        let of = |dims: Vec<i64>, data_type: i32| TensorProto {
            dims,
            data_type,
            raw_data: Bytes::from_static(&[0; 8]),
            ..Default::default()
        };
        assert!(read(&of(vec![2], 1)).is_ok());
        for (dims, ty) in [
            (vec![3], 1),
            (vec![-2], 1),
            (vec![i64::MAX, i64::MAX], 1),
            (vec![2], 99),
            (vec![8], 17),
        ] {
            assert!(read(&of(dims.clone(), ty)).is_err(), "{dims:?} {ty}");
        }
    }
}
