//! Containers by a pattern of their ids, as crun's `kill` and `delete` take them.

use anyhow::{Context, bail};
use regex::Regex;
use wolffia::Runtime;

/// Does `act` with each container whose id the pattern finds a part of. One that fails does not keep the others from it; each failure
/// is said. None at all is no error.
pub fn each(runtime: &Runtime, pattern: &str, act: impl Fn(&str) -> wolffia::Result<()>) -> anyhow::Result<()> {
    let pattern = Regex::new(pattern).with_context(|| format!("--regex: {pattern:?} is no regular expression"))?;
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
