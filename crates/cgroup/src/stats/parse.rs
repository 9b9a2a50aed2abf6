//! The formats of a cgroup's statistics (cgroup-v2.rst, "Format"). `None`: not that format.

use super::{Io, IoEntry, Pressure, Stall};
use std::collections::BTreeMap;

/// `max` is 2^64−1.
pub(super) fn number(text: &str) -> Option<u64> {
    if text == "max" { Some(u64::MAX) } else { text.parse().ok() }
}

/// Lines of `key value`.
pub(super) fn table(text: &str) -> Option<BTreeMap<String, u64>> {
    text.lines().map(|line| line.split_once(' ').and_then(|(key, value)| Some((key.to_owned(), number(value)?)))).collect()
}

/// `some avg10=0.00 avg60=0.00 avg300=0.00 total=0`, and the same for `full`.
pub(super) fn pressure(text: &str) -> Option<Pressure> {
    let mut pressure = Pressure::default();
    for line in text.lines() {
        let mut words = line.split(' ');
        let stall = match words.next()? {
            "some" => &mut pressure.some,
            "full" => &mut pressure.full,
            _ => continue,
        };
        for word in words {
            set(stall, word.split_once('=')?)?;
        }
    }
    Some(pressure)
}

fn set(stall: &mut Stall, (key, value): (&str, &str)) -> Option<()> {
    match key {
        "avg10" => stall.avg10 = value.parse().ok()?,
        "avg60" => stall.avg60 = value.parse().ok()?,
        "avg300" => stall.avg300 = value.parse().ok()?,
        "total" => stall.total = value.parse().ok()?,
        _ => {}
    }
    Some(())
}

/// Lines of `major:minor rbytes=1 wbytes=2 rios=3 wios=4 …`. A device without any is a line of its number alone.
pub(super) fn io(text: &str, io: &mut Io) -> Option<()> {
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let (major, minor) = words.next()?.split_once(':')?;
        let (major, minor) = (major.parse().ok()?, minor.parse().ok()?);
        for word in words {
            let (key, value) = word.split_once('=')?;
            let (list, op) = match key {
                "rbytes" => (&mut io.io_service_bytes_recursive, "Read"),
                "wbytes" => (&mut io.io_service_bytes_recursive, "Write"),
                "rios" => (&mut io.io_serviced_recursive, "Read"),
                "wios" => (&mut io.io_serviced_recursive, "Write"),
                _ => continue,
            };
            list.push(IoEntry { major, minor, op, value: value.parse().ok()? });
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_and_numbers() {
        assert_eq!(number("max"), Some(u64::MAX));
        assert_eq!(number("-1"), None);
        let expected = BTreeMap::from([("a".to_owned(), 1), ("b_c".to_owned(), u64::MAX)]);
        assert_eq!(table("a 1\nb_c max\n"), Some(expected));
        assert_eq!(table(""), Some(BTreeMap::new()));
        assert_eq!(table("a\n"), None);
    }

    #[test]
    fn pressure_of_both_kinds() {
        let text = "some avg10=1.50 avg60=0.02 avg300=0.00 total=1234\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7\n";
        let expected = Pressure {
            some: Stall { avg10: 1.5, avg60: 0.02, avg300: 0.0, total: 1234 },
            full: Stall { total: 7, ..Stall::default() },
        };
        assert_eq!(pressure(text), Some(expected));
        assert_eq!(pressure("some avg10\n"), None);
    }

    #[test]
    fn io_by_device() {
        let mut found = Io::default();
        io("8:16 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0\n253:0\n", &mut found).unwrap();
        let entry = |op, value| IoEntry { major: 8, minor: 16, op, value };
        assert_eq!(found.io_service_bytes_recursive, [entry("Read", 1), entry("Write", 2)]);
        assert_eq!(found.io_serviced_recursive, [entry("Read", 3), entry("Write", 4)]);
        assert_eq!(io("8 rbytes=1", &mut Io::default()), None);
    }
}
