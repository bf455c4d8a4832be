//! A pattern in one line: shown for the operator in the graph, and part of the shape of its state, so that a
//! checkpoint is not read by another pattern.

use std::fmt::{self, Write};

use super::builder::{Between, Body, Element, Pattern, Relation};

/// `probe -> hit{2,} within 60s`.
pub(super) fn shape<T>(pattern: &Pattern<T>) -> String {
    let mut shape = String::new();
    // Writing to a string does not fail.
    let _ = elements(&mut shape, &pattern.elements);
    if let Some((within, _)) = pattern.within {
        let _ = write!(shape, " within {within:?}");
    }
    if pattern.in_arrival_order {
        shape.push_str(" in arrival order");
    }
    shape
}

fn elements<T>(out: &mut String, all: &[Element<T>]) -> fmt::Result {
    for (index, element) in all.iter().enumerate() {
        if index > 0 {
            out.write_str(match element.relation {
                Relation::Next => " , ",
                Relation::FollowedBy => " -> ",
                Relation::FollowedByAny => " ->> ",
                Relation::NotNext => " ,! ",
                Relation::NotFollowedBy => " ->! ",
            })?;
        }
        match &element.body {
            Body::Stage { name, .. } => out.write_str(name)?,
            Body::Group(inner) => {
                out.write_char('(')?;
                elements(out, inner)?;
                out.write_char(')')?;
            }
        }
        match (element.min, element.max) {
            (1, Some(1)) => {}
            (min, None) => write!(out, "{{{min},}}")?,
            (min, Some(max)) if min == max => write!(out, "{{{min}}}")?,
            (min, Some(max)) => write!(out, "{{{min},{max}}}")?,
        }
        match element.between {
            Between::Relaxed => {}
            Between::Consecutive => out.write_char('=')?,
            Between::Combinations => out.write_char('*')?,
        }
        for (is_so, mark) in
            [(element.optional, "?"), (element.greedy, "!"), (element.until.is_some(), " until")]
        {
            if is_so {
                out.write_str(mark)?;
            }
        }
        if let Some(gap) = element.gap {
            write!(out, " within gap {gap:?}")?;
        }
    }
    Ok(())
}
