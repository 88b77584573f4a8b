//! Writes what was measured into `docs/performance.md`, between the marks that name each comparison.

use crate::BoxError;

/// Returns the document with this table in place of the last one.
///
/// # Errors
///
/// Returns an error if the document has no marks for it: `<!-- NAME -->`, and `<!-- end of NAME -->`.
pub(crate) fn replace(document: &str, name: &str, table: &str) -> Result<String, BoxError> {
    let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- end of {name} -->"));
    let parts = document.split_once(&begin).and_then(|(before, rest)| Some((before, rest.split_once(&end)?.1)));
    let (before, after) = parts.ok_or_else(|| format!("the document has no {} and {end}", begin.trim()))?;
    Ok(format!("{before}{begin}\n{}\n\n{end}{after}", table.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_marks_changes() {
        let document = "# A\n<!-- x -->\n\nold\n\n<!-- end of x -->\n<!-- y -->\nstays\n<!-- end of y -->\n";
        let new = replace(document, "x", "| new |\n").unwrap();
        assert_eq!(new, "# A\n<!-- x -->\n\n| new |\n\n<!-- end of x -->\n<!-- y -->\nstays\n<!-- end of y -->\n");
        assert_eq!(replace(&new, "x", "old").unwrap(), document);
        assert!(replace(document, "z", "").unwrap_err().to_string().contains("<!-- z -->"));
    }
}
