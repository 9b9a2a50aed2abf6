//! The configuration that `wolffia spec` writes: property for property what runc 1.5 writes, because people and
//! scripts edit it with `jq` and expect the same paths.

use crate::OCI_VERSION;
use serde::Serialize;
use serde_json::Value;
use serde_json::ser::{PrettyFormatter, Serializer};

/// What the template depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Template<'a> {
    /// Whether /sys/fs/cgroup is cgroup2 alone: then the container gets a cgroup namespace.
    pub cgroup2: bool,
    /// `--rootless`: a user namespace with this one id as root.
    pub rootless: Option<Owner>,
    /// `--seccomp`: a profile of system calls.
    pub seccomp: Option<&'a Value>,
}

/// The user who becomes root in a rootless container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    pub euid: u32,
    pub egid: u32,
}

impl<'a> Template<'a> {
    /// The text of `config.json`, indented with tabs, without a newline at the end.
    ///
    /// # Errors
    /// Only if the JSON writer fails, which it does not for this data.
    pub fn render(&self) -> Result<String, serde_json::Error> {
        let mut text = Vec::new();
        self.document().serialize(&mut Serializer::with_formatter(&mut text, PrettyFormatter::with_indent(b"\t")))?;
        String::from_utf8(text).map_err(serde::ser::Error::custom)
    }

    fn document(&self) -> Document<'a> {
        let capabilities = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"];
        Document {
            oci_version: OCI_VERSION,
            process: Process {
                terminal: true,
                user: User { uid: 0, gid: 0 },
                args: ["sh"],
                env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
                cwd: "/",
                capabilities: Capabilities { bounding: capabilities, effective: capabilities, permitted: capabilities },
                rlimits: [Rlimit { kind: "RLIMIT_NOFILE", hard: 1024, soft: 1024 }],
                no_new_privileges: true,
            },
            root: Root { path: "rootfs", readonly: true },
            hostname: "wolffia",
            mounts: self.mounts(),
            linux: self.linux(),
        }
    }

    fn mounts(&self) -> [Mount; 7] {
        let mount = |destination, kind, source, options| Mount { destination, kind, source, options };
        // A group that is not mapped cannot own the terminals: devpts refuses gid=5 in a rootless container.
        let devpts: &[_] = match self.rootless {
            Some(_) => &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"],
            None => &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        };
        // sysfs can be mounted only by the owner of the network namespace (sysfs(5)), and a rootless container has the host's.
        let sys = match self.rootless {
            Some(_) => mount("/sys", "none", "/sys", &["rbind", "nosuid", "noexec", "nodev", "ro"]),
            None => mount("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
        };
        [
            mount("/proc", "proc", "proc", &[]),
            mount("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
            mount("/dev/pts", "devpts", "devpts", devpts),
            mount("/dev/shm", "tmpfs", "shm", &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
            mount("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
            sys,
            mount("/sys/fs/cgroup", "cgroup", "cgroup", &["nosuid", "noexec", "nodev", "relatime", "ro"]),
        ]
    }

    fn linux(&self) -> Linux<'a> {
        let mut namespaces = vec!["pid", "network", "ipc", "uts", "mount"];
        if self.cgroup2 {
            namespaces.push("cgroup");
        }
        if self.rootless.is_some() {
            namespaces.retain(|kind| *kind != "network");
            namespaces.push("user");
        }
        let mapping = |host_id| [IdMapping { container_id: 0, host_id, size: 1 }];
        let deny_all = DeviceRule { allow: false, access: "rwm" };
        Linux {
            uid_mappings: self.rootless.map(|owner| mapping(owner.euid)),
            gid_mappings: self.rootless.map(|owner| mapping(owner.egid)),
            resources: self.rootless.is_none().then_some(Resources { devices: [deny_all] }),
            namespaces: namespaces.into_iter().map(|kind| Namespace { kind }).collect(),
            masked_paths: &[
                "/proc/acpi",
                "/proc/asound",
                "/proc/kcore",
                "/proc/keys",
                "/proc/latency_stats",
                "/proc/timer_list",
                "/proc/timer_stats",
                "/proc/sched_debug",
                "/sys/firmware",
                "/proc/scsi",
                "/sys/devices/virtual/tpm",
            ],
            readonly_paths: &["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
            seccomp: self.seccomp,
        }
    }
}

// `oci_spec`'s own types would write the capabilities in the order of a hash table.

#[derive(Serialize)]
struct Document<'a> {
    #[serde(rename = "ociVersion")]
    oci_version: &'static str,
    process: Process,
    root: Root,
    hostname: &'static str,
    mounts: [Mount; 7],
    linux: Linux<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Process {
    terminal: bool,
    user: User,
    args: [&'static str; 1],
    env: [&'static str; 2],
    cwd: &'static str,
    capabilities: Capabilities,
    rlimits: [Rlimit; 1],
    no_new_privileges: bool,
}

#[derive(Serialize)]
struct User {
    uid: u32,
    gid: u32,
}

#[derive(Serialize)]
struct Capabilities {
    bounding: [&'static str; 3],
    effective: [&'static str; 3],
    permitted: [&'static str; 3],
}

#[derive(Serialize)]
struct Rlimit {
    #[serde(rename = "type")]
    kind: &'static str,
    hard: u64,
    soft: u64,
}

#[derive(Serialize)]
struct Root {
    path: &'static str,
    readonly: bool,
}

#[derive(Serialize)]
struct Mount {
    destination: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    source: &'static str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    options: &'static [&'static str],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Linux<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    uid_mappings: Option<[IdMapping; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gid_mappings: Option<[IdMapping; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resources: Option<Resources>,
    namespaces: Vec<Namespace>,
    masked_paths: &'static [&'static str],
    readonly_paths: &'static [&'static str],
    #[serde(skip_serializing_if = "Option::is_none")]
    seccomp: Option<&'a Value>,
}

#[derive(Serialize)]
struct IdMapping {
    #[serde(rename = "containerID")]
    container_id: u32,
    #[serde(rename = "hostID")]
    host_id: u32,
    size: u32,
}

#[derive(Serialize)]
struct Resources {
    devices: [DeviceRule; 1],
}

#[derive(Serialize)]
struct DeviceRule {
    allow: bool,
    access: &'static str,
}

#[derive(Serialize)]
struct Namespace {
    #[serde(rename = "type")]
    kind: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use serde_json::json;

    fn rendered(template: Template<'_>) -> Value {
        serde_json::from_str(&template.render().unwrap()).unwrap()
    }

    const PLAIN: Template<'_> = Template { cgroup2: false, rootless: None, seccomp: None };
    const ROOTLESS: Template<'_> = Template { cgroup2: true, rootless: Some(Owner { euid: 1000, egid: 100 }), seccomp: None };

    #[test]
    fn our_own_parser_reads_it() {
        for template in [PLAIN, ROOTLESS] {
            let config = Config::parse(template.render().unwrap().as_bytes()).unwrap();
            assert_eq!(config.spec.version(), OCI_VERSION);
            assert_eq!(config.spec.mounts().as_ref().unwrap().len(), 7);
        }
    }

    #[test]
    fn it_is_indented_with_tabs_and_in_the_usual_order() {
        let text = PLAIN.render().unwrap();
        assert!(text.starts_with("{\n\t\"ociVersion\": \"1.3.0\",\n\t\"process\": {\n\t\t\"terminal\": true,"), "{text}");
        assert!(text.ends_with("\n}"), "{text}");
        let order = ["process", "root", "hostname", "mounts", "linux", "resources", "namespaces", "maskedPaths"];
        let places: Vec<_> = order.iter().map(|key| text.find(&format!("\"{key}\":")).unwrap()).collect();
        assert!(places.is_sorted(), "{places:?}");
    }

    #[test]
    fn rootless_changes_what_a_user_may_not_do() {
        let (plain, rootless) = (rendered(PLAIN), rendered(ROOTLESS));
        assert_eq!(rootless["linux"]["uidMappings"], json!([{"containerID": 0, "hostID": 1000, "size": 1}]));
        assert_eq!(rootless["linux"]["gidMappings"], json!([{"containerID": 0, "hostID": 100, "size": 1}]));
        assert_eq!(rootless["linux"].get("resources"), None);
        assert_eq!(plain["linux"]["resources"], json!({"devices": [{"allow": false, "access": "rwm"}]}));
        let kinds = |config: &Value| -> Vec<String> {
            let namespaces = config["linux"]["namespaces"].as_array().unwrap();
            namespaces.iter().map(|namespace| namespace["type"].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(kinds(&plain), ["pid", "network", "ipc", "uts", "mount"]);
        assert_eq!(kinds(&rootless), ["pid", "ipc", "uts", "mount", "cgroup", "user"]);
        assert_eq!(rootless["mounts"][5]["options"], json!(["rbind", "nosuid", "noexec", "nodev", "ro"]));
        assert!(!rootless.to_string().contains("gid="));
        assert!(plain.to_string().contains("gid=5"));
    }

    #[test]
    fn a_profile_is_written_only_when_there_is_one() {
        assert_eq!(rendered(PLAIN)["linux"].get("seccomp"), None);
        let profile = json!({ "defaultAction": "SCMP_ACT_LOG" });
        assert_eq!(rendered(Template { seccomp: Some(&profile), ..PLAIN })["linux"]["seccomp"], profile);
    }
}
