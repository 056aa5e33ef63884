//! Runs Wasm components that decide about MQTT clients, each within its grants and its limits.
//!
//! A [`Host`] owns the engine and its clock. [`Host::load`] turns the bytes of a portable component into
//! an [`Extension`], whose methods call the guest's hooks of the contract in `wit/`. Calls are synchronous
//! and may take as long as their deadline: make them where blocking is allowed.
//!
//! A guest's fault costs its own call only. The answer is then a [`Failure`], which is never a verdict: the
//! caller fails closed, the instance is thrown away and the next call gets a fresh one.

mod answer;
mod artefact;
mod ask;
mod asked;
mod attestation;
mod bindings;
mod breaker;
mod cache;
mod clock;
mod code;
mod connecting;
mod convert;
mod error;
mod extension;
mod facilities;
mod facts;
mod gate;
mod generation;
mod guest;
mod host;
mod inspect;
mod instance;
mod interception;
mod interceptors;
mod interests;
#[cfg(feature = "compiler")]
mod job;
mod keyring;
mod kind;
mod ledger;
mod log;
mod methods;
mod metrics;
mod nature;
mod observation;
mod pace;
mod pool;
mod prepared;
mod questions;
mod recorder;
mod recording;
mod rollout;
mod said;
mod shadow;
mod shelf;
mod sitting;
mod space;
mod spec;
mod stats;
mod tape;
mod target;
mod ticker;
mod token;
mod versions;
mod wasi;
mod workshop;

pub use answer::{
    Answer, AuthenticationOutcome, Challenge, Continuation, Failure, Progress, Publication, Step,
    SubscriptionRequest, Validity, Verdict, Verdicts,
};
pub use artefact::SealKey;
pub use attestation::Attestation;
pub use connecting::{
    CertificateInfo, Connecting, MAX_CERTIFICATE_BYTES, MAX_CLIENT_TEXT_BYTES, PeerAddress,
    Transport,
};
pub use convert::{MAX_ATTRIBUTE_BYTES, MAX_ATTRIBUTES, MAX_PRINCIPAL_BYTES, MAX_REASON_BYTES};
pub use convert::{MAX_AUTHENTICATION_DATA_BYTES, MAX_STATE_BYTES};
pub use error::{HostError, LoadError};
pub use extension::Extension;
pub use facilities::{
    Facilities, HttpConnection, HttpFault, HttpRequest, HttpResponse, KeyValue, KeyValueChange,
    KeyValueChanged, KeyValueFault, KeyValueJudged, MAX_KEY_BYTES, MAX_MESSAGE_BYTES,
    MAX_PAGE_KEYS, MAX_VALUE_BYTES, Message, Order, OrderFault, OrderGrant, Orders, Receipt,
};
pub use facts::Facts;
pub use host::{EngineSettings, Host, MAX_COMPONENT_BYTES};
pub use inspect::{Hooks, Need};
pub use interception::{
    DeliveryAction, Intercepted, Interest, MAX_INTEREST_FILTERS, MAX_REPLACEMENTS, MessageChange,
    PublishAction,
};
#[cfg(feature = "compiler")]
pub use job::{MAX_JOB_BYTES, compile, compile_for};
pub use keyring::{KeySource, Keyring, Look, Miss, Secret, TokenKeys};
pub use kind::EngineKind;
pub use metrics::{Metric, Value as MetricValue};
pub use nature::Nature;
pub use observation::{MAX_EVENTS, Observed};
pub use prepared::Prepared;
pub use recorder::RecordingPart;
pub use recording::{RecordedCall, RecordingHeader, Replayed};
pub use rollout::{CandidateStatus, Difference, Mode};
pub use sitting::Sitting;
pub use space::AddressSpace;
pub use spec::{BreakerSettings, Capability, ExtensionLimits, ExtensionSpec};
pub use stats::Stats;
pub use target::Target;
pub use versions::{Version, Versions};
#[cfg(feature = "compiler")]
pub use workshop::Ran;
pub use workshop::Workshop;
