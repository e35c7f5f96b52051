//! Who knows whom: paths between crates, models and modules.

use std::collections::{BTreeMap, BTreeSet};

use crate::rules::{Finding, finding};
use crate::source::{Source, line_of, words};

const MODELS: [&str; 4] = ["collection", "graph", "vector", "object"];

/// Mentions of crates that this one must not know.
pub(crate) fn of_crates(source: &Source, forbidden: &[&str]) -> Vec<Finding> {
    let mut found = Vec::new();
    for name in forbidden {
        for at in words(&source.code_and_tests, name) {
            let is_path = source.code_and_tests[at + name.len()..].trim_start().starts_with("::");
            if is_path {
                found.push(finding(
                    source,
                    line_of(&source.code_and_tests, at),
                    format!("looks up to {name}"),
                ));
            }
        }
    }
    found
}

/// Paths from one model into another. Entities are a collection, so the graph may come to that one's door, but no
/// further in than its public names.
pub(crate) fn between_models(source: &Source) -> Vec<Finding> {
    let inside = source.path.strip_prefix("engine/src/").unwrap_or("");
    let home = inside.split(['/', '.']).next().unwrap_or("");
    if !MODELS.contains(&home) {
        return Vec::new();
    }
    let mut found = Vec::new();
    for (path, line) in crate_paths(&source.code) {
        let Some(other) = MODELS.iter().find(|model| path[0] == **model && **model != home) else { continue };
        let at_the_door = path.get(1).is_none_or(|name| name.starts_with(char::is_uppercase));
        if !(home == "graph" && *other == "collection" && at_the_door) {
            found.push(finding(source, line, format!("{home} knows {}", path.join("::"))));
        }
    }
    found
}

/// A circle among the top modules of a crate, if there is one. The crate's own door does not count: it names them all.
pub(crate) fn circle(files: &[Source]) -> Option<Finding> {
    let mut known: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for file in files {
        let inside = file.path.split_once("/src/").map_or("", |(_, inside)| inside);
        let module = inside.split(['/', '.']).next().unwrap_or("");
        let paths = crate_paths(&file.code).into_iter().filter_map(|(path, _)| path.into_iter().next());
        known.entry(module).or_default().extend(paths.filter(|other| other != module));
    }
    known.remove("lib");
    known.remove("main");
    // Whoever knows nobody that is left is in no circle; what cannot be taken away so is one, or looks at one.
    loop {
        let names: BTreeSet<String> = known.keys().map(ToString::to_string).collect();
        let before = known.len();
        known.retain(|_, others| !others.is_disjoint(&names));
        if known.len() == before {
            break;
        }
    }
    let (first, _) = known.iter().next()?;
    let file = files.iter().find(|file| file.path.contains(&format!("/src/{first}")))?;
    let names: Vec<&str> = known.keys().copied().collect();
    Some(finding(file, 1, format!("modules in a circle: {}", names.join(", "))))
}

/// Every path of the code that begins with `crate::`, without that, with its line; groups are taken apart.
fn crate_paths(code: &str) -> Vec<(Vec<String>, usize)> {
    let mut found = Vec::new();
    for at in words(code, "crate") {
        let Some(rest) = code[at + "crate".len()..].trim_start().strip_prefix("::") else { continue };
        let mut paths = Vec::new();
        expand(rest, &mut Vec::new(), &mut paths);
        found.extend(paths.into_iter().map(|path| (path, line_of(code, at))));
    }
    found
}

/// Reads one path or group at the front of `text`; returns what follows it.
fn expand<'a>(text: &'a str, prefix: &mut Vec<String>, found: &mut Vec<Vec<String>>) -> &'a str {
    let text = text.trim_start();
    if let Some(mut rest) = text.strip_prefix('{') {
        loop {
            rest = expand(rest, prefix, found).trim_start();
            match rest.strip_prefix(',') {
                Some(more) if !more.trim_start().starts_with('}') => rest = more,
                Some(more) => return more.trim_start().strip_prefix('}').unwrap_or(""),
                None => return rest.strip_prefix('}').unwrap_or(""),
            }
        }
    }
    let len = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    prefix.push(text[..len].into());
    let after = text[len..].trim_start();
    let rest = if let Some(deeper) = after.strip_prefix("::") {
        expand(deeper, prefix, found)
    } else {
        found.push(prefix.clone());
        after
            .strip_prefix("as ")
            .map_or(after, |alias| alias.trim_start_matches(|c| c != ',' && c != '}' && c != ';'))
    };
    prefix.pop();
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(code: &str) -> Vec<String> {
        crate_paths(code).into_iter().map(|(path, _)| path.join("::")).collect()
    }

    #[test]
    fn groups_are_taken_apart() {
        let code = "use crate::{a::{B, c::D as E}, f, g::*,};\nlet x = crate::h::i(1); pub(crate) fn j() {}";
        assert_eq!(paths(code), ["a::B", "a::c::D", "f", "g::", "h::i"]);
    }

    #[test]
    fn a_look_upwards_is_found() {
        let source = Source::new(
            "wal/src/a.rs",
            "use logwood_index::Segment;\nlet logwood = 1;\n// logwood_index::x\n",
        );
        assert_eq!(of_crates(&source, &["logwood_index", "logwood"]).len(), 1);
    }

    #[test]
    fn a_model_that_knows_another_is_found() {
        let count = |path: &str, code: &str| between_models(&Source::new(path, code)).len();
        assert_eq!(count("engine/src/vector/search.rs", "use crate::{view::View, graph::Graph};"), 1);
        assert_eq!(count("engine/src/object.rs", "crate::collection::Collection::open()"), 1);
        assert_eq!(count("engine/src/graph/entity.rs", "use crate::collection::Collection;"), 0);
        assert_eq!(count("engine/src/graph/entity.rs", "use crate::collection::primary::row;"), 1);
        assert_eq!(count("engine/src/vector/search.rs", "use crate::vector::graph::Graph;"), 0);
        assert_eq!(count("engine/src/check.rs", "use crate::{graph, vector};"), 0);
    }

    #[test]
    fn a_circle_of_modules_is_found() {
        let files = |last: &str| {
            let text = [
                ("lib", "use crate::a::A;"),
                ("a", "use crate::b::B;"),
                ("b/c", "use crate::d::D;"),
                ("d", last),
            ];
            text.map(|(name, code)| Source::new(format!("wal/src/{name}.rs"), code))
        };
        assert!(circle(&files("use crate::e::E;")).is_none());
        assert!(circle(&files("fn f() { crate::a::f() }")).unwrap().rule.ends_with("a, b, d"));
    }
}
