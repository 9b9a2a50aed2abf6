//! The payload: for `create` and for `exec` alike.

use crate::environment::{Additions, plan_environment, plan_home};
use crate::host::Host;
use crate::ids::KnownIds;
use crate::{
    ContainerPath, Descriptors, Landlock, LandlockLayer, MemoryPolicy, Process, Recorded, Refusal, Seccomp, SeccompFilter,
    Setgroups, Terminal,
};
use crate::{capabilities, identity, labels, rlimits, scheduling};
use wolffia_spec::{Extra, oci};

/// Whether the process starts the container or joins it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Init,
    Exec,
}

/// What the decisions about a process depend on, beside its own configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessContext {
    /// JSON pointer to the process in its document: `/process` in `config.json`, empty in a `process.json`.
    pub field: String,
    pub role: Role,
    /// The ids of the container's user namespace.
    pub ids: KnownIds,
    /// Whether that namespace lets a process drop its groups.
    pub setgroups: Setgroups,
    /// Whether the payload keeps its caller's groups ([`crate::keeps_groups`]).
    pub keeps_groups: bool,
    /// Whether it is the runtime's own: then the runtime's bounding set is the limit.
    pub user_namespace_inherited: bool,
    /// Capabilities that no process of the container gets.
    pub withheld_capabilities: u64,
    /// Whether the readiness socket is in the container.
    pub notify_socket: bool,
    /// The container's execution domain and memory policy, which every process of it has (`linux.personality`,
    /// `linux.memoryPolicy`).
    pub personality: Option<u32>,
    pub memory_policy: Option<MemoryPolicy>,
    /// The container's filter ([`crate::plan_seccomp`]).
    pub seccomp: Option<SeccompFilter>,
    /// Rules that the process submits to, the container's first ([`crate::plan_landlock`]).
    pub landlock: Vec<LandlockLayer>,
    pub descriptors: Descriptors,
}

/// Decides everything about one process. Beside it come the protections that it goes without, with their reasons.
///
/// # Errors
/// A property that cannot be carried out as written.
pub fn plan_process(
    process: &oci::Process,
    extra: &Extra,
    context: &ProcessContext,
    host: &Host,
) -> Result<(Process, Vec<Recorded>), Refusal> {
    let field = context.field.as_str();
    let labels = labels::plan_labels(field, process, host)?;
    let mut recorded = Vec::new();
    let additions = Additions { listen: context.descriptors.listen, notify_socket: context.notify_socket };
    let env = plan_environment(field, process.env().as_deref().unwrap_or_default(), &additions)?;
    let affinity = scheduling::plan_affinity(field, process.exec_cpu_affinity().as_ref())?;
    let capabilities =
        capabilities::plan_capabilities(field, process.capabilities().as_ref(), extra, context, host, &mut recorded);
    recorded.extend(identity::groups_left_out(field, process.user(), context));
    let no_new_privileges = process.no_new_privileges().unwrap_or(false);
    let planned = Process {
        args: arguments(field, process)?,
        home: plan_home(&env, process.user().uid()),
        env,
        cwd: working_directory(field, process)?,
        terminal: terminal(field, process)?,
        identity: identity::plan_identity(field, process.user(), context, host)?,
        capabilities,
        no_new_privileges,
        labels,
        landlock: Landlock::of(context.landlock.clone(), no_new_privileges, &capabilities),
        seccomp: context.seccomp.clone().map(|filter| Seccomp::of(filter, no_new_privileges, &capabilities)),
        rlimits: rlimits::plan_rlimits(field, process.rlimits().as_deref().unwrap_or_default())?,
        oom_score_adj: oom_score(field, process)?,
        scheduler: process.scheduler().as_ref().map(|scheduler| scheduling::plan_scheduler(field, scheduler)).transpose()?,
        io_priority: process.io_priority().as_ref().map(|priority| scheduling::plan_io_priority(field, priority)).transpose()?,
        // config.md: the property is for processes that join; init runs where its cgroup lets it.
        cpu_affinity: if context.role == Role::Exec { affinity } else { Default::default() },
        personality: context.personality,
        memory_policy: context.memory_policy.clone(),
        descriptors: context.descriptors,
    };
    Ok((planned, recorded))
}

fn arguments(field: &str, process: &oci::Process) -> Result<Vec<String>, Refusal> {
    let args = process.args().clone().unwrap_or_default();
    if args.is_empty() {
        return Err(Refusal::new(format!("{field}/args"), "args must not be empty", r#"for example ["sh"]"#));
    }
    match args.iter().position(|arg| arg.contains('\0')) {
        None => Ok(args),
        Some(index) => Err(Refusal::new(format!("{field}/args/{index}"), "the argument contains a nul byte", "remove it")),
    }
}

fn working_directory(field: &str, process: &oci::Process) -> Result<ContainerPath, Refusal> {
    let refuse = |reason: &str| Refusal::new(format!("{field}/cwd"), reason, r#"for example "/""#);
    let cwd = process.cwd().to_str().ok_or_else(|| refuse("Cwd is not UTF-8"))?;
    if cwd.is_empty() {
        return Err(refuse("Cwd property must not be empty"));
    }
    if !cwd.starts_with('/') {
        return Err(refuse("Cwd must be an absolute path"));
    }
    ContainerPath::new(cwd).ok_or_else(|| refuse("Cwd contains a nul byte"))
}

fn terminal(field: &str, process: &oci::Process) -> Result<Option<Terminal>, Refusal> {
    // config.md: consoleSize is ignored without a terminal, so it is not even read.
    if !process.terminal().unwrap_or(false) {
        return Ok(None);
    }
    let Some(size) = process.console_size() else {
        return Ok(Some(Terminal { size: None }));
    };
    let cells = |name: &str, cells: u64| {
        u16::try_from(cells).map_err(|_| {
            Refusal::new(
                format!("{field}/consoleSize/{name}"),
                format!("a terminal cannot have {cells} rows or columns"),
                "use at most 65535",
            )
        })
    };
    let size = (cells("height", size.height())?, cells("width", size.width())?);
    // Half a size is none, as with runc.
    Ok(Some(Terminal { size: (size.0 != 0 && size.1 != 0).then_some(size) }))
}

fn oom_score(field: &str, process: &oci::Process) -> Result<Option<i32>, Refusal> {
    match process.oom_score_adj() {
        Some(score) if !(-1000..=1000).contains(&score) => Err(Refusal::new(
            format!("{field}/oomScoreAdj"),
            format!("invalid oomScoreAdj {score}"),
            "use -1000 to 1000 (proc_pid_oom_score_adj(5))",
        )),
        score => Ok(score),
    }
}
