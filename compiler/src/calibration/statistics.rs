//! Statistics of all sites, gathered by running the network, kept in a file, and merged.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use prost::Message;
use rayon::prelude::*;
use sha2::{Digest, Sha256};
use snnc_ir::Graph;
use snnc_runtime::tensor::{Program, Value};

use super::{Distribution, Histogram, Site};
use crate::data::Dataset;
use crate::feed::{Feed, Given};
use crate::inputs::Cut;
use crate::{Error, watch};

/// First bytes of a statistics file.
const MAGIC: &[u8; 8] = b"snnc.st\x03";
/// The same of files of version 2, which have no sum and do not say which samples were seen.
const MAGIC_WITHOUT_SUM: &[u8; 8] = b"snnc.st\x02";
/// Bytes of the SHA-256 of what follows, behind them.
const SUM: usize = 32;

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
    /// Bytes were changed.
    #[error("is damaged: its SHA-256 is another")]
    Sum,
    /// Of samples that are counted already.
    #[error("counts samples {0} to {1} that other statistics to be merged count too")]
    Twice(u64, u64),
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
    /// Which samples of which files were seen, as far as that is known.
    pub parts: Vec<Part>,
}

/// Samples of one file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// SHA-256 of the file.
    pub data: String,
    /// The first.
    pub from: u64,
    /// The one after the last.
    pub to: u64,
}

#[derive(Clone, PartialEq, Message)]
struct WireStatistics {
    #[prost(string, tag = "1")]
    model: String,
    #[prost(uint64, tag = "2")]
    samples: u64,
    #[prost(message, repeated, tag = "3")]
    sites: Vec<WireSite>,
    #[prost(message, repeated, tag = "4")]
    parts: Vec<WirePart>,
}

#[derive(Clone, PartialEq, Message)]
struct WirePart {
    #[prost(string, tag = "1")]
    data: String,
    #[prost(uint64, tag = "2")]
    from: u64,
    #[prost(uint64, tag = "3")]
    to: u64,
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

/// Bits of the exponent of infinities and NaN in the upper half of an f32.
const INFINITE: u32 = 0x7f80;
/// More numbers than a calibration set has; as many as this can be merged a thousand times.
const MOST_COUNTED: u64 = 1 << 53;

impl From<Part> for WirePart {
    fn from(Part { data, from, to }: Part) -> Self {
        WirePart { data, from, to }
    }
}

impl From<WirePart> for Part {
    fn from(WirePart { data, from, to }: WirePart) -> Self {
        Part { data, from, to }
    }
}

impl WireHistogram {
    fn new(histogram: &Histogram) -> Self {
        let (bins, counts, minimum, maximum) = histogram.parts();
        let bins = bins.iter().map(|&b| u32::from(b)).collect();
        WireHistogram { bins, counts: counts.to_vec(), minimum, maximum }
    }

    /// `None` if it is not what finite numbers make: bins in ascending order, each of finite numbers, and
    /// between the smallest and the largest.
    fn histogram(&self) -> Option<Histogram> {
        let ends = [self.minimum, self.maximum].map(|end| end.is_none_or(f32::is_finite));
        let ordered = match (self.minimum, self.maximum) {
            (Some(low), Some(high)) => low <= high,
            (low, high) => low.is_none() && high.is_none() && self.bins.is_empty(),
        };
        let finite = |&bin: &u32| bin <= 0xffff && bin & INFINITE != INFINITE;
        let total = self.counts.iter().try_fold(0u64, |sum, &count| sum.checked_add(count));
        if ends != [true; 2]
            || !ordered
            || !self.bins.iter().all(finite)
            || !self.bins.is_sorted_by(|a, b| a < b)
            || total.is_none_or(|total| total > MOST_COUNTED)
        {
            return None;
        }
        let counted = |(&b, &c): (&u32, &u64)| Some((u16::try_from(b).ok()?, c));
        let bins: Option<BTreeMap<u16, u64>> =
            self.bins.iter().zip(&self.counts).map(counted).collect();
        let bins = bins.filter(|_| self.bins.len() == self.counts.len())?;
        Some(Histogram::from_parts(bins, self.minimum, self.maximum))
    }
}

impl Statistics {
    /// Of activations that nobody has seen: every channel of every site reaches from 0, or its negative where
    /// values can be negative, to one of `reaches` in turn.
    pub(crate) fn made_up(graph: &Graph, sites: &[Site], reaches: &[f32]) -> Statistics {
        let site = |(site, reach): (&Site, &f32)| {
            let channels = graph[site.node].ty.shape.get(1).copied().unwrap_or(1);
            let mut histogram = Histogram::default();
            let low = if site.signed { -reach } else { 0.0 };
            histogram.extend(&[low, 0.5 * reach, *reach]);
            (site.name.clone(), SiteStatistics { channels: vec![histogram; channels] })
        };
        let sites = sites.iter().zip(reaches.iter().cycle()).map(site).collect();
        Statistics { model: String::new(), samples: 1, sites, parts: Vec::new() }
    }

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
        given: Given,
        tick: &(dyn Fn() + Sync),
    ) -> Result<Statistics, Error> {
        let cut = Cut::of(graph);
        let shape = cut.batched();
        let data = &*data.fitted(shape.get(1..).unwrap_or(&shape), path)?;
        let feed = Feed::of_model(graph, given);
        let program = Program::lean(graph).map_err(Error::network)?;
        let names: HashMap<_, _> = sites.iter().map(|s| (s.node, s.name.clone())).collect();
        let merged = |mut a: Statistics, b: Statistics| {
            a.add(&b);
            Ok(a)
        };
        let watch = watch::current();
        range
            .into_par_iter()
            .try_fold(Statistics::default, |mut all, index| {
                watch.iter().for_each(|watch| watch.check());
                let value = feed.value(data, index, &shape)?;
                let mut wrong: Option<String> = None;
                let count = &mut |id, value: &Value| {
                    if let Some(name) = names.get(&id) {
                        let values = value.to_f32();
                        if wrong.is_none() && values.iter().any(|v| !v.is_finite()) {
                            wrong = Some(name.clone());
                        }
                        let site = all.sites.entry(name.clone()).or_default();
                        let channels = value.shape().get(1).copied().unwrap_or(1);
                        site.extend(&values, channels);
                    }
                };
                program.run_with(&cut.values(value)?, count).map_err(Error::network)?;
                if let Some(site) = wrong {
                    let place = format!("`{}`", path.display());
                    let reason = format!("sample {index} leads to NaN or an infinity at `{site}`");
                    let help = "leave that sample out, or see to the model's weights";
                    return Err(Error::input(place, reason, help));
                }
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
    /// When the other statistics are of another model, or of samples that are counted already.
    pub fn merge(&mut self, other: &Statistics) -> Result<(), StatisticsError> {
        if self.model != other.model {
            return Err(StatisticsError::Model);
        }
        for new in &other.parts {
            let own = self.parts.iter().filter(|p| p.data == new.data);
            let mut overlaps = own.map(|p| (p.from.max(new.from), p.to.min(new.to)));
            if let Some((from, to)) = overlaps.find(|(from, to)| from < to) {
                return Err(StatisticsError::Twice(from, to - 1));
            }
        }
        self.parts.extend(other.parts.iter().cloned());
        self.parts.sort_by(|a, b| (&a.data, a.from).cmp(&(&b.data, b.from)));
        // What follows each other is one part, however it was split.
        self.parts.dedup_by(|next, part| {
            let follows = next.data == part.data && next.from == part.to;
            if follows {
                part.to = next.to;
            }
            follows
        });
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
            parts: self.parts.iter().cloned().map(WirePart::from).collect(),
        };
        let content = wire.encode_to_vec();
        [MAGIC.as_slice(), Sha256::digest(&content).as_slice(), &content].concat()
    }

    /// Reads the file form.
    ///
    /// # Errors
    /// When the bytes are not those of statistics.
    pub fn from_bytes(bytes: &[u8]) -> Result<Statistics, StatisticsError> {
        let content = match (bytes.strip_prefix(MAGIC), bytes.strip_prefix(MAGIC_WITHOUT_SUM)) {
            (Some(rest), _) => {
                let (sum, content) = rest.split_at_checked(SUM).ok_or(StatisticsError::Sum)?;
                if Sha256::digest(content)[..] != *sum {
                    return Err(StatisticsError::Sum);
                }
                content
            }
            (None, Some(content)) => content,
            (None, None) => return Err(StatisticsError::Magic),
        };
        let wire = WireStatistics::decode(content)?;
        let mut sites = BTreeMap::new();
        for site in wire.sites {
            let channels: Option<Vec<Histogram>> =
                site.channels.iter().map(WireHistogram::histogram).collect();
            let channels = channels.ok_or_else(|| StatisticsError::Site(site.name.clone()))?;
            sites.insert(site.name, SiteStatistics { channels });
        }
        let parts = wire.parts.into_iter().map(Part::from).collect();
        Ok(Statistics { model: wire.model, samples: wire.samples, sites, parts })
    }
}
