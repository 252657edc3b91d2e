//! What fuzzers begin with: files of the repository, and what is made from them.

use std::path::{Path, PathBuf};

use onnx_protobuf::{DataType, Message, ModelProto};
use snnc_backends::format::hdf5::{Hdf5Node, Hdf5Tree, Hdf5Value};
use snnc_backends::format::npy::NpyArray;
use snnc_backends::format::npz::{Compression, Npz, NpzWriter};
use snnc_ir::Graph;

use super::archive::pack;
use crate::onnx_model::Builder;
use crate::{files_below, repository};

/// Files of more bytes are left out: small inputs are tried faster, and say more.
const LARGEST: usize = 20_000;

/// A product of two values with two weights each, the weights first among the constants.
pub(super) fn small_float() -> ModelProto {
    let mut builder = Builder::new();
    builder.input("x", DataType::Float, &[1, 2]);
    builder.reals("w", &[2, 2], &[0.5, -1.0, 2.0, 0.25]);
    builder.node("MatMul", &["x", "w"], "y", &[]);
    builder.output("y", DataType::Float, &[1, 2]);
    ModelProto::decode(builder.bytes()).expect("it was just encoded")
}

/// The network of an artefact of the repository, in canonical form.
pub(super) fn small_network() -> Graph {
    let file = cases("version-1/reference-graded/network.snn");
    let bytes = std::fs::read(file).expect("the case is in the repository");
    Graph::from_wire(bytes.into()).expect("the case is a network")
}

fn cases(name: &str) -> PathBuf {
    repository().join("testsuite/cases").join(name)
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|e| panic!("`{}`: {e}", path.display()))
}

/// The small files below a folder of that ending.
fn small(folder: &Path, ending: &str) -> Vec<Vec<u8>> {
    let mut all = every(folder, ending);
    all.retain(|content| content.len() <= LARGEST);
    all
}

/// The files below a folder of that ending: of some formats none is small.
fn every(folder: &Path, ending: &str) -> Vec<Vec<u8>> {
    files_below(folder, ending).iter().map(|path| read(path)).collect()
}

/// Inputs that a target of that name begins with.
///
/// # Panics
/// When there is no such target, or the repository is not whole.
pub fn seeds(target: &str) -> Vec<Vec<u8>> {
    let root = repository();
    let version_1 = cases("version-1");
    match target {
        "onnx" => {
            let mut all = small(&cases("reports"), "onnx");
            all.retain(|model| model.len() <= 6000);
            all.extend(small(&cases("spiking"), "onnx"));
            all.extend(small(&root.join("compiler/tests/data"), "onnx"));
            all.extend((0..16).map(|i| super::generate(&noise(i, 64)).model));
            all
        }
        "external_data" => {
            ["w.bin\n0\n16", "./w.bin\n4096\n16", "../secret\n0\n16", "link\n0", "w.bin"]
                .map(|text| text.as_bytes().to_vec())
                .to_vec()
        }
        "npz" => {
            let mut all = small(&version_1, "npz");
            all.extend([Compression::Stored, Compression::Deflated].map(|c| archive(&arrays(), c)));
            all
        }
        "npy" => arrays().into_iter().map(|(_, array)| bytes(&array)).collect(),
        "net" => every(&version_1, "net").into_iter().flat_map(both_forms).collect(),
        "nir" => every(&version_1, "nir").into_iter().flat_map(both_forms).collect(),
        "spec" => ["akida1", "akida2"].iter().map(|name| folder(&version_1.join(name))).collect(),
        "image" => vec![folder(&version_1.join("spleat"))],
        "snn" => small(&version_1, "snn"),
        "snnir" => {
            let mut all = small(&root.join("testsuite/filetests"), "snnir");
            all.extend(small(&cases("passes"), "snnir"));
            all.extend(small(&version_1, "snnir"));
            all
        }
        "yaml" => {
            let mut all = small(&version_1, "yaml");
            all.push(CONFIGURATION.as_bytes().to_vec());
            all
        }
        "hw" => small(&root.join("backends/src/spleat/hardware"), "yaml"),
        "stats" => every(&version_1, "stats"),
        "events_bin" => vec![events(), with_header(&events())],
        "events_gz" => {
            vec![events(), with_header(&events()), [&[1, 0x1f, 0x8b], &events()[..]].concat()]
        }
        "events_npz" => {
            let all = event_arrays();
            let members = all.iter().map(|(name, a)| (*name, bytes(a))).collect::<Vec<_>>();
            let raw = archive(&all, Compression::Stored);
            vec![
                pack(members.iter().map(|(name, content)| (*name, content.as_slice()))),
                [&[1], &raw[..]].concat(),
            ]
        }
        "models" => (0..64).map(|i| noise(i, 96)).collect(),
        "kernels" => (0..16).map(|i| noise(i, 40)).collect(),
        other => panic!("there is no target `{other}`"),
    }
}

const CONFIGURATION: &str = "\
input: {scale: 0.5, offset: -1}
thresholds: {conv1: [1.0, 0.5]}
targets: {loihi: {rate: 3}, akida2: {}}
";

/// Bytes that look random and depend on the seed alone (Knuth's MMIX constants).
pub fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let next = |_| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..len).map(next).collect()
}

fn bytes(array: &NpyArray) -> Vec<u8> {
    array.to_bytes().expect("small arrays can be written")
}

fn arrays() -> Vec<(&'static str, NpyArray)> {
    vec![
        ("x", NpyArray::from_u8([2, 1, 2, 2], &[0, 255, 7, 8, 1, 2, 3, 4]).expect("it fits")),
        ("y", NpyArray::from_i64([2], &[1, -3]).expect("it fits")),
        ("z", NpyArray::from_f32([3], &[0.5, -2.0, 1e30]).expect("it fits")),
    ]
}

fn archive(arrays: &[(&str, NpyArray)], compression: Compression) -> Vec<u8> {
    let mut writer = NpzWriter::new(compression);
    for (name, array) in arrays {
        writer.add(name, array).expect("names are plain");
    }
    writer.finish().expect("memory takes all")
}

/// Three events: column, row, polarity and 23 bits of time.
fn events() -> Vec<u8> {
    vec![1, 2, 0x80, 0, 9, 3, 4, 0, 1, 200, 33, 33, 0x83, 0, 7]
}

/// The same behind a header of a label and a count.
fn with_header(events: &[u8]) -> Vec<u8> {
    let count = (events.len() / 5) as u32;
    [&[3u32.to_le_bytes(), count.to_le_bytes(), [0; 4]].concat(), events].concat()
}

fn event_arrays() -> Vec<(&'static str, NpyArray)> {
    let column = |values: &[i64]| NpyArray::from_i64([values.len()], values).expect("it fits");
    vec![
        ("t", column(&[5, 900, 100_001])),
        ("x", column(&[0, 3, 7])),
        ("y", column(&[1, 2, 7])),
        ("p", column(&[0, 1, 1])),
    ]
}

/// A file of HDF5, and the archive of what is in it.
fn both_forms(file: Vec<u8>) -> Vec<Vec<u8>> {
    let tree = Hdf5Tree::read(file.clone()).expect("the case is an HDF5 file");
    let mut files = Vec::new();
    datasets(&tree, "", &mut files);
    let files = files.iter().map(|(path, content)| (path.as_str(), content.as_slice()));
    vec![[&[1], &pack(files)[..]].concat(), file]
}

fn datasets(tree: &Hdf5Tree, prefix: &str, files: &mut Vec<(String, Vec<u8>)>) {
    for (name, node) in tree.iter() {
        let path = format!("{prefix}{name}");
        match node {
            Hdf5Node::Group(group) => datasets(group, &format!("{path}/"), files),
            Hdf5Node::Dataset(Hdf5Value::Array(array)) => files.push((path, bytes(array))),
            Hdf5Node::Dataset(Hdf5Value::Strings(s)) => {
                files.push((path, s.values.concat().into_bytes()));
            }
            Hdf5Node::Dataset(Hdf5Value::Unreadable(_)) => {}
        }
    }
}

/// The files of an artefact that its target wrote; arrays in an `.npz` as members.
fn folder(path: &Path) -> Vec<u8> {
    let mut files = Vec::new();
    let entries = std::fs::read_dir(path).expect("the case is in the repository");
    let mut paths: Vec<PathBuf> = entries.filter_map(|e| Some(e.ok()?.path())).collect();
    paths.sort();
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if ["manifest.yaml", "certificate.json", "source.snn"].contains(&name.as_str()) {
            continue;
        }
        let content = read(&path);
        match name.ends_with(".npz") {
            false => files.push((name, content)),
            true => {
                let npz = Npz::open(content).expect("the case is an archive");
                for member in npz.names() {
                    let array = npz.get(member).expect("it reads").expect("it is there");
                    files.push((format!("{name}/{member}"), bytes(&array)));
                }
            }
        }
    }
    pack(files.iter().map(|(name, content)| (name.as_str(), content.as_slice())))
}
