//! What the contract says, in Rust: one module with all that is imported and with `lifecycle`, and one for each hook, which speaks of
//! the types of the first. Each module binds a world of its own; a component is the union of those whose hooks are chosen, so
//! no choice of hooks needs a world that somebody wrote for it.
#![allow(
    missing_docs,
    unreachable_pub,
    unsafe_code,
    reason = "generated from the contract; the canonical ABI works on raw memory"
)]
#![allow(clippy::all, reason = "generated from the contract")]

pub use shared::portcullis;

pub mod shared {
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "package portcullis:extension;
            world shared {
                include portcullis:gateway/base@0.1.0;
                include portcullis:gateway/services@0.1.0;
                import portcullis:gateway/interception@0.1.0;
            }",
        world: "portcullis:extension/shared",
        generate_all,
        // Those that only hooks speak of.
        generate_unused_types: true,
        pub_export_macro: true,
        additional_derives: [PartialEq],
    });

    pub use exports::portcullis::gateway::lifecycle as hook;
}

/// Binds the world that `$text` is, in the module of one hook. A module whose hook is not chosen exports nothing.
macro_rules! hook {
    ($feature:tt, $module:ident, $world:tt, $text:tt, $with:tt) => {
        #[cfg(feature = $feature)]
        pub mod $module {
            wit_bindgen::generate!({
                path: "../../wit",
                inline: $text,
                world: $world,
                with: $with,
                pub_export_macro: true,
                additional_derives: [PartialEq],
            });

            pub use exports::portcullis::gateway::$module as hook;
        }

        #[cfg(not(feature = $feature))]
        pub mod $module {
            pub use crate::__export_nothing as export;
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __export_nothing {
    ($($of:tt)*) => {};
}

hook!(
    "authenticator",
    authenticator,
    "portcullis:extension/authenticator",
    "package portcullis:extension;
     world authenticator {
         import portcullis:gateway/types@0.1.0;
         export portcullis:gateway/authenticator@0.1.0;
     }",
    { "portcullis:gateway/types@0.1.0": crate::bindings::shared::portcullis::gateway::types }
);

hook!(
    "enhanced-authenticator",
    enhanced_authenticator,
    "portcullis:extension/enhanced-authenticator",
    "package portcullis:extension;
     world enhanced-authenticator {
         import portcullis:gateway/types@0.1.0;
         export portcullis:gateway/enhanced-authenticator@0.1.0;
     }",
    { "portcullis:gateway/types@0.1.0": crate::bindings::shared::portcullis::gateway::types }
);

hook!(
    "client-limits",
    client_limits,
    "portcullis:extension/client-limits",
    "package portcullis:extension;
     world client-limits {
         import portcullis:gateway/types@0.1.0;
         export portcullis:gateway/client-limits@0.1.0;
     }",
    { "portcullis:gateway/types@0.1.0": crate::bindings::shared::portcullis::gateway::types }
);

hook!(
    "publish-interceptor",
    publish_interceptor,
    "portcullis:extension/publish-interceptor",
    "package portcullis:extension;
     world publish-interceptor {
         import portcullis:gateway/types@0.1.0;
         import portcullis:gateway/interception@0.1.0;
         export portcullis:gateway/publish-interceptor@0.1.0;
     }",
    {
        "portcullis:gateway/types@0.1.0": crate::bindings::shared::portcullis::gateway::types,
        "portcullis:gateway/interception@0.1.0": crate::bindings::shared::portcullis::gateway::interception,
    }
);

hook!(
    "delivery-interceptor",
    delivery_interceptor,
    "portcullis:extension/delivery-interceptor",
    "package portcullis:extension;
     world delivery-interceptor {
         import portcullis:gateway/types@0.1.0;
         import portcullis:gateway/interception@0.1.0;
         export portcullis:gateway/delivery-interceptor@0.1.0;
     }",
    {
        "portcullis:gateway/types@0.1.0": crate::bindings::shared::portcullis::gateway::types,
        "portcullis:gateway/interception@0.1.0": crate::bindings::shared::portcullis::gateway::interception,
    }
);

hook!(
    "observer",
    observer,
    "portcullis:extension/observer",
    "package portcullis:extension;
     world observer {
         import portcullis:gateway/types@0.1.0;
         export portcullis:gateway/observer@0.1.0;
     }",
    { "portcullis:gateway/types@0.1.0": crate::bindings::shared::portcullis::gateway::types }
);

hook!(
    "reconfiguration",
    reconfiguration,
    "portcullis:extension/reconfiguration",
    "package portcullis:extension;
     world reconfiguration {
         export portcullis:gateway/reconfiguration@0.1.0;
     }",
    {}
);

// What is said of several publishes is of the authorizer's own types, so that both are exported by one world.
#[cfg(not(feature = "bulk-authorizer"))]
hook!(
    "authorizer",
    authorizer,
    "portcullis:extension/authorizer",
    "package portcullis:extension;
     world authorizer {
         import portcullis:gateway/types@0.1.0;
         export portcullis:gateway/authorizer@0.1.0;
     }",
    { "portcullis:gateway/types@0.1.0": crate::bindings::shared::portcullis::gateway::types }
);

#[cfg(feature = "bulk-authorizer")]
hook!(
    "bulk-authorizer",
    authorizer,
    "portcullis:extension/bulk-authorizer",
    "package portcullis:extension;
     world bulk-authorizer {
         import portcullis:gateway/types@0.1.0;
         export portcullis:gateway/authorizer@0.1.0;
         export portcullis:gateway/bulk-authorizer@0.1.0;
     }",
    { "portcullis:gateway/types@0.1.0": crate::bindings::shared::portcullis::gateway::types }
);
