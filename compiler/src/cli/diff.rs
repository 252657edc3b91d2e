//! `diff`: the first population, timestep and neuron where two executions part.

use std::path::Path;

use snnc_backends::format::npz::Npz;
use snnc_ir::Graph;

use super::args::{Common, DiffArgs, Format};
use super::open::{Loaded, load_convertible, runner};
use super::{config, render};
use crate::data::Dataset;
use crate::difference::{Difference, Execution};
use crate::evaluate::Runner;
use crate::feed::Feed;
use crate::passes::graded;
use crate::{Error, Problem};

/// A network that runs, or what one did.
enum Side {
    Network(Box<Runner>, Box<Graph>),
    Trace(Vec<(String, Vec<usize>, Vec<i64>)>),
}

/// `diff`
pub(super) fn diff(args: &DiffArgs, common: &Common) -> Result<(), Error> {
    let data = Dataset::load(&args.input, args.data.limit)?;
    let sides = [side(&args.first, args)?, side(&args.second, args)?];
    let mut compared = 0;
    for i in 0..data.len() {
        let a = sides[0].execution(&data, i, args)?;
        let b = sides[1].execution(&data, i, args)?;
        compared = a.common(&b).len();
        if compared == 0 {
            let place = format!("`{}`", args.second.display());
            return Err(Error::usage(
                place,
                "has no population of the first's",
                "name executions of one model",
            ));
        }
        if let Some(found) = a.first_difference(&b) {
            return report(i, &found, common);
        }
    }
    if common.format == Format::Json {
        let answer = serde_json::json!({
            "format_version": 1, "samples": data.len(), "populations": compared, "difference": null,
        });
        return render::json(&answer);
    }
    render::line(format_args!("no difference: {} samples, {compared} populations", data.len()));
    Ok(())
}

fn report(sample: usize, found: &Difference, common: &Common) -> Result<(), Error> {
    let [a, b] = found.payloads;
    let time = found.timestep.map_or_else(|| "whole frame".into(), |t| format!("timestep {t}"));
    if common.format == Format::Json {
        render::json(&serde_json::json!({
            "format_version": 1, "sample": sample, "difference": found,
        }))?;
    }
    let shown = |v: Option<i64>| v.map_or_else(|| "unknown".into(), |v| v.to_string());
    let [x, y] = found.accumulators.map(shown);
    let reason = format!(
        "sample {sample}, {time}, neuron {:?}: payload {a} against {b}; accumulator {x} against {y}",
        found.neuron
    );
    Err(Error::Check(vec![Problem::new(format!("`{}`", found.population), reason, "")]))
}

fn side(path: &Path, args: &DiffArgs) -> Result<Side, Error> {
    if path.extension().is_some_and(|e| e == "npz") {
        return trace(path);
    }
    let loaded = load_convertible(path, &args.import)?;
    match &loaded {
        Loaded::Artefact(opened) => {
            let network = Box::new(opened.network.clone());
            Ok(Side::Network(Box::new(runner(&loaded, &args.data, false)?), network))
        }
        Loaded::Model(graph) => {
            let network = graded::convert(graph)?.network;
            let given = config::given(&args.data)?;
            let Feed { takes_reals, scaling, .. } = Feed::of_model(graph, given);
            let runner = Runner::spiking(&network, None, takes_reals, scaling)?;
            Ok(Side::Network(Box::new(runner), Box::new(network)))
        }
    }
}

/// A file that `snnc run --trace` or a peer wrote: one array (N, T, ..) for each population.
fn trace(path: &Path) -> Result<Side, Error> {
    let fail = |reason: String| {
        Error::input(format!("`{}`", path.display()), reason, "write it with `snnc run --trace`")
    };
    let bytes = std::fs::read(path).map_err(|e| fail(format!("cannot be read: {e}")))?;
    let npz = Npz::open(bytes).map_err(|e| fail(e.to_string()))?;
    let mut all = Vec::new();
    for name in npz.names() {
        let array = npz.get(name).map_err(|e| fail(e.to_string()))?;
        let array = array.ok_or_else(|| fail(format!("has no array `{name}`")))?;
        let values = array.to_i64().map_err(|e| fail(format!("`{name}`: {e}")))?;
        if array.shape.len() < 2 {
            return Err(fail(format!("`{name}` has shape {:?}, not (N, T, ..)", array.shape)));
        }
        all.push((name.to_owned(), array.shape.clone(), values));
    }
    Ok(Side::Trace(all))
}

impl Side {
    fn execution(&self, data: &Dataset, i: usize, args: &DiffArgs) -> Result<Execution, Error> {
        match self {
            Side::Network(runner, graph) => {
                let data = data.fitted(&runner.input_shape, &args.input)?;
                let mut execution = Execution::of(graph);
                runner.answer_showing(&data, i, None, &mut |id, t, value| {
                    execution.see(graph, id, t, value);
                })?;
                Ok(execution)
            }
            Side::Trace(arrays) => {
                let one = |(name, shape, values): &(String, Vec<usize>, Vec<i64>)| {
                    let each = shape.iter().skip(1).product::<usize>();
                    let own = values.get(i * each..(i + 1) * each)?;
                    Some((name.clone(), shape.get(1..)?.to_vec(), own.to_vec()))
                };
                Ok(Execution::recorded(arrays.iter().filter_map(one)))
            }
        }
    }
}
