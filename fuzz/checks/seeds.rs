//! The files that a target begins with.

use std::path::Path;

/// Checks every seed of `target`, each also cut short and with a byte changed.
pub fn each(target: &str, check: fn(&[u8])) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds").join(target);
    let mut count = 0;
    for entry in std::fs::read_dir(directory).unwrap() {
        let text = std::fs::read(entry.unwrap().path()).unwrap();
        check(&text);
        for at in (0..text.len()).step_by(usize::max(text.len() / 64, 1)) {
            check(&text[..at]);
            let mut changed = text.clone();
            changed[at] ^= 0x11;
            check(&changed);
        }
        count += 1;
    }
    assert!(count > 0, "no seeds");
}
