//! Descriptions as they are written, and what is refused of them.

use super::*;

#[test]
fn built_in_descriptions_are_sound() {
    assert_eq!(built_in_names().len(), BUILT_IN.len());
    assert_eq!(built_in_names()[0], "spleat-style-default");
}

#[test]
fn a_short_description_takes_defaults() {
    let text = BUILT_IN[0]
        .replace("100000000", "100_000_000")
        .replace("  fitted: true\n", "  rounding: floor\n")
        .replace("max_fc_inputs: 65536, ", "")
        .replace(", fifo_in: 64, fifo_out: 64}", "}\n  overrides: {conv1: {npu: 8}}")
        .replace(
            "outputs: [mem]",
            "outputs: [mem, mif, coe, ihex, ihex_word]\nenergy_profile: qualia-iconip",
        );
    let hardware = Hardware::parse(&text).unwrap();
    assert_eq!((hardware.clock_hz, hardware.limits.max_fc_inputs), (100_000_000, 65_536));
    assert_eq!((hardware.resources("conv1").npu, hardware.resources("conv2").npu), (8, 4));
    assert!(!hardware.numbers.fitted && hardware.outputs.contains(&Format::Qhex));
}

#[test]
fn all_faults_come_at_once() {
    let text = BUILT_IN[0]
        .replace("weight_bits: 16", "weight_bits: 1")
        .replace("x: [10, 0]", "x: [11, 0]")
        .replace("version: 1", "version: 7");
    let problems = Hardware::parse(&text).unwrap_err();
    assert_eq!(problems.len(), 3, "{problems:?}");
    assert!(Hardware::parse("format: [").is_err());
    assert!(Hardware::parse(&BUILT_IN[0].replace("clock_hz", "clock")).is_err());
    let unknown = Hardware::choose(None, Some("xyz")).unwrap_err();
    assert!(unknown[0].contains("spleat-style-tight"));
}
