//! `dump`: the network after any step, as text or as a drawing for Graphviz.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::path::Path;
use std::rc::Rc;

use clap::{Args, ValueEnum};
use snnc_backends::Target;
use snnc_ir::{Coding, Graph, NodeId, PrintOptions};

use super::args::CompileArgs;
use super::commands::resolve_targets;
use super::compile::{compile_options, run};
use super::config::Config;
use super::open::{self, Compilable};
use super::{calibrate, options, output, passes, render};
use crate::Error;
use crate::driver::{self, CompileOptions, Model, Trained};
use crate::frontend::{SpikingModel, TensorModel};
use crate::passes::{CODE, Context, LEGALISE, RECOGNISE, Step};

/// Arguments of `dump`.
#[derive(Debug, Args)]
#[command(mut_arg("target", |a| a.required(false).default_value("reference").help("The target whose arithmetic `legalise` shows")))]
#[command(mut_arg("output", |a| a.default_value("-").value_name("FILE").help("Where it goes, whole; `-` is standard output, without long data")))]
#[command(mut_arg("print_after", |a| a.hide(true)))]
#[command(mut_arg("print_after_all", |a| a.hide(true)))]
#[command(mut_arg("all_or_nothing", |a| a.hide(true)))]
#[command(mut_arg("force", |a| a.hide(true)))]
#[command(mut_arg("reference", |a| a.hide(true)))]
#[command(
    after_help = "Example:\n  snnc dump model.onnx --stage legalise --target loihi --form dot -o network.dot"
)]
pub(super) struct DumpArgs {
    #[command(flatten)]
    pub(super) compile: CompileArgs,
    /// The pass after which the network is printed, see `snnc passes`
    #[arg(long, value_name = "NAME")]
    stage: String,
    /// Text, or a graph for Graphviz
    #[arg(long, value_enum, default_value_t = Form::Text)]
    form: Form,
}

/// Forms of `dump`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// The text form `.snnir`
    Text,
    /// Graphviz's language
    Dot,
}

/// Elements that are shown of a constant or of weights, where the text goes to standard output.
const SHOWN: usize = 64;

/// `dump`
pub(super) fn dump(args: &DumpArgs) -> Result<(), Error> {
    let step = passes::step("--stage", &args.stage).map_err(|p| Error::Usage(vec![p]))?;
    let compile = &args.compile;
    let file = Some(compile.output.as_path()).filter(|file| *file != Path::new("-"));
    let inputs =
        [Some(&compile.model), compile.data.as_ref(), compile.quantise.calibration.as_ref()];
    let inputs: Vec<&Path> = inputs.into_iter().flatten().map(|path| path.as_path()).collect();
    output::check(&[("-o", file)], &inputs)?;
    let graph = after(compile, step)?;
    let text = match args.form {
        Form::Text => graph.to_text(PrintOptions { elide_above: file.is_none().then_some(SHOWN) }),
        Form::Dot => dot(&graph),
    };
    match file {
        Some(file) => output::write_file(file, text.as_bytes()),
        None => {
            render::verbatim(text.trim_end());
            Ok(())
        }
    }
}

/// The network after a step.
fn after(args: &CompileArgs, step: Step) -> Result<Graph, Error> {
    let targets = resolve_targets(&args.target)?;
    let [target] = targets.as_slice() else {
        return Err(Error::usage("--target", "one network is shown", "name one target"));
    };
    options::check(args, &targets)?;
    let config = Config::load(args.config.as_deref())?;
    let options = compile_options(args, &config, *target)?;
    let shown: Rc<RefCell<Option<Graph>>> = Rc::default();
    let kept = Rc::clone(&shown);
    let keep = move |pass: &str, graph: &Graph, _: bool| {
        if pass == step.name {
            *kept.borrow_mut() = Some(graph.clone());
        }
    };
    let mut context = Context { after_pass: Some(Box::new(keep)), ..Context::default() };
    let found = match open::compilable(&args.model, &args.import, &mut context) {
        // What comes behind the step may well be refused.
        _ if shown.borrow().is_some() => Err(none(step, "nothing was shown")),
        Ok(Compilable::Real(_)) => Err(none(step, "the model is in continuous time")),
        Ok(Compilable::Spiking(model)) => of_trained(&model, step, *target, &options),
        Ok(Compilable::Tensor(model)) => {
            of_tensors(args, &model, step, (*target, &options), &mut context)
        }
        Err(error) => Err(error),
    };
    shown.take().map_or(found, Ok)
}

/// Of a network that was trained to spike.
fn of_trained(
    model: &SpikingModel,
    step: Step,
    target: &'static dyn Target,
    options: &CompileOptions,
) -> Result<Graph, Error> {
    match step {
        LEGALISE => {
            let run = run(options.data.as_deref(), options.input, options.spikes.timesteps)?;
            let trained = Trained::new(model, &run)?;
            driver::legalised_trained(&trained, target, &options.target)
        }
        other => Err(none(other, "the model is a spiking network")),
    }
}

/// Of a network of tensors, behind its canonical form.
fn of_tensors(
    args: &CompileArgs,
    model: &TensorModel,
    step: Step,
    (target, options): (&'static dyn Target, &CompileOptions),
    context: &mut Context,
) -> Result<Graph, Error> {
    let (quantise, data) = (&args.quantise, args.data.clone());
    let binary = options.spikes.timesteps.filter(|_| options.coding == Some(Coding::Rate));
    let calibration = calibrate::calibration(quantise, data, options.input, target, binary)?;
    let model = Model::of(model, Some(&calibration), context)?;
    match step {
        CODE => Ok(driver::coded(&model.conversion, target, options)?.into_inner()),
        LEGALISE => driver::legalised(&model, target, options),
        RECOGNISE => Err(none(step, "the model writes no neurons out")),
        other => Err(none(other, "the model is quantised already")),
    }
}

fn none(step: Step, why: &str) -> Error {
    let reason = format!("{why}, so that there is no step `{}`", step.name);
    Error::usage("--stage", reason, "choose another; `snnc passes` lists all")
}

/// The network in Graphviz's language.
fn dot(graph: &Graph) -> String {
    let quoted = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
    let mut text = format!("digraph \"{}\" {{\n  node [shape=box];\n", quoted(&graph.name));
    let order = graph.order().unwrap_or_else(|_| graph.ids().collect());
    let number = |id: NodeId| order.iter().position(|&o| o == id).unwrap_or(0);
    for &id in &order {
        let node = &graph[id];
        let (name, op) = (quoted(&node.name), quoted(&node.op.name()));
        let (element, shape) = (node.ty.dtype.name(), &node.ty.shape);
        let _ =
            writeln!(text, "  n{} [label=\"{name}\\n{op}\\n{element} {shape:?}\"];", number(id));
    }
    for &id in &order {
        for operand in graph.operands(id) {
            let delay = match operand.delay {
                0 => String::new(),
                timesteps => format!(" [label=\"+{timesteps}\"]"),
            };
            let _ = writeln!(text, "  n{} -> n{}{delay};", number(operand.source), number(id));
        }
    }
    text + "}\n"
}
