//! Several nodes on one database.

use super::common::PATIENCE;
use super::common::database::Kind;
use super::*;

async fn on_both(test: impl AsyncFn(Bed)) {
    for kind in [Kind::Postgres, Kind::MariaDb] {
        test(Bed::new(Engine::Server(kind)).await).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_of_several_nodes_stand_in_the_order_of_their_commits() {
    on_both(async |bed| {
        let nodes = [
            bed.node("a").await,
            bed.node("b").await,
            bed.node("c").await,
        ];
        let same = Uuid::new_v4();
        let mut inserts = Vec::new();
        for n in 0..600 {
            let node = nodes[n % 3].clone();
            inserts.push(tokio::spawn(async move {
                let uuid = if n % 50 == 7 { same } else { Uuid::new_v4() };
                node.insert(uuid, SPEC, MANY).await.is_ok()
            }));
        }
        // A reader that goes on from the last row it saw misses none.
        let (mut last, mut seen) = (0, 0);
        let mut accepted = 0;
        for insert in inserts {
            accepted += usize::from(insert.await.unwrap());
            for task in nodes[0].waiting(last, 1000).await.unwrap() {
                assert!(task.row > last);
                (last, seen) = (task.row, seen + 1);
            }
        }
        assert_eq!((accepted, seen), (589, 589));
        for node in &nodes {
            let mut counts = node.counts();
            let known =
                tokio::time::timeout(PATIENCE, counts.wait_for(|counts| counts.queued == 589));
            known.await.unwrap().unwrap();
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_limit_on_waiting_fractals_holds_across_nodes() {
    on_both(async |bed| {
        let nodes = [bed.node("a").await, bed.node("b").await];
        let mut inserts = Vec::new();
        for n in 0..100 {
            let node = nodes[n % 2].clone();
            inserts.push(tokio::spawn(async move {
                node.insert(Uuid::new_v4(), SPEC, 30).await.is_ok()
            }));
        }
        let mut accepted = 0;
        for insert in inserts {
            accepted += usize::from(insert.await.unwrap());
        }
        assert_eq!(accepted, 30);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_is_begun_on_one_node_only() {
    on_both(async |bed| {
        let nodes = [bed.node("a").await, bed.node("b").await];
        let mut rows = Vec::new();
        for _ in 0..50 {
            rows.push(insert(&*nodes[0]).await.row);
        }
        let mut starts = Vec::new();
        for row in &rows {
            for node in &nodes {
                let (node, row) = (node.clone(), *row);
                starts.push(tokio::spawn(async move {
                    node.start(row).await.unwrap().is_some()
                }));
            }
        }
        let mut begun = 0;
        for start in starts {
            begun += usize::from(start.await.unwrap());
        }
        assert_eq!(begun, rows.len());
        let done: Vec<_> = rows
            .iter()
            .flat_map(|row| nodes.iter().map(|node| (node.clone(), *row)))
            .map(|(node, row)| {
                tokio::spawn(async move {
                    let (outcome, png) = image(1000);
                    matches!(
                        node.finish(row, outcome, png).await.unwrap(),
                        Some(Finished::Now(_))
                    )
                })
            })
            .collect();
        let mut now = 0;
        for done in done {
            now += usize::from(done.await.unwrap());
        }
        assert_eq!(now, rows.len());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_starts_leaves_the_others_renders_alone() {
    on_both(async |bed| {
        let a = bed.node("a").await;
        let row = insert(&*a).await.row;
        a.start(row).await.unwrap().unwrap();
        let b = bed.node("b").await;
        assert_eq!(b.recover(3).await.unwrap(), 0);
        // It neither fails nor gives back what is not its own.
        assert!(b.give_back(row).await.unwrap().is_none());
        assert!(b.fail(row, "x".into(), 1).await.unwrap().is_none());
        drop(a);
        // Back after a crash, a finds what it was at.
        let a = bed.node("a").await;
        assert_eq!(a.recover(3).await.unwrap(), 1);
        // Whoever has rendered a fractal, any node can keep it.
        a.start(row).await.unwrap().unwrap();
        let (outcome, png) = image(9);
        let done = b.finish(row, outcome, png).await.unwrap();
        assert!(matches!(done, Some(Finished::Now(_))));
    })
    .await;
}

/// Waits until the last thing heard of a row is this.
async fn until_heard(heard: &Mutex<Vec<(RowId, &'static str)>>, row: RowId, what: &str) {
    let begun = std::time::Instant::now();
    loop {
        let last = heard.lock().unwrap().last().copied();
        if last == Some((row, what)) {
            return;
        }
        assert!(begun.elapsed() < common::PATIENCE, "{last:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lent_render_goes_on_at_the_node_that_its_worker_turns_to() {
    on_both(async |bed| {
        let (a, b) = (bed.node("a").await, bed.node("b").await);
        let (heard_a, heard_b) = (listen(&*a), listen(&*b));
        let fractal = insert(&*a).await;
        let (row, lease) = (fractal.row, Uuid::new_v4());
        a.lend(row, lease).await.unwrap().unwrap();
        assert!(b.resume(row, Uuid::new_v4()).await.unwrap().is_none());
        assert_eq!(b.resume(row, lease).await.unwrap().unwrap().attempts, 1);
        assert_eq!(*heard_b.lock().unwrap(), [(row, "adopted")]);
        // The first learns that it is no longer its own, and cannot end it.
        until_heard(&heard_a, row, "departed").await;
        assert!(a.lose(row, 3).await.unwrap().is_none());
        assert!(a.give_back(row).await.unwrap().is_none());
        assert_eq!(a.recover(3).await.unwrap(), 0);
        // And back again.
        a.resume(row, lease).await.unwrap().unwrap();
        until_heard(&heard_b, row, "departed").await;
        assert_eq!(status(&*b, fractal.uuid).await, Status::Running);
        // What one node deletes, another need not render any longer.
        assert!(b.delete(fractal.uuid).await.unwrap());
        until_heard(&heard_a, row, "departed").await;
        assert!(a.resume(row, lease).await.unwrap().is_none());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counts_that_somebody_changed_by_hand_are_made_good() {
    on_both(async |bed| {
        let store = bed.open().await;
        insert(&*store).await;
        drop(store);
        bed.execute("UPDATE farm SET queued = 77, done = 5").await;
        let counts = *bed.open().await.counts().borrow();
        assert_eq!((counts.queued, counts.total()), (1, 1));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_renders_of_a_node_that_fell_silent_are_taken_over() {
    on_both(async |bed| {
        let a = bed.node("a").await;
        let fractal = insert(&*a).await;
        a.start(fractal.row).await.unwrap().unwrap();
        drop(a);
        let b = bed.node("b").await;
        assert_eq!(b.recover(3).await.unwrap(), 0);
        let heard = listen(&*b);
        let begun = std::time::Instant::now();
        while status(&*b, fractal.uuid).await != Status::Queued {
            assert!(begun.elapsed() < Duration::from_secs(120));
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        assert!(begun.elapsed() > Duration::from_secs(20));
        assert_eq!(*heard.lock().unwrap(), [(fractal.row, "queued")]);
    })
    .await;
}
