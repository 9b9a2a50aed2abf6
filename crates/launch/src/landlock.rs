//! Landlock: rules are made while paths can be opened, and are submitted to at the moment that the plan has chosen.

use crate::failure::{Cause, Failure};
use crate::stage::Stage;
use std::os::fd::{AsFd, BorrowedFd};
use wolffia_plan::{LandlockLayer, LandlockMoment, LandlockPath, Process, Step};
use wolffia_sys::fd::{FileKind, OFlags};
use wolffia_sys::landlock::{DEVICE_RIGHTS, DIRECTORY_RIGHTS, READ_RIGHTS, Ruleset, WRITE_RIGHTS};
use wolffia_sys::root::Root;
use wolffia_sys::{Errno, fd, file};

/// Makes the process's rules, which hold nobody yet. With the rights of the setup user, because the payload's own user may not be
/// allowed to look at a path that its parents are.
pub fn prepare(stage: &Stage<'_>, root: &Root, payload: &Process) -> Result<Vec<Ruleset>, Failure> {
    let layers = payload.landlock.iter().flat_map(|landlock| &landlock.layers);
    layers.map(|layer| stage.act(Step::LandlockRules, || words(layer), || ruleset(root, layer))).collect()
}

/// Submits to the rules if `moment` is when.
pub fn submit(stage: &Stage<'_>, rules: &[Ruleset], payload: &Process, moment: LandlockMoment) -> Result<(), Failure> {
    if payload.landlock.as_ref().is_none_or(|landlock| landlock.moment != moment) {
        return Ok(());
    }
    stage.act(moment.step(), || format!("{} layers", rules.len()), || rules.iter().try_for_each(Ruleset::restrict_self))
}

fn ruleset(root: &Root, layer: &LandlockLayer) -> Result<Ruleset, Cause> {
    let rules = Ruleset::new(layer.handled_fs, layer.handled_net, layer.scoped)?;
    for rule in &layer.paths {
        allow_path(&rules, root, rule)?;
    }
    for rule in &layer.ports {
        rules.allow_port(rule.port, rule.access)?;
    }
    if layer.streams != 0 {
        for stream in (0..3).filter_map(file::standard) {
            allow_stream(&rules, stream, layer.streams)?;
        }
    }
    Ok(rules)
}

fn allow_path(rules: &Ruleset, root: &Root, rule: &LandlockPath) -> Result<(), Cause> {
    let place = match root.resolve(rule.path.relative(), OFlags::empty()) {
        Err(error) if rule.optional && (error.is(Errno::ENOENT) || error.is(Errno::ENOTDIR)) => return Ok(()),
        other => other.map_err(|error| Cause::from(error).context(format!("{}: {}", rule.field, rule.path)))?,
    };
    allow(rules, place.as_fd(), fitting(place.as_fd(), rule.access)?)
}

/// The kernel refuses rights of directories for anything else.
fn fitting(place: BorrowedFd<'_>, access: u64) -> Result<u64, Cause> {
    Ok(match fd::stat(place)?.kind {
        FileKind::Directory => access,
        _ => access & !DIRECTORY_RIGHTS,
    })
}

/// What a process holds open it can use whatever the rules say; by this it can also open it again, as /dev/stdout does.
fn allow_stream(rules: &Ruleset, stream: BorrowedFd<'_>, rights: u64) -> Result<(), Cause> {
    let open = file::open_for(stream)?;
    let (read, write) = (if open.reading { READ_RIGHTS } else { 0 }, if open.writing { WRITE_RIGHTS } else { 0 });
    let device = if read | write == 0 { 0 } else { DEVICE_RIGHTS };
    let possible = fitting(stream, read | write | device)?;
    match allow(rules, stream, rights & possible) {
        // A pipe or a socket: no path leads to it, and no rule denies it.
        Err(cause) if cause.errno == Errno::EBADFD.0 => Ok(()),
        other => other,
    }
}

fn allow(rules: &Ruleset, place: BorrowedFd<'_>, access: u64) -> Result<(), Cause> {
    // The kernel takes no rule that allows nothing, and none is needed.
    if access == 0 { Ok(()) } else { Ok(rules.allow_beneath(place, access)?) }
}

fn words(layer: &LandlockLayer) -> String {
    let LandlockLayer { handled_fs, handled_net, scoped, paths, ports, .. } = layer;
    format!("fs {handled_fs:#x}, net {handled_net:#x}, scoped {scoped:#x}, {} paths, {} ports", paths.len(), ports.len())
}
