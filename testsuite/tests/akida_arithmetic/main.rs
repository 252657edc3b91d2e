//! Each Akida layer, read from the vendor's JSON form and run, against the scalar twin; parameters are
//! drawn so that buffers saturate in a good part of the cases.

mod twin;

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};
use snnc_backends::{MemoryFiles, target};
use snnc_ir::verify;
use snnc_runtime::spiking::{Network, Sample};
use twin::Map;

/// Numbers that look random.
struct Draw(u64);

impl Draw {
    fn next(&mut self, low: i64, high: i64) -> i64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        low + ((self.0 >> 33) % (high - low + 1) as u64) as i64
    }

    fn pick(&mut self, of: &[i64]) -> i64 {
        of[self.next(0, of.len() as i64 - 1) as usize]
    }

    fn many(&mut self, count: usize, low: i64, high: i64) -> Vec<i64> {
        (0..count).map(|_| self.next(low, high)).collect()
    }

    fn map(&mut self, size: [usize; 3], low: i64, high: i64) -> Map {
        Map { size, values: self.many(size.iter().product(), low, high) }
    }

    /// A variable of the given element type and shape.
    fn variable(&mut self, dtype: &str, shape: &[usize], low: i64, high: i64) -> Value {
        let values = self.many(shape.iter().product(), low, high);
        json!({"dtype": dtype, "bitwidth": 32, "data": nested(shape, &values)})
    }
}

fn nested(shape: &[usize], values: &[i64]) -> Value {
    match shape {
        [] => json!(values[0]),
        [first, rest @ ..] => {
            let each = values.len() / first;
            Value::Array(values.chunks(each).map(|part| nested(rest, part)).collect())
        }
    }
}

fn layer(name: &str, inbounds: &[&str], parameters: Value, variables: Value) -> Value {
    json!({"name": name, "parameters": parameters, "variables": variables, "inbounds": inbounds})
}

fn input_data(size: [usize; 3], bits: i64, signed: i64) -> Value {
    let parameters = json!({"layer_type": "InputData", "input_width": size[0], "input_height": size[1],
        "input_channels": size[2], "input_bits": bits, "input_signed": signed});
    layer("in", &[], parameters, json!({}))
}

/// What a model's output shows for one input, at (x, y, c).
fn run(version: &str, layers: &[Value], input: &Map) -> Vec<i64> {
    let model = json!({"Akida version": "2.19.3", "IP version": version, "layers": layers, "learning": null});
    let content = Bytes::from(serde_json::to_vec(&model).unwrap());
    let target = target(if version == "v1" { "akida1" } else { "akida2" }).unwrap();
    let graph = target.read(&MemoryFiles([("m.json".into(), content)].into()), "m.json").unwrap();
    let graph = verify(graph).unwrap();
    let [xs, ys, cs] = input.size;
    let codes = (0..cs).flat_map(|c| (0..xs * ys).map(move |p| p * cs + c));
    let codes = codes.map(|i| input.values[i]).collect();
    let outcome = Network::new(&graph).unwrap().run(&[Sample::Codes(codes)]).unwrap();
    let shape = &graph[graph.outputs()[0]].ty.shape;
    let plane: usize = shape[1..].iter().product();
    let order = (0..plane).flat_map(|p| (0..shape[0]).map(move |c| c * plane + p));
    order.map(|i| outcome.outputs[0].raw[i]).collect()
}

/// Thresholds and steps of an Akida 1.0 layer around what its sums can be.
fn activation(d: &mut Draw, variables: &mut Value, filters: usize, reach: i64) {
    variables["threshold"] = d.variable("int32", &[filters], -reach, reach);
    let steps: Vec<f64> =
        (0..filters).map(|_| d.next(1, reach.max(2)) as f64 / 16.0 + 0.03).collect();
    variables["act_step"] = json!({"dtype": "float32", "bitwidth": 0, "data": steps.iter().map(|s| *s as f32).collect::<Vec<_>>()});
}

fn pooling(d: &mut Draw, parameters: &mut Value, padding: i64) -> bool {
    let kind = d.pick(&[0, 0, 1, 2]);
    let size = if kind == 1 { d.next(1, 2) } else { -1 };
    let stride = if kind == 1 { d.pick(&[-1, 1]) } else { -1 };
    for (key, value) in [
        ("pool_type", kind),
        ("pooling_width", size),
        ("pooling_height", size),
        ("pooling_stride_x", stride),
        ("pooling_stride_y", stride),
        ("padding", padding),
    ] {
        parameters[key] = json!(value);
    }
    kind == 2
}

fn convolutional(d: &mut Draw, kind: &str, c: usize, first: bool) -> Value {
    let filters = d.next(1, 3) as usize;
    let k = [d.pick(&[1, 3]) as usize, d.pick(&[1, 3]) as usize];
    let k = if first { [3, 3] } else { k };
    let bits = d.pick(if first { &[2, 4, 8] } else { &[2, 4] });
    let (low, high) = match bits {
        2 => (-1, 1),
        4 => (-7, 7),
        _ => (-128, 127),
    };
    let activation_on = i64::from(d.next(0, 3) > 0);
    let stride = if first || k.contains(&1) { 1 } else { d.next(1, 2) };
    let mut parameters = json!({"layer_type": kind, "kernel_width": k[0], "kernel_height": k[1],
        "filters": filters, "stride_x": stride, "stride_y": stride, "weights_bits": bits,
        "activation": activation_on, "act_bits": d.pick(&[1, 2, 4])});
    let padding = d.next(0, 1);
    pooling(d, &mut parameters, padding);
    let mut variables = json!({});
    if kind == "SeparableConvolutional" {
        variables["weights"] = d.variable("int8", &[k[0], k[1], c, 1], low, high);
        variables["weights_pw"] = d.variable("int8", &[1, 1, c, filters], low, high);
    } else {
        variables["weights"] = d.variable("int8", &[k[0], k[1], c, filters], low, high);
    }
    activation(d, &mut variables, filters, high * 60);
    layer("layer", if first { &[] } else { &["in"] }, parameters, variables)
}

/// Bias, activation, output of an Akida 2.0 layer, in buffers that may be narrow.
fn output_stage(
    d: &mut Draw,
    parameters: &mut Value,
    variables: &mut Value,
    n: usize,
    table: bool,
) {
    let activation = d.next(0, if table { 2 } else { 1 });
    for (key, value) in [
        ("output_bits", d.pick(&[2, 4, 8, 8, 12, 32])),
        ("buffer_bits", d.pick(&[9, 12, 28, 32])),
        ("post_op_buffer_bits", d.pick(&[9, 14, 20, 32])),
        ("weights_bits", 8),
        ("activation", activation),
    ] {
        parameters[key] = json!(value);
    }
    variables["bias"] = d.variable("int8", &[n], -128, 127);
    variables["bias_shift"] = d.variable("uint8", &[n], 0, 7);
    variables["output_scales"] = d.variable("uint8", &[n], 0, 255);
    variables["output_shift"] = d.variable("int8", &[n], -12, 3);
    if activation == 1 {
        variables["max_value"] = d.variable("uint8", &[n], 0, 255);
        variables["max_value_shift"] = d.variable("uint8", &[n], 0, 31);
    }
    if activation == 2 {
        variables["activation_scales"] = d.variable("uint8", &[n], 0, 255);
        variables["activation_shift"] = d.variable("int8", &[n], -10, 2);
        // Entries beyond the post-operation buffer have no stated meaning where they are added up.
        let post = parameters["post_op_buffer_bits"].as_i64().unwrap();
        let limit = 40_000.min((1 << (post - 1)) - 1);
        variables["lut_values"] = d.variable("int32", &[2048], -limit, limit);
    }
}

fn conv2d(d: &mut Draw, kind: &str, c: usize) -> Value {
    let depthwise = kind == "DepthwiseConv2D";
    let filters = if depthwise { c } else { d.next(1, 3) as usize };
    let k = d.pick(&[1, 3]) as usize;
    let stride = d.next(1, 2);
    let pool = d.pick(&[0, 0, 1, 2]);
    let mut parameters = json!({"layer_type": kind, "kernel_size": k, "kernel_stride": stride,
        "padding": if pool == 1 { d.next(0, 1) } else { d.next(0, 2) }, "pool_type": pool,
        "pool_size": if pool == 1 { d.next(1, 2) } else { -1 },
        "pool_stride": if pool == 1 { d.pick(&[-1, 1]) } else { -1 }});
    let last = if depthwise { 1 } else { filters };
    let mut variables = json!({"weights": d.variable("int8", &[k, k, c, last], -128, 127)});
    if !depthwise {
        parameters["filters"] = json!(filters);
    }
    if kind != "InputConv2D" {
        variables["input_shift"] = d.variable("uint8", &[c], 0, 9);
    }
    output_stage(d, &mut parameters, &mut variables, filters, true);
    layer("layer", &["in"], parameters, variables)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn akida_1_convolutions(seed: u64) {
        let mut d = Draw(seed);
        let size = [d.next(6, 8) as usize, d.next(6, 8) as usize, d.next(1, 3) as usize];
        let kind = if d.next(0, 1) == 0 { "Convolutional" } else { "SeparableConvolutional" };
        let layers = [input_data(size, 4, 0), convolutional(&mut d, kind, size[2], false)];
        let input = d.map(size, 0, 15);
        prop_assert_eq!(run("v1", &layers, &input), twin::one(&layers[1], &input).values);
    }

    #[test]
    fn akida_1_input_convolutions(seed: u64) {
        let mut d = Draw(seed);
        let size = [d.next(6, 8) as usize, d.next(6, 8) as usize, d.pick(&[1, 3]) as usize];
        let mut layer = convolutional(&mut d, "InputConvolutional", size[2], true);
        for (key, value) in [("input_width", size[0]), ("input_height", size[1]), ("input_channels", size[2])] {
            layer["parameters"][key] = json!(value);
        }
        layer["parameters"]["padding_value"] = json!(d.pick(&[0, 77, 255]));
        let input = d.map(size, 0, 255);
        let layers = [layer];
        prop_assert_eq!(run("v1", &layers, &input), twin::one(&layers[0], &input).values);
    }

    #[test]
    fn akida_1_dense(seed: u64) {
        let mut d = Draw(seed);
        let size = [d.next(1, 4) as usize, d.next(1, 4) as usize, d.next(1, 5) as usize];
        let units = d.next(1, 3) as usize;
        let parameters = json!({"layer_type": "FullyConnected", "units": units, "weights_bits": 4,
            "activation": d.next(0, 1), "act_bits": d.pick(&[1, 2, 4])});
        let mut variables = json!({"weights": d.variable("int8", &[1, 1, size.iter().product(), units], -7, 7)});
        activation(&mut d, &mut variables, units, 200);
        let layers = [input_data(size, 4, 0), layer("fc", &["in"], parameters, variables)];
        let input = d.map(size, 0, 15);
        prop_assert_eq!(run("v1", &layers, &input), twin::one(&layers[1], &input).values);
    }

    #[test]
    fn akida_2_convolutions(seed: u64) {
        let mut d = Draw(seed);
        let size = [d.next(6, 8) as usize, d.next(6, 8) as usize, d.next(1, 3) as usize];
        let kind = if d.next(0, 1) == 0 { "Conv2D" } else { "DepthwiseConv2D" };
        let layers = [input_data(size, 8, 1), conv2d(&mut d, kind, size[2])];
        let input = d.map(size, -128, 127);
        prop_assert_eq!(run("v2", &layers, &input), twin::two(&layers[1], &[&input]).values);
    }

    #[test]
    fn akida_2_input_convolutions(seed: u64) {
        let mut d = Draw(seed);
        let size = [d.next(6, 8) as usize, d.next(6, 8) as usize, d.pick(&[1, 3]) as usize];
        let mut layer = conv2d(&mut d, "InputConv2D", size[2]);
        for (key, value) in [("input_x", size[0]), ("input_y", size[1]), ("input_channels", size[2])] {
            layer["parameters"][key] = json!(value);
        }
        layer["inbounds"] = json!([]);
        // An InputConv2D cannot pool globally.
        if layer["parameters"]["pool_type"] == 2 {
            layer["parameters"]["pool_type"] = json!(0);
        }
        let value = d.pick(&[0, 9, 255]);
        layer["variables"]["padding_value"] = d.variable("uint8", &[size[2]], value, value);
        let input = d.map(size, 0, 255);
        let layers = [layer];
        prop_assert_eq!(run("v2", &layers, &input), twin::two(&layers[0], &[&input]).values);
    }

    #[test]
    fn akida_2_dense(seed: u64) {
        let mut d = Draw(seed);
        let size = [d.next(1, 4) as usize, d.next(1, 4) as usize, d.next(1, 5) as usize];
        let (inputs, units) = (size.iter().product(), d.next(1, 3) as usize);
        let mut parameters = json!({"layer_type": "Dense1D", "units": units});
        let mut variables = json!({"weights": d.variable("int8", &[inputs, units], -128, 127),
            "input_shift": d.variable("uint8", &[inputs], 0, 9)});
        output_stage(&mut d, &mut parameters, &mut variables, units, true);
        let layers = [input_data(size, 8, 1), layer("fc", &["in"], parameters, variables)];
        let input = d.map(size, -128, 127);
        prop_assert_eq!(run("v2", &layers, &input), twin::two(&layers[1], &[&input]).values);
    }

    #[test]
    fn akida_2_additions(seed: u64) {
        let mut d = Draw(seed);
        let size = [2, 3, d.next(1, 3) as usize];
        let (mut a, mut b) = (conv2d(&mut d, "Conv2D", size[2]), conv2d(&mut d, "Conv2D", size[2]));
        for (layer, name) in [(&mut a, "a"), (&mut b, "b")] {
            layer["name"] = json!(name);
            let p = &mut layer["parameters"];
            for (key, value) in [("kernel_size", 1), ("kernel_stride", 1), ("padding", 1), ("pool_type", 0), ("filters", 2)] {
                p[key] = json!(value);
            }
            let mut variables = json!({"weights": d.variable("int8", &[1, 1, size[2], 2], -128, 127),
                "input_shift": d.variable("uint8", &[size[2]], 0, 3)});
            output_stage(&mut d, p, &mut variables, 2, true);
            layer["variables"] = variables;
        }
        let parameters = json!({"layer_type": "Add", "output_bits": d.pick(&[4, 8, 16]),
            "buffer_bits": d.pick(&[9, 14, 32]), "post_op_buffer_bits": 32});
        let variables = json!({"a_shift": d.variable("uint8", &[2], 0, 7),
            "b_shift": d.variable("uint8", &[2], 0, 7), "output_shift": d.variable("int8", &[2], -9, 2)});
        let layers = [input_data(size, 8, 1), a, b, layer("add", &["a", "b"], parameters, variables)];
        let input = d.map(size, -128, 127);
        let (a, b) = (twin::two(&layers[1], &[&input]), twin::two(&layers[2], &[&input]));
        prop_assert_eq!(run("v2", &layers, &input), twin::two(&layers[3], &[&a, &b]).values);
    }
}

/// A fully connected sum and a global sum of Akida 1.0 that leave 20 bits on the way.
#[test]
fn akida_1_saturates_at_20_bits() {
    let mut d = Draw(3);
    let size = [60, 60, 2];
    let variables = |weights: Value| {
        json!({"weights": weights,
        "threshold": {"dtype": "int32", "bitwidth": 32, "data": [0, 0]},
        "act_step": {"dtype": "float32", "bitwidth": 0, "data": [1.0, 1.0]}})
    };
    let dense = json!({"layer_type": "FullyConnected", "units": 2, "weights_bits": 4, "activation": 0, "act_bits": 4});
    let mut weights = vec![7; 14_400];
    weights.iter_mut().skip(1).step_by(2).for_each(|w| *w = -7);
    let weights =
        json!({"dtype": "int8", "bitwidth": 4, "data": nested(&[1, 1, 7200, 2], &weights)});
    let layers = [input_data(size, 4, 0), layer("fc", &["in"], dense, variables(weights))];
    let full = d.map(size, 13, 15);
    let expected = twin::one(&layers[1], &full).values;
    assert_eq!(expected, [524_287, -524_288]);
    assert_eq!(run("v1", &layers, &full), expected);

    // Rows of one sign, then of the other: what is lost at the limit does not come back.
    let pool = json!({"layer_type": "Convolutional", "kernel_width": 1, "kernel_height": 1, "filters": 2,
        "padding": 1, "stride_x": 1, "stride_y": 1, "weights_bits": 4, "pool_type": 2, "pooling_width": -1,
        "pooling_height": -1, "pooling_stride_x": -1, "pooling_stride_y": -1, "activation": 0, "act_bits": 4});
    let weights = json!({"dtype": "int8", "bitwidth": 4, "data": [[[[7, -7], [-7, 7]]]]});
    let size = [120, 120, 2];
    let layers = [input_data(size, 4, 0), layer("gap", &["in"], pool, variables(weights))];
    let mut input = Map::new(size);
    for x in 0..120 {
        for y in 0..120 {
            input.values[(x * 120 + y) * 2 + usize::from(x >= 70)] = 15;
        }
    }
    let expected = twin::one(&layers[1], &input).values;
    assert!(expected[0] < 0 && expected[1] > 0, "{expected:?}");
    assert_eq!(run("v1", &layers, &input), expected);
}
