//! Lists that name extensions.

use crate::nearest::suggestion;
use crate::section::Section;

/// The extensions that a list names, in its order: each once, and each of those that there are. None where the list is missing or
/// is none.
pub(crate) fn read(
    section: &Section<'_>,
    key: &'static str,
    extensions: &[String],
) -> Option<Vec<String>> {
    let mut named: Vec<String> = Vec::new();
    for name in section.texts(key)? {
        if named.iter().any(|earlier| earlier == name.value) {
            let message = format!("names \"{}\" twice; each extension is asked once", name.value);
            section.fault(name.line, key, &message);
            continue;
        }
        if !extensions.iter().any(|extension| extension == name.value) {
            let hint = match extensions {
                [] => format!("add [extensions.{}]", name.value),
                _ => suggestion(name.value, "", extensions.iter().map(String::as_str)),
            };
            let message = format!("names \"{}\", which is no extension; {hint}", name.value);
            section.fault(name.line, key, &message);
        }
        named.push(name.value.to_owned());
    }
    Some(named)
}
