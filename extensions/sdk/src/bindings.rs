//! What the contract's world says, in Rust: the world is the one that exports the chosen hooks.
#![allow(
    missing_docs,
    unreachable_pub,
    unsafe_code,
    reason = "generated from the contract; the canonical ABI works on raw memory"
)]
#![allow(clippy::all, reason = "generated from the contract")]

#[cfg(not(any(feature = "authenticator", feature = "authorizer")))]
wit_bindgen::generate!({
    path: "../../wit",
    world: "base",
    generate_all,
    pub_export_macro: true,
    additional_derives: [PartialEq],
});

#[cfg(all(feature = "authenticator", not(feature = "authorizer")))]
wit_bindgen::generate!({
    path: "../../wit",
    world: "authentication",
    generate_all,
    pub_export_macro: true,
    additional_derives: [PartialEq],
});

#[cfg(all(feature = "authorizer", not(feature = "authenticator")))]
wit_bindgen::generate!({
    path: "../../wit",
    world: "authorization",
    generate_all,
    pub_export_macro: true,
    additional_derives: [PartialEq],
});

#[cfg(all(feature = "authenticator", feature = "authorizer"))]
wit_bindgen::generate!({
    path: "../../wit",
    world: "full",
    generate_all,
    pub_export_macro: true,
    additional_derives: [PartialEq],
});
