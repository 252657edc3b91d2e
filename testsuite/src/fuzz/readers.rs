//! Targets that read files of one format, and run the networks that are in them.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::sync::LazyLock;

use bytes::Bytes;
use onnx_protobuf::{Message, StringStringEntryProto};
use snnc::artefact::Manifest;
use snnc::calibration::Statistics;
use snnc::cli;
use snnc::data::{Dataset, Scaling};
use snnc::import::{ImportOptions, from_bytes};
use snnc::inspect;
use snnc::passes::{Context, canonicalise, graded, quantised};
use snnc_backends::format::events::{self, Bins, Form};
use snnc_backends::format::hdf5::{Hdf5Tree, Hdf5Value};
use snnc_backends::format::npy::NpyArray;
use snnc_backends::format::npz::{Compression, Npz, NpzWriter};
use snnc_backends::{MemoryFiles, TARGETS, Target, TargetOptions, target};
use snnc_ir::{Graph, PrintOptions, verify};
use snnc_runtime::kernels::Kernels;
use snnc_runtime::spiking::{Network, Sample};

use super::archive::unpack;

/// An ONNX model: import, inspection, passes, conversion.
pub(super) fn onnx(data: &[u8]) {
    model(data.to_vec().into(), None);
}

fn model(bytes: Bytes, base: Option<&Path>) {
    let Ok(imported) = from_bytes(bytes, "model", base, &ImportOptions::default()) else { return };
    let mut context = Context::default();
    let Ok(canonical) = canonicalise(imported.graph, &mut context) else { return };
    let _ = inspect::rows(&canonical);
    if let Ok(codes) = quantised(canonical, &mut context) {
        let _ = graded::convert(&codes);
    }
}

/// A folder with a model's file of weights, a link out of the folder, and what that must not lead to.
static FOLDER: LazyLock<tempfile::TempDir> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, content: &[u8]| {
        std::fs::write(folder.path().join(name), content).expect("writes");
    };
    std::fs::create_dir(folder.path().join("model")).expect("makes");
    write("model/w.bin", &[0x3f; 64]);
    write("secret", &[0; 64]);
    #[cfg(unix)]
    std::os::unix::fs::symlink("../secret", folder.path().join("model/link")).expect("links");
    folder
});

/// Where external data is said to lie: three lines of location, offset and length. The weights of the file
/// that may be read are all 0.747; those outside are 0.
pub(super) fn external_data(data: &[u8]) {
    let text = String::from_utf8_lossy(data).into_owned();
    let keys = ["location", "offset", "length", "checksum"];
    let entry = |(key, value): (&str, &str)| StringStringEntryProto {
        key: key.into(),
        value: value.into(),
    };
    let mut proto = super::seeds::small_float();
    let Some(weights) = proto.graph.as_mut().and_then(|g| g.initializer.first_mut()) else {
        return;
    };
    weights.raw_data = Bytes::new();
    weights.data_location = 1;
    weights.external_data = keys.into_iter().zip(text.split('\n')).map(entry).collect();
    let bytes: Bytes = proto.encode_to_vec().into();
    let base = FOLDER.path().join("model");
    let Ok(imported) = from_bytes(bytes, "model", Some(&base), &ImportOptions::default()) else {
        return;
    };
    for id in imported.graph.ids() {
        let Some(data) = &imported.graph[id].data else { continue };
        if data.dtype().is_float() && data.to_f32().len() == 4 {
            assert!(data.to_f32().iter().all(|&w| w > 0.5), "read outside of the folder: {text}");
        }
    }
}

/// An archive of arrays, as data and as it is.
pub(super) fn npz(data: &[u8]) {
    let Ok(npz) = Npz::open(data.to_vec()) else { return };
    let names: Vec<String> = npz.names().map(str::to_owned).collect();
    for name in &names {
        let inflated = npz.inflated_len(name).unwrap_or_default().unwrap_or(0);
        if inflated < 1 << 24
            && let Ok(Some(array)) = npz.get(name)
        {
            numbers(&array);
        }
    }
}

/// One array.
pub(super) fn npy(data: &[u8]) {
    if let Ok(array) = NpyArray::read(data.to_vec()) {
        numbers(&array);
        let again = NpyArray::read(array.to_bytes().expect("what was read can be written"));
        assert!(again.is_ok_and(|a| a.shape == array.shape && a.dtype == array.dtype));
    }
}

/// All that is asked of an array.
fn numbers(array: &NpyArray) {
    let (_, _, _) = (array.to_i64(), array.to_u8(), array.to_f32());
    if let Ok(data) = Dataset::new(array, None, Some(4)) {
        for index in 0..data.len() {
            for scaling in [Scaling::default(), Scaling::AS_IS] {
                let _ = (data.reals(index, scaling), data.integers(index, scaling));
            }
        }
        let _ = data.fitted(&[1, 8, 8], Path::new("data"));
    }
}

/// A NetX file, given as HDF5 or, after a first byte of 1, as an archive of what is in it.
pub(super) fn net(data: &[u8]) {
    if let Some(file) = hdf5(data) {
        network("loihi", file);
    }
}

/// A NIR file, in continuous time or ours; given as [`net`] is.
pub(super) fn nir(data: &[u8]) {
    let Some(file) = hdf5(data) else { return };
    if let Some(target) = target("nir")
        && let Ok(Some(real)) = target.read_real("network.nir", file.clone())
    {
        let _ = target.emit_real(&real);
    }
    network("nir", file);
}

/// The datasets of a tree by path: arrays as `.npy`, other content as text.
fn hdf5(data: &[u8]) -> Option<Bytes> {
    let (&first, rest) = data.split_first()?;
    if first != 1 {
        return Some(data.to_vec().into());
    }
    let mut tree = Hdf5Tree::new();
    for (path, content) in unpack(rest) {
        let text = || String::from_utf8_lossy(content).into_owned();
        let value = match NpyArray::read(content.to_vec()) {
            Ok(array) => Hdf5Value::Array(array),
            Err(_) if path.ends_with("type") => Hdf5Value::ascii_array(text()),
            Err(_) => Hdf5Value::utf8(text()),
        };
        let _ = tree.insert(&path, value);
    }
    tree.to_bytes().ok().map(Bytes::from)
}

fn network(target: &str, file: Bytes) {
    read(target, MemoryFiles(BTreeMap::from([("network".to_owned(), file)])), "network");
}

/// An Akida specification and its arrays: an archive of files, in which those of an `.npz` are members.
pub(super) fn spec(data: &[u8]) {
    let mut files = MemoryFiles::default();
    let mut archives: BTreeMap<String, NpzWriter> = BTreeMap::new();
    for (path, content) in unpack(data) {
        match path.split_once("npz/") {
            Some((archive, name)) => {
                let writer = archives
                    .entry(format!("{archive}npz"))
                    .or_insert_with(|| NpzWriter::new(Compression::Stored));
                if let Ok(array) = NpyArray::read(content.to_vec()) {
                    let _ = writer.add(name, &array);
                }
            }
            None => {
                files.0.insert(path, content.to_vec().into());
            }
        }
    }
    for (path, writer) in archives {
        if let Ok(bytes) = writer.finish() {
            files.0.insert(path, bytes.into());
        }
    }
    for target in ["akida1", "akida2"] {
        read(target, files.clone(), "model.spec.json");
    }
}

/// A SPLEAT-style image: an archive of its files.
pub(super) fn image(data: &[u8]) {
    let files = unpack(data).into_iter().map(|(path, content)| (path, content.to_vec().into()));
    read("spleat", MemoryFiles(files.collect()), "manifest.json");
}

/// A network of any target's files.
fn read(name: &str, files: MemoryFiles, entry: &str) {
    let Some(target) = target(name) else { return };
    if let Some(content) = files.0.get(entry) {
        let _: Vec<bool> =
            TARGETS.iter().map(|t: &&dyn Target| t.recognises(entry, content)).collect();
    }
    let _ = target.memories(&files, entry);
    let _ = target.clocks(&files, entry);
    if let Ok(graph) = target.read(&files, entry) {
        verified(graph);
    }
}

/// The wire form of a graph.
pub(super) fn snn(data: &[u8]) {
    if let Ok(graph) = Graph::from_wire(data.to_vec().into()) {
        let again = Graph::from_wire(graph.to_wire().into()).expect("what was read can be written");
        assert_eq!(again.to_wire(), graph.to_wire());
        verified(graph);
    }
}

/// The text form of a graph.
pub(super) fn snnir(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(graph) = Graph::from_text(text) {
        let written = graph.to_text(PrintOptions::default());
        let again = Graph::from_text(&written).expect("what was read can be written");
        assert_eq!(again.to_text(PrintOptions::default()), written);
        verified(graph);
    }
}

/// Products in a network, at most, that is run.
const SMALL: usize = 1 << 16;

/// What is verified runs, and alike on all instruction sets.
fn verified(graph: Graph) {
    let Ok(verified) = verify(graph) else { return };
    let graph = verified.into_inner();
    let elements = |id| -> usize {
        let node: &snnc_ir::Node = &graph[id];
        let own = node.ty.shape.iter().fold(1usize, |n, &d| n.saturating_mul(d));
        own.saturating_add(node.data.as_ref().map_or(0, |d| d.bytes().len()))
    };
    let all = graph.ids().map(elements).fold(0usize, usize::saturating_add);
    let delays = graph.ids().flat_map(|id| graph.operands(id)).map(|o| o.delay as usize);
    let delays = delays.fold(0usize, usize::saturating_add);
    if graph.timing.timesteps > 16 || all > SMALL || delays > 64 {
        return;
    }
    let Ok(twin) = Network::with_kernels(&graph, Kernels::Scalar) else { return };
    let Ok(fast) = Network::with_kernels(&graph, Kernels::best()) else {
        panic!("runs on one instruction set alone");
    };
    for (first, step) in [(0, 0), (3, 37), (-200, 91)] {
        let sample = |id| {
            let n: usize = graph[id].ty.shape.iter().product();
            Sample::Codes((0..n as i64).map(|i| (first + i * step) % 256).collect())
        };
        let samples: Vec<Sample> = graph.inputs().into_iter().map(sample).collect();
        let shown = |network: &Network| format!("{:?}", network.run(&samples));
        assert_eq!(shown(&twin), shown(&fast));
    }
}

/// A manifest, or the configuration of the command line.
pub(super) fn yaml(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(manifest) = Manifest::parse(text, "manifest.yaml") {
        let _ = manifest.image_bits();
        let mut network = super::seeds::small_network();
        let _ = manifest.apply(&mut network, "manifest.yaml");
    }
    let _ = cli::check_config(text);
}

/// A description of hardware.
pub(super) fn hw(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    for target in TARGETS {
        if let Some(Ok(())) = target.check_hardware(text) {
            let options =
                TargetOptions { hardware: Some(text.to_owned()), ..TargetOptions::default() };
            if let Ok(network) = verify(super::seeds::small_network()) {
                let legalised = target.legalise(&network, &options);
                let _ = legalised.map(|l| target.emit(&l, &options).map(drop));
            }
        }
    }
}

/// Statistics of calibration.
pub(super) fn stats(data: &[u8]) {
    let Ok(statistics) = Statistics::from_bytes(data) else { return };
    let again =
        Statistics::from_bytes(&statistics.to_bytes()).expect("what was read can be written");
    assert_eq!(again.to_bytes(), statistics.to_bytes());
    for site in statistics.sites.values() {
        let factors = vec![1.0; site.channels.len()];
        let _ = site.distribution(&factors);
    }
    let mut merged = statistics;
    let _ = merged.merge(&again);
}

/// Recordings of 40-bit events, with headers or without.
pub(super) fn events_bin(data: &[u8]) {
    recordings(data.to_vec());
}

/// The same, compressed; what a fuzzer changes is what is in it, or the compressed bytes after a first
/// byte of 1.
pub(super) fn events_gz(data: &[u8]) {
    match data.split_first() {
        Some((1, rest)) => recordings(rest.to_vec()),
        _ => {
            let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            out.write_all(data).expect("memory takes all");
            recordings(out.finish().expect("memory takes all"));
        }
    }
}

/// Recordings as arrays: an archive of arrays, or an `.npz` as it is after a first byte of 1.
pub(super) fn events_npz(data: &[u8]) {
    if let Some((1, rest)) = data.split_first() {
        return recordings(rest.to_vec());
    }
    let mut writer = NpzWriter::new(Compression::Stored);
    for (name, content) in unpack(data) {
        if let Ok(array) = NpyArray::read(content.to_vec()) {
            let _ = writer.add(&name, &array);
        }
    }
    if let Ok(bytes) = writer.finish() {
        recordings(bytes);
    }
}

fn recordings(bytes: Vec<u8>) {
    let Ok(recordings) = events::read(bytes) else { return };
    for recording in &recordings {
        assert!(recording.events.is_sorted_by_key(|e| e.microseconds));
        for form in [Form::Counts, Form::Frames] {
            for shape in [&[2, 34, 34][..], &[1, 8, 8], &[8, 8]] {
                let bins = Bins::new(shape, 100_000, form).expect("an input of events");
                let Ok(count) = bins.count(recording) else { continue };
                let _ = bins.rows(recording, 0, count.min(8));
                let _ = bins.rows(recording, count - 1, 1);
            }
        }
    }
}
