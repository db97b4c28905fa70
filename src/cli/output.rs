//! What commands print: tables, JSON, CSV, or bare values for scripts.

use std::io::{IsTerminal, Write};

use clap::ValueEnum;
use serde::Serialize;

use super::{Done, Failure};
use crate::wire::FractalDoc;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Table,
    /// All fields, as the server gives them
    Json,
    /// All fields, a line a fractal, names in the first line
    Csv,
    /// The most telling fields, nothing around them
    Value,
}

/// Prints to standard output. A reader that has gone away is no error.
pub fn print(text: &str) -> Done {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}

/// Whether to use colours: only for a person, and only if that person does not mind.
pub fn colours(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

pub fn json(value: &impl Serialize) -> Result<String, Failure> {
    let mut text = serde_json::to_string_pretty(value)?;
    text.push('\n');
    Ok(text)
}

/// A table of which the rows come one by one, so that a long list is never held in memory.
pub struct Table {
    widths: Vec<usize>,
}

impl Table {
    /// Columns with their titles and the widths that their values will have at most.
    pub fn begin(columns: &[(&str, usize)]) -> Result<Table, Failure> {
        let widths = columns
            .iter()
            .map(|(title, width)| (*width).max(title.len()));
        let table = Table {
            widths: widths.collect(),
        };
        table.rule()?;
        let titles: Vec<_> = columns
            .iter()
            .map(|(title, _)| (*title).to_owned())
            .collect();
        table.row(&titles)?;
        table.rule()?;
        Ok(table)
    }

    pub fn row(&self, values: &[String]) -> Done {
        let mut line = String::from("|");
        for (value, width) in values.iter().zip(&self.widths) {
            line.push_str(&format!(" {value:<width$} |"));
        }
        line.push('\n');
        print(&line)
    }

    pub fn end(&self) -> Done {
        self.rule()
    }

    fn rule(&self) -> Done {
        let mut line = String::from("+");
        for width in &self.widths {
            line.push_str(&"-".repeat(width + 2));
            line.push('+');
        }
        line.push('\n');
        print(&line)
    }
}

/// Fractals as they come, in whichever format.
pub struct FractalWriter {
    format: Format,
    table: Option<Table>,
    written: u64,
}

impl FractalWriter {
    pub fn begin(format: Format) -> Result<Self, Failure> {
        let table = match format {
            Format::Table => Some(Table::begin(&[
                ("UUID", 36),
                ("Dimensions", 20),
                ("Filesize", 14),
                ("Status", 7),
            ])?),
            _ => None,
        };
        Ok(FractalWriter {
            format,
            table,
            written: 0,
        })
    }

    pub fn write(&mut self, fractal: &FractalDoc) -> Done {
        let size = fractal.size.unwrap_or(0);
        match self.format {
            Format::Table => {
                if let Some(table) = &self.table {
                    table.row(&[
                        fractal.uuid.to_string(),
                        format!("{} x {} pixels", fractal.width, fractal.height),
                        format!("{size} bytes"),
                        fractal.status.to_string(),
                    ])?;
                }
            }
            Format::Json => {
                let comma = if self.written == 0 { "[" } else { "," };
                print(&format!(
                    "{comma}\n{}",
                    serde_json::to_string_pretty(fractal)?
                ))?;
            }
            Format::Csv => {
                let mut line = csv::WriterBuilder::new()
                    .has_headers(self.written == 0)
                    .from_writer(Vec::new());
                line.serialize(fractal)?;
                let line = line.into_inner().map_err(|error| error.into_error())?;
                print(&String::from_utf8_lossy(&line))?;
            }
            Format::Value => print(&format!(
                "{} {} {} {} {size}\n",
                fractal.uuid, fractal.status, fractal.width, fractal.height
            ))?,
        }
        self.written += 1;
        Ok(())
    }

    pub fn end(self) -> Done {
        match (self.format, self.table) {
            (_, Some(table)) => table.end(),
            (Format::Json, _) if self.written == 0 => print("[]\n"),
            (Format::Json, _) => print("\n]\n"),
            _ => Ok(()),
        }
    }
}
