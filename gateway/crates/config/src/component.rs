//! Where a component is: in a file, or in an OCI layout.

use std::path::PathBuf;

use crate::section::{Located, Section};

/// What the path of a layout may begin with, and must if a tag or a digest follows it.
const OCI: &str = "oci:";

/// The file that makes a directory a layout.
const MARKER: &str = "oci-layout";

/// Takes a text apart that says where a component is: the path of a file or a layout, and the tag or digest that
/// follows `oci:PATH`.
#[must_use]
pub fn place(text: &str) -> (&str, Option<&str>) {
    text.strip_prefix(OCI).map_or((text, None), split)
}

/// The path, and which component it is in a layout.
pub(crate) fn read(section: &Section<'_>) -> Option<(PathBuf, Option<String>)> {
    let stated = section.required("component", "name the .wasm file of the extension")?;
    let (path, reference) = place(stated.value);
    let resolved = section.reader.resolve(path);
    let is_layout = || section.reader.check_file(&resolved.join(MARKER)).is_ok();
    if !stated.value.starts_with(OCI) {
        if section.reader.check_file(&resolved).is_ok() || !is_layout() {
            section.readable("component", &stated);
        }
    } else if !is_layout() {
        fault(
            section,
            &stated,
            "is not an OCI layout: there is no file oci-layout in that directory",
        );
    }
    if reference == Some("") {
        fault(
            section,
            &stated,
            "ends where a tag should be; write oci:PATH:TAG, or oci:PATH alone",
        );
    }
    Some((resolved, reference.map(str::to_owned)))
}

fn fault(section: &Section<'_>, stated: &Located<&str>, why: &str) {
    section.fault(stated.line, "component", &format!("\"{}\" {why}", stated.value));
}

/// `PATH`, `PATH:TAG` or `PATH@sha256:DIGITS`. A colon in a folder's name is part of the path.
fn split(text: &str) -> (&str, Option<&str>) {
    let name = text.rfind('/').map_or(0, |slash| slash + 1);
    let Some((folder, rest)) = text.split_at_checked(name) else { return (text, None) };
    match rest.find(['@', ':']) {
        Some(at) => {
            let (last, reference) = rest.split_at(at);
            let path = text.get(..folder.len() + last.len()).unwrap_or(text);
            (path, reference.get(1..))
        }
        None => (text, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_called_a_layout_has_a_tag() {
        assert_eq!(place("oci:a:1"), ("a", Some("1")));
        assert_eq!(place("a:1"), ("a:1", None));
    }

    #[test]
    fn paths_end_where_tags_begin() {
        for (text, path, reference) in [
            ("/a/b", "/a/b", None),
            ("/a/b:1.0", "/a/b", Some("1.0")),
            ("b:1.0", "b", Some("1.0")),
            ("/a:c/b", "/a:c/b", None),
            ("/a:c/b:", "/a:c/b", Some("")),
            ("/a/b@sha256:00ff", "/a/b", Some("sha256:00ff")),
        ] {
            assert_eq!(split(text), (path, reference), "{text}");
        }
    }
}
