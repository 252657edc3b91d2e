//! Widths that devices of the second generation take together, and the wider ones that keep the codes.

use super::*;

fn layers(network: &Verified) -> Vec<serde_json::Value> {
    let spec: serde_json::Value = serde_json::from_str(&emitted(&Akida2, network)).unwrap();
    spec["layers"].as_array().unwrap().clone()
}

fn width(layers: &[serde_json::Value], name: &str, parameter: &str) -> i64 {
    let layer = layers.iter().find(|l| l["name"] == name).expect(name);
    layer["parameters"][parameter].as_i64().expect(parameter)
}

#[test]
fn payloads_are_as_wide_as_the_weights_of_a_dense_layer_behind() {
    let input = || Builder::new(&[1, 6, 5], 0, 255, 0).convolution(2, square(3, 1, 1), 15);
    let conv = |network: Builder| {
        network.fire("first", 0.002, (0, 15)).convolution(2, square(3, 1, 1), 7).fire(
            "conv",
            0.05,
            (0, 15),
        )
    };
    // A read-out has the model's weights, which 4 bits hold.
    let narrow = layers(&conv(input()).dense(2, 7).scores("fc"));
    assert_eq!(width(&narrow, "conv", "output_bits"), 4);
    assert_eq!(width(&narrow, "fc", "weights_bits"), 4);
    let wide = layers(&conv(input()).dense(2, 100).scores("fc"));
    assert_eq!(width(&wide, "conv", "output_bits"), 8);
    assert_eq!(width(&wide, "fc", "weights_bits"), 8);
    // So are those of the identity convolution that a dense layer needs behind an input convolution.
    let copied = layers(&input().fire("conv", 0.002, (0, 15)).dense(2, 100).scores("fc"));
    assert_eq!(width(&copied, "conv.copy", "output_bits"), 8);
    // A dense layer with an activation may need a factor in its weights.
    let hidden = conv(input()).dense(3, 7).fire("hidden", 0.05, (0, 15));
    let hidden = layers(&hidden.dense(2, 7).scores("fc"));
    assert_eq!(width(&hidden, "conv", "output_bits"), 8);
    assert_eq!(width(&hidden, "hidden", "output_bits"), 4);
}

#[test]
fn input_convolutions_padded_first_send_bytes() {
    let mut window = square(3, 2, 1);
    window.after = vec![0; 2];
    let network = Builder::new(&[1, 6, 6], 0, 255, 0)
        .convolution(2, window, 15)
        .fire("conv", 0.002, (0, 15))
        .dense(2, 7)
        .scores("fc");
    let found = layers(&network);
    assert_eq!(width(&found, "conv", "padding"), 2);
    assert_eq!(width(&found, "conv", "output_bits"), 8);
}

#[test]
fn weights_behind_potentials_have_8_bits() {
    let network = Builder::new(&[1, 6, 6], 0, 255, 0)
        .convolution(2, square(3, 1, 1), 15)
        .fire("conv0", 0.002, (0, 15))
        .convolution(2, square(3, 1, 1), 7)
        .fire("conv1", 0.05, (0, 15));
    let skip = network.here();
    let network = network
        .convolution(2, square(3, 1, 1), 7)
        .residual("sum", skip, 15)
        .dense(2, 7)
        .scores("fc");
    let found = layers(&network);
    let potentials = |l: &&serde_json::Value| {
        l["parameters"]["activation"] == 0 && l["parameters"]["output_bits"] == 8
    };
    let senders: Vec<&str> =
        found.iter().filter(potentials).filter_map(|l| l["name"].as_str()).collect();
    let reads = |l: &&serde_json::Value| {
        let inbounds = l["inbounds"].as_array().into_iter().flatten();
        inbounds.filter_map(|i| i.as_str()).any(|i| senders.contains(&i))
    };
    for reader in found.iter().filter(reads) {
        assert_ne!(reader["parameters"]["weights_bits"], 4, "{}", reader["name"]);
    }
}
