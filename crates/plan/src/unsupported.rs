//! What this version does not carry out: refused by name, because a limit or a filter that is passed over is a hole.

use crate::Refusal;
use wolffia_spec::oci;

/// Refuses the properties of `linux` that ask for something that this version cannot do.
///
/// # Errors
/// The first of them.
pub(crate) fn check_linux(linux: &oci::Linux) -> Result<(), Refusal> {
    if linux.intel_rdt().is_some() {
        return Err(Refusal::new(
            "/linux/intelRdt",
            "intelRdt is specified in config, but Intel RDT is not in this version",
            "remove linux.intelRdt",
        ));
    }
    Ok(())
}
