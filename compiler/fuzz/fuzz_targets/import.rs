//! The importer and the passes on any bytes.
//!
//! ```text
//! cp ../shared/models/*/*.onnx compiler/fuzz/corpus/import/
//! cargo +nightly fuzz run import --fuzz-dir compiler/fuzz -- -max_len=400000
//! ```

#![no_main]

use libfuzzer_sys::fuzz_target;
use snnc::import::{ImportOptions, from_bytes};

fuzz_target!(|data: &[u8]| {
    let bytes = data.to_vec().into();
    if let Ok(imported) = from_bytes(bytes, "model", None, &ImportOptions::default()) {
        let _ = snnc::inspect::inspect(&imported);
    }
});
