//! Landlock: what a configuration asks for, against what this kernel has, and the moment at which a process submits to it.

use crate::host::Host;
use crate::{Capabilities, ContainerPath, Recorded, Refusal, Step};
use serde::{Deserialize, Serialize};
use wolffia_spec::Config;
use wolffia_spec::landlock::{ABI_NEWEST, ANNOTATION_FILE, ANNOTATION_REQUIRED, Kind, Landlock as Asked, linux_of};

/// The layers of rules of a process, and when it submits to them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Landlock {
    pub moment: LandlockMoment,
    /// What one of them denies stays denied. They are opened and filled before the identity changes, in this order.
    pub layers: Vec<LandlockLayer>,
}

/// When a process submits to its rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LandlockMoment {
    /// While the process still has CAP_SYS_ADMIN: without no_new_privs the kernel asks for it (landlock_restrict_self(2)).
    BeforeIdentity,
    /// When the program is found, before any filter of system calls.
    BeforeFilter,
}

/// One rule set, as the kernel takes it. Every bit is one that this kernel knows, as far as this program can tell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LandlockLayer {
    /// Denied unless a rule allows it (`LANDLOCK_ACCESS_FS_*`, `LANDLOCK_ACCESS_NET_*`).
    pub handled_fs: u64,
    pub handled_net: u64,
    /// `LANDLOCK_SCOPE_*`.
    pub scoped: u64,
    pub paths: Vec<LandlockPath>,
    pub ports: Vec<LandlockPort>,
    /// Rights on the files that descriptors 0, 1 and 2 are open on, as far as they are open for it.
    pub streams: u64,
}

/// Rights on what is at a path and below it. The kernel takes rights that are for directories on nothing else: whoever opens the
/// path leaves them out where it is none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LandlockPath {
    pub field: String,
    pub path: ContainerPath,
    pub access: u64,
    /// Passed over if it does not exist; otherwise that is an error.
    pub optional: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LandlockPort {
    pub port: u16,
    pub access: u64,
}

impl LandlockMoment {
    /// What submitting is called at this moment.
    pub fn step(self) -> Step {
        match self {
            LandlockMoment::BeforeIdentity => Step::LandlockEarly,
            LandlockMoment::BeforeFilter => Step::Landlock,
        }
    }
}

impl Landlock {
    /// Decides when a process with these rights submits to `layers`; `None` without any.
    pub(crate) fn of(layers: Vec<LandlockLayer>, no_new_privileges: bool, capabilities: &Capabilities) -> Option<Self> {
        let may_be_late = no_new_privileges || capabilities.effective & crate::capabilities::SYS_ADMIN != 0;
        let moment = if may_be_late { LandlockMoment::BeforeFilter } else { LandlockMoment::BeforeIdentity };
        (!layers.is_empty()).then_some(Self { moment, layers })
    }
}

/// The rules of a container: `process.landlock` and the file of the annotation, a layer each. Beside them comes what this kernel
/// has not got of them.
///
/// # Errors
/// As [`plan_landlock`], and annotations that are not carried out as they stand.
pub(crate) fn plan_container_landlock(config: &Config, host: &Host) -> Result<(Vec<LandlockLayer>, Vec<Recorded>), Refusal> {
    let annotation = |name: &str| config.spec.annotations().as_ref().and_then(|all| all.get(name)).map(String::as_str);
    if annotation(ANNOTATION_FILE).is_some() && config.extra.landlock_file.is_none() {
        return Err(Refusal::new(
            format!("/annotations/{ANNOTATION_FILE}"),
            "the file of Landlock rules was not read",
            "load the configuration with its bundle, or remove the annotation",
        ));
    }
    let required = match annotation(ANNOTATION_REQUIRED) {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => {
            let field = format!("/annotations/{ANNOTATION_REQUIRED}");
            return Err(Refusal::new(field, "neither \"true\" nor \"false\"", "write one of them"));
        }
    };
    plan_landlock(config.extra.landlock.iter().chain(&config.extra.landlock_file), required, host)
}

/// A layer for each of `asked`, as far as this kernel has it. Beside them comes what it has not got.
///
/// # Errors
/// Rules that are required (or all, if `required`) and cannot be had, with the kernel that would do; a path that is none.
pub fn plan_landlock<'a>(
    asked: impl Iterator<Item = &'a Asked>,
    required: bool,
    host: &Host,
) -> Result<(Vec<LandlockLayer>, Vec<Recorded>), Refusal> {
    let (mut layers, mut recorded) = (Vec::new(), Vec::new());
    for asked in asked {
        let missing = missing(asked, host.landlock_abi);
        if let Some(refusal) = refusal(asked, &missing, required || asked.required, host.landlock_abi) {
            return Err(refusal);
        }
        recorded.extend(missing.recorded(&asked.field, host.landlock_abi));
        layers.extend(layer(asked, host.landlock_abi)?);
    }
    Ok((layers, recorded))
}

/// The part of `bits` that the kernel has. Beyond what this program knows only the kernel can tell.
fn had(kind: Kind, bits: u64, abi: u32) -> u64 {
    if abi > ABI_NEWEST { bits } else { bits & kind.of_abi(abi) }
}

fn layer(asked: &Asked, abi: u32) -> Result<Option<LandlockLayer>, Refusal> {
    let mut layer = LandlockLayer {
        handled_fs: had(Kind::Fs, asked.handled_fs, abi),
        handled_net: had(Kind::Net, asked.handled_net, abi),
        scoped: had(Kind::Scope, asked.scoped, abi),
        paths: Vec::new(),
        ports: Vec::new(),
        streams: had(Kind::Fs, asked.streams, abi),
    };
    if layer.handled_fs | layer.handled_net | layer.scoped == 0 {
        return Ok(None);
    }
    for rule in &asked.paths {
        let access = had(Kind::Fs, rule.allowed, abi);
        for text in &rule.paths {
            let path = ContainerPath::new(text).filter(|_| text.starts_with('/')).ok_or_else(|| {
                Refusal::new(
                    &rule.field,
                    format!("{text:?} is not an absolute path"),
                    "write it from / on, as the container sees it",
                )
            })?;
            layer.paths.push(LandlockPath { field: rule.field.clone(), path, access, optional: rule.optional });
        }
    }
    for rule in &asked.ports {
        let access = had(Kind::Net, rule.allowed, abi);
        layer.ports.extend(rule.ports.iter().map(|port| LandlockPort { port: *port, access }));
    }
    // The kernel takes no rule that allows nothing.
    layer.paths.retain(|rule| rule.access != 0);
    layer.ports.retain(|rule| rule.access != 0);
    Ok(Some(layer))
}

/// What is asked for beyond what the kernel has.
struct Missing {
    names: Vec<String>,
    /// The ABI that has it all; `None` if this program does not know it.
    abi: Option<u32>,
}

fn missing(asked: &Asked, abi: u32) -> Missing {
    let kinds = [(Kind::Fs, asked.handled_fs), (Kind::Net, asked.handled_net), (Kind::Scope, asked.scoped)];
    let lost = kinds.map(|(kind, bits)| (kind, bits & !had(kind, bits, abi)));
    let names = lost.iter().flat_map(|(kind, bits)| kind.names(*bits)).collect();
    let abis: Option<Vec<u32>> = lost.iter().map(|(kind, bits)| kind.abi_of(*bits)).collect();
    Missing { names, abi: abis.and_then(|abis| abis.into_iter().max()) }
}

impl Missing {
    fn recorded(&self, field: &str, abi: u32) -> Option<Recorded> {
        let names = self.names.join(", ");
        let reason = match (self.names.is_empty(), abi) {
            (true, _) => return None,
            (false, 0) => format!("the kernel has no Landlock, and nothing of it is enforced: {names}"),
            (false, abi) => format!("the kernel gave Landlock ABI {abi}, which lacks {names} ({})", wanted(self.abi)),
        };
        Some(Recorded { field: field.to_owned(), reason })
    }
}

/// What this kernel cannot give and has to.
fn refusal(asked: &Asked, missing: &Missing, required: bool, abi: u32) -> Option<Refusal> {
    let has = if abi == 0 { "the kernel has no Landlock".to_owned() } else { format!("the kernel has Landlock ABI {abi}") };
    let boot = if abi == 0 { ", with landlock in the list of the boot parameter lsm=" } else { "" };
    if asked.minimum_abi > abi {
        let reason = format!("{has}, and ABI {} is the least that is asked for", asked.minimum_abi);
        return Some(Refusal::new(&asked.field, reason, format!("needs {}{boot}", wanted(Some(asked.minimum_abi)))));
    }
    (required && !missing.names.is_empty()).then(|| {
        let reason = format!("{has}, which lacks {}, and the rules are required", missing.names.join(", "));
        Refusal::new(&asked.field, reason, format!("needs {}{boot}; or let it be best effort", wanted(missing.abi)))
    })
}

fn wanted(abi: Option<u32>) -> String {
    match abi.map(|abi| (abi, linux_of(abi))) {
        Some((abi, Some(linux))) => format!("Linux {linux}, ABI {abi}"),
        Some((abi, None)) => format!("a Linux that has ABI {abi}"),
        None => format!("a Linux that is newer than ABI {ABI_NEWEST}"),
    }
}
