//! A real browser in front of a farm: headless Chromium, driven through chromedriver.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tempfile::TempDir;
use thirtyfour::common::capabilities::chrome::ChromeCapabilities;
use thirtyfour::prelude::*;
use thirtyfour::{ChromiumLikeCapabilities, LoggingPrefsLogLevel, TypingData};

use crate::common::{Farm, PATIENCE};

/// Nothing that a fresh Chromium does of its own accord belongs in a test, least of all its calls
/// to the network.
const FLAGS: [&str; 10] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    "--window-size=1280,800",
];

/// Where people look for what the page looks like.
const SCREENSHOTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/screenshots");

/// A browser with one open page.
///
/// The order of the fields is the order of the end: the session, by which Chromium leaves; the
/// driver; the profile that both wrote to.
pub struct Browser {
    driver: WebDriver,
    _process: Process,
    _profile: TempDir,
    base: String,
}

struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts chromedriver on a free port, and returns that when it listens. It wants the same one on two
/// kinds of addresses, and somebody may have one of them.
fn start_driver(profile: &Path) -> (Process, u16) {
    let started = (0..5).find_map(|_| try_driver(profile));
    started.expect("chromedriver ended at once, five times")
}

fn try_driver(profile: &Path) -> Option<(Process, u16)> {
    let mut command = Command::new("chromedriver");
    command.arg("--port=0").stdout(Stdio::piped());
    // Chromium keeps some files beside the profile it is given: not in people's own folder.
    command.env("XDG_CONFIG_HOME", profile);
    let child = command.stderr(Stdio::null()).spawn();
    let mut process = Process(child.expect("chromedriver does not start: is it installed?"));
    let mut lines = BufReader::new(process.0.stdout.take().unwrap()).lines();
    let port = lines.by_ref().find_map(|line| {
        let line = line.unwrap();
        let port = line.split_once("started successfully on port ")?.1;
        port.trim_end_matches('.').parse().ok()
    })?;
    // A full pipe would stop the driver.
    std::thread::spawn(move || for _ in lines {});
    Some((process, port))
}

fn capabilities(profile: &Path) -> ChromeCapabilities {
    let mut chrome = DesiredCapabilities::chrome();
    for flag in FLAGS {
        chrome.add_arg(flag).unwrap();
    }
    let profile = format!("--user-data-dir={}", profile.display());
    chrome.add_arg(&profile).unwrap();
    chrome
        .set_browser_log_level(LoggingPrefsLogLevel::All)
        .unwrap();
    chrome
}

/// A connection for each command. A session left by a panic ends in a runtime of its own, and would
/// wait in vain for a connection kept in that of the test.
fn client() -> reqwest::Client {
    let client = reqwest::Client::builder().tls_certs_only([]).no_proxy();
    let client = client.pool_max_idle_per_host(0).timeout(2 * PATIENCE);
    client.build().unwrap()
}

impl Browser {
    /// A new browser that shows `path` of the farm.
    pub async fn at(farm: &Farm, path: &str) -> Browser {
        let profile = TempDir::new().unwrap();
        let (process, port) = start_driver(profile.path());
        let builder = WebDriver::builder(
            format!("http://127.0.0.1:{port}"),
            capabilities(profile.path()),
        );
        let session = builder.client(client()).connect().await;
        let browser = Browser {
            driver: session.expect("Chromium does not start: is it installed?"),
            _process: process,
            _profile: profile,
            base: farm.base.clone(),
        };
        // On a busy machine 4K of pixels take their time.
        let driver = &browser.driver;
        driver.set_page_load_timeout(PATIENCE).await.unwrap();
        driver.set_script_timeout(PATIENCE).await.unwrap();
        browser.goto(path).await;
        browser
    }

    pub async fn goto(&self, path: &str) {
        let url = format!("{}{path}", self.base);
        self.driver.goto(url).await.unwrap();
    }

    /// Loads the page again at the address that it has by now.
    pub async fn goto_here(&self) {
        let here: String = self.value("location.pathname + location.search").await;
        self.goto(&here).await;
    }

    /// The gallery, once events flow and the lists are there.
    pub async fn gallery(farm: &Farm) -> Browser {
        let browser = Browser::at(farm, "/").await;
        browser.live().await;
        browser
    }

    pub async fn live(&self) {
        self.sees("#connection[data-state=live]").await;
        self.until("$('#grid').ariaBusy === 'false'").await;
    }

    /// What a JavaScript expression gives. `$` finds an element, `$$` all, `text` what one says, and
    /// `sees` whether one can be seen.
    pub async fn value<T: DeserializeOwned>(&self, expression: &str) -> T {
        self.ask(expression).await.unwrap()
    }

    async fn ask<T: DeserializeOwned>(&self, expression: &str) -> WebDriverResult<T> {
        let script = format!(
            "const $ = (css) => document.querySelector(css);
             const $$ = (css) => [...document.querySelectorAll(css)];
             const text = (css) => $(css)?.innerText;
             const sees = (css) => $$(css).some((element) => element.checkVisibility());
             return {expression};"
        );
        self.driver.execute(script, Vec::new()).await?.convert()
    }

    /// When the page was loaded: stays the same as long as nothing loads it again.
    pub async fn loaded_at(&self) -> f64 {
        self.value("performance.timeOrigin").await
    }

    /// Waits until a JavaScript expression holds.
    pub async fn until(&self, condition: &str) {
        let begun = Instant::now();
        // While one page makes way for another, nothing can be asked.
        while !matches!(
            self.ask::<bool>(&format!("Boolean({condition})")).await,
            Ok(true)
        ) {
            if begun.elapsed() > PATIENCE {
                let said: String = self.value("document.body.innerText").await;
                panic!("never came true: {condition}\nthe page says:\n{said}");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub async fn sees(&self, css: &str) {
        self.until(&format!("sees({})", json!(css))).await;
    }

    pub async fn sees_no(&self, css: &str) {
        self.until(&format!("!sees({})", json!(css))).await;
    }

    /// Waits until an element says exactly this.
    pub async fn reads(&self, css: &str, text: &str) {
        let condition = format!("text({}) === {}", json!(css), json!(text));
        self.until(&condition).await;
    }

    pub async fn focused(&self, css: &str) {
        let condition = format!("document.activeElement.matches({})", json!(css));
        self.until(&condition).await;
    }

    /// Clicks as a mouse does: what is hidden or covered cannot be clicked.
    pub async fn click(&self, css: &str) {
        let begun = Instant::now();
        loop {
            // An error says that nothing was clicked: it may have been about to move.
            let Err(error) = self.try_click(css).await else {
                return;
            };
            assert!(begun.elapsed() < PATIENCE, "{css}: {error}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn try_click(&self, css: &str) -> WebDriverResult<()> {
        self.driver.find(By::Css(css)).await?.click().await
    }

    /// Writes into a field, instead of what it held.
    pub async fn fill(&self, css: &str, text: &str) {
        self.sees(css).await;
        let field = self.driver.find(By::Css(css)).await.unwrap();
        field.clear().await.unwrap();
        field.send_keys(text).await.unwrap();
    }

    /// Presses keys, whatever has the focus.
    pub async fn press(&self, keys: impl Into<TypingData>) {
        let chain = self.driver.action_chain().send_keys(keys.into());
        chain.perform().await.unwrap();
    }

    /// Presses Tab until it leads here.
    pub async fn tab_to(&self, css: &str) {
        for _ in 0..40 {
            self.press(Key::Tab).await;
            let condition = format!("document.activeElement.matches({})", json!(css));
            if self.value(&condition).await {
                return;
            }
        }
        panic!("no way to {css} by keyboard");
    }

    pub async fn devtools(&self, command: &str, arguments: Value) {
        let cdp = self.driver.cdp();
        cdp.send_raw(command, arguments).await.unwrap();
    }

    /// Gives the page this much room, in pixels of CSS.
    pub async fn window(&self, width: u32, height: u32, mobile: bool) {
        let scale = if mobile { 2 } else { 1 };
        let metrics = json!({"width": width, "height": height, "mobile": mobile,
                             "deviceScaleFactor": scale});
        let command = "Emulation.setDeviceMetricsOverride";
        self.devtools(command, metrics).await;
        // What the page makes of it comes with the next frame. On a phone it may be wider than the screen.
        let there = format!(
            "(innerWidth === {width} || screen.width === {width}) && devicePixelRatio === {scale}"
        );
        self.until(&there).await;
        let drawn = "new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(() => drawn(0))))";
        let _: Value = self.value(drawn).await;
    }

    /// Takes a picture of the window for people to look at.
    pub async fn screenshot(&self, name: &str) {
        // Not half faded in. What breathes without end is left alone.
        let ends = "getComputedTiming().endTime < Infinity";
        let still = format!(
            "Promise.allSettled(document.getAnimations()
                .filter(({{ effect }}) => effect.{ends}).map(({{ finished }}) => finished))"
        );
        let _: Value = self.value(&still).await;
        std::fs::create_dir_all(SCREENSHOTS).unwrap();
        let file = Path::new(SCREENSHOTS).join(name).with_extension("png");
        self.driver.screenshot(&file).await.unwrap();
    }

    /// What the page asked of anyone but the farm, and what Chromium has logged since the last time.
    pub async fn complaints(&self) -> Vec<String> {
        let asked = "performance.getEntriesByType('resource').map(({ name }) => name)";
        let asked: Vec<String> = self.value(asked).await;
        assert!(asked.len() > 10, "that cannot be all: {asked:?}");
        let home = format!("{}/", self.base);
        let abroad = asked.into_iter().filter(|url| !url.starts_with(&home));
        let log = self.driver.browser_log().await.unwrap();
        let said = log.into_iter().map(|entry| entry.message);
        abroad.chain(said).collect()
    }

    /// Ends the session. Nothing may have left the farm, and the page may not have complained, in
    /// particular not of its content policy, but for what the test provoked.
    pub async fn leave(self, provoked: &[&str]) {
        let mut complaints = self.complaints().await;
        complaints.retain(|line| !provoked.iter().any(|known| line.contains(known)));
        assert!(complaints.is_empty(), "{complaints:#?}");
        self.driver.quit().await.unwrap();
    }
}
