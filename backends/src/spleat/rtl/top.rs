//! The top of one image: instances of the layer core with the image's configuration words as
//! parameters, FIFOs, and AXI-Stream ports in event words.

use std::fmt::Write as _;

use super::streams::{Stream, Taken, answers, bytes, feeds, outputs, streams, taken};
use crate::spleat::hardware::AerWord;
use crate::spleat::layer::{Kind, Layer};
use crate::spleat::manifest::Manifest;
use crate::spleat::memory::{MemoryKind, depth};

/// Most ports of a layer: their files are named by one digit.
const PORTS: usize = 10;

/// `spleat_top.v`.
///
/// # Errors
/// When the manifest connects what is not there.
pub(super) fn top(manifest: &Manifest, layers: &[Layer]) -> Result<String, String> {
    if let Some(layer) = layers.iter().find(|l| l.ports.len() > PORTS) {
        return Err(format!("`{}` adds more than {PORTS} branches", layer.name));
    }
    let streams = streams(manifest, layers)?;
    let (feeds, outputs) = (feeds(manifest)?, outputs(manifest)?);
    let answers = answers(manifest, layers)?;
    let text = String::new();
    let mut top = Top { manifest, layers, streams, feeds, outputs, answers, text };
    top.ports();
    top.wires();
    for i in 0..manifest.inputs.len() {
        top.input(i);
    }
    for k in 0..layers.len() {
        top.layer(k);
    }
    for o in 0..manifest.outputs.len() {
        top.output(o);
    }
    top.text.push_str("endmodule\n");
    Ok(top.text)
}

struct Top<'a> {
    manifest: &'a Manifest,
    layers: &'a [Layer],
    streams: Vec<Stream>,
    feeds: Vec<Vec<usize>>,
    outputs: Vec<usize>,
    answers: Vec<usize>,
    text: String,
}

impl Top<'_> {
    fn line(&mut self, line: impl std::fmt::Display) {
        let _ = writeln!(self.text, "{line}");
    }

    fn aer(&self) -> &AerWord {
        &self.manifest.hardware.description.aer
    }

    fn ports(&mut self) {
        self.line("// The accelerator of one image. SPLEAT-style, documented stand-in; not SPLEAT's own HDL.");
        self.line("// Written for the image beside it: run tools in the folder of its memories.");
        self.line("// Words of the inputs, and of outputs that send spikes, are event words; other outputs send one");
        self.line(
            "// potential in a word, in the order y, x, c. TLAST is the end of an inference.",
        );
        let word = bytes(self.aer().bits as usize) - 1;
        let mut ports = vec!["input  wire clk".to_owned(), "input  wire rst".to_owned()];
        for (i, input) in self.manifest.inputs.iter().enumerate() {
            ports.push(format!(
                "// `{}`\n    input  wire [{word}:0] s{i}_axis_tdata",
                plain(&input.name)
            ));
            ports.push(format!("input  wire s{i}_axis_tvalid"));
            ports.push(format!("output wire s{i}_axis_tready"));
        }
        for (o, output) in self.manifest.outputs.iter().enumerate() {
            let word = self.answers[o] - 1;
            ports.push(format!(
                "// `{}`\n    output wire [{word}:0] m{o}_axis_tdata",
                plain(&output.name)
            ));
            ports.push(format!("output wire m{o}_axis_tvalid"));
            ports.push(format!("output wire m{o}_axis_tlast"));
            ports.push(format!("input  wire m{o}_axis_tready"));
        }
        ports.push("output wire overflow".to_owned());
        let mut text = String::from("`timescale 1ns/1ns\nmodule spleat_top (\n");
        for (n, port) in ports.iter().enumerate() {
            let comma = if n + 1 < ports.len() { "," } else { "" };
            let _ = writeln!(text, "    {port}{comma}");
        }
        text.push_str(");");
        self.line(text);
    }

    /// Of each stream the word, and whether it is there and all its takers have room.
    fn wires(&mut self) {
        let inputs = self.manifest.inputs.len();
        for n in 0..self.streams.len() {
            let word = self.streams[n].word() - 1;
            let mut room = Vec::new();
            for (k, ports) in self.feeds.iter().enumerate() {
                let own = ports.iter().enumerate().filter(|(_, from)| **from == n);
                room.extend(own.map(|(q, _)| format!("room{k}_{q}")));
            }
            let read = self.outputs.iter().enumerate().filter(|(_, l)| inputs + **l == n);
            room.extend(read.map(|(o, _)| format!("m{o}_axis_tready")));
            let of_ports: Vec<String> =
                room.iter().filter(|r| r.starts_with("room")).cloned().collect();
            if !of_ports.is_empty() {
                self.line(format_args!("    wire {};", of_ports.join(", ")));
            }
            let all = if room.is_empty() { "1'b1".to_owned() } else { room.join(" && ") };
            self.line(format_args!(
                "    wire valid{n};\n    wire [{word}:0] word{n};\n    wire ready{n} = {all};"
            ));
        }
        let count = self.layers.len();
        self.line(format_args!(
            "    wire [{}:0] overflows;\n    assign overflow = overflows != 0;",
            count.max(1) - 1
        ));
        let moving: Vec<String> =
            (0..self.streams.len()).map(|n| format!("(valid{n} && ready{n})")).collect();
        self.line(format_args!(
            "    // Whether a word is handed on; for test benches.\n    wire moving = {};",
            moving.join(" || ")
        ));
    }

    /// The fields of an event word as the stream has them.
    fn input(&mut self, i: usize) {
        let aer = self.aer().clone();
        let [p, c, y, x] = self.streams[i].fields();
        let cut = |field: [u32; 2], width: usize| {
            let low = field[1] as usize;
            format!("s{i}_axis_tdata[{}:{low}]", low + width - 1)
        };
        let fields =
            [cut(aer.kind, 2), cut(aer.payload, p), cut(aer.c, c), cut(aer.y, y), cut(aer.x, x)];
        self.line(format_args!(
            "\n    assign valid{i} = s{i}_axis_tvalid && !rst;\n    assign word{i} = {{{}}};\n    assign s{i}_axis_tready = ready{i} && !rst;",
            fields.join(", ")
        ));
    }

    fn layer(&mut self, k: usize) {
        let n = self.manifest.inputs.len() + k;
        let taken = taken(&self.streams, &self.feeds[k]);
        let [p, c, y, x] = taken.fields;
        let word = 2 + p + c + y + x;
        let layer = &self.layers[k];
        let resources = self.manifest.hardware.description.resources(&layer.name);
        let (fifo_in, fifo_out, ports) = (resources.fifo_in, resources.fifo_out, layer.ports.len());
        let name = plain(&layer.name);
        self.line(format_args!("\n    // Layer {k}, `{name}`."));
        self.line(format_args!(
            "    wire [{}:0] in_valid{k}, in_ready{k};\n    wire [{}:0] in_word{k};",
            ports - 1,
            ports * word - 1
        ));
        for q in 0..ports {
            let from = self.feeds[k][q];
            let adapted = adapt(&self.streams[from], &taken, from);
            self.line(format_args!(
                "    spleat_fifo #(.WIDTH({word}), .DEPTH({fifo_in}), .NAME(\"in{k}_{q}\")) before{k}_{q} (.clk(clk), .rst(rst),\n        .in_valid(valid{from} && ready{from}), .in_word({adapted}), .in_ready(room{k}_{q}),\n        .out_valid(in_valid{k}[{q}]), .out_word(in_word{k}[{}:{}]), .out_ready(in_ready{k}[{q}]));",
                (q + 1) * word - 1,
                q * word
            ));
        }
        let out = self.streams[n].word();
        self.line(format_args!(
            "    wire out_valid{k}, out_ready{k};\n    wire [{}:0] out_word{k};",
            out - 1
        ));
        let parameters = self.parameters(k, &taken);
        self.line(format_args!(
            "    spleat_layer #(\n{parameters}) layer{k} (.clk(clk), .rst(rst),\n        .in_valid(in_valid{k}), .in_word(in_word{k}), .in_ready(in_ready{k}),\n        .out_valid(out_valid{k}), .out_word(out_word{k}), .out_ready(out_ready{k}), .overflow(overflows[{k}]));"
        ));
        self.line(format_args!(
            "    spleat_fifo #(.WIDTH({out}), .DEPTH({fifo_out}), .NAME(\"out{k}\")) behind{k} (.clk(clk), .rst(rst),\n        .in_valid(out_valid{k}), .in_word(out_word{k}), .in_ready(out_ready{k}),\n        .out_valid(valid{n}), .out_word(word{n}), .out_ready(ready{n}));"
        ));
    }

    /// The parameters of a layer's core.
    fn parameters(&self, k: usize, taken: &Taken) -> String {
        let layer = &self.layers[k];
        let stream = &self.streams[self.manifest.inputs.len() + k];
        let neuron = &layer.neuron;
        let (kind, shift, kept) = match neuron.kind {
            Kind::IntegrateAndFire => (0, 0, 1),
            Kind::LeakyAveraging { shift, kept } => (1, shift, kept),
            Kind::LeakySubtracting { shift } => (2, shift, 1),
            Kind::Accumulate | Kind::Maximum | Kind::RunningMaximum => (3, 0, 1),
        };
        let of_ports = |value: &dyn Fn(&crate::spleat::Geometry) -> usize| {
            let words = layer.ports.iter().rev().map(|p| format!("32'd{}", value(&p.geometry)));
            format!("{{{}}}", words.collect::<Vec<_>>().join(", "))
        };
        let kind_of_layer = match neuron.kind {
            Kind::Maximum => 1,
            Kind::RunningMaximum => 2,
            _ => 0,
        };
        let [p, c, y, x] = taken.fields;
        let [op, oc, oy, ox] = stream.fields();
        let op = stream.potentials.map_or(op, usize::from);
        let widths = &layer.widths;
        let number = |n: usize| n.to_string();
        let flag = |b: bool| usize::from(b).to_string();
        let table = |kind| if kind_of_layer == 0 { depth(layer, kind, 0) } else { 0 };
        let rows = [
            vec![
                ("ID", number(k)),
                ("NAME", format!("\"l{k}\"")),
                ("LANES", number(layer.npu)),
                ("PORTS", number(layer.ports.len())),
            ],
            vec![
                ("CIN", of_ports(&|g| g.source.c)),
                ("HIN", of_ports(&|g| g.source.h)),
                ("WIN", of_ports(&|g| g.source.w)),
            ],
            vec![
                ("KH", of_ports(&|g| g.kernel[0])),
                ("KW", of_ports(&|g| g.kernel[1])),
                ("SY", of_ports(&|g| g.strides[0])),
                ("SX", of_ports(&|g| g.strides[1])),
            ],
            vec![
                ("PT", of_ports(&|g| g.before[0])),
                ("PL", of_ports(&|g| g.before[1])),
                ("DY", of_ports(&|g| g.dilations[0])),
                ("DX", of_ports(&|g| g.dilations[1])),
            ],
            vec![
                ("CHANNEL_GROUPS", of_ports(&|g| g.groups)),
                ("DENSE", of_ports(&|g| usize::from(g.dense))),
            ],
            vec![
                ("COUT", number(layer.target.c)),
                ("HOUT", number(layer.target.h)),
                ("WOUT", number(layer.target.w)),
                ("TYPE", number(kind_of_layer)),
            ],
            vec![
                ("KIND", kind.to_string()),
                ("SHIFT", shift.to_string()),
                ("KEPT", kept.to_string()),
                ("HARD", flag(neuron.hard_reset.is_some())),
                ("V_RESET", neuron.hard_reset.unwrap_or(0).to_string()),
                ("MOST", neuron.maximum.max(1).to_string()),
            ],
            vec![
                ("T", number(layer.timesteps)),
                ("BARRIER", flag(layer.barrier)),
                ("READOUT", flag(stream.potentials.is_some())),
            ],
            vec![
                ("WB", widths.weight.to_string()),
                ("BB", widths.bias.to_string()),
                ("TB", widths.threshold.to_string()),
                ("MB", widths.membrane.to_string()),
            ],
            vec![
                ("TDEPTH", number(table(MemoryKind::Threshold))),
                ("RDEPTH", number(table(MemoryKind::Reset))),
                ("DDEPTH", number(table(MemoryKind::Decode))),
            ],
            vec![("INITIAL", initial(layer))],
            vec![
                ("PB", number(p)),
                ("SIGNED", flag(taken.signed)),
                ("BINARY", flag(taken.binary)),
                ("CB", number(c)),
                ("YB", number(y)),
                ("XB", number(x)),
            ],
            vec![
                ("OPB", number(op)),
                ("OCB", number(oc)),
                ("OYB", number(oy)),
                ("OXB", number(ox)),
            ],
        ];
        let row = |row: &Vec<(&str, String)>| {
            let all: Vec<String> =
                row.iter().map(|(name, value)| format!(".{name}({value})")).collect();
            format!("        {}", all.join(", "))
        };
        rows.iter().map(row).collect::<Vec<_>>().join(",\n")
    }

    /// The words of an output as the top hands them out.
    fn output(&mut self, o: usize) {
        let n = self.manifest.inputs.len() + self.outputs[o];
        let stream = self.streams[n];
        let width = self.answers[o];
        let others: Vec<String> = {
            let all = self.feeds.iter().enumerate().flat_map(|(k, ports)| {
                ports
                    .iter()
                    .enumerate()
                    .filter(|(_, from)| **from == n)
                    .map(move |(q, _)| format!("room{k}_{q}"))
            });
            let read = self.outputs.iter().enumerate();
            let read =
                read.filter(|(other, l)| *other != o && self.manifest.inputs.len() + **l == n);
            all.chain(read.map(|(other, _)| format!("m{other}_axis_tready"))).collect()
        };
        let others = others.iter().fold(String::new(), |text, room| format!("{text} && {room}"));
        self.line(format_args!("\n    assign m{o}_axis_tvalid = valid{n}{others};"));
        if let Some(bits) = stream.potentials {
            let bits = usize::from(bits);
            let data = extended(&format!("word{n}"), bits - 1, 0, width, true);
            self.line(format_args!("    assign m{o}_axis_tdata = {data};\n    assign m{o}_axis_tlast = word{n}[{bits}];"));
            return;
        }
        let [p, c, y, x] = stream.fields();
        let aer = self.aer().clone();
        let wide = |[high, low]: [u32; 2]| (high - low + 1) as usize;
        let name = format!("word{n}");
        let parts = [
            (aer.x, extended(&name, x - 1, 0, wide(aer.x), false)),
            (aer.y, extended(&name, x + y - 1, x, wide(aer.y), false)),
            (aer.c, extended(&name, x + y + c - 1, x + y, wide(aer.c), false)),
            (
                aer.payload,
                extended(&name, x + y + c + p - 1, x + y + c, wide(aer.payload), stream.signed()),
            ),
            (aer.kind, extended(&name, x + y + c + p + 1, x + y + c + p, wide(aer.kind), false)),
        ];
        let whole =
            parts.map(|(field, part)| format!("({{{{{width}{{1'b0}}}}, {part}}} << {})", field[1]));
        self.line(format_args!(
            "    wire [{}:0] event{o} = {};\n    assign m{o}_axis_tdata = event{o}[{}:0];\n    assign m{o}_axis_tlast = word{n}[{}:{}] == 2'd2;",
            2 * width - 1,
            whole.join("\n        | "),
            width - 1,
            x + y + c + p + 1,
            x + y + c + p
        ));
    }
}

/// A name as a comment of one line can hold it.
fn plain(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_graphic() { c } else { '_' }).collect()
}

/// Bits of a vector, extended or cut to a width.
fn extended(name: &str, high: usize, low: usize, width: usize, signed: bool) -> String {
    let own = high - low + 1;
    if own >= width {
        return format!("{name}[{}:{low}]", low + width - 1);
    }
    let fill = if signed { format!("{name}[{high}]") } else { "1'b0".to_owned() };
    format!("{{{{{}{{{fill}}}}}, {name}[{high}:{low}]}}", width - own)
}

/// A word of a stream with the fields as wide as a layer takes them.
fn adapt(stream: &Stream, taken: &Taken, n: usize) -> String {
    let [p, c, y, x] = stream.fields();
    let name = format!("word{n}");
    let [tp, tc, ty, tx] = taken.fields;
    let low = [x + y + c, x + y, x, 0];
    let parts = [
        format!("{name}[{}:{}]", x + y + c + p + 1, x + y + c + p),
        extended(&name, low[0] + p - 1, low[0], tp, stream.signed()),
        extended(&name, low[1] + c - 1, low[1], tc, false),
        extended(&name, low[2] + y - 1, low[2], ty, false),
        extended(&name, x - 1, 0, tx, false),
    ];
    format!("{{{}}}", parts.join(", "))
}

/// Initial potentials as one number: bank after bank, in each group after group, the first lowest.
fn initial(layer: &Layer) -> String {
    if layer.initial.iter().all(|&v| v == 0) {
        return "0".to_owned();
    }
    let (width, groups) = (usize::from(layer.widths.membrane), layer.groups_per_bank());
    let slots = (0..layer.npu).flat_map(|bank| (0..groups).map(move |j| j * layer.npu + bank));
    let values = slots.map(|co| layer.initial.get(co).copied().unwrap_or(0));
    let bits: Vec<bool> =
        values.flat_map(|v| (0..width).map(move |bit| v >> bit.min(63) & 1 == 1)).collect();
    let digit = |bits: &[bool]| {
        let value = bits.iter().rev().fold(0u32, |value, &bit| value << 1 | u32::from(bit));
        char::from_digit(value, 16).unwrap_or('0')
    };
    let digits: String = bits.chunks(4).rev().map(digit).collect();
    format!("{}'h{digits}", bits.len())
}
