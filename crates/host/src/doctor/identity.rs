//! Subordinate ids and the helpers that map them: what a container with more than one id needs of a user who is not root.

use super::trial::{self, LIMIT};
use super::{Facts, Finding, Status};
use crate::ids::{self, SUBGID, SUBUID, SubordinateLine};
use crate::read;
use std::fs::Metadata;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};
use wolffia_plan::host::SubordinateRange;
use wolffia_plan::{HostPath, NamespaceKind};
use wolffia_sys::process::SingleThreaded;
use wolffia_sys::{Pid, pidfd};

/// As many ids as images use: 0 to 65535, and useradd(8) gives as many.
const USUAL: u32 = 65536;
/// `SUB_UID_MIN` and `SUB_GID_MIN` of login.defs(5).
const LOWEST: u32 = 100_000;

pub(super) fn subordinate_ids(facts: &Facts) -> Finding {
    const TOPIC: &str = "subordinate ids";
    if facts.is_host_root() {
        return Finding::good(TOPIC, "not needed: root maps any id", "");
    }
    let files = [SUBUID, SUBGID].map(|path| read::optional(path).ok().flatten().unwrap_or_default());
    let (uids, gids) = (total(&facts.host.subordinate_uids), total(&facts.host.subordinate_gids));
    let user = facts.user();
    let mut found = format!("{uids} user ids and {gids} group ids for {user}");
    for (path, text) in [SUBUID, SUBGID].iter().zip(&files) {
        if let Some(line) = malformed(text) {
            found += &format!("; line {line} of {path} is malformed and grants nothing");
        }
    }
    if let Some(service) = other_source() {
        found += &format!("; /etc/nsswitch.conf names {service} for subid, and wolffia reads the files only");
    }
    let least = uids.min(gids);
    if least >= u64::from(USUAL) {
        return Finding::good(TOPIC, found, "containers can have as many ids as images use");
    }
    let meaning = if least == 0 {
        "containers have one id only: no second user, and package managers inside fail to change owners"
    } else {
        "an image that uses a higher id than these allow fails"
    };
    let lacking: Vec<&str> =
        [(SUBUID, uids), (SUBGID, gids)].iter().filter(|(_, count)| *count < u64::from(USUAL)).map(|(path, _)| *path).collect();
    let line = free_range(&files).map(|first| format!("echo '{user}:{first}:{USUAL}' | sudo tee -a {}", lacking.join(" ")));
    Finding::limited(TOPIC, found, meaning).mend(line)
}

fn total(ranges: &[SubordinateRange]) -> u64 {
    ranges.iter().map(|range| u64::from(range.count)).sum()
}

/// The number of the first line that is neither a range nor empty nor a comment.
fn malformed(text: &str) -> Option<usize> {
    let bad = |line: &str| !line.is_empty() && !line.starts_with('#') && SubordinateLine::parse(line).is_none();
    text.lines().position(bad).map(|index| index + 1)
}

/// The first id behind every range of every user, if [`USUAL`] more fit.
fn free_range(files: &[String; 2]) -> Option<u32> {
    let ranges = files.iter().flat_map(|text| text.lines()).filter_map(SubordinateLine::parse).map(|line| line.range);
    let first = ranges.map(|range| range.first.saturating_add(range.count)).fold(LOWEST, u32::max);
    first.checked_add(USUAL).is_some().then_some(first)
}

/// Who else may give subordinate ids: `subid: sss` in nsswitch.conf(5), read by newuidmap through a library.
fn other_source() -> Option<String> {
    let text = read::optional("/etc/nsswitch.conf").ok()??;
    let services = text.lines().find_map(|line| line.strip_prefix("subid:"))?.trim().to_owned();
    (services != "files").then_some(services)
}

pub(super) fn helpers(alone: &SingleThreaded, facts: &Facts) -> Finding {
    const TOPIC: &str = "newuidmap, newgidmap";
    const MEANING: &str = "containers have one id only, whatever /etc/subuid grants";
    if facts.is_host_root() {
        return Finding::good(TOPIC, "not needed: root writes id maps itself", "");
    }
    let (Some(newuidmap), Some(newgidmap)) = (&facts.host.newuidmap, &facts.host.newgidmap) else {
        let found = format!("not in {}", ids::HELPER_DIRECTORIES.join(", "));
        return Finding::limited(TOPIC, found, MEANING).mend(package_line());
    };
    let first = |ranges: &[SubordinateRange], own| ranges.first().map_or(own, |range| range.first);
    let uid = first(&facts.host.subordinate_uids, facts.host.euid);
    let gid = first(&facts.host.subordinate_gids, facts.host.egid);
    let outcomes = [(newuidmap, uid), (newgidmap, gid)].map(|(helper, id)| (helper, run(alone, helper, id)));
    let failed: Vec<_> = outcomes.iter().filter_map(|(helper, outcome)| Some((*helper, outcome.as_ref().err()?))).collect();
    if failed.is_empty() {
        return Finding::good(TOPIC, "work", "ranges of /etc/subuid and /etc/subgid can be mapped");
    }
    let found = failed.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>().join("; ");
    let mut finding = Finding::new(TOPIC, Status::Limited, found, MEANING);
    if facts.status.no_new_privileges {
        finding.meaning = format!("{MEANING}; this process runs under no_new_privs, where set-user-id programs gain nothing");
        return finding;
    }
    if facts.names.is_empty() {
        finding.meaning = format!("{MEANING}; the user has no entry in /etc/passwd, which the helpers demand");
    }
    let without_right = failed.iter().filter(|(helper, _)| !std::fs::metadata(helper.as_path()).is_ok_and(is_set_user_id));
    let lines: Vec<String> =
        without_right.map(|(helper, _)| format!("sudo chown root {helper} && sudo chmod u+s {helper}")).collect();
    finding.mend(lines)
}

/// The line that installs the helpers, by the package manager that is here.
fn package_line() -> Option<String> {
    const LINES: [(&str, &str); 4] = [
        ("/usr/bin/apt-get", "sudo apt-get install uidmap"),
        ("/usr/bin/dnf", "sudo dnf install shadow-utils"),
        ("/usr/bin/pacman", "sudo pacman -S shadow"),
        ("/sbin/apk", "doas apk add shadow-uidmap"),
    ];
    LINES.iter().find(|(manager, _)| Path::new(manager).exists()).map(|(_, line)| (*line).to_owned())
}

fn is_set_user_id(meta: Metadata) -> bool {
    meta.mode() & 0o4000 != 0 && meta.uid() == 0
}

/// Lets the helper map one id in a new user namespace: a subordinate one, or the user's own, which needs no range.
/// It can do so only if its set-user-id bit or its file capability is in force.
fn run(alone: &SingleThreaded, helper: &HostPath, id: u32) -> Result<(), String> {
    let child = trial::start(alone, NamespaceKind::User.clone_flag(), |_, mut gate| gate.read(&mut [0]).map_or((), drop))
        .map_err(|failure| failure.text)?;
    let outcome = run_for(helper, child.pid, id);
    child.finish().map_err(|failure| failure.text)?;
    outcome
}

fn run_for(helper: &HostPath, pid: Pid, id: u32) -> Result<(), String> {
    let args = [pid.to_string(), "0".to_owned(), id.to_string(), "1".to_owned()];
    let mut command = Command::new(helper.as_path());
    command.args(args).env_clear().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut running = command.spawn().map_err(|error| error.to_string())?;
    let in_time = wait(running.id());
    if !in_time {
        let ended = running.kill().and_then(|()| running.wait());
        return Err(ended.map_or_else(|error| error.to_string(), |_| format!("did not end within {LIMIT:?}")));
    }
    let status = running.wait().map_err(|error| error.to_string())?;
    if status.success() {
        return Ok(());
    }
    let mut words = String::new();
    if let Some(stderr) = running.stderr.take() {
        stderr.take(400).read_to_string(&mut words).map_err(|error| error.to_string())?;
    }
    // Its words begin with its name.
    Err(if words.is_empty() { format!("{helper}: {status}") } else { words.trim_end().to_owned() })
}

/// Whether the process ends within [`LIMIT`].
fn wait(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    pid.and_then(|pid| pidfd::open(pid).ok()).is_some_and(|pidfd| pidfd::wait_exit(&pidfd, Some(LIMIT)).unwrap_or(false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_range_that_is_offered_lies_behind_all_others() {
        let free = |uids: &str, gids: &str| free_range(&[uids.to_owned(), gids.to_owned()]);
        assert_eq!(free("", ""), Some(100_000));
        assert_eq!(free("a:100000:65536\nb:165536:65536\n", "a:100000:65536\n"), Some(231_072));
        assert_eq!(free("a:5:5\n", "a:300000:1\nbad\n"), Some(300_001));
        assert_eq!(free("a:4294901760:65535\n", ""), None);
    }

    #[test]
    fn the_first_malformed_line_is_named() {
        assert_eq!(malformed("# ranges\n\na:100000:65536\n"), None);
        assert_eq!(malformed("a:100000:65536\na:b:c\n"), Some(2));
    }
}
