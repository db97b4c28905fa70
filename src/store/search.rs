//! What can be asked of a store: a filter over a fixed list of columns, an order, a window.

use super::Page;
use crate::fractal::Fractal;

/// What a column holds, and so what it may be compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Text,
    Number,
    /// A point in time, in milliseconds since 1970 when it is a [`Value`].
    Time,
}

macro_rules! columns {
    ($($variant:ident $name:literal $kind:ident),* $(,)?) => {
        /// A property of a fractal that can be searched and sorted by.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Column { $($variant),* }

        impl Column {
            pub const ALL: &[Column] = &[$(Column::$variant),*];

            /// The name on the wire and in the store.
            pub fn name(self) -> &'static str {
                match self { $(Column::$variant => $name),* }
            }

            pub fn kind(self) -> Kind {
                match self { $(Column::$variant => Kind::$kind),* }
            }
        }
    };
}

columns! {
    Uuid "uuid" Text,
    Width "width" Number,
    Height "height" Number,
    Iterations "iterations" Number,
    Xa "xa" Number,
    Xb "xb" Number,
    Ya "ya" Number,
    Yb "yb" Number,
    CRe "c_re" Number,
    CIm "c_im" Number,
    Palette "palette" Text,
    Status "status" Text,
    Attempts "attempts" Number,
    Error "error" Text,
    Checksum "checksum" Text,
    Size "size" Number,
    Duration "duration" Number,
    GeneratedBy "generated_by" Text,
    Url "url" Text,
    CreatedAt "created_at" Time,
    FinishedAt "finished_at" Time,
}

impl Column {
    pub fn by_name(name: &str) -> Option<Column> {
        Self::ALL
            .iter()
            .copied()
            .find(|column| column.name() == name)
    }
}

#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Integer(i64),
    Real(f64),
    Text(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    Eq,
    Ne,
    Gt,
    Lt,
    Ge,
    Le,
    /// SQL's pattern with `%` and `_`; upper and lower case of ASCII letters are the same.
    Like,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Filter {
    Value(Column, Comparison, Value),
    /// One column with another.
    Columns(Column, Comparison, Column),
    /// Whether the value is one of these (`true`) or none of them (`false`).
    In(Column, Vec<Value>, bool),
    /// Whether there is no value (`true`) or some (`false`).
    Null(Column, bool),
    /// All of them; true if there is none.
    And(Vec<Filter>),
    /// At least one of them; false if there is none.
    Or(Vec<Filter>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    Ascending,
    Descending,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Search {
    pub filter: Filter,
    /// Without any: by uuid. Fractals that are equal so far stand in order of acceptance.
    pub order: Vec<(Column, Direction)>,
    /// Of what the filter finds, leave out this many from the front, before any paging.
    pub offset: u64,
    /// ... and look at no more than this many.
    pub limit: Option<u64>,
}

impl Search {
    /// How many fractals lie in the window, of those that the filter finds.
    pub fn window(&self, found: u64) -> u64 {
        found
            .saturating_sub(self.offset)
            .min(self.limit.unwrap_or(u64::MAX))
    }
}

/// Which part of a search's window is wanted: `count` fractals after the first `skip`.
///
/// Rows come and go while a page is made, and its rows are read before they are counted: what is new
/// in between is counted and not shown, which does no harm. The other way round an old count would cut
/// off the last row for a new first one, and the page would say that there are no more.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    pub skip: u64,
    pub count: u64,
}

impl Part {
    /// Rows to be read for it: one more than it has tells whether others follow.
    pub fn reach(&self, search: &Search) -> u64 {
        let left = search.window(u64::MAX).saturating_sub(self.skip);
        self.count.saturating_add(1).min(left)
    }

    /// How many fractals the window has, where the rows that were read tell.
    pub fn told(&self, read: usize) -> Option<u64> {
        let read = read as u64;
        let last = read <= self.count && (read > 0 || self.skip == 0);
        last.then_some(self.skip + read)
    }

    /// The page, of rows that were read and a count that may be older or newer than they are.
    pub fn page(&self, mut fractals: Vec<Fractal>, counted: u64) -> Page {
        let seen = match fractals.len() as u64 {
            0 => 0,
            read => self.skip + read,
        };
        fractals.truncate(self.count as usize);
        Page {
            total: counted.max(seen),
            fractals,
        }
    }
}

impl Default for Search {
    fn default() -> Self {
        Search {
            filter: Filter::And(Vec::new()),
            order: Vec::new(),
            offset: 0,
            limit: None,
        }
    }
}
