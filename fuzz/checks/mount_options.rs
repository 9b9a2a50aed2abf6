//! Lines: where, what type, what source, then an option each. What is refused is refused with the place where it stands.

use crate::common::{request, root_host, rootless_request, user_host};
use serde_json::json;

pub fn check(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut lines = text.lines();
    let (destination, kind, source) = (lines.next().unwrap_or_default(), lines.next(), lines.next());
    let mut mount = json!({ "destination": destination, "options": lines.collect::<Vec<_>>() });
    for (name, value) in [("type", kind), ("source", source)] {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            mount[name] = json!(value);
        }
    }
    let namespaces = json!([{ "type": "mount" }, { "type": "user" }]);
    let map = json!([{ "containerID": 0, "hostID": 1000, "size": 1 }]);
    let config = json!({
        "ociVersion": "1.3.0", "root": { "path": "rootfs" }, "mounts": [mount],
        "linux": { "namespaces": namespaces, "uidMappings": map, "gidMappings": map },
    });
    let Ok(config) = wolffia_spec::Config::parse(config.to_string().as_bytes()) else { return };
    for (request, host) in [(request(), root_host()), (rootless_request(), user_host())] {
        match wolffia_plan::plan(&config, &request, &host) {
            Ok(plan) => assert!(!plan.outline().is_empty()),
            Err(refusal) => assert!(!refusal.to_string().is_empty()),
        }
    }
}
