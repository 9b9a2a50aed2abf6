//! Annotations that set properties of the unit: `org.systemd.property.NAME`, the value as GVariant text.

use super::{PropertyValue, UnitProperty};
use crate::Refusal;

pub(super) const PREFIX: &str = "org.systemd.property.";

/// What a bundle may set: when and how the unit ends, how it is called, and in which order it is stopped. Anything more could start
/// programs on the host as the manager's user (CVE-2024-3154).
const ALLOWED: [(&str, Kind); 10] = [
    ("After", Kind::List),
    ("Before", Kind::List),
    ("CollectMode", Kind::Text),
    ("DefaultDependencies", Kind::Flag),
    ("Description", Kind::Text),
    ("KillSignal", Kind::Integer),
    ("RuntimeMaxSec", Kind::Seconds("RuntimeMaxUSec")),
    ("RuntimeMaxUSec", Kind::Number),
    ("TimeoutStopSec", Kind::Seconds("TimeoutStopUSec")),
    ("TimeoutStopUSec", Kind::Number),
];

#[derive(Debug, Clone, Copy)]
enum Kind {
    Flag,
    Integer,
    Number,
    /// As unit files write it, and runc takes it: D-Bus knows only the named property, in microseconds.
    Seconds(&'static str),
    Text,
    List,
}

/// # Errors
/// A property that is not on the list, or a value that is not one of its type.
pub(super) fn plan_annotations(annotations: &[(&str, &str)]) -> Result<Vec<UnitProperty>, Refusal> {
    let ours = annotations.iter().filter_map(|(key, value)| Some((key.strip_prefix(PREFIX)?, *value)));
    ours.map(|(name, value)| property(name, value)).collect()
}

fn property(name: &str, text: &str) -> Result<UnitProperty, Refusal> {
    let field = format!("/annotations/{PREFIX}{name}");
    let Some((_, kind)) = ALLOWED.iter().find(|(allowed, _)| *allowed == name) else {
        let names = ALLOWED.map(|(name, _)| name).join(", ");
        return Err(Refusal::new(
            field,
            format!("a bundle may not set the unit property {name:?}"),
            format!("it may set {names}"),
        ));
    };
    let (value, example) = match kind {
        Kind::Flag => (text.trim().parse().ok().map(PropertyValue::Flag), "true or false"),
        Kind::Integer => (text.trim().parse().ok().map(PropertyValue::Integer), "for example 15"),
        Kind::Number => (number(text).map(PropertyValue::Number), "for example uint64 5000000"),
        Kind::Seconds(_) => (seconds(text).map(PropertyValue::Number), "for example 2.5"),
        Kind::Text => (quoted(text).map(PropertyValue::Text), "for example 'inactive-or-failed'"),
        Kind::List => (list(text).map(PropertyValue::List), "for example ['a.service', 'b.service']"),
    };
    match value {
        Some(value) => Ok(UnitProperty::new(if let Kind::Seconds(known) = kind { known } else { name }, value)),
        None => Err(Refusal::new(field, format!("{text:?} is not a value of {name}"), example)),
    }
}

fn number(text: &str) -> Option<u64> {
    let text = text.trim();
    text.strip_prefix("uint64").map_or(text, str::trim_start).parse().ok()
}

/// In microseconds; more than fits is the most, which is systemd's infinity.
fn seconds(text: &str) -> Option<u64> {
    let seconds: f64 = text.trim().parse().ok()?;
    (seconds.is_finite() && seconds >= 0.0).then_some((seconds * 1_000_000.0) as u64)
}

/// Without escapes: no allowed property has a use for them.
fn quoted(text: &str) -> Option<String> {
    let text = text.trim();
    let inner = ['\'', '"'].iter().find_map(|quote| text.strip_prefix(*quote)?.strip_suffix(*quote))?;
    (!inner.contains(['\'', '"', '\\']) && !inner.chars().any(char::is_control)).then(|| inner.to_owned())
}

fn list(text: &str) -> Option<Vec<String>> {
    let inner = text.trim().strip_prefix('[')?.strip_suffix(']')?;
    if inner.trim().is_empty() {
        return Some(Vec::new());
    }
    inner.split(',').map(quoted).collect()
}
