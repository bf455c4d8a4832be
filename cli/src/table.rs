//! Tables of text: columns as wide as their widest cell, numbers to the right.

use std::fmt;

use std::fmt::Write as _;

/// A table in the making.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
    /// Columns that are aligned to the right.
    numbers: Vec<bool>,
}

impl Table {
    /// A table with these headings; those that begin with `>` are of columns of numbers.
    pub fn new(headings: &[&str]) -> Self {
        let numbers = headings.iter().map(|heading| heading.starts_with('>')).collect();
        let headings = headings.iter().map(|heading| heading.trim_start_matches('>').to_owned());
        Self { rows: vec![headings.collect()], numbers }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |column: usize| {
            self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
        };
        let widths: Vec<usize> = (0..self.numbers.len()).map(|column| width(column).unwrap_or(0)).collect();
        for row in &self.rows {
            let mut line = String::new();
            for ((cell, width), number) in row.iter().zip(&widths).zip(&self.numbers) {
                let width = *width;
                if *number {
                    let _ = write!(line, "{cell:>width$}  ");
                } else {
                    let _ = write!(line, "{cell:<width$}  ");
                }
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_to_the_right() {
        let mut table = Table::new(&["shard", ">records", "note"]);
        table.row(["a".to_owned(), "5".to_owned(), String::new()]);
        table.row(["long name".to_owned(), "1,234".to_owned(), "x".to_owned()]);
        assert_eq!(
            table.to_string(),
            "shard      records  note\na                5\nlong name    1,234  x\n"
        );
    }
}
