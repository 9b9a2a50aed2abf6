//! Paths that the container may not see or change.

use crate::{ContainerPath, Refusal};

/// Reads `linux.maskedPaths` or `linux.readonlyPaths`; a path that is listed twice is covered once.
///
/// # Errors
/// A path that is not absolute: it would cover nothing (config-linux.md: MUST be absolute).
pub(crate) fn plan_paths(field: &str, given: &Option<Vec<String>>) -> Result<Vec<ContainerPath>, Refusal> {
    let mut paths = Vec::new();
    for (index, path) in given.iter().flatten().enumerate() {
        let clean = ContainerPath::new(path).filter(|_| path.starts_with('/')).ok_or_else(|| {
            Refusal::new(
                format!("{field}/{index}"),
                format!("the path {path:?} is not absolute"),
                "start it with a slash, from the container's root",
            )
        })?;
        if !paths.contains(&clean) {
            paths.push(clean);
        }
    }
    Ok(paths)
}
