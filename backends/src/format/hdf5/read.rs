//! From bytes to the tree, under the assumption that whoever wrote the bytes means harm.

use super::metered::Metered;
use super::tree::join;
use super::{
    BINARY16, Hdf5Error, Hdf5Strings, Hdf5Tree, Hdf5Value, LibraryError, MAX_DEPTH, StringEncoding,
};
use crate::format::npy::{NpyArray, NpyType};
use crate::format::{LimitExceeded, Limits};
use bytes::Bytes;
use hdf5_pure::{
    CharacterSet, ChunkIndex, Dataset, Datatype, DatatypeByteOrder, File, FixedPointLayout,
    FloatingPointLayout, Group, Layout, StringPadding, VlenStringReadOptions,
};
use std::any::Any;
use std::thread;

/// Stack for the library, which follows types inside types without counting. A message of 64 KiB
/// holds 8000 of them, and each takes up to 16 KiB of stack without optimisation. Memory is used
/// only as deep as the stack really gets.
const STACK_BYTES: usize = 256 << 20;

/// Smallest link to an object in a group, in bytes: flags, a name and an address.
const MIN_LINK_BYTES: usize = 12;

/// Number of chunks that is allowed in a file of any size.
const MIN_CHUNK_ALLOWANCE: u64 = 1 << 16;

impl Hdf5Tree {
    /// Reads a whole file, under the default [`Limits`].
    ///
    /// # Errors
    /// See [`Hdf5Tree::read_with`].
    pub fn read(bytes: impl Into<Bytes>) -> Result<Self, Hdf5Error> {
        Self::read_with(bytes, Limits::default())
    }

    /// Reads a whole file. The limits apply to every dataset, the ratio also to all together.
    ///
    /// # Errors
    /// The structure of the file is damaged, or it asks for more memory than the limits allow. A
    /// dataset that cannot be read is no error before it is asked for.
    pub fn read_with(bytes: impl Into<Bytes>, limits: Limits) -> Result<Self, Hdf5Error> {
        read(bytes.into(), limits)
    }
}

fn read(bytes: Bytes, limits: Limits) -> Result<Hdf5Tree, Hdf5Error> {
    if !hdf5_pure::is_hdf5_bytes(&bytes) {
        return Err(Hdf5Error::NotHdf5);
    }
    on_own_thread(move || Reader::read(bytes, limits))
}

/// Runs the library on a thread of its own, for the stack.
///
/// The thread also keeps a panic of the library from the caller: in the tables of chunks of a
/// hostile file, shifts and sums overflow where overflow is checked.
pub(super) fn on_own_thread(
    work: impl FnOnce() -> Result<Hdf5Tree, Hdf5Error> + Send + 'static,
) -> Result<Hdf5Tree, Hdf5Error> {
    let damaged = |reason| Hdf5Error::Damaged { reason };
    thread::Builder::new()
        .name("hdf5".to_owned())
        .stack_size(STACK_BYTES)
        .spawn(work)
        .map_err(|error| damaged(format!("no thread to read it on: {error}")))?
        .join()
        .unwrap_or_else(|panic| Err(damaged(panic_text(panic.as_ref()))))
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no reason given").to_owned()
}

/// Why a dataset is not in the tree.
enum Refusal {
    /// It stays in the tree, with this reason.
    Unreadable(String),
    /// The whole file is refused.
    Limit(LimitExceeded),
}

impl From<hdf5_pure::Error> for Refusal {
    fn from(error: hdf5_pure::Error) -> Self {
        Self::Unreadable(error.to_string())
    }
}

impl From<LimitExceeded> for Refusal {
    fn from(error: LimitExceeded) -> Self {
        Self::Limit(error)
    }
}

fn unreadable<T>(reason: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal::Unreadable(reason.into()))
}

struct Reader {
    limits: Limits,
    file_len: u64,
    /// Links that may still be followed. Groups may be linked in circles, and then a tree has more
    /// nodes than the file has links.
    links_left: usize,
    /// Bytes of memory handed out so far.
    claimed: u64,
}

impl Reader {
    fn read(bytes: Bytes, limits: Limits) -> Result<Hdf5Tree, Hdf5Error> {
        let mut reader = Self {
            limits,
            file_len: bytes.len() as u64,
            links_left: bytes.len() / MIN_LINK_BYTES,
            claimed: 0,
        };
        let source = Metered::new(bytes);
        let file = File::from_source(source).map_err(|error| broken("", error))?;
        reader.group(&file.root(), "", 0)
    }

    fn group(&mut self, group: &Group, path: &str, depth: usize) -> Result<Hdf5Tree, Hdf5Error> {
        if depth > MAX_DEPTH {
            return Err(Hdf5Error::TooDeep { path: path.to_owned(), limit: MAX_DEPTH });
        }
        let mut tree = Hdf5Tree::new();
        for (name, dataset) in group.iter_datasets().map_err(|error| broken(path, error))? {
            self.follow_link(path)?;
            let path = join(path, &name);
            let value = self.dataset(&dataset, &path)?;
            add(&mut tree, name, value, &path)?;
        }
        for (name, inner) in group.iter_groups().map_err(|error| broken(path, error))? {
            self.follow_link(path)?;
            let path = join(path, &name);
            let inner = self.group(&inner, &path, depth + 1)?;
            add(&mut tree, name, inner, &path)?;
        }
        Ok(tree)
    }

    fn follow_link(&mut self, path: &str) -> Result<(), Hdf5Error> {
        self.links_left = self
            .links_left
            .checked_sub(1)
            .ok_or_else(|| Hdf5Error::TooManyObjects { path: path.to_owned() })?;
        Ok(())
    }

    fn dataset(&mut self, dataset: &Dataset, path: &str) -> Result<Hdf5Value, Hdf5Error> {
        match self.value(dataset) {
            Ok(value) => Ok(value),
            Err(Refusal::Unreadable(reason)) => Ok(Hdf5Value::Unreadable(reason)),
            Err(Refusal::Limit(source)) => Err(Hdf5Error::Limit { path: path.to_owned(), source }),
        }
    }

    fn value(&mut self, dataset: &Dataset) -> Result<Hdf5Value, Refusal> {
        let datatype = dataset.datatype()?;
        let shape = dataset
            .shape()?
            .into_iter()
            .map(usize::try_from)
            .collect::<Result<Vec<_>, _>>()
            .or_else(|_| unreadable("its shape is too large to address"))?;
        match Kind::of(&datatype)? {
            Kind::Number { dtype, big_endian } => {
                let data = self.raw(dataset, &shape, dtype.size())?;
                number_array(dtype, shape, data, big_endian)
            }
            Kind::FixedText { width, padding, encoding } => {
                self.claim_strings(&shape)?;
                let data = self.raw(dataset, &shape, width)?;
                let values = data
                    .chunks_exact(width)
                    .map(|text| unpad(text, &padding))
                    .collect::<Result<_, _>>()?;
                Ok(Hdf5Value::Strings(Hdf5Strings { encoding, shape, values }))
            }
            Kind::VariableText => {
                self.claim_strings(&shape)?;
                let values = self.variable_text(dataset, &shape)?;
                let encoding = StringEncoding::VariableUtf8;
                Ok(Hdf5Value::Strings(Hdf5Strings { encoding, shape, values }))
            }
        }
    }

    /// The bytes of a dataset as they are in the file, after decompression.
    ///
    /// The typed functions of the library convert silently, and give nothing at all for a type
    /// that they do not know, hence this one and a check of the length.
    fn raw(
        &mut self,
        dataset: &Dataset,
        shape: &[usize],
        element: usize,
    ) -> Result<Vec<u8>, Refusal> {
        let len = product(shape, element)?;
        self.claim(len.max(self.chunk_bytes(dataset, element)?))?;
        let data = dataset.read_raw()?;
        if data.len() as u64 != len {
            let reason = if data.is_empty() && shape.is_empty() {
                "it has a type, but no value".to_owned()
            } else {
                format!("its shape asks for {len} bytes, but it has {}", data.len())
            };
            return unreadable(reason);
        }
        Ok(data)
    }

    /// What the chunks of a dataset decompress to. Chunks may reach over the edge, and a hostile
    /// file may list one many times.
    fn chunk_bytes(&self, dataset: &Dataset, element: usize) -> Result<u64, Refusal> {
        let Layout::Chunked { chunk_shape, index } = dataset.layout()? else {
            return Ok(0);
        };
        // The library sizes a table by two numbers of its header, up to 2^32 entries, unchecked.
        if index == ChunkIndex::ExtensibleArray {
            return unreadable("it can grow, in the newest format; a fixed size is needed");
        }
        let mut chunks = 1u64;
        for (&dim, &chunk) in dataset.shape()?.iter().zip(&chunk_shape) {
            let along = if chunk == 0 { u64::MAX } else { dim.div_ceil(chunk) };
            chunks = chunks.saturating_mul(along);
        }
        // Some indices of chunks are computed and not stored, so listing them has to be bounded.
        if chunks > self.file_len.max(MIN_CHUNK_ALLOWANCE) {
            return unreadable("it has more chunks than a file of this size can hold");
        }
        let chunk_shape = chunk_shape
            .into_iter()
            .map(usize::try_from)
            .collect::<Result<Vec<_>, _>>()
            .or_else(|_| unreadable("its chunks are too large to address"))?;
        let listed = dataset.chunks()?;
        // The library makes room for a chunk before it finds that the file ends.
        let beyond = |end: Option<u64>| end.is_none_or(|end| end > self.file_len);
        if listed.iter().any(|chunk| beyond(chunk.address.checked_add(chunk.storage_size))) {
            return unreadable("a chunk reaches beyond the end of the file");
        }
        Ok(product(&chunk_shape, element)?.saturating_mul(listed.len() as u64))
    }

    fn variable_text(
        &mut self,
        dataset: &Dataset,
        shape: &[usize],
    ) -> Result<Vec<String>, Refusal> {
        // A reference is a length, an address and an index.
        const REFERENCE_BYTES: usize = 16;
        self.raw(dataset, shape, REFERENCE_BYTES)?;
        let payload = dataset.vlen_string_payload_size()?;
        // References may share their text, which the tree then holds once for each.
        self.claim(payload)?;
        let limit = usize::try_from(payload).unwrap_or(usize::MAX);
        let options = VlenStringReadOptions::new().with_max_payload_bytes(limit);
        let values = dataset.read_vlen_strings(options)?;
        // The library replaces what is not UTF-8.
        if values.iter().any(|text| text.contains(char::REPLACEMENT_CHARACTER)) {
            return unreadable("its text is not UTF-8");
        }
        Ok(values)
    }

    /// Accounts for the strings themselves, which for short text are most of it.
    fn claim_strings(&mut self, shape: &[usize]) -> Result<(), Refusal> {
        self.claim(product(shape, size_of::<String>())?)
    }

    /// Accounts for memory that is about to be used.
    fn claim(&mut self, bytes: u64) -> Result<(), Refusal> {
        self.limits.check(self.file_len, bytes)?;
        self.claimed = self.claimed.saturating_add(bytes);
        if self.claimed > self.limits.budget(self.file_len) {
            return Err(Refusal::Limit(LimitExceeded::Ratio {
                stored: self.file_len,
                expanded: self.claimed,
                limit: self.limits.max_ratio,
            }));
        }
        Ok(())
    }
}

/// What a type means here.
enum Kind {
    Number { dtype: NpyType, big_endian: bool },
    FixedText { width: usize, padding: StringPadding, encoding: StringEncoding },
    VariableText,
}

impl Kind {
    fn of(datatype: &Datatype) -> Result<Self, Refusal> {
        match datatype {
            Datatype::FixedPoint { size, byte_order, layout } => {
                Self::number(integer(*size, layout), byte_order)
            }
            Datatype::FloatingPoint { byte_order, layout, .. } => {
                Self::number(float(layout), byte_order)
            }
            Datatype::Enumeration { base_type, members, .. } => {
                let base = Self::of(base_type)?;
                let names = || members.iter().map(|member| member.name.as_str());
                match base {
                    Self::Number { dtype, .. }
                        if dtype.size() == 1 && names().eq(["FALSE", "TRUE"]) =>
                    {
                        Ok(Self::Number { dtype: NpyType::Bool, big_endian: false })
                    }
                    Self::Number { .. } => Ok(base),
                    _ => unreadable("it is an enumeration of something other than numbers"),
                }
            }
            Datatype::String { size, padding, charset } => Ok(Self::FixedText {
                width: usize::try_from(*size).or_else(|_| unreadable("its text is too long"))?,
                padding: padding.clone(),
                encoding: match charset {
                    CharacterSet::Ascii => StringEncoding::FixedAscii,
                    _ => StringEncoding::VariableUtf8,
                },
            }),
            Datatype::VariableLength { is_string: true, .. } => Ok(Self::VariableText),
            Datatype::VariableLength { .. } => unreadable("its elements vary in length"),
            Datatype::Compound { .. } => unreadable("its elements are records"),
            Datatype::Array { .. } => unreadable("its elements are arrays"),
            Datatype::Reference { .. } => unreadable("its elements are references"),
            Datatype::BitField { .. } => unreadable("its elements are bit fields"),
            Datatype::Opaque { .. } => unreadable("its elements are opaque"),
            Datatype::Time { .. } => unreadable("its elements are dates"),
            _ => unreadable("its type is unknown"),
        }
    }

    fn number(dtype: Option<NpyType>, byte_order: &DatatypeByteOrder) -> Result<Self, Refusal> {
        let Some(dtype) = dtype else {
            return unreadable("its numbers are neither IEEE 754 nor whole bytes");
        };
        match byte_order {
            DatatypeByteOrder::LittleEndian => Ok(Self::Number { dtype, big_endian: false }),
            DatatypeByteOrder::BigEndian => Ok(Self::Number { dtype, big_endian: true }),
            DatatypeByteOrder::Vax => unreadable("its numbers are in the byte order of the VAX"),
        }
    }
}

/// The integer that fills all its bits, if it does.
fn integer(size: u32, layout: &FixedPointLayout) -> Option<NpyType> {
    let full = layout.bit_offset == 0 && u32::from(layout.bit_precision) == size.checked_mul(8)?;
    let dtype = match (size, layout.signed) {
        (1, true) => NpyType::I8,
        (1, false) => NpyType::U8,
        (2, true) => NpyType::I16,
        (2, false) => NpyType::U16,
        (4, true) => NpyType::I32,
        (4, false) => NpyType::U32,
        (8, true) => NpyType::I64,
        (8, false) => NpyType::U64,
        _ => return None,
    };
    full.then_some(dtype)
}

fn float(layout: &FloatingPointLayout) -> Option<NpyType> {
    match *layout {
        BINARY16 => Some(NpyType::F16),
        FloatingPointLayout::IEEE754_BINARY32 => Some(NpyType::F32),
        FloatingPointLayout::IEEE754_BINARY64 => Some(NpyType::F64),
        _ => None,
    }
}

fn number_array(
    dtype: NpyType,
    shape: Vec<usize>,
    mut data: Vec<u8>,
    big_endian: bool,
) -> Result<Hdf5Value, Refusal> {
    if big_endian {
        data.chunks_exact_mut(dtype.size()).for_each(<[u8]>::reverse);
    }
    NpyArray::new(dtype, shape, data)
        .map(Hdf5Value::Array)
        .or_else(|error| unreadable(error.to_string()))
}

/// The text in a field of fixed width.
fn unpad(field: &[u8], padding: &StringPadding) -> Result<String, Refusal> {
    let without_trailing = |pad: u8| {
        let end = field.iter().rposition(|&byte| byte != pad).map_or(0, |last| last + 1);
        &field[..end]
    };
    let text = match padding {
        StringPadding::NullTerminate => field.split(|&byte| byte == 0).next().unwrap_or(field),
        StringPadding::SpacePad => without_trailing(b' '),
        _ => without_trailing(0),
    };
    match str::from_utf8(text) {
        Ok(text) => Ok(text.to_owned()),
        Err(_) => unreadable("its text is not UTF-8"),
    }
}

/// Bytes of an array with elements of `element` bytes.
fn product(shape: &[usize], element: usize) -> Result<u64, Refusal> {
    shape
        .iter()
        .try_fold(element as u64, |bytes, &dim| bytes.checked_mul(dim as u64))
        .map_or_else(|| unreadable("its shape is too large to address"), Ok)
}

fn add(
    tree: &mut Hdf5Tree,
    name: String,
    node: impl Into<super::Hdf5Node>,
    path: &str,
) -> Result<(), Hdf5Error> {
    if tree.add(name, node.into()) {
        Ok(())
    } else {
        Err(Hdf5Error::Name { path: path.to_owned(), reason: "two objects have it" })
    }
}

fn broken(path: &str, error: hdf5_pure::Error) -> Hdf5Error {
    Hdf5Error::Structure { path: path.to_owned(), source: LibraryError::from(error) }
}
