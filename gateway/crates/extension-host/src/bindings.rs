//! Rust types and calls generated from the contract in `wit/`.
//!
//! The world that is bound is the widest one; which of its exports a component really has is found out
//! per interface when it is loaded.

wasmtime::component::bindgen!({
    path: "../../../wit",
    world: "portcullis:gateway/everything",
    ownership: Borrowing { duplicate_if_necessary: true },
    imports: {
        "portcullis:gateway/types": trappable,
        "portcullis:host/random.bytes": trappable,
    },
    with: { "portcullis:gateway/types.connection": crate::guest::ConnectionHandle },
});
