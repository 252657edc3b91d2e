//! Every pass has a case of its own: `cases/passes/each/PASS.snnir` holds a graph and, behind the line
//! `// becomes:`, what the pass makes of it.
//!
//! `BLESS=1` writes what passes make of the graphs. For a pass without a case it takes the smallest
//! graph that the pass changes on the way of the networks of `cases/passes` and `cases/reports`.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use snnc::import::{self, ImportOptions};
use snnc::passes::{CANONICAL, Context, Pass, QUANTISED, run};
use snnc_ir::{Graph, PrintOptions, verify};
use snnc_testsuite::repository;
use snnc_testsuite::table::Table;

/// What stands between a graph and what becomes of it.
const BECOMES: &str = "// becomes:\n";

fn passes() -> BTreeMap<&'static str, &'static Pass> {
    CANONICAL.iter().chain(QUANTISED).map(|pass| (pass.name, *pass)).collect()
}

fn folder() -> PathBuf {
    repository().join("testsuite/cases/passes/each")
}

fn listed(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let mut paths: Vec<PathBuf> = entries.filter_map(|e| Some(e.ok()?.path())).collect();
    paths.sort();
    paths
}

/// What a pass makes of a graph, and whether it changed it.
fn applied(pass: &'static Pass, graph: Graph) -> Result<(Graph, bool), String> {
    let changed = Rc::new(Cell::new(false));
    let seen = Rc::clone(&changed);
    let after = move |_: &str, _: &Graph, changed: bool| seen.set(changed);
    let mut context = Context { after_pass: Some(Box::new(after)), ..Context::default() };
    let graph = run(&[pass], graph, &mut context).map_err(|e| e.to_string())?;
    Ok((graph, changed.get()))
}

fn parsed(text: &str) -> Result<Graph, String> {
    let graph = Graph::from_text(text).map_err(|e| e.to_string())?;
    verify(graph).map(snnc_ir::Verified::into_inner).map_err(|e| format!("{e:?}"))
}

fn printed(graph: &Graph) -> String {
    graph.to_text(PrintOptions::default())
}

#[test]
fn every_pass_makes_of_its_case_what_it_says() {
    let passes = passes();
    if Table::blessing() {
        bless(&passes);
    }
    let mut problems = Vec::new();
    for (name, pass) in &passes {
        let path = folder().join(format!("{name}.snnir"));
        let Ok(text) = std::fs::read_to_string(&path) else {
            problems.push(format!("{name} has no case"));
            continue;
        };
        let Some((before, expected)) = text.split_once(BECOMES) else {
            problems.push(format!("{name}: the case does not say what becomes of the graph"));
            continue;
        };
        match parsed(before).and_then(|graph| applied(pass, graph)) {
            Ok((after, true)) if printed(&after) == expected => {}
            Ok((_, false)) => problems.push(format!("{name} changes nothing in its case")),
            Ok((after, true)) => problems.push(format!("{name} makes\n{}", printed(&after))),
            Err(e) => problems.push(format!("{name}: {e}")),
        }
    }
    for path in listed(&folder()) {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if !passes.contains_key(name.as_str()) {
            problems.push(format!("there is no pass `{name}`"));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// Writes the cases anew.
fn bless(passes: &BTreeMap<&'static str, &'static Pass>) {
    let mut smallest: BTreeMap<&str, String> = BTreeMap::new();
    for name in passes.keys().copied() {
        let path = folder().join(format!("{name}.snnir"));
        if let Ok(text) = std::fs::read_to_string(path) {
            let before = text.split_once(BECOMES).map_or(text.as_str(), |(before, _)| before);
            smallest.insert(name, before.to_owned());
        }
    }
    let missing: Vec<&str> =
        passes.keys().copied().filter(|name| !smallest.contains_key(name)).collect();
    let cases = repository().join("testsuite/cases");
    let reports = listed(&cases.join("reports")).into_iter().map(|p| p.join("model.onnx"));
    for path in listed(&cases.join("passes")).into_iter().chain(reports) {
        let graph = match path.extension().and_then(|e| e.to_str()) {
            Some("snnir") => parsed(&std::fs::read_to_string(&path).unwrap_or_default()).ok(),
            Some("onnx") => {
                import::load(&path, &ImportOptions::default()).ok().map(|imported| imported.graph)
            }
            _ => None,
        };
        let Some(mut graph) = graph.filter(|_| !missing.is_empty()) else { continue };
        for pass in CANONICAL.iter().chain(QUANTISED) {
            let before = printed(&graph);
            let Ok((after, changed)) = applied(pass, graph) else { break };
            let smaller = smallest.get(pass.name).is_none_or(|s| before.len() < s.len());
            if changed && smaller && missing.contains(&pass.name) {
                smallest.insert(pass.name, before);
            }
            graph = after;
        }
    }
    std::fs::create_dir_all(folder()).expect("the folder of cases");
    for (name, before) in smallest {
        let (after, _) = parsed(&before)
            .and_then(|graph| applied(passes[name], graph))
            .unwrap_or_else(|e| panic!("{name}: {e}"));
        let text = format!("{before}{BECOMES}{}", printed(&after));
        std::fs::write(folder().join(format!("{name}.snnir")), text).expect("writes");
    }
}
