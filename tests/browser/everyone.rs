//! For everyone: WCAG as axe-core sees it, the keyboard alone, small and large screens, slow phones.

use serde_json::{Value, json};
use thirtyfour::Key;

use crate::browser::Browser;
use crate::common::{Farm, but, long, small};
use crate::{UNKNOWN, answered, card, card_in, dozen, finished, uuid_of};

/// Where `tests/run` puts axe-core.
const AXE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/target/axe-core/package/axe.min.js"
);

async fn dress(browser: &Browser, features: &[(&str, &str)]) {
    let features: Vec<Value> = features
        .iter()
        .map(|(name, value)| json!({"name": name, "value": value}))
        .collect();
    let media = json!({"features": features});
    browser.devtools("Emulation.setEmulatedMedia", media).await;
}

/// Asserts that axe-core finds nothing to complain about, in light and in dark.
pub async fn accessible(browser: &Browser, what: &str) {
    let axe = std::fs::read_to_string(AXE).expect("tests/run fetches axe-core");
    for scheme in ["light", "dark"] {
        dress(
            browser,
            &[
                ("prefers-color-scheme", scheme),
                ("prefers-reduced-motion", "reduce"),
            ],
        )
        .await;
        let run = format!(
            "(() => {{ {axe}; return axe.run(document, {{ runOnly: ['wcag2a', 'wcag2aa', 'wcag21a',
               'wcag21aa', 'wcag22aa', 'best-practice'] }}).then(({{ violations }}) => violations.map(
               ({{ id, nodes }}) => id + ': ' + nodes.map((it) => it.html + ' ' + it.failureSummary).join(' | '))); }})()"
        );
        let violations: Vec<String> = browser.value(&run).await;
        assert!(violations.is_empty(), "{what}, {scheme}: {violations:#?}");
    }
}

#[tokio::test]
#[should_panic(expected = "button-name")]
async fn what_hinders_somebody_is_found() {
    let farm = Farm::api();
    let browser = Browser::at(&farm, "/farm").await;
    let nameless = "$('main').append(document.createElement('button'))";
    let _: Value = browser.value(nameless).await;
    accessible(&browser, "a button without a name").await;
}

#[tokio::test]
async fn no_page_hinders_anybody() {
    let (farm, uuid) = dozen().await;
    let browser = Browser::gallery(&farm).await;
    browser.until("$$('.card img').length === 12").await;
    accessible(&browser, "gallery").await;
    browser.click("#filter-box summary").await;
    browser.click("#select").await;
    browser.sees("#picked").await;
    browser.click("#grid .card a").await;
    accessible(&browser, "gallery, picking").await;
    browser.click("#pick-end").await;
    browser.click("#new").await;
    accessible(&browser, "form").await;
    browser.click("#create-cancel").await;
    browser.fill("#filters [name=uuid]", "no such thing").await;
    browser.sees("#none-found").await;
    accessible(&browser, "nothing found").await;
    browser.goto("/").await;
    let long: Value = farm.create(&long()).await.json().await.unwrap();
    let running = format!("{} progress", card_in(uuid_of(&long), "running"));
    browser.sees(&running).await;
    accessible(&browser, "running").await;
    let path = format!("/v1/fractal/{}", uuid_of(&long));
    assert_eq!(farm.delete(&path).send().await.unwrap().status(), 204);
    browser.goto(&format!("/view/{uuid}")).await;
    browser.sees("#view[data-status=done]").await;
    accessible(&browser, "view").await;
    browser.click("#view-delete").await;
    browser.sees("#confirm").await;
    accessible(&browser, "confirm").await;
    browser.press(Key::Escape).await;
    browser.goto(&format!("/view/{UNKNOWN}")).await;
    browser.sees("#view-missing").await;
    accessible(&browser, "nothing").await;
    browser.goto("/explore").await;
    browser.until("$('#stage').dataset.still").await;
    accessible(&browser, "explorer").await;
    browser.click("#render").await;
    accessible(&browser, "order").await;
    browser.goto("/farm").await;
    browser.sees("#main[data-state=shown]").await;
    accessible(&browser, "farm").await;
    browser.goto("/animate").await;
    browser.sees("#no-reels").await;
    accessible(&browser, "animate").await;
    let animation = but(small(), json!({"frames": 3, "to_c_re": 0}));
    let posted = farm.post("/v1/animations").json(&animation).send();
    assert_eq!(posted.await.unwrap().status(), 201);
    browser.sees(".reel").await;
    accessible(&browser, "an animation").await;
    browser.leave(&[&answered(404)]).await;
}

#[tokio::test]
async fn what_waits_and_what_failed_hinders_nobody() {
    let folder = tempfile::TempDir::new().unwrap();
    let failed = {
        let farm = Farm::on(folder.path(), &["api"]);
        uuid_of(&farm.created().await).to_owned()
    };
    let conn = rusqlite::Connection::open(folder.path().join("faafo.db")).unwrap();
    let error = "UPDATE fractal SET status = 'failed', attempts = 3, error = 'for the test'";
    assert_eq!(conn.execute(error, []).unwrap(), 1);
    drop(conn);
    let farm = Farm::on(folder.path(), &["api"]);
    let browser = Browser::gallery(&farm).await;
    browser.sees(&card(&failed)).await;
    accessible(&browser, "failed").await;
    crate::several(&farm, 20).await;
    browser
        .reads("#more-waiting", "and 8 more are waiting")
        .await;
    accessible(&browser, "waiting").await;
    browser.goto("/farm").await;
    browser
        .until("$$('#waiting li').length === 5 && $$('#failed li').length === 1")
        .await;
    accessible(&browser, "farm").await;
    browser.goto(&format!("/view/{failed}")).await;
    browser.sees("#view-retry").await;
    accessible(&browser, "view of a failure").await;
    browser.leave(&[]).await;
}

#[tokio::test]
async fn nothing_reaches_over_the_sides_from_320_pixels_to_4k() {
    let (farm, uuid) = dozen().await;
    let browser = Browser::gallery(&farm).await;
    for path in [
        "/?sort=oldest",
        &format!("/view/{uuid}"),
        "/explore",
        "/animate",
        "/farm",
    ] {
        browser.goto(path).await;
        browser.until("document.readyState === 'complete'").await;
        for width in [320, 375, 768, 1280, 1920, 3840] {
            browser
                .window(
                    width,
                    if width > 1000 { width * 9 / 16 } else { 700 },
                    false,
                )
                .await;
            let reach = "Math.max(document.documentElement.scrollWidth,
                ...$$('main *, header *').filter((it) => it.checkVisibility() && !it.closest('.unseen'))
                    .map((it) => it.getBoundingClientRect().right))";
            browser.until(&format!("{reach} <= {width}.5")).await;
            if width == 320 || width == 3840 {
                let name = match path[1..].split(['/', '?']).next() {
                    None | Some("") => "gallery",
                    Some(name) => name,
                };
                browser.screenshot(&format!("width-{width}-{name}")).await;
            }
        }
    }
    browser.leave(&[]).await;
}

#[tokio::test]
async fn everything_is_done_with_the_keyboard_alone() {
    let farm = Farm::all();
    let first = finished(&farm).await;
    let browser = Browser::gallery(&farm).await;
    // Filter, and clear it.
    browser.tab_to("#filter-box summary").await;
    browser.press(Key::Enter).await;
    browser.tab_to("#filters [name=uuid]").await;
    browser.press(&first[..8]).await;
    browser.until("location.search.startsWith('?uuid=')").await;
    browser.sees(&card(&first)).await;
    browser.tab_to("#filter-clear").await;
    browser.press(Key::Enter).await;
    browser.until("location.search === ''").await;
    // Make one.
    browser.goto("/").await;
    browser.live().await;
    browser.tab_to("#new").await;
    browser.press(Key::Enter).await;
    browser.focused("#create-form [name=width]").await;
    browser.press("64").await;
    browser.press(Key::Enter).await;
    browser
        .until("$$('.card[data-status=done]').length === 2")
        .await;
    // Look at it, and explore it.
    browser.tab_to("#grid .card a").await;
    browser.press(Key::Enter).await;
    browser.sees("#view[data-status=done]").await;
    browser.tab_to("#view-explore").await;
    browser.press(Key::Enter).await;
    browser.until("$('#stage')?.dataset.still").await;
    browser.tab_to("#stage").await;
    browser.press("+").await;
    browser.press(Key::Left).await;
    browser.tab_to("#map").await;
    browser.press(Key::Up).await;
    browser.press(Key::Enter).await;
    browser.tab_to("[name=palette]").await;
    browser.press(Key::Right).await;
    browser
        .until("location.search.includes('palette=viridis')")
        .await;
    browser.goto_here().await;
    browser.until("$('#stage')?.dataset.still").await;
    browser.tab_to("#render").await;
    browser.press(Key::Enter).await;
    browser.focused("#order-form [name=width]").await;
    browser.press("80").await;
    browser.press(Key::Enter).await;
    browser.focused("#ordered-link").await;
    browser.press(Key::Enter).await;
    browser.sees("#view[data-status=done]").await;
    // Have it move.
    browser.goto("/animate").await;
    browser.sees("#main[data-state=shown]").await;
    browser.tab_to("#path [name=frames]").await;
    browser.press("3").await;
    browser.press(Key::Enter).await;
    browser.sees(".reel[data-status=done]").await;
    browser.tab_to(".reel [aria-pressed]").await;
    browser.press(Key::Enter).await;
    browser.sees(".reel [aria-pressed=true]").await;
    let there = "$('.reel img').complete && $('.reel img').naturalWidth";
    browser.until(there).await;
    browser.tab_to(".reel .danger").await;
    browser.press(Key::Enter).await;
    browser.tab_to("#confirm-yes").await;
    browser.press(Key::Enter).await;
    browser.sees("#no-reels").await;
    // The farm, and back to the gallery to pick and delete.
    browser.goto("/farm").await;
    browser.sees("#main[data-state=shown]").await;
    browser.tab_to(".pages a[href='/']").await;
    browser.press(Key::Enter).await;
    browser
        .until("$$('.card[data-status=done]').length === 3")
        .await;
    browser.tab_to("#select").await;
    browser.press(Key::Enter).await;
    browser.sees("#picked").await;
    browser.tab_to("#grid .card a").await;
    browser.press(" ").await;
    browser.reads("#picked-count", "1 fractal selected").await;
    browser.tab_to("#pick-delete").await;
    browser.press(Key::Enter).await;
    browser.tab_to("#confirm-yes").await;
    browser.press(Key::Enter).await;
    browser.reads("#count-done", "2").await;
    browser.leave(&[]).await;
}

/// Bytes that come over the wire, headers and all, but for images; in the browser's own words.
const BYTES: &str = "performance.getEntriesByType('resource')
    .concat(performance.getEntriesByType('navigation'))
    .filter(({ name }) => !/\\/fractal\\/|favicon/.test(name))
    .reduce((sum, { transferSize }) => sum + transferSize, 0)";

#[tokio::test]
async fn a_slow_phone_has_the_gallery_soon() {
    let farm = Farm::all();
    let small = but(small(), json!({"width": 320, "height": 240}));
    for _ in 0..40 {
        farm.create(&small).await;
    }
    while farm.counts().await["done"] != 40 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let browser = Browser::at(&farm, "/static/favicon.svg").await;
    browser.window(375, 800, true).await;
    // As developers' tools have it: fast 3G, and a processor four times as slow.
    let network = json!({"offline": false, "latency": 150, "downloadThroughput": 1_600_000 / 8,
                         "uploadThroughput": 750_000 / 8});
    browser.devtools("Network.enable", json!({})).await;
    browser
        .devtools("Network.emulateNetworkConditions", network)
        .await;
    browser
        .devtools("Emulation.setCPUThrottlingRate", json!({"rate": 4}))
        .await;
    browser.goto("/").await;
    browser.live().await;
    let bytes: u64 = browser.value(BYTES).await;
    assert!(bytes > 10_000 && bytes < 100_000, "{bytes}");
    let ready: f64 = browser
        .value("performance.getEntriesByName('interactive')[0].startTime")
        .await;
    println!("first view of the gallery: {bytes} bytes, interactive after {ready:.0} ms");
    // On a machine that does nothing else it is 0.8 s; what this test must not depend on.
    assert!(ready < 30_000.0, "{ready}");
    // Two rounds on the six connections that a browser opens.
    let first =
        "$$('[rel=stylesheet], [rel=modulepreload]:not([fetchpriority=low]), script[src]').length";
    assert!(browser.value::<u32>(first).await <= 12);
    // No wave of requests for modules of modules.
    let late = "performance.getEntriesByType('resource').filter(({ name }) => name.endsWith('.js'))
        .filter(({ name }) => !$(`[rel=modulepreload][href='${new URL(name).pathname}'], script[src='${new URL(name).pathname}']`))
        .map(({ name }) => name)";
    assert_eq!(browser.value::<Vec<String>>(late).await, [""; 0]);
    browser.leave(&[]).await;
}
