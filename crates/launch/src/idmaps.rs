//! The user namespace's id maps: written by the runtime, or by newuidmap(1) and newgidmap(1) side by side.

use crate::failure::Cause;
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use wolffia_plan::host::IdRange;
use wolffia_plan::{HostPath, Ids, MapWriter, NamespaceKind, Setgroups};
use wolffia_sys::process::{self, CloneRequest, Forked, SingleThreaded};
use wolffia_sys::procfs::ProcHandle;
use wolffia_sys::{Pid, namespaces, pidfd, socket};

/// Longest time that a set-uid helper may take.
const HELPER_LIMIT: Duration = Duration::from_secs(20);

/// Writes the maps of `pid`'s user namespace.
pub fn write(proc: &ProcHandle, pid: Pid, ids: &Ids) -> Result<(), Cause> {
    let Ids::Mapped { uids, gids, writer, setgroups, .. } = ids else { return Ok(()) };
    match writer {
        MapWriter::Runtime => {
            if *setgroups == Setgroups::Deny {
                // Before the group map, because the kernel takes an unprivileged one only then (user_namespaces(7)).
                proc.write_for(pid, "setgroups", b"deny")?;
            }
            proc.write_for(pid, "uid_map", lines(uids).as_bytes())?;
            Ok(proc.write_for(pid, "gid_map", lines(gids).as_bytes())?)
        }
        MapWriter::Helpers { newuidmap, newgidmap } => {
            // Both at once: one after the other costs twice 1.2 ms.
            let first = helper(newuidmap, pid, uids)?;
            let second = helper(newgidmap, pid, gids)?;
            finish(newuidmap, first).and(finish(newgidmap, second))
        }
    }
}

/// A user namespace with the given maps, held by a process that is gone when this returns: for id-mapped mounts.
pub fn namespace_with(token: &SingleThreaded, proc: &ProcHandle, uids: &[IdRange], gids: &[IdRange]) -> Result<OwnedFd, Cause> {
    let (ours, theirs) = socket::seqpacket_pair()?;
    let request = CloneRequest { flags: NamespaceKind::User.clone_flag(), cgroup: None, sibling: false };
    let (pid, holder) = match process::clone3(token, &request)? {
        Forked::Child => {
            drop(ours);
            // Lives until the runtime has opened its namespace and closes its end.
            let outcome = socket::recv(theirs.as_fd(), 1);
            process::exit(i32::from(outcome.is_err()))
        }
        Forked::Parent { pid, pidfd } => (pid, pidfd),
    };
    drop(theirs);
    let namespace = proc
        .write_for(pid, "uid_map", lines(uids).as_bytes())
        .and_then(|()| proc.write_for(pid, "gid_map", lines(gids).as_bytes()))
        .and_then(|()| namespaces::open_of(pid, NamespaceKind::User.file_name()));
    drop(ours);
    pidfd::wait(holder.as_fd())?;
    Ok(namespace?)
}

fn lines(ranges: &[IdRange]) -> String {
    ranges.iter().map(|range| format!("{} {} {}\n", range.container, range.host, range.size)).collect()
}

fn helper(program: &HostPath, pid: Pid, ranges: &[IdRange]) -> Result<Child, Cause> {
    let mut command = Command::new(program.as_path());
    command.arg(pid.to_string());
    for range in ranges {
        command.args([range.container.to_string(), range.host.to_string(), range.size.to_string()]);
    }
    command.env_clear().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command.spawn().map_err(|error| Cause::from(error).context(program))
}

fn finish(program: &HostPath, mut child: Child) -> Result<(), Cause> {
    let watch = pidfd::open(Pid::from_child(&child))?;
    if !pidfd::wait_exit(watch.as_fd(), Some(HELPER_LIMIT))? {
        child.kill()?;
        child.wait()?;
        return Err(format!("{program} did not end within {} s", HELPER_LIMIT.as_secs()).into());
    }
    let output = child.wait_with_output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim()).into())
}
