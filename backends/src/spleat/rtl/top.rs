//! The top of a simulation: layers and FIFOs connected as the manifest says.

use std::fmt::Write as _;

use crate::spleat::hardware::AerWord;
use crate::spleat::layer::{Kind, Layer};
use crate::spleat::manifest::Manifest;
use crate::spleat::memory::{MemoryKind, depth};

/// Clocks after which a simulation is given up: far more than any work needs.
const PATIENCE: u64 = 2_000_000_000;

/// The text of `top.sv`: `lengths` are the words of each input file.
pub fn top(manifest: &Manifest, layers: &[Layer], lengths: &[usize], samples: usize) -> String {
    let bits = manifest.hardware.description.aer.bits;
    let mut out = format!(
        "// {}\n// Connects the layers of one image; made for the image beside it.\n`timescale 1ns/1ns\nmodule top;\n\
         \x20   reg clk = 0, rst = 1;\n    always #5 clk = ~clk;\n    integer clocks = 0;\n",
        manifest.provenance
    );
    let streams: Vec<&str> = manifest
        .inputs
        .iter()
        .map(|i| i.name.as_str())
        .chain(manifest.layers.iter().map(|l| l.name.as_str()))
        .collect();
    for (i, length) in lengths.iter().enumerate() {
        source(&mut out, i, *length, bits);
    }
    for layer in layers {
        instance(&mut out, layer, manifest);
    }
    for (stream, name) in streams.iter().enumerate() {
        let consumers: Vec<(usize, usize)> = manifest
            .layers
            .iter()
            .enumerate()
            .flat_map(|(l, entry)| {
                entry.ports.iter().enumerate().map(move |(p, port)| (l, p, port))
            })
            .filter(|(_, _, port)| port.source == *name)
            .map(|(l, p, _)| (l, p))
            .collect();
        let from = match stream.checked_sub(manifest.inputs.len()) {
            None => format!("in{stream}"),
            Some(layer) => format!("o{layer}"),
        };
        fork(&mut out, &from, &consumers, manifest, bits);
    }
    finish(&mut out, layers, samples);
    out
}

/// An input: words of a file, given as fast as they are taken.
fn source(out: &mut String, index: usize, length: usize, bits: u32) {
    let last = length.saturating_sub(1);
    let _ = write!(
        out,
        "\n    reg [{top}:0] in{index}_words [0:{last}];\n    integer in{index}_at = 0;\n    \
         initial $readmemh(\"in{index}.aer\", in{index}_words, 0, {last});\n    \
         wire in{index}_ready;\n    wire in{index}_valid = !rst && in{index}_at < {length};\n    \
         wire [{top}:0] in{index}_word = in{index}_words[in{index}_at < {length} ? in{index}_at : 0];\n    \
         always @(posedge clk) if (in{index}_valid && in{index}_ready) in{index}_at <= in{index}_at + 1;\n",
        top = bits - 1,
    );
}

fn instance(out: &mut String, layer: &Layer, manifest: &Manifest) {
    let (k, ports) = (layer.index, layer.ports.len());
    let hardware = &manifest.hardware.description;
    let AerWord { bits, kind, payload, c, y, x, payload_signed } = &hardware.aer;
    let maximum = layer.neuron.kind == Kind::Maximum;
    let words = |kind| if maximum { 1 } else { depth(layer, kind, 0) };
    let weights: usize = (0..ports).map(|p| depth(layer, MemoryKind::Weight, p)).sum();
    let wide = |[high, low]: &[u32; 2]| high - low + 1;
    let _ = write!(
        out,
        "\n    // {name}\n    wire [{last_port}:0] l{k}_valid, l{k}_ready;\n    wire [{last_bit}:0] l{k}_words;\n    \
         wire s{k}_valid, s{k}_ready;\n    wire [{top}:0] s{k}_word;\n    wire [31:0] l{k}_inferences;\n    \
         spleat_layer #(.ID({k}), .PORTS({ports}), .P({p}), .CPB({cpb}),\n        \
         .WDEPTH({weights}), .VDEPTH({v}), .TDEPTH({t}), .RDEPTH({r}), .DDEPTH({d}),\n        \
         .WW({ww}), .BW({bw}), .TW({tw}), .VW({vw}), .AW({bits}), .TYPE_LO({type_lo}),\n        \
         .P_LO({p_lo}), .P_BITS({p_bits}), .P_SIGNED({signed}), .C_LO({c_lo}), .C_BITS({c_bits}),\n        \
         .Y_LO({y_lo}), .Y_BITS({y_bits}), .X_LO({x_lo}), .X_BITS({x_bits})) layer{k} (\n        \
         .clk(clk), .rst(rst), .in_valid(l{k}_valid), .in_word(l{k}_words), .in_ready(l{k}_ready),\n        \
         .out_valid(s{k}_valid), .out_word(s{k}_word), .out_ready(s{k}_ready), .inferences(l{k}_inferences));\n    \
         wire o{k}_valid, o{k}_ready;\n    wire [{top}:0] o{k}_word;\n    \
         event_fifo #(.WIDTH({bits}), .DEPTH({fifo})) out{k} (.clk(clk), .rst(rst),\n        \
         .in_valid(s{k}_valid), .in_word(s{k}_word), .in_ready(s{k}_ready),\n        \
         .out_valid(o{k}_valid), .out_word(o{k}_word), .out_ready(o{k}_ready));\n",
        name = layer.name.replace(|c: char| c.is_control(), " "),
        last_port = ports - 1,
        last_bit = ports * *bits as usize - 1,
        top = bits - 1,
        p = layer.npu,
        cpb = layer.groups_per_bank(),
        weights = weights.max(1),
        v = depth(layer, MemoryKind::Membrane, 0),
        t = words(MemoryKind::Threshold),
        r = depth(layer, MemoryKind::Reset, 0),
        d = depth(layer, MemoryKind::Decode, 0),
        ww = layer.widths.weight,
        bw = layer.widths.bias,
        tw = layer.widths.threshold,
        vw = layer.widths.membrane,
        type_lo = kind[1],
        p_lo = payload[1],
        p_bits = wide(payload),
        signed = u8::from(*payload_signed),
        c_lo = c[1],
        c_bits = wide(c),
        y_lo = y[1],
        y_bits = wide(y),
        x_lo = x[1],
        x_bits = wide(x),
        fifo = hardware.resources(&layer.name).fifo_out,
    );
}

/// Gives a stream to all its consumers at once, each behind a FIFO of its own.
fn fork(
    out: &mut String,
    from: &str,
    consumers: &[(usize, usize)],
    manifest: &Manifest,
    bits: u32,
) {
    let ready: Vec<String> = consumers.iter().map(|(l, p)| format!("f{l}_{p}_ready")).collect();
    let all = if ready.is_empty() { "1'b1".to_owned() } else { ready.join(" && ") };
    for (l, p) in consumers {
        let name = manifest.layers.get(*l).map_or("", |entry| entry.name.as_str());
        let fifo = manifest.hardware.description.resources(name).fifo_in;
        let low = *p as u32 * bits;
        let _ = write!(
            out,
            "\n    wire f{l}_{p}_ready;\n    event_fifo #(.WIDTH({bits}), .DEPTH({fifo})) f{l}_{p} (.clk(clk), .rst(rst),\n        \
             .in_valid({from}_valid && {from}_ready), .in_word({from}_word), .in_ready(f{l}_{p}_ready),\n        \
             .out_valid(l{l}_valid[{p}]), .out_word(l{l}_words[{low} +: {bits}]), .out_ready(l{l}_ready[{p}]));\n",
        );
    }
    let _ = writeln!(out, "    assign {from}_ready = {all};");
}

fn finish(out: &mut String, layers: &[Layer], samples: usize) {
    let done: Vec<String> =
        (0..layers.len()).map(|k| format!("l{k}_inferences == {samples}")).collect();
    let _ = write!(
        out,
        "\n    initial begin\n        repeat (4) @(posedge clk);\n        #1 rst = 0;\n    end\n    \
         always @(posedge clk) if (!rst) begin\n        clocks = clocks + 1;\n        \
         if ({}) begin\n",
        done.join(" && ")
    );
    let inputs =
        layers.iter().flat_map(|l| (0..l.ports.len()).map(|p| format!("f{}_{p}", l.index)));
    for fifo in (0..layers.len()).map(|k| format!("out{k}")).chain(inputs) {
        let _ = writeln!(out, "            $display(\"F {fifo} %0d\", {fifo}.most);");
    }
    let _ = write!(
        out,
        "            $display(\"DONE %0d\", clocks);\n            $finish;\n        end\n        \
         if (clocks > {PATIENCE}) begin\n            $display(\"TIMEOUT\");\n            $finish;\n        end\n    end\nendmodule\n"
    );
}
