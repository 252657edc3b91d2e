//! What a synthesis tool makes of images.

use std::path::Path;
use std::process::Command;

use snnc_backends::File;
use snnc_backends::spleat::rtl::sources;

use crate::{Image, hardware, image, random, trained};

/// Runs Yosys on an image's accelerator in a folder of its own; what it says.
fn yosys(image: &Image, script: &str) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |File { path, content }: &File| {
        std::fs::write(folder.path().join(path), content).expect("writes");
    };
    image.artefact.files.iter().filter(|f| f.path.ends_with(".mem")).for_each(write);
    let sources = sources(&image.manifest, &image.layers).expect("sources");
    sources.iter().for_each(write);
    let names = sources.iter().map(|f| f.path.as_str());
    let names: Vec<&str> = names.filter(|name| *name != "spleat_tb.v").collect();
    let script = format!("read_verilog -defer {}; {script}", names.join(" "));
    said(folder.path(), &script)
}

fn said(folder: &Path, script: &str) -> String {
    let output = Command::new("yosys").args(["-p", script]).current_dir(folder).output();
    let output = output.expect("runs");
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    let end = text.lines().rev().take(30).collect::<Vec<_>>();
    assert!(output.status.success(), "{}", end.into_iter().rev().collect::<Vec<_>>().join("\n"));
    text
}

/// What no accelerator may have: latches, loops, several drivers, warnings.
fn clean(name: &str, text: &str) {
    // What ABC says of a module without registers is no warning of the design.
    let own = |line: &&str| line.contains("Warning:") && !line.starts_with("ABC:");
    let warnings: Vec<&str> = text.lines().filter(own).collect();
    assert!(warnings.is_empty(), "{name}: {}", warnings.join("\n"));
}

/// How many cells of a kind the last statistics count.
fn count(text: &str, cell: &str) -> u64 {
    let last = text.rsplit_once("Printing statistics.").map_or("", |(_, last)| last);
    let mut lines = last.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let found = lines.find(|words| words.first() == Some(&cell));
    found.and_then(|words| words.get(1)?.parse().ok()).unwrap_or(0)
}

const CHECKS: &str = "check -assert; select -assert-none t:$*latch* t:$dlatch* t:$sr";

#[test]
#[cfg_attr(
    not(yosys),
    ignore = "Yosys was not installed (testsuite/peers/setup.sh installs it) when this was built"
)]
fn random_networks_have_no_latches_loops_or_warnings() {
    for seed in 0..12 {
        let image = image(&random::case(seed).network, &hardware(1 + seed as usize % 5, 16));
        let script =
            format!("hierarchy -check -top spleat_top; proc; flatten; opt_clean; {CHECKS}");
        clean(&image.network.name, &yosys(&image, &script));
    }
}

#[test]
#[cfg_attr(
    not(yosys),
    ignore = "Yosys was not installed (testsuite/peers/setup.sh installs it) when this was built"
)]
fn the_digits_cnn_is_synthesised() {
    let (image, _) = trained::digits_image("cnn_w4a4_qcdq");
    let text = yosys(&image, "synth_ecp5 -top spleat_top; check -assert; stat");
    clean("digits CNN", &text);
    let used =
        ["LUT4", "CCU2C", "TRELLIS_FF", "DP16KD", "MULT18X18D"].map(|c| (c, count(&text, c)));
    crate::say(format_args!("digits CNN on ECP5: {used:?}"));
    // A change that costs much is to be noticed.
    let most = [4545, 1200, 3200, 60, 40];
    for ((cell, used), most) in used.into_iter().zip(most) {
        assert!(used > 0 && used <= most, "{used} {cell}, {most} at most");
    }
}

#[test]
#[cfg_attr(
    not(yosys),
    ignore = "Yosys was not installed (testsuite/peers/setup.sh installs it) when this was built"
)]
fn the_digits_mlp_is_synthesised() {
    let (image, _) = trained::digits_image("mlp_w4a4_qcdq");
    let text = yosys(&image, "synth_xilinx -flatten -top spleat_top; check -assert; stat");
    clean("digits MLP", &text);
    let used = ["FDRE", "RAMB18E1", "RAMB36E1", "DSP48E1"].map(|c| (c, count(&text, c)));
    let luts: u64 = (1..=6).map(|n| count(&text, &format!("LUT{n}"))).sum();
    crate::say(format_args!("digits MLP on 7 series: {luts} LUTs, {used:?}"));
    assert!((1..=3000).contains(&luts), "{luts} LUTs");
}
