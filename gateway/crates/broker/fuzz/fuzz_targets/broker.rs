#![no_main]

#[path = "../../tests/checks/mod.rs"]
#[allow(dead_code, reason = "the replay of the corpus asks for more")]
mod checks;
#[path = "../../tests/broker/model.rs"]
mod model;
#[path = "../../tests/broker/world.rs"]
#[allow(dead_code, reason = "scripts ask for more")]
mod world;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    checks::broker(input);
});
