//! What is remembered of one container.

use crate::{ContainerId, Timestamp};
use serde::de::{Error, Unexpected};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The content of `state.json`. `T` is what the launching side wants to find again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record<T> {
    pub version: Version1,
    pub id: ContainerId,
    /// `ociVersion` of the configuration.
    pub oci_version: String,
    /// Absolute.
    pub bundle: PathBuf,
    /// Absolute.
    pub rootfs: PathBuf,
    /// The container's first process, in the pid namespace of the runtime that made it.
    pub pid: i32,
    /// When that process was started, in clock ticks since boot ([`crate::ProcessStat`]).
    pub start_time: u64,
    pub created: Timestamp,
    pub annotations: BTreeMap<String, String>,
    /// Effective uid of the creator.
    pub owner: u32,
    pub phase: Phase,
    /// Directory of the container's cgroup, absolute; `None` if it stayed in the creator's.
    pub cgroup: Option<PathBuf>,
    /// What `exec` joins.
    pub namespaces: Vec<NamespaceRecord>,
    pub launch: T,
}

/// How far `create` came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// At work, or killed at it: the lock tells which.
    Creating,
    /// Done.
    Created,
}

/// One namespace of the container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamespaceRecord {
    /// As config.json names it, for example `network`.
    pub kind: String,
    /// Where it was joined; `None` if it was made for this container.
    pub path: Option<PathBuf>,
}

/// The version of the record's form. Reading any other is an error, because guessing could weaken `exec`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Version1;

impl Version1 {
    const NUMBER: u64 = 1;
}

impl Serialize for Version1 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(Self::NUMBER)
    }
}

impl<'de> Deserialize<'de> for Version1 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u64::deserialize(deserializer)? {
            Self::NUMBER => Ok(Self),
            other => Err(D::Error::invalid_value(Unexpected::Unsigned(other), &"version 1 of the record")),
        }
    }
}
