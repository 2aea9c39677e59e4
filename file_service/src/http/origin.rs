//! Who may write: programs, and the pages of this server itself, but no page of another site.
//!
//! A browser runs the pages of every site on the machine of its user, so that any site can send requests
//! to a server on the loopback of a visitor. The browser states where a request comes from in two
//! fields that a script cannot set: `Origin`, the scheme, host and port of the page (RFC 6454), and
//! `Sec-Fetch-Site`, its relation to the server (Fetch Metadata). A request with neither comes from no
//! page.
//!
//! One trick is left to the attacker: a name of theirs that first leads to their server, and then to
//! 127.0.0.1 (DNS rebinding). The page's origin and the `Host` are then the same, and the attacker's. Therefore
//! the host must be one that no other party's name server answers for: an address, `localhost`, or the
//! name of `--addr`.

use std::net::{Ipv4Addr, Ipv6Addr};

/// What a browser sends about the page that a request comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct PageOrigin {
    /// The host and port of the target or else of `Host`, empty where there is none.
    pub(super) host: Vec<u8>,
    /// The value of `Origin`.
    pub(super) origin: Option<Vec<u8>>,
    /// The value of `Sec-Fetch-Site`.
    pub(super) site: Option<Vec<u8>>,
}

/// The refusal of a page of another origin.
pub(super) const CROSS_ORIGIN: &str = "the page that asks for this is not of this server";

/// The refusal of a host name that another party may have pointed at this server.
pub(super) const UNKNOWN_HOST: &str = "a browser may write only to the server's address, to localhost or to the name it was started with";

/// Returns why the page may not write, unless it may. `own_name` is the host of `--addr`.
pub(super) fn refusal(page: &PageOrigin, own_name: Option<&str>) -> Option<&'static str> {
    let PageOrigin { host, origin, site } = page;
    // `none` is a request that the user began without a page.
    let is_related = |site: &Vec<u8>| matches!(&site[..], b"same-origin" | b"none");
    if !site.as_ref().is_none_or(is_related) {
        return Some(CROSS_ORIGIN);
    }
    if let Some(origin) = origin {
        let parts = origin.split_at_checked("http://".len());
        let is_own = parts.is_some_and(|(scheme, authority)| {
            scheme.eq_ignore_ascii_case(b"http://")
                && !authority.is_empty()
                && authority.eq_ignore_ascii_case(host)
        });
        if !is_own {
            return Some(CROSS_ORIGIN);
        }
    }
    (!is_trusted_host(without_port(host), own_name)).then_some(UNKNOWN_HOST)
}

/// Whether no other party can have a name server answer for this host.
fn is_trusted_host(host: &[u8], own_name: Option<&str>) -> bool {
    let Ok(host) = std::str::from_utf8(host) else {
        return false;
    };
    let literal = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let is_address = match literal {
        Some(literal) => literal.parse::<Ipv6Addr>().is_ok(),
        None => host.parse::<Ipv4Addr>().is_ok(),
    };
    // Browsers take all names below localhost for the loopback, without a name server.
    let is_local = host.rsplit('.').next().is_some_and(|top| top.eq_ignore_ascii_case("localhost"));
    is_address || is_local || own_name.is_some_and(|name| name.eq_ignore_ascii_case(host))
}

/// `host` of `host[:port]`, the brackets of an IPv6 address included.
fn without_port(host: &[u8]) -> &[u8] {
    match memchr::memrchr(b':', host) {
        Some(colon)
            if host[colon + 1..].iter().all(u8::is_ascii_digit) && !host.ends_with(b"]") =>
        {
            &host[..colon]
        }
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(host: &str, origin: Option<&str>, site: Option<&str>) -> Option<&'static str> {
        let bytes = |text: &str| text.as_bytes().to_vec();
        let page =
            PageOrigin { host: bytes(host), origin: origin.map(bytes), site: site.map(bytes) };
        refusal(&page, Some("box.lan"))
    }

    #[test]
    fn own_page_may_write() {
        for host in [
            "127.0.0.1:9000",
            "127.0.0.1",
            "192.168.1.5:80",
            "[::1]:9000",
            "[::1]",
            "localhost:9000",
            "LOCALHOST",
            "files.localhost:9000",
            "box.lan:9000",
            "Box.Lan",
        ] {
            let origin = format!("http://{host}");
            for site in [None, Some("same-origin"), Some("none")] {
                assert_eq!(judged(host, Some(&origin), site), None, "{host}");
                assert_eq!(judged(host, None, site), None, "{host}");
            }
            assert_eq!(judged(host, Some(&origin.to_uppercase()), None), None, "{host}");
        }
    }

    #[test]
    fn other_pages_may_not_write() {
        let host = "127.0.0.1:9000";
        for origin in [
            "null",
            "",
            "http://",
            "http://evil.example",
            "http://127.0.0.1",
            "http://127.0.0.1:9001",
            "http://127.0.0.1:90000",
            "http://localhost:9000",
            "https://127.0.0.1:9000",
            "http://127.0.0.1:9000/",
            "http://127.0.0.1:9000 http://127.0.0.1:9000",
            "http://127.0.0.1:9000, http://evil.example",
            "127.0.0.1:9000",
            "file://",
            "httpä//127.0.0.1:9000",
        ] {
            assert_eq!(judged(host, Some(origin), None), Some(CROSS_ORIGIN), "{origin}");
            assert_eq!(
                judged(host, Some(origin), Some("same-origin")),
                Some(CROSS_ORIGIN),
                "{origin}"
            );
        }
        for site in ["cross-site", "same-site", "", "Same-Origin", "same-origin, none", "x"] {
            assert_eq!(judged(host, None, Some(site)), Some(CROSS_ORIGIN), "{site}");
            let own = Some("http://127.0.0.1:9000");
            assert_eq!(judged(host, own, Some(site)), Some(CROSS_ORIGIN), "{site}");
        }
        // Without a host nothing is the same as it.
        assert_eq!(judged("", Some("http://"), None), Some(CROSS_ORIGIN));
    }

    #[test]
    fn unknown_host_is_refused() {
        for host in [
            "evil.example:9000",
            "evil.example",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "notlocalhost",
            "localhost.",
            "127.1",
            "2130706433",
            "[::1].evil.example",
            "[127.0.0.1]",
            "::1",
            "other.box.lan",
            "",
        ] {
            let origin = format!("http://{host}");
            assert!(judged(host, Some(&origin), Some("same-origin")).is_some(), "{host}");
            assert!(judged(host, None, Some("same-origin")).is_some(), "{host}");
        }
        let rebound = judged("evil.example", Some("http://evil.example"), Some("same-origin"));
        assert_eq!(rebound, Some(UNKNOWN_HOST));
    }

    #[test]
    fn port_is_left_out() {
        for (host, name) in [
            ("a:1", "a"),
            ("a:", "a"),
            ("a", "a"),
            ("[::1]:1", "[::1]"),
            ("[::1]", "[::1]"),
            ("", ""),
        ] {
            assert_eq!(without_port(host.as_bytes()), name.as_bytes(), "{host}");
        }
    }
}
