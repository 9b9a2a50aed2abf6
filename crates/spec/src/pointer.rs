//! Where in a JSON document a parser stopped, as a JSON pointer (RFC 6901).

/// The pointer to the value that was read last when the parser stood at `line` and `column`, both counted
/// from 1 and in bytes, as `serde_json::Error` gives them. Empty for the document itself.
pub fn at(document: &[u8], line: usize, column: usize) -> String {
    let lines_before: usize = document.split_inclusive(|byte| *byte == b'\n').take(line.saturating_sub(1)).map(<[u8]>::len).sum();
    let end = lines_before.saturating_add(column).min(document.len());
    let mut walk = Walk::default();
    let mut rest = &document[..end];
    while let Some((first, tail)) = rest.split_first() {
        rest = match first {
            b'"' => {
                let (text, after) = string(tail);
                walk.string(text);
                after
            }
            other => {
                walk.byte(*other);
                tail
            }
        };
    }
    walk.pointer()
}

/// Splits behind the string whose opening quote was read.
fn string(tail: &[u8]) -> (&[u8], &[u8]) {
    let mut escaped = false;
    let end = tail.iter().position(|byte| {
        let closes = *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        closes
    });
    match end {
        Some(end) => (&tail[..end], &tail[end + 1..]),
        None => (tail, &[]),
    }
}

/// The open objects and arrays, and what was read last in each: a closed one is its parent's last value.
#[derive(Default)]
struct Walk {
    open: Vec<Level>,
}

enum Level {
    Object { key: Option<String>, in_value: bool },
    Array { index: usize, begun: bool },
}

impl Walk {
    fn byte(&mut self, byte: u8) {
        if byte.is_ascii_whitespace() {
            return;
        }
        match byte {
            b'{' => self.begin(Level::Object { key: None, in_value: false }),
            b'[' => self.begin(Level::Array { index: 0, begun: false }),
            b'}' | b']' => drop(self.open.pop()),
            b':' => {
                if let Some(Level::Object { in_value, .. }) = self.open.last_mut() {
                    *in_value = true;
                }
            }
            b',' => match self.open.last_mut() {
                Some(Level::Object { in_value, .. }) => *in_value = false,
                Some(Level::Array { index, .. }) => *index += 1,
                None => {}
            },
            _ => self.mark_begun(),
        }
    }

    fn string(&mut self, text: &[u8]) {
        match self.open.last_mut() {
            Some(Level::Object { key, in_value: false }) => *key = Some(String::from_utf8_lossy(text).into_owned()),
            _ => self.mark_begun(),
        }
    }

    fn begin(&mut self, level: Level) {
        self.mark_begun();
        self.open.push(level);
    }

    fn mark_begun(&mut self) {
        if let Some(Level::Array { begun, .. }) = self.open.last_mut() {
            *begun = true;
        }
    }

    fn pointer(&self) -> String {
        self.open.iter().fold(String::new(), |pointer, level| match level {
            Level::Object { key: Some(key), .. } => format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1")),
            Level::Array { index, begun: true } => format!("{pointer}/{index}"),
            Level::Object { key: None, .. } | Level::Array { begun: false, .. } => pointer,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where a parser stands that has read `document` up to the mark `^`.
    fn pointer(marked: &str) -> String {
        let before = &marked[..marked.find('^').unwrap()];
        let line = before.matches('\n').count() + 1;
        let column = before.len() - before.rfind('\n').map_or(0, |newline| newline + 1);
        at(marked.replace('^', "").as_bytes(), line, column)
    }

    #[test]
    fn names_the_value_read_last() {
        for (marked, expected) in [
            ("^{}", ""),
            (r#"{"a": 1^}"#, "/a"),
            (r#"{"a": {"b": [true, nul^l]}}"#, "/a/b/1"),
            (r#"{"a": {"b": 1}^, "c": 2}"#, "/a"),
            (r#"{"a": [[1], [2, "x"^]]}"#, "/a/1/1"),
            (r#"{"a": []^}"#, "/a"),
            (r#"{"a": [^"#, "/a"),
            (r#"{"a": [{}, {"b": 1}^]}"#, "/a/1"),
            ("{\n \"a\": 1,\n \"b\": \"x\"^\n}", "/b"),
            (r#"{"a": "} , ] \" {", "b": 2^}"#, "/b"),
            (r#"{"a/b~c": 1^}"#, "/a~1b~0c"),
            (r#"{"a": 1}^"#, ""),
        ] {
            assert_eq!(pointer(marked), expected, "{marked}");
        }
    }

    #[test]
    fn survives_positions_outside_the_document() {
        assert_eq!(at(b"{\"a\": 1", 9, 9), "/a");
        assert_eq!(at(b"", 1, 1), "");
    }
}
