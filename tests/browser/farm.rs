//! The farm's page.

use serde_json::{Value, json};

use crate::browser::Browser;
use crate::common::{Farm, long};
use crate::{answered, several, uuid_of};

#[tokio::test]
async fn the_farm_shows_who_renders_what_and_what_waits_and_why() {
    let farm = Farm::with(&["all", "--workers", "1"]);
    let browser = Browser::at(&farm, "/farm").await;
    browser.sees("#connection[data-state=live]").await;
    browser.until("$$('#workers .worker').length === 1").await;
    browser.reads("#figure-slots", "1").await;
    browser.sees("#no-waiting").await;
    let name = "text('.worker strong')";
    let long: Value = farm.create(&long()).await.json().await.unwrap();
    let uuid = uuid_of(&long);
    farm.until(uuid, "running").await;
    // A slot has two lanes: the first of these is begun, too.
    let waiting = several(&farm, 4).await.split_off(1);

    browser
        .sees(&format!(".renders a[href='/view/{uuid}']"))
        .await;
    browser.sees(".renders progress").await;
    browser.reads("#count-queued", "3").await;
    browser.until("$$('#waiting li').length === 3").await;
    browser
        .sees(&format!(
            "#waiting li:first-child a[href='/view/{}']",
            waiting[0]
        ))
        .await;
    browser
        .until("text('#waiting li').includes('it is the next, one render at a time')")
        .await;
    browser.sees_no("#no-waiting").await;
    browser
        .until("$('#chart-queue svg').ariaLabel.includes('now 3 fractals')")
        .await;
    browser.until("/\\d/.test(text('#figure-oldest'))").await;
    assert!(!browser.value::<String>(name).await.is_empty());
    browser.screenshot("farm-light").await;
    let dark = json!({"features": [{"name": "prefers-color-scheme", "value": "dark"}]});
    browser.devtools("Emulation.setEmulatedMedia", dark).await;
    browser.screenshot("farm-dark").await;
    browser.window(375, 800, true).await;
    browser.screenshot("phone-farm").await;

    // On a fractal's own page, too.
    browser.goto(&format!("/view/{}", waiting[2])).await;
    browser
        .until("/^\\d before it, one render at a time/.test(text('[data-value=waits]'))")
        .await;

    browser.goto("/farm").await;
    farm.delete(&format!("/v1/fractal/{uuid}"))
        .send()
        .await
        .unwrap();
    browser.reads("#count-done", "4").await;
    browser
        .until("$('#chart-done svg').ariaLabel.includes('now 4 pictures')")
        .await;
    browser.sees("#no-waiting").await;
    browser.until("Number(text('#figure-rate')) > 0").await;
    // What is asked about may have been begun in between.
    browser.leave(&[&answered(409)]).await;
}

#[tokio::test]
async fn a_farm_without_workers_says_what_it_lacks() {
    let farm = Farm::api();
    several(&farm, 1).await;
    let browser = Browser::at(&farm, "/farm").await;
    browser
        .until(&format!("text('#no-workers').includes('{}')", farm.base))
        .await;
    browser
        .until("text('#waiting li').includes('no worker is there')")
        .await;
    browser.leave(&[]).await;
}
