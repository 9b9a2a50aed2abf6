//! JSON → [`Profile`], strictly: what the kernel or libseccomp would refuse later, or misread, is refused here with the
//! JSON pointer of the culprit. Unknown properties are ignored, as the specification asks.

use serde_json::{Map, Value};

use crate::arch::ListedArch;
use crate::model::{ARGUMENTS, Action, Condition, EPERM, Flags, Listener, MAX_ERRNO, Profile, Rule, Test};

/// Why a profile was refused, and where in its document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("seccomp profile at {}: {problem}", if pointer.is_empty() { "its root" } else { pointer })]
pub struct ProfileError {
    /// JSON pointer (RFC 6901) from the root of what was read.
    pub pointer: String,
    pub problem: Problem,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    #[error("not JSON: {0}")]
    NotJson(String),
    #[error("expected {0}")]
    Expected(&'static str),
    #[error("required, but missing")]
    Missing,
    #[error("no linux.seccomp in this configuration")]
    NoSeccomp,
    #[error("this is Docker's template, which Docker turns into a profile per container; give the profile of a config.json")]
    Template,
    #[error("{0:?} is not a valid action for seccomp")]
    UnknownAction(String),
    #[error("{0:?} is not a valid arch for seccomp")]
    UnknownArch(String),
    #[error("{0:?} is not a valid operator for seccomp")]
    UnknownOperator(String),
    #[error("seccomp flag {0} is not known")]
    UnknownFlag(String),
    #[error("an errno value is given for {0}, which takes none (only SCMP_ACT_ERRNO and SCMP_ACT_TRACE do)")]
    ErrnoWithoutUse(String),
    #[error("{0} is more than an errno can be (at most {limit})", limit = MAX_ERRNO)]
    ErrnoTooLarge(u64),
    #[error("a rule needs at least one syscall name")]
    NoNames,
    #[error("empty string is not a valid syscall")]
    EmptyName,
    #[error("a syscall has the arguments 0 to 5, not {0}")]
    ArgumentIndex(u64),
    #[error("SCMP_ACT_NOTIFY cannot be used for the write syscall")]
    NotifyOnWrite,
    #[error("SCMP_ACT_NOTIFY cannot be used as default action")]
    NotifyByDefault,
    #[error("listenerMetadata without a listenerPath to send it to")]
    MetadataWithoutListener,
    #[error("SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV needs a rule with SCMP_ACT_NOTIFY; the kernel refuses it alone")]
    KillableWithoutNotify,
}

impl Problem {
    pub(crate) fn at(self, pointer: impl Into<String>) -> ProfileError {
        ProfileError { pointer: pointer.into(), problem: self }
    }
}

impl Profile {
    /// Reads a profile of its own or the `linux.seccomp` of a whole `config.json`.
    pub fn from_slice(json: &[u8]) -> Result<Profile, ProfileError> {
        let document: Value = serde_json::from_slice(json).map_err(|error| Problem::NotJson(error.to_string()).at(""))?;
        Self::from_value(&document)
    }

    /// As [`Profile::from_slice`], from JSON that is parsed already.
    pub fn from_value(document: &Value) -> Result<Profile, ProfileError> {
        if document.get("ociVersion").is_none() && document.get("linux").is_none() {
            return read_profile(&Node::root(document, ""));
        }
        let seccomp = document.pointer("/linux/seccomp").filter(|value| !value.is_null());
        let value = seccomp.ok_or_else(|| Problem::NoSeccomp.at("/linux/seccomp"))?;
        read_profile(&Node::root(value, "/linux/seccomp"))
    }

    /// The checks that need more than one property at once. `base` is where the profile lies in its document.
    pub(crate) fn checked(self, base: &str) -> Result<Profile, ProfileError> {
        if self.default == Action::Notify {
            return Err(Problem::NotifyByDefault.at(format!("{base}/defaultAction")));
        }
        if self.flags.wait_killable_recv && !self.notifies() {
            return Err(Problem::KillableWithoutNotify.at(format!("{base}/flags")));
        }
        for (at, rule) in self.rules.iter().enumerate() {
            let names = || format!("{base}/syscalls/{at}/names");
            if rule.names.is_empty() {
                return Err(Problem::NoNames.at(names()));
            }
            if let Some(name) = rule.names.iter().position(String::is_empty) {
                return Err(Problem::EmptyName.at(format!("{}/{name}", names())));
            }
            // The parent learns the listener's fd from a write of the process that has just loaded the filter.
            if rule.action == Action::Notify
                && let Some(name) = rule.names.iter().position(|name| name == "write")
            {
                return Err(Problem::NotifyOnWrite.at(format!("{}/{name}", names())));
            }
        }
        Ok(self)
    }
}

impl Listener {
    pub(crate) fn checked(path: Option<String>, metadata: Option<String>, base: &str) -> Result<Option<Self>, ProfileError> {
        let set = |text: Option<String>| text.filter(|text| !text.is_empty());
        match (set(path), set(metadata)) {
            (Some(path), metadata) => Ok(Some(Listener { path, metadata })),
            (None, None) => Ok(None),
            (None, Some(_)) => Err(Problem::MetadataWithoutListener.at(format!("{base}/listenerMetadata"))),
        }
    }
}

impl Action {
    /// An action by its `SCMP_ACT_*` name and its errno.
    pub(crate) fn from_oci(name: &str, errno: Option<u64>) -> Result<Action, Problem> {
        let number = |limit: u32| match errno {
            None => Ok(EPERM),
            Some(errno) if errno <= u64::from(limit) => Ok(errno as u16),
            Some(errno) => Err(Problem::ErrnoTooLarge(errno)),
        };
        let action = match name {
            "SCMP_ACT_ERRNO" => return Ok(Action::Errno(number(MAX_ERRNO)?)),
            "SCMP_ACT_TRACE" => return Ok(Action::Trace(number(u32::from(u16::MAX))?)),
            "SCMP_ACT_KILL_PROCESS" => Action::KillProcess,
            "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD" => Action::KillThread,
            "SCMP_ACT_TRAP" => Action::Trap,
            "SCMP_ACT_NOTIFY" => Action::Notify,
            "SCMP_ACT_LOG" => Action::Log,
            "SCMP_ACT_ALLOW" => Action::Allow,
            _ => return Err(Problem::UnknownAction(name.to_string())),
        };
        if errno.is_some() { Err(Problem::ErrnoWithoutUse(name.to_string())) } else { Ok(action) }
    }
}

impl Flags {
    pub(crate) fn set(&mut self, name: &str) -> Result<(), Problem> {
        match name {
            "SECCOMP_FILTER_FLAG_TSYNC" => self.tsync = true,
            "SECCOMP_FILTER_FLAG_LOG" => self.log = true,
            "SECCOMP_FILTER_FLAG_SPEC_ALLOW" => self.spec_allow = true,
            "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV" => self.wait_killable_recv = true,
            _ => return Err(Problem::UnknownFlag(name.to_string())),
        }
        Ok(())
    }
}

impl Condition {
    /// A condition by its `SCMP_CMP_*` name. `SCMP_CMP_MASKED_EQ` has its mask in `value`.
    pub(crate) fn from_oci(argument: u64, operator: &str, value: u64, value_two: u64) -> Result<Condition, Problem> {
        let test = match operator {
            "SCMP_CMP_NE" => Test::Ne(value),
            "SCMP_CMP_LT" => Test::Lt(value),
            "SCMP_CMP_LE" => Test::Le(value),
            "SCMP_CMP_EQ" => Test::Eq(value),
            "SCMP_CMP_GE" => Test::Ge(value),
            "SCMP_CMP_GT" => Test::Gt(value),
            "SCMP_CMP_MASKED_EQ" => Test::MaskedEq { mask: value, value: value_two & value },
            _ => return Err(Problem::UnknownOperator(operator.to_string())),
        };
        let small = u8::try_from(argument).ok().filter(|small| *small < ARGUMENTS);
        let argument = small.ok_or(Problem::ArgumentIndex(argument))?;
        Ok(Condition { argument, test })
    }
}

/// A value and where it was found; that becomes a pointer only for an error.
struct Node<'a> {
    value: &'a Value,
    parent: Option<&'a Node<'a>>,
    /// Of the root: the pointer to it.
    key: &'static str,
    /// Of an item: its place in the array at `key`.
    index: Option<usize>,
}

impl<'a> Node<'a> {
    fn root(value: &'a Value, pointer: &'static str) -> Self {
        Self { value, parent: None, key: pointer, index: None }
    }

    fn pointer(&self) -> String {
        let mut pointer = self.parent.map_or_else(|| self.key.to_owned(), |parent| format!("{}/{}", parent.pointer(), self.key));
        if let Some(index) = self.index {
            pointer.push_str(&format!("/{index}"));
        }
        pointer
    }

    fn error(&self, problem: Problem) -> ProfileError {
        problem.at(self.pointer())
    }

    fn object(&self) -> Result<&'a Map<String, Value>, ProfileError> {
        self.value.as_object().ok_or_else(|| self.error(Problem::Expected("an object")))
    }

    fn text(&self) -> Result<&'a str, ProfileError> {
        self.value.as_str().ok_or_else(|| self.error(Problem::Expected("a string")))
    }

    fn number(&self) -> Result<u64, ProfileError> {
        self.value.as_u64().ok_or_else(|| self.error(Problem::Expected("an unsigned 64-bit number")))
    }

    /// A property that is there; `null` counts as absent, as Go's encoder writes it.
    fn get<'b>(&'b self, key: &'static str) -> Result<Option<Node<'b>>, ProfileError> {
        let value = self.object()?.get(key).filter(|value| !value.is_null());
        Ok(value.map(|value| Node { value, parent: Some(self), key, index: None }))
    }

    fn need<'b>(&'b self, key: &'static str) -> Result<Node<'b>, ProfileError> {
        self.get(key)?.ok_or_else(|| Problem::Missing.at(format!("{}/{key}", self.pointer())))
    }

    /// The items of an array that may be absent.
    fn items<'b>(&'b self, key: &'static str) -> Result<impl Iterator<Item = Node<'b>>, ProfileError> {
        let array = match self.get(key)? {
            None => [].as_slice(),
            Some(list) => list.value.as_array().ok_or_else(|| list.error(Problem::Expected("an array")))?.as_slice(),
        };
        let node = move |(at, value): (usize, &'b Value)| Node { value, parent: Some(self), key, index: Some(at) };
        Ok(array.iter().enumerate().map(node))
    }
}

fn read_profile(node: &Node) -> Result<Profile, ProfileError> {
    if node.get("archMap")?.is_some() {
        return Err(node.error(Problem::Template));
    }
    let default = read_action(node, "defaultAction", "defaultErrnoRet")?;
    let mut architectures = Vec::new();
    let mut untabled = Vec::new();
    for item in node.items("architectures")? {
        match ListedArch::from_oci(item.text()?) {
            Some(ListedArch::Known(arch)) => architectures.push(arch),
            Some(ListedArch::Untabled(name)) => untabled.push(name),
            Some(ListedArch::Native) => {}
            None => return Err(item.error(Problem::UnknownArch(item.text()?.to_string()))),
        }
    }
    let mut flags = Flags::DEFAULT;
    if node.get("flags")?.is_some() {
        flags = Flags::default();
        for item in node.items("flags")? {
            flags.set(item.text()?).map_err(|problem| item.error(problem))?;
        }
    }
    let text = |key| node.get(key)?.map(|node| node.text().map(str::to_string)).transpose();
    let listener = Listener::checked(text("listenerPath")?, text("listenerMetadata")?, node.key)?;
    let rules = node.items("syscalls")?.map(|rule| read_rule(&rule)).collect::<Result<_, _>>()?;
    Profile { default, architectures, untabled, flags, listener, rules }.checked(node.key)
}

fn read_action(node: &Node, action: &'static str, errno: &'static str) -> Result<Action, ProfileError> {
    let name = node.need(action)?;
    let number = node.get(errno)?;
    let value = number.as_ref().map(Node::number).transpose()?;
    Action::from_oci(name.text()?, value).map_err(|problem| match (&problem, number) {
        (Problem::ErrnoTooLarge(_) | Problem::ErrnoWithoutUse(_), Some(number)) => number.error(problem),
        _ => name.error(problem),
    })
}

fn read_rule(node: &Node) -> Result<Rule, ProfileError> {
    for key in ["includes", "excludes"] {
        if node.get(key)?.is_some_and(|found| found.value.as_object().is_some_and(|object| !object.is_empty())) {
            return Err(Problem::Template.at(format!("{}/{key}", node.pointer())));
        }
    }
    node.need("names")?;
    let names = node.items("names")?.map(|name| Ok(name.text()?.to_string())).collect::<Result<_, _>>()?;
    let action = read_action(node, "action", "errnoRet")?;
    let conditions = node.items("args")?.map(|test| read_condition(&test)).collect::<Result<_, _>>()?;
    Ok(Rule { names, action, conditions })
}

fn read_condition(node: &Node) -> Result<Condition, ProfileError> {
    let index = node.need("index")?;
    let operator = node.need("op")?;
    let value = node.need("value")?.number()?;
    let value_two = node.get("valueTwo")?.map_or(Ok(0), |node| node.number())?;
    let argument = index.number()?;
    Condition::from_oci(argument, operator.text()?, value, value_two).map_err(|problem| match problem {
        Problem::ArgumentIndex(_) => index.error(problem),
        other => operator.error(other),
    })
}
