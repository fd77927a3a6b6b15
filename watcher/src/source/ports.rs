//! The ports from which a network namespace dials (ip-sysctl: `ip_local_port_range`, `ip_local_reserved_ports`).

use crate::source::proc::ProcessDir;
use crate::vocabulary::reading::Reading;
use nix::sched::{CloneFlags, setns};
use std::io;
use std::ops::RangeInclusive;
use std::os::unix::fs::MetadataExt;

/// The ports that the kernel chooses from for whoever dials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EphemeralPorts {
    /// The range.
    pub range: RangeInclusive<u16>,
    /// Ports in it that are never chosen.
    pub reserved: u64,
}

impl EphemeralPorts {
    /// How many there are to be chosen from.
    pub fn count(&self) -> u64 {
        let (low, high) = (u64::from(*self.range.start()), u64::from(*self.range.end()));
        (high + 1).saturating_sub(low).saturating_sub(self.reserved)
    }

    fn parse(range: &str, reserved: &str) -> Option<Self> {
        let mut ends = range.split_ascii_whitespace().map(str::parse::<u16>);
        let range = ends.next()?.ok()?..=ends.next()?.ok()?;
        let inside = |ports: &str| -> Option<u64> {
            let (low, high) = ports.split_once('-').unwrap_or((ports, ports));
            let low = low.parse::<u16>().ok()?.max(*range.start());
            let high = high.parse::<u16>().ok()?.min(*range.end());
            Some((u64::from(high) + 1).saturating_sub(low.into()))
        };
        let reserved = reserved.trim().split(',').filter(|ports| !ports.is_empty());
        let reserved = reserved.map(inside).sum::<Option<u64>>()?;
        Some(EphemeralPorts { range, reserved })
    }

    /// Those of the network namespace of a process. To enter another than ours takes CAP_SYS_ADMIN.
    pub fn of(process: &ProcessDir) -> Reading<Self> {
        let own = std::fs::metadata("/proc/thread-self/ns/net").map(|file| file.ino());
        if own.is_ok_and(|own| process.network_namespace() == Reading::Seen(own)) {
            return read_here().into();
        }
        process.open_network_namespace().and_then(|namespace| {
            // A namespace is entered by a thread, and this one ends with the question: no other is ever moved.
            let asked = std::thread::Builder::new().name("netns".to_owned()).spawn(move || {
                setns(namespace, CloneFlags::CLONE_NEWNET)?;
                read_here()
            });
            match asked.map(|thread| thread.join()) {
                Ok(Ok(ports)) => ports.into(),
                Ok(Err(_)) => Reading::Unsupported,
                Err(error) => Reading::from_error(&error),
            }
        })
    }
}

/// These files say what holds in the network namespace of whoever opens them (`net/sysctl_net.c`).
fn read_here() -> io::Result<EphemeralPorts> {
    let read = |name: &str| std::fs::read_to_string(format!("/proc/sys/net/ipv4/{name}"));
    let (range, reserved) = (read("ip_local_port_range")?, read("ip_local_reserved_ports")?);
    EphemeralPorts::parse(&range, &reserved).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests {
    use super::EphemeralPorts;
    use crate::source::proc::ProcRoot;
    use proptest::prelude::*;

    #[test]
    fn what_is_reserved_is_not_to_be_had() {
        for (range, reserved, count) in [
            ("32768\t60999\n", "\n", Some(28_232)),
            ("1000\t1009\n", "999-1001,1005,2000-3000\n", Some(7)),
            ("1000\t999\n", "\n", Some(0)),
            ("0 65535", "", Some(65_536)),
            ("1000\n", "", None),
            ("1000 2000", "x", None),
            ("", "", None),
        ] {
            assert_eq!(
                EphemeralPorts::parse(range, reserved).map(|it| it.count()),
                count,
                "{range}{reserved}"
            );
        }
    }

    #[test]
    fn our_own() {
        let own = ProcRoot::host().unwrap().open(std::process::id().cast_signed()).into_seen().unwrap();
        let ports = EphemeralPorts::of(&own).into_seen().expect("they can be read");
        assert!((1..=65_536).contains(&ports.count()), "{ports:?}");
    }

    proptest! {
        #[test]
        fn never_panics(range in "[0-9 \t-]{0,20}", reserved in "[0-9,-]{0,30}") {
            let _ = EphemeralPorts::parse(&range, &reserved).map(|it| it.count());
        }
    }
}
