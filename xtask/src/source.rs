//! Rust source as text: its code without comments and literals, and words in it.

/// What a character of Rust source belongs to.
#[derive(Clone, Copy)]
enum State {
    Code,
    LineComment,
    /// With its depth: block comments nest.
    BlockComment(usize),
    Text,
    /// With its number of `#`.
    RawText(usize),
}

/// The source with comments and the contents of string and character literals replaced by blanks;
/// lines stay where they are.
///
/// So a rule about code can't be tripped by prose about it, nor by a checker's own patterns.
pub fn code(source: &str) -> String {
    let chars: Vec<char> = source.chars().collect();
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let mut out = String::with_capacity(source.len());
    let (mut state, mut i) = (State::Code, 0);
    while i < chars.len() {
        let (next, len, shown) = match state {
            State::Code => code_step(&chars, i),
            State::LineComment if at(i) == '\n' => (State::Code, 1, false),
            State::BlockComment(depth) if at(i) == '*' && at(i + 1) == '/' => {
                (if depth == 1 { State::Code } else { State::BlockComment(depth - 1) }, 2, false)
            }
            State::BlockComment(depth) if at(i) == '/' && at(i + 1) == '*' => {
                (State::BlockComment(depth + 1), 2, false)
            }
            State::Text if at(i) == '\\' => (State::Text, 2, false),
            State::Text if at(i) == '"' => (State::Code, 1, true),
            State::RawText(hashes) if at(i) == '"' && (1..=hashes).all(|h| at(i + h) == '#') => {
                (State::Code, 1 + hashes, true)
            }
            _ => (state, 1, false),
        };
        out.extend(
            (i..(i + len).min(chars.len()))
                .map(|i| if shown || at(i) == '\n' { at(i) } else { ' ' }),
        );
        (state, i) = (next, i + len);
    }
    out
}

/// The state after position `i` of code, how many characters that takes, and whether they are code.
fn code_step(chars: &[char], i: usize) -> (State, usize, bool) {
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let raw_prefix = |i: usize| {
        let starts = |i: usize| i == 0 || !is_word(at(i - 1));
        at(i) == 'r' && (starts(i) || (matches!(at(i - 1), 'b' | 'c') && starts(i - 1)))
    };
    match (at(i), at(i + 1)) {
        ('/', '/') => (State::LineComment, 2, false),
        ('/', '*') => (State::BlockComment(1), 2, false),
        ('"', _) => (State::Text, 1, true),
        ('r', '"' | '#') if raw_prefix(i) => {
            let hashes = (i + 1..).take_while(|&i| at(i) == '#').count();
            // Without a quotation mark it is a raw identifier.
            if at(i + 1 + hashes) == '"' {
                (State::RawText(hashes), 2 + hashes, true)
            } else {
                (State::Code, 1, true)
            }
        }
        ('\'', '\\') => {
            let end = (i + 3..chars.len()).find(|&i| at(i) == '\'').unwrap_or(chars.len());
            (State::Code, end + 1 - i, false)
        }
        // Not a lifetime: those have no closing mark.
        ('\'', _) if at(i + 2) == '\'' => (State::Code, 3, false),
        _ => (State::Code, 1, true),
    }
}

/// Whether a character can be inside a word.
pub fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Byte positions in `line` of the whole word `word`.
pub fn words<'a>(line: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let whole = move |at: usize| {
        !line[..at].ends_with(is_word) && !line[at + word.len()..].starts_with(is_word)
    };
    line.match_indices(word).map(|(at, _)| at).filter(move |&at| whole(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn shows(source: &str, expected: &str) {
        let got = code(source);
        assert_eq!(got.lines().count(), source.lines().count(), "lines moved: {got:?}");
        assert_eq!(got.split_whitespace().collect::<Vec<_>>().join(" "), expected);
    }

    #[test]
    fn comments_and_literals_are_not_code() {
        shows("a // b\nc", "a c");
        shows("/// b\n//! c\na", "a");
        shows("a /* b /* c\n */ d */ e", "a e");
        shows(r#"f("b \" c") d"#, r#"f(" ") d"#);
        shows("f(\"b \\\n c\") d", r#"f(" ") d"#);
        shows("r#\"b \" c\"# d", "r#\" \"# d");
        shows("br\"b\\\" d", "br\" \" d");
        shows("let c = '\"'; d", "let c = ; d");
        shows(r"let c = '\''; d", "let c = ; d");
        shows(r"let c = '\u{1F600}'; d", "let c = ; d");
    }

    #[test]
    fn lifetimes_and_raw_identifiers_are_code() {
        shows("fn f<'a>(x: &'a str, y: &'static str)", "fn f<'a>(x: &'a str, y: &'static str)");
        shows("r#type + for \"b\"", "r#type + for \" \"");
    }

    #[test]
    fn words_end_where_they_end() {
        assert_eq!(words("unsafe_code unsafe{unsafe }", "unsafe").collect::<Vec<_>>(), [12, 19]);
        assert_eq!(words("MyCpu Cpu CpuBuf", "Cpu").collect::<Vec<_>>(), [6]);
    }
}
