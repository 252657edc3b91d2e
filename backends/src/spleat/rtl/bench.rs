//! The test bench of one image, and the files of a run.

use std::fmt::Write as _;

use super::Samples;
use super::streams::{answers, bytes};
use crate::File;
use crate::spleat::aer;
use crate::spleat::geometry::Map;
use crate::spleat::layer::Layer;
use crate::spleat::manifest::Manifest;

/// `spleat_tb.v`: sends `in<i>.aer` to input i, takes what comes, and compares it with `out<o>.hex`
/// where there is such a file.
///
/// # Errors
/// When an output reads what is no layer.
pub(super) fn bench(manifest: &Manifest, layers: &[Layer]) -> Result<String, String> {
    let aer = &manifest.hardware.description.aer;
    let (inputs, outputs) = (manifest.inputs.len(), manifest.outputs.len());
    let mut connections = vec![".clk(clk)".to_owned(), ".rst(rst)".to_owned()];
    for i in 0..inputs {
        connections.push(format!(
            ".s{i}_axis_tdata(source[{i}].word[{}:0]), .s{i}_axis_tvalid(source[{i}].valid), .s{i}_axis_tready(source_ready[{i}])",
            bytes(aer.bits as usize) - 1
        ));
    }
    for o in 0..outputs {
        connections.push(format!(
            ".m{o}_axis_tdata(data{o}), .m{o}_axis_tvalid(valid[{o}]), .m{o}_axis_tlast(last[{o}]), .m{o}_axis_tready(taker_ready[{o}])"
        ));
    }
    connections.push(".overflow(overflow)".to_owned());
    let mut text = String::new();
    for (o, bits) in answers(manifest, layers)?.into_iter().enumerate() {
        let _ = write!(
            text,
            "    wire [{}:0] data{o};\n    assign answer[{o}*64 +: 64] = data{o};\n",
            bits - 1
        );
    }
    Ok(include_str!("spleat_tb.v")
        .replace("@INPUTS@", &inputs.to_string())
        .replace("@OUTPUTS@", &outputs.to_string())
        .replace("@TYPE@", &aer.kind[1].to_string())
        .replace("@PATIENCE@", &patience(manifest, layers).to_string())
        .replace("@ANSWERS@", text.trim_end())
        .replace("@CONNECTIONS@", &connections.join(",\n        ")))
}

/// The events of samples: `in<i>.aer`, and the same for people.
///
/// # Errors
/// When inputs are missing, or not as many as the network has.
pub(super) fn events(manifest: &Manifest, inputs: &[Samples]) -> Result<Vec<File>, String> {
    if inputs.len() != manifest.inputs.len() {
        return Err(format!("{} inputs for {}", inputs.len(), manifest.inputs.len()));
    }
    let samples = inputs.iter().map(Vec::len).max().unwrap_or(0);
    let mut files = Vec::new();
    for (i, (entry, input)) in manifest.inputs.iter().zip(inputs).enumerate() {
        let map = Map::of(&entry.shape).ok_or_else(|| format!("input `{}`", entry.name))?;
        if input.len() != samples || input.iter().flatten().any(|x| x.len() != map.neurons()) {
            return Err(format!("samples of input `{}` have another size", entry.name));
        }
        let words: Vec<_> = input.iter().flat_map(|steps| aer::words(steps, map)).collect();
        let aer = &manifest.hardware.description.aer;
        files.push(File::new(format!("in{i}.aer"), aer::file(&words, aer)));
        files.push(File::new(format!("in{i}.csv"), aer::table(&words)));
    }
    Ok(files)
}

/// Clocks in which all layers together empty their FIFOs and sweep: without a word handed on for
/// longer, nothing will ever be.
fn patience(manifest: &Manifest, layers: &[Layer]) -> usize {
    let hardware = &manifest.hardware.description;
    let each = layers.iter().map(|layer| {
        let groups = layer.groups_per_bank();
        let sources = layer.ports.iter().map(|p| p.geometry.source.neurons()).sum::<usize>();
        let sweep =
            16 * layer.target.h * layer.target.w * groups + layer.target.neurons() + sources;
        let waiting = hardware.resources(&layer.name).fifo_in;
        let taps = layer.ports.iter().map(|p| p.geometry.kernel[0] * p.geometry.kernel[1]);
        sweep + taps.map(|t| waiting * t * groups).sum::<usize>()
    });
    (2 * each.sum::<usize>() + 10_000).min(1 << 30)
}
