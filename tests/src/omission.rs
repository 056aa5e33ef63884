use std::env;
use std::fs::OpenOptions;
use std::io::Write;

/// The file that `cargo xtask test` shows at its end.
const FILE: &str = "PORTCULLIS_OMISSIONS";

/// Says that a test was not run here, and why: in its output, which is not shown of a test that passes, and in the file
/// that the environment names.
pub fn omit(what: &str, why: &str) {
    let why = why.trim().lines().next().unwrap_or("nobody says why");
    let line = format!("not tested here: {what}: {why}\n");
    eprint!("{line}");
    if let Some(path) = env::var_os(FILE) {
        let file = OpenOptions::new().create(true).append(true).open(&path);
        let written = file.and_then(|mut file| file.write_all(line.as_bytes()));
        written.unwrap_or_else(|error| panic!("{}: {error}", path.to_string_lossy()));
    }
}
