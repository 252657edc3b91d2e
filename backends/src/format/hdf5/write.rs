//! From the tree to bytes.

use super::tree::join;
use super::{
    BINARY16, Hdf5Error, Hdf5Node, Hdf5Strings, Hdf5Tree, Hdf5Value, MAX_DEPTH, StringEncoding,
};
use crate::format::npy::{NpyArray, NpyError, NpyType};
use hdf5_pure::{
    DatasetBuilder, Datatype, DatatypeByteOrder, EnumTypeBuilder, FileBuilder, FinishedGroup,
    FormatError, GroupBuilder,
};

/// Most dimensions that the format allows.
const MAX_RANK: usize = 32;

impl Hdf5Tree {
    /// Writes the tree as a file; the same bytes for the same tree.
    ///
    /// # Errors
    /// A value contradicts itself or cannot be stored; the error names it.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Hdf5Error> {
        write(self)
    }
}

fn write(tree: &Hdf5Tree) -> Result<Vec<u8>, Hdf5Error> {
    let mut file = FileBuilder::new();
    for (name, node) in tree.iter() {
        match node {
            Hdf5Node::Group(group) => {
                let builder = file.create_group(name);
                file.add_group(fill_group(builder, group, name, 1)?);
            }
            Hdf5Node::Dataset(value) => fill_dataset(file.create_dataset(name), value, name)?,
        }
    }
    file.finish()
        .map_err(|error| Hdf5Error::Structure { path: String::new(), source: error.into() })
}

fn fill_group(
    mut builder: GroupBuilder,
    group: &Hdf5Tree,
    path: &str,
    depth: usize,
) -> Result<FinishedGroup, Hdf5Error> {
    if depth > MAX_DEPTH {
        return Err(Hdf5Error::TooDeep { path: path.to_owned(), limit: MAX_DEPTH });
    }
    for (name, node) in group.iter() {
        let path = join(path, name);
        match node {
            Hdf5Node::Group(group) => {
                let inner = builder.create_group(name);
                builder.add_group(fill_group(inner, group, &path, depth + 1)?);
            }
            Hdf5Node::Dataset(value) => fill_dataset(builder.create_dataset(name), value, &path)?,
        }
    }
    Ok(builder.finish())
}

fn fill_dataset(
    builder: &mut DatasetBuilder,
    value: &Hdf5Value,
    path: &str,
) -> Result<(), Hdf5Error> {
    match value {
        Hdf5Value::Array(array) => fill_array(builder, array)
            .map_err(|source| Hdf5Error::Value { path: path.to_owned(), source })?,
        Hdf5Value::Strings(strings) => fill_strings(builder, strings)
            .map_err(|reason| Hdf5Error::Text { path: path.to_owned(), reason })?,
        Hdf5Value::Unreadable(reason) => {
            return Err(Hdf5Error::Unreadable { path: path.to_owned(), reason: reason.clone() });
        }
    }
    Ok(())
}

fn fill_array(builder: &mut DatasetBuilder, array: &NpyArray) -> Result<(), NpyError> {
    array.check()?;
    let rank = array.shape.len();
    if rank > MAX_RANK {
        return Err(NpyError::TooManyDimensions { rank, limit: MAX_RANK });
    }
    let count = array.element_count()? as u64;
    builder
        .with_raw_data(datatype(array.dtype), array.data.to_vec(), count)
        .with_shape(&dims(&array.shape));
    Ok(())
}

fn fill_strings(builder: &mut DatasetBuilder, strings: &Hdf5Strings) -> Result<(), &'static str> {
    let count = strings.shape.iter().try_fold(1usize, |count, &dim| count.checked_mul(dim));
    if count != Some(strings.values.len()) {
        return Err("the shape asks for another number of strings");
    }
    if strings.shape.len() > MAX_RANK {
        return Err("at most 32 dimensions are possible");
    }
    let values: Vec<&str> = strings.values.iter().map(String::as_str).collect();
    for value in &values {
        check_text(value, strings.encoding)?;
    }
    match strings.encoding {
        StringEncoding::FixedAscii => builder
            .with_ascii_strings(&values)
            .map_err(|_: FormatError| "a string is longer than 4 GiB")?,
        StringEncoding::VariableUtf8 => builder.with_vlen_strings(&values),
    }
    .with_shape(&dims(&strings.shape));
    Ok(())
}

/// Refuses what would not be read back as it is.
fn check_text(text: &str, encoding: StringEncoding) -> Result<(), &'static str> {
    if text.contains('\0') {
        return Err("a NUL character ends a string");
    }
    match encoding {
        StringEncoding::FixedAscii if !text.is_ascii() => Err("it is not ASCII"),
        StringEncoding::VariableUtf8 if text.contains(char::REPLACEMENT_CHARACTER) => {
            Err("the replacement character U+FFFD stands for damage")
        }
        _ => Ok(()),
    }
}

fn dims(shape: &[usize]) -> Vec<u64> {
    shape.iter().map(|&dim| dim as u64).collect()
}

fn datatype(dtype: NpyType) -> Datatype {
    match dtype {
        NpyType::Bool => boolean(),
        NpyType::U8 => hdf5_pure::make_u8_type(),
        NpyType::I8 => hdf5_pure::make_i8_type(),
        NpyType::U16 => hdf5_pure::make_u16_type(),
        NpyType::I16 => hdf5_pure::make_i16_type(),
        NpyType::U32 => hdf5_pure::make_u32_type(),
        NpyType::I32 => hdf5_pure::make_i32_type(),
        NpyType::U64 => hdf5_pure::make_u64_type(),
        NpyType::I64 => hdf5_pure::make_i64_type(),
        NpyType::F16 => Datatype::FloatingPoint {
            size: 2,
            byte_order: DatatypeByteOrder::LittleEndian,
            layout: BINARY16,
        },
        NpyType::F32 => hdf5_pure::make_f32_type(),
        NpyType::F64 => hdf5_pure::make_f64_type(),
    }
}

/// HDF5 has no booleans; this enumeration is what h5py takes for one.
fn boolean() -> Datatype {
    EnumTypeBuilder::with_base(hdf5_pure::make_i8_type())
        .value("FALSE", 0)
        .value("TRUE", 1)
        .build()
        // Both values fit the base type; plain integers would still be readable.
        .unwrap_or_else(|_| hdf5_pure::make_i8_type())
}
