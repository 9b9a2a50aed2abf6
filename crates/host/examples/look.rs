//! Shows what this crate finds out: `look probe` prints the facts as JSON, `look doctor` the findings as a table,
//! `look findings` as JSON. It has one thread, as the trials of `doctor` demand.

use std::process::ExitCode;
use wolffia_host::{Needs, doctor, probe};

fn main() -> ExitCode {
    let text = match std::env::args().nth(1).as_deref() {
        Some("probe") => probe(Needs::ALL).map_err(|error| format!("{error:?}")).and_then(|host| json(&host)),
        Some("doctor") => Ok(doctor::render(&doctor::examine())),
        Some("findings") => json(&doctor::examine()),
        _ => Err("usage: look probe|doctor|findings".to_owned()),
    };
    match text {
        Ok(text) => {
            println!("{}", text.trim_end());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("look: {error}");
            ExitCode::FAILURE
        }
    }
}

fn json(value: &impl serde::Serialize) -> Result<String, String> {
    serde_json::to_string_pretty(value).map_err(|error| error.to_string())
}
