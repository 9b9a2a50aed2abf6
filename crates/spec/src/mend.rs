//! Valid configurations that the types of `oci-spec` reject, put into words that they accept.
//!
//! It runs only when the plain parse fails or may have lost something, so that it costs the usual case nothing.

use crate::{Extra, UnknownCapability, oci};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// The specification's spellings of scheduler flags beside those of `oci-spec` 0.10.
const SCHEDULER_FLAGS: [(&str, &str); 2] =
    [("SCHED_FLAG_RESET_ON_FORK", "SCHED_RESET_ON_FORK"), ("SCHED_FLAG_DL_OVERRUN", "SCHED_FLAG_D_L_OVERRUN")];

/// Sections for other platforms, which are none of a Linux runtime's business even when they are malformed.
const FOREIGN_PLATFORMS: [&str; 5] = ["windows", "solaris", "zos", "vm", "freebsd"];

/// Mends a `config.json`.
pub fn config(document: &mut Value, extra: &mut Extra) {
    drop_nulls(document);
    if let Some(top) = document.as_object_mut() {
        top.retain(|key, _| !FOREIGN_PLATFORMS.contains(&key.as_str()));
    }
    if let Some(process) = document.get_mut("process") {
        mend_process(process, "/process", extra);
    }
    if let Some(resources) = document.pointer_mut("/linux/resources").and_then(Value::as_object_mut) {
        mend_resources(resources);
    }
}

/// Mends a `process.json`.
pub fn process(document: &mut Value, extra: &mut Extra) {
    drop_nulls(document);
    mend_process(document, "", extra);
}

/// A property that is null is absent: so reads every caller that is written in Go.
fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|_, member| !member.is_null());
            members.values_mut().for_each(drop_nulls);
        }
        Value::Array(elements) => elements.iter_mut().for_each(drop_nulls),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn mend_process(process: &mut Value, field: &str, extra: &mut Extra) {
    let Some(process) = process.as_object_mut() else { return };
    process.entry("user").or_insert_with(|| json!({}));
    if let Some(sets) = process.get_mut("capabilities").and_then(Value::as_object_mut) {
        for (set, names) in sets {
            set_unknown_aside(names, &format!("{field}/capabilities/{set}"), extra);
        }
    }
    for flag in strings_of(process.get_mut("scheduler").and_then(|scheduler| scheduler.get_mut("flags"))) {
        if let Some((_, known)) = SCHEDULER_FLAGS.iter().find(|(name, _)| name == flag) {
            *flag = (*known).to_owned();
        }
    }
    if let Some(affinity) = process.get_mut("execCPUAffinity").and_then(Value::as_object_mut) {
        affinity.retain(|_, cpus| cpus != "");
    }
}

/// Takes the capabilities that nobody knows out of `names`, because one of them makes `oci-spec` reject them all.
fn set_unknown_aside(names: &mut Value, field: &str, extra: &mut Extra) {
    let Some(names) = names.as_array_mut() else { return };
    let mut position = 0;
    names.retain(|name| {
        let field = format!("{field}/{position}");
        position += 1;
        match name {
            Value::String(text) if oci::Capability::deserialize(name).is_err() => {
                extra.unknown_capabilities.push(UnknownCapability { field, name: text.clone() });
                false
            }
            _ => true,
        }
    });
}

fn mend_resources(resources: &mut Map<String, Value>) {
    // Absent and 0 differ since runtime-spec 1.3, and `oci-spec` reads an absent limit as 0.
    if resources.get("pids").is_some_and(|pids| pids.is_object() && pids.get("limit").is_none()) {
        resources.remove("pids");
    }
    for rule in elements_of(resources.get_mut("devices")).filter_map(Value::as_object_mut) {
        rule.retain(|key, value| key != "type" || value != "");
    }
    for limit in elements_of(resources.get_mut("hugepageLimits")).filter_map(|entry| entry.get_mut("limit")) {
        // Lossless: the kernel's counters end at LONG_MAX bytes, and it reads anything above as that (page_counter.h).
        if limit.as_u64().is_some_and(|bytes| i64::try_from(bytes).is_err()) {
            *limit = i64::MAX.into();
        }
    }
}

fn elements_of(list: Option<&mut Value>) -> impl Iterator<Item = &mut Value> {
    list.and_then(Value::as_array_mut).into_iter().flatten()
}

fn strings_of(list: Option<&mut Value>) -> impl Iterator<Item = &mut String> {
    elements_of(list).filter_map(|element| match element {
        Value::String(text) => Some(text),
        _ => None,
    })
}
