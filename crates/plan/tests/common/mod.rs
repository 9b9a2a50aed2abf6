//! Hosts and requests that the tests invent.

#![allow(dead_code, reason = "each test file uses its own part")]

use wolffia_plan::host::{CgroupHierarchy, CgroupLayout, CgroupMount, IdRange, Lsm, SubordinateRange};
use wolffia_plan::{BinaryOwner, CgroupManager, Host, HostPath, Plan, Refusal, Request};

/// Root of a machine with cgroup2 alone.
pub fn root_host() -> Host {
    let everything = vec![IdRange { container: 0, host: 0, size: u32::MAX }];
    Host {
        euid: 0,
        egid: 0,
        privileged: true,
        in_user_namespace: false,
        own_uid_map: everything.clone(),
        own_gid_map: everything,
        subordinate_uids: Vec::new(),
        subordinate_gids: Vec::new(),
        newuidmap: Some(path("/usr/bin/newuidmap")),
        newgidmap: Some(path("/usr/bin/newgidmap")),
        known_capabilities: (1 << 41) - 1,
        bounding_capabilities: (1 << 41) - 1,
        cgroups: CgroupLayout::Unified { mount: path("/sys/fs/cgroup"), own: "/user.slice/session-1.scope".to_owned() },
        lsm: Lsm::default(),
        landlock_abi: 7,
        resctrl: None,
        umask: 0o022,
    }
}

/// User 1000 with subordinate ids.
pub fn user_host() -> Host {
    let subordinate = vec![SubordinateRange { first: 100_000, count: 65_536 }];
    Host {
        euid: 1000,
        egid: 1000,
        privileged: false,
        subordinate_uids: subordinate.clone(),
        subordinate_gids: subordinate,
        cgroups: CgroupLayout::Unified { mount: path("/sys/fs/cgroup"), own: "/user.slice/user-1000.slice/app.scope".to_owned() },
        ..root_host()
    }
}

/// Root of a machine with cgroup v1 hierarchies and cgroup2 beside them.
pub fn hybrid_host() -> Host {
    let hierarchy = |directory: &str, controllers: &[&str]| CgroupHierarchy {
        directory: directory.to_owned(),
        controllers: controllers.iter().map(|name| (*name).to_owned()).collect(),
        mount: path(&format!("/sys/fs/cgroup/{directory}")),
        own: "/".to_owned(),
    };
    let hierarchies = vec![
        hierarchy("cpu,cpuacct", &["cpu", "cpuacct"]),
        hierarchy("pids", &["pids"]),
        hierarchy("systemd", &["name=systemd"]),
    ];
    let unified = Some(CgroupMount { mount: path("/sys/fs/cgroup/unified"), own: "/".to_owned() });
    let resctrl = Some(path("/sys/fs/resctrl"));
    Host { cgroups: CgroupLayout::Legacy { hierarchies, unified }, resctrl, ..root_host() }
}

pub fn request() -> Request {
    Request {
        id: "box".to_owned(),
        bundle: path("/bundle"),
        no_pivot: false,
        no_new_keyring: false,
        preserve_fds: 0,
        listen_fds: 0,
        notify_directory: None,
        cgroups: CgroupManager::Cgroupfs,
        rootless: false,
        binary: BinaryOwner { uid: 0, gid: 0, mode: 0o755 },
    }
}

pub fn rootless_request() -> Request {
    Request { rootless: true, ..request() }
}

pub fn path(path: &str) -> HostPath {
    HostPath::new(path).unwrap()
}

/// Plans a configuration that is given as JSON.
pub fn plan(config: &serde_json::Value, request: &Request, host: &Host) -> Result<Plan, Refusal> {
    let config = wolffia_spec::Config::parse(config.to_string().as_bytes()).unwrap();
    wolffia_plan::plan(&config, request, host)
}
