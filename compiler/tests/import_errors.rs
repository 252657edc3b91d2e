//! Files that are no models: one clear error each, and the right exit code.

use std::path::Path;

use snnc::import::{ImportOptions, from_bytes, load};
use snnc::{Error, passes};

fn refused(bytes: &[u8]) -> Error {
    from_bytes(bytes.to_vec().into(), "test.onnx", None, &ImportOptions::default()).unwrap_err()
}

#[test]
fn empty_random_and_missing_files() {
    let random: Vec<u8> =
        (0..4096u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    for bytes in [&[][..], &random, b"hello, world", &[0x08, 14]] {
        let error = refused(bytes);
        assert_eq!(error.exit_code(), 4, "{error}");
        assert_eq!(error.problems().len(), 1, "{error}");
        assert!(error.to_string().contains("test.onnx"), "{error}");
    }
    for path in ["/nowhere/model.onnx", "."] {
        for mmap in [false, true] {
            let options = ImportOptions { mmap, ..ImportOptions::default() };
            let error = load(Path::new(path), &options).unwrap_err();
            assert_eq!(error.exit_code(), 4);
            assert!(error.to_string().contains(path), "{error}");
        }
    }
}

/// Every prefix of a model is refused or, if it ends where a message ends, imported; none panics.
#[test]
fn truncated_models() {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/digits/digits_mlp_w4a4_qcdq.onnx");
    let model = std::fs::read(path).unwrap();
    for end in (0..model.len()).step_by(7) {
        let part = model[..end].to_vec().into();
        if let Ok(imported) = from_bytes(part, "part", None, &ImportOptions::default()) {
            let mut context = passes::Context::default();
            let _ = passes::canonicalise(imported.graph, &mut context)
                .and_then(|graph| passes::quantised(graph, &mut context));
        }
    }
    assert_eq!(refused(&model[..model.len() / 2]).exit_code(), 4);
}
