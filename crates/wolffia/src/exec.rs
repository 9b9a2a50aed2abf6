//! A further process in a container.

use crate::container::Container;
use crate::create::single_threaded;
use crate::error::{Error, Result, cause};
use crate::terminal::Terminal;
use std::os::fd::AsFd;
use std::path::PathBuf;
use wolffia_host::Needs;
use wolffia_launch::{Exec, Running};
use wolffia_plan::{
    Descriptors, LandlockLayer, NamespaceKind, Process, ProcessContext, Recorded, Role, Step, plan_landlock, plan_process,
    plan_seccomp,
};
use wolffia_spec::{Config, ProcessConfig, oci};
use wolffia_state::Operation;

/// What `exec` runs, and how.
#[derive(Debug, Clone)]
pub struct ExecOptions {
    pub process: ExecProcess,
    pub terminal: Terminal,
    pub pid_file: Option<PathBuf>,
    /// Send a pidfd of the process to this unix socket.
    pub pidfd_socket: Option<PathBuf>,
    pub preserve_fds: u32,
    pub listen_fds: u32,
    /// Run also in a paused container: the process starts when it is resumed.
    pub ignore_paused: bool,
    /// Cgroups below the container's own: `[CONTROLLER[,CONTROLLER…]:]PATH`. Controllers are for cgroup v1.
    pub cgroups: Vec<String>,
}

impl ExecOptions {
    /// Without a terminal, a pid file, or descriptors beyond the three streams.
    pub fn new(process: ExecProcess) -> Self {
        Self {
            process,
            terminal: Terminal::None,
            pid_file: None,
            pidfd_socket: None,
            preserve_fds: 0,
            listen_fds: 0,
            ignore_paused: false,
            cgroups: Vec::new(),
        }
    }
}

/// The process of `exec`.
#[derive(Debug, Clone)]
pub enum ExecProcess {
    /// Complete: `exec --process FILE`.
    Given(Box<ProcessConfig>),
    /// The container's own process, changed by flags.
    Derived(Overrides),
}

/// The flags of `exec` that change the container's own process.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    pub args: Vec<String>,
    pub cwd: Option<String>,
    /// `NAME=value`, added to the container's environment.
    pub env: Vec<String>,
    pub user: Option<(u32, Option<u32>)>,
    pub additional_gids: Vec<u32>,
    pub terminal: bool,
    /// Added to the bounding, effective and permitted sets, never to the inheritable one (CVE-2022-29162).
    pub capabilities: Vec<String>,
    pub no_new_privileges: Option<bool>,
    pub apparmor: Option<String>,
    pub process_label: Option<String>,
}

impl Container {
    /// Runs a process in the container. It is this process's own child; returns when it is executed.
    pub fn exec(&self, options: &ExecOptions) -> Result<Running> {
        single_threaded()?;
        self.allow(if options.ignore_paused { Operation::ExecIgnorePaused } else { Operation::Exec })?;
        let (process, recorded) = self.plan_exec(options)?;
        for missing in recorded {
            crate::warn(&format!("{}: {}", missing.field, missing.reason));
        }
        crate::protection::require_sealed_for(&self.record.launch)?;
        options.terminal.fits(Some(&process))?;
        let init = self.init()?.ok_or_else(|| self.vanished())?;
        let cgroups = self.exec_cgroups(&options.cgroups)?;
        let join = |pid| cgroups.join(pid).map_err(cause);
        let launch = &self.record.launch;
        let running = wolffia_launch::exec(Exec {
            process: &process,
            state: self.hook_state("running"),
            init: init.as_fd(),
            namespaces: &launch.namespaces,
            setup: launch.setup,
            tuned_by: launch.tuned_by,
            cgroup: cgroups.birthplace(),
            join: cgroups.joins().then_some(&join),
            new_keyring: launch.session_keyring,
            console: &mut |name, master| options.terminal.receive(name, master),
            trace: self.runtime.trace(),
        })
        .map_err(|failure| cgroups.explained(failure))?;
        match self.tell_pid(options, &running) {
            Ok(()) => Ok(running),
            Err(error) => {
                if let Some(path) = &options.pid_file {
                    crate::pid_file::remove(path);
                }
                // A process of which its caller learns nothing must not go on.
                running.end().map_err(|source| Error::System { act: "end the process", source })?;
                Err(error)
            }
        }
    }

    fn tell_pid(&self, options: &ExecOptions, running: &Running) -> Result<()> {
        if let Some(path) = &options.pid_file {
            let what = || path.display().to_string();
            self.stage().act(Step::PidFile, what, || crate::pid_file::write(path, running.pid))?;
        }
        if let Some(path) = &options.pidfd_socket {
            let what = || path.display().to_string();
            self.stage().act(Step::PidFile, what, || crate::pid_file::send_pidfd(path, running.pidfd.as_fd()))?;
        }
        Ok(())
    }

    fn plan_exec(&self, options: &ExecOptions) -> Result<(Process, Vec<Recorded>)> {
        let launch = &self.record.launch;
        let config = self.config()?;
        // Compiled again: that is quicker than to keep the program and read it with every command.
        let seccomp = match config.spec.linux() {
            Some(linux) => plan_seccomp(linux)?.0,
            None => None,
        };
        let keeps_groups = wolffia_plan::keeps_groups(&config.spec)?;
        let context = |field: &str, landlock: Vec<LandlockLayer>| ProcessContext {
            field: field.to_owned(),
            role: Role::Exec,
            ids: launch.ids.clone(),
            setgroups: launch.setgroups,
            keeps_groups,
            user_namespace_inherited: !launch.namespaces.contains(&NamespaceKind::User),
            withheld_capabilities: launch.withheld_capabilities,
            notify_socket: false,
            personality: launch.personality,
            memory_policy: launch.memory_policy.clone(),
            seccomp: seccomp.clone(),
            landlock,
            descriptors: Descriptors { listen: options.listen_fds, preserve: options.preserve_fds },
        };
        let host = wolffia_host::probe(Needs { subordinate_ids: false, security_modules: true, resctrl: false })?;
        // As `create` had them, from the record: the file that they came from may have changed.
        let mut layers = launch.landlock.clone();
        match &options.process {
            ExecProcess::Given(given) => {
                let (mut own, mut not_had) = plan_landlock(given.extra.landlock.iter(), false, &host)?;
                layers.append(&mut own);
                let (process, mut recorded) = plan_process(&given.process, &given.extra, &context("", layers), &host)?;
                recorded.append(&mut not_had);
                Ok((process, recorded))
            }
            ExecProcess::Derived(overrides) => {
                let process = derived(&config, overrides)?;
                Ok(plan_process(&process, &config.extra, &context("/process", layers), &host)?)
            }
        }
    }

    /// The configuration as it was at `create`.
    pub(crate) fn config(&self) -> Result<Config> {
        Ok(Config::parse(&self.dir.config()?.unwrap_or_default())?)
    }
}

/// The container's own process, changed by flags.
fn derived(config: &Config, overrides: &Overrides) -> Result<oci::Process> {
    let mut process = config.spec.process().clone().ok_or_else(|| Error::Usage {
        reason: "process property must not be empty".to_owned(),
        cure: "the container was created without one: use exec --process",
    })?;
    overrides.apply(&mut process)?;
    Ok(process)
}

impl Overrides {
    fn apply(&self, process: &mut oci::Process) -> Result<()> {
        process.set_args(Some(self.args.clone()));
        process.set_terminal(Some(self.terminal));
        if let Some(cwd) = &self.cwd {
            process.set_cwd(cwd.into());
        }
        let mut env = process.env().clone().unwrap_or_default();
        env.extend(self.env.iter().cloned());
        process.set_env(Some(env));
        let mut user = process.user().clone();
        if let Some((uid, gid)) = self.user {
            user.set_uid(uid);
            if let Some(gid) = gid {
                user.set_gid(gid);
            }
        }
        let mut groups = user.additional_gids().clone().unwrap_or_default();
        groups.extend(&self.additional_gids);
        user.set_additional_gids((!groups.is_empty()).then_some(groups));
        process.set_user(user);
        if let Some(value) = self.no_new_privileges {
            process.set_no_new_privileges(Some(value));
        }
        if let Some(profile) = &self.apparmor {
            process.set_apparmor_profile(Some(profile.clone()));
        }
        if let Some(label) = &self.process_label {
            process.set_selinux_label(Some(label.clone()));
        }
        self.add_capabilities(process)
    }

    fn add_capabilities(&self, process: &mut oci::Process) -> Result<()> {
        if self.capabilities.is_empty() {
            return Ok(());
        }
        let mut sets = process.capabilities().clone().unwrap_or_default();
        for name in &self.capabilities {
            // The specification's names have a prefix that the type's own do not have.
            let short = name.strip_prefix("CAP_").unwrap_or(name);
            let capability: oci::Capability = short.parse().map_err(|_| Error::Usage {
                reason: format!("unknown capability {name:?}"),
                cure: "name it as capabilities(7) does, for example CAP_NET_RAW",
            })?;
            let with = |set: &Option<oci::Capabilities>| {
                let mut set = set.clone().unwrap_or_default();
                set.insert(capability);
                Some(set)
            };
            sets.set_bounding(with(sets.bounding()));
            sets.set_effective(with(sets.effective()));
            sets.set_permitted(with(sets.permitted()));
            // As runc: only where the configuration has inheritable ones, without which no ambient one can be.
            if sets.inheritable().as_ref().is_some_and(|set| !set.is_empty()) {
                sets.set_ambient(with(sets.ambient()));
            }
        }
        process.set_capabilities(Some(sets));
        Ok(())
    }
}
