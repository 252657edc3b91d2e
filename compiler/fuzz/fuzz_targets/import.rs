//! The importer and the passes on any bytes.
//!
//! ```text
//! cp ../shared/models/*/*.onnx compiler/fuzz/corpus/import/
//! cargo +nightly fuzz run import --fuzz-dir compiler/fuzz -- -max_len=400000
//! ```

#![no_main]

use libfuzzer_sys::fuzz_target;
use snnc::import::{ImportOptions, from_bytes};
use snnc::passes::{Context, canonicalise, graded, quantised};

fuzz_target!(|data: &[u8]| {
    let bytes = data.to_vec().into();
    let Ok(imported) = from_bytes(bytes, "model", None, &ImportOptions::default()) else { return };
    let mut context = Context::default();
    let codes = canonicalise(imported.graph, &mut context)
        .and_then(|graph| quantised(graph, &mut context));
    if let Ok(codes) = codes {
        let _ = graded::convert(&codes);
    }
});
