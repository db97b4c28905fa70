//! The store in a database on a server, shared by any number of nodes.
//!
//! [`engine`] is what MySQL and PostgreSQL each bring; all else is here, and the same for both.
//!
//! What holds with several nodes on one database:
//!
//! * Every change sees those of all nodes before it: see [`task`]. Rows are given out in the order
//!   of the commits, and the limit on waiting fractals and the counts are exact. The counts that
//!   [`Store::counts`] shows are up to a second behind for changes of other nodes.
//! * The [`Listener`] hears of this node's own commits, and within a second if another node has ended
//!   one of its renders or taken it over ([`Departed`](crate::events::Event::Departed)).
//! * A render belongs to the node that began it ([`Store::start`]). Only that node can give it back,
//!   fail or lose it; any node can finish it, and one that a worker turns to goes on with what
//!   another node had lent it: its lease stands in the row ([`Store::resume`]). A node says every 5 s
//!   that it lives. What one that said nothing new for 30 s was rendering, another takes over, whatever
//!   the clocks say ([`peers`]). [`Store::recover`] takes over what this node was rendering in an
//!   earlier life, and leaves the others' alone.

mod batch;
pub mod engine;
mod job;
pub mod link;
mod peers;
mod rows;
pub mod schema;
mod shared;
pub mod statements;
mod takeover;
mod task;
mod writer;

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::watch;
use uuid::Uuid;

use self::engine::{Cell, Cells, Engine, Fault, Purpose, Row, Session, Statement, some};
use self::job::Names;
use self::link::{Link, Pool};
use self::rows::{COLUMNS, WAITING, key};
pub use self::shared::Node;
use self::writer::Writer;
use super::search::Part;
use super::{
    Counts, Finished, Image, Listener, Lookup, Page, Result, Search, Store, StoreError, Waiting,
    sql,
};
use crate::fractal::{Fractal, FractalSpec, Outcome, RowId, Status};
use crate::metrics::StoreMetrics;

/// Sessions for reading, beside the one that writes and the one that feeds the workers.
const READERS: usize = 8;

/// A server that cannot be reached is waited for so long at the start.
const START: Duration = Duration::from_secs(30);

/// Room for what is in a statement beside the image.
const BESIDE_IMAGE: u64 = 64 << 10;

/// A server's limit on statements below which images of some size are in danger.
pub const ROOMY: u64 = 64 << 20;

pub struct Server<E: Engine> {
    engine: Arc<E>,
    writer: Writer,
    reads: Pool<E::Session>,
    /// For the feeder alone: however much is searched, the workers have something to do.
    feed: Pool<E::Session>,
    /// Held as long as the store is open: one process a folder, so that nodes differ.
    _lock: File,
}

impl<E: Engine> Server<E> {
    /// Connects, and makes or migrates the tables. A server that cannot be reached is waited for:
    /// where everything starts at once, it may be the last.
    pub async fn open(engine: E, node: Node, lock: File) -> Result<Server<E>> {
        let begun = Instant::now();
        while let Err(error) = prepare(&engine).await {
            let StoreError::Unreachable(why) = &error else {
                return Err(error);
            };
            if begun.elapsed() > START {
                return Err(StoreError::Unreachable(format!("{}: {why}", engine.name())));
            }
            let (database, seconds) = (engine.name(), START.as_secs());
            tracing::warn!(why, "waiting for {database}, for {seconds} s at most");
            tokio::time::sleep(START / 15).await;
        }
        let engine = Arc::new(engine);
        let writer = Writer::start(engine.clone(), node).await?;
        let packet = writer.shared.packet.load(Ordering::Relaxed);
        if packet < ROOMY {
            tracing::warn!(
                max_allowed_packet = packet,
                "the database refuses images beyond its max_allowed_packet: set it to 64M or more \
                 there, as in `SET GLOBAL max_allowed_packet = 67108864` and in its my.cnf"
            );
        }
        Ok(Server {
            engine,
            writer,
            reads: Pool::new(READERS),
            feed: Pool::new(1),
            _lock: lock,
        })
    }

    async fn read(&self, statement: &Statement) -> Result<Vec<Row>> {
        self.read_with(&self.reads, statement).await
    }

    async fn read_with(&self, pool: &Pool<E::Session>, statement: &Statement) -> Result<Vec<Row>> {
        let shared = &self.writer.shared;
        let mut down = shared.down.subscribe();
        let read = tokio::select! {
            biased;
            _ = down.wait_for(|down| *down) => {
                Err(StoreError::away())
            }
            read = pool.read(&*self.engine, statement) => read,
        };
        read.inspect_err(|error| shared.metrics.failed(error))
    }

    /// Whether the server takes an image of this size.
    fn check_size(&self, png: &[u8]) -> Result<()> {
        let size = png.len() as u64;
        let packet = self.writer.shared.packet.load(Ordering::Relaxed);
        match size > packet.saturating_sub(BESIDE_IMAGE) {
            true => Err(StoreError::TooLarge { size, packet }),
            false => Ok(()),
        }
    }

    async fn write_row<T: Send + 'static>(
        &self,
        row: RowId,
        change: impl FnMut(&mut batch::Batch) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let rows = vec![row];
        let names = Names {
            rows,
            ..Names::default()
        };
        self.writer.write(names, change).await
    }

    async fn write_uuid<T: Send + 'static>(
        &self,
        uuid: Uuid,
        change: impl FnMut(&mut batch::Batch) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let uuids = vec![uuid];
        let names = Names {
            uuids,
            ..Names::default()
        };
        self.writer.write(names, change).await
    }
}

async fn prepare<E: Engine>(engine: &E) -> Result<()> {
    schema::migrate(engine).await?;
    let mut link = Link::open(engine, Purpose::Read).await?;
    let found = link.run(&statements::miscounted()).await?;
    if some(Cells::of(some(found.into_iter().next())?).integer()?)? > 0 {
        tracing::warn!("the database was changed by hand: counting the fractals anew");
        count(&mut link).await?;
    }
    Ok(())
}

/// Counts the fractals anew, while all nodes wait.
async fn count<S: Session>(link: &mut Link<S>) -> Result<()> {
    link.script(&format!("BEGIN; {}", statements::LOCK)).await?;
    let text = "SELECT status, count(*) FROM fractal GROUP BY status";
    let mut counts = Counts::default();
    for row in link.run(&Statement::new(text, [])).await? {
        let mut cells = Cells::of(row);
        let status = some(cells.text()?)?.parse::<Status>();
        let status = status.map_err(Fault::engine)?;
        *counts.slot(status) = some(cells.integer()?)? as u64;
    }
    let Counts {
        queued,
        running,
        done,
        failed,
    } = counts;
    link.script(&format!(
        "UPDATE farm SET queued = {queued}, running = {running}, done = {done}, failed = {failed} \
         WHERE id = 1; COMMIT"
    ))
    .await?;
    Ok(())
}

#[async_trait]
impl<E: Engine> Store for Server<E> {
    fn listen(&self, listener: Listener) {
        self.writer.listen(listener);
    }

    fn metrics(&self) -> &StoreMetrics {
        &self.writer.shared.metrics
    }

    async fn insert(&self, uuid: Uuid, spec: FractalSpec, most_queued: u64) -> Result<Fractal> {
        self.write_uuid(uuid, move |batch| batch.insert(uuid, spec, most_queued))
            .await
    }

    async fn import(
        &self,
        uuid: Uuid,
        spec: FractalSpec,
        outcome: Outcome,
        png: Bytes,
    ) -> Result<Fractal> {
        self.check_size(&png)?;
        // Images are written by the numbers of their rows, before anything else.
        let reserve = |batch: &mut batch::Batch| Ok(batch.reserve());
        let row = self.writer.write(Names::default(), reserve).await?;
        let names = Names {
            rows: Vec::new(),
            uuids: vec![uuid],
            image: Some((row, png)),
        };
        let import = move |batch: &mut batch::Batch| batch.import(row, uuid, spec, outcome.clone());
        self.writer.write(names, import).await
    }

    async fn insert_all(
        &self,
        new: Vec<(Uuid, FractalSpec)>,
        most_queued: u64,
    ) -> Result<Vec<Fractal>> {
        let names = Names {
            uuids: new.iter().map(|(uuid, _)| *uuid).collect(),
            ..Names::default()
        };
        let insert = move |batch: &mut batch::Batch| batch.insert_all(&new, most_queued);
        self.writer.write(names, insert).await
    }

    async fn get(&self, uuid: Uuid) -> Result<Option<Fractal>> {
        let text = format!("SELECT {COLUMNS} FROM fractal WHERE uuid = ?");
        let found = self.read(&Statement::new(text, [key(uuid)])).await?;
        found.into_iter().next().map(rows::fractal).transpose()
    }

    async fn image(&self, uuid: Uuid, known: Option<String>) -> Result<Lookup> {
        let text = "SELECT status, checksum, CASE WHEN checksum <> ? THEN png END \
             FROM fractal LEFT JOIN image ON image.id = fractal.id WHERE uuid = ?";
        let cells = [Cell::text(known.unwrap_or_default()), key(uuid)];
        let found = self.read(&Statement::new(text, cells)).await?;
        let Some(row) = found.into_iter().next() else {
            return Ok(Lookup::NoFractal);
        };
        let mut cells = Cells::of(row);
        let status = some(cells.text()?)?.parse::<Status>();
        let status = status.map_err(Fault::engine)?;
        Ok(match (cells.text()?, cells.bytes()?) {
            (Some(checksum), Some(png)) => Lookup::Image(Image { png, checksum }),
            (Some(_), None) => Lookup::Same,
            (None, _) => Lookup::NoImage(status),
        })
    }

    async fn search(&self, search: Search, skip: u64, count: u64) -> Result<Page> {
        let known = self.writer.counts().borrow().of_filter(&search.filter);
        let known = known.map(|found| search.window(found));
        let part = Part { skip, count };
        if let Some(total) = known.filter(|total| skip > *total) {
            return Ok(part.page(Vec::new(), total));
        }
        let statement = sql::page(&search, COLUMNS, skip, part.reach(&search), E::DIALECT).into();
        let mut fractals = Vec::new();
        for row in self.read(&statement).await? {
            fractals.push(rows::fractal(row)?);
        }
        let total = match (part.told(fractals.len()), known) {
            (Some(total), _) => total,
            (None, Some(total)) => total,
            (None, None) => {
                let statement = sql::count(&search, E::DIALECT).into();
                let row = some(self.read(&statement).await?.into_iter().next())?;
                search.window(some(Cells::of(row).integer()?)? as u64)
            }
        };
        Ok(part.page(fractals, total))
    }

    async fn waiting(&self, after: RowId, count: usize) -> Result<Vec<Waiting>> {
        let text = format!(
            "SELECT {WAITING} FROM fractal WHERE status = 'queued' AND id > ? ORDER BY id LIMIT ?"
        );
        let statement = Statement::new(text, [after.into(), (count as i64).into()]);
        let found = self.read_with(&self.feed, &statement).await?;
        found.into_iter().map(rows::waiting).collect()
    }

    async fn start(&self, row: RowId) -> Result<Option<Fractal>> {
        self.write_row(row, move |batch| Ok(batch.start(row, None)))
            .await
    }

    async fn lend(&self, row: RowId, lease: Uuid) -> Result<Option<Fractal>> {
        self.write_row(row, move |batch| Ok(batch.start(row, Some(lease))))
            .await
    }

    async fn resume(&self, row: RowId, lease: Uuid) -> Result<Option<Fractal>> {
        self.write_row(row, move |batch| Ok(batch.resume(row, lease)))
            .await
    }

    async fn give_back(&self, row: RowId) -> Result<Option<Fractal>> {
        self.write_row(row, move |batch| Ok(batch.give_back(row)))
            .await
    }

    async fn lose(&self, row: RowId, most: u32) -> Result<Option<Fractal>> {
        self.write_row(row, move |batch| Ok(batch.lose(row, most)))
            .await
    }

    async fn finish(&self, row: RowId, outcome: Outcome, png: Bytes) -> Result<Option<Finished>> {
        self.check_size(&png)?;
        let names = Names {
            rows: vec![row],
            uuids: Vec::new(),
            image: Some((row, png)),
        };
        let finish = move |batch: &mut batch::Batch| Ok(batch.finish(row, outcome.clone()));
        self.writer.write(names, finish).await
    }

    async fn fail(&self, row: RowId, reason: String, most: u32) -> Result<Option<Fractal>> {
        let fail = move |batch: &mut batch::Batch| Ok(batch.fail(row, reason.clone(), most));
        self.write_row(row, fail).await
    }

    async fn retry(&self, uuid: Uuid) -> Result<Option<(Fractal, bool)>> {
        self.write_uuid(uuid, move |batch| Ok(batch.retry(uuid)))
            .await
    }

    async fn delete(&self, uuid: Uuid) -> Result<bool> {
        self.write_uuid(uuid, move |batch| Ok(batch.delete(uuid)))
            .await
    }

    async fn recover(&self, most: u32) -> Result<u64> {
        let shared = &self.writer.shared;
        let mut taken = 0;
        loop {
            let left = statements::left_behind(vec![self.writer.node]);
            let left = takeover::left_behind(self.read(&left).await?)?;
            if left.is_empty() {
                break;
            }
            let taking = takeover::taking_over(left.clone(), most);
            taken += self.writer.write(takeover::names(&left), taking).await?;
        }
        shared.most_crashes.store(most, Ordering::Relaxed);
        Ok(taken)
    }

    fn is_shared(&self) -> bool {
        true
    }

    async fn check(&self) -> Result<()> {
        self.read(&Statement::new("SELECT 1 FROM farm", [])).await?;
        // Takes the lock, which a database that may only be read refuses; writes nothing.
        self.writer.write(Names::default(), |_| Ok(())).await
    }

    fn counts(&self) -> watch::Receiver<Counts> {
        self.writer.counts()
    }
}
