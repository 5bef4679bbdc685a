//! Internet addresses: `ip("10.0.0.1")`, `ip("10.0.0.1-10.0.0.9")`, `ip("10.0.0.0/8")`, in labels and in lines.

use std::net::IpAddr;

/// What `ip("…")` looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IpPattern {
    first: IpAddr,
    last: IpAddr,
}

impl IpPattern {
    /// Reads an address, a range or a network; none when it is neither.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if let Some((address, bits)) = text.split_once('/') {
            return Self::network(address.parse().ok()?, bits.parse().ok()?);
        }
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let (first, last): (IpAddr, IpAddr) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        (first.is_ipv4() == last.is_ipv4() && first <= last).then_some(Self { first, last })
    }

    fn network(address: IpAddr, bits: u32) -> Option<Self> {
        match address {
            IpAddr::V4(v4) => {
                let host = u32::MAX.checked_shr(bits).unwrap_or(0);
                let base = u32::from(v4) & !host;
                (bits <= 32)
                    .then(|| Self { first: IpAddr::V4(base.into()), last: IpAddr::V4((base | host).into()) })
            }
            IpAddr::V6(v6) => {
                let host = u128::MAX.checked_shr(bits).unwrap_or(0);
                let base = u128::from(v6) & !host;
                (bits <= 128)
                    .then(|| Self { first: IpAddr::V6(base.into()), last: IpAddr::V6((base | host).into()) })
            }
        }
    }

    /// Whether the address belongs to it.
    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.first.is_ipv4() && self.first <= address && address <= self.last
    }

    /// Whether a line has an address that belongs to it.
    pub(crate) fn finds(&self, line: &str) -> bool {
        let is_part = |b: u8| b.is_ascii_hexdigit() || b == b'.' || b == b':';
        line.as_bytes().split(|b| !is_part(*b)).any(|run| {
            let run = std::str::from_utf8(run).unwrap_or_default();
            self.finds_in_run(run)
        })
    }

    /// A run of address characters may carry a port or a full stop behind the address.
    fn finds_in_run(&self, run: &str) -> bool {
        if run.len() < 2 || !run.contains(['.', ':']) {
            return false;
        }
        let trimmed = run.trim_matches('.');
        let whole = trimmed.parse().ok();
        let without_port = || trimmed.rsplit_once(':').and_then(|(address, _)| address.parse().ok());
        let without_colon = || trimmed.trim_matches(':').parse().ok();
        whole.or_else(without_port).or_else(without_colon).is_some_and(|address| self.contains(address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_ranges_and_networks() {
        for (pattern, line, found) in [
            ("192.168.4.5", "from 192.168.4.5 to 10.0.0.1", true),
            ("192.168.4.5", "from 192.168.4.50", false),
            ("192.168.4.5", "from 192.168.4.5:8080.", true),
            ("192.168.4.0-192.168.4.9", "[192.168.4.5]", true),
            ("192.168.4.0/24", "x=192.168.4.255,", true),
            ("192.168.4.0/24", "x=192.168.5.1", false),
            ("10.0.0.0/0", "1.2.3.4", true),
            ("2001:db8::/32", "peer 2001:db8::1 ok", true),
            ("2001:db8::/32", "peer 2001:db9::1 ok", false),
            ("::1", "on ::1", true),
        ] {
            assert_eq!(IpPattern::parse(pattern).unwrap().finds(line), found, "{pattern} in {line}");
        }
        for bad in ["", "10.0.0.0/33", "10.0.0.9-10.0.0.1", "10.0.0.1-::1", "abc", "::/129"] {
            assert_eq!(IpPattern::parse(bad), None, "{bad}");
        }
    }
}
