//! What a dataset holds.

use crate::format::npy::NpyArray;

/// Contents of a dataset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hdf5Value {
    /// Numbers or booleans.
    Array(NpyArray),
    /// Text.
    Strings(Hdf5Strings),
    /// Something that cannot be represented here, with the reason. Cannot be written.
    Unreadable(String),
}

/// An array of text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hdf5Strings {
    /// How the text is stored.
    pub encoding: StringEncoding,
    /// Dimensions, outermost first; empty for a single string.
    pub shape: Vec<usize>,
    /// The strings in C order (last dimension fastest), without padding.
    pub values: Vec<String>,
}

/// How text is stored in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StringEncoding {
    /// ASCII, every string padded with NUL to the longest of the array. What NetX files hold.
    FixedAscii,
    /// UTF-8, every string as long as it is. What NIR files hold. Text of fixed length that is
    /// marked as UTF-8 is read as this too.
    VariableUtf8,
}

impl Hdf5Value {
    /// A single ASCII string of fixed length.
    pub fn ascii(text: impl Into<String>) -> Self {
        Self::single(StringEncoding::FixedAscii, vec![], text)
    }

    /// An array of one ASCII string of fixed length, as slayer writes every `type`.
    pub fn ascii_array(text: impl Into<String>) -> Self {
        Self::single(StringEncoding::FixedAscii, vec![1], text)
    }

    /// A single UTF-8 string of variable length.
    pub fn utf8(text: impl Into<String>) -> Self {
        Self::single(StringEncoding::VariableUtf8, vec![], text)
    }

    /// An array of UTF-8 strings of variable length, in C order.
    pub fn utf8_array(shape: impl Into<Vec<usize>>, values: Vec<String>) -> Self {
        Self::Strings(Hdf5Strings {
            encoding: StringEncoding::VariableUtf8,
            shape: shape.into(),
            values,
        })
    }

    fn single(encoding: StringEncoding, shape: Vec<usize>, text: impl Into<String>) -> Self {
        Self::Strings(Hdf5Strings { encoding, shape, values: vec![text.into()] })
    }

    /// Type and shape, for messages.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Array(array) => format!("{} of shape {:?}", array.dtype, array.shape),
            Self::Strings(strings) => format!("text of shape {:?}", strings.shape),
            Self::Unreadable(reason) => format!("unreadable ({reason})"),
        }
    }
}

impl From<NpyArray> for Hdf5Value {
    fn from(array: NpyArray) -> Self {
        Self::Array(array)
    }
}
