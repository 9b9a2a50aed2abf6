//! A configuration is refused or planned, and a plan can be shown.

use crate::common::{hybrid_host, request, root_host, rootless_request, user_host};
use wolffia_spec::{Config, ProcessConfig};

pub fn check(data: &[u8]) {
    // What it says of itself is for people; that it is said is looked at elsewhere.
    drop(ProcessConfig::parse(data));
    let Ok(config) = Config::parse(data) else { return };
    for (request, host) in [(request(), root_host()), (rootless_request(), user_host()), (request(), hybrid_host())] {
        match wolffia_plan::plan(&config, &request, &host) {
            Ok(plan) => assert!(!plan.outline().is_empty()),
            Err(refusal) => assert!(!refusal.to_string().is_empty()),
        }
    }
}
