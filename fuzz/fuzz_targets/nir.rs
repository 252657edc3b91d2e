#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| snnc_testsuite::fuzz::run("nir", data));
