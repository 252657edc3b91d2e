//! Neuron models: who may name which, and what targets do with each.

use std::path::Path;

use snnc_backends::{MemoryFiles, TARGETS, TargetOptions};
use snnc_ir::{Graph, Neuron, verify};
use snnc_runtime::spiking::{FloatNetwork, Network, Sample};
use snnc_testsuite::files_below;
use syn::visit::{self, Visit};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("it lies in the workspace")
}

/// Where a source names models, and where it matches on some and lets others through.
#[derive(Default)]
struct Names {
    named: usize,
    open: usize,
}

/// Whether a path ends in `Neuron::Model` or `NeuronState::Model`.
fn names_model(path: &syn::Path) -> bool {
    let mut last = path.segments.iter().rev().map(|s| s.ident.to_string());
    let (model, of) = (last.next().unwrap_or_default(), last.next().unwrap_or_default());
    let camel = model.starts_with(char::is_uppercase) && model.contains(char::is_lowercase);
    camel && matches!(of.as_str(), "Neuron" | "NeuronState" | "RealState")
}

struct Finder(bool);

impl Visit<'_> for Finder {
    fn visit_path(&mut self, path: &syn::Path) {
        self.0 |= names_model(path);
        visit::visit_path(self, path);
    }
}

/// Whether an arm takes what no other arm names.
fn takes_rest(pattern: &syn::Pat) -> bool {
    match pattern {
        syn::Pat::Wild(_) => true,
        syn::Pat::Ident(own) => {
            own.subpat.is_none() && own.ident.to_string().starts_with(char::is_lowercase)
        }
        syn::Pat::Or(own) => own.cases.iter().any(takes_rest),
        syn::Pat::Paren(own) => takes_rest(&own.pat),
        _ => false,
    }
}

/// Whether an arm's answer is a refusal, by the words in it.
#[derive(Default)]
struct Refusal(bool);

impl Visit<'_> for Refusal {
    fn visit_ident(&mut self, word: &syn::Ident) {
        self.0 |= ["Err", "None", "refuse", "violation", "panic"].iter().any(|own| word == own);
    }
}

fn refuses(arm: &syn::Expr) -> bool {
    let mut refusal = Refusal::default();
    refusal.visit_expr(arm);
    refusal.0
}

fn is_test(attributes: &[syn::Attribute]) -> bool {
    let is = |a: &syn::Attribute| {
        a.path().is_ident("cfg") && a.parse_args::<syn::Path>().is_ok_and(|p| p.is_ident("test"))
    };
    attributes.iter().any(is)
}

impl Visit<'_> for Names {
    fn visit_item_mod(&mut self, module: &syn::ItemMod) {
        if !is_test(&module.attrs) {
            visit::visit_item_mod(self, module);
        }
    }

    fn visit_path(&mut self, path: &syn::Path) {
        self.named += usize::from(names_model(path));
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &syn::Macro) {
        // What is in a macro's brackets is no syntax yet.
        let text: String = call.tokens.to_string().chars().filter(|c| !c.is_whitespace()).collect();
        for of in ["Neuron::", "NeuronState::", "RealState::"] {
            let models = text.split(of).skip(1).filter(|rest| rest.starts_with(char::is_uppercase));
            self.named += models.filter(|rest| !rest.starts_with("NAMES")).count();
        }
        visit::visit_macro(self, call);
    }

    fn visit_expr_match(&mut self, own: &syn::ExprMatch) {
        let mut finder = Finder(false);
        own.arms.iter().for_each(|arm| finder.visit_pat(&arm.pat));
        let rest = own.arms.iter().find(|arm| takes_rest(&arm.pat) && arm.guard.is_none());
        if finder.0 && rest.is_some_and(|arm| !refuses(&arm.body)) {
            self.open += 1;
        }
        visit::visit_expr_match(self, own);
    }
}

fn names(source: &str) -> Names {
    let file = syn::parse_file(source).expect("sources compile");
    let mut names = Names::default();
    names.visit_file(&file);
    names
}

/// Folders whose sources may name models: the list, targets, and the statements for solvers, which say what a model
/// computes once more so as to share no code with it.
const MAY_NAME: [&str; 3] = ["ir/src/neuron", "backends/src", "compiler/src/smt"];

#[test]
fn models_are_named_by_targets_alone_and_none_slips_through() {
    let mut found = Vec::new();
    for folder in ["ir/src", "runtime/src", "backends/src", "compiler/src"] {
        let files = files_below(&root().join(folder), "rs");
        assert!(!files.is_empty(), "{folder} has sources");
        for file in files {
            let place = file.strip_prefix(root()).expect("it is below").to_owned();
            let names = names(&std::fs::read_to_string(&file).expect("it is readable"));
            let is_test = place.file_stem().is_some_and(|s| s == "tests")
                || place.components().any(|c| c.as_os_str() == "tests");
            let may = is_test || MAY_NAME.iter().any(|folder| place.starts_with(folder));
            if names.named > 0 && !may {
                found.push(format!("{} names {} models", place.display(), names.named));
            }
            if names.open > 0 && !is_test {
                found.push(format!("{} lets models through", place.display()));
            }
        }
    }
    assert_eq!(found, [""; 0]);
}

#[test]
fn a_model_that_is_named_or_slips_through_is_found() {
    let count = |source: &str| {
        let names = names(source);
        (names.named, names.open)
    };
    let through = "fn f(n: &Neuron) -> i64 { match n { Neuron::Graded(_) => 1, _ => 0 } }";
    assert_eq!(count(through), (1, 1));
    let bound =
        "fn f(n: &Neuron) -> i64 { match n { ir::Neuron::Graded(_) => 1, other => g(other) } }";
    assert_eq!(count(bound), (1, 1));
    let refused =
        "fn f(n: &Neuron) -> Option<i64> { match n { Neuron::Graded(_) => Some(1), _ => None } }";
    assert_eq!(count(refused), (1, 0));
    assert_eq!(count("fn f(n: &Neuron) -> bool { matches!(n, Neuron::Lookup(_)) }"), (1, 0));
    assert_eq!(count("fn f() -> usize { Neuron::NAMES.len() }"), (0, 0));
    assert_eq!(count("#[cfg(test)] mod tests { fn f() { let _ = Neuron::Accumulate; } }"), (0, 0));
}

/// A network with one population of that neuron between input and output.
fn network(neuron: &Neuron, line: &str) -> Graph {
    let (ty, weights) = if neuron.is_real() { ("f32", "f32") } else { ("i64", "i8") };
    let text = format!(
        r#"snnir 1 spiking "one" {{"timesteps":1,"schedule":"streaming"}}
%x = encoder {{"scale":1.0,"zero_point":0,"minimum":0,"maximum":15,"presentation":"once"}} () : {ty}[2]
%p = projection {{"connectivity":"dense","accumulator":{{"bits":64,"overflow":"error"}}}} (%x) : {ty}[1]
  data {weights}[1,2] 3 -2
%n = population {{"coding":"graded","neuron":{line},"minimum":-500,"maximum":500,"scale":[1.0]}} (%p) : {ty}[1]
%o = decoder {{"readout":"last","scale":[1.0]}} (%n) : f32[1]
"#
    );
    Graph::from_text(&text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

/// One neuron of each model, as they are written.
fn examples() -> Vec<(&'static str, Neuron)> {
    let lines = include_str!("../../ir/src/neuron/examples.jsonl").lines();
    lines.map(|line| (line, serde_json::from_str(line).expect("a neuron"))).collect()
}

#[test]
fn every_model_runs() {
    for (line, neuron) in examples() {
        let graph = network(&neuron, line);
        verify(graph.clone()).unwrap_or_else(|e| panic!("{e:?}"));
        if neuron.is_real() {
            let reals = FloatNetwork::new(&graph).unwrap_or_else(|e| panic!("{e}"));
            let mut stream = reals.stream();
            stream.step(&[5.0, 2.0], &mut |_, _, _| {}).unwrap();
            assert_eq!(stream.finish(), [[11.0]], "{line}");
            continue;
        }
        let run = Network::new(&graph).unwrap().run(&[Sample::Codes(vec![5, 2])]).unwrap();
        let mut one = neuron.states(1, 1).expect("it is on integers");
        assert_eq!(run.outputs[0].raw, one.step(0, [11]), "{line}");
    }
}

/// A target takes a network, and what is read back is it; or says why not, and what would help.
#[test]
fn every_target_takes_a_model_or_refuses_it_in_words() {
    let options = TargetOptions::default();
    let mut taken = std::collections::BTreeMap::new();
    for (line, neuron) in examples() {
        let graph = verify(network(&neuron, line)).unwrap_or_else(|e| panic!("{e:?}"));
        for target in TARGETS {
            let place = format!("{}: {line}", target.name());
            match target.legalise(&graph, &options) {
                Err(violations) => {
                    assert!(!violations.is_empty(), "{place}");
                    for v in violations {
                        assert!(!v.reason.is_empty() && !v.remedy.is_empty(), "{place}: {v:?}");
                    }
                }
                Ok(legalised) => {
                    let artefact = target
                        .emit(&legalised, &options)
                        .unwrap_or_else(|e| panic!("{place}: {e}"));
                    let files = MemoryFiles::from(&artefact);
                    let read = target.read(&files, &artefact.files[0].path);
                    let read = read.unwrap_or_else(|e| panic!("{place}: {e}"));
                    verify(read).unwrap_or_else(|e| panic!("{place}: {e:?}"));
                    taken.entry(target.name()).or_insert_with(Vec::new).push(neuron.name());
                }
            }
        }
    }
    taken.values_mut().for_each(Vec::dedup);
    assert_eq!(taken["reference"], Neuron::NAMES);
}
