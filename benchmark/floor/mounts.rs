//! The container's files: those of the configuration that all runtimes get.

use crate::kernel::{
    Fd, HERE, change_directory, clone_tree, is_directory, make_directory, make_link, make_node, move_mount, new_mount, pivot,
    set_host_name,
};
use core::ffi::CStr;

const READ_ONLY: usize = 1;
const NO_SUID: usize = 2;
const NO_DEVICES: usize = 4;
const NO_EXECUTION: usize = 8;
const STRICT_ATIME: usize = 0x20;
const SECURE: usize = NO_SUID | NO_DEVICES | NO_EXECUTION;

const DEVICES: [(&CStr, &CStr, (usize, usize)); 6] = [
    (c"null", c"/dev/null", (1, 3)),
    (c"zero", c"/dev/zero", (1, 5)),
    (c"full", c"/dev/full", (1, 7)),
    (c"random", c"/dev/random", (1, 8)),
    (c"urandom", c"/dev/urandom", (1, 9)),
    (c"tty", c"/dev/tty", (5, 0)),
];
const LINKS: [(&CStr, &CStr); 6] = [
    (c"fd", c"/proc/self/fd"),
    (c"stdin", c"/proc/self/fd/0"),
    (c"stdout", c"/proc/self/fd/1"),
    (c"stderr", c"/proc/self/fd/2"),
    (c"core", c"/proc/kcore"),
    (c"ptmx", c"pts/ptmx"),
];
const READ_ONLY_PATHS: [&CStr; 5] = [c"bus", c"fs", c"irq", c"sys", c"sysrq-trigger"];
const MASKED_PATHS: [&CStr; 9] =
    [c"acpi", c"asound", c"kcore", c"keys", c"latency_stats", c"timer_list", c"timer_stats", c"sched_debug", c"scsi"];

/// What can be made before the ids of the container exist.
pub struct Detached {
    root: Fd,
    proc: Fd,
    dev: Fd,
    shm: Fd,
    mqueue: Fd,
    sys: Fd,
    cgroup: Option<Fd>,
    /// /dev/null and an empty file system, to hide files and directories behind.
    null: Fd,
    empty: Fd,
    devices: Option<[Option<Fd>; DEVICES.len()]>,
}

impl Detached {
    /// `cgroup` is a directory and a name in it, as the container's own mount namespace shows them; `bind_devices`: device nodes cannot be made by a user.
    pub fn make(rootfs: &CStr, cgroup: Option<(Fd, &CStr)>, bind_devices: bool) -> Self {
        let text = |value| Some(value);
        let size = (c"size", text(c"65536k"));
        Self {
            root: copy(HERE, rootfs, READ_ONLY),
            proc: new_mount(c"proc", &[], 0),
            dev: new_mount(c"tmpfs", &[(c"mode", text(c"755")), size], NO_SUID | STRICT_ATIME),
            shm: new_mount(c"tmpfs", &[(c"mode", text(c"1777")), size], SECURE),
            mqueue: new_mount(c"mqueue", &[], SECURE),
            sys: new_mount(c"sysfs", &[(c"ro", None)], SECURE | READ_ONLY),
            cgroup: cgroup.map(|(all, name)| copy(all, name, SECURE | READ_ONLY)),
            null: copy(HERE, c"/dev/null", 0),
            empty: new_mount(c"tmpfs", &[(c"nr_inodes", text(c"1")), (c"mode", text(c"555"))], SECURE | READ_ONLY),
            devices: bind_devices.then(|| DEVICES.map(|(_, host, _)| clone_tree(HERE, host, 0))),
        }
    }

    /// The rest, in which ids play a part; afterwards the container's files are all there is.
    pub fn attach(&self, rootfs: &CStr, terminal_group: Option<&CStr>) {
        move_mount(self.root, HERE, rootfs);
        move_mount(self.proc, self.root, c"proc");
        move_mount(self.dev, self.root, c"dev");
        for name in [c"pts", c"shm", c"mqueue"] {
            make_directory(self.dev, name, 0o755);
        }
        move_mount(terminals(terminal_group), self.dev, c"pts");
        move_mount(self.shm, self.dev, c"shm");
        move_mount(self.mqueue, self.dev, c"mqueue");
        move_mount(self.sys, self.root, c"sys");
        if let Some(cgroup) = self.cgroup {
            move_mount(cgroup, self.sys, c"fs/cgroup");
        }
        self.make_devices();
        for (name, target) in LINKS {
            make_link(target, self.dev, name);
        }
        set_host_name(c"floor");
        change_directory(self.root);
        pivot();
        self.protect();
    }

    fn make_devices(&self) {
        const CHARACTER: usize = 0o20_666;
        const ORDINARY: usize = 0o100_666;
        let Some(devices) = self.devices else {
            return DEVICES.iter().for_each(|(name, _, numbers)| make_node(self.dev, name, CHARACTER, *numbers));
        };
        for (device, (name, ..)) in devices.iter().zip(DEVICES) {
            make_node(self.dev, name, ORDINARY, (0, 0));
            if let Some(device) = device {
                move_mount(*device, self.dev, name);
            }
        }
    }

    fn protect(&self) {
        for path in READ_ONLY_PATHS {
            if let Some(tree) = clone_tree(self.proc, path, READ_ONLY) {
                move_mount(tree, self.proc, path);
            }
        }
        for path in MASKED_PATHS {
            self.mask(self.proc, path);
        }
        self.mask(self.sys, c"firmware");
    }

    fn mask(&self, at: Fd, path: &CStr) {
        let Some(directory) = is_directory(at, path) else { return };
        let cover = if directory { self.empty } else { self.null };
        move_mount(copy(cover, c"", 0), at, path);
    }
}

fn terminals(group: Option<&CStr>) -> Fd {
    let plain = [(c"newinstance", None), (c"ptmxmode", Some(c"0666")), (c"mode", Some(c"0620"))];
    let [instance, ptmx, mode] = plain;
    match group {
        None => new_mount(c"devpts", &plain, NO_SUID | NO_EXECUTION),
        Some(group) => new_mount(c"devpts", &[instance, ptmx, mode, (c"gid", Some(group))], NO_SUID | NO_EXECUTION),
    }
}

fn copy(at: Fd, path: &CStr, attributes: usize) -> Fd {
    clone_tree(at, path, attributes).unwrap_or_else(|| crate::fail("open_tree", 2))
}
