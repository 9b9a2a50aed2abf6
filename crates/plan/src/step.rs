//! The name of everything that the runtime does, in the order in which it does it. The same name
//! stands in `wolffia plan`, in `--debug` traces, in errors, in the docs and in the fault tests.

use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! steps {
    ($( $(#[doc = $doc:literal])+ $variant:ident = $name:literal by $actor:ident; )+) => {
        /// One named act of creating, starting, joining or removing a container.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum Step { $( $(#[doc = $doc])+ #[serde(rename = $name)] $variant, )+ }

        impl Step {
            /// Every step, in the order of execution.
            pub const ALL: &'static [Step] = &[ $( Step::$variant, )+ ];

            /// The stable name, for example `rootfs.pivot`.
            pub fn name(self) -> &'static str { match self { $( Step::$variant => $name, )+ } }

            /// What the step does, in one sentence.
            pub fn about(self) -> &'static str { match self { $( Step::$variant => concat!($($doc),+).trim_ascii(), )+ } }

            /// Which process carries it out.
            pub fn actor(self) -> Actor { match self { $( Step::$variant => Actor::$actor, )+ } }
        }
    };
}

/// The process that carries a step out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Actor {
    /// The runtime, on the host.
    Parent,
    /// The short-lived process that joins namespaces.
    Bridge,
    /// The container's first process, before it becomes the payload.
    Init,
}

steps! {
    /// Reserve the container's id and make its state directory.
    StateReserve = "state.reserve" by Parent;
    /// Make the container's cgroup.
    CgroupCreate = "cgroup.create" by Parent;
    /// Make or find the container's group of the resctrl file system (Intel RDT).
    RdtGroup = "rdt.group" by Parent;
    /// Bind the socket on which the container waits for start.
    StartSocket = "start.socket" by Parent;
    /// Clone bind mount sources that the container's user could not open.
    MountSources = "mounts.sources" by Parent;
    /// Make the process that becomes the container, inside its new namespaces.
    NamespacesClone = "namespaces.clone" by Parent;
    /// Join namespaces that exist already.
    NamespacesJoin = "namespaces.join" by Bridge;
    /// Put init where it is accounted, when it could not be born there: in the cgroup v1 hierarchies, in a scope of systemd's, or in a resctrl group.
    CgroupJoin = "cgroup.join" by Parent;
    /// Set the badness score for the out-of-memory killer.
    OomScore = "process.oomScore" by Parent;
    /// Write the user namespace's id maps.
    IdsMap = "ids.map" by Parent;
    /// Move network devices into the container's network namespace.
    NetDevicesMove = "netdevices.move" by Parent;
    /// Start a session of its own.
    SessionStart = "session.start" by Init;
    /// Enter a new cgroup namespace, now that init is in its cgroups.
    CgroupNamespace = "namespaces.cgroup" by Init;
    /// Set the offsets of the time namespace's clocks.
    TimeOffsets = "time.offsets" by Init;
    /// Take a session keyring of its own.
    SessionKeyring = "session.keyring" by Init;
    /// Become the user that sets the container up.
    IdsBecome = "ids.become" by Init;
    /// Set the limits of the container's cgroup.
    CgroupLimit = "cgroup.limit" by Parent;
    /// Give the container's cgroup to its user, who may make others in it.
    CgroupDelegate = "cgroup.delegate" by Parent;
    /// Give moved network devices their addresses and set them up.
    NetDevicesConfigure = "netdevices.configure" by Parent;
    /// Set the loopback interface of a new network namespace up.
    Loopback = "network.loopback" by Parent;
    /// Cut mount propagation to the host.
    MountsPropagation = "mounts.propagation" by Init;
    /// Make the root file system a mount of its own.
    RootfsOpen = "rootfs.open" by Init;
    /// Mount one entry of the configuration.
    Mount = "mounts.apply" by Init;
    /// Make the device nodes.
    Devices = "devices.create" by Init;
    /// Make the links in /dev.
    DeviceLinks = "devices.links" by Init;
    /// Open the container's terminal and hand it to the caller.
    Console = "console.open" by Init;
    /// Set the host name.
    Hostname = "hostname.set" by Init;
    /// Set the NIS domain name.
    Domainname = "domainname.set" by Init;
    /// Write the namespaced kernel parameters.
    Sysctl = "sysctl.write" by Init;
    /// Run the prestart hooks.
    HooksPrestart = "hooks.prestart" by Parent;
    /// Run the createRuntime hooks.
    HooksCreateRuntime = "hooks.createRuntime" by Parent;
    /// Run the createContainer hooks.
    HooksCreateContainer = "hooks.createContainer" by Init;
    /// Make the root file system the root directory and let go of the host's.
    RootfsPivot = "rootfs.pivot" by Init;
    /// Make the working directory when it is missing.
    CwdMake = "process.cwdMake" by Init;
    /// Make single paths read-only.
    ReadonlyPaths = "paths.readonly" by Init;
    /// Hide paths.
    MaskedPaths = "paths.mask" by Init;
    /// Make the root file system read-only.
    RootfsReadonly = "rootfs.readonly" by Init;
    /// Set the root mount's propagation.
    RootfsPropagation = "rootfs.propagation" by Init;
    /// Set the execution domain.
    Personality = "process.personality" by Init;
    /// Set the NUMA memory policy.
    MemoryPolicy = "process.memoryPolicy" by Init;
    /// Set resource limits.
    Rlimits = "process.rlimits" by Init;
    /// Set the CPU scheduler's attributes.
    Scheduler = "process.scheduler" by Init;
    /// Set the I/O priority.
    IoPriority = "process.ioPriority" by Init;
    /// Pin the process to CPUs.
    CpuAffinity = "process.cpuAffinity" by Init;
    /// Drop capabilities from the bounding set.
    CapabilitiesBound = "capabilities.bound" by Init;
    /// Name the AppArmor profile of the program.
    Apparmor = "labels.apparmor" by Init;
    /// Name the SELinux label of the program.
    Selinux = "labels.selinux" by Init;
    /// Make the Landlock rules, with the paths that they are about open.
    LandlockRules = "landlock.rules" by Init;
    /// Submit to the Landlock rules, while the right to do so is still there.
    LandlockEarly = "landlock.restrictEarly" by Init;
    /// Load the system call filter, while the right to do so is still there.
    SeccompEarly = "seccomp.loadEarly" by Init;
    /// Become the container's user.
    Identity = "identity.become" by Init;
    /// Set the capability sets.
    Capabilities = "capabilities.set" by Init;
    /// Give up gaining privileges by exec.
    NoNewPrivileges = "process.noNewPrivileges" by Init;
    /// Enter the working directory.
    Cwd = "process.cwd" by Init;
    /// Find the executable.
    Executable = "process.executable" by Init;
    /// Submit to the Landlock rules.
    Landlock = "landlock.restrict" by Init;
    /// Load the system call filter and hand its listener to the agent.
    SeccompNotify = "seccomp.loadNotify" by Init;
    /// Write the pid file.
    PidFile = "state.pidFile" by Parent;
    /// Write the container's record: it is created.
    StateCommit = "state.commit" by Parent;
    /// Wait for start.
    StartWait = "start.wait" by Init;
    /// Run the startContainer hooks.
    HooksStartContainer = "hooks.startContainer" by Init;
    /// Leave only the payload's file descriptors open.
    Descriptors = "descriptors.close" by Init;
    /// Load the system call filter, as the last act before the program.
    Seccomp = "seccomp.load" by Init;
    /// Execute the container's program.
    Exec = "process.exec" by Init;
    /// Run the poststart hooks.
    HooksPoststart = "hooks.poststart" by Parent;
    /// Save the container's processes with CRIU.
    CheckpointDump = "checkpoint.dump" by Parent;
    /// Let CRIU restore the container's processes.
    RestoreProcesses = "restore.processes" by Parent;
    /// Compare what was restored with the plan, before it goes on.
    RestoreVerify = "restore.verify" by Parent;
    /// Send a signal.
    Kill = "process.kill" by Parent;
    /// Remove the container's cgroup.
    CgroupRemove = "cgroup.remove" by Parent;
    /// Remove the container's resctrl group.
    RdtRemove = "rdt.remove" by Parent;
    /// Remove the container's state.
    StateRemove = "state.remove" by Parent;
    /// Run the poststop hooks.
    HooksPoststop = "hooks.poststop" by Parent;
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl std::str::FromStr for Step {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        Step::ALL.iter().copied().find(|step| step.name() == name).ok_or(())
    }
}
