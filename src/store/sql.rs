//! A [`Search`] as parameterised SQL.

use super::search::{Column, Comparison, Direction, Filter, Search, Value};

/// A piece of SQL and the values for its `?`s, in order.
#[derive(Debug, Default, PartialEq)]
pub struct Sql {
    pub text: String,
    pub values: Vec<Value>,
}

impl Sql {
    /// `WHERE ...`, or nothing where all rows are meant.
    pub fn filter(filter: &Filter) -> Self {
        let mut sql = Sql::default();
        if *filter != Filter::And(Vec::new()) {
            sql.text.push_str(" WHERE ");
            sql.condition(filter);
        }
        sql
    }

    /// `ORDER BY ...`, never ambiguous.
    pub fn order(search: &Search) -> String {
        if search.order.is_empty() {
            return " ORDER BY uuid".into();
        }
        let mut text = String::from(" ORDER BY ");
        for (column, direction) in &search.order {
            text.push_str(expression(*column));
            text.push_str(match direction {
                Direction::Ascending => ", ",
                Direction::Descending => " DESC, ",
            });
        }
        // Along an index the rows of equal keys lie by id, so this direction costs no sorting.
        text.push_str(match search.order.last() {
            Some((_, Direction::Descending)) => "id DESC",
            _ => "id",
        });
        text
    }

    fn condition(&mut self, filter: &Filter) {
        match filter {
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
            Filter::And(parts) => self.joined(parts, " AND ", "TRUE"),
            Filter::Or(parts) => self.joined(parts, " OR ", "FALSE"),
        }
    }

    fn joined(&mut self, parts: &[Filter], word: &str, none: &str) {
        if parts.is_empty() {
            self.text.push_str(none);
            return;
        }
        self.text.push('(');
        for (i, part) in parts.iter().enumerate() {
            self.text.push_str(if i > 0 { word } else { "" });
            self.condition(part);
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
        Column::Url => "NULL",
        column => column.name(),
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
        let sql = Sql::filter(&filter);
        assert_eq!(
            sql.text,
            " WHERE (generated_by LIKE ? OR width NOT IN (?, ?) OR (NULL IS NULL AND width >= height))"
        );
        assert_eq!(sql.values.len(), 3);
    }

    #[test]
    fn nothing_asked_is_everything_by_uuid() {
        let search = Search::default();
        assert_eq!(Sql::filter(&search.filter), Sql::default());
        assert_eq!(Sql::order(&search), " ORDER BY uuid");
    }
}
