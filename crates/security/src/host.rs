//! The names by which a server without certificates is asked. A page of a foreign name can have that name lead to this machine
//! once it is loaded, and its browser takes the server for the page's own then; what the browser still tells is the name.

use std::net::IpAddr;

use http::HeaderMap;
use http::header::HOST;

/// Names of machines that containers of this machine know it by; nobody can have them in the public system of names.
const CONTAINERS: [&str; 3] = ["host.docker.internal", "gateway.docker.internal", "host.containers.internal"];
/// What stands for every name.
const EVERY: &str = "*";

/// The names of a server. Addresses and the names of this machine for itself are always among them: nobody can have them lead
/// somewhere else.
#[derive(Clone, Debug)]
pub struct Hosts(Vec<String>);

impl Hosts {
    /// The server's names besides those; `*` stands for every name.
    pub fn new(names: impl IntoIterator<Item = String>) -> Self {
        let known = CONTAINERS.map(str::to_owned).into_iter().chain(names);
        Self(known.map(|name| bare(&name)).filter(|name| !name.is_empty()).collect())
    }

    /// The name that a request is for, where it is none of the server's. What no browser sends names nothing.
    #[must_use]
    pub fn foreign(&self, headers: &HeaderMap, authority: Option<&str>) -> Option<String> {
        let named = headers.get_all(HOST).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
        let mut named = authority.map(Into::into).into_iter().chain(named);
        named.find(|host| !self.has(&bare(host))).map(|host| host.into_owned())
    }

    fn has(&self, name: &str) -> bool {
        name.is_empty()
            || name == "localhost"
            || name.ends_with(".localhost")
            || name.parse::<IpAddr>().is_ok()
            || self.0.iter().any(|known| known == name || known == EVERY)
    }
}

/// A host without its port, the brackets of an address and the dot at its end, in lower case.
fn bare(host: &str) -> String {
    let host = host.trim();
    let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => host,
        },
    };
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn only_names_of_this_machine_are_its_own() {
        let hosts = Hosts::new(["Box.Example.".to_owned(), "metrics.example:9090".to_owned(), String::new()]);
        for (host, is_own) in [
            ("", true),
            ("localhost", true),
            ("LOCALHOST:9090", true),
            ("localhost.", true),
            ("stella.localhost:3100", true),
            ("127.0.0.1:3100", true),
            ("192.0.2.7", true),
            ("[::1]:4318", true),
            ("[::ffff:127.0.0.1]", true),
            ("host.docker.internal:9090", true),
            ("box.example:3100", true),
            ("metrics.example", true),
            ("evil.example", false),
            ("evil.example:9090", false),
            ("localhost.evil.example", false),
            ("127.0.0.1.evil.example", false),
            ("notlocalhost", false),
            ("localhost:evil", false),
            ("[localhost.evil.example]", false),
            ("*", false),
        ] {
            let headers = HeaderMap::from_iter([(HOST, HeaderValue::try_from(host).unwrap())]);
            let told = (!is_own).then(|| host.to_owned());
            assert_eq!(hosts.foreign(&headers, None), told, "{host}");
            assert_eq!(hosts.foreign(&HeaderMap::new(), Some(host)), told, "{host}");
            assert_eq!(Hosts::new(["*".to_owned()]).foreign(&headers, None), None);
        }
        assert_eq!(hosts.foreign(&HeaderMap::new(), None), None);
        let mut two = HeaderMap::from_iter([(HOST, HeaderValue::from_static("localhost"))]);
        two.append(HOST, HeaderValue::from_static("evil.example"));
        assert!(hosts.foreign(&two, Some("localhost")).is_some());
    }
    proptest::proptest! {
        #[test]
        fn arbitrary_names_never_panic_and_none_of_another_domain_is_ours(bytes: Vec<u8>, name in "[a-z]{1,9}") {
            let hosts = Hosts::new([]);
            if let Ok(value) = HeaderValue::from_bytes(&bytes) {
                let headers = HeaderMap::from_iter([(HOST, value)]);
                let _answer = hosts.foreign(&headers, std::str::from_utf8(&bytes).ok());
            }
            let foreign = format!("{name}.example:80");
            proptest::prop_assert_eq!(hosts.foreign(&HeaderMap::new(), Some(&foreign)), Some(foreign));
        }
    }
}
