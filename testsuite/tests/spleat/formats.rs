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

#[test]
fn srec_cat_reads_the_formats_to_the_same_bytes() {
    if Command::new("srec_cat").arg("--version").output().is_err() {
        crate::skip("srec_cat");
        return;
    }
    let mut options = hardware(3, 16);
    // srecord takes memories whose words are whole bytes.
    options.hardware = options.hardware.map(|h| h.replace("fitted: true", "fitted: false"));
    options.extra.insert("formats".into(), "mif,coe,ihex,qhex".into());
    let image = image(&random::case(4).network, &options);
    let folder = tempfile::tempdir().expect("a folder");
    for File { path, content } in &image.artefact.files {
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
