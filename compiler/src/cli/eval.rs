//! `eval`: what a network answers, does and costs on data.

use super::args::{Common, EvalArgs, Format};
use super::open::{load, runner};
use super::{bare, labels, progress, render, tables};
use crate::Error;
use crate::data::Dataset;
use crate::energy::{NetworkEnergy, Profile, Term};
use crate::evaluate::Evaluation;

/// `eval`
pub(super) fn eval(args: &EvalArgs, common: &Common) -> Result<(), Error> {
    let profile = profile(&args.profile)?;
    let mut loaded = load(&args.network, &args.import)?;
    let data = Dataset::load_for(&loaded.ports(), &args.samples, args.data.limit)?;
    let data = bare::set_time(&mut loaded, data, &args.time)?;
    let mut runner = runner(&loaded, &args.data, !args.no_reference)?;
    bare::set_input(&mut runner, &loaded, &data, &args.data)?;
    let bar = progress::bar(common, "running samples", data.len());
    let evaluation = runner.evaluate_with(&data, &args.samples, &|| bar.step());
    bar.finish();
    let evaluation = evaluation?;
    let labels =
        args.certify_labels.then(|| labels::certified(args, &loaded, &data)).transpose()?;
    if common.format == Format::Json {
        return match &labels {
            None => render::json(&evaluation),
            Some(labels) => render::json(&labels::Beside { evaluation: &evaluation, labels }),
        };
    }
    in_short(&evaluation);
    if let Some(labels) = &labels {
        labels.show();
    }
    if !evaluation.per_layer.is_empty() {
        render::line(activity(&evaluation));
    }
    if !evaluation.energy.is_empty() {
        render::line(energies(&evaluation));
    }
    if let Some(energy) = evaluation.energy.iter().find(|e| e.profile == profile.name) {
        render::line(format_args!("profile {}: {}", profile.name, profile.summary));
        render::line(layers(energy));
    }
    Ok(())
}

/// The profile of that name.
pub(super) fn profile(name: &str) -> Result<&'static Profile, Error> {
    Profile::named(name).ok_or_else(|| {
        let known: Vec<&str> = Profile::all().iter().map(|p| p.name.as_str()).collect();
        let reason = format!("there is no profile `{name}`");
        Error::usage("--profile", reason, format!("there are {}", known.join(", ")))
    })
}

fn in_short(evaluation: &Evaluation) {
    for warning in evaluation.warnings() {
        render::warning("samples", &warning);
    }
    let percent = |x: Option<f64>| x.map_or("-".to_owned(), |x| format!("{x:.2} %"));
    render::line(format_args!(
        "{} samples: top-1 {}, top-5 {}, {} timesteps, {:.3} spikes per neuron, {:.0} synaptic operations, {:.0} samples/s",
        evaluation.samples,
        percent(evaluation.top1),
        percent(evaluation.top5),
        evaluation.latency,
        evaluation.spikes_per_neuron,
        evaluation.synaptic_operations,
        evaluation.samples_per_second,
    ));
    if let (Some(m), Some(n)) =
        (evaluation.mismatches_vs_reference, evaluation.activations_compared)
    {
        render::line(format_args!("{m} of {n} codes differ from the quantised network"));
    }
}

fn activity(evaluation: &Evaluation) -> String {
    let rows: Vec<Vec<String>> = evaluation
        .per_layer
        .iter()
        .map(|r| {
            vec![
                r.name.clone(),
                r.neurons.to_string(),
                format!("{:.3}", r.spikes_per_neuron),
                format!("{:.2}", r.mean_payload),
                format!("{:.0}", r.synaptic_operations),
                r.mismatches_vs_reference.map_or("-".into(), |m| m.to_string()),
            ]
        })
        .collect();
    let header =
        ["population", "neurons", "spikes/neuron", "payload", "synaptic ops", "differing codes"];
    tables::table(&header, &rows, 1)
}

/// Energy of one sample by profile, with what was counted.
fn energies(evaluation: &Evaluation) -> String {
    let row = |e: &NetworkEnergy| {
        let formal = evaluation.formal_energy_nj.get(&e.profile).copied().unwrap_or_default();
        vec![
            e.profile.clone(),
            format!("{:.2}", e.total_nj),
            format!("{formal:.2}"),
            format!("{:.0}", e.operations.mac),
            format!("{:.0}", e.operations.acc),
            format!("{:.0}", e.operations.memory_accesses),
        ]
    };
    let header = ["energy profile", "nJ/sample", "formal nJ", "MAC", "ACC", "memory accesses"];
    tables::table(&header, &evaluation.energy.iter().map(row).collect::<Vec<_>>(), 1)
}

/// One profile's energy layer by layer and term by term, in nJ.
fn layers(energy: &NetworkEnergy) -> String {
    let mut header = vec!["layer", "counted as"];
    header.extend(Term::ALL.map(Term::name));
    header.extend(["nJ", "MAC", "ACC"]);
    let mut rows: Vec<Vec<String>> = Vec::with_capacity(energy.layers.len() + 1);
    for layer in &energy.layers {
        let mut row = vec![layer.name.clone(), layer.rule.to_owned()];
        row.extend(Term::ALL.map(|t| format!("{:.2}", layer.terms_nj.get(t))));
        row.push(format!("{:.2}", layer.total_nj));
        row.extend([layer.operations.mac, layer.operations.acc].map(|n| format!("{n:.0}")));
        rows.push(row);
    }
    let mut total = vec!["all".to_owned(), energy.profile.clone()];
    total.extend(Term::ALL.map(|t| format!("{:.2}", energy.terms_nj.get(t))));
    total.push(format!("{:.2}", energy.total_nj));
    total.extend([energy.operations.mac, energy.operations.acc].map(|n| format!("{n:.0}")));
    rows.push(total);
    tables::table(&header, &rows, 2)
}
