//! Keeps requests out of private networks, unless they are allowed there.
//!
//! Whoever may create a webhook could otherwise have this service ask its neighbours, which trust it
//! for where it stands. Addresses are looked at after a name is resolved and before a connection is
//! made, so a name that resolves to something else the second time gains nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use goch_contract::Error;
use reqwest::{
    Url,
    dns::{Addrs, Name, Resolve, Resolving},
};

/// The longest URL of a webhook, in bytes.
const URL_MAX: usize = 2_048;

/// Checks a webhook's URL, as far as that is possible without resolving its name.
///
/// # Errors
/// `bad_request`.
pub(crate) fn check_url(text: &str, allow_private: bool) -> Result<Url, Error> {
    let refuse = |reason: &'static str| Error::bad_request("url", reason);
    if text.len() > URL_MAX {
        return Err(refuse("url must have at most 2048 bytes"));
    }
    let url = Url::parse(text).map_err(|_| refuse("url is not a URL"))?;
    let scheme_is_allowed = url.scheme() == "https" || (allow_private && url.scheme() == "http");
    if !scheme_is_allowed {
        return Err(refuse("url must begin with https://"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refuse("url must not have a user name or password"));
    }
    let host = url.host_str().unwrap_or_default();
    let literal = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    if !allow_private && literal.is_ok_and(|address| !is_public(address)) {
        return Err(refuse("url must not lead into a private network"));
    }
    Ok(url)
}

/// Resolves names to public addresses only.
#[derive(Debug, Clone)]
pub(crate) struct PublicResolver;

#[derive(Debug, thiserror::Error)]
#[error("the name leads into a private network")]
struct Private;

impl Resolve for PublicResolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let addresses = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let public: Vec<_> = addresses.filter(|address| is_public(address.ip())).collect();
            if public.is_empty() {
                return Err(Private.into());
            }
            Ok(Box::new(public.into_iter()) as Addrs)
        })
    }
}

/// Whether an address is of the public internet (IANA's registries of special-purpose addresses).
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = a == 0
        || address.is_private()
        || address.is_loopback()
        // With the metadata services of clouds.
        || address.is_link_local()
        // Shared by a carrier's customers.
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && (18..20).contains(&b))
        || address.is_documentation()
        || address.is_multicast()
        // Reserved, and broadcast.
        || a >= 240;
    !special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    // An IPv4 address in another form leads where that address leads.
    let embedded = match address.segments() {
        [0, 0, 0, 0, 0, 0xffff | 0, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            Some((high, low))
        }
        [0x2002, high, low, ..] => Some((high, low)),
        _ => None,
    };
    if let Some((high, low)) = embedded {
        let bits = (u32::from(high) << 16) | u32::from(low);
        return is_public_v4(Ipv4Addr::from_bits(bits));
    }
    let [first, second, ..] = address.segments();
    // Only 2000::/3 is given out, with documentation and Teredo in it.
    (first & 0xe000) == 0x2000
        && !(first == 0x2001 && (second < 0x200 || second == 0xdb8))
        && first != 0x3fff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_private_networks_are_told_in_every_form() {
        for address in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "198.18.0.1",
            "::1",
            "::",
            "fe80::1",
            "fd00::1",
            "ff02::1",
            "::ffff:10.0.0.1",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "2001:db8::1",
            "fec0::1",
        ] {
            assert!(!is_public(address.parse().unwrap()), "{address}");
        }
        for address in ["1.1.1.1", "93.184.216.34", "100.128.0.1", "2606:4700::1111"] {
            assert!(is_public(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn only_public_https_urls_pass_unless_allowed() {
        for url in [
            "http://example.org/",
            "https://127.0.0.1/",
            "https://[::1]/",
            "https://2130706433/",
            "https://0x7f.1/",
            "https://u:p@example.org/",
            "ftp://example.org/",
            "nonsense",
        ] {
            assert_eq!(check_url(url, false).unwrap_err().field.as_deref(), Some("url"), "{url}");
        }
        assert!(check_url("https://example.org/hook?x=1", false).is_ok());
        assert!(check_url("http://127.0.0.1:8080/", true).is_ok());
        assert!(check_url("ftp://127.0.0.1/", true).is_err());
    }
}
