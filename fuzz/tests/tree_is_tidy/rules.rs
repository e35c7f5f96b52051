//! The rules that one file keeps or breaks by itself.

use std::fmt;

use crate::source::{Source, line_of, words};

const FILE_LINES_MAX: usize = 599;
const FUNCTION_LINES_MAX: usize = 70;

/// A place where the tree breaks a rule.
#[derive(Debug)]
pub(crate) struct Finding {
    pub(crate) path: String,
    pub(crate) line: usize,
    pub(crate) rule: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{}:{}: {}", self.path, self.line, self.rule)
    }
}

pub(crate) fn finding(source: &Source, line: usize, rule: impl Into<String>) -> Finding {
    Finding { path: source.path.clone(), line, rule: rule.into() }
}

pub(crate) fn long_file(source: &Source) -> Option<Finding> {
    let rule = format!("{} lines outside tests, at most {FILE_LINES_MAX} are allowed", source.lines);
    (source.lines > FILE_LINES_MAX).then(|| finding(source, 1, rule))
}

pub(crate) fn long_functions(source: &Source) -> Vec<Finding> {
    let long = source.functions().into_iter().filter(|function| function.lines > FUNCTION_LINES_MAX);
    long.map(|function| {
        let rule = format!(
            "{} has {} lines, at most {FUNCTION_LINES_MAX} fit a screen",
            function.name, function.lines
        );
        finding(source, function.first_line, rule)
    })
    .collect()
}

pub(crate) fn outside_world(source: &Source) -> Vec<Finding> {
    let mut found =
        texts(source, &source.code, &["Instant::now", "SystemTime::now"], "asks the clock past `Clock`");
    let files = words(&source.code, "fs").map(|at| line_of(&source.code, at));
    found.extend(files.map(|line| finding(source, line, "`fs`: reaches for files past `Disk`")));
    found
}

/// Calls that panic. `expect` may stand under a line that says `INVARIANT:` and why it holds.
pub(crate) fn panics(source: &Source) -> Vec<Finding> {
    let calls = [".unwrap()", ".expect(", "panic!(", "todo!(", "unimplemented!(", "unreachable!("];
    let mut found = texts(source, &source.code, &calls, "panics outside tests");
    let stated = |line: usize| {
        let above = source.comments.lines().nth(line.saturating_sub(2));
        line > 1 && above.is_some_and(|comment| comment.contains("INVARIANT:"))
    };
    found.retain(|finding| !(finding.rule.starts_with("`.expect(`") && stated(finding.line)));
    found
}

pub(crate) fn unfinished(source: &Source) -> Vec<Finding> {
    let marks = ["TODO", "FIXME", "XXX", "HACK"];
    let found = marks.iter().flat_map(|mark| words(&source.comments, mark));
    found.map(|at| finding(source, line_of(&source.comments, at), "leaves work as a comment")).collect()
}

pub(crate) fn unsafety(source: &Source) -> Vec<Finding> {
    let found = words(&source.code_and_tests, "unsafe").map(|at| line_of(&source.code_and_tests, at));
    found.map(|line| finding(source, line, "`unsafe` outside its rooms")).collect()
}

fn texts(source: &Source, text: &str, forbidden: &[&str], why: &str) -> Vec<Finding> {
    let places = forbidden.iter().flat_map(|call| text.match_indices(call));
    places.map(|(at, call)| finding(source, line_of(text, at), format!("`{call}`: {why}"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(rule: fn(&Source) -> Vec<Finding>, text: &str) -> Vec<usize> {
        rule(&Source::new("a.rs", text)).iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn a_long_file_is_found_and_its_tests_do_not_count() {
        let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", "\n".repeat(600));
        assert!(long_file(&Source::new("a.rs", &("\n".repeat(599) + &tests))).is_none());
        assert!(long_file(&Source::new("a.rs", &("\n".repeat(600) + &tests))).is_some());
    }

    #[test]
    fn a_long_function_is_found() {
        let function = |lines: usize| format!("\nfn f() {{{}}}\n", "\n".repeat(lines - 1));
        assert_eq!(lines(long_functions, &function(70)), Vec::<usize>::new());
        assert_eq!(lines(long_functions, &function(71)), [2]);
    }

    #[test]
    fn files_and_clocks_are_found() {
        let text = "use std::fs;\nuse std::{fs::File, io};\nlet t = Instant::now();\n// fs\nlet s = \"fs\";\nlet fsx = 1;";
        let mut found = lines(outside_world, text);
        found.sort_unstable();
        assert_eq!(found, [1, 2, 3]);
    }

    #[test]
    fn panics_are_found_outside_tests_unless_an_invariant_is_stated() {
        let text = "a.unwrap();\n// INVARIANT: b was set above.\nb.expect(\"set\");\nc.expect(\"\");\nd.unwrap_or(1);\n\
                    assert!(x);\npanic!();\n// e.unwrap()\n#[cfg(test)]\nmod tests { fn f() { g.unwrap(); } }\n";
        assert_eq!(lines(panics, text), [1, 4, 7]);
    }

    #[test]
    fn work_left_and_unsafe_are_found() {
        let mark = ["TO", "DO"].concat();
        assert_eq!(lines(unfinished, &format!("\n// {mark}: later\nlet {mark} = 1;")), [2]);
        assert_eq!(lines(unsafety, "#![deny(unsafe_code)]\nunsafe { f() }\n// unsafe\n"), [2]);
    }
}
