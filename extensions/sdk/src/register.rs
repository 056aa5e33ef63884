//! From the author's type to the exports of a component.

use std::marker::PhantomData;

#[cfg(any(
    feature = "authenticator",
    feature = "enhanced-authenticator",
    feature = "authorizer",
    feature = "client-limits",
    feature = "publish-interceptor",
    feature = "delivery-interceptor",
))]
use crate::{Client, Connection, HookError};
use crate::{Config, Extension, bindings};

/// Makes `$extension` the component: a type that implements [`Extension`] and the trait of each hook
/// that is named as a feature of this crate. Once in a crate, in its root.
#[macro_export]
macro_rules! register {
    ($extension:ty) => {
        const _: () = {
            ::std::thread_local! {
                static EXTENSION: ::std::cell::RefCell<::std::option::Option<$extension>> =
                    const { ::std::cell::RefCell::new(::std::option::Option::None) };
            }

            // An instance serves one call at a time, so that nobody holds what another wants.
            impl $crate::expansion::Instance for $extension {
                fn keep(self) -> bool {
                    EXTENSION.with_borrow_mut(|slot| {
                        let first = slot.is_none();
                        if first {
                            *slot = ::std::option::Option::Some(self);
                        }
                        first
                    })
                }

                fn with<R>(hook: impl FnOnce(Option<&Self>) -> R) -> R {
                    EXTENSION.with_borrow(|slot| hook(slot.as_ref()))
                }

                fn with_mut<R>(hook: impl FnOnce(Option<&mut Self>) -> R) -> R {
                    EXTENSION.with_borrow_mut(|slot| hook(slot.as_mut()))
                }
            }

            #[allow(dead_code, reason = "exported from a component only")]
            type Hooks = $crate::expansion::Hooks<$extension>;

            // A native library has no use for exports, and its linker none for their names.
            #[cfg(target_family = "wasm")]
            const _: () = {
                use $crate::bindings;
                bindings::shared::export!(Hooks with_types_in bindings::shared);
                bindings::authenticator::export!(Hooks with_types_in bindings::authenticator);
                bindings::enhanced_authenticator::export!(Hooks with_types_in bindings::enhanced_authenticator);
                bindings::authorizer::export!(Hooks with_types_in bindings::authorizer);
                bindings::client_limits::export!(Hooks with_types_in bindings::client_limits);
                bindings::publish_interceptor::export!(Hooks with_types_in bindings::publish_interceptor);
                bindings::delivery_interceptor::export!(Hooks with_types_in bindings::delivery_interceptor);
                bindings::observer::export!(Hooks with_types_in bindings::observer);
                bindings::reconfiguration::export!(Hooks with_types_in bindings::reconfiguration);
            };
        };
    };
}

/// Where an instance keeps its extension between calls.
pub trait Instance: Extension {
    /// Keeps `self` for the calls to come; false when there is one already.
    fn keep(self) -> bool;

    /// Hands `hook` what was kept.
    fn with<R>(hook: impl FnOnce(Option<&Self>) -> R) -> R;

    /// The same, to be changed.
    fn with_mut<R>(hook: impl FnOnce(Option<&mut Self>) -> R) -> R;
}

/// The exports of a component, answered by `T`.
#[derive(Debug)]
pub struct Hooks<T>(PhantomData<T>);

impl<T: Instance> bindings::shared::hook::Guest for Hooks<T> {
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
impl<T: Instance + crate::Authenticator> bindings::authenticator::hook::Guest for Hooks<T> {
    fn authenticate(
        who: Client,
        conn: &Connection,
        secret: crate::Secret,
    ) -> Result<crate::Outcome, HookError> {
        T::with(|extension| started(extension)?.authenticate(&who, conn, secret))
    }
}

#[cfg(feature = "enhanced-authenticator")]
impl<T: Instance + crate::EnhancedAuthenticator> bindings::enhanced_authenticator::hook::Guest
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
impl<T: Instance + crate::Authorizer>
    bindings::authorizer::exports::portcullis::gateway::authorizer::Guest for Hooks<T>
{
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

#[cfg(feature = "bulk-authorizer")]
impl<T: Instance + crate::BulkAuthorizer>
    bindings::authorizer::exports::portcullis::gateway::bulk_authorizer::Guest for Hooks<T>
{
    fn authorize_publications(
        conn: &Connection,
        what: crate::Publications,
    ) -> Result<crate::Rulings, HookError> {
        T::with(|extension| started(extension)?.authorize_publications(conn, &what))
    }
}

#[cfg(feature = "client-limits")]
impl<T: Instance + crate::ClientLimits> bindings::client_limits::hook::Guest for Hooks<T> {
    fn limit(who: Client, conn: &Connection) -> Result<crate::Limits, HookError> {
        T::with(|extension| started(extension)?.limit(&who, conn))
    }
}

#[cfg(feature = "publish-interceptor")]
impl<T: Instance + crate::PublishInterceptor> bindings::publish_interceptor::hook::Guest
    for Hooks<T>
{
    fn wants() -> crate::Interest {
        T::with(|extension| extension.map_or_else(nothing, T::interest))
    }

    fn on_publish(
        who: Client,
        conn: &Connection,
        what: crate::Message,
    ) -> Result<crate::PublishAction, HookError> {
        T::with(|extension| started(extension)?.on_publish(&who, conn, what))
    }
}

#[cfg(feature = "delivery-interceptor")]
impl<T: Instance + crate::DeliveryInterceptor> bindings::delivery_interceptor::hook::Guest
    for Hooks<T>
{
    fn wants() -> crate::Interest {
        T::with(|extension| extension.map_or_else(nothing, T::interest))
    }

    fn on_delivery(
        who: Client,
        conn: &Connection,
        what: crate::Message,
    ) -> Result<crate::DeliveryAction, HookError> {
        T::with(|extension| started(extension)?.on_delivery(&who, conn, what))
    }
}

#[cfg(feature = "observer")]
impl<T: Instance + crate::Observer> bindings::observer::hook::Guest for Hooks<T> {
    fn on_events(events: Vec<crate::Event>, missed: u64) -> Result<(), crate::HookError> {
        T::with(|extension| started(extension)?.on_events(&events, missed))
    }
}

#[cfg(feature = "reconfiguration")]
impl<T: Instance + crate::Reconfigure> bindings::reconfiguration::hook::Guest for Hooks<T> {
    fn reconfigure() -> Result<(), String> {
        T::with_mut(|extension| match extension {
            Some(extension) => extension.reconfigure(&Config::of_host()),
            None => Err(BEFORE_INIT.to_owned()),
        })
    }
}

/// None is refused by the gateway, as is a hook before init.
#[cfg(any(feature = "publish-interceptor", feature = "delivery-interceptor"))]
fn nothing() -> crate::Interest {
    crate::Interest { filters: Vec::new(), payload_bytes: 0 }
}

#[allow(dead_code, reason = "of use to most hooks")]
const BEFORE_INIT: &str = "a hook was called before init";

#[allow(dead_code, reason = "of use to most hooks")]
fn started<T>(extension: Option<&T>) -> Result<&T, crate::HookError> {
    extension.ok_or_else(|| crate::HookError::Internal(BEFORE_INIT.to_owned()))
}
