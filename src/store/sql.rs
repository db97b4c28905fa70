//! A [`Search`] as parameterised SQL.

use super::search::{Column, Comparison, Direction, Filter, Search, Value};

/// Whose SQL it is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    Sqlite,
    MySql,
    Postgres,
}

/// Counts what a search finds, up to the end of its window: what lies beyond costs nothing.
pub fn count(search: &Search, dialect: Dialect) -> Sql {
    let mut sql = Sql::filter(&search.filter, dialect);
    let most = search
        .limit
        .map_or(u64::MAX, |n| n.saturating_add(search.offset));
    sql.text = format!(
        "SELECT count(*) FROM (SELECT 1 FROM fractal{} LIMIT ?) AS found",
        sql.text
    );
    sql.values.push(integer(most));
    sql
}

/// `columns` of `count` fractals that a search finds, after the first `skip` of its window.
pub fn page(search: &Search, columns: &str, skip: u64, count: u64, dialect: Dialect) -> Sql {
    let mut sql = Sql::filter(&search.filter, dialect);
    sql.text = format!(
        "SELECT {columns} FROM fractal{}{} LIMIT ? OFFSET ?",
        sql.text,
        Sql::order(search, dialect),
    );
    let window = [count, search.offset.saturating_add(skip)];
    sql.values.extend(window.map(integer));
    sql
}

/// The engines' integers end at 2^63; no count of rows comes near.
fn integer(n: u64) -> Value {
    Value::Integer(i64::try_from(n).unwrap_or(i64::MAX))
}

/// A piece of SQL and the values for its `?`s, in order.
#[derive(Debug, Default, PartialEq)]
pub struct Sql {
    pub text: String,
    pub values: Vec<Value>,
}

impl Sql {
    /// `WHERE ...`, or nothing where all rows are meant.
    pub fn filter(filter: &Filter, dialect: Dialect) -> Self {
        let mut sql = Sql::default();
        if *filter != Filter::And(Vec::new()) {
            sql.text.push_str(" WHERE ");
            sql.condition(filter, dialect);
        }
        sql
    }

    /// `ORDER BY ...`, never ambiguous.
    pub fn order(search: &Search, dialect: Dialect) -> String {
        if search.order.is_empty() {
            return " ORDER BY uuid".into();
        }
        let mut text = String::from(" ORDER BY ");
        for (column, direction) in &search.order {
            text.push_str(expression(*column));
            // No value comes before any: PostgreSQL alone sees that the other way round.
            text.push_str(match (direction, dialect) {
                (Direction::Ascending, Dialect::Postgres) => " NULLS FIRST, ",
                (Direction::Ascending, _) => ", ",
                (Direction::Descending, Dialect::Postgres) => " DESC NULLS LAST, ",
                (Direction::Descending, _) => " DESC, ",
            });
        }
        // Along an index the rows of equal keys lie by id, so this direction costs no sorting.
        text.push_str(match search.order.last() {
            Some((_, Direction::Descending)) => "id DESC",
            _ => "id",
        });
        text
    }

    fn condition(&mut self, filter: &Filter, dialect: Dialect) {
        match filter {
            Filter::Value(column, Comparison::Like, pattern) => {
                self.text.push_str(&like(expression(*column), "?", dialect));
                self.values.push(pattern.clone());
            }
            Filter::Columns(column, Comparison::Like, other) => {
                let pattern = expression(*other);
                self.text
                    .push_str(&like(expression(*column), pattern, dialect));
            }
            Filter::Value(column, comparison, value) => {
                self.text.push_str(expression(*column));
                self.text.push_str(operator(*comparison));
                self.value(value);
            }
            Filter::Columns(column, comparison, other) => {
                self.text.push_str(expression(*column));
                self.text.push_str(operator(*comparison));
                self.text.push_str(expression(*other));
            }
            // Not every engine has a word for the empty list.
            Filter::In(_, values, among) if values.is_empty() => {
                self.text.push_str(if *among { "FALSE" } else { "TRUE" });
            }
            Filter::In(column, values, among) => {
                self.text.push_str(expression(*column));
                self.text
                    .push_str(if *among { " IN (" } else { " NOT IN (" });
                for (i, value) in values.iter().enumerate() {
                    self.text.push_str(if i > 0 { ", " } else { "" });
                    self.value(value);
                }
                self.text.push(')');
            }
            Filter::Null(column, null) => {
                self.text.push_str(expression(*column));
                self.text
                    .push_str(if *null { " IS NULL" } else { " IS NOT NULL" });
            }
            Filter::And(parts) => self.joined(parts, " AND ", "TRUE", dialect),
            Filter::Or(parts) => self.joined(parts, " OR ", "FALSE", dialect),
        }
    }

    fn joined(&mut self, parts: &[Filter], word: &str, none: &str, dialect: Dialect) {
        if parts.is_empty() {
            self.text.push_str(none);
            return;
        }
        self.text.push('(');
        for (i, part) in parts.iter().enumerate() {
            self.text.push_str(if i > 0 { word } else { "" });
            self.condition(part, dialect);
        }
        self.text.push(')');
    }

    fn value(&mut self, value: &Value) {
        self.text.push('?');
        self.values.push(value.clone());
    }
}

/// The column's name, but for `url`: it is part of the original's wire format, and nothing ever
/// set it, so that no engine keeps it.
fn expression(column: Column) -> &'static str {
    match column {
        Column::Url => "CAST(NULL AS CHAR)",
        column => column.name(),
    }
}

/// SQLite's `LIKE`: no character escapes another, and letters' case does not matter.
fn like(text: &str, pattern: &str, dialect: Dialect) -> String {
    match dialect {
        // It always has an escape character: an escaped one stands for itself.
        Dialect::MySql => {
            format!("LOWER({text}) LIKE REPLACE(LOWER({pattern}), '\\\\', '\\\\\\\\')")
        }
        Dialect::Postgres => format!("{text} ILIKE {pattern} ESCAPE ''"),
        Dialect::Sqlite => format!("{text} LIKE {pattern}"),
    }
}

fn operator(comparison: Comparison) -> &'static str {
    match comparison {
        Comparison::Eq => " = ",
        Comparison::Ne => " <> ",
        Comparison::Gt => " > ",
        Comparison::Lt => " < ",
        Comparison::Ge => " >= ",
        Comparison::Le => " <= ",
        // Told above.
        Comparison::Like => " LIKE ",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_never_become_text() {
        let filter = Filter::Or(vec![
            Filter::Value(
                Column::GeneratedBy,
                Comparison::Like,
                Value::Text("'; DROP TABLE fractal; --".into()),
            ),
            Filter::In(
                Column::Width,
                vec![Value::Integer(1), Value::Integer(2)],
                false,
            ),
            Filter::And(vec![
                Filter::Null(Column::Url, true),
                Filter::Columns(Column::Width, Comparison::Ge, Column::Height),
            ]),
        ]);
        let sql = Sql::filter(&filter, Dialect::Sqlite);
        assert_eq!(
            sql.text,
            " WHERE (generated_by LIKE ? OR width NOT IN (?, ?) OR (CAST(NULL AS CHAR) IS NULL AND width >= height))"
        );
        assert_eq!(sql.values.len(), 3);
    }

    #[test]
    fn nothing_asked_is_everything_by_uuid() {
        let search = Search::default();
        assert_eq!(Sql::filter(&search.filter, Dialect::Sqlite), Sql::default());
        assert_eq!(Sql::order(&search, Dialect::Sqlite), " ORDER BY uuid");
    }
}
