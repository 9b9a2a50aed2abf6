//! The file of Landlock rules that a configuration's annotation names.

use crate::error::{Error, Result};
use std::path::Path;
use wolffia_spec::Config;
use wolffia_spec::landlock::{ANNOTATION_FILE, Format, Landlock};
use wolffia_sys::fd::{self, FileKind, OFlags};
use wolffia_sys::root::Root;

/// Far more than the kernel would take rules of.
const LIMIT: usize = 1 << 20;

/// Where the administrator keeps rules for many containers.
const SHARED: &str = "/etc/wolffia/landlock";

/// Adds the rules of the file to the configuration, if its annotation names one; `directory` is the bundle's.
pub(crate) fn add(config: &mut Config, directory: &Path) -> Result<()> {
    let annotations = config.spec.annotations().as_ref();
    let Some(name) = annotations.and_then(|all| all.get(ANNOTATION_FILE)) else { return Ok(()) };
    let path = directory.join(name);
    let text = read(&path, directory)?;
    let format = if path.extension().is_some_and(|extension| extension == "toml") { Format::Toml } else { Format::Json };
    config.extra.landlock_file = Some(Landlock::from_file(&text, format, name)?);
    Ok(())
}

/// Whoever writes annotations may not be who calls the runtime: no other file of the host is opened for them, by no link either, a
/// pipe does not hold the runtime up, and a device does not fill its memory.
fn read(path: &Path, bundle: &Path) -> Result<Vec<u8>> {
    let wrong = |source: std::io::Error| Error::File { act: "read", path: path.to_owned(), source };
    let above = [bundle, Path::new(SHARED)].into_iter().find_map(|above| Some((above, path.strip_prefix(above).ok()?.to_str()?)));
    let Some((above, below)) = above else {
        return Err(Error::Usage {
            reason: format!("the annotation {ANNOTATION_FILE} names {}, which is not in the bundle", path.display()),
            cure: "put the file into the bundle, or into /etc/wolffia/landlock",
        });
    };
    let directory = fd::open(above, OFlags::PATH | OFlags::DIRECTORY, 0).map_err(|error| wrong(error.into()))?;
    let file = Root::from(directory).open_file(below, OFlags::RDONLY).map_err(|error| wrong(error.into()))?;
    match fd::stat(&file).map_err(|error| wrong(error.into()))?.kind {
        FileKind::File => fd::read_all(&file, LIMIT).map_err(|error| wrong(error.into())),
        kind => Err(wrong(std::io::Error::other(format!("it is a {kind}")))),
    }
}
