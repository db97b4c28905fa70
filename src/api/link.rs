//! Addresses in answers.

use axum::http::{HeaderMap, header};

/// `path` as a full address at the host the client asked for, as the original gives it.
pub fn absolute(headers: &HeaderMap, path: &str) -> String {
    let host = headers.get(header::HOST);
    match host.and_then(|host| host.to_str().ok()) {
        Some(host) => format!("http://{host}{path}"),
        None => path.to_owned(),
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
