//! Who runs the runtime, and which ids its user namespaces may map.

use serde_json::{Value, json};
use std::fs;
use std::io;

/// Ranges of ids for a user namespace, in the terms of config.json.
#[derive(Debug, Clone)]
pub struct Mappings {
    pub uids: Value,
    pub gids: Value,
}

/// The user that starts the runtime.
#[derive(Debug, Clone)]
pub struct Identity {
    pub uid: u32,
    pub gid: u32,
    /// Whether the suite must change its own user to become this one.
    pub switch: bool,
    /// The mappings that every container needs, unless the user is root.
    pub mappings: Option<Mappings>,
    /// Whether ids above 0 exist in containers.
    pub many_ids: bool,
}

impl Identity {
    /// The user who runs this suite, or the one that `--as-user` names.
    pub fn resolve(as_user: Option<u32>) -> io::Result<Self> {
        let own = rustix::process::getuid().as_raw();
        let uid = as_user.unwrap_or(own);
        if uid != own && own != 0 {
            return Err(io::Error::other(format!("--as-user {uid} needs root; this is uid {own}")));
        }
        if uid == 0 {
            return Ok(Self { uid, gid: 0, switch: false, mappings: None, many_ids: true });
        }
        let (name, passwd_gid) = account(uid)?;
        let gid = if uid == own { rustix::process::getgid().as_raw() } else { passwd_gid.unwrap_or(uid) };
        let uids = subordinate("/etc/subuid", uid, name.as_deref())?;
        let gids = subordinate("/etc/subgid", uid, name.as_deref())?;
        // Without an account newuidmap refuses its caller, so the ranges would be of no use.
        let ranges = name.and(uids.zip(gids)).filter(|_| helper("newuidmap") && helper("newgidmap"));
        let mappings = Mappings { uids: mapping(uid, ranges.map(|pair| pair.0)), gids: mapping(gid, ranges.map(|pair| pair.1)) };
        Ok(Self { uid, gid, switch: uid != own, mappings: Some(mappings), many_ids: ranges.is_some() })
    }

    pub fn is_root(&self) -> bool {
        self.uid == 0
    }

    /// One word for reports.
    pub fn word(&self) -> &'static str {
        match (self.is_root(), self.many_ids) {
            (true, _) => "root",
            (false, true) => "user with subordinate ids",
            (false, false) => "user with a single id",
        }
    }
}

fn helper(name: &str) -> bool {
    ["/usr/bin", "/bin", "/usr/local/bin"].iter().any(|folder| fs::metadata(format!("{folder}/{name}")).is_ok())
}

/// Name and group of a user in /etc/passwd.
fn account(uid: u32) -> io::Result<(Option<String>, Option<u32>)> {
    let wanted = uid.to_string();
    for line in fs::read_to_string("/etc/passwd")?.lines() {
        let fields: Vec<&str> = line.split(':').collect();
        if fields.len() > 3 && fields[2] == wanted {
            return Ok((Some(fields[0].to_owned()), fields[3].parse().ok()));
        }
    }
    Ok((None, None))
}

/// The first subordinate range of a user, by name or number: start and count.
fn subordinate(file: &str, uid: u32, name: Option<&str>) -> io::Result<Option<(u32, u32)>> {
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let number = uid.to_string();
    Ok(text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let owner = fields.next()?;
        let ours = owner == number || Some(owner) == name;
        let (start, count) = (fields.next()?.parse().ok()?, fields.next()?.trim().parse().ok()?);
        ours.then_some((start, count))
    }))
}

fn mapping(id: u32, range: Option<(u32, u32)>) -> Value {
    let own = json!({ "containerID": 0, "hostID": id, "size": 1 });
    match range {
        Some((start, count)) => json!([own, { "containerID": 1, "hostID": start, "size": count.min(65536) }]),
        None => json!([own]),
    }
}
