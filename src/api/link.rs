//! Addresses in answers, and how clients come to know this server.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

/// What stands between clients and this server.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    pub tls: bool,
    /// A proxy says how it was addressed itself.
    pub behind_proxy: bool,
}

impl Way {
    /// `path` as a full address at the host the client asked for, as the original gives it.
    pub fn absolute(self, headers: &HeaderMap, path: &str) -> String {
        match self.host(headers) {
            Some(host) => format!("{}://{host}{path}", self.scheme(headers)),
            None => path.to_owned(),
        }
    }

    /// `Location`, the full address of `path`, as a part of an answer.
    pub fn location(
        self,
        headers: &HeaderMap,
        path: &str,
    ) -> Option<[(HeaderName, HeaderValue); 1]> {
        let address = HeaderValue::try_from(self.absolute(headers, path)).ok()?;
        Some([(header::LOCATION, address)])
    }

    /// The host, with its port, that the client asked for.
    pub fn host(self, headers: &HeaderMap) -> Option<&str> {
        self.forwarded(headers, "x-forwarded-host")
            .or_else(|| headers.get(header::HOST)?.to_str().ok())
    }

    fn scheme(self, headers: &HeaderMap) -> &'static str {
        match self.forwarded(headers, "x-forwarded-proto") {
            Some("https") => "https",
            None if self.tls => "https",
            _ => "http",
        }
    }

    fn forwarded<'h>(self, headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
        headers
            .get(name)
            .filter(|_| self.behind_proxy)
            .and_then(|value| value.to_str().ok())
    }
}

/// Clients read header lines of about 8 KB; a search longer than this makes no links.
const LONGEST: usize = 8000;

/// The `Link` header of a list: the next page, where there is one, and the last.
pub fn pages(base: &str, page: u64, last: u64, per_page: u64, q: Option<&str>) -> Option<String> {
    let q = q
        .map(|q| format!("&q={}", percent_encoded(q)))
        .unwrap_or_default();
    let to = |page: u64, rel: &str| {
        format!("<{base}?page={page}&results_per_page={per_page}{q}>; rel=\"{rel}\"")
    };
    let mut links = String::new();
    if page < last {
        links.push_str(&to(page + 1, "next"));
        links.push_str(", ");
    }
    links.push_str(&to(last, "last"));
    (links.len() <= LONGEST).then_some(links)
}

/// Every byte but letters, digits and `-._~` as `%XX`.
fn percent_encoded(text: &str) -> String {
    use std::fmt::Write;
    text.bytes().fold(String::new(), |mut encoded, byte| {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(byte as char);
            }
            // Writing to a string cannot fail.
            _ => drop(write!(encoded, "%{byte:02X}")),
        }
        encoded
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_believed_only_where_there_is_one() {
        let mut headers = HeaderMap::new();
        let absolute = |headers: &HeaderMap, tls, behind_proxy| {
            let way = Way { tls, behind_proxy };
            way.absolute(headers, "/f")
        };
        assert_eq!(absolute(&headers, false, false), "/f");
        for (name, value) in [
            ("host", "127.0.0.1:8080"),
            ("x-forwarded-host", "farm.example"),
            ("x-forwarded-proto", "https"),
        ] {
            headers.insert(name, axum::http::HeaderValue::from_static(value));
        }
        assert_eq!(absolute(&headers, false, false), "http://127.0.0.1:8080/f");
        assert_eq!(absolute(&headers, true, false), "https://127.0.0.1:8080/f");
        assert_eq!(absolute(&headers, false, true), "https://farm.example/f");
    }

    #[test]
    fn links_are_the_originals() {
        assert_eq!(
            pages("http://h/v1/fractal", 1, 3, 10, None).unwrap(),
            "<http://h/v1/fractal?page=2&results_per_page=10>; rel=\"next\", \
             <http://h/v1/fractal?page=3&results_per_page=10>; rel=\"last\""
        );
        assert_eq!(
            pages("http://h/v1/fractal", 1, 0, 10, None).unwrap(),
            "<http://h/v1/fractal?page=0&results_per_page=10>; rel=\"last\""
        );
    }

    #[test]
    fn links_keep_the_search() {
        assert_eq!(
            pages("/f", 2, 2, 5, Some("{\"a\": 1}")).unwrap(),
            "</f?page=2&results_per_page=5&q=%7B%22a%22%3A%201%7D>; rel=\"last\""
        );
        assert_eq!(pages("/f", 2, 2, 5, Some(&"x".repeat(9000))), None);
    }
}
