//! Mounts, namespaces and /proc, each step in namespaces of its own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends where it goes wrong")]

mod common;

use common::scratch::Scratch;
use common::{Step, need_root, run, start, within};
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::ExitCode;
use wolffia_sys::fd::{self, OFlags, TMPFS_MAGIC};
use wolffia_sys::mount::{self, FsContext, OpenTree};
use wolffia_sys::process::{self, CloneRequest};
use wolffia_sys::procfs::ProcHandle;
use wolffia_sys::{Errno, hostname, namespaces, pidfd, prctl, socket};

const STEPS: &[Step] = &[
    ("a_file_system_is_made_and_moved", a_file_system_is_made_and_moved),
    ("the_kernel_explains_itself", the_kernel_explains_itself),
    ("a_clone_can_be_read_only", a_clone_can_be_read_only),
    ("a_recursive_change_reaches_submounts", a_recursive_change_reaches_submounts),
    ("an_id_mapped_mount_shifts_owners", an_id_mapped_mount_shifts_owners),
    ("a_file_system_is_reconfigured", a_file_system_is_reconfigured),
    ("the_root_is_pivoted", the_root_is_pivoted),
    ("the_root_is_moved", the_root_is_moved),
    ("long_options_take_the_old_way", long_options_take_the_old_way),
    ("propagation_is_cut", propagation_is_cut),
    ("namespaces_are_told_apart", namespaces_are_told_apart),
    ("a_pidfd_joins_several_namespaces", a_pidfd_joins_several_namespaces),
    ("names_belong_to_their_namespace", names_belong_to_their_namespace),
    ("proc_must_be_a_procfs", proc_must_be_a_procfs),
    ("a_mount_over_a_proc_file_is_bypassed", a_mount_over_a_proc_file_is_bypassed),
    ("links_of_proc_are_refused", links_of_proc_are_refused),
];

const NEWNS: u64 = libc::CLONE_NEWNS as u64;
const NEWUTS: u64 = libc::CLONE_NEWUTS as u64;
const NEWUSER: u64 = libc::CLONE_NEWUSER as u64;

fn main() -> ExitCode {
    run(STEPS)
}

/// Runs `step` in a mount namespace that nothing leaves, with a directory for it.
fn privately(step: impl FnOnce(&Path)) {
    let scratch = Scratch::new();
    within(NEWNS, || {
        mount::set_root_propagation(mount::MS_REC | mount::MS_PRIVATE).unwrap();
        step(scratch.path());
    });
}

fn tmpfs(attributes: u64) -> OwnedFd {
    let context = FsContext::open("tmpfs").unwrap();
    context.string("size", "1m").unwrap();
    context.string("source", "wolffia").unwrap();
    context.create().unwrap();
    context.mount(attributes).unwrap()
}

fn open_dir(path: impl AsRef<Path>) -> OwnedFd {
    fd::open(path, OFlags::PATH | OFlags::DIRECTORY, 0).unwrap()
}

fn mountinfo() -> String {
    fs::read_to_string("/proc/thread-self/mountinfo").unwrap()
}

fn a_file_system_is_made_and_moved() {
    privately(|scratch| {
        let detached = tmpfs(mount::MOUNT_ATTR_NOSUID | mount::MOUNT_ATTR_NODEV);
        assert_eq!(fd::fs_magic(&detached).unwrap(), TMPFS_MAGIC);
        let target = open_dir(scratch);
        assert!(!fd::stat(&target).unwrap().is_mount_root);
        mount::move_mount(&detached, &target).unwrap();
        let stat = fd::stat(open_dir(scratch)).unwrap();
        assert!(stat.is_mount_root);
        let line = format!("{} ", stat.mnt_id);
        let info = mountinfo();
        let line = info.lines().find(|info| info.starts_with(&line)).expect("the mount's line");
        assert!(line.contains("nosuid,nodev") && line.contains("tmpfs wolffia"), "{line}");
        mount::unmount_fd(open_dir(scratch)).unwrap();
        assert!(!fd::stat(open_dir(scratch)).unwrap().is_mount_root);
    });
}

fn the_kernel_explains_itself() {
    need_root();
    let unknown = FsContext::open("nosuchfs").unwrap_err();
    assert!(unknown.is(Errno::ENODEV), "{unknown}");
    let context = FsContext::open("tmpfs").unwrap();
    let error = context.string("nonsense", "1").unwrap_err().to_string();
    assert_eq!(
        error,
        "fsconfig(\"nonsense\", \"1\"; kernel: tmpfs: Unknown parameter 'nonsense'): Invalid argument (os error 22)"
    );
    let error = context.string("size", "many").unwrap_err().to_string();
    assert!(error.contains("kernel: tmpfs: Bad value for 'size'"), "{error}");
}

fn a_clone_can_be_read_only() {
    privately(|scratch| {
        fs::create_dir(scratch.join("source")).unwrap();
        fs::create_dir(scratch.join("target")).unwrap();
        let how = OpenTree { clone: true, ..OpenTree::default() };
        let clone = mount::open_tree(open_dir(scratch), "source", how).unwrap();
        mount::mount_setattr(&clone, false, mount::MOUNT_ATTR_RDONLY | mount::MOUNT_ATTR_NOEXEC, 0, 0, None).unwrap();
        mount::move_mount(&clone, open_dir(scratch.join("target"))).unwrap();
        let refused = fs::write(scratch.join("target/file"), "").unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(libc::EROFS));
        fs::write(scratch.join("source/file"), "").unwrap();
        assert!(scratch.join("target/file").exists());
        let all = MOUNT_FLAGS_CLEAR;
        mount::mount_setattr(open_dir(scratch.join("target")), false, 0, all, mount::MS_SLAVE, None).unwrap();
        fs::write(scratch.join("target/other"), "").unwrap();
        let error = mount::mount_setattr(open_dir(scratch), false, mount::MOUNT_ATTR_RDONLY, 0, 0, None).unwrap_err();
        assert!(error.is(Errno::EINVAL), "not the root of a mount: {error}");
    });
}

const MOUNT_FLAGS_CLEAR: u64 = mount::MOUNT_ATTR_RDONLY | mount::MOUNT_ATTR_NOEXEC;

fn a_recursive_change_reaches_submounts() {
    privately(|scratch| {
        mount::move_mount(tmpfs(0), open_dir(scratch)).unwrap();
        fs::create_dir(scratch.join("below")).unwrap();
        mount::move_mount(tmpfs(0), open_dir(scratch.join("below"))).unwrap();
        let how = OpenTree { clone: true, recursive: true, empty_path: true, nofollow: false };
        let tree = mount::open_tree(open_dir(scratch), "", how).unwrap();
        mount::mount_setattr(&tree, true, mount::MOUNT_ATTR_RDONLY, 0, 0, None).unwrap();
        for path in [".", "below"] {
            let error = fd::openat(&tree, format!("{path}/x"), OFlags::WRONLY | OFlags::CREATE, 0o600).unwrap_err();
            assert!(error.is(Errno::EROFS), "{path}: {error}");
            fs::write(scratch.join(path).join("x"), "").unwrap();
        }
    });
}

/// Starts a process in a new user namespace in which id 0 is `outside`, and returns that namespace.
fn user_namespace(outside: u32) -> OwnedFd {
    let (ours, theirs) = socket::seqpacket_pair().unwrap();
    let request = CloneRequest { flags: NEWUSER, ..CloneRequest::default() };
    let holder = start(&request, || {
        prctl::set_parent_death_signal(libc::SIGKILL).unwrap();
        let namespace = namespaces::open_own("user").unwrap();
        let own = process::getpid().get();
        socket::send(&theirs, &own.to_ne_bytes(), &[namespace.as_fd()]).unwrap();
        socket::recv(&theirs, 16).unwrap();
    });
    let (bytes, mut fds) = socket::recv(&ours, 16).unwrap().expect("the namespace");
    let pid = wolffia_sys::Pid::from_raw(i32::from_ne_bytes(bytes.try_into().unwrap())).unwrap();
    let proc = ProcHandle::open().unwrap();
    let map = format!("0 {outside} 1");
    proc.write_for(pid, "uid_map", map.as_bytes()).unwrap();
    proc.write_for(pid, "gid_map", map.as_bytes()).unwrap();
    socket::send(&ours, b"done", &[]).unwrap();
    pidfd::wait(&holder).unwrap();
    fds.remove(0)
}

fn an_id_mapped_mount_shifts_owners() {
    need_root();
    privately(|scratch| {
        let namespace = user_namespace(4242);
        assert_eq!(namespaces::ns_type(&namespace).unwrap(), NEWUSER);
        let detached = tmpfs(0);
        mount::mount_setattr(&detached, false, 0, 0, 0, Some(namespace.as_fd())).unwrap();
        mount::move_mount(&detached, open_dir(scratch)).unwrap();
        let stat = fd::stat(open_dir(scratch)).unwrap();
        assert_eq!((stat.uid, stat.gid), (4242, 4242));
        let again = mount::mount_setattr(open_dir(scratch), false, 0, 0, 0, Some(namespace.as_fd())).unwrap_err();
        assert!(again.is(Errno::EPERM) || again.is(Errno::EINVAL), "only once, and only detached: {again}");
    });
}

fn a_file_system_is_reconfigured() {
    privately(|scratch| {
        mount::move_mount(tmpfs(0), open_dir(scratch)).unwrap();
        fs::write(scratch.join("before"), "").unwrap();
        let context = FsContext::pick(open_dir(scratch)).unwrap();
        context.flag("ro").unwrap();
        context.reconfigure().unwrap();
        let refused = fs::write(scratch.join("after"), "").unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(libc::EROFS));
    });
}

fn the_root_is_pivoted() {
    privately(|scratch| {
        mount::move_mount(tmpfs(0), open_dir(scratch)).unwrap();
        fs::write(scratch.join("marker"), "new root").unwrap();
        process::chdir(scratch).unwrap();
        mount::pivot_root_here().unwrap();
        mount::unmount_detached(".").unwrap();
        process::chdir("/").unwrap();
        assert_eq!(fs::read_to_string("/marker").unwrap(), "new root");
        assert_eq!(fd::read_dir_names(open_dir("/")).unwrap(), ["marker"]);
        assert_eq!(process::getcwd().unwrap(), Path::new("/"));
    });
}

fn the_root_is_moved() {
    privately(|scratch| {
        mount::move_mount(tmpfs(0), open_dir(scratch)).unwrap();
        fs::write(scratch.join("marker"), "").unwrap();
        process::chdir(scratch).unwrap();
        mount::move_to_root().unwrap();
        process::chroot(".").unwrap();
        process::chdir("/").unwrap();
        assert_eq!(fd::read_dir_names(open_dir("/")).unwrap(), ["marker"]);
    });
}

fn long_options_take_the_old_way() {
    privately(|scratch| {
        mount::move_mount(tmpfs(0), open_dir(scratch)).unwrap();
        let lower: Vec<String> = (0..4).map(|number| format!("{}/{number}{}", scratch.display(), "x".repeat(80))).collect();
        for (number, layer) in lower.iter().enumerate() {
            fs::create_dir(layer).unwrap();
            fs::write(format!("{layer}/from{number}"), "").unwrap();
        }
        let layers = lower.join(":");
        assert!(layers.len() > mount::FSCONFIG_VALUE_MAX);
        let context = FsContext::open("overlay").unwrap();
        let error = context.string("lowerdir", &layers).unwrap_err();
        assert!(error.is(Errno::EINVAL), "{error}");
        let merged = scratch.join("merged");
        fs::create_dir(&merged).unwrap();
        let data = format!("lowerdir={layers}");
        mount::legacy_mount("overlay", open_dir(&merged), "overlay", mount::MS_RDONLY | mount::MS_NODEV, &data).unwrap();
        assert_eq!(fs::read_dir(&merged).unwrap().count(), 4);
        let error = mount::legacy_mount("x", open_dir(&merged), "nosuchfs", 0, "").unwrap_err();
        assert!(error.is(Errno::ENODEV) && error.to_string().contains("nosuchfs"), "{error}");
    });
}

fn propagation_is_cut() {
    within(NEWNS, || {
        mount::set_root_propagation(mount::MS_REC | mount::MS_SHARED).unwrap();
        assert!(mountinfo().contains(" shared:"));
        mount::set_root_propagation(mount::MS_REC | mount::MS_SLAVE).unwrap();
        mount::set_root_propagation(mount::MS_REC | mount::MS_PRIVATE).unwrap();
        let info = mountinfo();
        assert!(!info.contains(" shared:") && !info.contains(" master:"), "{info}");
        assert!(mount::set_root_propagation(mount::MS_SHARED | mount::MS_PRIVATE).unwrap_err().is(Errno::EINVAL));
    });
}

fn namespaces_are_told_apart() {
    need_root();
    let before = namespaces::open_own("uts").unwrap();
    assert_eq!(namespaces::ns_type(&before).unwrap(), NEWUTS);
    assert!(namespaces::same_namespace(&before, namespaces::open_of(process::getpid(), "uts").unwrap()).unwrap());
    namespaces::unshare(NEWUTS).unwrap();
    assert!(!namespaces::same_namespace(&before, namespaces::open_own("uts").unwrap()).unwrap());
    let wrong = namespaces::setns(&before, NEWNS).unwrap_err();
    assert!(wrong.is(Errno::EINVAL), "{wrong}");
    namespaces::setns(&before, NEWUTS).unwrap();
    assert!(namespaces::same_namespace(&before, namespaces::open_own("uts").unwrap()).unwrap());
    assert!(namespaces::unshare(libc::CLONE_FILES as u64).unwrap_err().is(Errno::EINVAL));
    let file = fd::open("/proc/self/status", OFlags::RDONLY, 0).unwrap();
    assert!(namespaces::ns_type(&file).unwrap_err().is(Errno::ENOTTY));
}

fn a_pidfd_joins_several_namespaces() {
    need_root();
    let (ours, theirs) = socket::seqpacket_pair().unwrap();
    let request = CloneRequest { flags: NEWUTS | NEWNS, ..CloneRequest::default() };
    let target = start(&request, || {
        prctl::set_parent_death_signal(libc::SIGKILL).unwrap();
        hostname::set_hostname("joined").unwrap();
        socket::send(&theirs, b"ready", &[]).unwrap();
        socket::recv(&theirs, 16).unwrap();
    });
    socket::recv(&ours, 16).unwrap().expect("ready");
    let (uts, mnt) = (namespaces::open_own("uts").unwrap(), namespaces::open_own("mnt").unwrap());
    namespaces::setns(&target, NEWUTS | NEWNS).unwrap();
    assert_eq!(rustix::system::uname().nodename(), c"joined");
    assert!(!namespaces::same_namespace(&uts, namespaces::open_own("uts").unwrap()).unwrap());
    assert!(!namespaces::same_namespace(&mnt, namespaces::open_own("mnt").unwrap()).unwrap());
    socket::send(&ours, b"done", &[]).unwrap();
    pidfd::wait(&target).unwrap();
}

fn names_belong_to_their_namespace() {
    let before = rustix::system::uname().nodename().to_owned();
    within(NEWUTS, || {
        hostname::set_hostname("wolffia.example").unwrap();
        hostname::set_domainname("pond").unwrap();
        assert_eq!(rustix::system::uname().nodename(), c"wolffia.example");
        assert_eq!(fs::read_to_string("/proc/sys/kernel/domainname").unwrap(), "pond\n");
        assert!(hostname::set_hostname(&"x".repeat(65)).unwrap_err().is(Errno::EINVAL));
    });
    assert_eq!(rustix::system::uname().nodename(), before.as_c_str());
}

fn proc_must_be_a_procfs() {
    need_root();
    privately(|_| {
        let how = OpenTree { clone: true, ..OpenTree::default() };
        let part = mount::open_tree(open_dir("/proc"), "sys", how).unwrap();
        mount::move_mount(&part, open_dir("/proc")).unwrap();
        let error = ProcHandle::open().unwrap_err();
        assert!(error.is(Errno::ENODEV) && error.to_string().contains("not the root of a procfs"), "{error}");
        mount::move_mount(tmpfs(0), open_dir("/proc")).unwrap();
        let error = ProcHandle::open().unwrap_err();
        assert!(error.is(Errno::ENODEV) && error.to_string().contains("not on a procfs"), "{error}");
        assert!(ProcHandle::detached().unwrap().read("version", 1000).unwrap().starts_with(b"Linux"));
    });
}

/// An image's volume over /proc/sys/…: the write must reach the kernel all the same (CVE-2025-52881).
fn a_mount_over_a_proc_file_is_bypassed() {
    need_root();
    let scratch = Scratch::new();
    within(NEWNS | NEWUTS, || {
        mount::set_root_propagation(mount::MS_REC | mount::MS_PRIVATE).unwrap();
        let proc = ProcHandle::open().unwrap();
        let decoy = scratch.path().join("decoy");
        fs::write(&decoy, "decoy").unwrap();
        let how = OpenTree { clone: true, ..OpenTree::default() };
        let bind = mount::open_tree(open_dir(scratch.path()), "decoy", how).unwrap();
        mount::move_mount(&bind, fd::open("/proc/sys/kernel/hostname", OFlags::PATH, 0).unwrap()).unwrap();
        assert_eq!(fs::read("/proc/sys/kernel/hostname").unwrap(), b"decoy");
        proc.write("sys/kernel/hostname", b"genuine").unwrap();
        assert_eq!(rustix::system::uname().nodename(), c"genuine");
        assert_eq!(proc.read("sys/kernel/hostname", 100).unwrap(), b"genuine\n");
        assert_eq!(fs::read(&decoy).unwrap(), b"decoy");
        // A file of the same procfs is no better: sysrq-trigger in place of what was meant.
        let other = mount::open_tree(open_dir("/proc"), "version", how).unwrap();
        mount::move_mount(&other, fd::open("/proc/sys/kernel/domainname", OFlags::PATH, 0).unwrap()).unwrap();
        hostname::set_domainname("pond").unwrap();
        assert_eq!(proc.read("sys/kernel/domainname", 1000).unwrap(), b"pond\n");
    });
}

fn links_of_proc_are_refused() {
    let proc = ProcHandle::open().unwrap();
    let own = process::getpid();
    for path in ["self/status", "thread-self/status", "mounts", &format!("{own}/root/etc/passwd"), &format!("{own}/exe")] {
        let error = proc.read(path, 100).unwrap_err();
        assert!(error.is(Errno::ELOOP), "{path}: {error}");
    }
    for path in ["../etc/passwd", "/etc/passwd", "sys/../../etc/passwd", ""] {
        let error = proc.read(path, 100).unwrap_err();
        assert!(error.is(Errno::EINVAL), "{path}: {error}");
    }
    assert_eq!(proc.self_path("attr/exec").unwrap(), format!("{own}/task/{own}/attr/exec"));
    let status = proc.read(&proc.process_path("status").unwrap(), 1 << 16).unwrap();
    assert!(String::from_utf8(status).unwrap().contains(&format!("Pid:\t{own}\n")));
    let error = proc.read(&proc.self_path("status").unwrap(), 10).unwrap_err();
    assert!(error.is(Errno::EFBIG), "{error}");
    proc.write(&proc.self_path("comm").unwrap(), b"renamed").unwrap();
    assert_eq!(fs::read_to_string("/proc/self/comm").unwrap(), "renamed\n");
    let error = proc.write_for(own, "oom_score_adj", b"4711").unwrap_err();
    assert!(error.is(Errno::EINVAL) && error.to_string().contains("oom_score_adj"), "{error}");
}
