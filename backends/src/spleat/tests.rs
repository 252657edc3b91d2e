//! The target as a whole: legalise, emit, read.

use std::fmt::Write as _;

use bytes::Bytes;
use snnc_ir::analysis::intervals;
use snnc_ir::{
    Graph, IntegrateAndFire, Neuron, NodeId, Op, PrintOptions, Reset, SpikingOp, TimeTable,
    Verified, verify,
};

use super::*;
use crate::{MemoryFiles, Target};

/// A convolution with padding and stride, and a dense read-out behind it.
const TINY: &str = r#"snnir 1 spiking "tiny" {"timesteps":1,"schedule":"streaming"}
%x = encoder {"scale":0.5,"zero_point":0,"minimum":0,"maximum":7,"presentation":"once"} () : i64[1,3,3] from [{"node":"q","op":"QuantizeLinear"}]
%conv.syn = projection {"connectivity":{"convolution":{"window":{"kernel":[2,2],"strides":[2,2],"dilations":[1,1],"before":[1,0],"after":[1,1]},"groups":1}},"accumulator":{"bits":64,"overflow":"error"}} (%x) : i64[3,2,2] from [{"node":"conv","op":"Conv"}]
  data i8[3,1,2,2] 1 -2 3 4 -5 6 7 -7 0 1 0 2
%conv = population {"coding":"graded","bias":[3,-4,0],"neuron":{"graded":{"multiplier":[5,7,11],"offset":[8,8,8],"divisor":[16,32,64],"minimum":0,"maximum":3}},"minimum":0,"maximum":3,"scale":[0.25]} (%conv.syn) : i64[3,2,2] from [{"node":"conv","op":"Conv"},{"node":"relu","op":"Relu"}]
%fc.syn = projection {"connectivity":"dense","gain":[1,2],"accumulator":{"bits":64,"overflow":"error"}} (%conv) : i64[2] from [{"node":"fc","op":"Gemm"}]
  data i8[2,12] 1 2 3 4 5 6 7 0 -1 -2 -3 -4 0 1 0 -1 0 1 0 -1 2 2 2 2
%fc = population {"coding":"graded","bias":[10,-10],"neuron":"accumulate","minimum":-1000,"maximum":1000,"scale":[0.125]} (%fc.syn) : i64[2] from [{"node":"fc","op":"Gemm"}]
%y = decoder {"readout":"last","scale":[0.125]} (%fc) : f32[2]
"#;

fn tiny() -> Verified {
    verify(Graph::from_text(TINY).unwrap()).unwrap()
}

fn text(graph: &Graph) -> String {
    graph.to_text(PrintOptions::default())
}

fn image(options: &TargetOptions) -> (Legalised, Artefact) {
    let legalised = Spleat.legalise(&tiny(), options).unwrap();
    let artefact = Spleat.emit(&legalised, options).unwrap();
    (legalised, artefact)
}

/// How many reachable potentials get another answer after legalisation.
fn differing(canonical: &Graph, legalised: &Graph, name: &str) -> usize {
    let population = |graph: &Graph| -> (NodeId, snnc_ir::Population, Vec<i64>) {
        let id = graph.find(name).unwrap();
        let Op::Spiking(SpikingOp::Population(p)) = &graph[id].op else { panic!("{name}") };
        let projection = graph.source(id, 0).unwrap();
        (id, p.clone(), graph[projection].data.as_ref().unwrap().to_i64().unwrap())
    };
    let (id, before, old) = population(canonical);
    let (_, after, new) = population(legalised);
    let bounds = intervals(canonical).unwrap();
    let channels = bounds.potentials(id).len();
    let each = old.len() / channels;
    let mut count = 0;
    for (channel, reachable) in bounds.potentials(id).iter().enumerate() {
        let of_channel = channel * each..(channel + 1) * each;
        let pair = old[of_channel.clone()].iter().zip(&new[of_channel]).find(|(w, _)| **w != 0);
        let m = pair.map_or(1, |(w, scaled)| scaled / w);
        assert_eq!(after.bias_at(channel), m * before.bias_at(channel));
        for v in reachable.low..=reachable.high {
            let answers =
                [before.neuron.single_shot(channel, v), after.neuron.single_shot(channel, m * v)];
            count += usize::from(answers[0] != answers[1]);
        }
    }
    count
}

#[test]
fn graded_neurons_keep_every_answer() {
    let (legalised, _) = image(&TargetOptions::default());
    assert_eq!(legalised.notes, []);
    assert_eq!(differing(&tiny(), &legalised.network, "conv"), 0);
}

#[test]
fn an_image_reads_back_as_the_legalised_network() {
    let (legalised, artefact) = image(&TargetOptions::default());
    let files = MemoryFiles::from(&artefact);
    let read = Spleat.read(&files, ENTRY).unwrap();
    assert_eq!(text(&read), text(&legalised.network));
    assert!(Spleat.recognises(ENTRY, &artefact.files[0].content));
    assert!(!Spleat.recognises(ENTRY, b"{\"format\": \"other\"}"));
}

/// The files of memories: all but the manifest and the core.
fn memory_files(artefact: &Artefact) -> Vec<&crate::File> {
    let files = artefact.files.iter();
    files.filter(|f| f.path != ENTRY && !f.path.starts_with("rtl/")).collect()
}

#[test]
fn equal_networks_give_equal_bytes_and_every_format() {
    let mut options = TargetOptions::default();
    options.extra.insert("formats".into(), "mif, coe,ihex,qhex".into());
    let ((_, a), (_, b)) = (image(&options), image(&options));
    assert_eq!(a.files, b.files);
    let memories = a.files.iter().filter(|f| f.path.ends_with(".mem")).count();
    assert_eq!(memory_files(&a).len(), 5 * memories);
    assert!(a.files.iter().any(|f| f.path == "rtl/spleat_top.v"));
    options.extra.insert("formats".into(), "elf".into());
    assert!(Spleat.legalise(&tiny(), &options).is_err());
}

/// Every memory with its words as signed numbers.
fn annotated(artefact: &Artefact) -> String {
    let files = MemoryFiles::from(artefact);
    let manifest: Manifest = serde_json::from_slice(&artefact.files[0].content).unwrap();
    let mut out = format!("{}\n{}\n", manifest.provenance, manifest.order.join(" "));
    for layer in &manifest.layers {
        let _ = writeln!(out, "\n{} {:?} membrane {:?}", layer.name, layer.shape, layer.checks);
        for file in &layer.files {
            let content = files.0.get(&file.path).unwrap();
            let words = super::format::parse_mem(content, file.width, file.depth).unwrap();
            let memory = memory::Memory {
                stem: file.path.clone(),
                kind: file.kind,
                port: file.port,
                bank: file.bank,
                width: file.width,
                words,
            };
            let numbers: Vec<String> = match file.kind {
                memory::MemoryKind::Configuration => {
                    memory.words.iter().map(|w| format!("{w:X}")).collect()
                }
                _ => memory.signed().iter().map(i64::to_string).collect(),
            };
            let _ =
                writeln!(out, "{} {}x{}: {}", file.path, file.depth, file.width, numbers.join(" "));
        }
    }
    out
}

#[test]
fn memories_hold_the_words_that_the_documentation_says() {
    let (_, artefact) = image(&TargetOptions::default());
    insta::assert_snapshot!("memories", annotated(&artefact));
    insta::assert_snapshot!(
        "manifest",
        String::from_utf8(artefact.files[0].content.to_vec()).unwrap()
    );
}

#[test]
fn memories_are_laid_out_as_the_files_are() {
    let (_, artefact) = image(&TargetOptions::default());
    let files = MemoryFiles::from(&artefact);
    let manifest: Manifest = serde_json::from_slice(&artefact.files[0].content).unwrap();
    let memories = Spleat.memories(&files, ENTRY).unwrap();
    assert_eq!(memories.len(), manifest.layers.len());
    for (memory, layer) in memories.iter().zip(&manifest.layers) {
        assert_eq!(memory.population, layer.name);
        assert_eq!(memory.weights.len(), layer.ports.len());
        let sizes = memory.weights.iter().chain([&memory.bias, &memory.potentials]);
        for size in sizes {
            let same =
                |f: &manifest::FileEntry| (f.depth, u32::from(f.width)) == (size.words, size.bits);
            assert!(layer.files.iter().any(same), "{size:?} in {}", layer.name);
        }
        assert_eq!(memory.queue_in.bits, manifest.hardware.description.aer.bits);
    }
    let damaged = MemoryFiles([(ENTRY.to_owned(), "{".into())].into());
    assert!(matches!(Spleat.memories(&damaged, ENTRY), Err(ReadError::Malformed { .. })));
}

#[test]
fn a_tight_device_refuses_with_all_reasons() {
    let tight = include_str!("hardware/tight.yaml")
        .replace("weight_bits: 4", "weight_bits: 3")
        .replace("max_hw: 8", "max_hw: 2")
        .replace("max_fc_inputs: 64", "max_fc_inputs: 10");
    let options = TargetOptions { hardware: Some(tight), ..Default::default() };
    let violations = Spleat.legalise(&tiny(), &options).unwrap_err();
    assert!(violations.iter().all(|v| !v.remedy.is_empty()));
    insta::assert_snapshot!(
        violations
            .iter()
            .map(|v| format!("{v} (help: {})", v.remedy))
            .collect::<Vec<_>>()
            .join("\n")
    );
}

#[test]
fn unknown_devices_and_broken_descriptions_are_refused() {
    for options in [
        TargetOptions { device: Some("xc7".into()), ..Default::default() },
        TargetOptions { hardware: Some("version: 1".into()), ..Default::default() },
    ] {
        assert_eq!(Spleat.legalise(&tiny(), &options).unwrap_err().len(), 1);
    }
}

#[test]
fn every_damaged_file_is_noticed_and_named() {
    let (_, artefact) = image(&TargetOptions::default());
    let whole = MemoryFiles::from(&artefact);
    for file in memory_files(&artefact).into_iter().chain(&artefact.files[..1]) {
        let mut missing = whole.clone();
        missing.0.remove(&file.path);
        let error = Spleat.read(&missing, ENTRY).unwrap_err().to_string();
        assert!(error.contains(&file.path), "{error}");
        for damage in [&b""[..], b"{}", b"\xff\xfe", &file.content[..file.content.len() / 2]] {
            let mut damaged = whole.clone();
            damaged.0.insert(file.path.clone(), Bytes::copy_from_slice(damage));
            let error = Spleat.read(&damaged, ENTRY).unwrap_err().to_string();
            assert!(error.contains(&file.path), "{error}");
        }
    }
}

#[test]
fn a_changed_word_contradicts_its_checksum() {
    let (_, artefact) = image(&TargetOptions::default());
    let whole = MemoryFiles::from(&artefact);
    let mut count = 0;
    for file in memory_files(&artefact) {
        let text = String::from_utf8(file.content.to_vec()).unwrap();
        for (i, line) in text.lines().enumerate().skip(1) {
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            let other = if line.ends_with('0') { '1' } else { '0' };
            lines[i].pop();
            lines[i].push(other);
            let mut changed = whole.clone();
            changed.0.insert(file.path.clone(), (lines.join("\n") + "\n").into());
            let error = Spleat.read(&changed, ENTRY).unwrap_err().to_string();
            assert!(error.contains(&file.path), "{error}");
            count += 1;
        }
    }
    assert!(count > 100);
}

/// Neurons in several timesteps whose gains are wider than any weight, a maximum of running totals
/// and a read-out that adds its bias once.
fn in_time(gain: i64, threshold: i64) -> Graph {
    let text = format!(
        r#"snnir 1 spiking "in time" {{"timesteps":3,"schedule":"streaming"}}
%x = encoder {{"scale":0.5,"zero_point":0,"minimum":0,"maximum":7,"presentation":"every-timestep"}} () : i64[1,2,2] from []
%conv.syn = projection {{"connectivity":{{"convolution":{{"window":{{"kernel":[1,1],"strides":[1,1],"dilations":[1,1],"before":[0,0],"after":[0,0]}},"groups":1}}}},"gain":[{gain}],"accumulator":{{"bits":64,"overflow":"error"}}}} (%x) : i64[1,2,2] from []
  data i8[1,1,1,1] 3
%conv = population {{"coding":"rate","neuron":{{"integrate-and-fire":{{"threshold":[[{threshold},{threshold},2305843009213693951]],"reset":{{"soft-by":[[{threshold}]]}},"initial":[{gain}],"maximum":1}}}},"minimum":0,"maximum":1,"scale":[0.25]}} (%conv.syn) : i64[1,2,2] from [{{"node":"conv","op":"Conv"}}]
%pool = running-max-pool {{"window":{{"kernel":[2,2],"strides":[2,2],"dilations":[1,1],"before":[0,0],"after":[0,0]}}}} (%conv) : i64[1,1,1] from [{{"node":"pool","op":"MaxPool"}}]
%fc.syn = projection {{"connectivity":"dense","accumulator":{{"bits":64,"overflow":"error"}}}} (%pool) : i64[2] from []
  data i8[2,1] 5 -7
%fc = population {{"coding":"rate","bias":[10,-10],"bias_placement":"first-timestep","neuron":"accumulate","minimum":-1000,"maximum":1000,"scale":[0.125]}} (%fc.syn) : i64[2] from [{{"node":"fc","op":"Gemm"}}]
%y = decoder {{"readout":"last","scale":[0.125]}} (%fc) : f32[2]
"#
    );
    Graph::from_text(&text).unwrap()
}

fn fired(graph: &Graph) -> (IntegrateAndFire, i64) {
    let id = graph.find("conv").unwrap();
    let Op::Spiking(SpikingOp::Population(p)) = &graph[id].op else { panic!("no population") };
    let Neuron::IntegrateAndFire(n) = &p.neuron else { panic!("no spiking neuron") };
    let weights = graph[graph.source(id, 0).unwrap()].data.as_ref().unwrap();
    (n.clone(), weights.to_i64().unwrap()[0])
}

#[test]
fn wide_numbers_get_a_unit_that_fits() {
    // A common divisor goes without a trace.
    let network = verify(in_time(1 << 30, 5 << 30)).unwrap();
    let options = TargetOptions::default();
    let exact = Spleat.legalise(&network, &options).unwrap();
    assert_eq!(exact.notes, []);
    let (n, weight) = fired(&exact.network);
    // 3 timesteps of 21, and what it starts with: the last threshold is the first beyond reach.
    assert_eq!((weight, &n.initial[..]), (3, &[1][..]));
    assert_eq!(n.threshold.0, [[5, 5, 65]]);
    assert_eq!(n.reset, Reset::SoftBy(TimeTable(vec![vec![5]])));
    // Without one, the unit is the largest that the widths allow, and a note says how near it is.
    let network = verify(in_time((1 << 30) + 1, (5 << 30) + 3)).unwrap();
    let rounded = Spleat.legalise(&network, &options).unwrap();
    assert_eq!(rounded.notes.len(), 1);
    assert!(rounded.notes[0].text.contains("parts in a million"), "{}", rounded.notes[0].text);
    let (n, weight) = fired(&rounded.network);
    let gain = weight / 3;
    assert!((1000..=10_922).contains(&gain), "{gain}");
    assert!((n.threshold.0[0][0] - 5 * gain).abs() <= 1, "{:?}", n.threshold);
}

#[test]
fn running_maxima_and_biases_once_are_in_the_image() {
    let network = verify(in_time(2, 9)).unwrap();
    let options = TargetOptions::default();
    let legalised = Spleat.legalise(&network, &options).unwrap();
    let artefact = Spleat.emit(&legalised, &options).unwrap();
    let files = MemoryFiles::from(&artefact);
    let (_, layers) = read_layers(&files, ENTRY, Checksums::Checked).unwrap();
    assert_eq!(layers[1].neuron.kind, Kind::RunningMaximum);
    assert_eq!((&layers[2].bias[..], &layers[2].initial[..]), (&[0, 0][..], &[10, -10][..]));
    assert_eq!(text(&Spleat.read(&files, ENTRY).unwrap()), text(&legalised.network));
    let plain =
        include_str!("hardware/default.yaml").replace("max_pool: totals", "max_pool: buffered");
    let options = TargetOptions { hardware: Some(plain), ..Default::default() };
    let violations = Spleat.legalise(&network, &options).unwrap_err();
    assert!(violations[0].reason.contains("running totals"), "{violations:?}");
}

#[test]
fn a_bundle_for_qualia_is_written_within_its_template() {
    let mut options = TargetOptions::default();
    options.extra.insert("bundle".into(), "qualia".into());
    // The window of this convolution has other padding before its rows than before its columns.
    let violations = Spleat.legalise(&tiny(), &options).unwrap_err();
    assert!(violations[0].reason.contains("not square"), "{violations:?}");
    let square = TINY.replace(r#""before":[1,0],"after":[1,1]"#, r#""before":[1,1],"after":[0,0]"#);
    let network = verify(Graph::from_text(&square).unwrap()).unwrap();
    let legalised = Spleat.legalise(&network, &options).unwrap();
    let artefact = Spleat.emit(&legalised, &options).unwrap();
    let bundle: Vec<&File> =
        artefact.files.iter().filter(|f| f.path.starts_with("qualia/")).collect();
    assert_eq!(bundle[1].path, "qualia/out/learningmodel/tiny_r1.pth");
    insta::assert_snapshot!("qualia", String::from_utf8(bundle[0].content.to_vec()).unwrap());
    let read = Spleat.read(&MemoryFiles::from(&artefact), ENTRY).unwrap();
    assert_eq!(text(&read), text(&legalised.network));
    if let Some(folder) = std::env::var_os("SNNC_KEEP_BUNDLE") {
        std::fs::write(std::path::Path::new(&folder).join("tiny.pth"), &bundle[1].content).unwrap();
    }
}
