//! A PyTorch state dictionary: a ZIP archive of a pickle and one file for each tensor.
//!
//! The layout is that of `torch.save` since PyTorch 1.6: `archive/data.pkl` in pickle protocol 2,
//! `archive/data/<n>` with little-endian numbers, and `archive/version`. Only what
//! `torch.load(weights_only=True)` allows is used.

use std::io::{Cursor, Write};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

/// A named array of f32, in C order.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// As `layers.conv1.weight`.
    pub name: String,
    /// Dimensions, outermost first.
    pub shape: Vec<usize>,
    /// Elements.
    pub values: Vec<f32>,
}

/// The bytes of a `.pth` file; equal parameters give equal bytes.
///
/// # Errors
/// When the archive cannot be written.
pub fn state_dict(parameters: &[Parameter]) -> Result<Vec<u8>, String> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .last_modified_time(DateTime::default());
    let mut add = |name: &str, content: &[u8]| -> Result<(), String> {
        archive.start_file(format!("archive/{name}"), options).map_err(|e| e.to_string())?;
        archive.write_all(content).map_err(|e| e.to_string())
    };
    add("data.pkl", &pickle(parameters))?;
    add("byteorder", b"little")?;
    for (i, parameter) in parameters.iter().enumerate() {
        let bytes: Vec<u8> = parameter.values.iter().flat_map(|v| v.to_le_bytes()).collect();
        add(&format!("data/{i}"), &bytes)?;
    }
    add("version", b"3\n")?;
    archive.finish().map(Cursor::into_inner).map_err(|e| e.to_string())
}

/// `{name: torch._utils._rebuild_tensor_v2(storage, 0, shape, strides, False, OrderedDict())}`.
fn pickle(parameters: &[Parameter]) -> Vec<u8> {
    let mut p = Pickle(vec![0x80, 2, b'}', b'(']);
    for (i, parameter) in parameters.iter().enumerate() {
        p.text(&parameter.name);
        p.global("torch._utils", "_rebuild_tensor_v2");
        p.raw(b"((");
        p.text("storage");
        p.global("torch", "FloatStorage");
        p.text(&i.to_string());
        p.text("cpu");
        p.int(parameter.values.len());
        // End of the tuple that names the storage, then its object.
        p.raw(b"tQ");
        p.int(0);
        p.ints(&parameter.shape);
        p.ints(&strides(&parameter.shape));
        p.raw(&[0x89]);
        p.global("collections", "OrderedDict");
        p.raw(b")RtR");
    }
    p.raw(b"u.");
    p.0
}

fn strides(shape: &[usize]) -> Vec<usize> {
    (0..shape.len()).map(|d| shape[d + 1..].iter().product()).collect()
}

struct Pickle(Vec<u8>);

impl Pickle {
    fn raw(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn text(&mut self, text: &str) {
        self.raw(b"X");
        self.raw(&(text.len() as u32).to_le_bytes());
        self.raw(text.as_bytes());
    }

    fn global(&mut self, module: &str, name: &str) {
        self.raw(format!("c{module}\n{name}\n").as_bytes());
    }

    fn int(&mut self, value: usize) {
        self.raw(b"J");
        self.raw(&(value as u32).to_le_bytes());
    }

    fn ints(&mut self, values: &[usize]) {
        self.raw(b"(");
        values.iter().for_each(|&v| self.int(v));
        self.raw(b"t");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pickle_is_the_known_one() {
        let weight = Parameter { name: "w".into(), shape: vec![2, 1], values: vec![1.0, -2.0] };
        let mut expected =
            b"\x80\x02}(X\x01\0\0\0wctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storage"
                .to_vec();
        expected
            .extend(b"ctorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuJ\x02\0\0\0tQJ\0\0\0\0");
        expected.extend(b"(J\x02\0\0\0J\x01\0\0\0t(J\x01\0\0\0J\x01\0\0\0t\x89ccollections\nOrderedDict\n)RtRu.");
        assert_eq!(pickle(std::slice::from_ref(&weight)), expected);
        let bytes = state_dict(&[weight]).unwrap();
        assert!(
            bytes.starts_with(b"PK")
                && bytes.windows(8).any(|w| w == [0, 0, 128, 63, 0, 0, 0, 192])
        );
    }
}
