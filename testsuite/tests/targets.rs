//! The compiler knows targets by what they say of themselves, not by name.

use std::path::Path;

use snnc_backends::{TARGETS, Trained};
use snnc_testsuite::files_below;
use syn::visit::{self, Visit};

/// Sources in which a literal is a target's name, and why that is no question of which target it is.
const MAY_NAME: [(&str, &str); 3] = [
    ("smt", "a statement has a constant called `reference`"),
    ("peers", "a peer says whose files it takes"),
    ("driver/manifest.rs", "a manifest has a key called `reference`"),
];

/// Literals of a source that are a target's name, tests left out.
#[derive(Default)]
struct Names(Vec<String>);

impl Visit<'_> for Names {
    fn visit_item_mod(&mut self, module: &syn::ItemMod) {
        // Inner modules are tests.
        if module.content.is_none() {
            visit::visit_item_mod(self, module);
        }
    }

    fn visit_lit_str(&mut self, text: &syn::LitStr) {
        if TARGETS.iter().any(|t| t.name() == text.value()) {
            self.0.push(text.value());
        }
    }
}

fn names(source: &str) -> Vec<String> {
    let mut names = Names::default();
    names.visit_file(&syn::parse_file(source).expect("sources compile"));
    names.0
}

#[test]
fn the_compiler_asks_no_target_for_its_name() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("it lies in the workspace");
    let (folder, mut found) = (root.join("compiler/src"), Vec::new());
    let files = files_below(&folder, "rs");
    assert!(files.len() > 50);
    for file in files {
        let place = file.strip_prefix(&folder).expect("it is below");
        if MAY_NAME.iter().any(|(own, _)| place.starts_with(own)) || place.ends_with("tests.rs") {
            continue;
        }
        let named = names(&std::fs::read_to_string(&file).expect("it is readable"));
        found.extend(named.into_iter().map(|name| format!("{}: {name}", place.display())));
    }
    assert_eq!(found, [""; 0]);
}

#[test]
fn a_name_that_is_compared_is_found() {
    let compared = "fn f(t: &dyn Target) -> bool { t.name() == \"spleat\" }";
    assert_eq!(names(compared), ["spleat"]);
    let listed = "const A: [&str; 2] = [\"nir\", \"x\"];";
    assert_eq!(names(listed), ["nir"]);
    assert_eq!(names("#[cfg(test)] mod tests { const A: &str = \"loihi\"; }"), [""; 0]);
}

#[test]
fn capabilities_agree_with_each_other() {
    for target in TARGETS {
        let own = target.capabilities();
        let name = target.name();
        assert!(own.payload_choices.is_sorted() && own.payload_choices.contains(&own.payload_bits));
        assert!((1..=8).contains(&own.weight_bits), "{name}");
        assert!(!target.codings().is_empty(), "{name}");
        let integrates = target.codings().iter().any(|c| *c != snnc_ir::Coding::Graded);
        assert!(own.trained == Trained::No || integrates, "{name} says that it integrates");
    }
}
