//! All decisions about a container, in one place and one order.

use crate::cgroup::Accounting;
use crate::host::Host;
use crate::mounts::Surroundings;
use crate::process::{ProcessContext, Role};
use crate::resources::Resources;
use crate::{
    Actor, Descriptors, Ids, LandlockLayer, NamespaceKind, Namespaces, Opener, Plan, Process, Recorded, Refusal, Request,
    SeccompFilter, annotations, capabilities, cgroup, cgroup_owner, devices, hooks, ids, labels, landlock, mounts, namespaces,
    netdevices, paths, plan_process, plan_seccomp, rdt, resources, root, scheduling, self_protection, sysctl, version,
};
use wolffia_spec::{Config, oci};

/// Decides everything that `create` and `start` will do, or says why they will not.
///
/// # Errors
/// The first property that cannot be carried out on this host as it is written.
pub fn plan(config: &Config, request: &Request, host: &Host) -> Result<Plan, Refusal> {
    let spec = &config.spec;
    version::check_version(spec.version())?;
    let linux = spec
        .linux()
        .as_ref()
        .ok_or_else(|| Refusal::new("/linux", "the configuration is not one for Linux", "add `linux` with its namespaces"))?;
    let mut recorded = annotations::plan_annotations(spec)?;
    let namespaces = namespaces::plan_namespaces(linux, host)?;
    let (ids, known_ids) = ids::plan_ids(spec, linux, &namespaces, host)?;
    let resources = resources::plan_resources(linux.resources().as_ref(), host)?;
    let Accounting { cgroup, legacy, mut resources } = cgroup::plan_cgroup(spec, linux, resources, request, host)?;
    recorded.append(&mut resources.recorded);
    let rdt = rdt::plan_rdt(linux, &request.id, host)?;
    let around =
        Surroundings { request, host, namespaces: &namespaces, ids: &known_ids, cgroup: &cgroup, legacy: legacy.as_ref() };
    let mut mounts = mounts::plan_mounts(spec, &around)?;
    let cgroup_owner = cgroup_owner::plan_cgroup_owner(spec, &around, &mounts);
    let mount_label = labels::plan_mount_label(linux, host)?;
    if let Some(label) = &mount_label {
        labels::label_mounts(&mut mounts, label);
    }
    let root = root::plan_root(spec, linux, &namespaces, request, host)?;
    let mut device_plan = devices::plan_devices(linux, &root, &mounts, &namespaces, &known_ids, host)?;
    recorded.append(&mut device_plan.recorded);
    let withheld_capabilities = withheld_capabilities(&resources, &around);
    let (filter, mut without_effect) = plan_seccomp(linux)?;
    recorded.append(&mut without_effect);
    let (layers, mut not_had) = landlock::plan_container_landlock(config, host)?;
    recorded.append(&mut not_had);
    let process =
        plan_payload(config, linux, &around, &ids, withheld_capabilities, (filter, layers))?.map(|(process, mut without)| {
            recorded.append(&mut without);
            process
        });
    Ok(Plan {
        bundle: request.bundle.clone(),
        annotations: spec.annotations().iter().flatten().map(|(key, value)| (key.clone(), value.clone())).collect(),
        self_protection: self_protection::plan_self_protection(&ids, process.as_ref(), &request.binary),
        time_offsets: namespaces::plan_time_offsets(linux, &namespaces)?,
        net_devices: netdevices::plan_net_devices(linux, &namespaces, host)?,
        masked_paths: paths::plan_paths("/linux/maskedPaths", linux.masked_paths())?,
        readonly_paths: paths::plan_paths("/linux/readonlyPaths", linux.readonly_paths())?,
        sysctl: sysctl::plan_sysctl(linux, &namespaces)?,
        hooks: hooks::plan_hooks(spec.hooks().as_ref())?,
        session_keyring: !request.no_new_keyring,
        // The same condition: what init's user namespace takes away, the runtime still has.
        tuned_by: if root.opened_by == Opener::Parent { Actor::Parent } else { Actor::Init },
        withheld_capabilities,
        devices: device_plan.devices,
        device_links: device_plan.links,
        hostname: name("hostname", spec.hostname(), &namespaces)?,
        domainname: name("domainname", spec.domainname(), &namespaces)?,
        namespaces,
        ids,
        cgroup,
        legacy_cgroups: legacy,
        cgroup_owner,
        resources,
        rdt,
        root,
        mounts,
        mount_label,
        process,
        recorded,
    })
}

/// Where no device program bounds it, CAP_MKNOD opens every device of the host, unless a user namespace makes it harmless.
fn withheld_capabilities(resources: &Resources, around: &Surroundings) -> u64 {
    let bounded = resources.devices.is_some() || resources.legacy.iter().any(|write| write.controller == "devices");
    if bounded || around.in_user_namespace() { 0 } else { capabilities::MKNOD }
}

/// The process of `config.json`. Without one `create` works, and `start` is an error (runtime.md).
fn plan_payload(
    config: &Config,
    linux: &oci::Linux,
    around: &Surroundings,
    ids: &Ids,
    withheld_capabilities: u64,
    (seccomp, landlock): (Option<SeccompFilter>, Vec<LandlockLayer>),
) -> Result<Option<(Process, Vec<Recorded>)>, Refusal> {
    let Some(process) = config.spec.process() else {
        return Ok(None);
    };
    let request = around.request;
    let context = ProcessContext {
        field: "/process".to_owned(),
        role: Role::Init,
        ids: around.ids.clone(),
        setgroups: ids.setgroups(),
        keeps_groups: annotations::keeps_groups(&config.spec)?,
        user_namespace_inherited: *ids == Ids::Inherited,
        withheld_capabilities,
        notify_socket: request.notify_directory.is_some(),
        personality: linux.personality().as_ref().map(scheduling::plan_personality).transpose()?,
        memory_policy: linux.memory_policy().as_ref().map(scheduling::plan_memory_policy).transpose()?,
        seccomp,
        landlock,
        descriptors: Descriptors { listen: request.listen_fds, preserve: request.preserve_fds },
    };
    plan_process(process, &config.extra, &context, around.host).map(Some)
}

/// Longest host and domain name (`__NEW_UTS_LEN`).
const LONGEST_NAME: usize = 64;

/// Reads `hostname` or `domainname`; an empty one is none.
fn name(property: &str, given: &Option<String>, namespaces: &Namespaces) -> Result<Option<String>, Refusal> {
    let Some(name) = given.as_ref().filter(|name| !name.is_empty()) else {
        return Ok(None);
    };
    let refuse = |reason: String, cure: &str| Err(Refusal::new(format!("/{property}"), reason, cure));
    if !namespaces.is_private(NamespaceKind::Uts) {
        return refuse(
            format!("unable to set {property} without a private UTS namespace"),
            r#"add {"type":"uts"} to linux.namespaces"#,
        );
    }
    if name.len() > LONGEST_NAME || name.contains(|c: char| c.is_control()) {
        return refuse(
            format!("the {property} is longer than {LONGEST_NAME} bytes or holds a control character"),
            "shorten or clean it",
        );
    }
    Ok(Some(name.clone()))
}
