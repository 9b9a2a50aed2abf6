//! Resource limits.

use crate::{Refusal, Rlimit};
use oci::PosixRlimitType as Type;
use wolffia_spec::oci;

/// Reads `process.rlimits`.
///
/// # Errors
/// A type that is listed twice (config.md: MUST), and a soft limit above its hard limit.
pub(crate) fn plan_rlimits(field: &str, given: &[oci::PosixRlimit]) -> Result<Vec<Rlimit>, Refusal> {
    let mut planned: Vec<Rlimit> = Vec::with_capacity(given.len());
    for (index, limit) in given.iter().enumerate() {
        let field = format!("{field}/rlimits/{index}");
        let resource = number(limit.typ());
        if planned.iter().any(|other| other.resource == resource) {
            return Err(Refusal::new(
                format!("{field}/type"),
                format!("duplicate rlimit type {}", limit.typ()),
                "give each limit once",
            ));
        }
        if limit.soft() > limit.hard() {
            return Err(Refusal::new(
                format!("{field}/soft"),
                format!("the soft limit {} of {} is above its hard limit {}", limit.soft(), limit.typ(), limit.hard()),
                "raise `hard` or lower `soft`",
            ));
        }
        planned.push(Rlimit { resource, soft: limit.soft(), hard: limit.hard() });
    }
    Ok(planned)
}

/// The name of a limit's number.
pub(crate) fn name(resource: u32) -> String {
    ALL.iter().find(|typ| number(**typ) == resource).map_or_else(|| format!("limit {resource}"), Type::to_string)
}

const ALL: [Type; 16] = {
    use Type::*;
    [
        RlimitCpu,
        RlimitFsize,
        RlimitData,
        RlimitStack,
        RlimitCore,
        RlimitRss,
        RlimitNproc,
        RlimitNofile,
        RlimitMemlock,
        RlimitAs,
        RlimitLocks,
        RlimitSigpending,
        RlimitMsgqueue,
        RlimitNice,
        RlimitRtprio,
        RlimitRttime,
    ]
};

fn number(typ: Type) -> u32 {
    match typ {
        Type::RlimitCpu => libc::RLIMIT_CPU,
        Type::RlimitFsize => libc::RLIMIT_FSIZE,
        Type::RlimitData => libc::RLIMIT_DATA,
        Type::RlimitStack => libc::RLIMIT_STACK,
        Type::RlimitCore => libc::RLIMIT_CORE,
        Type::RlimitRss => libc::RLIMIT_RSS,
        Type::RlimitNproc => libc::RLIMIT_NPROC,
        Type::RlimitNofile => libc::RLIMIT_NOFILE,
        Type::RlimitMemlock => libc::RLIMIT_MEMLOCK,
        Type::RlimitAs => libc::RLIMIT_AS,
        Type::RlimitLocks => libc::RLIMIT_LOCKS,
        Type::RlimitSigpending => libc::RLIMIT_SIGPENDING,
        Type::RlimitMsgqueue => libc::RLIMIT_MSGQUEUE,
        Type::RlimitNice => libc::RLIMIT_NICE,
        Type::RlimitRtprio => libc::RLIMIT_RTPRIO,
        Type::RlimitRttime => libc::RLIMIT_RTTIME,
    }
}
