//! Tasks as messages: the original's, with additions that it ignores.

use lapin::BasicProperties;
use lapin::types::FieldTable;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::fractal::{Draft, Palette, Plane};
use crate::store::Waiting;

/// The body: the original's object of a fractal that waits.
#[derive(Serialize)]
struct Body {
    checksum: (),
    duration: (),
    generated_by: (),
    height: u32,
    iterations: u32,
    size: (),
    url: (),
    uuid: Uuid,
    width: u32,
    xa: f64,
    xb: f64,
    ya: f64,
    yb: f64,
    c_re: f64,
    c_im: f64,
    palette: Palette,
}

/// The body of a task's message.
pub fn encode(task: &Waiting) -> Vec<u8> {
    let spec = task.spec;
    let body = Body {
        checksum: (),
        duration: (),
        generated_by: (),
        height: spec.height,
        iterations: spec.iterations,
        size: (),
        url: (),
        uuid: task.uuid,
        width: spec.width,
        xa: spec.plane.xa,
        xb: spec.plane.xb,
        ya: spec.plane.ya,
        yb: spec.plane.yb,
        c_re: spec.c.re,
        c_im: spec.c.im,
        palette: spec.palette,
    };
    // Numbers and names always serialise.
    serde_json::to_vec(&body).unwrap_or_default()
}

/// The properties of a task's message, as the original sets them.
pub fn properties() -> BasicProperties {
    BasicProperties::default()
        .with_content_type("application/json".into())
        .with_content_encoding("utf-8".into())
        .with_delivery_mode(PERSISTENT)
        .with_priority(0)
        .with_headers(FieldTable::default())
}

/// On disk when the broker has confirmed it.
pub const PERSISTENT: u8 = 2;

/// A task as a message says: what the original's workers read, and what we added. The fractal's row,
/// where there is one, knows better.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Ordered {
    pub uuid: Uuid,
    width: i64,
    height: i64,
    iterations: i64,
    xa: f64,
    xb: f64,
    ya: f64,
    yb: f64,
    #[serde(default)]
    c_re: Option<f64>,
    #[serde(default)]
    c_im: Option<f64>,
    #[serde(default)]
    palette: Palette,
}

impl Ordered {
    pub fn draft(&self) -> Draft {
        Draft {
            width: self.width,
            height: self.height,
            iterations: self.iterations,
            plane: Plane {
                xa: self.xa,
                xb: self.xb,
                ya: self.ya,
                yb: self.yb,
            },
            c_re: self.c_re,
            c_im: self.c_im,
            palette: self.palette,
        }
    }
}

/// Reads a task's message, or says why it is none.
pub fn decode(properties: &BasicProperties, body: &[u8]) -> Result<Ordered, String> {
    if let Some(kind) = properties.content_type() {
        let kind = kind.as_str();
        let essence = kind.split(';').next().unwrap_or_default().trim();
        if !essence.eq_ignore_ascii_case("application/json") {
            let kind: String = kind.chars().take(64).collect();
            return Err(format!(
                "its content type is {kind:?}, not application/json"
            ));
        }
    }
    serde_json::from_slice(body).map_err(|error| format!("it is no task: {error}"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::fractal::{Constant, FractalSpec};

    fn task() -> Waiting {
        Waiting {
            row: 1,
            uuid: Uuid::from_u128(7),
            spec: FractalSpec {
                width: 3,
                height: 2,
                iterations: 9,
                plane: Plane {
                    xa: -2.345678901234568,
                    xb: 2.0,
                    ya: -1.0,
                    yb: 0.5,
                },
                c: Constant { re: 0.25, im: -0.5 },
                palette: Palette::Magma,
            },
        }
    }

    #[test]
    fn a_message_is_the_originals_object_and_more() {
        let body: Value = serde_json::from_slice(&encode(&task())).unwrap();
        assert_eq!(
            body,
            json!({"checksum": null, "duration": null, "generated_by": null, "height": 2,
                   "iterations": 9, "size": null, "url": null,
                   "uuid": "00000000-0000-0000-0000-000000000007", "width": 3,
                   "xa": -2.345678901234568, "xb": 2.0, "ya": -1.0, "yb": 0.5,
                   "c_re": 0.25, "c_im": -0.5, "palette": "magma"})
        );
        let text = String::from_utf8(encode(&task())).unwrap();
        // A whole number is a float all the same, as from the original.
        assert!(text.contains("\"xb\":2.0,"), "{text}");
        let read = decode(&properties(), &encode(&task())).unwrap();
        assert_eq!((read.uuid, read.draft().c_im), (task().uuid, Some(-0.5)));
    }

    #[test]
    fn eight_keys_will_do_and_fewer_will_not() {
        let eight = json!({"uuid": "00000000-0000-0000-0000-000000000007", "width": 3, "height": 2,
                           "iterations": 9, "xa": -2, "xb": 2.0, "ya": -1.0, "yb": 1.0});
        let none = BasicProperties::default();
        let read = decode(&none, eight.to_string().as_bytes()).unwrap();
        assert_eq!((read.draft().c_re, read.palette), (None, Palette::Classic));
        for key in eight.as_object().unwrap().keys() {
            let mut seven = eight.clone();
            seven.as_object_mut().unwrap().remove(key);
            let why = decode(&none, seven.to_string().as_bytes()).unwrap_err();
            assert!(why.contains(key.as_str()), "{why}");
        }
        let pickled = none.with_content_type("application/x-python-serialize".into());
        assert!(decode(&pickled, eight.to_string().as_bytes()).is_err());
        let json = BasicProperties::default().with_content_type("application/json; x".into());
        assert!(decode(&json, eight.to_string().as_bytes()).is_ok());
        assert!(decode(&json, b"\xff\x00").is_err());
    }
}
