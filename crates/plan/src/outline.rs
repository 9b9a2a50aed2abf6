//! A plan in words: every act of `create` and `start`, one line each, in the order of execution.

use crate::{
    CgroupPlan, Hook, Ids, JoinNamespace, Labels, Landlock, MapWriter, MountKind, NamespaceKind, Opener, Plan, Process, Rdt,
    RdtGroup, RootSwitch, SelfProtection, Setgroups, Step, SystemdManager, capabilities, rlimits, words,
};
use std::fmt;
use wolffia_spec::landlock::Kind;

/// One act: its step, and what it does in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub step: Step,
    pub text: String,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<24} {}", self.step, self.text)
    }
}

impl Plan {
    /// What `create` and `start` will do. Removing the container is not part of it.
    pub fn outline(&self) -> Vec<Line> {
        let mut outline = Outline { lines: Vec::new() };
        outline.preparation(self);
        outline.namespaces(self);
        outline.root(self);
        outline.names(self);
        outline.hooks(self);
        outline.covers(self);
        outline.waiting();
        if let Some(process) = &self.process {
            outline.tuning(process);
            outline.identity(process);
            outline.payload(process);
        }
        // Stable: acts of one step keep the order of the configuration.
        outline.lines.sort_by_key(|line| line.step);
        outline.lines
    }
}

struct Outline {
    lines: Vec<Line>,
}

impl Outline {
    fn say(&mut self, step: Step, text: impl Into<String>) {
        self.lines.push(Line { step, text: text.into() });
    }

    fn preparation(&mut self, plan: &Plan) {
        let protection = match plan.self_protection {
            SelfProtection::Sealed => "run from a sealed copy of the runtime",
            SelfProtection::NotWritable => "run from the runtime's own file: no id of the container may write it",
        };
        self.say(Step::StateReserve, format!("reserve the id; {protection}"));
        match &plan.cgroup {
            CgroupPlan::Unified { mount, path, optional } => {
                let otherwise = if *optional { ", or stay in the runtime's when that is not allowed" } else { "" };
                self.say(Step::CgroupCreate, format!("{path} in {mount}{otherwise}"));
            }
            CgroupPlan::Systemd(scope) => {
                let manager = match scope.manager {
                    SystemdManager::System => "the system's".to_owned(),
                    SystemdManager::User { uid } => format!("user {uid}'s"),
                };
                self.say(Step::CgroupJoin, format!("{} systemd makes {} in {} for init", manager, scope.unit, scope.slice));
            }
            CgroupPlan::Inherited { because } => self.say(Step::CgroupCreate, format!("none, the runtime's is kept: {because}")),
        }
        if let Some(legacy) = &plan.legacy_cgroups {
            self.say(Step::CgroupCreate, format!("{} in every cgroup v1 hierarchy", legacy.path));
            self.say(Step::CgroupJoin, "init, by its pid: nothing is born into a cgroup of version 1");
        }
        if plan.enters_cgroup_namespace_late() {
            self.say(Step::CgroupNamespace, "its roots are the cgroups that init is in by now");
        }
        for write in plan.resources.writes.iter().chain(&plan.resources.legacy) {
            self.say(Step::CgroupLimit, format!("{} = {}", write.file, write.value));
        }
        if let Some(rules) = &plan.resources.devices {
            self.say(Step::CgroupLimit, format!("a device program of {} rules", rules.len()));
        }
        if let Some(uid) = plan.cgroup_owner {
            self.say(Step::CgroupDelegate, format!("to user {uid} of the host, but not its limits"));
        }
        if let Some(rdt) = &plan.rdt {
            self.rdt(rdt);
        }
        self.say(Step::StartSocket, "bind the socket that start connects to");
        if plan.root.opened_by == Opener::Parent {
            self.say(Step::MountSources, format!("{} (the root)", plan.root.path));
        }
        for mount in &plan.mounts {
            if let MountKind::Bind { source, opened_by: Opener::Parent, .. } = &mount.what {
                self.say(Step::MountSources, format!("{source} for {}", mount.destination));
            }
        }
    }

    fn rdt(&mut self, rdt: &Rdt) {
        let group = match &rdt.group {
            RdtGroup::Own { name, .. } => format!("make {name}, for this container alone"),
            RdtGroup::Existing { name, .. } if name.is_empty() => "the default group".to_owned(),
            RdtGroup::Existing { name, .. } => format!("{name}, which must be there"),
            RdtGroup::Shared { name, .. } => format!("{name}, made when it is missing"),
        };
        self.say(Step::RdtGroup, format!("{group}, in {}", rdt.mount));
        for line in rdt.group.schemata() {
            self.say(Step::RdtGroup, line.clone());
        }
        if let Some(name) = &rdt.monitoring {
            self.say(Step::RdtGroup, format!("monitoring group {name}"));
        }
        self.say(Step::CgroupJoin, "init's task in its resctrl group");
    }

    fn namespaces(&mut self, plan: &Plan) {
        let late = plan.enters_cgroup_namespace_late().then_some(NamespaceKind::Cgroup);
        let new: Vec<&str> =
            plan.namespaces.new.iter().filter(|kind| Some(**kind) != late).map(|kind| kind.spec_name()).collect();
        self.say(
            Step::NamespacesClone,
            if new.is_empty() { "no new namespaces".to_owned() } else { format!("new: {}", new.join(", ")) },
        );
        for JoinNamespace { kind, path } in &plan.namespaces.join {
            self.say(Step::NamespacesJoin, format!("{} of {path}", kind.spec_name()));
        }
        match &plan.ids {
            Ids::Inherited => {}
            Ids::Joined { setup } => {
                self.say(Step::IdsBecome, format!("{}:{} of the joined user namespace", setup.uid, setup.gid))
            }
            Ids::Mapped { uids, gids, writer, setgroups, setup } => {
                let by = match writer {
                    MapWriter::Runtime => "by the runtime".to_owned(),
                    MapWriter::Helpers { newuidmap, newgidmap } => format!("by {newuidmap} and {newgidmap}"),
                };
                let setgroups = if *setgroups == Setgroups::Deny { "; setgroups denied" } else { "" };
                self.say(Step::IdsMap, format!("uids {}; gids {}; {by}{setgroups}", words::ranges(uids), words::ranges(gids)));
                self.say(Step::IdsBecome, format!("{}:{} of the new user namespace", setup.uid, setup.gid));
            }
        }
        for device in &plan.net_devices {
            self.say(Step::NetDevicesMove, format!("{} as {}", device.host_name, device.container_name));
            self.say(Step::NetDevicesConfigure, format!("{}: addresses, and up", device.container_name));
        }
        if plan.namespaces.is_new(NamespaceKind::Time) {
            self.say(Step::TimeOffsets, "enter the new time namespace");
        }
        for offset in &plan.time_offsets {
            self.say(Step::TimeOffsets, format!("{} {} s {} ns", offset.clock, offset.seconds, offset.nanoseconds));
        }
        self.say(Step::SessionStart, "a session of its own");
        if plan.session_keyring {
            self.say(Step::SessionKeyring, "a session keyring of its own");
        }
    }

    fn root(&mut self, plan: &Plan) {
        let root = &plan.root;
        self.say(Step::MountsPropagation, format!("the whole tree {}", words::propagation(root.host_propagation)));
        self.say(Step::RootfsOpen, format!("{}, below a mount made {}", root.path, words::propagation(root.parent_propagation)));
        for mount in &plan.mounts {
            self.say(Step::Mount, words::mount(mount));
        }
        for device in &plan.devices {
            self.say(Step::Devices, format!("{}: {}", device.path, words::device(&device.how)));
        }
        for link in &plan.device_links {
            self.say(Step::DeviceLinks, format!("{} → {}", link.path, link.target));
        }
        let switch = match root.switch {
            RootSwitch::Pivot => "pivot_root, and let go of the host's root",
            RootSwitch::Move => "move it over / and chroot",
        };
        self.say(Step::RootfsPivot, switch);
        match (root.readonly, root.readonly_recursive) {
            (_, true) => self.say(Step::RootfsReadonly, "/ and all mounts below it"),
            (true, false) => self.say(Step::RootfsReadonly, "/"),
            (false, false) => {}
        }
        if let Some(flags) = root.propagation {
            self.say(Step::RootfsPropagation, format!("/ {}", words::propagation(flags)));
        }
    }

    fn names(&mut self, plan: &Plan) {
        if let Some(name) = &plan.hostname {
            self.say(Step::Hostname, name);
        }
        if let Some(name) = &plan.domainname {
            self.say(Step::Domainname, name);
        }
        for sysctl in &plan.sysctl {
            self.say(Step::Sysctl, format!("{} = {}", sysctl.path, sysctl.value));
        }
    }

    fn hooks(&mut self, plan: &Plan) {
        let lists: [(Step, &[Hook]); 5] = [
            (Step::HooksPrestart, &plan.hooks.prestart),
            (Step::HooksCreateRuntime, &plan.hooks.create_runtime),
            (Step::HooksCreateContainer, &plan.hooks.create_container),
            (Step::HooksStartContainer, &plan.hooks.start_container),
            (Step::HooksPoststart, &plan.hooks.poststart),
        ];
        for (step, hooks) in lists {
            for hook in hooks {
                let limit = hook.timeout_seconds.map_or(String::new(), |seconds| format!(", at most {seconds} s"));
                self.say(step, format!("{} {:?}{limit}", hook.path, hook.args));
            }
        }
    }

    fn covers(&mut self, plan: &Plan) {
        for path in &plan.readonly_paths {
            self.say(Step::ReadonlyPaths, path.as_str());
        }
        for path in &plan.masked_paths {
            self.say(Step::MaskedPaths, path.as_str());
        }
    }

    fn waiting(&mut self) {
        self.say(Step::PidFile, "if one was asked for");
        self.say(Step::StateCommit, "the container is created");
        self.say(Step::StartWait, "until start connects");
    }

    fn tuning(&mut self, process: &Process) {
        if let Some(score) = process.oom_score_adj {
            self.say(Step::OomScore, score.to_string());
        }
        if let Some(domain) = process.personality {
            self.say(Step::Personality, if domain == 0 { "LINUX".to_owned() } else { format!("LINUX32 ({domain:#x})") });
        }
        if let Some(policy) = &process.memory_policy {
            self.say(Step::MemoryPolicy, format!("mode {:#x}, nodes {}", policy.mode, words::list(&policy.nodes)));
        }
        for limit in &process.rlimits {
            let value = |limit: u64| if limit == u64::MAX { "unlimited".to_owned() } else { limit.to_string() };
            self.say(Step::Rlimits, format!("{} {} of {}", rlimits::name(limit.resource), value(limit.soft), value(limit.hard)));
        }
        if let Some(scheduler) = &process.scheduler {
            self.say(
                Step::Scheduler,
                format!("policy {}, nice {}, priority {}", scheduler.policy, scheduler.nice, scheduler.priority),
            );
        }
        if let Some(value) = process.io_priority {
            self.say(Step::IoPriority, format!("class {}, priority {}", value >> 13, value & 0x1fff));
        }
        let cpus = |cpus: &Option<Vec<usize>>| cpus.as_ref().map_or("as they are".to_owned(), |cpus| words::list(cpus));
        if process.cpu_affinity.initial.is_some() || process.cpu_affinity.last.is_some() {
            self.say(
                Step::CpuAffinity,
                format!("{}; then {}", cpus(&process.cpu_affinity.initial), cpus(&process.cpu_affinity.last)),
            );
        }
    }

    fn identity(&mut self, process: &Process) {
        let identity = &process.identity;
        let groups = words::groups(&identity.groups);
        self.say(Step::Identity, format!("{}:{}, {groups}, umask {:04o}", identity.uid, identity.gid, identity.umask));
        let set = |set: u64| if set == 0 { "none".to_owned() } else { capabilities::names(set).join(" ") };
        let capabilities = &process.capabilities;
        self.say(Step::CapabilitiesBound, format!("keep {}", set(capabilities.bounding)));
        for (name, bits) in [
            ("effective", capabilities.effective),
            ("permitted", capabilities.permitted),
            ("inheritable", capabilities.inheritable),
            ("ambient", capabilities.ambient),
        ] {
            self.say(Step::Capabilities, format!("{name} {}", set(bits)));
        }
        if process.no_new_privileges {
            self.say(Step::NoNewPrivileges, "no program gains privileges by exec");
        }
        self.labels(&process.labels);
        if let Some(landlock) = &process.landlock {
            self.landlock(landlock);
        }
        if let Some(seccomp) = &process.seccomp {
            let filter = &seccomp.filter;
            let agent = filter.listener.as_ref().map_or(String::new(), |listener| format!("; answered by {}", listener.path));
            let length = filter.program.0.len();
            self.say(seccomp.moment.step(), format!("{length} instructions; {}{agent}", words::seccomp_flags(filter.flags)));
        }
    }

    fn labels(&mut self, labels: &Labels) {
        if let Some(profile) = &labels.apparmor {
            self.say(Step::Apparmor, profile);
        }
        if let Some(label) = &labels.selinux {
            self.say(Step::Selinux, label);
        }
    }

    fn landlock(&mut self, landlock: &Landlock) {
        for layer in &landlock.layers {
            self.say(Step::LandlockRules, format!("deny {}", words::landlock(layer)));
            for rule in &layer.paths {
                let optional = if rule.optional { ", if it is there" } else { "" };
                self.say(
                    Step::LandlockRules,
                    format!("allow {}: {}{optional}", rule.path, Kind::Fs.names(rule.access).join(" ")),
                );
            }
            for rule in &layer.ports {
                self.say(Step::LandlockRules, format!("allow port {}: {}", rule.port, Kind::Net.names(rule.access).join(" ")));
            }
            if layer.streams != 0 {
                let names = Kind::Fs.names(layer.streams).join(" ");
                self.say(
                    Step::LandlockRules,
                    format!("allow what 0, 1 and 2 are open on: {names}, as far as they are open for it"),
                );
            }
        }
        let layers = landlock.layers.len();
        self.say(landlock.moment.step(), if layers == 1 { "1 layer".to_owned() } else { format!("{layers} layers") });
    }

    fn payload(&mut self, process: &Process) {
        if let Some(terminal) = process.terminal {
            let size = terminal.size.map_or(String::new(), |(rows, columns)| format!(" of {rows} rows and {columns} columns"));
            self.say(Step::Console, format!("a terminal{size} as /dev/console and as descriptors 0, 1, 2"));
        }
        self.say(Step::CwdMake, process.cwd.as_str());
        self.say(Step::Cwd, process.cwd.as_str());
        self.say(Step::Executable, format!("{:?}", process.args.first().map_or("", String::as_str)));
        let extra = process.descriptors.listen.saturating_add(process.descriptors.preserve);
        self.say(Step::Descriptors, if extra == 0 { "0, 1, 2".to_owned() } else { format!("0, 1, 2 and {extra} more") });
        // Names only: values are often secrets.
        let names: Vec<&str> =
            process.env.iter().map(|entry| entry.split_once('=').map_or(entry.as_str(), |(name, _)| name)).collect();
        self.say(Step::Exec, format!("{:?} with {}", process.args, names.join(", ")));
    }
}
