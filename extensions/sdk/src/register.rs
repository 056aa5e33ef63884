//! From the author's type to the exports of a component.

use std::marker::PhantomData;

use crate::bindings::exports::portcullis::gateway as exports;
#[cfg(any(
    feature = "authenticator",
    feature = "enhanced-authenticator",
    feature = "authorizer"
))]
use crate::{Client, Connection, HookError};
use crate::{Config, Extension};

/// Makes `$extension` the component: a type that implements [`Extension`] and the trait of each hook
/// that is named as a feature of this crate. Once in a crate, in its root.
#[macro_export]
macro_rules! register {
    ($extension:ty) => {
        const _: () = {
            ::std::thread_local! {
                static EXTENSION: ::std::cell::OnceCell<$extension> =
                    const { ::std::cell::OnceCell::new() };
            }

            impl $crate::expansion::Instance for $extension {
                fn keep(self) -> bool {
                    EXTENSION.with(|slot| slot.set(self).is_ok())
                }

                fn with<R>(hook: impl FnOnce(Option<&Self>) -> R) -> R {
                    EXTENSION.with(|slot| hook(slot.get()))
                }
            }

            #[allow(dead_code, reason = "exported from a component only")]
            type Hooks = $crate::expansion::Hooks<$extension>;

            // A native library has no use for exports, and its linker none for their names.
            #[cfg(target_family = "wasm")]
    $crate::bindings::export!(Hooks with_types_in $crate::bindings);
        };
    };
}

/// Where an instance keeps its extension between calls.
pub trait Instance: Extension {
    /// Keeps `self` for the calls to come; false when there is one already.
    fn keep(self) -> bool;

    /// Hands `hook` what was kept.
    fn with<R>(hook: impl FnOnce(Option<&Self>) -> R) -> R;
}

/// The exports of a component, answered by `T`.
#[derive(Debug)]
pub struct Hooks<T>(PhantomData<T>);

impl<T: Instance> exports::lifecycle::Guest for Hooks<T> {
    fn init() -> Result<(), String> {
        #[cfg(feature = "log-panics")]
        crate::log::log_panics();
        if T::start(&Config::of_host())?.keep() {
            Ok(())
        } else {
            Err("init was called twice in one instance".to_owned())
        }
    }
}

#[cfg(feature = "authenticator")]
impl<T: Instance + crate::Authenticator> exports::authenticator::Guest for Hooks<T> {
    fn authenticate(
        who: Client,
        conn: &Connection,
        secret: crate::Secret,
    ) -> Result<crate::Outcome, HookError> {
        T::with(|extension| started(extension)?.authenticate(&who, conn, secret))
    }
}

#[cfg(feature = "enhanced-authenticator")]
impl<T: Instance + crate::EnhancedAuthenticator> exports::enhanced_authenticator::Guest
    for Hooks<T>
{
    fn methods() -> Vec<String> {
        // None is refused by the gateway, as is a hook before init.
        T::with(|extension| extension.map(T::methods).unwrap_or_default())
    }

    fn step(
        who: Client,
        conn: &Connection,
        said: crate::Exchange,
    ) -> Result<crate::Progress, HookError> {
        T::with(|extension| started(extension)?.step(&who, conn, said))
    }
}

#[cfg(feature = "authorizer")]
impl<T: Instance + crate::Authorizer> exports::authorizer::Guest for Hooks<T> {
    fn permissions(
        who: Client,
        conn: &Connection,
    ) -> Result<Option<crate::PermissionSet>, HookError> {
        T::with(|extension| started(extension)?.permissions(&who, conn))
    }

    fn authorize_publish(
        who: Client,
        conn: &Connection,
        what: crate::Publication,
    ) -> Result<crate::Verdict, HookError> {
        T::with(|extension| started(extension)?.authorize_publish(&who, conn, &what))
    }

    fn authorize_subscribe(
        who: Client,
        conn: &Connection,
        what: Vec<crate::Subscription>,
    ) -> Result<Vec<crate::Verdict>, HookError> {
        T::with(|extension| {
            let extension = started(extension)?;
            what.iter().map(|entry| extension.authorize_subscribe(&who, conn, entry)).collect()
        })
    }
}

#[cfg(any(feature = "authenticator", feature = "enhanced-authenticator", feature = "authorizer"))]
fn started<T>(extension: Option<&T>) -> Result<&T, HookError> {
    extension.ok_or_else(|| HookError::Internal("a hook was called before init".to_owned()))
}
