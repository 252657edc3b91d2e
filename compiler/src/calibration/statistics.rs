//! Statistics of all sites, gathered by running the network, kept in a file, and merged.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use prost::Message;
use rayon::prelude::*;
use snnc_ir::Graph;
use snnc_runtime::tensor::{Program, Value};

use super::{Distribution, Histogram, Site};
use crate::Error;
use crate::data::{Dataset, Scaling};
use crate::inputs::Cut;

/// First bytes of a statistics file.
const MAGIC: &[u8; 8] = b"snnc.st\x02";

/// Why bytes are not statistics, or two statistics do not merge.
#[derive(Debug, thiserror::Error)]
pub enum StatisticsError {
    /// Another kind of file.
    #[error("is no file of calibration statistics")]
    Magic,
    /// Damaged.
    #[error("is damaged: {0}")]
    Decode(#[from] prost::DecodeError),
    /// A bin is out of range.
    #[error("is damaged: site `{0}`")]
    Site(String),
    /// Of another model.
    #[error("belongs to another model")]
    Model,
}

/// What is known of one site.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SiteStatistics {
    /// The activations of each channel.
    pub channels: Vec<Histogram>,
}

impl SiteStatistics {
    /// All activations, those of each channel times its factor; no factors are ones.
    pub fn distribution(&self, factors: &[f64]) -> Distribution {
        let mut all = Histogram::default();
        let mut scaled = Distribution::default();
        for (c, histogram) in self.channels.iter().enumerate() {
            match factors.get(c) {
                None => all.merge(histogram),
                Some(&factor) => scaled.join(&histogram.distribution(factor)),
            }
        }
        if factors.is_empty() { all.distribution(1.0) } else { scaled }
    }

    /// Counts one sample's values, shaped (1, channels, ..).
    fn extend(&mut self, values: &[f32], channels: usize) {
        self.channels.resize_with(self.channels.len().max(channels), Histogram::default);
        let each = values.chunks((values.len() / channels.max(1)).max(1));
        for (histogram, values) in self.channels.iter_mut().zip(each) {
            histogram.extend(values);
        }
    }

    fn merge(&mut self, other: &SiteStatistics) {
        self.channels
            .resize_with(self.channels.len().max(other.channels.len()), Histogram::default);
        for (histogram, other) in self.channels.iter_mut().zip(&other.channels) {
            histogram.merge(other);
        }
    }
}

/// What a calibration set showed, site by site.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Statistics {
    /// SHA-256 of the model file.
    pub model: String,
    /// Samples seen.
    pub samples: u64,
    /// By name of the site.
    pub sites: BTreeMap<String, SiteStatistics>,
}

#[derive(Clone, PartialEq, Message)]
struct WireStatistics {
    #[prost(string, tag = "1")]
    model: String,
    #[prost(uint64, tag = "2")]
    samples: u64,
    #[prost(message, repeated, tag = "3")]
    sites: Vec<WireSite>,
}

#[derive(Clone, PartialEq, Message)]
struct WireSite {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, repeated, tag = "2")]
    channels: Vec<WireHistogram>,
}

#[derive(Clone, PartialEq, Message)]
struct WireHistogram {
    #[prost(uint32, repeated, tag = "1")]
    bins: Vec<u32>,
    #[prost(uint64, repeated, tag = "2")]
    counts: Vec<u64>,
    #[prost(float, optional, tag = "3")]
    minimum: Option<f32>,
    #[prost(float, optional, tag = "4")]
    maximum: Option<f32>,
}

impl WireHistogram {
    fn new(histogram: &Histogram) -> Self {
        let (bins, counts, minimum, maximum) = histogram.parts();
        let bins = bins.iter().map(|&b| u32::from(b)).collect();
        WireHistogram { bins, counts: counts.to_vec(), minimum, maximum }
    }

    /// `None` if a bin is out of range.
    fn histogram(&self) -> Option<Histogram> {
        let counted = |(&b, &c): (&u32, &u64)| Some((u16::try_from(b).ok()?, c));
        let bins: Option<BTreeMap<u16, u64>> =
            self.bins.iter().zip(&self.counts).map(counted).collect();
        let bins = bins.filter(|_| self.bins.len() == self.counts.len())?;
        Some(Histogram::from_parts(bins, self.minimum, self.maximum))
    }
}

impl Statistics {
    /// Runs the network on samples `from..to` of the data and counts the values of all sites; `tick` is
    /// called after each sample.
    ///
    /// # Errors
    /// When a sample does not fit, or the network cannot be run.
    pub fn gather(
        graph: &Graph,
        sites: &[Site],
        (data, path): (&Dataset, &Path),
        range: std::ops::Range<usize>,
        scaling: Scaling,
        tick: &(dyn Fn() + Sync),
    ) -> Result<Statistics, Error> {
        let cut = Cut::of(graph);
        let shape = cut.batched();
        let data = &*data.fitted(shape.get(1..).unwrap_or(&shape), path)?;
        let program = Program::lean(graph).map_err(Error::network)?;
        let names: HashMap<_, _> = sites.iter().map(|s| (s.node, s.name.clone())).collect();
        let merged = |mut a: Statistics, b: Statistics| {
            a.add(&b);
            Ok(a)
        };
        range
            .into_par_iter()
            .try_fold(Statistics::default, |mut all, index| {
                let value =
                    Value::from_f32(&shape, data.reals(index, scaling)).map_err(Error::network)?;
                let count = &mut |id, value: &Value| {
                    if let Some(name) = names.get(&id) {
                        let site = all.sites.entry(name.clone()).or_default();
                        let channels = value.shape().get(1).copied().unwrap_or(1);
                        site.extend(&value.to_f32(), channels);
                    }
                };
                program.run_with(&cut.values(value)?, count).map_err(Error::network)?;
                all.samples += 1;
                tick();
                Ok(all)
            })
            .try_reduce(Statistics::default, merged)
    }

    fn add(&mut self, other: &Statistics) {
        self.samples += other.samples;
        for (name, site) in &other.sites {
            self.sites.entry(name.clone()).or_default().merge(site);
        }
    }

    /// Adds what another part of the calibration set showed. The order of merging does not matter.
    ///
    /// # Errors
    /// When the other statistics are of another model.
    pub fn merge(&mut self, other: &Statistics) -> Result<(), StatisticsError> {
        if self.model != other.model {
            return Err(StatisticsError::Model);
        }
        self.add(other);
        Ok(())
    }

    /// The file form.
    pub fn to_bytes(&self) -> Vec<u8> {
        let sites = self.sites.iter().map(|(name, site)| {
            let channels = site.channels.iter().map(WireHistogram::new).collect();
            WireSite { name: name.clone(), channels }
        });
        let wire = WireStatistics {
            model: self.model.clone(),
            samples: self.samples,
            sites: sites.collect(),
        };
        [MAGIC.as_slice(), &wire.encode_to_vec()].concat()
    }

    /// Reads the file form.
    ///
    /// # Errors
    /// When the bytes are not those of statistics.
    pub fn from_bytes(bytes: &[u8]) -> Result<Statistics, StatisticsError> {
        let wire =
            WireStatistics::decode(bytes.strip_prefix(MAGIC).ok_or(StatisticsError::Magic)?)?;
        let mut sites = BTreeMap::new();
        for site in wire.sites {
            let channels: Option<Vec<Histogram>> =
                site.channels.iter().map(WireHistogram::histogram).collect();
            let channels = channels.ok_or_else(|| StatisticsError::Site(site.name.clone()))?;
            sites.insert(site.name, SiteStatistics { channels });
        }
        Ok(Statistics { model: wire.model, samples: wire.samples, sites })
    }
}
