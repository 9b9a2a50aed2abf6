//! A file of rules, in either format.

use wolffia_spec::landlock::{Format, Landlock};

pub fn check(data: &[u8]) {
    for format in [Format::Json, Format::Toml] {
        if let Err(error) = Landlock::from_file(data, format, "rules") {
            assert!(!error.to_string().is_empty());
        }
    }
}
