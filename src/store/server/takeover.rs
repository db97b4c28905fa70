//! Rows that were being rendered by somebody who is gone wait again.

use tokio::sync::oneshot;

use super::batch::Batch;
use super::engine::{Cells, Row, some};
use super::job::{Job, Names, job};
use crate::fractal::RowId;
use crate::store::Result;

/// Rows that somebody else renders no more, and who that was.
pub fn left_behind(found: Vec<Row>) -> Result<Vec<(RowId, Option<i64>)>> {
    let one = |row| {
        let mut cells = Cells::of(row);
        Ok((some(cells.integer()?)?, cells.integer()?))
    };
    found.into_iter().map(one).collect()
}

/// Makes these rows wait again; the answer is how many of them still had to.
#[allow(clippy::type_complexity)] // two types, each told by its name
pub fn take_over(
    left: Vec<(RowId, Option<i64>)>,
    most: u32,
) -> (Box<dyn Job>, oneshot::Receiver<Result<u64>>) {
    job(names(&left), taking_over(left, most))
}

pub fn names(left: &[(RowId, Option<i64>)]) -> Names {
    Names {
        rows: left.iter().map(|(row, _)| *row).collect(),
        ..Names::default()
    }
}

pub fn taking_over(
    left: Vec<(RowId, Option<i64>)>,
    most: u32,
) -> impl FnMut(&mut Batch) -> Result<u64> + Send + 'static {
    move |batch| {
        let taken = left
            .iter()
            .filter(|(row, from)| batch.take_over(*row, *from, most));
        Ok(taken.count() as u64)
    }
}
