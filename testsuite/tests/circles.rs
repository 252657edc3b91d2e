//! No circle of sibling modules: whatever uses what is beside it is not used by that, on no detour.
//!
//! What a module takes from its parent, `mod.rs` with its re-exports, does not count.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use syn::visit::{self, Visit};

type Module = Vec<String>;

/// Folders of modules in which circles are known, with their members.
const KNOWN: &[(&str, &[&str])] = &[];

/// The paths that a module uses, each from the crate's root.
struct Paths {
    own: Module,
    used: Vec<Module>,
}

impl Paths {
    /// Takes down a path that begins with `crate`, `self` or `super`.
    fn take(&mut self, names: &[String]) {
        let mut names = names.iter();
        let mut at = match names.next().map(String::as_str) {
            Some("crate") => Vec::new(),
            Some("self") => self.own.clone(),
            Some("super") => self.own[..self.own.len().saturating_sub(1)].to_vec(),
            _ => return,
        };
        for name in names {
            if name == "super" {
                at.pop();
            } else {
                at.push(name.clone());
            }
        }
        self.used.push(at);
    }

    fn tree(&mut self, before: &[String], tree: &syn::UseTree) {
        let with = |name: &syn::Ident| [before, &[name.to_string()]].concat();
        match tree {
            syn::UseTree::Path(path) => self.tree(&with(&path.ident), &path.tree),
            syn::UseTree::Group(group) => {
                group.items.iter().for_each(|item| self.tree(before, item));
            }
            syn::UseTree::Name(name) => self.take(&with(&name.ident)),
            syn::UseTree::Rename(name) => self.take(&with(&name.ident)),
            syn::UseTree::Glob(_) => self.take(before),
        }
    }
}

impl Visit<'_> for Paths {
    fn visit_item_mod(&mut self, module: &syn::ItemMod) {
        // Inner modules are tests.
        if module.content.is_none() {
            visit::visit_item_mod(self, module);
        }
    }

    fn visit_item_use(&mut self, item: &syn::ItemUse) {
        self.tree(&[], &item.tree);
    }

    fn visit_path(&mut self, path: &syn::Path) {
        let names: Vec<String> = path.segments.iter().map(|s| s.ident.to_string()).collect();
        self.take(&names);
        visit::visit_path(self, path);
    }
}

/// The modules that `source` of module `own` uses, among `modules`.
fn used(own: &Module, source: &str, modules: &BTreeSet<Module>) -> BTreeSet<Module> {
    let mut paths = Paths { own: own.clone(), used: Vec::new() };
    paths.visit_file(&syn::parse_file(source).expect("sources compile"));
    let module = |path: &Module| {
        (1..=path.len()).rev().map(|n| path[..n].to_vec()).find(|m| modules.contains(m))
    };
    paths.used.iter().filter_map(module).collect()
}

/// Who of the siblings below a module uses which.
type Uses = BTreeMap<String, BTreeSet<String>>;

fn siblings(sources: &BTreeMap<Module, String>) -> BTreeMap<Module, Uses> {
    let modules: BTreeSet<Module> = sources.keys().cloned().collect();
    let mut found: BTreeMap<Module, Uses> = BTreeMap::new();
    for (own, source) in sources {
        for other in used(own, source, &modules) {
            let common = own.iter().zip(&other).take_while(|(a, b)| a == b).count();
            if let (Some(from), Some(to)) = (own.get(common), other.get(common)) {
                let uses = found.entry(own[..common].to_vec()).or_default();
                uses.entry(from.clone()).or_default().insert(to.clone());
            }
        }
    }
    found
}

fn reached<'a>(uses: &'a Uses, from: &str) -> BTreeSet<&'a str> {
    let (mut found, mut open) = (BTreeSet::new(), vec![from.to_owned()]);
    while let Some(name) = open.pop() {
        for next in uses.get(&name).into_iter().flatten() {
            if found.insert(next.as_str()) {
                open.push(next.clone());
            }
        }
    }
    found
}

/// The circles of a crate: the module that holds them, and their members.
fn circles(sources: &BTreeMap<Module, String>) -> BTreeSet<(String, Vec<String>)> {
    let mut found = BTreeSet::new();
    for (parent, uses) in siblings(sources) {
        for name in uses.keys() {
            let mut circle: Vec<String> = uses
                .keys()
                .filter(|other| {
                    reached(&uses, name).contains(other.as_str())
                        && reached(&uses, other).contains(name.as_str())
                })
                .cloned()
                .collect();
            circle.sort();
            if circle.len() > 1 {
                found.insert((parent.join("::"), circle));
            }
        }
    }
    found
}

fn read(folder: &Path, at: &Module, found: &mut BTreeMap<Module, String>) {
    for entry in std::fs::read_dir(folder).expect("there is the folder").flatten() {
        let path: PathBuf = entry.path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if name == "tests" {
            continue;
        }
        let own = match name.as_str() {
            "mod" | "lib" | "main" => at.clone(),
            _ => [&at[..], &[name]].concat(),
        };
        if path.is_dir() {
            read(&path, &own, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.insert(own, std::fs::read_to_string(&path).expect("it is readable"));
        }
    }
}

#[test]
fn no_siblings_use_each_other() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("it lies in the workspace");
    let mut found = BTreeSet::new();
    for folder in ["ir", "runtime", "backends", "compiler"] {
        let mut sources = BTreeMap::new();
        read(&root.join(folder).join("src"), &Vec::new(), &mut sources);
        assert!(sources.len() > 10, "{folder} has sources");
        let own = circles(&sources).into_iter();
        found.extend(own.map(|(parent, members)| (format!("{folder} {parent}"), members)));
    }
    let known = KNOWN.iter().map(|(parent, members)| {
        ((*parent).to_owned(), members.iter().map(|&m| m.to_owned()).collect::<Vec<_>>())
    });
    assert_eq!(found, known.collect());
}

#[test]
fn circles_are_found_and_ways_down_are_none() {
    let module = |name: &str| name.split("::").map(str::to_owned).collect::<Module>();
    let found = |sources: &[(&str, &str)]| {
        let all = sources.iter().map(|(name, text)| (module(name), (*text).to_owned()));
        circles(&all.collect()).into_iter().map(|(at, all)| (at, all.join(" "))).collect::<Vec<_>>()
    };
    assert_eq!(found(&[("a", "use crate::b::f;"), ("b", "use super::c;"), ("c", "")]), []);
    let round =
        [("a", "use crate::b::f;"), ("b", "fn f() { super::c::g() }"), ("c", "use crate::{a, d};")];
    assert_eq!(found(&round), [(String::new(), "a b c".to_owned())]);
    let below =
        [("x::a", "use super::b::{f, g};"), ("x::b::c", "use crate::x::a::h;"), ("x::b", "")];
    assert_eq!(found(&below), [("x".to_owned(), "a b".to_owned())]);
    let through_parent =
        [("x", "mod a; mod b;"), ("x::a", "use super::F;"), ("x::b", "use super::a::f;")];
    assert_eq!(found(&through_parent), []);
}
