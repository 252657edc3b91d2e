//! Every rule with a layer that breaks it and one just within, from `cases.yaml`.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::*;
use crate::akida::spec::Spec;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    layer: LayerType,
    device: Option<String>,
    inside_device: Option<String>,
    outside: Setting,
    inside: Setting,
}

#[derive(Debug, Deserialize)]
struct Setting {
    map: Option<[i64; 3]>,
    bits: Option<i64>,
    /// Whether a layer without activation sends its potentials in 8 bits before the layer.
    #[serde(default)]
    potentials: bool,
    behind: Option<Vec<LayerType>>,
    inbounds: Option<Vec<String>>,
    #[serde(default)]
    fill: BTreeMap<String, i64>,
    #[serde(flatten)]
    parameters: BTreeMap<String, i64>,
}

/// A layer that keeps to every rule.
fn layer(name: &str, kind: LayerType) -> Layer {
    let mut layer = Layer::new(name, kind);
    for (name, default) in &kind.form().parameters {
        let value = match name.as_str() {
            "filters" | "units" => 2,
            "input_channels" => 1,
            "fifo_size" => 3,
            "kernel_size" | "kernel_width" | "kernel_height" => 3,
            "output_bits" if kind == LayerType::Dense1D => 32,
            _ => default.unwrap_or(8),
        };
        layer.parameters.insert(name.clone(), value);
    }
    layer
}

/// A 1x1 convolution.
fn reader(name: String, kind: LayerType) -> Layer {
    let one = ["kernel_size", "kernel_width", "kernel_height"];
    let mut layer = layer(&name, kind);
    for name in one {
        layer.parameters.entry(name.into()).and_modify(|k| *k = 1);
    }
    let bits = if kind == LayerType::Conv2D { 4 } else { 2 };
    let narrow = matches!(kind, LayerType::Conv2D | LayerType::Convolutional);
    if narrow { layer.with(&[("weights_bits", bits)]) } else { layer }
}

fn version(kind: LayerType) -> Version {
    kind.form().version().unwrap_or(Version::V2)
}

fn spec(kind: LayerType, setting: &Setting) -> Spec {
    let (version, input) = (version(kind), kind.is_input());
    let bits = setting.bits.unwrap_or(if version == Version::V1 { 4 } else { 8 });
    let [x, y, c] = setting.map.unwrap_or([8, 8, 2]);
    let inner = if version == Version::V1 { LayerType::Convolutional } else { LayerType::Conv2D };
    let joins = matches!(kind, LayerType::Add | LayerType::Concatenate);
    let mut layers = Vec::new();
    if !input {
        layers.push(Layer::new("in", LayerType::InputData).with(&[
            ("input_width", x),
            ("input_height", y),
            ("input_channels", c),
            ("input_bits", bits),
        ]));
    }
    if joins {
        for (name, source) in [("a", "in"), ("b", "a"), ("c", "a")] {
            layers.push(reader(name.into(), inner).after(source));
        }
    }
    if setting.potentials {
        let sends = [("activation", 0), ("output_bits", 8)];
        layers.push(reader("before".into(), inner).after("in").with(&sends));
    }
    let mut tested = layer("tested", kind);
    tested.parameters.extend(setting.parameters.clone());
    tested.inbounds = match &setting.inbounds {
        Some(inbounds) => inbounds.clone(),
        None if input => Vec::new(),
        None if setting.potentials => vec!["before".into()],
        None => vec!["in".into()],
    };
    for (name, &value) in &setting.fill {
        tested = match kind.form().variables[name].as_str() {
            "float32" => tested.reals(name, &[value as f32; 2]),
            _ => tested.array(name, &[2], &[value; 2]),
        };
    }
    layers.push(tested);
    let dense = matches!(kind, LayerType::FullyConnected | LayerType::Dense1D);
    let default = if dense { Vec::new() } else { vec![inner] };
    for (i, kind) in setting.behind.clone().unwrap_or(default).into_iter().enumerate() {
        layers.push(reader(format!("reader{i}"), kind).after("tested"));
    }
    let shapes = Vec::new();
    Spec { network: "case".into(), version, layers, shapes, encoding: None, decoding: None }
}

fn cases() -> BTreeMap<String, Case> {
    serde_yaml::from_str(include_str!("cases.yaml")).unwrap()
}

#[test]
fn files_are_read() {
    assert_eq!((DEVICES.len(), devices(Version::V1).count()), (8, 3));
    assert!(RULES.len() > 70, "{} rules", RULES.len());
    for rule in RULES.iter() {
        assert!(!rule.source.is_empty() && !rule.confidence.is_empty(), "{}", rule.name);
        assert!(rule.devices.iter().all(|d| DEVICES.iter().any(|own| own.name == *d)));
        assert!(!rule.one_of.is_empty() || rule.least.or(rule.most).is_some(), "{}", rule.name);
    }
}

#[test]
fn every_rule_has_its_case() {
    let cases = cases();
    let rules: Vec<&str> = RULES.iter().map(|r| r.name.as_str()).collect();
    let missing: Vec<_> = rules.iter().filter(|r| !cases.contains_key(**r)).collect();
    let idle: Vec<_> = cases.keys().filter(|c| !rules.contains(&c.as_str())).collect();
    assert!(
        missing.is_empty() && idle.is_empty(),
        "without case: {missing:?}, without rule: {idle:?}"
    );
}

#[test]
fn each_rule_is_broken_outside_and_kept_just_inside() {
    let mut wrong = Vec::new();
    for (name, case) in cases() {
        let device = |own: Option<&str>| device(version(case.layer), own).unwrap();
        let outside = check(&spec(case.layer, &case.outside), device(case.device.as_deref()));
        if !outside.iter().any(|b| b.rule == name && b.layer == "tested" && !b.remedy.is_empty()) {
            wrong.push(format!("{name} is not broken outside: {outside:?}"));
        }
        let within = case.inside_device.as_deref().or(case.device.as_deref());
        let inside = check(&spec(case.layer, &case.inside), device(within));
        if !inside.is_empty() {
            wrong.push(format!("{name} inside: {inside:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn all_violations_of_a_model_come_at_once() {
    let setting = Setting {
        potentials: false,
        map: Some([8, 8, 3000]),
        bits: Some(16),
        behind: Some(Vec::new()),
        inbounds: None,
        fill: [("input_shift".to_owned(), 9)].into(),
        parameters: [("kernel_size", 9), ("padding", 0), ("output_bits", 5)]
            .map(|(k, v)| (k.to_owned(), v))
            .into(),
    };
    let broken = check(&spec(LayerType::Conv2D, &setting), device(Version::V2, None).unwrap());
    let rules: Vec<&str> = broken.iter().map(|b| b.rule).collect();
    let expected = [
        "conv2-kernel",
        "conv2-padding",
        "conv2-input-bits",
        "conv2-output-bits",
        "conv2-channels",
        "input-shift",
    ];
    assert_eq!(rules, expected);
    assert_eq!(
        broken[0].reason,
        "kernel extent 9 (Conv2D); SixNodesIPv2 takes 1, 3, 5 or 7 (docs: documented and observed)"
    );
}
