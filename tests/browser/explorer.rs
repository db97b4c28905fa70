//! The explorer, used as people use it.

use serde_json::{Value, json};
use thirtyfour::Key;

use crate::browser::Browser;
use crate::common::{Farm, but, small};
use crate::{COPIED, answered, uuid_of};

const VIEW: &str =
    "/explore?c_re=-0.8&c_im=0.156&re=0.25&im=-0.125&span=2&iterations=300&palette=magma";

/// The explorer at an address, once all of the view is there.
async fn explorer(farm: &Farm, address: &str) -> Browser {
    let browser = Browser::at(farm, address).await;
    still(&browser).await;
    browser
}

/// Waits until the whole view is there, and the address says which one it is: the newest, which the
/// link to the animations has at once.
async fn still(browser: &Browser) {
    browser
        .until(
            "$('#stage').dataset.still === location.pathname + location.search
                && $('#animate').getAttribute('href') === '/animate' + location.search",
        )
        .await;
}

async fn part(browser: &Browser, name: &str) -> f64 {
    let get = format!("Number(new URLSearchParams(location.search).get('{name}'))");
    browser.value(&get).await
}

/// How many colours there are along the middle of the picture.
async fn colours(browser: &Browser) -> usize {
    browser
        .value(
            "(() => {
                const { width, height } = $('#stage');
                const row = $('#stage').getContext('2d').getImageData(0, height >> 1, width, 1).data;
                const pixels = new Uint32Array(row.buffer);
                return new Set(pixels).size;
            })()",
        )
        .await
}

async fn mouse(browser: &Browser, kind: &str, (x, y): (f64, f64), more: Value) {
    let event = crate::but(json!({"type": kind, "x": x, "y": y}), more);
    browser.devtools("Input.dispatchMouseEvent", event).await;
}

/// Where the middle of an element is.
async fn middle(browser: &Browser, css: &str) -> (f64, f64) {
    let middle = format!(
        "(({{ x, y, width, height }}) => [x + width / 2, y + height / 2])($('{css}').getBoundingClientRect())"
    );
    browser.value(&middle).await
}

/// Writes instead of what stands there, without ever leaving the field: what is left is put right.
async fn write(browser: &Browser, css: &str, text: &str) {
    let _: Value = browser
        .value(&format!("($('{css}').focus(), $('{css}').select())"))
        .await;
    browser.press(text).await;
}

#[tokio::test]
async fn a_view_is_an_address_and_moves_with_mouse_wheel_and_keys() {
    let farm = Farm::api();
    let browser = explorer(&farm, VIEW).await;
    assert!(colours(&browser).await > 20);
    assert_eq!(part(&browser, "re").await, 0.25);
    let height: f64 = browser
        .value("Math.min($('#stage').clientHeight, $('#stage').clientWidth)")
        .await;
    let unit = 2.0 / height;

    // What is held moves with the pointer.
    let (x, y) = middle(&browser, "#stage").await;
    let left = json!({"button": "left", "buttons": 1, "clickCount": 1});
    mouse(&browser, "mousePressed", (x, y), left.clone()).await;
    mouse(&browser, "mouseMoved", (x + 40.0, y + 20.0), left.clone()).await;
    mouse(&browser, "mouseMoved", (x + 100.0, y + 50.0), left.clone()).await;
    mouse(&browser, "mouseReleased", (x + 100.0, y + 50.0), left).await;
    browser.until("!location.search.includes('re=0.25&')").await;
    still(&browser).await;
    assert!((part(&browser, "re").await - (0.25 - 100.0 * unit)).abs() < 2.0 * unit);
    assert!((part(&browser, "im").await - (-0.125 - 50.0 * unit)).abs() < 2.0 * unit);

    // The wheel makes larger what is under the pointer.
    let before = part(&browser, "re").await;
    let at = (x + 60.0, y);
    mouse(
        &browser,
        "mouseWheel",
        at,
        json!({"deltaX": 0, "deltaY": -300}),
    )
    .await;
    browser.until("!location.search.includes('span=2&')").await;
    still(&browser).await;
    let span = part(&browser, "span").await;
    assert!((span - 2.0 * (-0.6f64).exp()).abs() < 1e-9, "{span}");
    let after = part(&browser, "re").await + 60.0 * span / height;
    assert!((after - (before + 60.0 * unit)).abs() < unit, "{after}");

    // By keyboard, to the whole set and back.
    let _: Value = browser.value("$('#stage').focus()").await;
    browser.press("0").await;
    browser
        .until("location.search.includes('re=0&im=0&span=3.2&')")
        .await;
    browser.press(Key::Right).await;
    browser.press(Key::Down).await;
    browser.press("+").await;
    browser.until("!location.search.includes('re=0&')").await;
    still(&browser).await;
    assert!(part(&browser, "re").await > 0.0 && part(&browser, "im").await > 0.0);
    assert!((part(&browser, "span").await - 3.2 / 1.5).abs() < 1e-9);
    browser.click("#zoom-out").await;
    browser.click("#zoom-all").await;
    browser
        .until("location.search.includes('re=0&im=0&span=3.2&')")
        .await;

    // A friend sees the same.
    still(&browser).await;
    let address: String = browser.value("location.pathname + location.search").await;
    let _: Value = browser.value(COPIED).await;
    browser.click("#copy").await;
    browser
        .reads("#notice", "The link to this view has been copied.")
        .await;
    assert_eq!(
        browser.value::<String>("window.copied").await,
        farm.url(&address)
    );
    browser.goto(&address).await;
    still(&browser).await;
    assert_eq!(
        browser
            .value::<String>("location.pathname + location.search")
            .await,
        address
    );
    browser.leave(&[]).await;
}

/// Notes when the screen is drawn, and counts what is drawn on it.
const WATCH: &str = "(() => {
    window.frames60 = [];
    window.drawn = { stage: 0, sketches: 0 };
    const context = CanvasRenderingContext2D.prototype;
    const { fillRect, putImageData } = context;
    context.fillRect = function (...all) { drawn.stage += 1; return fillRect.apply(this, all); };
    context.putImageData = function (...all) { drawn.sketches += 1; return putImageData.apply(this, all); };
    const note = (now) => { frames60.push(now); requestAnimationFrame(note); };
    requestAnimationFrame(note);
})()";

#[tokio::test]
async fn dragging_draws_the_stage_once_a_frame_and_nothing_else() {
    let farm = Farm::api();
    let browser = explorer(&farm, VIEW).await;
    let (x, y) = middle(&browser, "#stage").await;
    let _: Value = browser.value(WATCH).await;
    let left = json!({"button": "left", "buttons": 1, "clickCount": 1});
    mouse(&browser, "mousePressed", (x, y), left.clone()).await;
    for step in 0..150 {
        let angle = f64::from(step) / 10.0;
        let at = (x + 120.0 * angle.sin(), y + 90.0 * angle.cos());
        mouse(&browser, "mouseMoved", at, left.clone()).await;
    }
    mouse(&browser, "mouseReleased", (x, y), left).await;
    let (frames, stage, sketches): (Vec<f64>, usize, usize) = browser
        .value("[frames60, drawn.stage, drawn.sketches]")
        .await;
    let mut between: Vec<f64> = frames.windows(2).map(|two| two[1] - two[0]).collect();
    between.sort_by(f64::total_cmp);
    let at = |share: usize| between[between.len() * share / 100];
    // What a frame takes is the machine's affair, and not what this test stands for.
    println!(
        "dragging: {} frames, {:.1} ms from one to the next, {:.1} ms for 95 of 100",
        frames.len(),
        at(50),
        at(95)
    );
    assert!(stage > 10, "{stage}");
    assert!(stage <= frames.len() + 1, "{stage} in {}", frames.len());
    assert_eq!(sketches, 0);
    still(&browser).await;
    browser.leave(&[]).await;
}

#[tokio::test]
async fn the_explorer_is_light_or_dark_as_wished() {
    let farm = Farm::api();
    let address =
        "/explore?c_re=-0.7269&c_im=0.1889&re=0&im=0&span=1.9&iterations=400&palette=twilight";
    let browser = explorer(&farm, address).await;
    browser.window(1280, 720, false).await;
    browser.until("innerWidth === 1280").await;
    for scheme in ["light", "dark"] {
        let media = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        browser.devtools("Emulation.setEmulatedMedia", media).await;
        // Nothing of what steers is out of sight.
        browser
            .until("$('#wide').getBoundingClientRect().bottom <= innerHeight")
            .await;
        still(&browser).await;
        browser.screenshot(&format!("explorer-{scheme}")).await;
    }
    browser.leave(&[]).await;
}

#[tokio::test]
async fn two_fingers_zoom_and_one_moves() {
    let farm = Farm::api();
    let browser = explorer(&farm, VIEW).await;
    browser.window(375, 800, true).await;
    let touch = json!({"enabled": true, "maxTouchPoints": 2});
    browser
        .devtools("Emulation.setTouchEmulationEnabled", touch)
        .await;
    still(&browser).await;
    let (x, y) = middle(&browser, "#stage").await;
    let fingers = async |kind: &str, apart: f64, down: f64| {
        let at = |x: f64| json!({"x": x, "y": y + down, "id": if apart > 0.0 { 1 } else { 0 }});
        let two = json!([{"x": x - apart, "y": y + down, "id": 0}, {"x": x + apart, "y": y + down, "id": 1}]);
        let points = match (kind, apart) {
            ("touchEnd", _) => json!([]),
            (_, 0.0) => json!([at(x)]),
            _ => two,
        };
        let event = json!({"type": kind, "touchPoints": points});
        browser.devtools("Input.dispatchTouchEvent", event).await;
    };
    fingers("touchStart", 40.0, 0.0).await;
    fingers("touchMove", 60.0, 0.0).await;
    fingers("touchMove", 80.0, 0.0).await;
    fingers("touchEnd", 0.0, 0.0).await;
    // By way of what the first move made of it.
    browser
        .until("Math.abs(new URLSearchParams(location.search).get('span') - 1) < 0.1")
        .await;
    let im = part(&browser, "im").await;
    fingers("touchStart", 0.0, 0.0).await;
    fingers("touchMove", 0.0, 30.0).await;
    fingers("touchMove", 0.0, 60.0).await;
    fingers("touchEnd", 0.0, 0.0).await;
    browser
        .until(&format!("!location.search.includes('im={im}&')"))
        .await;
    assert!(part(&browser, "im").await < im);
    still(&browser).await;
    browser.screenshot("phone-explorer").await;
    browser.leave(&[]).await;
}

#[tokio::test]
async fn c_is_seen_at_once_on_the_map_and_picked_by_a_click_or_by_keys() {
    let farm = Farm::api();
    let browser = explorer(&farm, VIEW).await;
    let said = "text('#preview-c')";
    let before: String = browser.value(said).await;
    assert_eq!(before, "c = −0.8 + 0.156i");
    let (x, y) = middle(&browser, "#map").await;
    let asked = "performance.getEntriesByType('resource').length";
    let requests: u32 = browser.value(asked).await;
    mouse(&browser, "mouseMoved", (x + 30.0, y - 30.0), json!({})).await;
    browser.until(&format!("{said} !== '{before}'")).await;
    // Without asking the farm, and without losing what is shown.
    assert_eq!(browser.value::<u32>(asked).await, requests);
    assert_eq!(part(&browser, "c_re").await, -0.8);
    let looked_at: String = browser.value(said).await;
    let left = json!({"button": "left", "buttons": 1, "clickCount": 1});
    mouse(&browser, "mousePressed", (x + 30.0, y - 30.0), left.clone()).await;
    mouse(&browser, "mouseReleased", (x + 30.0, y - 30.0), left).await;
    browser
        .until("!location.search.includes('c_re=-0.8&')")
        .await;
    assert_eq!(browser.value::<String>(said).await, looked_at);
    assert!(part(&browser, "c_im").await < 0.0);
    still(&browser).await;

    let _: Value = browser.value("$('#map').focus()").await;
    let c = part(&browser, "c_re").await;
    browser.press(Key::Left).await;
    browser.press(Key::Left).await;
    browser.until(&format!("{said} !== '{looked_at}'")).await;
    assert_eq!(part(&browser, "c_re").await, c);
    browser.press(Key::Enter).await;
    browser
        .until(&format!("!location.search.includes('c_re={c}&')"))
        .await;
    assert!(part(&browser, "c_re").await < c);
    browser.leave(&[]).await;
}

#[tokio::test]
async fn settings_hold_at_once_and_old_tiles_stay_until_new_ones_come() {
    let farm = Farm::api();
    let browser = explorer(&farm, VIEW).await;
    browser.click("[name=palette][value=viridis]").await;
    browser
        .until("location.search.includes('palette=viridis')")
        .await;
    write(&browser, "#iterations", "77").await;
    browser
        .until("location.search.includes('iterations=77')")
        .await;
    write(&browser, "[name=c_re]", "-0.4").await;
    write(&browser, "[name=c_im]", "0.6").await;
    browser
        .until("location.search.includes('c_re=-0.4&c_im=0.6&')")
        .await;
    still(&browser).await;
    // What is no number changes nothing, and is put right.
    let _: Value = browser.value("$('[name=c_re]').focus()").await;
    browser.press(Key::End + "e").await;
    browser.until("$('[name=c_re]').value === ''").await;
    browser.press(Key::Tab).await;
    browser.until("$('[name=c_re]').value === '-0.4'").await;

    let offline =
        json!({"offline": true, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1});
    browser.devtools("Network.enable", json!({})).await;
    browser
        .devtools("Network.emulateNetworkConditions", offline)
        .await;
    let _: Value = browser.value("$('#stage').focus()").await;
    browser.press("+").await;
    browser.press("+").await;
    browser.sees("#trouble").await;
    assert!(colours(&browser).await > 20);
    let online =
        json!({"offline": false, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1});
    browser
        .devtools("Network.emulateNetworkConditions", online)
        .await;
    browser.sees_no("#trouble").await;
    still(&browser).await;
    browser.leave(&["ERR_INTERNET_DISCONNECTED"]).await;
}

#[tokio::test]
async fn at_the_depth_of_doubles_the_page_says_so() {
    let farm = Farm::api();
    // At the border of the set, which is as rugged there as anywhere.
    let deep = "/explore?c_re=-0.8&c_im=0.156&re=1.5&im=0&span=1e-9";
    let browser = explorer(&farm, deep).await;
    browser.sees_no("#depth").await;
    let _: Value = browser.value("$('#stage').focus()").await;
    for _ in 0..16 {
        browser.press("+").await;
    }
    browser.sees("#depth").await;
    still(&browser).await;
    let span = part(&browser, "span").await;
    let height: f64 = browser
        .value("Math.min($('#stage').clientHeight, $('#stage').clientWidth)")
        .await;
    assert!((span / height - 2f64.powi(-43)).abs() < 1e-15, "{span}");
    browser.screenshot("explorer-deep").await;
    browser.press("-").await;
    browser.press("-").await;
    browser.sees_no("#depth").await;
    browser.leave(&[]).await;
}

#[tokio::test]
async fn a_view_becomes_a_picture_in_the_gallery_and_that_a_view_again() {
    let farm = Farm::all();
    let browser = explorer(&farm, VIEW).await;
    browser.click("#render").await;
    browser.fill("#order-form [name=width]", "30000").await;
    browser.click("#order-submit").await;
    browser.focused("#order-form [name=width]:invalid").await;
    // What the farm refuses it gives the reason for.
    browser.fill("#order-form [name=width]", "20000").await;
    browser.fill("#order-form [name=height]", "5001").await;
    browser.click("#order-submit").await;
    browser
        .until("text('#order-error').includes('100020000 pixels')")
        .await;
    browser.sees("#order").await;
    browser.fill("#order-form [name=width]", "320").await;
    browser.fill("#order-form [name=height]", "200").await;
    browser.click("#order-submit").await;
    browser.sees_no("#order").await;
    browser.focused("#ordered-link").await;
    browser.press(Key::Enter).await;
    browser
        .sees("#view[data-status=done] #view-picture img")
        .await;

    let list = farm.list(&[]).await;
    let made = &list["objects"][0];
    assert_eq!(
        (&made["width"], &made["iterations"]),
        (&json!(320), &json!(300))
    );
    assert_eq!(
        (&made["palette"], &made["c_re"]),
        (&json!("magma"), &json!(-0.8))
    );
    let (ya, yb) = (made["ya"].as_f64().unwrap(), made["yb"].as_f64().unwrap());
    assert!((yb - ya - 2.0 * 199.0 / 200.0).abs() < 1e-9);
    assert_eq!(
        browser.value::<String>("text('[data-value=uuid]')").await,
        uuid_of(made)
    );

    browser.click("#view-explore").await;
    still(&browser).await;
    assert!((part(&browser, "re").await - 0.25).abs() < 1e-12);
    assert!((part(&browser, "span").await - (yb - ya)).abs() < 1e-12);
    assert_eq!(part(&browser, "iterations").await, 300.0);
    browser.sees_no("#differs").await;
    browser.leave(&[&answered(422)]).await;
}

#[tokio::test]
async fn in_what_a_view_differs_from_the_fractal_it_was_opened_from_is_told() {
    let farm = Farm::all();
    let differs = [
        (json!({}), ""),
        (json!({"ya": 1.5, "yb": -1.5}), "not mirrored"),
        (json!({"xa": -1}), "not stretched"),
        (
            json!({"xa": 4, "xb": 8, "iterations": 20_001}),
            "no further than 4 from the origin, no more than 20,000 iterations",
        ),
    ];
    let mut browser = None;
    for (change, said) in differs {
        let new: Value = farm
            .create(&but(small(), change))
            .await
            .json()
            .await
            .unwrap();
        let path = format!("/view/{}", uuid_of(&new));
        let browser = match &browser {
            None => browser.insert(Browser::at(&farm, &path).await),
            Some(browser) => {
                browser.goto(&path).await;
                browser
            }
        };
        browser.click("#view-explore").await;
        browser.until("$('#stage')?.dataset.still").await;
        still(browser).await;
        if said.is_empty() {
            browser.sees_no("#differs").await;
        } else {
            let said = format!("Not quite the picture: {said}.");
            browser.sees("#differs").await;
            browser.reads("#differs", &said).await;
        }
    }
    let browser = browser.unwrap();
    browser.screenshot("explorer-differs").await;
    // Of other views it says nothing.
    browser.click("#zoom-in").await;
    browser.sees_no("#differs").await;
    browser.leave(&[]).await;
}

#[tokio::test]
async fn nonsense_in_an_address_is_the_start() {
    let farm = Farm::api();
    let browser = explorer(
        &farm,
        "/explore?c_re=x&span=-1&iterations=1e9&palette=%3Cb%3E&re=900",
    )
    .await;
    assert_eq!(part(&browser, "c_re").await, -0.8);
    assert_eq!(part(&browser, "re").await, 4.0);
    // A palette that the farm does not have is its word to say.
    browser.goto("/explore?palette=pink").await;
    browser.until("text('#trouble').includes('pink')").await;
    browser.leave(&[&answered(422)]).await;
}
