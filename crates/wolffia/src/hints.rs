//! What a refusal of the kernel means, and the cure: for the failures that people meet.

use wolffia_launch::Failure;
use wolffia_plan::Step;
use wolffia_sys::Errno;

/// The cure for a failed step; empty when the error says it all.
pub fn cure(failure: &Failure) -> &'static str {
    let errno = Errno(failure.errno);
    match (failure.step, errno) {
        (Step::NamespacesClone, _) => clone(errno),
        (Step::NamespacesJoin, Errno::EPERM) => {
            "joining a namespace takes CAP_SYS_ADMIN over it: join its user namespace too, or run as its owner"
        }
        (Step::IdsMap, Errno::EACCES) => {
            "/proc cannot be written: inside another sandbox its Landlock rules deny it, so start that one with --landlock off"
        }
        (Step::MountsPropagation, Errno::EPERM) => {
            "whoever is held by Landlock rules may not mount: start the outer container without them, a sandbox with --landlock off"
        }
        (Step::IdsMap, _) => {
            "check the ranges in /etc/subuid and /etc/subgid and that newuidmap and newgidmap are set-uid (package uidmap); `wolffia doctor` shows both"
        }
        (Step::OomScore, Errno::EACCES | Errno::EPERM) => {
            "only CAP_SYS_RESOURCE may lower the score below the caller's own: use a higher process.oomScoreAdj"
        }
        (Step::RootfsOpen | Step::MountSources, Errno::EACCES) => {
            "every directory above it must be open (x) to the container's user"
        }
        (Step::RootfsOpen | Step::Mount | Step::MountSources, Errno::ENOENT) => "make the directory, or correct the path",
        (Step::Mount, Errno::EPERM) if failure.object.contains("proc") => {
            "the kernel allows a new procfs in a user namespace only if the one that it can see has nothing mounted over it: inside \
             another container, start that one with an unmasked /proc, or drop the pid namespace"
        }
        (Step::Mount, Errno::EPERM) if failure.object.contains("sysfs") => {
            "a new sysfs needs a network namespace of the container's own, and a /sys with nothing mounted over it"
        }
        (Step::Mount, Errno::EPERM) => {
            "in a user namespace the flags that the host's mount has cannot be taken away, and only file systems made for it can be mounted"
        }
        (Step::Mount, Errno::ENODEV) => "this kernel does not know the file system: check mounts[].type, or load its module",
        (Step::Mount, Errno::EINVAL) => "an option has no meaning for this file system: see the kernel's words above",
        (Step::Mount | Step::CwdMake, Errno::EROFS) => {
            "the mount point does not exist and its file system is read-only: make it beforehand"
        }
        (Step::Devices | Step::DeviceLinks | Step::Console, Errno::EBUSY) => {
            "mount a tmpfs on /dev, or bind the host's there (`rbind`) to use it as it is"
        }
        (Step::Devices, Errno::EPERM) => {
            "mknod(2) takes CAP_MKNOD in the initial user namespace: leave the device to a bind mount"
        }
        (Step::Sysctl, Errno::EACCES | Errno::EPERM) => {
            "this parameter belongs to the host, or its namespace is not the container's own"
        }
        (Step::Sysctl, Errno::ENOENT) => "this kernel does not have the parameter",
        (Step::Rlimits, Errno::EPERM) => {
            "a hard limit above the caller's own takes CAP_SYS_RESOURCE: lower process.rlimits, or raise the caller's"
        }
        (Step::Scheduler | Step::IoPriority, Errno::EPERM) => priority(failure),
        (Step::SeccompEarly | Step::SeccompNotify | Step::Seccomp, _) => filter(errno),
        (Step::Identity, Errno::EINVAL) => "the user or group has no mapping in the container's user namespace",
        (Step::Cwd, Errno::EACCES) => "the container's user cannot enter process.cwd",
        (Step::Cwd, Errno::ELOOP) => "process.cwd must not lead through a link of /proc",
        (Step::Executable | Step::Exec, Errno::ENOENT) => {
            "check process.args[0] and PATH in process.env; a program that exists may lack its interpreter (`#!` line or dynamic loader)"
        }
        (Step::Executable | Step::Exec, Errno::EACCES) => {
            "the file must be executable by process.user and not lie on a noexec mount"
        }
        (Step::Exec, Errno::ENOEXEC) => "not a program for this machine, or a script without a `#!` line",
        _ => "",
    }
}

fn priority(failure: &Failure) -> &'static str {
    // SCHED_DEADLINE
    if failure.step == Step::Scheduler && failure.object.contains("policy: 6") {
        return "process scheduler can't be used together with AllowedCPUs: SCHED_DEADLINE wants all processors (sched_setattr(2)), \
                so leave linux.resources.cpu.cpus out";
    }
    "a better priority takes CAP_SYS_NICE; a real-time policy, a cgroup with real-time budget too"
}

fn filter(errno: Errno) -> &'static str {
    match errno {
        Errno::EINVAL => {
            "this kernel does not know one of linux.seccomp.flags, or has no filters: `wolffia features` and `wolffia doctor` say which"
        }
        Errno::EBUSY => "an outer container's filter has a listener already: the kernel takes one only",
        Errno::ENOENT | Errno::ECONNREFUSED => "start the agent that linux.seccomp.listenerPath names before the container",
        _ => "",
    }
}

fn clone(errno: Errno) -> &'static str {
    match errno {
        Errno::EPERM | Errno::EACCES => {
            "an unprivileged user needs a user namespace that the kernel allows: see kernel.unprivileged_userns_clone, \
             user.max_user_namespaces and kernel.apparmor_restrict_unprivileged_userns, or run `wolffia doctor`"
        }
        Errno::ENOSYS => {
            "clone3(2) takes Linux 5.3; inside another container or sandbox its seccomp profile denies new namespaces: start that one without it"
        }
        Errno::ENOSPC => {
            "a limit on namespaces is reached: raise user.max_user_namespaces and its siblings (namespaces(7)), or nest less deeply"
        }
        Errno::EAGAIN => "a limit on processes is reached: RLIMIT_NPROC or pids.max of the runtime's cgroup",
        Errno::EBUSY => "the container's cgroup hands controllers down, so it can hold no process (cgroups(7))",
        _ => "",
    }
}
