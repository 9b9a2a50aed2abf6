//! Findings as a person reads them.

use super::{Finding, Status};

/// A table: a mark, the topic and what was found; below what is not good, what follows from it and each line that mends it.
pub fn render(findings: &[Finding]) -> String {
    let width = findings.iter().map(|finding| finding.topic.chars().count()).max().unwrap_or(0);
    let indent = " ".repeat(width + 4);
    let mut text = String::new();
    for Finding { topic, status, found, meaning, mend } in findings {
        text += &format!("{} {topic:width$}  {}\n", mark(*status), printable(found));
        if *status != Status::Good && !meaning.is_empty() {
            text += &format!("{indent}{}\n", printable(meaning));
        }
        for line in mend {
            text += &format!("{indent}  {}\n", printable(line));
        }
    }
    let count = |wanted| findings.iter().filter(|finding| finding.status == wanted).count();
    let (good, limited, missing) = (count(Status::Good), count(Status::Limited), count(Status::Missing));
    text + &format!("{good} good, {limited} limited, {missing} missing\n")
}

fn mark(status: Status) -> char {
    match status {
        Status::Good => '✓',
        Status::Limited => '!',
        Status::Missing => '✗',
    }
}

/// Names from files and the words of other programs reach a terminal here: their control characters must not.
fn printable(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            clean.extend(character.escape_default());
        } else {
            clean.push(character);
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_with_marks_and_lines_to_copy() {
        let findings = [
            Finding::good("kernel", "6.18", "never shown"),
            Finding::limited("subordinate ids", "none for \x1b[31m1000", "one id only").mend(["sudo a".into(), "sudo b".into()]),
            Finding::missing("Landlock", "ENOSYS", ""),
        ];
        let expected = "✓ kernel           6.18
! subordinate ids  none for \\u{1b}[31m1000
                   one id only
                     sudo a
                     sudo b
✗ Landlock         ENOSYS
1 good, 1 limited, 1 missing
";
        assert_eq!(render(&findings), expected);
    }
}
