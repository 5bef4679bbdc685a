//! Pages that ask in the name of whoever looks at them: browsers show their user's certificate to any server that a page
//! asks, and some questions they send without asking the server first.

use http::header::{HOST, ORIGIN};
use http::{HeaderMap, HeaderName};
use model::Origins;

/// The origin of the page that asks, where it is neither of this host (`authority` says which, where no header does) nor one of
/// those allowed. What no browser sends has none.
#[must_use]
pub fn foreign(headers: &HeaderMap, authority: Option<&str>, allowed: &Origins) -> Option<String> {
    let text = |name: HeaderName| headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()));
    let origin = text(ORIGIN)?;
    let host = origin.split_once("://").map(|(_, host)| host);
    let asked = authority.map(Into::into).or_else(|| text(HOST));
    let is_own = host.is_some() && host == asked.as_deref();
    (!is_own && !allowed.allow(&origin)).then(|| origin.into_owned())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn only_pages_of_this_host_and_of_allowed_origins_ask_for_their_users() {
        let allowed = Origins::parse(&["https://grafana.example"]).unwrap();
        let all = Origins::parse(&["*"]).unwrap();
        for (origin, host, is_taken) in [
            (None, "logs:3100", true),
            (Some("https://logs:3100"), "logs:3100", true),
            (Some("https://grafana.example"), "logs:3100", true),
            (Some("https://evil.example"), "logs:3100", false),
            (Some("https://logs:3100.evil.example"), "logs:3100", false),
            (Some("null"), "null", false),
            (Some(""), "", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::try_from(host).unwrap());
            if let Some(origin) = origin {
                headers.insert(ORIGIN, HeaderValue::try_from(origin).unwrap());
            }
            assert_eq!(foreign(&headers, None, &allowed).is_none(), is_taken, "{origin:?}");
            assert_eq!(foreign(&headers, None, &all), None);
            // HTTP/2 has no such header.
            headers.remove(HOST);
            assert_eq!(foreign(&headers, Some(host), &allowed).is_none(), is_taken, "{origin:?}");
        }
    }
}
