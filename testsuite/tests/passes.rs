//! Runs the passes that the first line of each case names, and compares the result with its
//! snapshot.
//!
//! ```text
//! // run: fold-bias make-dense
//! // error: part of the message that must come
//! ```

use snnc::passes::{CANONICAL, Context, Pass, QUANTISED, run};
use snnc_ir::{Graph, PrintOptions, verify};

fn passes(line: &str) -> Vec<&'static Pass> {
    let names = line.strip_prefix("// run:").expect("the first line names passes");
    let mut passes = Vec::new();
    for name in names.split_whitespace() {
        match name {
            "canonicalise" => passes.extend(CANONICAL),
            "quantised" => passes.extend(QUANTISED),
            _ => {
                let found = CANONICAL.iter().chain(QUANTISED).find(|p| p.name == name);
                passes.push(*found.unwrap_or_else(|| panic!("there is no pass `{name}`")));
            }
        }
    }
    passes
}

#[test]
fn cases() {
    insta::with_settings!({ snapshot_path => "../cases/passes", prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::glob!("../cases/passes", "*.snnir", |path| {
            let text = std::fs::read_to_string(path).unwrap();
            let mut lines = text.lines();
            let passes = passes(lines.next().unwrap());
            let expected = lines.next().and_then(|l| l.strip_prefix("// error:")).map(str::trim);
            let graph = verify(Graph::from_text(&text).unwrap()).unwrap().into_inner();
            let mut context = Context::default();
            let result = run(&passes, graph, &mut context);
            let shown = match (result, expected) {
                (Ok(graph), None) => {
                    let notes = context.notes.iter();
                    let notes: String = notes.map(|(n, t)| format!("// note: {n}: {t}\n")).collect();
                    notes + &graph.to_text(PrintOptions::default())
                }
                (Err(error), Some(part)) => {
                    let message = error.to_string();
                    assert!(message.contains(part), "{}: {message}", path.display());
                    message
                }
                (Ok(_), Some(part)) => panic!("{}: no error `{part}`", path.display()),
                (Err(error), None) => panic!("{}: {error}", path.display()),
            };
            insta::assert_snapshot!(shown);
        });
    });
}
