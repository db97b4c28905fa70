//! What every store does, whatever its engine: SQLite here, and with `server-tests` PostgreSQL and
//! MariaDB as well, there also from several nodes at once.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)] // what fails fails the test

#[path = "../common/mod.rs"]
mod common;

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use faafo::digest::checksum;
use faafo::events::Event;
use faafo::fractal::{Constant, Fractal, FractalSpec, Outcome, Palette, Plane, RowId, Status};
use faafo::store::search::{Column, Comparison, Direction, Filter, Value};
use faafo::store::url::Database;
use faafo::store::{self, Counts, Finished, Lookup, Search, Store, StoreError};
use tempfile::TempDir;
use uuid::Uuid;

const SPEC: FractalSpec = FractalSpec {
    width: 64,
    height: 48,
    iterations: 99,
    plane: Plane {
        xa: -2.0,
        xb: 2.0,
        ya: -1.5,
        yb: 1.5,
    },
    c: Constant {
        // Not to be had in single precision.
        re: -0.123_456_789_012_345_68,
        im: 0.1 + 0.2,
    },
    palette: Palette::Magma,
};

const MANY: u64 = 1_000_000;

#[derive(Clone, Copy)]
enum Engine {
    Sqlite,
    #[cfg(feature = "server-tests")]
    Server(common::database::Kind),
}

/// An empty store, to be opened by one node or, on a server, by several.
struct Bed {
    database: Database,
    #[cfg(feature = "server-tests")]
    url: Option<(common::database::Kind, String)>,
    folder: TempDir,
}

impl Bed {
    async fn new(engine: Engine) -> Bed {
        #[cfg(feature = "server-tests")]
        let url = match engine {
            Engine::Sqlite => None,
            Engine::Server(kind) => Some((kind, common::database::new_database(kind).await)),
        };
        let database = match engine {
            Engine::Sqlite => Database::InDataFolder,
            #[cfg(feature = "server-tests")]
            Engine::Server(_) => Database::parse(&url.as_ref().unwrap().1).unwrap(),
        };
        Bed {
            database,
            #[cfg(feature = "server-tests")]
            url,
            folder: TempDir::new().unwrap(),
        }
    }

    /// What somebody does by hand.
    #[cfg(feature = "server-tests")]
    async fn execute(&self, sql: &str) {
        let (kind, url) = self.url.as_ref().unwrap();
        common::database::execute(*kind, url, sql).await;
    }

    async fn open(&self) -> Arc<dyn Store> {
        self.node("a").await
    }

    /// Opens it as another node.
    async fn node(&self, name: &str) -> Arc<dyn Store> {
        let folder = self.folder.path().join(name);
        store::open(&self.database, &folder, "host").await.unwrap()
    }
}

async fn insert(store: &dyn Store) -> Fractal {
    store.insert(Uuid::new_v4(), SPEC, MANY).await.unwrap()
}

/// An image and what is said of it.
fn image(size: usize) -> (Outcome, Bytes) {
    let png: Bytes = (0..size).map(|n| (n * 7 + n / 251) as u8).collect();
    let outcome = Outcome {
        checksum: checksum(&png),
        size: size as u64,
        duration: 0.1 + 0.2,
        generated_by: "Zuse's Größe 🚜 'x'; --".into(),
    };
    (outcome, png)
}

async fn status(store: &dyn Store, uuid: Uuid) -> Status {
    store.get(uuid).await.unwrap().unwrap().status
}

/// Hears of what happens.
fn listen(store: &dyn Store) -> Arc<Mutex<Vec<(RowId, &'static str)>>> {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hear = heard.clone();
    store.listen(Box::new(move |event| {
        let told = match event {
            Event::Created(fractal) => (fractal.row, "created"),
            Event::Queued(fractal) => (fractal.row, "queued"),
            Event::Running(fractal) => (fractal.row, "running"),
            Event::Done(fractal) => (fractal.row, "done"),
            Event::Failed(fractal) => (fractal.row, "failed"),
            Event::Deleted(row, _) => (row, "deleted"),
            Event::Adopted(fractal) => (fractal.row, "adopted"),
            Event::Departed(row) => (row, "departed"),
            Event::Progress(..) => panic!("no store tells this"),
        };
        hear.lock().unwrap().push(told);
    }));
    heard
}

async fn a_fractal_comes_back_as_it_went_in(bed: Bed) {
    let store = bed.open().await;
    let uuid = Uuid::new_v4();
    let most = FractalSpec {
        plane: Plane {
            xa: f64::MAX,
            xb: -f64::MAX,
            ya: f64::MIN_POSITIVE,
            yb: -0.0,
        },
        ..SPEC
    };
    let fractal = store.insert(uuid, most, MANY).await.unwrap();
    assert_eq!(fractal.spec, most);
    assert_eq!(store.get(uuid).await.unwrap().unwrap(), fractal);
    assert_eq!(store.waiting(0, 9).await.unwrap()[0].spec, most);
    store.start(fractal.row).await.unwrap().unwrap();
    let (outcome, png) = image(1000);
    let done = store.finish(fractal.row, outcome.clone(), png).await;
    let Some(Finished::Now(done)) = done.unwrap() else {
        panic!()
    };
    assert_eq!(done.outcome, Some(outcome));
    assert!(done.finished_at.unwrap() >= done.created_at);
    assert_eq!(store.get(uuid).await.unwrap().unwrap(), done);
    assert!(store.get(Uuid::new_v4()).await.unwrap().is_none());
    store.check().await.unwrap();
    drop(store);
    let store = bed.open().await;
    assert_eq!(store.get(uuid).await.unwrap().unwrap(), done);
}

async fn rows_stand_in_order_of_acceptance_and_uuids_are_there_once(bed: Bed) {
    let store = bed.open().await;
    let same = Uuid::new_v4();
    let mut inserts = Vec::new();
    for n in 0..300 {
        let store = store.clone();
        inserts.push(tokio::spawn(async move {
            let uuid = if n % 30 == 7 { same } else { Uuid::new_v4() };
            store.insert(uuid, SPEC, MANY).await
        }));
    }
    let (mut rows, mut refused) = (HashSet::new(), 0);
    for insert in inserts {
        match insert.await.unwrap() {
            Ok(fractal) => assert!(rows.insert(fractal.row)),
            Err(StoreError::Duplicate(uuid)) => {
                assert_eq!(uuid, same);
                refused += 1;
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!((rows.len(), refused), (291, 9));
    let waiting = store.waiting(0, 1000).await.unwrap();
    let order: Vec<RowId> = waiting.iter().map(|task| task.row).collect();
    assert!(order.is_sorted() && order.len() == 291);
    assert_eq!(
        store.waiting(order[9], 5).await.unwrap()[..],
        waiting[10..15]
    );
    assert_eq!(store.counts().borrow().queued, 291);
    let full = store.insert(Uuid::new_v4(), SPEC, 291).await;
    assert!(matches!(full, Err(StoreError::QueueFull(291))));
}

async fn many_are_accepted_all_together_or_not_at_all(bed: Bed) {
    let store = bed.open().await;
    let heard = listen(&*store);
    let spec = |n: usize| FractalSpec {
        width: n as u32,
        ..SPEC
    };
    let new: Vec<_> = (1..=1500).map(|n| (Uuid::new_v4(), spec(n))).collect();
    let all = store.insert_all(new.clone(), 1500).await.unwrap();
    let uuids: Vec<_> = all.iter().map(|one| (one.uuid, one.spec)).collect();
    assert_eq!(uuids, new);
    let rows: Vec<RowId> = all.iter().map(|one| one.row).collect();
    assert!(rows.windows(2).all(|pair| pair[0] < pair[1]));
    let waiting = store.waiting(0, 2000).await.unwrap();
    let order: Vec<_> = waiting.iter().map(|task| (task.row, task.uuid)).collect();
    let expected: Vec<_> = all.iter().map(|one| (one.row, one.uuid)).collect();
    assert_eq!(order, expected);
    assert_eq!(heard.lock().unwrap().len(), 1500);

    // Beside one that there is, nor beyond what may wait, none of the others comes to be.
    let taken = vec![(Uuid::new_v4(), SPEC), new[7], (Uuid::new_v4(), SPEC)];
    let refused = store.insert_all(taken, MANY).await;
    assert!(matches!(refused, Err(StoreError::Duplicate(uuid)) if uuid == new[7].0));
    let two: Vec<_> = (0..2).map(|_| (Uuid::new_v4(), SPEC)).collect();
    let full = store.insert_all(two.clone(), 1501).await;
    assert!(matches!(full, Err(StoreError::QueueFull(1500))));
    assert_eq!(store.counts().borrow().total(), 1500);
    assert!(store.get(two[0].0).await.unwrap().is_none());
    assert_eq!(store.insert_all(two, 1502).await.unwrap().len(), 2);
    assert_eq!(store.counts().borrow().queued, 1502);
}

async fn a_fractal_goes_its_way_and_no_other(bed: Bed) {
    let store = bed.open().await;
    let store = &*store;
    let heard = listen(store);
    let Fractal { row, uuid, .. } = insert(store).await;
    assert!(store.give_back(row).await.unwrap().is_none());
    assert!(store.fail(row, "x".into(), 1).await.unwrap().is_none());
    assert_eq!(store.start(row).await.unwrap().unwrap().attempts, 1);
    assert!(store.start(row).await.unwrap().is_none());
    assert_eq!(store.give_back(row).await.unwrap().unwrap().attempts, 0);
    for attempt in 1..=2 {
        store.start(row).await.unwrap().unwrap();
        let failed = store.fail(row, format!("reason {attempt} 💥"), 2).await;
        let failed = failed.unwrap().unwrap();
        assert_eq!(failed.attempts, attempt);
        assert_eq!(failed.error, Some(format!("reason {attempt} 💥")));
    }
    assert_eq!(status(store, uuid).await, Status::Failed);
    assert!(store.start(row).await.unwrap().is_none());
    let (again, was_failed) = store.retry(uuid).await.unwrap().unwrap();
    assert!(was_failed && again.attempts == 0 && again.finished_at.is_none());
    assert!(!store.retry(uuid).await.unwrap().unwrap().1);
    assert!(store.retry(Uuid::new_v4()).await.unwrap().is_none());
    store.start(row).await.unwrap().unwrap();
    let (first, png) = image(9);
    let done = store.finish(row, first.clone(), png).await.unwrap();
    assert!(matches!(done, Some(Finished::Now(_))));
    let (second, png) = image(10);
    let again = store.finish(row, second, png).await.unwrap();
    let Some(Finished::Before(kept)) = again else {
        panic!("{again:?}")
    };
    assert_eq!(kept.outcome, Some(first));
    assert!(store.fail(row, "late".into(), 1).await.unwrap().is_none());
    assert!(store.delete(uuid).await.unwrap());
    assert!(!store.delete(uuid).await.unwrap());
    assert!(store.start(row).await.unwrap().is_none());
    let (outcome, png) = image(9);
    assert!(store.finish(row, outcome, png).await.unwrap().is_none());
    let new = store.insert(uuid, SPEC, MANY).await.unwrap();
    assert!(new.row > row, "a row is never used twice");
    let found = store.image(uuid, None).await.unwrap();
    assert_eq!(found, Lookup::NoImage(Status::Queued));
    assert_eq!(
        *store.counts().borrow(),
        Counts {
            queued: 1,
            ..Counts::default()
        }
    );
    let heard = heard.lock().unwrap();
    let words: Vec<&str> = heard.iter().map(|(_, what)| *what).collect();
    assert_eq!(
        words.join(" "),
        "created running queued running queued running failed queued running done deleted created"
    );
}

async fn what_is_asked_at_once_happens_once(bed: Bed) {
    let store = bed.open().await;
    let heard = listen(&*store);
    let Fractal { row, uuid, .. } = insert(&*store).await;
    let mut starts = Vec::new();
    for _ in 0..20 {
        let store = store.clone();
        starts.push(tokio::spawn(async move {
            store.start(row).await.unwrap().is_some()
        }));
    }
    let mut started = 0;
    for start in starts {
        started += usize::from(start.await.unwrap());
    }
    assert_eq!(started, 1);
    let mut finishes = Vec::new();
    for size in 1..20 {
        let store = store.clone();
        finishes.push(tokio::spawn(async move {
            let (outcome, png) = image(size);
            store.finish(row, outcome, png).await.unwrap().unwrap()
        }));
    }
    let mut now = 0;
    for finish in finishes {
        now += usize::from(matches!(finish.await.unwrap(), Finished::Now(_)));
    }
    assert_eq!(now, 1);
    let done = heard
        .lock()
        .unwrap()
        .iter()
        .filter(|(_, what)| *what == "done")
        .count();
    assert_eq!(done, 1);
    // The image is that of the outcome.
    let Lookup::Image(image) = store.image(uuid, None).await.unwrap() else {
        panic!()
    };
    assert_eq!(checksum(&image.png), image.checksum);
}

async fn images_are_kept_byte_by_byte(bed: Bed) {
    let store = bed.open().await;
    for size in [0, 1, 70_000, 13 << 20] {
        let Fractal { row, uuid, .. } = insert(&*store).await;
        let missing = store.image(uuid, Some("x".into())).await.unwrap();
        assert_eq!(missing, Lookup::NoImage(Status::Queued));
        let (outcome, png) = image(size);
        let sum = outcome.checksum.clone();
        store
            .finish(row, outcome, png.clone())
            .await
            .unwrap()
            .unwrap();
        for known in [None, Some("another".to_owned())] {
            let Lookup::Image(found) = store.image(uuid, known).await.unwrap() else {
                panic!()
            };
            assert!(found.png == png && found.checksum == sum);
        }
        assert_eq!(store.image(uuid, Some(sum)).await.unwrap(), Lookup::Same);
    }
    let nothing = store.image(Uuid::new_v4(), None).await.unwrap();
    assert_eq!(nothing, Lookup::NoFractal);
}

async fn searches_find_what_they_say(bed: Bed) {
    let store = bed.open().await;
    let store = &*store;
    let mut uuids = Vec::new();
    for width in 1..=6 {
        let spec = FractalSpec { width, ..SPEC };
        let uuid = Uuid::from_u128(u128::from(100 - width));
        let fractal = store.insert(uuid, spec, MANY).await.unwrap();
        uuids.push(uuid);
        if width % 2 == 0 {
            let (outcome, png) = image(width as usize);
            let generated_by = ["50%", "a_b\\c", "É\0x"][width as usize / 2 - 1].to_owned();
            let outcome = Outcome {
                generated_by,
                ..outcome
            };
            store.finish(fractal.row, outcome, png).await.unwrap();
        }
    }
    let found = async |filter: Filter, order: Vec<(Column, Direction)>| -> String {
        let search = Search {
            filter,
            order,
            ..Search::default()
        };
        let page = store.search(search, 0, 100).await.unwrap();
        assert_eq!(page.total, page.fractals.len() as u64);
        let widths = page.fractals.iter().map(|one| one.spec.width.to_string());
        widths.collect()
    };
    let all = || Filter::And(Vec::new());
    let is = |column, comparison, value| Filter::Value(column, comparison, value);
    let text = |text: &str| Value::Text(text.into());
    let (up, down) = (Direction::Ascending, Direction::Descending);
    assert_eq!(found(all(), vec![]).await, "654321", "by uuid");
    assert_eq!(found(all(), vec![(Column::Width, up)]).await, "123456");
    // No value comes before any, and equal ones stand in order of acceptance.
    assert_eq!(found(all(), vec![(Column::Size, up)]).await, "135246");
    assert_eq!(found(all(), vec![(Column::Size, down)]).await, "642531");
    assert_eq!(
        found(all(), vec![(Column::Status, up), (Column::Width, down)]).await,
        "642531"
    );
    assert_eq!(found(all(), vec![(Column::Url, up)]).await, "123456");
    let by_width = || vec![(Column::Width, up)];
    for (filter, widths) in [
        (is(Column::Width, Comparison::Gt, Value::Integer(4)), "56"),
        (is(Column::Width, Comparison::Le, Value::Real(2.5)), "12"),
        // The same question with numbers of another kind.
        (is(Column::Width, Comparison::Gt, Value::Real(4.5)), "56"),
        (is(Column::Width, Comparison::Gt, Value::Integer(5)), "6"),
        (is(Column::Width, Comparison::Gt, Value::Real(3.5)), "456"),
        (is(Column::Width, Comparison::Le, Value::Integer(3)), "123"),
        (
            is(Column::Width, Comparison::Lt, Value::Real(f64::INFINITY)),
            "123456",
        ),
        (
            is(Column::Width, Comparison::Gt, Value::Integer(i64::MAX)),
            "",
        ),
        (
            is(Column::CRe, Comparison::Eq, Value::Real(SPEC.c.re)),
            "123456",
        ),
        (
            is(
                Column::CRe,
                Comparison::Eq,
                Value::Real(SPEC.c.re as f32 as f64),
            ),
            "",
        ),
        (is(Column::Size, Comparison::Ne, Value::Integer(2)), "46"),
        (is(Column::Status, Comparison::Eq, text("done")), "246"),
        (is(Column::Status, Comparison::Eq, text("DONE")), ""),
        (is(Column::Status, Comparison::Like, text("DO%")), "246"),
        (
            is(Column::GeneratedBy, Comparison::Like, text("a_b_c")),
            "4",
        ),
        (
            is(Column::GeneratedBy, Comparison::Like, text("a_B\\C")),
            "4",
        ),
        (is(Column::GeneratedBy, Comparison::Like, text("%\\%")), "4"),
        (is(Column::GeneratedBy, Comparison::Like, text("50%")), "2"),
        (is(Column::GeneratedBy, Comparison::Like, text("_0_")), "2"),
        (
            is(Column::GeneratedBy, Comparison::Eq, text("x' OR 1=1; --")),
            "",
        ),
        (is(Column::GeneratedBy, Comparison::Ne, text("n\0l")), "246"),
        (is(Column::Url, Comparison::Like, text("%")), ""),
        (is(Column::Url, Comparison::Eq, text("x")), ""),
        (Filter::Null(Column::Url, true), "123456"),
        (Filter::Null(Column::Checksum, false), "246"),
        (
            Filter::Columns(Column::Xa, Comparison::Lt, Column::Xb),
            "123456",
        ),
        (
            Filter::Columns(Column::Width, Comparison::Eq, Column::Size),
            "246",
        ),
        (
            Filter::Columns(Column::Uuid, Comparison::Like, Column::Uuid),
            "123456",
        ),
        (
            Filter::In(
                Column::Width,
                vec![Value::Integer(1), Value::Real(5.0)],
                true,
            ),
            "15",
        ),
        (
            Filter::In(Column::Width, vec![Value::Integer(1)], false),
            "23456",
        ),
        (Filter::In(Column::Status, vec![], true), ""),
        (Filter::In(Column::Status, vec![], false), "123456"),
        (Filter::Or(vec![]), ""),
        (
            Filter::Or(vec![
                is(Column::Width, Comparison::Eq, Value::Integer(1)),
                Filter::And(vec![
                    is(Column::Status, Comparison::Eq, text("done")),
                    is(Column::Width, Comparison::Ge, Value::Integer(5)),
                ]),
            ]),
            "16",
        ),
    ] {
        assert_eq!(
            found(filter.clone(), by_width()).await,
            widths,
            "{filter:?}"
        );
    }
    for column in Column::ALL {
        assert_eq!(
            found(all(), vec![(*column, up)]).await.len(),
            6,
            "{column:?}"
        );
    }
    let windowed = Search {
        offset: 1,
        limit: Some(4),
        order: by_width(),
        filter: is(Column::Width, Comparison::Ge, Value::Integer(1)),
    };
    let page = store.search(windowed, 1, 2).await.unwrap();
    assert_eq!(page.total, 4);
    let widths: Vec<u32> = page.fractals.iter().map(|one| one.spec.width).collect();
    assert_eq!(widths, [3, 4]);
}

async fn a_lent_render_is_lost_or_goes_on_under_its_lease(bed: Bed) {
    let store = bed.open().await;
    let Fractal { row, uuid, .. } = insert(&*store).await;
    let (lease, other) = (Uuid::new_v4(), Uuid::new_v4());
    assert!(store.lose(row, 2).await.unwrap().is_none());
    store.lend(row, lease).await.unwrap().unwrap();
    assert!(store.lend(row, other).await.unwrap().is_none());
    assert!(store.resume(row, other).await.unwrap().is_none());
    let lost = store.lose(row, 2).await.unwrap().unwrap();
    assert_eq!((lost.status, lost.attempts), (Status::Queued, 0));
    // Whoever was thought to be gone is back before anyone else took it up.
    let on = store.resume(row, lease).await.unwrap().unwrap();
    assert_eq!((on.status, on.attempts), (Status::Running, 1));
    let failed = store.lose(row, 2).await.unwrap().unwrap();
    assert_eq!(failed.status, Status::Failed);
    assert!(failed.error.unwrap().contains("ended 2 times"));
    assert!(store.resume(row, lease).await.unwrap().is_none());
    store.delete(uuid).await.unwrap();
    assert!(store.resume(row, lease).await.unwrap().is_none());
}

async fn what_was_running_waits_again_after_a_restart(bed: Bed) {
    let store = bed.open().await;
    let first = insert(&*store).await;
    insert(&*store).await;
    for crash in 1..=3 {
        store.start(first.row).await.unwrap().unwrap();
        // It does not ask whether the process really ended.
        assert_eq!(store.recover(3).await.unwrap(), 1, "{crash}");
        assert_eq!(store.recover(3).await.unwrap(), 0);
    }
    let failed = store.get(first.uuid).await.unwrap().unwrap();
    assert_eq!((failed.status, failed.attempts), (Status::Failed, 0));
    assert_eq!(
        failed.error.unwrap(),
        "the process ended 3 times while rendering this"
    );
    let counts = *store.counts().borrow();
    assert_eq!((counts.queued, counts.failed, counts.running), (1, 1, 0));
}

/// What comes while a page is read takes no place on it from what was there.
async fn a_page_has_all_that_was_there_whatever_is_new(bed: Bed) {
    let store = bed.open().await;
    let first = insert(&*store).await;
    let newest = vec![(Column::CreatedAt, Direction::Descending)];
    let states = ["queued", "done"].map(|name| Value::Text(name.into()));
    let counted = Filter::In(Column::Status, states.to_vec(), true);
    let writer = tokio::spawn({
        let store = store.clone();
        async move {
            for _ in 0..200 {
                insert(&*store).await;
            }
        }
    });
    // Of the one the store knows the number, the other is counted.
    for filter in [Filter::And(Vec::new()), counted].iter().cycle() {
        let search = Search {
            filter: filter.clone(),
            order: newest.clone(),
            ..Search::default()
        };
        let page = store.search(search.clone(), 0, 1000).await.unwrap();
        let last = page.fractals.last().map(|fractal| fractal.uuid);
        assert_eq!(
            last,
            Some(first.uuid),
            "{} of {}",
            page.fractals.len(),
            page.total
        );
        assert_eq!(page.total, page.fractals.len() as u64);
        // And a page that is full knows that more follow.
        let page = store.search(search, 0, page.total - 1).await.unwrap();
        assert!(page.total > page.fractals.len() as u64);
        if writer.is_finished() {
            break;
        }
    }
    writer.await.unwrap();
    let beyond = store.search(Search::default(), 500, 10).await.unwrap();
    assert_eq!((beyond.total, beyond.fractals.len()), (201, 0));
    let short = Search {
        limit: Some(5),
        offset: 198,
        ..Search::default()
    };
    let rest = store.search(short, 1, 10).await.unwrap();
    assert_eq!((rest.total, rest.fractals.len()), (3, 2));
}

macro_rules! every_engine {
    ($($test:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test(super::Bed::new(super::Engine::Sqlite).await).await;
            })*
        }
        #[cfg(feature = "server-tests")]
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                let kind = super::common::database::Kind::Postgres;
                super::$test(super::Bed::new(super::Engine::Server(kind)).await).await;
            })*
        }
        #[cfg(feature = "server-tests")]
        mod mariadb {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                let kind = super::common::database::Kind::MariaDb;
                super::$test(super::Bed::new(super::Engine::Server(kind)).await).await;
            })*
        }
    };
}

every_engine!(
    a_fractal_comes_back_as_it_went_in,
    a_page_has_all_that_was_there_whatever_is_new,
    rows_stand_in_order_of_acceptance_and_uuids_are_there_once,
    many_are_accepted_all_together_or_not_at_all,
    a_fractal_goes_its_way_and_no_other,
    what_is_asked_at_once_happens_once,
    images_are_kept_byte_by_byte,
    a_lent_render_is_lost_or_goes_on_under_its_lease,
    searches_find_what_they_say,
    what_was_running_waits_again_after_a_restart,
);

#[cfg(feature = "server-tests")]
mod nodes;
