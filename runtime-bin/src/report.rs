//! What people read: output, and errors with their cure.

use std::io::Write;

/// The exit status of a command: std's does not tell its number, and `main` is not std's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExitCode(u8);

impl ExitCode {
    pub const SUCCESS: Self = Self(0);
    pub const FAILURE: Self = Self(1);
}

impl From<u8> for ExitCode {
    fn from(status: u8) -> Self {
        Self(status)
    }
}

impl From<ExitCode> for i32 {
    fn from(code: ExitCode) -> Self {
        code.0.into()
    }
}

/// Writes to the standard output; a reader that has gone away is no error.
pub fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    if let Err(error) = out.write_all(text.as_bytes()).and_then(|()| out.flush())
        && error.kind() != std::io::ErrorKind::BrokenPipe
    {
        eprintln!("wolffia: cannot write: {error}");
    }
}

/// Says once what went wrong: to the log in the form that was asked for, and to people.
pub fn failure(error: &anyhow::Error, code: u8) -> ExitCode {
    let message = message(error);
    let typed = error.downcast_ref::<wolffia::Error>();
    let cure = typed.map(wolffia::Error::cure).unwrap_or_default();
    let mut details = Vec::new();
    if let Some(step) = typed.and_then(wolffia::Error::step) {
        details.push(("step", step.name().to_owned()));
    }
    if let Some(wolffia::Error::Step(failure)) = typed {
        details.push(("object", failure.object.clone()));
        details.push(("cause", failure.cause.clone()));
    }
    if let Some(field) = typed.and_then(wolffia::Error::field) {
        details.push(("field", field.to_owned()));
    }
    if !cure.is_empty() {
        details.push(("cure", cure.clone()));
    }
    if crate::log::error(&message, &details) {
        // One line, because callers show the last one, and runc's tests count them.
        match cure.is_empty() || message.contains(&cure) {
            true => eprintln!("wolffia: {}", shown(&message)),
            false => eprintln!("wolffia: {} ({})", shown(&message), shown(&cure)),
        }
    }
    ExitCode::from(code)
}

/// Without what a terminal would obey: names in a message may be an image's.
pub fn shown(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && !matches!(c, '\n' | '\t') { '\u{fffd}' } else { c }).collect()
}

/// The error and its sources in one line. No `Display` repeats its source, so none is said twice.
fn message(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    #[test]
    fn no_name_commands_the_terminal() {
        assert_eq!(
            super::shown("exec \"\u{1b}]0;x\u{7}\": no\n\tcure: \u{9b}2J"),
            "exec \"\u{fffd}]0;x\u{fffd}\": no\n\tcure: \u{fffd}2J"
        );
    }
}
