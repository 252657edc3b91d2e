//! Thresholds of neurons that are reset to 0, by what a calibration set shows.
//!
//! Such a neuron loses what exceeds its threshold with each spike, so it counts too little, and its
//! threshold has to be lower than that of the neuron that keeps the rest. By how much depends on how
//! unevenly its input comes. Here the counts of every population are held against the activations of
//! the quantised network (balancing thresholds by data: Diehl et al., "Fast-classifying,
//! high-accuracy spiking deep networks", IJCNN 2015), and each threshold is multiplied by the slope of
//! the regression, until little changes.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use rayon::prelude::*;
use snnc_ir::{CurrentBasedNeuron, Graph, NodeId, SpikingOp};

use crate::Error;
use crate::data::Dataset;
use crate::evaluate::Runner;
use crate::feed::Feed;
use crate::inputs;

/// Samples that are run.
const SAMPLES: usize = 64;
/// Rounds of runs.
const ROUNDS: usize = 5;
/// Smallest and largest factor of a threshold.
const FACTORS: (f64, f64) = (0.25, 2.0);

/// Whether a network has neurons that are reset to 0 whatever they reached.
pub(crate) fn concerns(network: &Graph) -> bool {
    network.ids().any(|id| resets(network, id))
}

fn resets(network: &Graph, id: NodeId) -> bool {
    matches!(network[id].as_spiking(), Some(SpikingOp::Population(p))
        if p.neuron.get::<CurrentBasedNeuron>().is_some_and(|n| n.fires))
}

/// Makes the network that has thresholds with these factors, by population.
type Legalise<'a> = dyn Fn(&BTreeMap<String, f64>) -> Result<Graph, Error> + 'a;

/// Sums of all that populations and encoders sent, as reals, by name and sample.
type Sums = Vec<HashMap<String, Vec<f64>>>;

fn sums(network: &Graph, data: &Dataset, feed: Feed) -> Result<Sums, Error> {
    let runner = Runner::spiking(network, None, feed.takes_reals, feed.scaling)?;
    let sends = |&id: &NodeId| {
        matches!(network[id].as_spiking(), Some(SpikingOp::Population(_) | SpikingOp::Encoder(_)))
    };
    let wanted: Vec<NodeId> = network.ids().filter(sends).collect();
    let sample = |index| {
        let mut sums: HashMap<String, Vec<f64>> = HashMap::new();
        runner.answer_showing(data, index, Some(&wanted), &mut |id, _, sent| {
            let scale = match network[id].as_spiking() {
                Some(SpikingOp::Population(p)) => p.scale.clone(),
                Some(SpikingOp::Encoder(e)) => vec![e.scale],
                _ => return,
            };
            if scale.is_empty() {
                return;
            }
            let sum = sums.entry(network[id].name.clone()).or_insert_with(|| vec![0.0; sent.len()]);
            let plane = (sent.len() / scale.len()).max(1);
            for (i, (sum, &n)) in sum.iter_mut().zip(sent).enumerate() {
                *sum += n as f64 * f64::from(scale[(i / plane).min(scale.len() - 1)]);
            }
        })?;
        Ok(sums)
    };
    (0..data.len()).into_par_iter().map(sample).collect()
}

/// Slope of the regression of what was sent on what should have been.
fn slope(sent: &Sums, wanted: &Sums, name: &str, reference: &str) -> Option<f64> {
    let (mut xy, mut xx) = (0.0, 0.0);
    for (sent, wanted) in sent.iter().zip(wanted) {
        for (y, x) in sent.get(name)?.iter().zip(wanted.get(reference)?) {
            (xy, xx) = (xy + x * y, xx + x * x);
        }
    }
    (xx > 0.0 && xy > 0.0).then(|| xy / xx)
}

/// Factors of thresholds by population with which the network that `legalise` makes of them counts
/// what the canonical network sends.
///
/// # Errors
/// When the data cannot be read or run, and what `legalise` refuses.
pub(crate) fn thresholds(
    canonical: &Graph,
    path: &Path,
    input: Feed,
    legalise: &Legalise<'_>,
) -> Result<BTreeMap<String, f64>, Error> {
    let data = Dataset::load_for(&inputs::ports(canonical), path, Some(SAMPLES))?;
    let input_shape = |network: &Graph| match network.inputs().as_slice() {
        [only] => network[*only].ty.shape.clone(),
        several => vec![several.iter().map(|&id| network[id].ty.len()).sum()],
    };
    let data = &*data.fitted(&input_shape(canonical), path)?;
    let wanted = sums(canonical, data, input)?;
    let plain = legalise(&BTreeMap::new())?;
    let names = plain.ids().filter(|&id| resets(&plain, id)).map(|id| plain[id].name.clone());
    let mut factors: BTreeMap<String, f64> = names.map(|name| (name, 1.0)).collect();
    for _ in 0..ROUNDS {
        let network = legalise(&factors)?;
        let sent = sums(&network, data, input)?;
        // What a population lacks because its sources lack it is mended there.
        let mut before = 1.0;
        for id in network.order().unwrap_or_default() {
            if !resets(&network, id) {
                continue;
            }
            let name = network[id].name.clone();
            let reference = if canonical.find(&name).is_some() {
                Some(name.clone())
            } else {
                network.source(id, 0).map(|s| network[s].name.clone())
            };
            let found = reference.and_then(|r| slope(&sent, &wanted, &name, &r));
            let (Some(found), Some(factor)) = (found, factors.get_mut(&name)) else { continue };
            *factor = (*factor * found / before).clamp(FACTORS.0, FACTORS.1);
            before = found;
        }
    }
    Ok(factors)
}
