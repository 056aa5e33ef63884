#![no_main]

#[path = "../../tests/checks/mod.rs"]
#[allow(dead_code, reason = "the replay of the corpus asks for more")]
mod checks;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    checks::broker(input);
});
