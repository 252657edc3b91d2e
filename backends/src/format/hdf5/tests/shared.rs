//! Networks that others trained, when they are at hand.

use super::*;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Once;

/// The folder of shared inputs: `SNNC_SHARED`, or `shared` beside the repository.
fn shared() -> Option<PathBuf> {
    let folder = std::env::var_os("SNNC_SHARED").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared"),
        PathBuf::from,
    );
    if folder.is_dir() {
        return Some(folder);
    }
    // Straight to the stream, since the output of tests that pass is swallowed.
    static SAY_ONCE: Once = Once::new();
    SAY_ONCE.call_once(|| {
        let _ = writeln!(std::io::stderr(), "skipped: ../shared not found");
    });
    None
}

#[test]
fn networks_of_others_are_read_and_survive_being_written() {
    let Some(shared) = shared() else { return };
    for name in [
        "tiny.net",
        "mnist_bootstrap.net",
        "mnist_netx.net",
        "nir/01_lif/lif_norse.nir",
        "nir/01_lif/lif_rockpool.nir",
    ] {
        let bytes = std::fs::read(shared.join("neuromorphic").join(name)).unwrap();
        let tree = Hdf5Tree::read(bytes).unwrap();
        assert!(tree.iter().len() > 0, "{name}");
        assert_eq!(Hdf5Tree::read(tree.to_bytes().unwrap()).unwrap(), tree, "{name}");
    }
}

#[test]
fn layers_of_netx_networks_have_types_and_weights() {
    let Some(shared) = shared() else { return };
    for name in ["tiny.net", "mnist_bootstrap.net", "mnist_netx.net"] {
        let bytes = std::fs::read(shared.join("neuromorphic").join(name)).unwrap();
        let tree = Hdf5Tree::read(bytes).unwrap();
        let layers = tree.group("layer").unwrap();
        assert!(layers.iter_numbered().map(|(number, _)| number).eq(0..layers.iter().len() as u64));
        for (layer, _) in layers.iter() {
            let kind = layers.text(&format!("{layer}/type")).unwrap();
            if ["dense", "conv"].contains(&kind) {
                let weights = layers.i64s(&format!("{layer}/weight")).unwrap();
                assert!(weights.iter().any(|&weight| weight != 0), "{name} layer {layer}");
            }
        }
    }
}

#[test]
fn nodes_of_nir_graphs_have_edges_and_parameters() {
    let Some(shared) = shared() else { return };
    for name in ["lif_norse.nir", "lif_rockpool.nir"] {
        let bytes = std::fs::read(shared.join("neuromorphic/nir/01_lif").join(name)).unwrap();
        let tree = Hdf5Tree::read(bytes).unwrap();
        assert_eq!(tree.text("node/type").unwrap(), "NIRGraph");
        assert_eq!(tree.strings("node/edges").unwrap().shape[1], 2);
        for (node, _) in tree.group("node/nodes").unwrap().iter() {
            let path = format!("node/nodes/{node}");
            if ["LIF", "CubaLIF"].contains(&tree.text(&format!("{path}/type")).unwrap()) {
                assert!(!tree.f32s(&format!("{path}/v_threshold")).unwrap().is_empty(), "{path}");
            }
        }
    }
}
