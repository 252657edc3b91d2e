//! Options of quantisation as text, as manifests keep them.

use std::collections::BTreeMap;

use super::{QuantiseOptions, RoundingMethod, ThresholdMethod};
use crate::feed::Given;

/// How their keys begin.
const PREFIX: &str = "quantise.";
/// How keys of single sites begin, after that.
const SITE: &str = "site-bits.";
/// How keys of single layers begin, after that.
const LAYER: &str = "layer-bits.";

impl QuantiseOptions {
    /// The options by key, defaults filled in; how data becomes the input is not among them.
    pub fn recorded(&self) -> BTreeMap<String, String> {
        let granularity = if self.each_channel { "channel" } else { "layer" };
        let mut all = BTreeMap::from([
            ("threshold".to_owned(), self.method.to_string()),
            ("granularity".to_owned(), granularity.to_owned()),
            ("bias-correction".to_owned(), self.correct_biases.to_string()),
            ("payload-bits".to_owned(), self.payload_bits.to_string()),
            ("weight-bits".to_owned(), self.weight_bits.to_string()),
        ]);
        all.extend(self.levels.map(|n| ("levels".to_owned(), n.to_string())));
        let sites = self.site_bits.iter();
        all.extend(sites.map(|(name, bits)| (format!("{SITE}{name}"), bits.to_string())));
        let layers = self.layer_bits.iter();
        all.extend(layers.map(|(name, bits)| (format!("{LAYER}{name}"), bits.to_string())));
        if self.rounding != RoundingMethod::default() {
            all.insert("rounding".to_owned(), self.rounding.name().to_owned());
        }
        all.into_iter().map(|(key, value)| (format!("{PREFIX}{key}"), value)).collect()
    }

    /// The options that were recorded among others, for data that becomes the input so; `None` where there are
    /// none, or none that this version reads.
    pub fn from_recorded(all: &BTreeMap<String, String>, input: Given) -> Option<QuantiseOptions> {
        let get = |key: &str| all.get(&format!("{PREFIX}{key}"));
        let bits_of = |what: &str| -> Option<BTreeMap<String, u8>> {
            let single = all.iter().filter_map(|(key, bits)| {
                let name = key.strip_prefix(PREFIX)?.strip_prefix(what)?;
                Some(bits.parse().ok().map(|bits| (name.to_owned(), bits)))
            });
            single.collect()
        };
        Some(QuantiseOptions {
            method: ThresholdMethod::from_name(get("threshold")?)?,
            each_channel: get("granularity")? == "channel",
            correct_biases: get("bias-correction")?.parse().ok()?,
            payload_bits: get("payload-bits")?.parse().ok()?,
            levels: match get("levels") {
                Some(levels) => Some(levels.parse().ok()?),
                None => None,
            },
            site_bits: bits_of(SITE)?,
            weight_bits: get("weight-bits")?.parse().ok()?,
            layer_bits: bits_of(LAYER)?,
            rounding: match get("rounding") {
                Some(name) => RoundingMethod::from_name(name)?,
                None => RoundingMethod::default(),
            },
            input,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_recorded_is_read_back() {
        let input = Given { scale: Some(0.5), offset: None };
        for method in [
            ThresholdMethod::Max,
            ThresholdMethod::LeastSquares,
            ThresholdMethod::Percentile(0.999),
            ThresholdMethod::Percentile(0.123_456_789),
        ] {
            let options = QuantiseOptions {
                method,
                each_channel: false,
                levels: Some(3),
                site_bits: BTreeMap::from([("conv.1".to_owned(), 2)]),
                layer_bits: BTreeMap::from([("fc".to_owned(), 8)]),
                rounding: RoundingMethod::SecondOrder,
                input,
                ..QuantiseOptions::default()
            };
            let text = options.recorded();
            let back = QuantiseOptions::from_recorded(&text, input).unwrap();
            assert_eq!(format!("{back:?}"), format!("{options:?}"));
        }
        assert!(QuantiseOptions::from_recorded(&BTreeMap::new(), input).is_none());
    }
}
