//! The SQL that the engines on servers share.
//!
//! Statements for many rows come in sizes of powers of two: few texts, so that the server has each
//! of them prepared.

use super::engine::{Cell, Statement};
use super::rows::{self, CHANGING, COLUMNS, Kept, WIDTH};
use crate::fractal::RowId;
use crate::store::sql::Dialect;

/// Most rows in one `INSERT`.
const MOST_ROWS: usize = 64;

/// Most bytes of images in one `INSERT` of several.
const MOST_BYTES: usize = 1 << 20;

/// Milliseconds after which a silent node's row is deleted: long after its renders were taken over.
const FORGOTTEN: i64 = 7 * 24 * 3600 * 1000;

/// Locks the farm's row, and reads next row and counts.
pub const LOCK: &str =
    "SELECT next_row, queued, running, done, failed FROM farm WHERE id = 1 FOR UPDATE";

/// `column IN (...)`, its values filled up to a power of two with the last of them.
fn among(column: &str, mut cells: Vec<Cell>) -> Option<Statement> {
    let last = cells.last()?.clone();
    cells.resize(cells.len().next_power_of_two(), last);
    let marks = marks(cells.len());
    Some(Statement::new(format!("{column} IN {marks}"), cells))
}

/// `(?, ?, ...)`
fn marks(count: usize) -> String {
    format!("({})", vec!["?"; count].join(", "))
}

fn prefixed(prefix: &str, statement: Option<Statement>) -> Option<Statement> {
    statement.map(|statement| Statement {
        text: format!("{prefix} WHERE {}", statement.text),
        cells: statement.cells,
    })
}

/// The fractals whose `column` has one of these values.
pub fn load(column: &str, values: Vec<Cell>) -> Option<Statement> {
    prefixed(
        &format!("SELECT {COLUMNS} FROM fractal"),
        among(column, values),
    )
}

pub fn delete(table: &str, ids: &[RowId]) -> Option<Statement> {
    let ids = ids.iter().map(|id| Cell::from(*id)).collect();
    prefixed(&format!("DELETE FROM {table}"), among("id", ids))
}

/// Adds these fractals, or if they are not `new` changes them.
pub fn write(dialect: Dialect, kept: &[&Kept], new: bool) -> Vec<Statement> {
    let mut statements = Vec::new();
    let mut rest = kept;
    while !rest.is_empty() {
        let (now, later) = rest.split_at(chunk(rest.len(), MOST_ROWS));
        let rows = vec![marks(WIDTH); now.len()].join(", ");
        let mut text = format!("INSERT INTO fractal ({COLUMNS}) VALUES {rows}");
        if !new {
            text.push_str(&on_conflict(dialect));
        }
        statements.push(Statement::new(
            text,
            now.iter().flat_map(|kept| rows::cells(kept)),
        ));
        rest = later;
    }
    statements
}

/// The largest power of two up to `count` and `most`.
fn chunk(count: usize, most: usize) -> usize {
    let count = count.min(most);
    if count.is_power_of_two() {
        count
    } else {
        count.next_power_of_two() / 2
    }
}

fn on_conflict(dialect: Dialect) -> String {
    let new = |column: &&str| match dialect {
        Dialect::MySql => format!("{column} = VALUES({column})"),
        _ => format!("{column} = excluded.{column}"),
    };
    let changes = CHANGING.iter().map(new).collect::<Vec<_>>().join(", ");
    match dialect {
        Dialect::MySql => format!(" ON DUPLICATE KEY UPDATE {changes}"),
        _ => format!(" ON CONFLICT (id) DO UPDATE SET {changes}"),
    }
}

/// Adds images, in order of their rows: whoever adds the same ones waits and makes no deadlock.
/// Where there is one already it stays.
pub fn images(dialect: Dialect, images: &[(RowId, bytes::Bytes)]) -> Vec<Statement> {
    let tail = match dialect {
        Dialect::MySql => " ON DUPLICATE KEY UPDATE id = image.id",
        _ => " ON CONFLICT (id) DO NOTHING",
    };
    let mut statements = Vec::new();
    let mut rest = images;
    while !rest.is_empty() {
        let mut bytes = 0;
        let fits = rest.iter().take_while(|(_, png)| {
            bytes += png.len();
            bytes <= MOST_BYTES
        });
        let count = chunk(fits.count().max(1), 16);
        let (now, later) = rest.split_at(count);
        let rows = vec!["(?, ?)"; count].join(", ");
        let cells = now
            .iter()
            .flat_map(|(row, png)| [Cell::from(*row), Cell::Bytes(Some(png.clone()))]);
        let text = format!("INSERT INTO image (id, png) VALUES {rows}{tail}");
        statements.push(Statement::new(text, cells));
        rest = later;
    }
    statements
}

/// Now by the database's clock, in milliseconds since 1970: nodes' clocks may differ.
pub fn now(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::MySql => "CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)",
        _ => "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)",
    }
}

/// 1 if the farm's row has other counts than there are fractals; seen at one moment.
pub fn miscounted() -> Statement {
    let differs = |status: &str| {
        let count = format!("SELECT count(*) FROM fractal WHERE status = '{status}'");
        format!("{status} <> ({count})")
    };
    let differ = ["queued", "running", "done", "failed"].map(differs);
    let differ = differ.join(" OR ");
    Statement::new(
        format!("SELECT count(*) FROM farm WHERE id = 1 AND ({differ})"),
        [],
    )
}

/// Makes the node's row, or finds it as it was.
pub fn register(dialect: Dialect, node: i64, name: &str) -> Statement {
    let now = now(dialect);
    let tail = match dialect {
        Dialect::MySql => format!("ON DUPLICATE KEY UPDATE name = VALUES(name), seen = {now}"),
        _ => format!("ON CONFLICT (id) DO UPDATE SET name = excluded.name, seen = {now}"),
    };
    let text = format!("INSERT INTO node (id, name, seen, batch) VALUES (?, ?, {now}, 0) {tail}");
    Statement::new(text, [node.into(), Cell::text(name)])
}

/// The nodes but this one, and what each has said last. It says something new whenever it speaks.
pub fn other_nodes(own: i64) -> Statement {
    Statement::new("SELECT id, seen FROM node WHERE id <> ?", [own.into()])
}

/// Forgets those of these nodes that are gone for long: machines come and go.
pub fn forget(dialect: Dialect, gone: Vec<i64>) -> Option<Statement> {
    let gone = among("id", gone.into_iter().map(Cell::from).collect())?;
    let text = format!(
        "DELETE FROM node WHERE {} AND seen < {} - ?",
        gone.text,
        now(dialect)
    );
    let cells = [gone.cells, vec![FORGOTTEN.into()]].concat();
    Some(Statement::new(text, cells))
}

/// Renders of these nodes, and of nodes that there are not, with whose they are.
pub fn left_behind(nodes: Vec<i64>) -> Statement {
    let (of_nodes, cells) = match among("node.id", nodes.into_iter().map(Cell::from).collect()) {
        Some(among) => (format!(" OR {}", among.text), among.cells),
        None => Default::default(),
    };
    let text = format!(
        "SELECT fractal.id, fractal.node FROM fractal LEFT JOIN node ON node.id = fractal.node \
         WHERE fractal.status = 'running' AND (node.id IS NULL{of_nodes}) \
         ORDER BY fractal.id LIMIT 1000"
    );
    Statement::new(text, cells)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_texts_serve_any_number_of_rows() {
        let ids = |n| (0..n).collect::<Vec<RowId>>();
        assert!(delete("image", &[]).is_none());
        let five = delete("image", &ids(5)).unwrap();
        assert_eq!(
            five.text,
            "DELETE FROM image WHERE id IN (?, ?, ?, ?, ?, ?, ?, ?)"
        );
        assert_eq!(five.cells[4..], vec![Cell::from(4); 4]);
        let sizes = |mut n| {
            let mut sizes = Vec::new();
            while n > 0 {
                sizes.push(chunk(n, 64));
                n -= chunk(n, 64);
            }
            sizes
        };
        assert_eq!(sizes(1), [1]);
        assert_eq!(sizes(100), [64, 32, 4]);
        assert_eq!(sizes(256), [64; 4]);
    }

    #[test]
    fn large_images_go_alone() {
        let image = |row, size| (row, bytes::Bytes::from(vec![0; size]));
        let all = [
            image(1, 9),
            image(2, 9),
            image(3, MOST_BYTES + 1),
            image(4, 9),
        ];
        let counts: Vec<usize> = images(Dialect::Postgres, &all)
            .iter()
            .map(|statement| statement.cells.len() / 2)
            .collect();
        assert_eq!(counts, [2, 1, 1]);
    }
}
