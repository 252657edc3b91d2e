//! Akida's arithmetic written down once more, layer by layer and with nothing shared, from the
//! published API documentation. Maps are (x, y, c), as the chip has them.

use serde_json::Value;

/// Values at (x, y, c).
#[derive(Clone, Debug, PartialEq)]
pub struct Map {
    pub size: [usize; 3],
    pub values: Vec<i64>,
}

impl Map {
    pub fn new(size: [usize; 3]) -> Self {
        Map { size, values: vec![0; size.iter().product()] }
    }

    pub fn at(&self, x: usize, y: usize, c: usize) -> i64 {
        self.values[(x * self.size[1] + y) * self.size[2] + c]
    }

    fn set(&mut self, x: usize, y: usize, c: usize, value: i64) {
        let i = (x * self.size[1] + y) * self.size[2] + c;
        self.values[i] = value;
    }

    fn each(&self, f: impl Fn(usize, i64) -> i64) -> Map {
        let values = self.values.iter().enumerate().map(|(i, &v)| f(i % self.size[2], v)).collect();
        Map { size: self.size, values }
    }
}

/// `x` in `bits` bits.
pub fn sat(x: i64, bits: i64) -> i64 {
    let half = 1i64 << (bits - 1);
    if x >= half {
        half - 1
    } else if x < -half {
        -half
    } else {
        x
    }
}

fn shift(x: i64, by: i64) -> i64 {
    if by >= 0 {
        x << by
    } else {
        // floor((x + half) / 2^s)
        let (unit, half) = (1i64 << -by, 1i64 << (-by - 1));
        let shifted = x + half;
        if shifted >= 0 { shifted / unit } else { -((-shifted + unit - 1) / unit) }
    }
}

fn number(layer: &Value, key: &str) -> i64 {
    layer["parameters"][key].as_i64().unwrap_or_else(|| panic!("no {key}"))
}

/// All integers of a nested array.
fn flat(value: &Value) -> Vec<i64> {
    match value {
        Value::Array(items) => items.iter().flat_map(flat).collect(),
        other => vec![other.as_i64().unwrap()],
    }
}

fn vector(layer: &Value, name: &str) -> Vec<i64> {
    flat(&layer["variables"][name]["data"])
}

fn pads(mode: i64, n: usize, k: usize, s: usize) -> (i64, usize) {
    if mode == 0 {
        return (0, (n - k) / s + 1);
    }
    let out = n.div_ceil(s);
    let total = ((out - 1) * s + k) as i64 - n as i64;
    let total = total.max(0);
    (if mode == 1 { total / 2 } else { (total + 1) / 2 }, out)
}

/// What one convolution does to a map: kernel at (kx, ky, c, f), true unless `straight`.
struct Kernel {
    weights: Vec<i64>,
    size: [usize; 2],
    stride: [usize; 2],
    padding: i64,
    padding_value: i64,
    straight: bool,
    depthwise: bool,
    filters: usize,
}

fn convolve(map: &Map, k: &Kernel, shifted: impl Fn(usize, i64) -> i64) -> Map {
    let [xs, ys, cs] = map.size;
    let (x0, xo) = pads(k.padding, xs, k.size[0], k.stride[0]);
    let (y0, yo) = pads(k.padding, ys, k.size[1], k.stride[1]);
    let mut out = Map::new([xo, yo, k.filters]);
    for ox in 0..xo {
        for oy in 0..yo {
            for f in 0..k.filters {
                let mut sum = 0;
                for i in 0..k.size[0] {
                    for j in 0..k.size[1] {
                        for c in 0..cs {
                            if k.depthwise && c != f {
                                continue;
                            }
                            let x = (ox * k.stride[0] + i) as i64 - x0;
                            let y = (oy * k.stride[1] + j) as i64 - y0;
                            let inside = x >= 0 && y >= 0 && (x as usize) < xs && (y as usize) < ys;
                            let v = if inside {
                                map.at(x as usize, y as usize, c)
                            } else {
                                k.padding_value
                            };
                            let (a, b) = if k.straight {
                                (i, j)
                            } else {
                                (k.size[0] - 1 - i, k.size[1] - 1 - j)
                            };
                            let w = if k.depthwise {
                                k.weights[(a * k.size[1] + b) * cs + c]
                            } else {
                                k.weights[((a * k.size[1] + b) * cs + c) * k.filters + f]
                            };
                            sum += shifted(c, v) * w;
                        }
                    }
                }
                out.set(ox, oy, f, sum);
            }
        }
    }
    out
}

fn max_pool(map: &Map, mode: i64, size: [usize; 2], stride: [usize; 2]) -> Map {
    let (x0, xo) = pads(mode, map.size[0], size[0], stride[0]);
    let (y0, yo) = pads(mode, map.size[1], size[1], stride[1]);
    let mut out = Map::new([xo, yo, map.size[2]]);
    for ox in 0..xo {
        for oy in 0..yo {
            for c in 0..map.size[2] {
                let mut best = i64::MIN;
                for i in 0..size[0] {
                    for j in 0..size[1] {
                        let x = (ox * stride[0] + i) as i64 - x0;
                        let y = (oy * stride[1] + j) as i64 - y0;
                        let inside = x >= 0
                            && y >= 0
                            && (x as usize) < map.size[0]
                            && (y as usize) < map.size[1];
                        if inside {
                            best = best.max(map.at(x as usize, y as usize, c));
                        }
                    }
                }
                out.set(ox, oy, c, best);
            }
        }
    }
    out
}

/// Sum over the map, held to `bits` after every addition, rows outer.
fn global_sum(map: &Map, bits: i64) -> Map {
    let mut out = Map::new([1, 1, map.size[2]]);
    for c in 0..map.size[2] {
        let mut sum = 0;
        for x in 0..map.size[0] {
            for y in 0..map.size[1] {
                sum = sat(sum + map.at(x, y, c), bits);
            }
        }
        out.values[c] = sum;
    }
    out
}

/// What an Akida 1.0 layer sends; without activation, what is left above the threshold.
pub fn one(layer: &Value, map: &Map) -> Map {
    let kind = layer["parameters"]["layer_type"].as_str().unwrap();
    let potentials = if kind == "FullyConnected" {
        let units = number(layer, "units") as usize;
        let weights = vector(layer, "weights");
        let [xs, ys, cs] = map.size;
        let mut out = Map::new([1, 1, units]);
        for u in 0..units {
            let mut sum = 0;
            for c in 0..cs {
                for y in 0..ys {
                    for x in 0..xs {
                        sum += map.at(x, y, c) * weights[((c * ys + y) * xs + x) * units + u];
                    }
                }
            }
            out.values[u] = sat(sum, 20);
        }
        out
    } else {
        let size =
            [number(layer, "kernel_width") as usize, number(layer, "kernel_height") as usize];
        let stride = [number(layer, "stride_x") as usize, number(layer, "stride_y") as usize];
        let separable = kind == "SeparableConvolutional";
        let filters = number(layer, "filters") as usize;
        let input = kind == "InputConvolutional";
        let mut kernel = Kernel {
            weights: vector(layer, "weights"),
            size,
            stride,
            padding: number(layer, "padding"),
            padding_value: if input { number(layer, "padding_value") } else { 0 },
            straight: input,
            depthwise: separable,
            filters: if separable { map.size[2] } else { filters },
        };
        let mut sums = convolve(map, &kernel, |_, v| v);
        if separable {
            kernel.weights = vector(layer, "weights_pw");
            kernel.size = [1, 1];
            kernel.stride = [1, 1];
            kernel.depthwise = false;
            kernel.filters = filters;
            sums = convolve(&sums, &kernel, |_, v| v);
        }
        match number(layer, "pool_type") {
            0 => sums,
            1 => {
                let size = [
                    number(layer, "pooling_width") as usize,
                    number(layer, "pooling_height") as usize,
                ];
                let step = |key, size: usize| match number(layer, key) {
                    -1 => size,
                    n => n as usize,
                };
                let stride = [step("pooling_stride_x", size[0]), step("pooling_stride_y", size[1])];
                max_pool(&sums, kernel.padding, size, stride)
            }
            _ => global_sum(&sums, 20),
        }
    };
    let threshold = vector(layer, "threshold");
    let steps: Vec<f64> = layer["variables"]["act_step"]["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|v| v.as_f64().unwrap())
        .collect();
    let bits = number(layer, "act_bits");
    if number(layer, "activation") == 0 {
        return potentials.each(|c, p| p - threshold[c]);
    }
    potentials.each(|c, p| {
        let q = (steps[c] * 16.0).floor() as i64;
        let step = q * (1 << (4 - bits));
        // The level is the number of whole steps begun above the threshold.
        let mut level = 0;
        while level < (1 << bits) - 1 && 16 * (p - threshold[c]) > level * step {
            level += 1;
        }
        level
    })
}

/// What an Akida 2.0 layer sends.
pub fn two(layer: &Value, inputs: &[&Map]) -> Map {
    let kind = layer["parameters"]["layer_type"].as_str().unwrap();
    let map = inputs[0];
    let ob = number(layer, "output_bits");
    let bb = number(layer, "buffer_bits");
    let output = |z: i64| if ob <= 4 { z.clamp(0, (1 << ob) - 1) } else { sat(z, ob) };
    let out_shift = vector(layer, "output_shift");
    if kind == "Add" {
        let (a, b) = (vector(layer, "a_shift"), vector(layer, "b_shift"));
        let cs = map.size[2];
        let values = map.values.iter().zip(&inputs[1].values).enumerate().map(|(i, (&p, &q))| {
            let c = i % cs;
            let sum = sat(sat(p << a[c], bb) + sat(q << b[c], bb), bb);
            output(shift(sum, out_shift[c]))
        });
        return Map { size: map.size, values: values.collect() };
    }
    let pb = number(layer, "post_op_buffer_bits");
    let input = kind == "InputConv2D";
    let bias: Vec<i64> = vector(layer, "bias")
        .iter()
        .zip(vector(layer, "bias_shift"))
        .map(|(b, s)| sat(b << s, pb))
        .collect();
    let in_shift = if input { Vec::new() } else { vector(layer, "input_shift") };
    let shifted = |c: usize, v: i64| if input { v } else { sat(v << in_shift[c], bb) };
    let pool = layer["parameters"]["pool_type"].as_i64().unwrap_or(0);
    let mut acc = if kind == "Dense1D" {
        let units = number(layer, "units") as usize;
        let weights = vector(layer, "weights");
        let mut out = Map::new([1, 1, units]);
        for u in 0..units {
            let sum: i64 = map
                .values
                .iter()
                .enumerate()
                .map(|(k, &v)| shifted(k, v) * weights[k * units + u])
                .sum();
            out.values[u] = sum;
        }
        out
    } else {
        let k = number(layer, "kernel_size") as usize;
        let stride = number(layer, "kernel_stride") as usize;
        let depthwise = kind == "DepthwiseConv2D";
        let kernel = Kernel {
            weights: vector(layer, "weights"),
            size: [k; 2],
            stride: [stride; 2],
            padding: number(layer, "padding"),
            padding_value: if input { vector(layer, "padding_value")[0] } else { 0 },
            straight: input,
            depthwise,
            filters: if depthwise { map.size[2] } else { number(layer, "filters") as usize },
        };
        convolve(map, &kernel, shifted)
    };
    acc = match input {
        true => acc.each(|c, v| sat(v + bias[c], bb)),
        false => acc.each(|c, v| sat(sat(v, bb) + bias[c], pb)),
    };
    if pool == 1 {
        let size = number(layer, "pool_size") as usize;
        let stride = match number(layer, "pool_stride") {
            -1 => size,
            n => n as usize,
        };
        acc = max_pool(&acc, number(layer, "padding"), [size; 2], [stride; 2]);
    }
    match number(layer, "activation") {
        1 => {
            let (v, s) = (vector(layer, "max_value"), vector(layer, "max_value_shift"));
            acc = acc.each(|c, a| a.clamp(0, (v[c] << s[c]).min(i32::MAX.into())));
        }
        2 => {
            let (k, s) = (vector(layer, "activation_scales"), vector(layer, "activation_shift"));
            let table = vector(layer, "lut_values");
            acc = acc.each(|c, a| table[(sat(shift(sat(a * k[c], pb), s[c]), 11) + 1024) as usize]);
        }
        _ => {}
    }
    if pool == 2 {
        acc = global_sum(&acc, pb);
    }
    let scales = vector(layer, "output_scales");
    acc.each(|c, a| output(shift(sat(a * scales[c], pb), out_shift[c])))
}
