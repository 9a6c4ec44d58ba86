//! Which address a request comes from, behind proxies or not.

use std::{
    net::{IpAddr, Ipv4Addr},
    str::FromStr,
};

use ipnet::IpNet;

/// The networks of proxies whose `X-Forwarded-For` is believed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies {
    networks: Vec<IpNet>,
    /// Whether it has been said which proxies there are, or that there are none.
    are_known: bool,
}

/// How an operator says that there is no proxy.
const NO_PROXY: &str = "none";

impl FromStr for TrustedProxies {
    type Err = String;

    fn from_str(list: &str) -> Result<Self, Self::Err> {
        if list.trim() == NO_PROXY {
            return Ok(Self { networks: Vec::new(), are_known: true });
        }
        let parse = |entry: &str| {
            let entry = entry.trim();
            let network =
                entry.parse::<IpNet>().or_else(|_| entry.parse::<IpAddr>().map(IpNet::from));
            network.map_err(|_| format!("{entry:?} is not a network such as 10.0.0.0/8, nor none"))
        };
        let networks = list.split(',').map(parse).collect::<Result<_, _>>()?;
        Ok(Self { networks, are_known: true })
    }
}

impl TrustedProxies {
    /// The client's address. Each proxy appends whom it heard from to `X-Forwarded-For`, so the list
    /// is read from its end, as long as who wrote the entry is trusted; before that, anybody can have
    /// written anything.
    pub(super) fn client(&self, peer: Option<IpAddr>, forwarded: &[&str]) -> IpAddr {
        let peer = peer.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)).to_canonical();
        let mut entries = forwarded.iter().rev().flat_map(|header| header.rsplit(','));
        let mut client = peer;
        while self.trusts(client) {
            match entries.next().and_then(parse_entry) {
                Some(before) => client = before,
                None => break,
            }
        }
        client
    }

    /// Whether the address is a proxy's.
    pub(super) fn trusts(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(&address))
    }

    /// Whether many clients may be behind the address, as far as is known: a proxy that nobody has told
    /// of has a private address.
    pub(super) fn may_be_many(&self, address: IpAddr) -> bool {
        self.trusts(address) || (!self.are_known && is_private(address))
    }
}

/// Whether the address is none of the internet.
fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        // RFC 1918, 1122, 3927 and 6598.
        IpAddr::V4(address) => {
            let [first, second, ..] = address.octets();
            address.is_private()
                || address.is_loopback()
                || address.is_link_local()
                || address.is_unspecified()
                || (first == 100 && second & 0xc0 == 64)
        }
        // RFC 4193 and 4291.
        IpAddr::V6(address) => {
            address.is_unique_local()
                || address.is_unicast_link_local()
                || address.is_loopback()
                || address.is_unspecified()
        }
    }
}

/// An address, which some proxies write with a port.
fn parse_entry(entry: &str) -> Option<IpAddr> {
    let entry = entry.trim();
    let address = entry
        .parse::<IpAddr>()
        .or_else(|_| entry.parse::<std::net::SocketAddr>().map(|socket| socket.ip()))
        .or_else(|_| entry.trim_matches(['[', ']']).parse::<IpAddr>());
    address.ok().map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn client(trusted: &str, peer: &str, forwarded: &[&str]) -> String {
        let trusted =
            if trusted.is_empty() { TrustedProxies::default() } else { trusted.parse().unwrap() };
        trusted.client(peer.parse().ok(), forwarded).to_string()
    }

    #[test]
    fn only_what_trusted_proxies_wrote_is_believed() {
        let proxies = "10.0.0.0/8, 2001:db8::1";
        for (peer, forwarded, expected) in [
            // A direct client can write what it wants.
            ("192.0.2.7", &["198.51.100.1"][..], "192.0.2.7"),
            ("10.0.0.1", &["198.51.100.1"], "198.51.100.1"),
            // The client wrote the first entry, the proxy the second one.
            ("10.0.0.1", &["203.0.113.9, 198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &["203.0.113.9", "198.51.100.1"], "198.51.100.1"),
            // Two proxies in a row.
            ("10.0.0.1", &["203.0.113.9, 198.51.100.1, 10.0.0.2"], "198.51.100.1"),
            ("2001:db8::1", &["198.51.100.1:4711"], "198.51.100.1"),
            ("10.0.0.1", &["[2001:db8::7]:4711"], "2001:db8::7"),
            ("10.0.0.1", &["::ffff:198.51.100.1"], "198.51.100.1"),
            ("::ffff:10.0.0.1", &["198.51.100.1"], "198.51.100.1"),
            // Who wrote something else is the last that is known.
            ("10.0.0.1", &["198.51.100.1, unknown"], "10.0.0.1"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ] {
            assert_eq!(client(proxies, peer, forwarded), expected, "{peer} {forwarded:?}");
        }
        assert_eq!(client("", "10.0.0.1", &["198.51.100.1"]), "10.0.0.1");
    }

    #[test]
    fn an_address_stands_for_many_clients_if_it_is_a_proxys_or_may_be_one() {
        let may_be_many = |trusted: &str, address: &str| {
            let trusted: TrustedProxies = trusted.parse().unwrap_or_default();
            trusted.may_be_many(address.parse().unwrap())
        };
        for private in ["10.1.2.3", "127.0.0.1", "100.64.0.1", "fd00::1", "::1", "::ffff:10.0.0.1"]
        {
            assert!(may_be_many("", private), "{private}");
            assert!(!may_be_many("none", private), "{private}");
            assert!(!may_be_many("192.0.2.0/24", private), "{private}");
        }
        for public in ["192.0.2.1", "100.128.0.1", "2001:db8::1"] {
            assert!(!may_be_many("", public), "{public}");
        }
        assert!(may_be_many("192.0.2.0/24", "192.0.2.1"));
    }

    #[test]
    fn addresses_that_no_client_of_the_internet_has_may_be_a_proxys() {
        let unknown = TrustedProxies::default();
        for address in ["169.254.1.1", "0.0.0.0", "192.168.1.1", "172.16.0.1", "fe80::1", "::"] {
            assert!(unknown.may_be_many(address.parse().unwrap()), "{address}");
        }
        for address in ["8.8.8.8", "101.64.0.1", "100.63.0.1", "100.192.0.1", "2a00::1"] {
            assert!(!unknown.may_be_many(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn a_faulty_network_is_named() {
        let error = "10.0.0.0/8,10.0.0.0/33".parse::<TrustedProxies>().unwrap_err();
        assert!(error.contains("10.0.0.0/33"), "{error}");
    }

    proptest! {
        #[test]
        fn an_untrusted_peer_is_the_client_whatever_it_writes(
            peer in any::<Ipv4Addr>(), header in "\\PC{0,80}"
        ) {
            prop_assume!(peer.octets()[0] != 10);
            let trusted: TrustedProxies = "10.0.0.0/8".parse().unwrap();
            prop_assert_eq!(trusted.client(Some(IpAddr::V4(peer)), &[&header]), IpAddr::V4(peer));
        }

        #[test]
        fn what_a_client_writes_does_not_change_who_it_is(
            client in any::<Ipv4Addr>(), header in "[0-9a-f:., ]{0,80}"
        ) {
            prop_assume!(client.octets()[0] != 10);
            let trusted: TrustedProxies = "10.0.0.0/8".parse().unwrap();
            let proxy = IpAddr::from([10, 0, 0, 1]);
            let appended = format!("{header}, {client}");
            prop_assert_eq!(trusted.client(Some(proxy), &[&appended]), IpAddr::V4(client));
        }
    }
}
