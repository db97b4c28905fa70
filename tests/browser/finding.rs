//! Filters, order, and many fractals at once.

use std::process::Command;

use serde_json::{Value, json};
use thirtyfour::Key;

use crate::browser::Browser;
use crate::common::worker::Worker;
use crate::common::{Farm, but, small};
use crate::{answered, card, uuid_of};

/// Has the page tell what the browser would be told to fetch.
const NOTED: &str = "HTMLAnchorElement.prototype.click =
    function () { window.fetched = this.getAttribute('href'); }";

/// A farm with a fractal in each of some palettes, all done; their uuids.
async fn farm_of(palettes: &[&str]) -> (Farm, Vec<String>) {
    let farm = Farm::all();
    let mut uuids = Vec::new();
    for (n, palette) in palettes.iter().enumerate() {
        let change = json!({"palette": palette, "width": 300 + 300 * n, "height": 200});
        let new: Value = farm
            .create(&but(small(), change))
            .await
            .json()
            .await
            .unwrap();
        farm.until(uuid_of(&new), "done").await;
        uuids.push(uuid_of(&new).to_owned());
    }
    (farm, uuids)
}

async fn shown(browser: &Browser) -> Vec<String> {
    browser
        .value("$$('#grid .card').map((it) => it.dataset.uuid)")
        .await
}

async fn shows(browser: &Browser, uuids: &[&String]) {
    let uuids = json!(uuids);
    let shown = "JSON.stringify($$('#grid .card').map((it) => it.dataset.uuid))";
    browser
        .until(&format!("{shown} === JSON.stringify({uuids})"))
        .await;
}

async fn choose(browser: &Browser, name: &str, value: &str) {
    let script = format!(
        "(() => {{ const field = $('#filters [name={name}]'); field.value = {};
           field.dispatchEvent(new Event('input', {{ bubbles: true }})); }})()",
        json!(value)
    );
    let _: Value = browser.value(&script).await;
}

#[tokio::test]
async fn the_gallery_is_narrowed_down_and_sorted_and_its_address_says_how() {
    let (farm, uuids) = farm_of(&["classic", "magma", "magma", "turbo"]).await;
    let [classic, wide, wider, turbo] = [&uuids[0], &uuids[1], &uuids[2], &uuids[3]];
    let browser = Browser::gallery(&farm).await;
    shows(&browser, &[turbo, wider, wide, classic]).await;
    browser.click("#filter-box summary").await;
    choose(&browser, "palette", "magma").await;
    shows(&browser, &[wider, wide]).await;
    browser.until("location.search === '?palette=magma'").await;
    choose(&browser, "sort", "oldest").await;
    shows(&browser, &[wide, wider]).await;
    browser.screenshot("filters").await;

    // It holds on the way to a fractal and back, and after a reload.
    browser.click(&format!("{} a", card(wider))).await;
    browser.reads("[data-value=uuid]", wider).await;
    browser.press(Key::Escape).await;
    shows(&browser, &[wide, wider]).await;
    browser.goto("/?palette=magma&sort=oldest").await;
    browser.live().await;
    shows(&browser, &[wide, wider]).await;
    browser.sees("#filters").await;
    assert_eq!(
        browser
            .value::<String>("$('#filters [name=sort]').value")
            .await,
        "oldest"
    );

    browser.click("#filter-clear").await;
    shows(&browser, &[turbo, wider, wide, classic]).await;
    browser.until("location.search === ''").await;
    choose(&browser, "width", "1024").await;
    shows(&browser, &[turbo]).await;
    choose(&browser, "width", "").await;
    browser.fill("#filters [name=uuid]", &classic[9..20]).await;
    shows(&browser, &[classic]).await;
    browser.fill("#filters [name=uuid]", "no such thing").await;
    browser.sees("#none-found").await;
    browser.click("#filter-clear-empty").await;
    shows(&browser, &[turbo, wider, wide, classic]).await;
    // A deleted one is gone from what is found, a new one comes in.
    choose(&browser, "status", "done").await;
    shows(&browser, &[turbo, wider, wide, classic]).await;
    farm.delete(&format!("/v1/fractal/{wide}"))
        .send()
        .await
        .unwrap();
    shows(&browser, &[turbo, wider, classic]).await;
    let new = farm.created().await;
    shows(
        &browser,
        &[&uuid_of(&new).to_owned(), turbo, wider, classic],
    )
    .await;
    browser.leave(&[]).await;
}

#[tokio::test]
async fn a_worker_is_found_by_its_name_whatever_signs_that_has() {
    let farm = Farm::api();
    let mut uuids = Vec::new();
    for name in ["ab", "a_b", "a%b"] {
        let _worker = Worker::with(&[&farm.base], &["--workers", "1", "--name", name]);
        let new = farm.created().await;
        let done = farm.until(uuid_of(&new), "done").await;
        assert_eq!(done["generated_by"], name);
        uuids.push(uuid_of(&new).to_owned());
    }
    let [plain, underscore, percent] = [&uuids[0], &uuids[1], &uuids[2]];
    let browser = Browser::gallery(&farm).await;
    shows(&browser, &[percent, underscore, plain]).await;
    browser.click("#filter-box summary").await;
    // Each of the two signs stands for the other, too; neither for nothing.
    for name in ["a_b", "a%b"] {
        browser.fill("#filters [name=worker]", name).await;
        shows(&browser, &[percent, underscore]).await;
    }
    browser.fill("#filters [name=worker]", "ab").await;
    shows(&browser, &[plain]).await;
    browser.until("location.search === '?worker=ab'").await;
    browser.leave(&[]).await;
}

#[tokio::test]
async fn the_gallery_loads_thumbnails_and_is_walked_with_the_arrow_keys() {
    let (farm, uuids) = farm_of(&["magma", "twilight", "turbo"]).await;
    let browser = Browser::gallery(&farm).await;
    browser.until("$$('#grid img').length === 3").await;
    browser
        .until("$$('#grid img').every((it) => it.complete && it.currentSrc.endsWith('?thumb=256'))")
        .await;
    browser.tab_to(&format!("{} a", card(&uuids[2]))).await;
    browser.press(Key::Right).await;
    browser.focused(&format!("{} a", card(&uuids[1]))).await;
    browser.press(Key::End).await;
    browser.focused(&format!("{} a", card(&uuids[0]))).await;
    browser.press(Key::Home).await;
    browser.focused(&format!("{} a", card(&uuids[2]))).await;
    browser.press(Key::Down).await;
    browser.focused(&format!("{} a", card(&uuids[0]))).await;
    browser.leave(&[]).await;
}

#[tokio::test]
async fn several_are_picked_fetched_as_one_zip_and_deleted() {
    let (mut farm, uuids) = farm_of(&["magma", "twilight", "turbo", "viridis"]).await;
    let browser = Browser::gallery(&farm).await;
    browser.sees(&card(&uuids[0])).await;
    browser.click("#select").await;
    browser.sees("#picked").await;
    browser.click(&format!("{} a", card(&uuids[3]))).await;
    browser.reads("#picked-count", "1 fractal selected").await;
    // By keyboard, too.
    browser.press(Key::Right).await;
    browser.press(" ").await;
    browser.reads("#picked-count", "2 fractals selected").await;
    browser.screenshot("selection").await;
    assert!(browser.value::<bool>("location.pathname === '/'").await);

    // The browser is told to fetch this, which is a zip to others.
    let _: Value = browser.value(NOTED).await;
    browser.click("#pick-zip").await;
    browser.until("window.fetched").await;
    let path: String = browser.value("window.fetched").await;
    let zip = farm.get(&path).send().await.unwrap().bytes().await.unwrap();
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("fractals.zip");
    std::fs::write(&file, &zip).unwrap();
    let tested = Command::new("unzip").arg("-t").arg(&file).output().unwrap();
    let said = String::from_utf8_lossy(&tested.stdout);
    assert!(tested.status.success(), "{said}");
    for uuid in &uuids[2..] {
        assert!(said.contains(&format!("{uuid}.png")), "{said}");
    }

    browser.click("#pick-delete").await;
    browser
        .until("text('#confirm-text').includes('2 fractals')")
        .await;
    browser.click("#confirm-yes").await;
    browser.sees_no(&card(&uuids[3])).await;
    browser.sees_no(&card(&uuids[2])).await;
    browser.reads("#count-done", "2").await;
    assert_eq!(shown(&browser).await, [uuids[1].clone(), uuids[0].clone()]);
    browser.reads("#notice", "2 fractals deleted.").await;
    // Why it did not succeed is what is told in the end.
    browser.click("#pick-all").await;
    farm.kill();
    browser.click("#pick-delete").await;
    browser.click("#confirm-yes").await;
    browser
        .reads("#notice", "The farm cannot be reached.")
        .await;
    browser.click("#pick-end").await;
    browser.sees_no("#picked").await;
    browser
        .leave(&["/v1/", "ERR_CONNECTION_REFUSED", "/fractal/"])
        .await;
}

#[tokio::test]
async fn all_that_failed_are_retried_at_once() {
    let folder = tempfile::TempDir::new().unwrap();
    let uuids = {
        let farm = Farm::on(folder.path(), &["api"]);
        crate::several(&farm, 3).await
    };
    let conn = rusqlite::Connection::open(folder.path().join("faafo.db")).unwrap();
    let failed =
        "UPDATE fractal SET status = 'failed', attempts = 3, error = '<b>for the test</b>'";
    assert_eq!(conn.execute(failed, []).unwrap(), 3);
    drop(conn);
    let farm = Farm::on(folder.path(), &["all", "--workers", "1"]);
    let browser = Browser::gallery(&farm).await;
    browser.reads("#count-failed", "3").await;
    browser
        .reads(".card .failure .error", "<b>for the test</b>")
        .await;
    browser.click("#select").await;
    browser.click("#pick-all").await;
    browser.reads("#picked-count", "3 fractals selected").await;
    browser.click("#pick-retry").await;
    browser.reads("#count-done", "3").await;
    browser.reads("#count-failed", "0").await;
    for uuid in &uuids {
        assert_eq!(farm.show(uuid).await["status"], "done");
    }
    browser.leave(&[]).await;
}

/// A farm with so many of this status, and the folder it is in.
fn farm_with(fractals: usize, status: &str) -> (Farm, tempfile::TempDir) {
    let folder = tempfile::TempDir::new().unwrap();
    drop(Farm::on(folder.path(), &["api"]));
    let conn = rusqlite::Connection::open(folder.path().join("faafo.db")).unwrap();
    let made = conn.execute(
        "INSERT INTO fractal (uuid, width, height, iterations, xa, xb, ya, yb, c_re, c_im, status,
                              error, duration, created_at, finished_at)
         WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < ?)
         SELECT printf('ffffffff-0000-4000-8000-%012d', n), 16, 12, 32, -2, 2, -1.5, 1.5, 0, 0, ?,
                'for the test', 0, n * 1000, n FROM n",
        rusqlite::params![fractals as i64, status],
    );
    assert_eq!(made.unwrap(), fractals);
    drop(conn);
    (Farm::on(folder.path(), &["api"]), folder)
}

#[tokio::test]
async fn what_is_deleted_while_one_reads_on_leaves_no_gap() {
    let (farm, _folder) = farm_with(200, "failed");
    let uuid = |n: usize| format!("ffffffff-0000-4000-8000-{n:012}");
    let browser = Browser::at(&farm, "/?status=failed&sort=oldest").await;
    browser.live().await;
    let reads_on = "$$('#grid .card').at(-1)?.scrollIntoView()";
    let on = |cards: usize| format!("({reads_on}, $$('#grid .card').length >= {cards})");
    browser.until(&on(120)).await;
    for n in 1..=20 {
        let path = format!("/v1/fractal/{}", uuid(n));
        let gone = farm.delete(&path).send().await.unwrap();
        assert_eq!(gone.status(), 204);
    }
    browser.sees_no(&card(&uuid(20))).await;
    browser.until(&on(180)).await;
    let left: Vec<_> = (21..=200).map(uuid).collect();
    assert_eq!(shown(&browser).await, left);
    browser.leave(&[]).await;
}

#[tokio::test]
async fn all_that_is_shown_fits_into_one_zip() {
    let (farm, _folder) = farm_with(540, "done");
    let browser = Browser::at(&farm, "/?sort=oldest").await;
    browser.live().await;
    let reads_on = "$$('#grid .card').at(-1)?.scrollIntoView()";
    browser
        .until(&format!("({reads_on}, $$('#grid .card').length === 540)"))
        .await;
    let _: Value = browser.value("scrollTo(0, 0)").await;
    browser.click("#select").await;
    browser.click("#pick-all").await;
    browser
        .reads("#picked-count", "540 fractals selected")
        .await;
    let _: Value = browser.value(NOTED).await;
    browser.click("#pick-zip").await;
    browser.until("window.fetched").await;
    let path: String = browser.value("window.fetched").await;
    let zip = farm.get(&path).send().await.unwrap();
    assert_eq!(zip.status(), 200, "{}", zip.text().await.unwrap());
    // They have no pictures.
    browser.leave(&[&answered(404)]).await;
}

#[tokio::test]
async fn a_hundred_thousand_fractals_are_scrolled_without_delay() {
    let (farm, _folder) = farm_with(100_000, "failed");
    for address in ["/", "/?status=failed&sort=slowest"] {
        let browser = Browser::at(&farm, address).await;
        browser.live().await;
        browser.until("$$('#grid .card').length >= 30").await;
        // From end to end, thirty pages: never more than some hundred cards, no step takes long.
        for _ in 0..30 {
            let last: String = browser.value("$$('#grid .card').at(-1).dataset.uuid").await;
            let begun = std::time::Instant::now();
            let _: Value = browser
                .value("$$('#grid .card').at(-1).scrollIntoView()")
                .await;
            let on = format!("$$('#grid .card').at(-1).dataset.uuid !== '{last}'");
            browser.until(&on).await;
            assert!(
                begun.elapsed().as_secs() < 30,
                "{address}: {:?}",
                begun.elapsed()
            );
        }
        let cards: usize = browser.value("$$('#grid .card').length").await;
        assert!(cards <= 620, "{cards}");
        browser.leave(&[&answered(404)]).await;
    }
}
