//! What the contract's world says, in Rust: the world is the one that exports the chosen hooks.
#![allow(
    missing_docs,
    unreachable_pub,
    unsafe_code,
    reason = "generated from the contract; the canonical ABI works on raw memory"
)]
#![allow(clippy::all, reason = "generated from the contract")]

/// Binds the world that `$text` is. The contract does not have a world for every choice of hooks.
macro_rules! bind {
    ($text:literal) => {
        wit_bindgen::generate!({
            path: "../../wit",
            inline: $text,
            world: "portcullis:extension/extension",
            generate_all,
            pub_export_macro: true,
            additional_derives: [PartialEq],
        });
    };
}

#[cfg(all(
    not(feature = "authenticator"),
    not(feature = "enhanced-authenticator"),
    not(feature = "authorizer"),
))]
bind!(
    "package portcullis:extension;
     world extension {
         include portcullis:gateway/base@0.1.0;
         include portcullis:gateway/services@0.1.0;
     }"
);

#[cfg(all(
    not(feature = "authenticator"),
    not(feature = "enhanced-authenticator"),
    feature = "authorizer",
))]
bind!(
    "package portcullis:extension;
     world extension {
         include portcullis:gateway/base@0.1.0;
         include portcullis:gateway/services@0.1.0;
         export portcullis:gateway/authorizer@0.1.0;
     }"
);

#[cfg(all(
    not(feature = "authenticator"),
    feature = "enhanced-authenticator",
    not(feature = "authorizer"),
))]
bind!(
    "package portcullis:extension;
     world extension {
         include portcullis:gateway/base@0.1.0;
         include portcullis:gateway/services@0.1.0;
         export portcullis:gateway/enhanced-authenticator@0.1.0;
     }"
);

#[cfg(all(
    not(feature = "authenticator"),
    feature = "enhanced-authenticator",
    feature = "authorizer",
))]
bind!(
    "package portcullis:extension;
     world extension {
         include portcullis:gateway/base@0.1.0;
         include portcullis:gateway/services@0.1.0;
         export portcullis:gateway/enhanced-authenticator@0.1.0;
         export portcullis:gateway/authorizer@0.1.0;
     }"
);

#[cfg(all(
    feature = "authenticator",
    not(feature = "enhanced-authenticator"),
    not(feature = "authorizer"),
))]
bind!(
    "package portcullis:extension;
     world extension {
         include portcullis:gateway/base@0.1.0;
         include portcullis:gateway/services@0.1.0;
         export portcullis:gateway/authenticator@0.1.0;
     }"
);

#[cfg(all(
    feature = "authenticator",
    not(feature = "enhanced-authenticator"),
    feature = "authorizer",
))]
bind!(
    "package portcullis:extension;
     world extension {
         include portcullis:gateway/base@0.1.0;
         include portcullis:gateway/services@0.1.0;
         export portcullis:gateway/authenticator@0.1.0;
         export portcullis:gateway/authorizer@0.1.0;
     }"
);

#[cfg(all(
    feature = "authenticator",
    feature = "enhanced-authenticator",
    not(feature = "authorizer"),
))]
bind!(
    "package portcullis:extension;
     world extension {
         include portcullis:gateway/base@0.1.0;
         include portcullis:gateway/services@0.1.0;
         export portcullis:gateway/authenticator@0.1.0;
         export portcullis:gateway/enhanced-authenticator@0.1.0;
     }"
);

#[cfg(all(feature = "authenticator", feature = "enhanced-authenticator", feature = "authorizer",))]
bind!(
    "package portcullis:extension;
     world extension {
         include portcullis:gateway/base@0.1.0;
         include portcullis:gateway/services@0.1.0;
         export portcullis:gateway/authenticator@0.1.0;
         export portcullis:gateway/enhanced-authenticator@0.1.0;
         export portcullis:gateway/authorizer@0.1.0;
     }"
);
