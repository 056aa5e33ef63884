#![no_main]

#[path = "../../tests/checks/mod.rs"]
#[allow(dead_code, reason = "the target calls the check and not its names")]
mod checks;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    checks::envelope(input);
});
