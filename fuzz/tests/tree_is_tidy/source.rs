//! A Rust file taken apart as far as the rules need it: code, comments, tests, functions.

/// A file of the tree. Code and comments are kept apart as texts of the same shape as the file, what does not belong to
/// them (and the inside of every string and character) being blank: a position in one is a position in all.
pub(crate) struct Source {
    /// Relative to the root of the tree, with `/`.
    pub(crate) path: String,
    /// The code outside tests.
    pub(crate) code: String,
    /// The code, tests included.
    pub(crate) code_and_tests: String,
    pub(crate) comments: String,
    /// How many lines the file has outside its tests.
    pub(crate) lines: usize,
}

/// A function with a body.
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) first_line: usize,
    pub(crate) lines: usize,
}

impl Source {
    pub(crate) fn new(path: impl Into<String>, text: &str) -> Self {
        let (code_and_tests, comments) = separate(text);
        let (code, lines_of_tests) = without_tests(&code_and_tests);
        let lines = text.lines().count().saturating_sub(lines_of_tests);
        Self { path: path.into(), code, code_and_tests, comments, lines }
    }

    /// The functions outside tests that have a body, with the lines from `fn` to the closing brace.
    pub(crate) fn functions(&self) -> Vec<Function> {
        let code = self.code.as_bytes();
        let mut found = Vec::new();
        for at in words(&self.code, "fn") {
            let name: String = self.code[at + 2..].trim_start().chars().take_while(|c| is_word(*c)).collect();
            let body = end_of_head(code, at).filter(|end| code[*end] == b'{');
            let (Some(body), false) = (body, name.is_empty()) else { continue };
            let (first, last) = (line_of(&self.code, at), line_of(&self.code, matching_brace(code, body)));
            found.push(Function { name, first_line: first, lines: last - first + 1 });
        }
        found
    }
}

/// The line of a position, counted from 1.
pub(crate) fn line_of(text: &str, at: usize) -> usize {
    1 + text.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count()
}

/// Where `word` stands in `text` as a whole word.
pub(crate) fn words<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    text.match_indices(word).map(|(at, _)| at).filter(move |at| {
        let before = text[..*at].chars().next_back();
        let after = text[at + word.len()..].chars().next();
        !before.is_some_and(is_word) && !after.is_some_and(is_word)
    })
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Code and comments of a text, each in the shape of the whole.
fn separate(text: &str) -> (String, String) {
    let bytes = text.as_bytes();
    let blank: Vec<u8> = bytes.iter().map(|byte| if *byte == b'\n' { b'\n' } else { b' ' }).collect();
    let (mut code, mut comments) = (blank.clone(), blank);
    let mut at = 0;
    while at < bytes.len() {
        let comment = comment_end(bytes, at);
        if let Some(end) = comment {
            comments[at..end].copy_from_slice(&bytes[at..end]);
            at = end;
        } else if let Some(end) = literal_end(bytes, at) {
            code[at] = b'"';
            at = end;
        } else {
            code[at] = bytes[at];
            at += 1;
        }
    }
    (String::from_utf8_lossy(&code).into_owned(), String::from_utf8_lossy(&comments).into_owned())
}

/// The end of the comment that begins here, if one does.
fn comment_end(bytes: &[u8], at: usize) -> Option<usize> {
    if bytes[at..].starts_with(b"//") {
        let len = bytes[at..].iter().position(|byte| *byte == b'\n');
        return Some(len.map_or(bytes.len(), |len| at + len));
    }
    if !bytes[at..].starts_with(b"/*") {
        return None;
    }
    let (mut depth, mut end) = (0, at);
    while end < bytes.len() {
        if bytes[end..].starts_with(b"/*") {
            (depth, end) = (depth + 1, end + 2);
        } else if bytes[end..].starts_with(b"*/") {
            (depth, end) = (depth - 1, end + 2);
            if depth == 0 {
                return Some(end);
            }
        } else {
            end += 1;
        }
    }
    Some(end)
}

/// The end of the string or character that begins here, if one does. A prefix (`b`, `r`, `c`) counts to it.
fn literal_end(bytes: &[u8], at: usize) -> Option<usize> {
    let inside_word = at > 0 && is_word(char::from(bytes[at - 1]));
    let prefix = bytes[at..].iter().take_while(|byte| b"brc".contains(byte)).count();
    if prefix > 2 || (prefix > 0 && inside_word) {
        return None;
    }
    let raw = bytes[at..at + prefix].contains(&b'r');
    let start = at + prefix;
    if raw {
        return raw_string_end(bytes, start);
    }
    match bytes.get(start)? {
        b'"' => Some(quoted_end(bytes, start, b'"')),
        b'\'' if is_character(bytes, start) => Some(quoted_end(bytes, start, b'\'')),
        _ => None,
    }
}

fn raw_string_end(bytes: &[u8], start: usize) -> Option<usize> {
    let hashes = bytes[start..].iter().take_while(|byte| **byte == b'#').count();
    if bytes.get(start + hashes) != Some(&b'"') {
        return None;
    }
    let mut closing = vec![b'"'];
    closing.resize(1 + hashes, b'#');
    let open = start + hashes + 1;
    let len = bytes[open..].windows(closing.len()).position(|window| window == closing);
    Some(len.map_or(bytes.len(), |len| open + len + closing.len()))
}

fn quoted_end(bytes: &[u8], start: usize, quote: u8) -> usize {
    let mut at = start + 1;
    while at < bytes.len() && bytes[at] != quote {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(bytes.len())
}

/// A quote begins a character and not a lifetime if it is closed behind one character or an escape.
fn is_character(bytes: &[u8], start: usize) -> bool {
    match bytes.get(start + 1) {
        Some(b'\\') => true,
        Some(first) => {
            let width = match first {
                0xf0.. => 4,
                0xe0.. => 3,
                0xc0.. => 2,
                _ => 1,
            };
            bytes.get(start + 1 + width) == Some(&b'\'')
        }
        None => false,
    }
}

/// The code without the items under `#[cfg(test)]`, and how many lines those have.
fn without_tests(code: &str) -> (String, usize) {
    let mut kept = code.as_bytes().to_vec();
    let mut lines = 0;
    let mut done = 0;
    for (at, attribute) in code.match_indices("#[cfg(test)]") {
        if at < done {
            continue;
        }
        let head = end_of_head(code.as_bytes(), at + attribute.len()).unwrap_or(code.len() - 1);
        done = if kept[head] == b'{' { matching_brace(code.as_bytes(), head) } else { head };
        lines += line_of(code, done) - line_of(code, at) + 1;
        kept[at..=done].iter_mut().filter(|byte| **byte != b'\n').for_each(|byte| *byte = b' ');
    }
    (String::from_utf8_lossy(&kept).into_owned(), lines)
}

/// Where the head of the item at `at` ends: at the `{` of its body or at its `;`.
fn end_of_head(code: &[u8], at: usize) -> Option<usize> {
    let mut depth = 0_i32;
    for (offset, byte) in code[at..].iter().enumerate() {
        match byte {
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth -= 1,
            b'{' | b';' if depth == 0 => return Some(at + offset),
            _ => {}
        }
        if depth < 0 {
            return None;
        }
    }
    None
}

/// The position of the brace that closes the one at `open`.
fn matching_brace(code: &[u8], open: usize) -> usize {
    let mut depth = 0_usize;
    for (offset, byte) in code[open..].iter().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' if depth == 1 => return open + offset,
            b'}' => depth -= 1,
            _ => {}
        }
    }
    code.len() - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_characters_and_comments_are_no_code() {
        let text = r###"let a = "x // \" y"; // one /* "
let b = r#"raw " x"#; /* two /* three */ x */ let c = 'x'; let d: &'x str = b"x"; let e = '\'';
let f = br"x"; let bar = 'é'; x::<'_>()"###;
        let source = Source::new("a.rs", text);
        assert_eq!(words(&source.code, "x").count(), 2, "the lifetime and the call: {}", source.code);
        assert_eq!(words(&source.code, "let").count(), 7);
        assert_eq!(source.comments.trim(), "// one /* \"\n                      /* two /* three */ x */");
        assert_eq!(source.code.len(), text.len());
    }

    #[test]
    fn tests_are_no_code_wherever_they_stand() {
        let text = "#[cfg(test)]\nmod helper;\nfn kept() {}\n#[cfg(test)]\nmod tests {\n    fn gone() {}\n}\nfn too() {}\n";
        let source = Source::new("a.rs", text);
        let names: Vec<String> = source.functions().into_iter().map(|function| function.name).collect();
        assert_eq!(names, ["kept", "too"]);
        assert_eq!(source.lines, 2);
        assert!(source.code_and_tests.contains("gone"));
    }

    #[test]
    fn a_function_is_counted_from_its_name_to_its_brace() {
        let text = "trait A {\n    fn none(&self) -> [u8; 4];\n    fn one() {}\n}\n\
                    fn many(\n    call: fn(u8),\n) -> u8\nwhere\n    u8: Copy,\n{\n    match 1 { _ => 2 }\n}\n";
        let functions = Source::new("a.rs", text).functions();
        let seen: Vec<_> =
            functions.iter().map(|each| (each.name.as_str(), each.first_line, each.lines)).collect();
        assert_eq!(seen, [("one", 3, 1), ("many", 5, 8)]);
    }
}
