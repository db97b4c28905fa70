//! Animations, made and watched as people do it.

use serde_json::{Value, json};

use crate::browser::Browser;
use crate::common::{Farm, but, long, small};
use crate::{answered, several, uuid_of};

async fn animations(browser: &Browser) {
    browser.sees("#main[data-state=shown]").await;
    browser.sees("#connection[data-state=live]").await;
}

/// Fills in the form but for what it knows already.
async fn ask_for(browser: &Browser, values: &[(&str, &str)]) {
    for (name, value) in values {
        browser.fill(&format!("#path [name={name}]"), value).await;
    }
}

/// The size of a picture that has been loaded, in its own pixels.
async fn natural(browser: &Browser, css: &str) -> (u32, u32) {
    let loaded = format!("$('{css}')?.complete && $('{css}').naturalWidth > 0");
    browser.until(&loaded).await;
    let size = format!("[$('{css}').naturalWidth, $('{css}').naturalHeight]");
    browser.value(&size).await
}

#[tokio::test]
async fn a_path_is_seen_in_small_rendered_played_and_deleted() {
    let farm = Farm::all();
    several(&farm, 1).await;
    // From a view of the explorer.
    let browser = Browser::at(&farm, "/explore?c_re=-0.8&c_im=0.156&re=0.2&im=0.1&span=2").await;
    browser.until("$('#stage').dataset.still").await;
    browser.click("#animate").await;
    animations(&browser).await;
    browser.sees("#no-reels").await;
    let begin = "['c_re', 're', 'im', 'span', 'at_re', 'palette']
        .map((name) => $('#path').elements[name].value).join()";
    let begin: String = browser.value(begin).await;
    assert_eq!(begin, "-0.8,0.2,0.1,2,0.2,twilight");
    // In small it moves at once, and shows that c is another.
    let shown = "$('#preview').toDataURL()";
    browser.until("$('#preview').dataset.frame > 0").await;
    let early: String = browser.value(shown).await;
    browser
        .until(&format!("{shown} !== {}", json!(early)))
        .await;

    ask_for(
        &browser,
        &[
            ("frames", "12"),
            ("width", "64"),
            ("height", "48"),
            ("zoom", "4"),
        ],
    )
    .await;
    browser.reads("#length", "It lasts 480\u{a0}ms.").await;
    browser.click("#path-submit").await;
    browser.sees(".reel[data-status=done]").await;
    let id: String = browser.value("$('.reel').id").await;
    assert_eq!(natural(&browser, ".reel img").await, (64, 48));
    browser.click(".reel [aria-pressed=false]").await;
    browser
        .until(
            "$('.reel img').src.endsWith('.png') && text('.reel [aria-pressed=true]') === 'Stop'",
        )
        .await;
    assert_eq!(natural(&browser, ".reel img").await, (64, 48));
    browser.screenshot("animate").await;
    let links = "$$('.reel a').map((link) => link.pathname)";
    let links: Vec<String> = browser.value(links).await;
    let file = |kind: &str| format!("/v1/animations/{id}.{kind}");
    assert_eq!(links, [file("png"), file("zip")]);

    // Its frames are fractals, which know where they belong.
    let frame = format!("{}00c", &id[..33]);
    let last = farm.show(&frame).await;
    assert_eq!(last["c_re"], -0.4);
    let wide = last["xb"].as_f64().unwrap() - last["xa"].as_f64().unwrap();
    assert!((wide - 2.0 / 4.0 * 64.0 / 48.0).abs() < 1e-12, "{last}");
    browser.goto(&format!("/view/{frame}")).await;
    browser
        .reads("[data-value=animation]", "frame 12 of 12")
        .await;
    browser.click("[data-value=animation] a").await;
    browser.focused(".reel").await;
    // They were created in the same moment, and have one order all the same.
    let frame = |number: u32| format!("{}{number:03x}", &id[..33]);
    browser.goto(&format!("/view/{}", frame(6))).await;
    for (side, number) in [("newer", 7), ("older", 5)] {
        let link = format!("$('#view-{side}').href?.endsWith('{}')", frame(number));
        browser.until(&link).await;
    }
    browser.goto("/animate").await;

    browser.click(".reel .danger").await;
    browser.click("#confirm-yes").await;
    browser.sees("#no-reels").await;
    assert_eq!(farm.counts().await["done"], 1);
    browser.leave(&[]).await;
}

#[tokio::test]
async fn progress_is_seen_and_cancelling_stops_all_of_it() {
    let farm = Farm::all();
    let browser = Browser::at(&farm, "/animate").await;
    animations(&browser).await;
    // Somebody else has asked for it.
    let change = json!({"frames": 30, "to_xa": -0.43});
    let posted = farm.post("/v1/animations").json(&but(long(), change));
    assert_eq!(posted.send().await.unwrap().status(), 201);
    browser.sees(".reel[data-status=running]").await;
    browser.until("$('.reel progress').value > 0").await;
    browser
        .until("text('.reel-state').startsWith('0 of 30 frames, ')")
        .await;
    browser.screenshot("animate-running").await;
    browser.click(".reel button").await;
    browser.sees("#no-reels").await;
    browser.focused("#reels-title").await;
    let counts = farm.counts().await;
    assert_eq!(
        (&counts["queued"], &counts["running"]),
        (&json!(0), &json!(0))
    );
    browser.leave(&[]).await;
}

#[tokio::test]
async fn what_the_farm_refuses_is_told_where_it_was_asked_for() {
    let farm = Farm::with(&["api", "--max-frames", "50"]);
    let browser = Browser::at(&farm, "/animate").await;
    animations(&browser).await;
    browser.click("#path-submit").await;
    browser
        .reads(
            "#path-error",
            "frames is 60, but must be a whole number from 2 to 50",
        )
        .await;
    browser.focused("#path [name=frames]").await;
    ask_for(&browser, &[("frames", "5")]).await;
    browser.sees_no("#path-error").await;
    // Round the origin, which needs no other c.
    let _: Value = browser
        .value(
            "($('[name=course]').value = 'circle', $('#path').dispatchEvent(new Event('input')))",
        )
        .await;
    browser.sees("#course-circle").await;
    browser.sees_no("#course-line").await;
    browser.click("#path-submit").await;
    browser.sees(".reel[data-status=queued]").await;
    let all = farm.list(&[("results_per_page", "100")]).await;
    let radius = |fractal: &Value| {
        let c = |name: &str| fractal[name].as_f64().unwrap();
        c("c_re").hypot(c("c_im"))
    };
    let frames = all["objects"].as_array().unwrap();
    assert_eq!(frames.len(), 5);
    for frame in frames {
        assert!(
            (radius(frame) - 0.8f64.hypot(0.156)).abs() < 1e-12,
            "{frame}"
        );
    }
    browser.leave(&[&answered(422)]).await;
}

#[tokio::test]
async fn who_wants_nothing_to_move_sees_one_frame_until_asked() {
    let farm = Farm::all();
    let browser = Browser::at(&farm, "/static/favicon.svg").await;
    let calm = json!({"features": [{"name": "prefers-reduced-motion", "value": "reduce"}]});
    browser.devtools("Emulation.setEmulatedMedia", calm).await;
    let change = json!({"frames": 4, "to_c_re": 0});
    let posted = farm.post("/v1/animations").json(&but(small(), change));
    let posted: Value = posted.send().await.unwrap().json().await.unwrap();
    let first = format!("{}001", &posted["id"].as_str().unwrap()[..33]);
    let fractal = farm.until(&first, "done").await;
    browser.goto("/animate").await;
    browser.sees(".reel[data-status=done]").await;
    browser.until("$('#preview').dataset.frame === '30'").await;
    let poster = format!(
        "$('.reel img').src.includes('/fractal/{}?')",
        uuid_of(&fractal)
    );
    browser.until(&poster).await;
    browser.leave(&[]).await;
}

#[tokio::test]
async fn an_animation_older_than_the_newest_is_reached_by_its_address_and_retried() {
    let folder = tempfile::TempDir::new().unwrap();
    let mut ids = Vec::new();
    {
        let farm = Farm::on(folder.path(), &["api"]);
        for _ in 0..14 {
            let tiny = but(small(), json!({"frames": 2, "to_c_re": 0}));
            let posted = farm.post("/v1/animations").json(&tiny).send().await;
            let posted: Value = posted.unwrap().json().await.unwrap();
            ids.push(posted["id"].as_str().unwrap().to_owned());
        }
    }
    let conn = rusqlite::Connection::open(folder.path().join("faafo.db")).unwrap();
    let failed = "UPDATE fractal SET status = 'failed', attempts = 3, error = 'for the test'
                  WHERE uuid LIKE ? || '%'";
    assert_eq!(conn.execute(failed, [&ids[0][..33]]).unwrap(), 2);
    drop(conn);
    let farm = Farm::on(folder.path(), &["all", "--workers", "1"]);
    let browser = Browser::at(&farm, &format!("/view/{}001", &ids[0][..33])).await;
    browser.click("[data-value=animation] a").await;
    let reel = |n: usize| format!(".reel[id='{}']", ids[n]);
    browser.focused(&reel(0)).await;
    assert_eq!(browser.value::<u32>("$$('.reel').length").await, 13);
    let said = format!("{} .reel-state", reel(0));
    browser.reads(&said, "2 frames failed: for the test").await;
    browser.screenshot("animate-failed").await;
    browser.click(&format!("{} button", reel(0))).await;
    browser
        .sees(&format!("{}[data-status=done] img", reel(0)))
        .await;

    // The skip link names no animation, another address another one.
    let to = async |hash: &str| {
        let _: Value = browser.value(&format!("location.hash = '{hash}'")).await;
    };
    to("main").await;
    browser.sees(&reel(0)).await;
    to(&ids[1]).await;
    browser.focused(&reel(1)).await;
    browser.sees_no(&reel(0)).await;
    browser.sees(&reel(2)).await;
    // One that is gone is missed by who asks for it.
    let path = format!("/v1/animations/{}", ids[0]);
    assert_eq!(farm.delete(&path).send().await.unwrap().status(), 204);
    to(&ids[0]).await;
    browser
        .reads(
            "#notice",
            "The animation of this address is not there: it may have been deleted.",
        )
        .await;
    browser.leave(&[&answered(404)]).await;
}
