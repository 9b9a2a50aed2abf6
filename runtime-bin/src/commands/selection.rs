//! Containers by a pattern of their ids, as crun's `kill` and `delete` take them.

use anyhow::{anyhow, bail};
use regex::Regex;
use wolffia::Runtime;

/// Does `act` with each container whose id the pattern finds a part of. One that fails does not keep the others from it; each failure
/// is said. None at all is no error.
pub fn each(runtime: &Runtime, pattern: &str, act: impl Fn(&str) -> wolffia::Result<()>) -> anyhow::Result<()> {
    let pattern = Regex::new(pattern).map_err(|error| {
        // What is above its last line points into the pattern, and an error of ours is one line.
        let text = error.to_string();
        let reason = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
        anyhow!("--regex: {pattern:?} is no regular expression: {reason} (write \\ before a letter that means something, or give the id)")
    })?;
    let ids = runtime.list()?;
    let mut failed = 0_u32;
    for id in ids.iter().filter(|id| pattern.is_match(id.as_str())) {
        if let Err(error) = act(id.as_str()) {
            failed += 1;
            crate::log::warning(&format!("{id}: {error}"));
        }
    }
    match failed {
        0 => Ok(()),
        count => bail!("{count} of the containers that match failed; the warnings say why"),
    }
}
