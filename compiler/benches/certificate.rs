//! The proof of whole networks: those of the repository, and one of the size of ResNet-8 that is made
//! here with random weights.

use std::path::Path;

use divan::{Bencher, black_box};
use snnc::certificate::certify;
use snnc::codings::{Options, apply};
use snnc::import::{self, ImportOptions};
use snnc::passes::graded::{self, Conversion};
use snnc::passes::{self, Context};
use snnc_ir::{Coding, Graph, verify};

fn main() {
    divan::main();
}

const CODINGS: [Coding; 3] = [Coding::Graded, Coding::FewSpikes, Coding::RateSync];

fn prove(bencher: Bencher<'_, '_>, quantised: &Graph, conversion: &Conversion, coding: Coding) {
    let network = apply(coding, &Options::default(), conversion).expect("has this coding");
    bencher.bench(|| certify(black_box(quantised), black_box(conversion), black_box(&network)));
}

#[divan::bench(args = CODINGS)]
fn digits(bencher: Bencher<'_, '_>, coding: Coding) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/digits");
    let imported =
        import::load(&folder.join("digits_cnn_w4a4_qcdq.onnx"), &ImportOptions::default())
            .expect("imports");
    let mut context = Context::default();
    let tensor = passes::canonicalise(imported.graph, &mut context).expect("has a canonical form");
    let quantised = passes::quantised(tensor, &mut context).expect("is quantised");
    let conversion = graded::convert(&quantised).expect("converts");
    prove(bencher, &quantised, &conversion, coding);
}

/// Nine 4-bit convolutions of 3x3 with 16, 32 and 64 channels, 32x32 at the input, and a dense layer:
/// 78,000 weights, as ResNet-8 has.
#[divan::bench(args = CODINGS)]
fn size_of_resnet8(bencher: Bencher<'_, '_>, coding: Coding) {
    let quantised = verify(Graph::from_text(&convolutions()).expect("parses")).expect("is a graph");
    let quantised = quantised.into_inner();
    let conversion = graded::convert(&quantised).expect("converts");
    prove(bencher, &quantised, &conversion, coding);
}

fn convolutions() -> String {
    let codes = r#"{"scale":[0.1],"zero_point":[0],"minimum":0,"maximum":15}"#;
    let mut text = format!(
        "snnir 1 quantised \"bench\" {{\"timesteps\":1,\"schedule\":\"streaming\"}}\n\
         %x = input () : f32[1,3,32,32]\n\
         %y0 = quantise {codes} (%x) : u8[1,3,32,32] quantised {codes}\n"
    );
    let (mut channels, mut side, mut seed) = (3usize, 32usize, 1u32);
    let layers = [16, 16, 16, 32, 32, 32, 64, 64, 64];
    for (i, &outputs) in layers.iter().enumerate() {
        let stride = if channels != 3 && outputs != channels { 2 } else { 1 };
        side /= stride;
        let weights = (0..outputs * channels * 9).map(|_| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            format!(" {}", (seed >> 24) as i64 % 15 - 7)
        });
        let weights: String = weights.collect();
        let ty = format!("[1,{outputs},{side},{side}]");
        let sum =
            r#"{"scale":[0.001],"zero_point":[0],"minimum":-2147483648,"maximum":2147483647}"#;
        let own = r#"{"scale":[0.01],"zero_point":[0],"minimum":-7,"maximum":7}"#;
        text += &format!(
            "%w{i} = constant () : i8[{outputs},{channels},3,3] quantised {own}\n  \
             data i8[{outputs},{channels},3,3]{weights}\n\
             %c{i} = convolution {{\"window\":{{\"kernel\":[3,3],\"strides\":[{stride},{stride}],\
             \"dilations\":[1,1],\"before\":[1,1],\"after\":[1,1]}},\"groups\":1}} (%y{i}, %w{i}) \
             : i32{ty} quantised {sum}\n\
             %y{next} = requantise (%c{i}) : u8{ty} quantised {codes}\n",
            next = i + 1
        );
        channels = outputs;
    }
    let last = layers.len();
    text + &format!(
        "%real = dequantise {codes} (%y{last}) : f32[1,{channels},{side},{side}]\n\
         %out = output (%real) : f32[1,{channels},{side},{side}]\n"
    )
}
