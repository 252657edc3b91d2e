//! What a user asks of calibration: samples or statistics, and payload bits as they are or chosen within a
//! budget.

use std::path::{Path, PathBuf};

use snnc_ir::Graph;
use snnc_ir::query::is_unquantised;

use super::allocate::{self, Allocation, SiteChoices};
use super::{Cost, Plan, QuantiseOptions, Site, Statistics, quantise, sites};
use crate::data::Dataset;
use crate::evaluate::Runner;
use crate::feed::Feed;
use crate::import::FileDigest;
use crate::{Error, Problem, inputs};

/// What a float network needs to become a quantised one.
#[derive(Clone, Debug)]
pub struct Calibration {
    /// The calibration set.
    pub data: Option<PathBuf>,
    /// Statistics gathered earlier; the data is then not run.
    pub statistics: Option<PathBuf>,
    /// How to quantise.
    pub options: QuantiseOptions,
    /// Choose payload bits site by site within this budget.
    pub budget: Option<Budget>,
    /// Payload bits to choose from, ascending.
    pub candidates: Vec<u8>,
}

/// A limit within which payload bits are chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Budget {
    /// So much of a cost.
    Cost(Cost, f64),
    /// Percentage points of accuracy that may be lost on the calibration set.
    MaxDrop(f64),
}

impl Budget {
    /// What is counted.
    pub const fn cost(self) -> Cost {
        match self {
            Budget::Cost(cost, _) => cost,
            Budget::MaxDrop(_) => Cost::AverageBits,
        }
    }
}

/// An unquantised canonical network, with the quantisers that calibration gives it.
pub struct Calibrated {
    /// The network.
    pub graph: Graph,
    /// What was chosen.
    pub options: QuantiseOptions,
    /// What was done, for the user.
    pub note: String,
}

impl Calibration {
    /// Quantises the unquantised canonical network of a model with that digest.
    ///
    /// # Errors
    /// When there is nothing to choose thresholds by, it does not fit the model, or no choice of bits keeps
    /// to the budget.
    pub fn apply(&self, tensor: &Graph, digest: &FileDigest) -> Result<Calibrated, Error> {
        let sites = sites(tensor);
        let statistics = statistics(tensor, &sites, digest, self)?;
        let mut chosen = self.options.clone();
        let mut bits = format!("{}-bit payloads", chosen.payload_bits);
        if let Some(budget) = self.budget {
            let found = allocation(tensor, &sites, &statistics, self, budget)?;
            let each: Vec<String> =
                found.bits.iter().map(|(site, b)| format!("{site} {b}")).collect();
            let unit = budget.cost().unit();
            bits = format!("payload bits {} (at {:.6} {unit})", each.join(", "), found.cost);
            chosen.site_bits = found.bits;
        }
        let samples = samples(tensor, self)?;
        let samples = samples.as_ref().map(|(data, path)| (data, *path));
        let note = format!(
            "{}: quantised to {bits} and {}-bit weights by {} samples",
            if is_unquantised(tensor) { "is unquantised" } else { "is partly unquantised" },
            chosen.weight_bits,
            statistics.samples
        );
        let plan = Plan::new(tensor, &sites, &statistics, &chosen)?;
        // Of large networks they are as large as weights.
        drop(statistics);
        let mut graph = tensor.clone();
        plan.apply(&mut graph, samples)?;
        Ok(Calibrated { graph, options: chosen, note })
    }
}

/// Samples on which sensitivities are measured.
const SENSITIVITY_SAMPLES: usize = 64;
/// Samples on which a drop of accuracy is measured.
const ACCURACY_SAMPLES: usize = 2000;

/// Payload bits for each site within a budget.
fn allocation(
    tensor: &Graph,
    sites: &[Site],
    statistics: &Statistics,
    calibration: &Calibration,
    budget: Budget,
) -> Result<Allocation, Error> {
    let Some(path) = &calibration.data else {
        return Err(Error::usage(
            "--budget",
            "sensitivities are measured on data",
            "give it with --data",
        ));
    };
    let ports = inputs::ports(tensor);
    let data = Dataset::load_for(&ports, path, None)?;
    let spread = (SENSITIVITY_SAMPLES, calibration.candidates.as_slice(), budget.cost());
    let rows =
        allocate::measure(tensor, sites, statistics, &calibration.options, (&data, path), spread)?;
    let most = match budget {
        Budget::Cost(_, limit) => return allocate::allocate(&rows, limit),
        Budget::MaxDrop(points) => points,
    };
    let few = Dataset::load_for(&ports, path, Some(ACCURACY_SAMPLES))?;
    within_drop(tensor, (sites, statistics, &rows), calibration, (&few, path), most)
}

/// The fewest payload bits that keep the loss of accuracy within a limit, in percentage points.
fn within_drop(
    tensor: &Graph,
    (sites, statistics, rows): (&[Site], &Statistics, &[SiteChoices]),
    calibration: &Calibration,
    (few, path): (&Dataset, &Path),
    most: f64,
) -> Result<Allocation, Error> {
    let accuracy = |graph: &Graph| -> Result<f64, Error> {
        let feed = Feed::of_model(graph, calibration.options.input);
        let top1 = Runner::tensor(graph, feed.scaling)?.evaluate(few, path)?.top1;
        top1.ok_or_else(|| {
            Error::input(
                format!("`{}`", path.display()),
                "has no labels `y`",
                "max-drop needs them",
            )
        })
    };
    let whole = accuracy(tensor)?;
    let mut best = f64::INFINITY;
    for quarter in 4..=32u8 {
        let found = allocate::allocate(rows, f64::from(quarter) / 4.0)?;
        let options =
            QuantiseOptions { site_bits: found.bits.clone(), ..calibration.options.clone() };
        let mut coded = tensor.clone();
        // Biases are corrected once, at what is chosen.
        quantise(&mut coded, sites, statistics, &options, None)?;
        let drop = whole - accuracy(&coded)?;
        best = best.min(drop);
        if drop <= most {
            return Ok(found);
        }
    }
    let reason = format!("8 bits everywhere lose {best:.2} points, more than {most}");
    Err(Error::Check(vec![Problem::new("--budget", reason, "allow a larger drop")]))
}

/// The calibration set, if it is given.
fn samples<'a>(
    tensor: &Graph,
    calibration: &'a Calibration,
) -> Result<Option<(Dataset, &'a Path)>, Error> {
    match calibration.data.as_deref() {
        Some(path) => Ok(Some((Dataset::load_for(&inputs::ports(tensor), path, None)?, path))),
        None => Ok(None),
    }
}

/// The statistics of a file, or of the calibration set.
fn statistics(
    tensor: &Graph,
    sites: &[Site],
    digest: &FileDigest,
    calibration: &Calibration,
) -> Result<Statistics, Error> {
    if let Some(path) = &calibration.statistics {
        return read_statistics(path, digest.sha256());
    }
    let Some(path) = &calibration.data else {
        return Err(Error::Unsupported(vec![Problem::new(
            "the network",
            "is unquantised, and there is no calibration set",
            "give calibration data with --data, or statistics with --statistics",
        )]));
    };
    let data = Dataset::load_for(&inputs::ports(tensor), path, None)?;
    let given = calibration.options.input;
    Statistics::gather(tensor, sites, (&data, path), 0..data.len(), given, &|| ())
}

/// Reads statistics that must be of the model with that digest.
///
/// # Errors
/// When the file cannot be read, or belongs to another model.
pub fn read_statistics(path: &Path, sha256: &str) -> Result<Statistics, Error> {
    let place = format!("`{}`", path.display());
    let fail = |reason: String| Error::input(&place, reason, "gather them with `snnc calibrate`");
    let bytes = std::fs::read(path).map_err(|e| fail(format!("cannot be read: {e}")))?;
    let statistics = Statistics::from_bytes(&bytes).map_err(|e| fail(e.to_string()))?;
    if statistics.model != sha256 {
        return Err(fail("belongs to another model".into()));
    }
    Ok(statistics)
}
