//! The query string of `GET /v1/fractal`: pages, and the search language of `q`.
//!
//! ```json
//! {"filters": [{"name": "width", "op": "ge", "val": 512},
//!              {"or": [{"name": "status", "op": "eq", "val": "done"},
//!                      {"name": "xa", "op": "lt", "field": "xb"}]}],
//!  "order_by": [{"field": "created_at", "direction": "desc"}],
//!  "limit": 100, "offset": 0, "single": false}
//! ```

use serde_json::{Map, Value as Json};

use super::error::ApiError;
use crate::store::Search;
use crate::store::search::{Column, Comparison, Direction, Filter, Kind, Value};

/// Conditions in one search. SQLite takes a thousand that are nested or follow each other.
const MOST_CONDITIONS: usize = 500;

/// Listed values in one search: as many as an archive may have images. SQLite's own limit lies well
/// above.
const MOST_VALUES: usize = 1000;

/// Bytes of a pattern: long ones with many `%` take time that others wait for.
const MOST_PATTERN: usize = 256;

const DEFAULT_PER_PAGE: u64 = 10;
const MOST_PER_PAGE: u64 = 100;

/// What a list request asks for.
#[derive(Debug, PartialEq)]
pub struct ListQuery {
    pub search: Search,
    /// Exactly one fractal is expected.
    pub single: bool,
    /// From 1; 0 is legal and always empty, as in the original.
    pub page: u64,
    /// 1 to 100.
    pub per_page: u64,
    /// `q` as it was sent, for the links to other pages.
    pub q: Option<String>,
}

impl ListQuery {
    pub fn parse(parameters: Vec<(String, String)>) -> Result<Self, ApiError> {
        let mut query = ListQuery {
            search: Search::default(),
            single: false,
            page: 1,
            per_page: DEFAULT_PER_PAGE,
            q: None,
        };
        for (name, value) in parameters {
            match name.as_str() {
                "page" => query.page = page(&value)?,
                "results_per_page" => query.per_page = per_page(&value),
                "q" => {
                    (query.search, query.single) = search(&value)?;
                    query.q = Some(value);
                }
                // Unknown parameters are harmless: a cache-breaker, say.
                _ => {}
            }
        }
        Ok(query)
    }
}

fn page(value: &str) -> Result<u64, ApiError> {
    value.parse().map_err(|_| {
        let message = format!("page is {value:?}, but must be a whole number from 0 on");
        ApiError::bad_request(message).at("page")
    })
}

/// The original's rule: what makes no sense is the default, what is too much the most.
fn per_page(value: &str) -> u64 {
    match value.parse::<i64>() {
        Ok(n) if n > 0 => (n as u64).min(MOST_PER_PAGE),
        _ => DEFAULT_PER_PAGE,
    }
}

fn search(q: &str) -> Result<(Search, bool), ApiError> {
    let q: Json = serde_json::from_str(q).map_err(|error| {
        ApiError::bad_request(format!("Unable to decode data: {error}")).at("q")
    })?;
    let q = object(&q, "q")?;
    if q.get("group_by").is_some_and(|value| !is_nothing(value)) {
        return Err(wrong("group_by is not offered"));
    }
    let mut parts = Parts::default();
    let filter = match q.get("filters") {
        None => Filter::And(Vec::new()),
        Some(filters) => Filter::And(filter_list(filters, "filters", &mut parts)?),
    };
    let order = match q.get("order_by") {
        None | Some(Json::Null) => Vec::new(),
        Some(Json::Array(orders)) if orders.len() <= Column::ALL.len() => {
            orders.iter().map(order).collect::<Result<_, _>>()?
        }
        Some(_) => return Err(wrong("order_by must be a list of columns")),
    };
    let search = Search {
        filter,
        order,
        offset: window(q, "offset")?.unwrap_or(0),
        limit: window(q, "limit")?,
    };
    let single = match q.get("single") {
        None | Some(Json::Null) => false,
        Some(Json::Bool(single)) => *single,
        Some(_) => return Err(wrong("single must be true or false")),
    };
    Ok((search, single))
}

/// `limit` or `offset`: 0, null and -1 are the same as none.
fn window(q: &Map<String, Json>, name: &str) -> Result<Option<u64>, ApiError> {
    match q.get(name) {
        None | Some(Json::Null) => Ok(None),
        Some(value) => match (value.as_u64(), value.as_i64()) {
            (Some(0), _) | (None, Some(-1)) => Ok(None),
            (Some(n), _) => Ok(Some(n)),
            _ => Err(wrong(format!("{name} must be a whole number"))),
        },
    }
}

fn order(order: &Json) -> Result<(Column, Direction), ApiError> {
    let order = object(order, "order_by")?;
    if let Some(extra) = order
        .keys()
        .find(|key| *key != "field" && *key != "direction")
    {
        return Err(wrong(format!("order_by has no {extra:?}")));
    }
    let direction = match order.get("direction").map(|value| value.as_str()) {
        None | Some(Some("asc")) => Direction::Ascending,
        Some(Some("desc")) => Direction::Descending,
        Some(_) => return Err(wrong("direction must be \"asc\" or \"desc\"")),
    };
    Ok((column(order.get("field"), "field")?, direction))
}

/// What a search is made of, as far as it has been read.
#[derive(Default)]
struct Parts {
    conditions: usize,
    values: usize,
}

impl Parts {
    fn count(&mut self, conditions: usize, values: usize) -> Result<(), ApiError> {
        self.conditions += conditions;
        self.values += values;
        if self.conditions > MOST_CONDITIONS {
            return Err(wrong(format!("more than {MOST_CONDITIONS} filters")));
        }
        if self.values > MOST_VALUES {
            return Err(wrong(format!("more than {MOST_VALUES} listed values")));
        }
        Ok(())
    }
}

fn filter_list(filters: &Json, what: &str, parts: &mut Parts) -> Result<Vec<Filter>, ApiError> {
    let Json::Array(filters) = filters else {
        return Err(wrong(format!("{what} must be a list of filters")));
    };
    filters.iter().map(|one| filter(one, parts)).collect()
}

fn filter(filter: &Json, parts: &mut Parts) -> Result<Filter, ApiError> {
    let filter = object(filter, "a filter")?;
    parts.count(1, 0)?;
    if let Some(any) = filter.get("or") {
        return Ok(Filter::Or(filter_list(any, "or", parts)?));
    }
    if let Some(all) = filter.get("and") {
        return Ok(Filter::And(filter_list(all, "and", parts)?));
    }
    let Some(op) = filter.get("op").and_then(Json::as_str) else {
        return Err(wrong("a filter needs an \"op\" such as \"eq\""));
    };
    let null = match op {
        "is_null" => Some(true),
        "is_not_null" => Some(false),
        _ => None,
    };
    if let Some(null) = null {
        return Ok(Filter::Null(column_or_image(filter.get("name"))?, null));
    }
    let column = column(filter.get("name"), "name")?;
    if let among @ ("in" | "not_in") = op {
        let Some(Json::Array(values)) = filter.get("val") else {
            return Err(wrong(format!("{op:?} needs a list of values as \"val\"")));
        };
        parts.count(0, values.len())?;
        let values = values.iter().map(|val| value(column, val));
        let values = values.collect::<Result<_, _>>()?;
        return Ok(Filter::In(column, values, among == "in"));
    }
    let comparison = comparison(op)?;
    if comparison == Comparison::Like && column.kind() != Kind::Text {
        return Err(wrong(format!(
            "{} is no text: {op:?} cannot search it",
            column.name()
        )));
    }
    match (filter.get("field"), filter.get("val")) {
        (Some(other), _) => {
            let other = self::column(Some(other), "field")?;
            if other.kind() != column.kind() {
                let (one, other) = (column.name(), other.name());
                return Err(wrong(format!("{one} and {other} cannot be compared")));
            }
            Ok(Filter::Columns(column, comparison, other))
        }
        (None, Some(val)) => {
            let value = value(column, val)?;
            if let (Comparison::Like, Value::Text(pattern)) = (comparison, &value)
                && pattern.len() > MOST_PATTERN
            {
                return Err(wrong(format!("a pattern may have {MOST_PATTERN} bytes")));
            }
            if comparison == Comparison::Like {
                // Takes far longer than a comparison.
                parts.count(20, 0)?;
            }
            Ok(Filter::Value(column, comparison, value))
        }
        (None, None) => Err(wrong(
            "a filter needs a \"val\" or a \"field\" to compare with",
        )),
    }
}

fn comparison(op: &str) -> Result<Comparison, ApiError> {
    Ok(match op {
        "==" | "eq" | "equals" | "equal_to" => Comparison::Eq,
        "!=" | "ne" | "neq" | "not_equal_to" | "does_not_equal" => Comparison::Ne,
        ">" | "gt" => Comparison::Gt,
        "<" | "lt" => Comparison::Lt,
        ">=" | "ge" | "gte" | "geq" => Comparison::Ge,
        "<=" | "le" | "lte" | "leq" => Comparison::Le,
        "like" | "ilike" => Comparison::Like,
        _ => return Err(wrong(format!("there is no op {op:?}"))),
    })
}

fn column(name: Option<&Json>, key: &str) -> Result<Column, ApiError> {
    let Some(name) = name.and_then(Json::as_str) else {
        return Err(wrong(format!("{key:?} must name a column")));
    };
    Column::by_name(name).ok_or_else(|| wrong(format!("there is no column {name:?}")))
}

/// `image` was a column of the original's. Whether there is one is the same as whether there is
/// a checksum; nothing else can be asked of it.
fn column_or_image(name: Option<&Json>) -> Result<Column, ApiError> {
    if name.and_then(Json::as_str) == Some("image") {
        return Ok(Column::Checksum);
    }
    column(name, "name")
}

/// A value that the column can be compared with.
fn value(column: Column, val: &Json) -> Result<Value, ApiError> {
    let wanted = match (column.kind(), val) {
        (Kind::Text, Json::String(text)) => return Ok(Value::Text(text.clone())),
        (Kind::Number, Json::Number(number)) => {
            return Ok(match (number.as_i64(), number.as_f64()) {
                (Some(integer), _) => Value::Integer(integer),
                (None, real) => Value::Real(real.unwrap_or(f64::INFINITY)),
            });
        }
        (Kind::Time, Json::String(text)) => match text.parse::<jiff::Timestamp>() {
            Ok(time) => return Ok(Value::Integer(time.as_millisecond())),
            Err(_) => "a time such as \"2026-01-31T12:00:00Z\"",
        },
        (Kind::Text, _) => "a string",
        (Kind::Number, _) => "a number",
        (Kind::Time, _) => "a time such as \"2026-01-31T12:00:00Z\"",
    };
    Err(wrong(format!(
        "{} is compared with {val}, but needs {wanted}",
        column.name()
    )))
}

fn object<'a>(value: &'a Json, what: &str) -> Result<&'a Map<String, Json>, ApiError> {
    value
        .as_object()
        .ok_or_else(|| wrong(format!("{what} must be a JSON object")))
}

fn is_nothing(value: &Json) -> bool {
    value.is_null() || value.as_array().is_some_and(Vec::is_empty)
}

fn wrong(why: impl std::fmt::Display) -> ApiError {
    ApiError::bad_request(format!("Unable to construct query: {why}")).at("q")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(q: &str) -> Result<ListQuery, ApiError> {
        ListQuery::parse(vec![("q".into(), q.into())])
    }

    #[test]
    fn pages_follow_the_originals_rules() {
        let of = |page: &str, per_page: &str| {
            ListQuery::parse(vec![
                ("page".into(), page.into()),
                ("results_per_page".into(), per_page.into()),
            ])
            .map(|query| (query.page, query.per_page))
        };
        assert_eq!(of("3", "20").unwrap(), (3, 20));
        for (asked, got) in [("0", 10), ("-1", 10), ("x", 10), ("", 10), ("1000", 100)] {
            assert_eq!(of("0", asked).unwrap(), (0, got));
        }
        for bad in ["-1", "x", "", "1.5"] {
            assert!(of(bad, "10").is_err());
        }
    }

    #[test]
    fn a_whole_search_is_understood() {
        let query = parse(
            r#"{"filters": [{"name": "width", "op": "geq", "val": 512},
                            {"or": [{"name": "image", "op": "is_not_null"},
                                    {"name": "xa", "op": "<", "field": "xb"},
                                    {"name": "status", "op": "in", "val": ["done"]}]}],
                "order_by": [{"field": "created_at", "direction": "desc"}, {"field": "uuid"}],
                "limit": 5, "offset": 2, "single": true, "functions": [], "disjunction": true}"#,
        )
        .unwrap();
        assert!(query.single);
        assert_eq!(
            query.search,
            Search {
                filter: Filter::And(vec![
                    Filter::Value(Column::Width, Comparison::Ge, Value::Integer(512)),
                    Filter::Or(vec![
                        Filter::Null(Column::Checksum, false),
                        Filter::Columns(Column::Xa, Comparison::Lt, Column::Xb),
                        Filter::In(Column::Status, vec![Value::Text("done".into())], true),
                    ]),
                ]),
                order: vec![
                    (Column::CreatedAt, Direction::Descending),
                    (Column::Uuid, Direction::Ascending),
                ],
                offset: 2,
                limit: Some(5),
            }
        );
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for q in [
            "",
            "{",
            "[]",
            "5",
            r#"{"filters": {}}"#,
            r#"{"filters": [5]}"#,
            r#"{"filters": [{"op": "eq", "val": 1}]}"#,
            r#"{"filters": [{"name": "width", "val": 1}]}"#,
            r#"{"filters": [{"name": "width", "op": "eq"}]}"#,
            r#"{"filters": [{"name": "width", "op": "eq", "val": null}]}"#,
            r#"{"filters": [{"name": "width", "op": "eq", "val": [1]}]}"#,
            r#"{"filters": [{"name": "width", "op": "eq", "val": "1; --"}]}"#,
            r#"{"filters": [{"name": "width", "op": "like", "val": "1%"}]}"#,
            r#"{"filters": [{"name": "width", "op": "in", "val": 1}]}"#,
            r#"{"filters": [{"name": "width", "op": "has", "val": 1}]}"#,
            r#"{"filters": [{"name": "width", "op": "eq", "field": "uuid"}]}"#,
            r#"{"filters": [{"name": "image", "op": "eq", "val": "x"}]}"#,
            r#"{"filters": [{"name": "a__b", "op": "eq", "val": 1}]}"#,
            r#"{"filters": [{"name": "created_at", "op": "gt", "val": 5}]}"#,
            r#"{"order_by": [{"field": "nope"}]}"#,
            r#"{"order_by": [{"field": "uuid", "direction": "up"}]}"#,
            r#"{"order_by": [{"field": "uuid", "nulls": "last"}]}"#,
            r#"{"order_by": ["uuid"]}"#,
            r#"{"limit": "x"}"#,
            r#"{"offset": -2}"#,
            r#"{"single": 1}"#,
            r#"{"group_by": [{"field": "width"}]}"#,
        ] {
            assert!(parse(q).is_err(), "{q}");
        }
        let many = vec![r#"{"name": "width", "op": "eq", "val": 1}"#; 501].join(",");
        assert!(parse(&format!(r#"{{"filters": [{many}]}}"#)).is_err());
        let listed = |count: usize| {
            let values = vec!["1"; count].join(",");
            parse(&format!(
                r#"{{"filters": [{{"name": "width", "op": "in", "val": [{values}]}}]}}"#
            ))
        };
        assert!(listed(1000).is_ok() && listed(1001).is_err());
        let deep = "[{\"or\":".repeat(200) + "[]" + &"}]".repeat(200);
        assert!(parse(&format!(r#"{{"filters": {deep}}}"#)).is_err());
    }

    #[test]
    fn none_may_be_said_in_several_ways() {
        for q in [
            "{}",
            r#"{"limit": 0, "offset": 0}"#,
            r#"{"limit": null, "order_by": null, "group_by": []}"#,
            r#"{"limit": -1, "filters": []}"#,
        ] {
            assert_eq!(parse(q).unwrap().search, Search::default(), "{q}");
        }
    }
}
