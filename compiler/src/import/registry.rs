//! Which function imports which operator, by domain, name and version.
//!
//! A new operator is one function in [`super::ops`] and one line here.

use std::collections::HashMap;
use std::sync::LazyLock;

use onnx_protobuf::OperatorSetIdProto;
use snnc_ir::NodeId;

use super::call::{Call, Failure};
use super::importer::Importer;
use super::ops::{
    activation, arithmetic, contrib, layout, linear, normalise, qonnx, qoperator, quantise, reduce,
    scatter, shape, window,
};

/// Imports one node: the nodes that its outputs become, in their order; outputs beyond those
/// returned cannot be used.
pub(crate) type Build = fn(&mut Importer, &Call) -> Result<Vec<NodeId>, Failure>;

/// An operator as far as it is imported.
struct Operator {
    domain: &'static str,
    name: &'static str,
    /// Every version in which its definition changed, ascending.
    since: &'static [i64],
    build: Build,
}

/// What is used for one node.
#[derive(Debug)]
pub(crate) struct Chosen {
    /// Version of the definition that holds.
    pub since: i64,
    /// Whether it is one of ONNX's own.
    pub is_standard: bool,
    /// The function.
    pub build: Build,
}

const fn onnx(name: &'static str, since: &'static [i64], build: Build) -> Operator {
    Operator { domain: "", name, since, build }
}

const fn microsoft(name: &'static str, build: Build) -> Operator {
    Operator { domain: MICROSOFT, name, since: &[1], build }
}

const fn qonnx(name: &'static str, since: &'static [i64], build: Build) -> Operator {
    Operator { domain: QONNX, name, since, build }
}

const MICROSOFT: &str = "com.microsoft";

#[rustfmt::skip]
static OPERATORS: &[Operator] = &[
    onnx("Abs", &[1, 6, 13], activation::abs),
    onnx("Add", &[1, 6, 7, 13, 14], arithmetic::add),
    onnx("And", &[1, 7], arithmetic::and),
    onnx("ArgMax", &[1, 11, 12, 13], reduce::arg_max),
    onnx("AveragePool", &[1, 7, 10, 11, 19, 22], window::average_pool),
    onnx("BatchNormalization", &[1, 6, 7, 9, 14, 15], normalise::batch_normalisation),
    onnx("Cast", &[1, 6, 9, 13, 19, 21, 23, 24, 25, 28], arithmetic::cast),
    onnx("Ceil", &[1, 6, 13], activation::ceil),
    onnx("Clip", &[1, 6, 11, 12, 13], activation::clip),
    onnx("Concat", &[1, 4, 11, 13], layout::concat),
    onnx("Constant", &[1, 9, 11, 12, 13, 19, 21, 23, 24, 25, 28], shape::constant),
    onnx("ConstantOfShape", &[9, 20, 21, 23, 24, 25], shape::constant_of_shape),
    onnx("Conv", &[1, 11, 22], window::convolution),
    onnx("ConvInteger", &[10], qoperator::convolution_of_integers),
    onnx("ConvTranspose", &[1, 11, 22], window::transposed_convolution),
    onnx("DepthToSpace", &[1, 11, 13], layout::depth_to_space),
    onnx("DequantizeLinear", &[10, 13, 19, 21, 23, 24, 25, 28], quantise::dequantise_linear),
    onnx("Div", &[1, 6, 7, 13, 14], arithmetic::div),
    onnx("Dropout", &[1, 6, 7, 10, 12, 13, 22], normalise::dropout),
    onnx("Equal", &[1, 7, 11, 13, 19], arithmetic::equal),
    onnx("Erf", &[9, 13], activation::erf),
    onnx("Exp", &[1, 6, 13], activation::exp),
    onnx("Expand", &[8, 13], shape::expand),
    onnx("Flatten", &[1, 9, 11, 13, 21, 23, 24, 25], shape::flatten),
    onnx("Floor", &[1, 6, 13], activation::floor),
    onnx("Gather", &[1, 11, 13], layout::gather),
    onnx("Gemm", &[1, 6, 7, 9, 11, 13], linear::gemm),
    onnx("GlobalAveragePool", &[1, 22], window::global_average_pool),
    onnx("GlobalMaxPool", &[1, 22], window::global_max_pool),
    onnx("Greater", &[1, 7, 9, 13], arithmetic::greater),
    onnx("GreaterOrEqual", &[12, 16], arithmetic::greater_or_equal),
    onnx("HardSigmoid", &[1, 6, 22], activation::hard_sigmoid),
    onnx("HardSwish", &[14, 22], activation::hard_swish),
    onnx("Identity", &[1, 13, 14, 16, 19, 21, 23, 24, 25], normalise::identity),
    onnx("LeakyRelu", &[1, 6, 16], activation::leaky_relu),
    onnx("Less", &[1, 7, 9, 13], arithmetic::less),
    onnx("LessOrEqual", &[12, 16], arithmetic::less_or_equal),
    onnx("Log", &[1, 6, 13], activation::log),
    onnx("LogSoftmax", &[1, 11, 13], reduce::log_softmax),
    onnx("MatMul", &[1, 9, 13], linear::mat_mul),
    onnx("MatMulInteger", &[10], qoperator::product_of_integers),
    onnx("Max", &[1, 6, 8, 12, 13], arithmetic::max),
    onnx("MaxPool", &[1, 8, 10, 11, 12, 22], window::max_pool),
    onnx("Mean", &[1, 6, 8, 13], arithmetic::mean),
    onnx("Min", &[1, 6, 8, 12, 13], arithmetic::min),
    onnx("Mul", &[1, 6, 7, 13, 14], arithmetic::mul),
    onnx("Neg", &[1, 6, 13], activation::neg),
    onnx("Not", &[1], activation::not),
    onnx("Or", &[1, 7], arithmetic::or),
    onnx("PRelu", &[1, 6, 7, 9, 16], arithmetic::p_relu),
    onnx("Pad", &[1, 2, 11, 13, 18, 19, 21, 23, 24, 25], layout::pad),
    onnx("Pow", &[1, 7, 12, 13, 15], arithmetic::pow),
    onnx("QLinearConv", &[10], qoperator::convolution),
    onnx("QLinearMatMul", &[10, 21], qoperator::product),
    onnx("QuantizeLinear", &[10, 13, 19, 21, 23, 24, 25, 28], quantise::quantise_linear),
    onnx("Reciprocal", &[1, 6, 13], activation::reciprocal),
    onnx("ReduceMean", &[1, 11, 13, 18], reduce::reduce_mean),
    onnx("ReduceSum", &[1, 11, 13], reduce::reduce_sum),
    onnx("Relu", &[1, 6, 13, 14], activation::relu),
    onnx("Reshape", &[1, 5, 13, 14, 19, 21, 23, 24, 25], shape::reshape),
    onnx("Resize", &[10, 11, 13, 18, 19], layout::resize),
    onnx("Round", &[11, 22], activation::round),
    onnx("ScatterND", &[11, 13, 16, 18], scatter::scatter_nd),
    onnx("Shape", &[1, 13, 15, 19, 21, 23, 24, 25], shape::shape),
    onnx("Sigmoid", &[1, 6, 13], activation::sigmoid),
    onnx("Sign", &[9, 13], activation::sign),
    onnx("Size", &[1, 13, 19, 21, 23, 24, 25], shape::size),
    onnx("Slice", &[1, 10, 11, 13], layout::slice),
    onnx("Softmax", &[1, 11, 13], reduce::softmax),
    onnx("Softplus", &[1, 22], activation::softplus),
    onnx("SpaceToDepth", &[1, 13], layout::space_to_depth),
    onnx("Split", &[1, 2, 11, 13, 18], layout::split),
    onnx("Sqrt", &[1, 6, 13], activation::sqrt),
    onnx("Squeeze", &[1, 11, 13, 21, 23, 24, 25], shape::squeeze),
    onnx("Sub", &[1, 6, 7, 13, 14], arithmetic::sub),
    onnx("Sum", &[1, 6, 8, 13], arithmetic::sum),
    onnx("Swish", &[24], activation::swish),
    onnx("Tanh", &[1, 6, 13], activation::tanh),
    onnx("Tile", &[6, 13], shape::tile),
    onnx("Transpose", &[1, 13, 21, 23, 24, 25], layout::transpose),
    onnx("Unsqueeze", &[1, 11, 13, 21, 23, 24, 25], shape::unsqueeze),
    onnx("Upsample", &[7, 9, 10], layout::upsample),
    onnx("Where", &[9, 16], arithmetic::select),
    microsoft("DequantizeLinear", quantise::dequantise_linear),
    microsoft("MatMulIntegerToFloat", contrib::mat_mul_integer_to_float),
    microsoft("QGemm", contrib::gemm),
    microsoft("QLinearAdd", contrib::add),
    microsoft("QLinearAveragePool", contrib::average_pool),
    microsoft("QLinearConcat", contrib::concat),
    microsoft("QLinearConv", qoperator::convolution),
    microsoft("QLinearGlobalAveragePool", contrib::global_average_pool),
    microsoft("QLinearLeakyRelu", contrib::leaky_relu),
    microsoft("QLinearMul", contrib::mul),
    microsoft("QLinearReduceMean", contrib::reduce_mean),
    microsoft("QLinearSigmoid", contrib::sigmoid),
    microsoft("QLinearSoftmax", contrib::softmax),
    microsoft("QLinearWhere", contrib::select),
    microsoft("QuantizeLinear", quantise::quantise_linear),
    qonnx("BipolarQuant", &[1], qonnx::bipolar_quant),
    qonnx("IntQuant", &[1, 2], qonnx::quant),
    qonnx("MultiThreshold", &[1], qonnx::multi_threshold),
    qonnx("Quant", &[1, 2], qonnx::quant),
    qonnx("Trunc", &[1, 2], qonnx::trunc),
];

/// Operators that have no counterpart here, with what may help.
static REFUSED: &[(&[&str], &str)] = &[
    (
        &["If", "SequenceMap"],
        "control flow is not imported; export with fixed shapes and unrolled timesteps",
    ),
    (
        &["LSTM", "GRU", "RNN"],
        "recurrent cells are not imported; use layers with an explicit state",
    ),
    (
        &["DynamicQuantizeLinear", "DynamicQuantizeMatMul", "DynamicQuantizeLSTM"],
        "scales computed per input have no place in a fixed network; quantise statically",
    ),
];

static INDEX: LazyLock<HashMap<(&str, &str), &Operator>> =
    LazyLock::new(|| OPERATORS.iter().map(|o| ((o.domain, o.name), o)).collect());

/// The three names under which the operators of QONNX are found, and ONNX's two.
fn canonical(domain: &str) -> &str {
    match domain {
        "ai.onnx" => "",
        "onnx.brevitas" | "finn.custom_op.general" | "qonnx.custom_op.general" => QONNX,
        other => other,
    }
}

const QONNX: &str = "qonnx.custom_op.general";

/// The newest version of ONNX's operators whose definitions are known (ONNX 1.23).
const NEWEST: i64 = 28;

/// The operator, in the version that `opsets` import.
pub(crate) fn find(
    domain: &str,
    name: &str,
    opsets: &[OperatorSetIdProto],
    ir_version: i64,
) -> Result<Chosen, Failure> {
    let key = canonical(domain);
    let imported = opsets.iter().find(|o| canonical(&o.domain) == key).map(|o| o.version);
    let version = match imported {
        Some(version) => version,
        // Files older than the field, and private domains, which exporters forget to list.
        None if !key.is_empty() || ir_version < 3 => 1,
        None => return Err(Failure::malformed("the model states no version of ONNX's operators")),
    };
    if key.is_empty() && version > NEWEST {
        let reason = format!(
            "the model imports version {version} of ONNX's operators, of which {NEWEST} is the newest \
             that is known"
        );
        return Err(Failure::unsupported(reason, "export it for an older version"));
    }
    let shown = if key.is_empty() { "ONNX" } else { domain };
    let Some(operator) = INDEX.get(&(key, name)) else {
        let refused = REFUSED.iter().find(|(names, _)| key.is_empty() && names.contains(&name));
        return Err(Failure::unsupported(
            format!("the operator {name} of {shown} version {version} is not imported"),
            refused.map_or("export without it, or replace it by operators that are", |(_, r)| *r),
        ));
    };
    match operator.since.iter().rev().find(|&&s| s <= version) {
        Some(&since) => Ok(Chosen { since, build: operator.build, is_standard: key.is_empty() }),
        None => Err(Failure::malformed(format!(
            "{name} came with version {} of {shown}, but the model imports version {version}",
            operator.since.first().copied().unwrap_or_default()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_ascend_and_names_are_unique() {
        assert_eq!(INDEX.len(), OPERATORS.len());
        for operator in OPERATORS {
            assert!(operator.since.is_sorted() && !operator.since.is_empty(), "{}", operator.name);
            assert!(!operator.domain.is_empty() || operator.since.iter().all(|&s| s <= NEWEST));
        }
    }

    #[test]
    fn the_newest_definition_that_holds_is_chosen() {
        let opsets = [OperatorSetIdProto { domain: String::new(), version: 12 }];
        assert_eq!(find("ai.onnx", "Clip", &opsets, 8).unwrap().since, 12);
        assert!(matches!(find("", "HardSwish", &opsets, 8), Err(Failure::Malformed(..))));
        assert!(matches!(find("", "If", &opsets, 8), Err(Failure::Unsupported(..))));
        assert!(matches!(find("", "Relu", &[], 8), Err(Failure::Malformed(..))));
        assert_eq!(find("", "Relu", &[], 2).unwrap().since, 1);
        for (version, known) in [(NEWEST, true), (NEWEST + 1, false), (i64::MAX, false)] {
            let opsets = [OperatorSetIdProto { domain: String::new(), version }];
            assert_eq!(find("", "Relu", &opsets, 8).is_ok(), known, "{version}");
        }
    }
}
