//! A farm that answers as an original faafo does: HTTP/1.0, one request after the other, JSON in its
//! own way, and nothing told that it does not know.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use reqwest::Url;
use serde_json::{Value, json};

use super::common::sha256;

/// What it has for an image.
pub enum Image {
    Whole(Vec<u8>),
    /// Breaks off once, and comes whole afterwards.
    BrokenOff(Vec<u8>),
    /// Nothing that can be decoded, or nothing so far: it answers 500 to both.
    None,
    /// Deleted since it was listed.
    Gone,
}

struct Row {
    doc: Value,
    image: Image,
}

#[derive(Default)]
struct State {
    rows: BTreeMap<String, Row>,
    asked: Vec<String>,
}

pub struct Original {
    pub base: String,
    state: Arc<Mutex<State>>,
}

/// A row of a fractal that is done with this image.
pub fn done(uuid: &str, png: &[u8]) -> Value {
    let new = json!({"checksum": sha256(png), "size": png.len(), "duration": 0.5,
                     "generated_by": "worker-1"});
    super::common::but(pending(uuid), new)
}

pub fn pending(uuid: &str) -> Value {
    json!({"uuid": uuid, "checksum": (), "duration": (), "generated_by": (), "size": (), "url": (),
           "width": 4, "height": 3, "iterations": 64, "xa": -2.345678901234568, "xb": 2.0,
           "ya": -1.5, "yb": 1.5})
}

impl Original {
    pub fn new() -> Original {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State::default()));
        let kept = state.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                // Who hangs up gets no answer.
                let _ = serve(stream.unwrap(), &mut kept.lock().unwrap());
            }
        });
        Original { base, state }
    }

    /// Has a row, in the place of one of its uuid.
    pub fn put(&self, doc: Value, image: Image) {
        let uuid = doc["uuid"].as_str().unwrap().to_owned();
        let mut state = self.state.lock().unwrap();
        state.rows.insert(uuid, Row { doc, image });
    }

    /// What it was asked since the last call: method and path.
    pub fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().unwrap().asked)
    }
}

fn serve(mut stream: TcpStream, state: &mut State) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let mut words = head.split(' ');
    let (method, target) = (words.next().unwrap(), words.next().unwrap());
    let url = Url::parse("http://original").unwrap().join(target).unwrap();
    state.asked.push(format!("{method} {}", url.path()));
    let answer = match url.path().strip_prefix("/fractal/") {
        Some(uuid) => image(state, uuid),
        None if url.path() == "/v1/fractal" => list(state, &url),
        None => html("404 NOT FOUND"),
    };
    stream.write_all(&answer)
}

fn answer(status: &str, kind: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.0 {status}\r\nContent-Type: {kind}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\
         Server: Werkzeug/0.11.15 Python/2.7.18\r\nDate: Sun, 22 Nov 2026 12:56:55 GMT\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

fn html(status: &str) -> Vec<u8> {
    let page = format!(
        "<!DOCTYPE HTML PUBLIC \"-//W3C//DTD HTML 3.2 Final//EN\">\n<title>{status}</title>\n"
    );
    answer(status, "text/html", page.as_bytes())
}

fn image(state: &mut State, uuid: &str) -> Vec<u8> {
    let row = state.rows.get_mut(uuid);
    match row.map(|row| &mut row.image) {
        Some(Image::Whole(png)) => answer("200 OK", "image/png", png),
        Some(image @ Image::BrokenOff(_)) => {
            let Image::BrokenOff(png) = std::mem::replace(image, Image::None) else {
                unreachable!();
            };
            let mut broken = answer("200 OK", "image/png", &png);
            broken.truncate(broken.len() - png.len() / 2);
            *image = Image::Whole(png);
            broken
        }
        Some(Image::None) => html("500 INTERNAL SERVER ERROR"),
        Some(Image::Gone) | None => {
            let doc = br#"{"code": 404, "message": "Fracal not found"}"#;
            answer("404 NOT FOUND", "application/json", doc)
        }
    }
}

/// The rows in the order of their uuids, or those that follow one: all that an import asks for.
fn list(state: &State, url: &Url) -> Vec<u8> {
    let asked = |name: &str| {
        let found = url.query_pairs().find(|(key, _)| key == name);
        found.map(|(_, value)| value.into_owned())
    };
    let number = |name: &str| asked(name).and_then(|text| text.parse::<usize>().ok());
    let per = number("results_per_page").unwrap_or(10).min(100);
    let page = number("page").unwrap_or(1);
    let q: Value = serde_json::from_str(&asked("q").unwrap_or("{}".into())).unwrap();
    let filters = q["filters"].as_array().cloned().unwrap_or_default();
    let found = state.rows.iter().filter(|(uuid, _)| {
        filters.iter().all(|filter| {
            assert_eq!(
                (&filter["name"], &filter["op"]),
                (&json!("uuid"), &json!(">"))
            );
            uuid.as_str() > filter["val"].as_str().unwrap()
        })
    });
    let found: Vec<_> = found.map(|(_, row)| row.doc.clone()).collect();
    let objects = found.iter().skip((page - 1) * per).take(per);
    let doc = json!({"num_results": found.len(), "page": page,
                     "total_pages": found.len().div_ceil(per),
                     "objects": objects.collect::<Vec<_>>()});
    let text = serde_json::to_string_pretty(&doc).unwrap();
    // As Python 2 writes it, infinities and all.
    let text = text
        .replace(",\n", ", \n")
        .replace("\"Infinity\"", "Infinity");
    answer("200 OK", "application/json", format!("{text}\n").as_bytes())
}
