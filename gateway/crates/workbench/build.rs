//! Makes a module of the text of Go's adapter, so that the tools need no reader of such texts.

use std::error::Error;
use std::path::Path;
use std::{env, fs};

const ADAPTER: &str = "../../../examples/extensions/go/adapter.wat";

#[allow(clippy::print_stdout, reason = "this is how a build script speaks to cargo")]
fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={ADAPTER}");
    let made = env::var_os("OUT_DIR").ok_or("cargo names no OUT_DIR")?;
    fs::write(Path::new(&made).join("go-adapter.wasm"), wat::parse_file(ADAPTER)?)?;
    Ok(())
}
