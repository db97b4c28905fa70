//! What can go wrong between here and a cloud, in words that say where.

use reqwest::StatusCode;
use serde_json::Value;

use crate::outward::OutwardError;

#[derive(Debug, thiserror::Error)]
pub enum CloudError {
    /// The cloud answered, and refused.
    #[error("the cloud's {service} service answers {call} with {status}: {message}{}", request(.request_id))]
    Refused {
        service: &'static str,
        call: String,
        status: StatusCode,
        /// The cloud's own words.
        message: String,
        request_id: Option<String>,
    },
    #[error("the cloud's {service} service does not answer {call}: {why}")]
    Unreachable {
        service: &'static str,
        call: String,
        why: String,
    },
    /// It may have done what it was asked for.
    #[error("the answer of the cloud's {service} service to {call} was lost: {why}")]
    Lost {
        service: &'static str,
        call: String,
        why: String,
    },
    #[error("the cloud's {service} service answers {call} with what is none: {why}")]
    Nonsense {
        service: &'static str,
        call: String,
        why: String,
    },
    #[error(
        "Keystone does not let in {origin}: {message}{}; look at the user, the password and the \
         project there", request(.request_id)
    )]
    LoggedOut {
        origin: String,
        message: String,
        request_id: Option<String>,
    },
    #[error("the cloud has no {service} service{place}; it has: {others}")]
    NoService {
        service: &'static str,
        /// Region and interface that were asked for.
        place: String,
        others: String,
    },
    #[error(transparent)]
    Outward(#[from] OutwardError),
}

fn request(id: &Option<String>) -> String {
    match id {
        Some(id) => format!(" (request {id})"),
        None => String::new(),
    }
}

impl CloudError {
    /// The status of the answer, if there was one.
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            CloudError::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }

    pub fn is_not_found(&self) -> bool {
        self.status() == Some(StatusCode::NOT_FOUND)
    }

    /// Whether what was asked for may have been done.
    pub fn is_lost(&self) -> bool {
        matches!(self, CloudError::Lost { .. })
    }

    pub fn is_conflict(&self) -> bool {
        self.status() == Some(StatusCode::CONFLICT)
    }
}

/// The cloud's own words in the body of an error: each service wraps them in its own way.
pub fn words(body: &[u8]) -> String {
    if let Ok(document) = serde_json::from_slice::<Value>(body)
        && let Some(message) = message(&document)
    {
        return one_line(message);
    }
    let text = String::from_utf8_lossy(body);
    let mut plain = String::new();
    let mut in_tag = false;
    for c in text.chars() {
        match c {
            '<' => in_tag = true,
            '>' => {
                in_tag = false;
                plain.push(' ');
            }
            c if !in_tag => plain.push(c),
            _ => {}
        }
    }
    match one_line(&plain) {
        empty if empty.is_empty() => "it gives no reason".into(),
        plain => plain,
    }
}

fn message(document: &Value) -> Option<&str> {
    match document {
        Value::Object(fields) => match fields.get("message") {
            Some(Value::String(message)) => Some(message),
            _ => fields.values().find_map(message),
        },
        Value::Array(items) => items.iter().find_map(message),
        _ => None,
    }
}

/// Most characters of the cloud's words that are passed on.
const MOST: usize = 600;

fn one_line(text: &str) -> String {
    let words: Vec<_> = text.split_whitespace().collect();
    words.join(" ").chars().take(MOST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_every_service_are_found() {
        let nova = br#"{"badRequest": {"code": 400, "message": "no flavor"}}"#;
        assert_eq!(words(nova), "no flavor");
        let neutron = br#"{"NeutronError": {"type": "T", "message": "in\n use", "detail": ""}}"#;
        assert_eq!(words(neutron), "in use");
        let keystone = br#"{"error": {"code": 401, "message": "who?", "title": "Unauthorized"}}"#;
        assert_eq!(words(keystone), "who?");
        let swift = b"<html><h1>Not Found</h1><p>No such object.</p></html>";
        assert_eq!(words(swift), "Not Found No such object.");
        assert_eq!(words(b""), "it gives no reason");
    }
}
