//! The file of Landlock rules that a configuration's annotation names.

use crate::error::{Error, Result};
use std::path::Path;
use wolffia_spec::Config;
use wolffia_spec::landlock::{ANNOTATION_FILE, Format, Landlock};
use wolffia_sys::fd::{self, FileKind, OFlags};

/// Far more than the kernel would take rules of.
const LIMIT: usize = 1 << 20;

/// Adds the rules of the file to the configuration, if its annotation names one; `directory` is the bundle's.
pub(crate) fn add(config: &mut Config, directory: &Path) -> Result<()> {
    let annotations = config.spec.annotations().as_ref();
    let Some(name) = annotations.and_then(|all| all.get(ANNOTATION_FILE)) else { return Ok(()) };
    let path = directory.join(name);
    let text = read(&path)?;
    let format = if path.extension().is_some_and(|extension| extension == "toml") { Format::Toml } else { Format::Json };
    config.extra.landlock_file = Some(Landlock::from_file(&text, format, name)?);
    Ok(())
}

/// Whoever writes annotations may not be who calls the runtime: a pipe must not hold it up, nor a device fill its memory.
fn read(path: &Path) -> Result<Vec<u8>> {
    let wrong = |source: std::io::Error| Error::File { act: "read", path: path.to_owned(), source };
    let file = fd::open(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY, 0).map_err(|error| wrong(error.into()))?;
    match fd::stat(&file).map_err(|error| wrong(error.into()))?.kind {
        FileKind::File => fd::read_all(&file, LIMIT).map_err(|error| wrong(error.into())),
        kind => Err(wrong(std::io::Error::other(format!("it is a {kind}")))),
    }
}
