//! What NetX's loader would change, ignore or misread without a word:
//!
//! 1. a matrix of zeros (it stops with an overflow);
//! 2. weights without a negative one, of 256 or more (all become 0), and the same below -256;
//! 3. weights without a positive one, whose smallest is minus a power of two (it loses a step);
//! 4. weights of either sign beyond -256..=254 (clipped);
//! 5. weights of a convolution beyond 8 bits (kept on a CPU, not on a chip);
//! 6. biases beyond 13 bits (wrapped in 16);
//! 7. decays, thresholds and delays out of range (signs flip, delays are cut);
//! 8. words that it does not know or not look at: layer types, delays of convolutions, exponents;
//! 9. currents and potentials beyond 24 bits.
//!
//! The emitter refuses each; the legaliser repairs 3, chooses units that avoid 2 and 4 to 7, names the
//! layer of 1, and proves that 9 cannot be or reports it.

use super::*;
use crate::format::npy::NpyArray;

/// A network that NetX runs as it is.
const SOUND: &str = r#"snnir 1 spiking "sound" {"timesteps":3,"schedule":"streaming"}
%x = encoder {"scale":1.0,"zero_point":0,"minimum":0,"maximum":15,"presentation":"in-time"} () : i64[1,3,3]
%c.synapses = projection {"connectivity":{"convolution":{"window":{"kernel":[2,2],"strides":[1,1],"dilations":[1,1],"before":[0,0],"after":[0,0]},"groups":1}},"binary":true,"accumulator":{"bits":24,"overflow":"wrap"}} (%x+1) : i64[1,2,2]
  data i16[1,1,2,2] 3 -4 5 6
%c = population {"coding":"rate","neuron":{"current-based":{"current_decay":1024,"voltage_decay":128,"threshold":80,"bias":[7],"bias_exponent":6,"fires":true}},"minimum":0,"maximum":1} (%c.synapses) : i64[1,2,2]
%d.synapses = projection {"connectivity":"dense","delays":[0,1,2,3,4,5,6,7],"binary":true,"accumulator":{"bits":32,"overflow":"wrap"}} (%c+1) : i64[2]
  data i16[2,4] 9 -8 7 -6 5 -4 3 -2
%d = population {"coding":"rate","neuron":{"current-based":{"current_decay":1024,"voltage_decay":128,"threshold":80,"bias_exponent":6,"fires":true}},"minimum":0,"maximum":1} (%d.synapses) : i64[2]
%y = decoder {"readout":"sum","scale":[1.0]} (%d) : f32[2]
"#;

/// What the emitter says to the sound network with one thing replaced.
fn emitting(from: &str, to: &str) -> Result<(), String> {
    assert!(SOUND.contains(from), "{from}");
    let network = Legalised {
        network: canonical(&SOUND.replacen(from, to, 1)),
        notes: Vec::new(),
        fit: Vec::new(),
    };
    let emitted = Loihi.emit(&network, &TargetOptions::default());
    emitted.map(|_| ()).map_err(|e| e.to_string())
}

#[test]
fn a_sound_network_is_written() {
    assert_eq!(emitting("80", "80"), Ok(()));
}

#[test]
fn values_that_netx_would_take_wrongly_are_not_written() {
    let dense = "9 -8 7 -6 5 -4 3 -2";
    for (from, to, reason) in [
        // The logarithm of an infinite scale.
        (dense, "0 0 0 0 0 0 0 0", "all weights are 0"),
        // A negative shift leaves nothing of the whole matrix.
        (dense, "9 8 7 6 5 4 3 256", "would change its weights"),
        // Without positive weights a minimum of -2^k loses a step.
        (dense, "-9 -8 -7 -6 -5 -4 -64 0", "to a fraction"),
        (dense, "-4 -8 -4 -8 -4 -4 -64 0", "would change its weights"),
        // Nor is anything left of one below -256.
        (dense, "-9 -8 -7 -6 -5 -4 -257 -2", "would change its weights"),
        // Clipped, with a printed warning at most.
        (dense, "9 -8 7 -6 5 -4 3 255", "would change its weights"),
        // Convolutions are not clipped on a CPU, and do not fit on a chip.
        ("3 -4 5 6", "3 -4 5 255", "a weight is 255"),
        ("3 -4 5 6", "3 -257 5 6", "a weight is -257"),
        // Biases wrap in 16 bits, and have 13.
        (r#""bias":[7]"#, r#""bias":[4096]"#, "a bias is 4096"),
        // Ranges that nothing checks.
        (r#""threshold":80"#, r#""threshold":131072"#, "the threshold is 131072"),
        (r#""current_decay":1024"#, r#""current_decay":4097"#, "the current's decay is 4097"),
        (r#""voltage_decay":128"#, r#""voltage_decay":-1"#, "the voltage's decay is -1"),
        ("[0,1,2,3,4,5,6,7]", "[0,1,2,3,4,5,6,63]", "a delay is 63"),
        // Words that the format has not, or that are not looked at.
        (
            r#""groups":1}},"binary""#,
            r#""groups":1}},"delays":[1,1,1,1],"binary""#,
            "ignores the delays",
        ),
        (r#""bias_exponent":6"#, r#""bias_exponent":5"#, "another exponent"),
        (r#""fires":true"#, r#""fires":true,"reset":{"interval":9,"first":1}"#, "holds no resets"),
        (
            r#""binary":true,"accumulator":{"bits":32"#,
            r#""accumulator":{"bits":32"#,
            "casts to bool",
        ),
        ("(%c+1)", "(%c)", "take one timestep"),
    ] {
        let said = emitting(from, to).unwrap_err();
        assert!(said.contains(reason), "{to}: {said}");
    }
}

#[test]
fn a_dense_layer_of_zeros_is_refused_with_its_name() {
    let zeros = "1 0 -1 2 3 -4 5 6 7 -7 0 1 2 2 0 -3 1 1 1 -1 -1 -1 4 0";
    assert!(CONV.contains(zeros));
    let text = CONV.replace(zeros, &["0"; 24].join(" "));
    let violations = Loihi.legalise(&canonical(&text), &TargetOptions::default()).unwrap_err();
    assert_eq!(violations[0].node, "Gemm `fc`");
}

#[test]
fn a_state_that_may_overflow_is_reported() {
    // Four thousand sources of full weight: no unit is both fine enough and safe.
    let ones = vec!["7"; 4000].join(" ");
    let text = format!(
        r#"snnir 1 spiking "wide" {{"timesteps":1,"schedule":"streaming"}}
%x = encoder {{"scale":0.5,"zero_point":0,"minimum":0,"maximum":255,"presentation":"once"}} () : i64[4000]
%h.synapses = projection {{"connectivity":"dense","accumulator":{{"bits":64,"overflow":"error"}}}} (%x) : i64[1]
  data i8[1,4000] {ones}
%h = population {{"coding":"graded","neuron":{{"graded":{{"multiplier":[1],"offset":[2048],"divisor":[4096],"minimum":0,"maximum":15}}}},"minimum":0,"maximum":15,"scale":[0.5]}} (%h.synapses) : i64[1]
%y.synapses = projection {{"connectivity":"dense","accumulator":{{"bits":64,"overflow":"error"}}}} (%h) : i64[1]
  data i8[1,1] 3
%y = population {{"coding":"graded","neuron":"accumulate","minimum":-900,"maximum":900,"scale":[0.25]}} (%y.synapses) : i64[1]
%out = decoder {{"readout":"last","scale":[0.25]}} (%y) : f32[1]
"#
    );
    let network = legalised(&text);
    let said: Vec<&str> = network.notes.iter().map(|n| n.text.as_str()).collect();
    assert!(said.iter().any(|n| n.contains("not proved to stay within 24 bits")), "{said:?}");
}

/// What the legaliser repairs is what the emitter takes.
#[test]
fn a_power_of_two_minimum_is_repaired_before_it_is_written() {
    // Read-outs without positive weights: the more sources, the smaller the unit that the state
    // leaves, and for some the smallest weight becomes -64 or -32.
    let mut repaired = 0;
    for sources in (60..300).step_by(4) {
        let weights = vec!["-4 -4 0 -2"; sources / 4].join(" ");
        let text = format!(
            r#"snnir 1 spiking "inhibited" {{"timesteps":1,"schedule":"streaming"}}
%x = encoder {{"scale":0.5,"zero_point":0,"minimum":0,"maximum":15,"presentation":"once"}} () : i64[{sources}]
%y.synapses = projection {{"connectivity":"dense","accumulator":{{"bits":64,"overflow":"error"}}}} (%x) : i64[1]
  data i8[1,{sources}] {weights}
%y = population {{"coding":"graded","neuron":"accumulate","minimum":-90000,"maximum":900,"scale":[0.25]}} (%y.synapses) : i64[1]
%out = decoder {{"readout":"last","scale":[0.25]}} (%y) : f32[1]
"#
        );
        let network = legalised(&text);
        let emitted = Loihi.emit(&network, &TargetOptions::default());
        assert!(emitted.is_ok(), "{sources}: {:?}", emitted.err());
        let said = network.notes.iter().any(|n| n.text.contains("weights changed by one"));
        repaired += usize::from(said);
    }
    assert!(repaired > 0);
}

#[test]
fn a_current_that_may_overflow_is_reported() {
    let (ones, sources) = (vec!["7"; 2000].join(" "), 2000);
    let text = format!(
        r#"snnir 1 spiking "wide" {{"timesteps":8,"schedule":"streaming"}}
%x = encoder {{"scale":0.5,"zero_point":0,"minimum":0,"maximum":15,"presentation":"every-timestep"}} () : i64[{sources}]
%h.synapses = projection {{"connectivity":"dense","accumulator":{{"bits":64,"overflow":"error"}}}} (%x) : i64[1]
  data i8[1,{sources}] {ones}
%h = population {{"coding":"rate","neuron":{{"integrate-and-fire":{{"threshold":[[120]],"reset":"soft","initial":[60],"maximum":1}}}},"minimum":0,"maximum":1,"scale":[0.25]}} (%h.synapses) : i64[1]
%y.synapses = projection {{"connectivity":"dense","accumulator":{{"bits":64,"overflow":"error"}}}} (%h) : i64[1]
  data i8[1,1] 3
%y = population {{"coding":"rate","neuron":"accumulate","minimum":-900,"maximum":900,"scale":[0.25]}} (%y.synapses) : i64[1]
%out = decoder {{"readout":"last","scale":[0.25]}} (%y) : f32[1]
"#
    );
    let network = legalised(&text);
    let said: Vec<&str> = network.notes.iter().map(|n| n.text.as_str()).collect();
    assert!(
        said.iter().any(|n| n.contains("current is not proved to stay within 24 bits")),
        "{said:?}"
    );
}

/// A convolution without a weight other than 0, and one of another width behind it.
#[test]
fn all_dead_layers_are_named_at_once() {
    let convolution = |name: &str, from: &str, shape: &str, weights: &str| {
        format!(
            r#"%{name}.synapses = projection {{"connectivity":{{"convolution":{{"window":{{"kernel":[1,1],"strides":[1,1],"dilations":[1,1],"before":[0,0],"after":[0,0]}},"groups":1}}}},"accumulator":{{"bits":64,"overflow":"error"}}}} (%{from}) : i64[4,2,2]
  data i8[{shape},1,1] {weights}
%{name} = population {{"coding":"graded","neuron":{{"graded":{{"multiplier":[11],"offset":[64],"divisor":[128],"minimum":0,"maximum":15}}}},"minimum":0,"maximum":15,"scale":[0.5]}} (%{name}.synapses) : i64[4,2,2]
"#
        )
    };
    let text = [
        r#"snnir 1 spiking "dead" {"timesteps":1,"schedule":"streaming"}
%x = encoder {"scale":0.0625,"zero_point":0,"minimum":0,"maximum":15,"presentation":"once"} () : i64[1,2,2]
"#,
        &convolution("a", "x", "4,1", "0 0 0 0"),
        &convolution("b", "a", "4,4", "1 2 3 4 1 2 3 4 1 2 3 4 1 2 3 4"),
        &convolution("c", "b", "4,4", "0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0"),
        r#"%fc.synapses = projection {"connectivity":"dense","accumulator":{"bits":64,"overflow":"error"}} (%c) : i64[1]
  data i8[1,16] 1 0 -1 2 3 -4 5 6 7 -7 0 1 2 2 0 -3
%fc = population {"coding":"graded","neuron":"accumulate","minimum":-900,"maximum":900,"scale":[0.25]} (%fc.synapses) : i64[1]
%out = decoder {"readout":"last","scale":[0.25]} (%fc) : f32[1]
"#,
    ]
    .concat();
    let said = Loihi.legalise(&canonical(&text), &TargetOptions::default()).unwrap_err();
    let said: Vec<String> = said.iter().map(|v| format!("{}: {}", v.node, v.reason)).collect();
    assert_eq!(said.len(), 2, "{said:?}");
    for (text, name) in said.iter().zip(["a.synapses", "c.synapses"]) {
        assert!(text.contains(name) && text.contains("weights are 0"), "{text}");
    }
}

/// Padding of one side is made up for by zeros in the kernel: the network that is written reads the
/// same of every map.
#[test]
fn uneven_padding_becomes_zeros_in_the_kernel() {
    let window = |kernel: &str, before: &str, after: &str| {
        format!(
            r#""kernel":{kernel},"strides":[1,1],"dilations":[1,1],"before":{before},"after":{after}"#
        )
    };
    let text = |window: &str, shape: &str, weights: &str| {
        CONV.replace(&self::window_of_conv(), window)
            .replace("i64[2,2,2]", "i64[2,3,3]")
            .replace("i8[2,1,2,2] 1 -2 3 0 -1 1 2 7", &format!("i8[2,1,{shape}] {weights}"))
            .replace("i8[3,8] 1 0 -1 2 3 -4 5 6 7 -7 0 1 2 2 0 -3 1 1 1 -1 -1 -1 4 0", DENSE_18)
    };
    let uneven = text(&window("[2,2]", "[0,1]", "[1,0]"), "2,2", "1 -2 3 0 -1 1 2 7");
    let even =
        text(&window("[3,3]", "[1,1]", "[1,1]"), "3,3", "0 0 0 1 -2 0 3 0 0 0 0 0 -1 1 0 2 7 0");
    let (uneven, even) = (legalised(&uneven), legalised(&even));
    assert_eq!(
        uneven.network.to_text(Default::default()),
        even.network.to_text(Default::default())
    );
    assert!(uneven.notes.iter().any(|n| n.text.contains("widened to [3, 3]")));
}

fn window_of_conv() -> String {
    r#""kernel":[2,2],"strides":[1,1],"dilations":[1,1],"before":[0,0],"after":[0,0]"#.into()
}

const DENSE_18: &str = "i8[3,18] 1 0 -1 2 3 -4 5 6 7 -7 0 1 2 2 0 -3 1 1 1 -1 -1 -1 4 0 1 0 -1 2 3 -4 5 6 7 -7 0 1 2 2 0 -3 1 1 1 -1 -1 -1 4 0 1 0 -1 2 3 -4";

/// A file of one layer group with these members besides a sound input.
fn reading(members: &[(&str, Hdf5Value)]) -> Result<(), String> {
    let mut tree = Hdf5Tree::new();
    let three = NpyArray::from_i64([1], &[3]).unwrap();
    tree.insert("layer/0/type", Hdf5Value::ascii("input")).unwrap();
    tree.insert("layer/0/shape", Hdf5Value::from(three)).unwrap();
    for (name, value) in members {
        tree.insert(&format!("layer/1/{name}"), value.clone()).unwrap();
    }
    let files = MemoryFiles([("a.net".to_owned(), tree.to_bytes().unwrap().into())].into());
    Loihi.read(&files, "a.net").map(|_| ()).map_err(|e| e.to_string())
}

#[test]
fn layers_that_netx_would_skip_or_stop_at_are_named() {
    for kind in ["pool", "average", "concat", "convT", "unpool", "dence", "dense_comp"] {
        let said = reading(&[("type", Hdf5Value::ascii(kind))]).unwrap_err();
        assert!(said.contains("layer/1") && said.contains(kind), "{said}");
    }
    let shape = Hdf5Value::from(NpyArray::from_i64([1], &[1]).unwrap());
    let weight = Hdf5Value::from(NpyArray::from_i32([1, 3], &[1, 2, 3]).unwrap());
    let layer = |neuron: &str| {
        reading(&[
            ("type", Hdf5Value::ascii("dense")),
            ("shape", shape.clone()),
            ("weight", weight.clone()),
            ("neuron/type", Hdf5Value::ascii(neuron)),
        ])
    };
    for neuron in ["ALIF", "RF_PHASE", "LIF"] {
        let said = layer(neuron).unwrap_err();
        assert!(said.contains(neuron), "{said}");
    }
    let said = layer("CUBA").unwrap_err();
    assert!(said.contains("iDecay"), "{said}");
}
