//! Mount sources that the runtime clones for init: where init's user namespace would keep it from opening them, and for id-mapped
//! mounts, which need rights over the host's file system.

use crate::failure::{Cause, Failure};
use crate::handshake::{RuntimeSide, SOURCES_AT_ONCE, ToInit};
use crate::stage::Stage;
use crate::{idmaps, mounts, rootfs, settings};
use std::os::fd::{AsFd, OwnedFd};
use wolffia_plan::{IdMapSource, Mount, MountKind, NamespaceKind, Opener, Plan, Step};
use wolffia_sys::process::SingleThreaded;
use wolffia_sys::procfs::ProcHandle;
use wolffia_sys::{Pid, namespaces};

/// Whether the runtime clones the root for init.
pub fn root_is_prepared(plan: &Plan) -> bool {
    plan.root.opened_by == Opener::Parent
}

/// Whether the runtime clones this mount's source for init.
pub fn is_prepared(mount: &Mount) -> bool {
    matches!(mount.what, MountKind::Bind { opened_by: Opener::Parent, .. }) || mount.id_map.is_some()
}

/// Clones them and sends them, the root first, then in the order of the plan.
pub fn send(
    stage: &Stage<'_>,
    token: &SingleThreaded,
    proc: &ProcHandle,
    plan: &Plan,
    init: Pid,
    channel: &RuntimeSide,
) -> Result<(), Failure> {
    let mut sources = Vec::new();
    if root_is_prepared(plan) {
        sources.push(stage.act(Step::MountSources, || plan.root.path.to_string(), || rootfs::clone_for_init(&plan.root))?);
    }
    for mount in plan.mounts.iter().filter(|mount| is_prepared(mount)) {
        sources.push(stage.act(
            Step::MountSources,
            || settings::mount_words(mount),
            || source(token, proc, plan, mount, init),
        )?);
    }
    while !sources.is_empty() {
        let rest = sources.split_off(sources.len().min(SOURCES_AT_ONCE));
        let part = ToInit::Sources(std::mem::replace(&mut sources, rest));
        stage.act(Step::MountSources, || "send".into(), || channel.send(&part))?;
    }
    Ok(())
}

fn source(token: &SingleThreaded, proc: &ProcHandle, plan: &Plan, mount: &Mount, init: Pid) -> Result<OwnedFd, Cause> {
    let MountKind::Bind { source, recursive, source_nofollow, .. } = &mount.what else {
        return Err("only a bind mount can be cloned beforehand".into());
    };
    let tree = mounts::clone_source(source, *recursive, *source_nofollow)?;
    rootfs::cut(tree.as_fd(), &plan.root)?;
    if let Some(map) = &mount.id_map {
        let namespace = match &map.map {
            IdMapSource::Container => namespaces::open_of(init, NamespaceKind::User.file_name())?,
            IdMapSource::Own { uids, gids } => idmaps::namespace_with(token, proc, uids, gids)?,
        };
        mounts::map_ids(tree.as_fd(), map.recursive, namespace.as_fd())
            .map_err(|cause| cause.context("failed to set MOUNT_ATTR_IDMAP"))?;
    }
    Ok(tree)
}
