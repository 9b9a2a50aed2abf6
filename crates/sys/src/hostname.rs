//! The names of this UTS namespace.

use crate::Result;
use crate::error::Call;

/// Sets the host name (at most 64 bytes).
pub fn set_hostname(name: &str) -> Result<()> {
    nix::unistd::sethostname(name).call("sethostname", || format!("{name:?}"))
}

/// Sets the NIS domain name (at most 64 bytes).
pub fn set_domainname(name: &str) -> Result<()> {
    rustix::system::setdomainname(name.as_bytes()).call("setdomainname", || format!("{name:?}"))
}
