use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::command::{output, run};
use crate::failure::Failure;

use super::mib;

/// Sections and crates that are told of by name.
const TOLD: usize = 6;

/// What a program on disk is made of.
pub(super) struct Size {
    pub(super) stripped: u64,
    sections: Vec<(String, u64)>,
    crates: Vec<(String, u64)>,
}

/// Takes the symbols out of a copy, and reads what the original is made of.
pub(super) fn size(program: &Path, folder: &Path) -> Result<Size, Failure> {
    fs::create_dir_all(folder).map_err(Failure::file("create", folder))?;
    let copy = folder.join("stripped");
    run(Command::new("strip").arg("--strip-all").arg("-o").args([&copy, &program.to_owned()]))?;
    let stripped = fs::metadata(&copy).map_err(Failure::file("read", &copy))?.len();
    let sections = output(Command::new("size").arg("-A").arg(&copy))?;
    let symbols = output(
        Command::new("nm").args(["--print-size", "--demangle=rust", "--defined-only"]).arg(program),
    )?;
    Ok(Size {
        stripped,
        sections: largest(sections.lines().filter_map(section)),
        crates: largest(symbols.lines().filter_map(symbol)),
    })
}

impl Size {
    pub(super) fn sections(&self) -> String {
        told(&self.sections)
    }

    pub(super) fn crates(&self) -> String {
        if self.crates.is_empty() {
            // As it is shipped.
            return "no symbols in it; `cargo build --release` makes one that has them".to_owned();
        }
        told(&self.crates)
    }
}

fn told(parts: &[(String, u64)]) -> String {
    let part = |(name, bytes): &(String, u64)| format!("{name} {}", mib(*bytes));
    parts.iter().take(TOLD).map(part).collect::<Vec<_>>().join(", ")
}

/// Adds up what has the same name.
fn largest(parts: impl Iterator<Item = (String, u64)>) -> Vec<(String, u64)> {
    let mut sums: BTreeMap<String, u64> = BTreeMap::new();
    for (name, bytes) in parts {
        *sums.entry(name).or_default() += bytes;
    }
    let mut sums: Vec<_> = sums.into_iter().collect();
    sums.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    sums
}

/// `.text   4096   8192`
fn section(line: &str) -> Option<(String, u64)> {
    let mut words = line.split_whitespace();
    let name = words.next().filter(|name| name.starts_with('.'))?;
    Some((name.to_owned(), words.next()?.parse().ok()?))
}

/// `address size t <crate::Type as other::Trait>::function`: the crate that comes first. Only code counts.
fn symbol(line: &str) -> Option<(String, u64)> {
    let mut words = line.splitn(4, ' ');
    let (_, size, kind, name) = (words.next()?, words.next()?, words.next()?, words.next()?);
    if !kind.eq_ignore_ascii_case("t") {
        return None;
    }
    let bytes = u64::from_str_radix(size, 16).ok()?;
    let start = name.trim_start_matches(|c: char| !c.is_alphabetic() && c != '_');
    let start = start.trim_start_matches("mut ").trim_start_matches("dyn ");
    let end = start
        .find("::")
        .filter(|end| start[..*end].bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'));
    Some((end.map_or("C and assembler", |end| &start[..end]).to_owned(), bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_tools_are_understood() {
        assert_eq!(section(".text    1234   4096"), Some((".text".to_owned(), 1234)));
        assert_eq!(section("section  size  addr"), None);
        let of = |name: &str, bytes| Some((name.to_owned(), bytes));
        assert_eq!(
            symbol("00 0010 t <&mut wasmtime::Store as core::fmt::Debug>::fmt"),
            of("wasmtime", 16)
        );
        assert_eq!(symbol("00 0010 T rustls::conn::new"), of("rustls", 16));
        assert_eq!(symbol("00 0010 T memcpy"), of("C and assembler", 16));
        assert_eq!(symbol("00 0010 r data"), None);
        let sums =
            largest([("a".to_owned(), 1), ("b".to_owned(), 5), ("a".to_owned(), 2)].into_iter());
        assert_eq!(told(&sums), "b 0.0 MiB, a 0.0 MiB");
    }
}
