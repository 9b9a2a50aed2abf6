//! Which resource limits can be set: those of cgroup version 2, and for root those of version 1 beside it.

use super::kernel::boot_parameter_lines;
use super::{Facts, Finding};
use crate::cgroups::MOUNT;
use crate::read;
use std::fs::OpenOptions;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use wolffia_plan::host::CgroupLayout;

/// Controllers behind the limits of the OCI specification that engines set.
const WANTED: [&str; 5] = ["cpu", "cpuset", "io", "memory", "pids"];

pub(super) fn layout(facts: &Facts) -> Finding {
    const TOPIC: &str = "cgroups";
    match &facts.host.cgroups {
        CgroupLayout::Unified { mount, .. } => {
            Finding::good(TOPIC, format!("version 2 at {mount}"), "limits work for root, and for users where they are delegated")
        }
        CgroupLayout::Legacy { hierarchies, unified } => {
            let controllers: Vec<&str> = hierarchies.iter().flat_map(|one| &one.controllers).map(String::as_str).collect();
            let beside = unified.as_ref().map_or("no version 2 beside it".to_owned(), |v2| format!("version 2 at {}", v2.mount));
            Finding::limited(
                TOPIC,
                format!("version 1 holds {}; {beside}", controllers.join(", ")),
                match facts.is_host_root() {
                    true => {
                        "limits go through both versions: slower than version 2 alone, and no users' containers can have them"
                    }
                    false => "no limits by controllers that version 1 holds: only version 2 can be delegated safely to users",
                },
            )
            .mend(if has_systemd() {
                boot_parameter_lines("systemd.unified_cgroup_hierarchy=1")
            } else {
                Vec::new()
            })
        }
        CgroupLayout::Absent => Finding::missing(TOPIC, format!("none mounted at {MOUNT}"), "no container can have limits")
            .mend([format!("sudo mount -t cgroup2 none {MOUNT}")]),
    }
}

pub(super) fn delegation(facts: &Facts) -> Finding {
    const TOPIC: &str = "cgroup delegation";
    let (mount, own) = match &facts.host.cgroups {
        CgroupLayout::Unified { mount, own } => (mount.as_path(), own),
        CgroupLayout::Legacy { unified: Some(beside), .. } => (beside.mount.as_path(), &beside.own),
        CgroupLayout::Legacy { unified: None, .. } | CgroupLayout::Absent => {
            return Finding::missing(TOPIC, "no cgroup version 2", "no container can have limits");
        }
    };
    let place = place(mount, own, facts.host.privileged);
    if !is_writable(facts, &place) {
        let found = format!("no cgroup can be made in {}: it is another user's", place.display());
        return Finding::missing(TOPIC, found, "containers have no limits").mend(delegated_shell_lines(facts, mount));
    }
    let controllers = match controllers(&place) {
        Ok(controllers) => controllers,
        Err(error) => return Finding::missing(TOPIC, error.to_string(), "which limits can be set could not be read"),
    };
    let found = format!("{} in {}", if controllers.is_empty() { "no controller" } else { &controllers }, place.display());
    let mut lacking = lacking(&controllers);
    // Root's containers are limited there; version 1 calls `io` `blkio`.
    let in_version_1 = |wanted: &str| facts.host.cgroups.legacy(if wanted == "io" { "blkio" } else { wanted }).is_some();
    lacking.retain(|wanted| !(facts.is_host_root() && in_version_1(wanted)));
    if lacking.is_empty() {
        return Finding::good(TOPIC, found, "every limit can be set");
    }
    let finding = Finding::limited(TOPIC, found, format!("containers have no limits of {}", lacking.join(", ")));
    if facts.is_host_root() || !has_systemd() { finding } else { finding.mend(drop_in_lines()) }
}

/// Where containers that name no cgroup get theirs: root's below the mount, a user's beside the runtime's own.
fn place(mount: &Path, own: &str, privileged: bool) -> PathBuf {
    let parent = own.rsplit_once('/').map_or("", |(parent, _)| parent);
    if privileged { mount.to_owned() } else { below(mount, parent) }
}

fn below(mount: &Path, cgroup: &str) -> PathBuf {
    mount.join(cgroup.trim_start_matches('/'))
}

/// Whether cgroups can be made in `directory` and processes moved there: it must be the user's, with its cgroup.procs (cgroups(7)).
fn is_writable(facts: &Facts, directory: &Path) -> bool {
    let own = std::fs::metadata(directory).is_ok_and(|meta| facts.host.privileged || meta.uid() == facts.host.euid);
    own && OpenOptions::new().write(true).open(directory.join("cgroup.procs")).is_ok()
}

fn controllers(directory: &Path) -> Result<String, crate::HostError> {
    let text = read::proc(&directory.join("cgroup.controllers").to_string_lossy())?;
    Ok(text.trim().to_owned())
}

fn lacking(controllers: &str) -> Vec<&'static str> {
    let given: Vec<&str> = controllers.split_ascii_whitespace().collect();
    WANTED.into_iter().filter(|wanted| !given.contains(wanted)).collect()
}

/// A shell in a cgroup of the user's own systemd, which runs with a session or by lingering; before it, what that systemd lacks.
fn delegated_shell_lines(facts: &Facts, mount: &Path) -> Vec<String> {
    if !has_systemd() || facts.is_host_root() {
        return Vec::new();
    }
    let uid = facts.host.euid;
    let manager = below(mount, &format!("/user.slice/user-{uid}.slice/user@{uid}.service"));
    let complete = controllers(&manager).is_ok_and(|controllers| lacking(&controllers).is_empty());
    let mut lines = if complete { Vec::new() } else { drop_in_lines().to_vec() };
    if !manager.is_dir() {
        lines.push(format!("sudo loginctl enable-linger {}", facts.user()));
    }
    lines.push("systemd-run --user --scope --property=Delegate=yes -- \"$SHELL\"".to_owned());
    lines
}

/// systemd.resource-control(5), `Delegate=`: the drop-in for every user's manager. It counts from the next start of that manager.
fn drop_in_lines() -> [String; 4] {
    let directory = "/etc/systemd/system/user@.service.d";
    [
        format!("sudo mkdir -p {directory}"),
        format!("printf '%s\\n' '[Service]' 'Delegate={}' | sudo tee {directory}/delegate.conf", WANTED.join(" ")),
        "sudo systemctl daemon-reload".to_owned(),
        "sudo systemctl restart user@$(id -u).service   # ends this user's sessions; a reboot does as well".to_owned(),
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
        assert_eq!(lacking("cpuset io memory pids"), ["cpu"]);
        assert_eq!(lacking("cpu memory pids hugetlb"), ["cpuset", "io"]);
        assert_eq!(lacking(""), WANTED);
    }

    #[test]
    fn a_users_containers_stand_beside_the_runtime() {
        let mount = Path::new("/sys/fs/cgroup");
        for (own, privileged, expected) in [
            ("/user.slice/a.scope", false, "/sys/fs/cgroup/user.slice"),
            ("/a", false, "/sys/fs/cgroup/"),
            ("/", false, "/sys/fs/cgroup/"),
            ("/user.slice/a.scope", true, "/sys/fs/cgroup"),
        ] {
            assert_eq!(place(mount, own, privileged), Path::new(expected), "{own}");
        }
    }

    #[test]
    fn the_drop_in_is_one_line_to_paste() {
        let lines = drop_in_lines();
        assert!(
            lines[1].starts_with("printf '%s\\n' '[Service]' 'Delegate=cpu cpuset io memory pids' | sudo tee "),
            "{}",
            lines[1]
        );
    }
}
