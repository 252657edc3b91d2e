//! The text formats of memories in the hands of srecord.

use std::process::Command;

use snnc_backends::spleat::memory::MemoryKind;
use snnc_backends::{File, MemoryFiles};

use crate::{hardware, image, random};

/// The bytes that `srec_cat` reads from a file in one of its formats.
fn bytes(folder: &std::path::Path, file: &str, format: &[&str]) -> Vec<u8> {
    let output = Command::new("srec_cat")
        .current_dir(folder)
        .arg(file)
        .args(format)
        .args(["-o", "out.bin", "-binary"])
        .output()
        .expect("runs");
    assert!(output.status.success(), "{file}: {}", String::from_utf8_lossy(&output.stderr));
    std::fs::read(folder.join("out.bin")).expect("written")
}

/// Words of a Xilinx coefficient file, by what its vendor says of the format (UG896): statements end
/// with a semicolon, and the vector comes last.
fn coefficients(text: &str) -> Vec<u64> {
    let lines = text.lines().filter(|line| !line.starts_with(';'));
    let all: String = lines.collect();
    let (radix, vector) = all.split_once(';').expect("two statements");
    let squeezed = |text: &str| text.split_whitespace().collect::<String>();
    assert_eq!(squeezed(radix), "memory_initialization_radix=16");
    let vector = squeezed(vector);
    let values = vector.strip_prefix("memory_initialization_vector=").expect("the vector");
    let values = values.strip_suffix(';').expect("its end");
    values.split(',').map(|word| u64::from_str_radix(word, 16).expect("a word")).collect()
}

/// Words of an Intel HEX file whose addresses count words, one to a record, with checksums that are
/// right and no other records than data, end and extended segment addresses.
fn word_addressed(text: &str) -> Vec<u64> {
    let (mut words, mut segment, mut ended) = (Vec::new(), 0, false);
    for line in text.lines() {
        let digits = line.strip_prefix(':').expect("a record");
        let byte = |i: usize| u8::from_str_radix(&digits[2 * i..2 * i + 2], 16).expect("a byte");
        let bytes: Vec<u8> = (0..digits.len() / 2).map(byte).collect();
        assert_eq!(bytes.iter().fold(0u8, |sum, b| sum.wrapping_add(*b)), 0, "{line}");
        let [length, high, low, kind, data @ .., _] = bytes.as_slice() else { panic!("{line}") };
        assert!(!ended && usize::from(*length) == data.len(), "{line}");
        let value = data.iter().fold(0, |value, b| value << 8 | u64::from(*b));
        match kind {
            0 => {
                let address = segment * 16 + usize::from(*high) * 256 + usize::from(*low);
                assert_eq!(address, words.len(), "{line}");
                words.push(value);
            }
            1 => ended = true,
            2 => segment = value as usize,
            other => panic!("a record of type {other}"),
        }
    }
    assert!(ended);
    words
}

#[test]
fn vendors_formats_hold_the_words_of_the_image() {
    let mut options = hardware(3, 16);
    options.extra.insert("formats".into(), "coe,qhex".into());
    for seed in 0..6 {
        let image = image(&random::case(seed).network, &options);
        let files = MemoryFiles::from(&image.artefact);
        let text = |path: &str| String::from_utf8(files.0[path].to_vec()).expect("text");
        for entry in image.manifest.layers.iter().flat_map(|l| &l.files) {
            let Some(stem) = entry.path.strip_suffix(".mem") else { continue };
            let words = text(&entry.path);
            let expected: Vec<u64> = words
                .lines()
                .skip(1)
                .map(|w| u64::from_str_radix(w, 16).expect("a word"))
                .collect();
            assert_eq!(coefficients(&text(&format!("{stem}.coe"))), expected, "{stem}");
            assert_eq!(word_addressed(&text(&format!("{stem}.qhex"))), expected, "{stem}");
        }
    }
}

#[test]
fn every_manifest_says_that_it_is_a_stand_in() {
    for seed in 0..30 {
        let image = image(&random::case(seed).network, &hardware(2, 4));
        let manifest = &image.artefact.files[0];
        let text: serde_json::Value = serde_json::from_slice(&manifest.content).expect("JSON");
        assert_eq!(text["provenance"], snnc_backends::spleat::PROVENANCE, "seed {seed}");
        assert!(snnc_backends::spleat::PROVENANCE.contains("documented stand-in"));
    }
}

#[test]
#[cfg_attr(
    not(srec_cat),
    ignore = "srec_cat was not installed (testsuite/peers/setup.sh installs it) when this was built"
)]
fn srec_cat_reads_the_formats_to_the_same_bytes() {
    let mut options = hardware(3, 16);
    // srecord takes memories whose words are whole bytes.
    options.hardware = options.hardware.map(|h| h.replace("fitted: true", "fitted: false"));
    options.extra.insert("formats".into(), "mif,coe,ihex,qhex".into());
    let image = image(&random::case(4).network, &options);
    let folder = tempfile::tempdir().expect("a folder");
    let image_files = image.artefact.files.iter().filter(|f| !f.path.contains('/'));
    for File { path, content } in image_files {
        std::fs::write(folder.path().join(path), content).expect("writes");
    }
    let files = MemoryFiles::from(&image.artefact);
    let mut compared = 0;
    for entry in image.manifest.layers.iter().flat_map(|l| &l.files) {
        if !entry.path.ends_with(".mem") || entry.kind == MemoryKind::Configuration && compared > 2
        {
            continue;
        }
        let words = String::from_utf8(files.0[&entry.path].to_vec()).expect("text");
        let each = usize::from(entry.width) / 8;
        let expected: Vec<u8> = words
            .lines()
            .skip(1)
            .flat_map(|w| {
                let word = u64::from_str_radix(w, 16).expect("a word");
                word.to_be_bytes().into_iter().skip(8 - each)
            })
            .collect();
        let stem = entry.path.trim_end_matches(".mem");
        assert_eq!(bytes(folder.path(), &format!("{stem}.ihex"), &["-intel"]), expected, "{stem}");
        let swap = each.to_string();
        let mif = ["-mem_init_file", "-byte-swap", &swap];
        assert_eq!(bytes(folder.path(), &format!("{stem}.mif"), &mif), expected, "{stem}");
        compared += 1;
    }
    assert!(compared > 10);
}
