//! Which resource limits can be set.

use super::kernel::boot_parameter_lines;
use super::{Facts, Finding};
use crate::cgroups::MOUNT;
use crate::read;
use std::fs::OpenOptions;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use wolffia_plan::host::{CgroupHierarchy, CgroupLayout};

/// Controllers behind the limits of the OCI specification that engines set.
const WANTED: [&str; 5] = ["cpu", "cpuset", "io", "memory", "pids"];

pub(super) fn layout(facts: &Facts) -> Finding {
    const TOPIC: &str = "cgroups";
    match &facts.host.cgroups {
        CgroupLayout::Unified { mount, .. } => {
            Finding::good(TOPIC, format!("version 2 at {mount}"), "limits work for root, and for users where they are delegated")
        }
        CgroupLayout::Legacy { hierarchies, unified } => {
            let beside =
                unified.as_ref().map(|unified| format!("; version 2 beside it at {}", unified.mount)).unwrap_or_default();
            let found = format!("version 1: {}{beside}", names(hierarchies.iter()));
            let meaning = "limits work for root; a user has only what root made over in each hierarchy";
            let mend = if has_systemd() { boot_parameter_lines("systemd.unified_cgroup_hierarchy=1") } else { Vec::new() };
            Finding::limited(TOPIC, found, meaning).mend(mend)
        }
        CgroupLayout::Absent => Finding::missing(TOPIC, format!("none mounted at {MOUNT}"), "no container can have limits")
            .mend([format!("sudo mount -t cgroup2 none {MOUNT}")]),
    }
}

pub(super) fn delegation(facts: &Facts) -> Finding {
    const TOPIC: &str = "cgroup delegation";
    match &facts.host.cgroups {
        CgroupLayout::Absent => Finding::missing(TOPIC, "no cgroups", "no container can have limits"),
        CgroupLayout::Unified { mount, own } => match writable_v2(facts, mount.as_path(), own) {
            Some(directory) => controllers_of(facts, TOPIC, &directory),
            None => Finding::missing(
                TOPIC,
                format!("{} belongs to another user", below(mount.as_path(), own).display()),
                "containers have no limits",
            )
            .mend(session_lines(facts)),
        },
        CgroupLayout::Legacy { hierarchies, .. } => {
            let own = |hierarchy: &&CgroupHierarchy| is_writable(facts, &below(hierarchy.mount.as_path(), &hierarchy.own));
            let (writable, lacking): (Vec<_>, Vec<_>) = hierarchies.iter().partition(own);
            if lacking.is_empty() {
                return Finding::good(TOPIC, names(writable.into_iter()), "limits can be set in every hierarchy");
            }
            let meaning = format!(
                "containers have no limits of {}; version 2 can be delegated safely, version 1 cannot",
                names(lacking.into_iter())
            );
            if writable.is_empty() {
                return Finding::missing(TOPIC, "none: no hierarchy is this user's", meaning);
            }
            Finding::limited(TOPIC, names(writable.into_iter()), meaning)
        }
    }
}

fn names<'a>(hierarchies: impl Iterator<Item = &'a CgroupHierarchy>) -> String {
    // A named hierarchy (name=systemd) groups processes and limits nothing.
    let controllers = hierarchies.flat_map(|hierarchy| &hierarchy.controllers).filter(|name| !name.starts_with("name="));
    controllers.map(String::as_str).collect::<Vec<_>>().join(", ")
}

/// The runtime's own cgroup, or else the one of the user's systemd, which makes scopes in it on request.
fn writable_v2(facts: &Facts, mount: &Path, own: &str) -> Option<PathBuf> {
    let uid = facts.host.euid;
    let manager = format!("/user.slice/user-{uid}.slice/user@{uid}.service");
    [below(mount, own), below(mount, &manager)].into_iter().find(|directory| is_writable(facts, directory))
}

fn below(mount: &Path, cgroup: &str) -> PathBuf {
    mount.join(cgroup.trim_start_matches('/'))
}

/// Whether cgroups can be made in `directory` and processes moved there: it must be the user's, with its cgroup.procs (cgroups(7)).
fn is_writable(facts: &Facts, directory: &Path) -> bool {
    let own = std::fs::metadata(directory).is_ok_and(|meta| facts.host.privileged || meta.uid() == facts.host.euid);
    own && OpenOptions::new().write(true).open(directory.join("cgroup.procs")).is_ok()
}

fn controllers_of(facts: &Facts, topic: &'static str, directory: &Path) -> Finding {
    let path = directory.join("cgroup.controllers").to_string_lossy().into_owned();
    let text = match read::proc(&path) {
        Ok(text) => text,
        Err(error) => return Finding::missing(topic, error.to_string(), "which limits can be set could not be read"),
    };
    let lacking = lacking(&text);
    let found = format!("{} in {}", if text.trim().is_empty() { "no controller" } else { text.trim() }, directory.display());
    if lacking.is_empty() {
        return Finding::good(topic, found, "every limit can be set");
    }
    let finding = Finding::limited(topic, found, format!("containers have no limits of {}", lacking.join(", ")));
    if facts.is_host_root() || !has_systemd() { finding } else { finding.mend(delegate_lines()) }
}

fn lacking(controllers: &str) -> Vec<&'static str> {
    let given: Vec<&str> = controllers.split_ascii_whitespace().collect();
    WANTED.into_iter().filter(|wanted| !given.contains(wanted)).collect()
}

/// systemd.resource-control(5), `Delegate=`: the drop-in for every user's manager. It counts from the next start of that manager.
fn delegate_lines() -> [String; 4] {
    let directory = "/etc/systemd/system/user@.service.d";
    [
        format!("sudo mkdir -p {directory}"),
        format!("printf '%s\\n' '[Service]' 'Delegate={}' | sudo tee {directory}/delegate.conf", WANTED.join(" ")),
        "sudo systemctl daemon-reload".to_owned(),
        "sudo systemctl restart user@$(id -u).service   # ends this user's sessions; a reboot does as well".to_owned(),
    ]
}

/// A shell of one's own cgroup, from the user's systemd; that needs a session, or lingering.
fn session_lines(facts: &Facts) -> Vec<String> {
    if !has_systemd() || facts.is_host_root() {
        return Vec::new();
    }
    vec![
        format!("sudo loginctl enable-linger {}", facts.user()),
        "systemd-run --user --scope --property=Delegate=yes -- \"$SHELL\"".to_owned(),
    ]
}

/// sd_booted(3)
pub(super) fn has_systemd() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lacking_controllers_compare_whole_words() {
        assert_eq!(lacking("cpuset io memory pids\n"), ["cpu"]);
        assert_eq!(lacking("cpu memory pids hugetlb"), ["cpuset", "io"]);
        assert_eq!(lacking(""), WANTED);
    }

    #[test]
    fn the_drop_in_is_one_line_to_paste() {
        let lines = delegate_lines();
        assert!(
            lines[1].starts_with("printf '%s\\n' '[Service]' 'Delegate=cpu cpuset io memory pids' | sudo tee "),
            "{}",
            lines[1]
        );
    }
}
