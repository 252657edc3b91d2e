//! `passes`: the steps of compilation; and `--print-after`, which shows the network after them.

use std::cell::Cell;
use std::rc::Rc;

use snnc_backends::{Target, TargetOptions};
use snnc_ir::{Graph, PrintOptions};

use super::args::{Common, CompileArgs, Format};
use super::{render, tables};
use crate::driver::{self, CompileOptions, Model, Trained};
use crate::passes::{AfterPass, CODE, LEGALISE, Step, steps};
use crate::{Error, Problem, nearest};

/// Elements of a constant or of weights that are shown.
const SHOWN: usize = 64;

/// `passes`
pub(super) fn passes(common: &Common) -> Result<(), Error> {
    let all = steps();
    if common.format == Format::Json {
        let row = |s: &Step| {
            serde_json::json!({
                "name": s.name, "summary": s.summary, "meaning": s.meaning.name(),
            })
        };
        return render::json(&all.iter().map(row).collect::<Vec<_>>());
    }
    let row = |s: &Step| vec![s.name.to_owned(), s.meaning.name().to_owned(), s.summary.to_owned()];
    let rows: Vec<Vec<String>> = all.iter().map(row).collect();
    render::line(tables::table(&["pass", "values", "what it does"], &rows, 3));
    Ok(())
}

/// The step of a name, which an option gives.
///
/// # Errors
/// When there is none of that name, with the nearest.
pub(super) fn step(option: &str, name: &str) -> Result<Step, Problem> {
    let all = steps();
    let found = all.iter().find(|s| s.name == name).copied();
    found.ok_or_else(|| {
        let reason = format!("there is no pass `{name}`");
        Problem::new(option, reason, nearest::advice(name, all.iter().map(|s| s.name)))
    })
}

/// What `--print-after` and `--print-after-all` print.
pub(super) struct Printing {
    wanted: Option<String>,
    /// Whether anything was printed.
    printed: Rc<Cell<bool>>,
}

impl Printing {
    /// Of the options, if they are given.
    pub(super) fn of(args: &CompileArgs) -> Option<Printing> {
        let wanted = args.print_after.clone();
        (wanted.is_some() || args.print_after_all)
            .then(|| Printing { wanted, printed: Rc::default() })
    }

    /// Prints the network after the passes that are wanted; after every pass only what it changed.
    pub(super) fn after_pass(&self) -> AfterPass {
        let (wanted, printed) = (self.wanted.clone(), Rc::clone(&self.printed));
        Box::new(move |pass, graph, changed| {
            if wanted.as_deref().map_or(changed, |w| w == pass) {
                print(pass, graph);
                printed.set(true);
            }
        })
    }

    /// Shows the coding and a target's arithmetic, which no pass sees. What is refused on the way is told
    /// by the compilation itself.
    pub(super) fn lowered(
        &self,
        model: &Model,
        target: &'static dyn Target,
        options: &CompileOptions,
    ) {
        let mut after = self.after_pass();
        if let Ok(coded) = driver::coded(&model.conversion, target, options) {
            after(CODE.name, &coded, true);
        }
        if let Ok(network) = driver::legalised(model, target, options) {
            after(LEGALISE.name, &network, true);
        }
    }

    /// Shows what a target makes of a network that was trained to spike.
    pub(super) fn trained(
        &self,
        trained: &Trained<'_>,
        target: &'static dyn Target,
        options: &TargetOptions,
    ) {
        if let Ok(network) = driver::legalised_trained(trained, target, options) {
            self.after_pass()(LEGALISE.name, &network, true);
        }
    }

    /// Tells the user that the wanted step is none of this model's.
    pub(super) fn finish(&self) {
        if let Some(wanted) = self.wanted.as_ref().filter(|_| !self.printed.get()) {
            let text = format!("`{wanted}` is no step of compiling this model");
            render::note("--print-after", &text);
        }
    }
}

fn print(pass: &str, graph: &Graph) {
    use std::io::Write;
    let text = graph.to_text(PrintOptions { elide_above: Some(SHOWN) });
    let _ = write!(std::io::stderr().lock(), "// after {pass}\n{text}");
}
