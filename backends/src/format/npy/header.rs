//! The preamble of an NPY file: magic, version, and a Python dictionary that says what follows.

use super::array::byte_len;
use super::convert::{fortran_to_c, swap_bytes};
use super::{NpyArray, NpyError, NpyType};
use bytes::Bytes;

/// First bytes of every NPY file.
pub(crate) const MAGIC: &[u8] = b"\x93NUMPY";

/// Longest header text read, the most that version 1.0 can hold. Versions 2.0 and 3.0 exist for
/// structured types, which are refused anyway.
const MAX_HEADER_LEN: usize = u16::MAX as usize;

/// Longest run of bytes before the data: magic, version, a length of four bytes, the text.
pub(crate) const MAX_PREAMBLE_LEN: usize = MAGIC.len() + 2 + 4 + MAX_HEADER_LEN;

/// `numpy.save` leaves room for the first dimension to grow to this many digits.
const GROWTH_DIGITS: usize = 21;

/// How much of a type that is not understood an error message shows, in bytes.
const SHOWN_DESCR: usize = 40;

/// Data starts at a multiple of this many bytes.
const ALIGNMENT: usize = 64;

/// What the preamble says.
#[derive(Debug)]
pub(crate) struct Header {
    dtype: NpyType,
    big_endian: bool,
    fortran_order: bool,
    shape: Vec<usize>,
    /// Bytes before the data.
    pub(crate) preamble_len: usize,
    /// Bytes of data that type and shape ask for.
    pub(crate) data_len: usize,
}

impl Header {
    /// Reads the preamble at the start of `bytes`, which may go on after it.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, NpyError> {
        let rest = bytes.strip_prefix(MAGIC).ok_or(NpyError::NotNpy)?;
        let cut_off = |needed| NpyError::Truncated { needed, found: bytes.len() };
        let (&[major, minor], rest) = rest.split_first_chunk().ok_or(cut_off(MAGIC.len() + 2))?;
        let (len, rest) = match (major, minor) {
            (1, 0) => {
                let (len, rest) = rest.split_first_chunk().ok_or(cut_off(MAGIC.len() + 4))?;
                (u64::from(u16::from_le_bytes(*len)), rest)
            }
            (2 | 3, 0) => {
                let (len, rest) = rest.split_first_chunk().ok_or(cut_off(MAGIC.len() + 6))?;
                (u64::from(u32::from_le_bytes(*len)), rest)
            }
            _ => return Err(NpyError::UnsupportedVersion { major, minor }),
        };
        let text_len = usize::try_from(len)
            .ok()
            .filter(|&len| len <= MAX_HEADER_LEN)
            .ok_or(NpyError::HeaderTooLong { len, limit: MAX_HEADER_LEN })?;
        let preamble_len = bytes.len() - rest.len() + text_len;
        let text = rest.get(..text_len).ok_or(cut_off(preamble_len))?;
        let fields = Literal { text, at: 0 }.header()?;
        let (dtype, big_endian) = parse_descr(&fields.descr)?;
        let data_len = byte_len(dtype, &fields.shape)?;
        Ok(Self {
            dtype,
            big_endian,
            fortran_order: fields.fortran_order,
            shape: fields.shape,
            preamble_len,
            data_len,
        })
    }

    /// The array whose elements are `data`, as they are in the file.
    pub(crate) fn into_array(self, data: Bytes) -> Result<NpyArray, NpyError> {
        let mut array = NpyArray::new(self.dtype, self.shape, data)?;
        let size = array.dtype.size();
        if self.fortran_order && array.shape.len() > 1 {
            array.data = fortran_to_c(&array.data, &array.shape, size).into();
        }
        if self.big_endian && size > 1 {
            let mut swapped = Vec::from(array.data);
            swap_bytes(&mut swapped, size);
            array.data = swapped.into();
        }
        Ok(array)
    }
}

/// The preamble that `numpy.save` writes for an array in C order.
pub(super) fn write(dtype: NpyType, shape: &[usize]) -> Result<Vec<u8>, NpyError> {
    let order = if dtype.size() == 1 { '|' } else { '<' };
    let dims: Vec<String> = shape.iter().map(usize::to_string).collect();
    let tuple = match &dims[..] {
        [only] => format!("({only},)"),
        dims => format!("({})", dims.join(", ")),
    };
    let mut text = format!(
        "{{'descr': '{order}{}', 'fortran_order': False, 'shape': {tuple}, }}",
        dtype.code()
    );
    if let Some(first) = dims.first() {
        text.extend(std::iter::repeat_n(' ', GROWTH_DIGITS.saturating_sub(first.len())));
    }
    let fixed = MAGIC.len() + 4;
    let unpadded = fixed + text.len() + 1;
    text.extend(std::iter::repeat_n(' ', unpadded.next_multiple_of(ALIGNMENT) - unpadded));
    text.push('\n');
    let len = u16::try_from(text.len())
        .map_err(|_| NpyError::HeaderTooLong { len: text.len() as u64, limit: MAX_HEADER_LEN })?;
    let mut out = Vec::with_capacity(fixed + text.len());
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&[1, 0]);
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(text.as_bytes());
    Ok(out)
}

/// Element type and whether it is big-endian, from for example `<f4`.
fn parse_descr(descr: &str) -> Result<(NpyType, bool), NpyError> {
    let unsupported =
        |reason| Err(NpyError::UnsupportedType { descr: format!("'{descr}'"), reason });
    let Some(order @ ('<' | '>' | '|')) = descr.chars().next() else {
        return unsupported("it does not start with a byte order, one of < > |");
    };
    let code = &descr[1..];
    let Some(dtype) = NpyType::ALL.into_iter().find(|dtype| dtype.code() == code) else {
        return unsupported(match code.chars().next() {
            Some('O') => "it holds pickled Python objects; save numbers instead",
            Some('S' | 'a' | 'U') => "it holds text; save numbers instead",
            Some('M' | 'm') => "it holds dates; save numbers instead",
            Some('V') => "it holds raw records; save one array per field instead",
            Some('c') => "it holds complex numbers; save real and imaginary parts instead",
            _ => "it is not one of bool, i1 to i8, u1 to u8, f2, f4, f8",
        });
    };
    if order == '|' && dtype.size() > 1 {
        return unsupported("its byte order is not given");
    }
    Ok((dtype, order == '>'))
}

/// The three entries of the dictionary.
struct Fields {
    descr: String,
    fortran_order: bool,
    shape: Vec<usize>,
}

/// Reader of the few Python literals that a header is made of.
struct Literal<'a> {
    text: &'a [u8],
    at: usize,
}

impl Literal<'_> {
    fn header(mut self) -> Result<Fields, NpyError> {
        let (mut descr, mut fortran_order, mut shape) = (None, None, None);
        self.expect(b'{', "a dictionary must start here")?;
        while !self.take(b'}') {
            let start = self.at;
            let key = self.string("the name of an entry, or }, must stand here")?;
            self.expect(b':', "a colon must follow the name of an entry")?;
            let repeated = match key.as_str() {
                "descr" => descr.replace(self.descr()?).is_some(),
                "fortran_order" => fortran_order.replace(self.boolean()?).is_some(),
                "shape" => shape.replace(self.tuple()?).is_some(),
                _ => return self.fail_at(start, "only descr, fortran_order and shape belong here"),
            };
            if repeated {
                return self.fail_at(start, "an entry stands here for the second time");
            }
            if !self.take(b',') {
                self.expect(b'}', "a comma or } must follow an entry")?;
                break;
            }
        }
        if self.peek().is_some() {
            return self.fail("only spaces may follow the dictionary");
        }
        match (descr, fortran_order, shape) {
            (Some(descr), Some(fortran_order), Some(shape)) => {
                Ok(Fields { descr, fortran_order, shape })
            }
            _ => self.fail("descr, fortran_order and shape must all be given"),
        }
    }

    fn descr(&mut self) -> Result<String, NpyError> {
        let reason = match self.peek() {
            Some(b'[') => "it is a structured type; save one array per field instead",
            Some(b'(') => "it is a sub-array type; save a plain array instead",
            _ => return self.string("the element type must stand here, in quotes"),
        };
        let shown = &self.text[self.at..self.text.len().min(self.at + SHOWN_DESCR)];
        Err(NpyError::UnsupportedType { descr: String::from_utf8_lossy(shown).into(), reason })
    }

    fn string(&mut self, reason: &'static str) -> Result<String, NpyError> {
        let quote = match self.peek() {
            Some(quote @ (b'\'' | b'"')) => quote,
            _ => return self.fail(reason),
        };
        let rest = &self.text[self.at + 1..];
        let Some(len) = rest.iter().position(|&byte| byte == quote) else {
            return self.fail("a quote is not closed");
        };
        // Escapes and non-ASCII text occur only in the field names of structured types.
        let plain = rest[..len].iter().all(|&byte| byte.is_ascii_graphic() && byte != b'\\');
        if !plain {
            return self.fail("only plain ASCII may stand between quotes");
        }
        self.at += len + 2;
        Ok(rest[..len].iter().map(|&byte| char::from(byte)).collect())
    }

    fn boolean(&mut self) -> Result<bool, NpyError> {
        self.skip_spaces();
        for (word, value) in [("True", true), ("False", false)] {
            if self.text[self.at..].starts_with(word.as_bytes()) {
                self.at += word.len();
                return Ok(value);
            }
        }
        self.fail("True or False must stand here")
    }

    fn tuple(&mut self) -> Result<Vec<usize>, NpyError> {
        let start = self.at;
        self.expect(b'(', "a tuple of dimensions must start here")?;
        let mut dims = Vec::new();
        while !self.take(b')') {
            dims.push(self.dimension()?);
            if !self.take(b',') {
                self.expect(b')', "a comma or ) must follow a dimension")?;
                if dims.len() == 1 {
                    return self.fail_at(start, "a tuple of one dimension needs a comma");
                }
                break;
            }
        }
        Ok(dims)
    }

    fn dimension(&mut self) -> Result<usize, NpyError> {
        self.skip_spaces();
        let digits = self.text[self.at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits == 0 {
            return self.fail("a dimension must stand here, a whole number");
        }
        let mut value = 0usize;
        for &digit in &self.text[self.at..self.at + digits] {
            let next = value.checked_mul(10).and_then(|v| v.checked_add(usize::from(digit - b'0')));
            match next {
                Some(next) => value = next,
                None => return self.fail("a dimension is too large to address"),
            }
        }
        self.at += digits;
        // Python 2 marked long integers.
        if self.text.get(self.at) == Some(&b'L') {
            self.at += 1;
        }
        Ok(value)
    }

    fn skip_spaces(&mut self) {
        while self.text.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
    }

    fn peek(&mut self) -> Option<u8> {
        self.skip_spaces();
        self.text.get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, byte: u8, reason: &'static str) -> Result<(), NpyError> {
        if self.take(byte) { Ok(()) } else { self.fail(reason) }
    }

    fn fail<T>(&self, reason: &'static str) -> Result<T, NpyError> {
        self.fail_at(self.at, reason)
    }

    fn fail_at<T>(&self, offset: usize, reason: &'static str) -> Result<T, NpyError> {
        Err(NpyError::MalformedHeader { offset, reason })
    }
}
