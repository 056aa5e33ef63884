use std::sync::Arc;
use std::time::{Duration, Instant};

use admin::{Answer, Request};
use auth::{Act, Decision, Identity, PermissionSet, Trace};
use broker::Ground;
use extension_host::{Connecting, Extension, Failure, Publication, SubscriptionRequest, Verdict};
use mqtt::{QoS, ReasonCode, TopicFilter, TopicName};
use serde_json::{Map, Value, json};

use super::fields::{Fields, bad};
use super::limits::limits;
use super::stranger::Stranger;
use super::{Desk, aside, clients, micros};
use crate::chain::{Refusal, Standing};
use crate::extensions::Extensions;
use crate::memory::Memory;
use crate::screen::Screen;
use crate::verdict;

/// Acts of one request at most: each may be a call of a guest.
const ACTS_MAX: usize = 100;

/// Who decided where no extension did.
const GATEWAY: &str = "gateway";

/// Something that a client might do.
struct Planned {
    action: Action,
    topic: String,
    qos: QoS,
    retain: bool,
    payload_bytes: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Action {
    Publish,
    Subscribe,
    Receive,
}

/// Whom the acts are of.
struct Case {
    identity: Arc<Identity>,
    permissions: Arc<PermissionSet>,
    /// What the extension is told where the permissions leave a question to it.
    connecting: Option<Arc<Connecting>>,
    /// What it has said for a while; nothing of a client that is not there.
    memory: Memory,
    /// Who looks at its messages; none where it is not known how it comes.
    screen: Option<Arc<Screen>>,
}

/// What was decided about an act, and by whom.
struct Finding {
    allowed: bool,
    by: Arc<str>,
    reason: String,
    code: Option<ReasonCode>,
    /// The highest QoS that is granted.
    granted: Option<QoS>,
    rule: Option<(u16, String)>,
    asked: bool,
    /// The extension has said so before, for so many milliseconds more.
    cached_for_ms: Option<u32>,
}

/// Says what would become of acts: of a client that is known, or of one that would come like this.
pub(super) async fn explain(desk: &Desk, request: &Request) -> Result<Answer, Answer> {
    let mut fields = Fields::of(request.body.as_ref())?;
    let client = fields.text("client")?;
    let connect = fields.object("connect")?.map(Stranger::read).transpose()?;
    let planned = fields.objects("acts")?.into_iter().map(Planned::read);
    let planned = planned.collect::<Result<Vec<_>, _>>()?;
    fields.finish()?;
    if planned.len() > ACTS_MAX {
        return Err(bad(format!("{} acts are asked about, the most is {ACTS_MAX}", planned.len())));
    }
    match (client, connect) {
        (Some(client_id), None) => live(desk, &client_id, planned).await,
        (None, Some(stranger)) => dry(desk, stranger, planned).await,
        _ => {
            Err(bad("either client names one that is known, or connect describes one that is not"))
        }
    }
}

async fn live(desk: &Desk, client_id: &str, planned: Vec<Planned>) -> Result<Answer, Answer> {
    let subject = desk.hub.subject(client_id).ok_or_else(|| clients::unknown(client_id))?;
    let permissions = subject.rights.permissions.ok_or_else(|| {
        let why = "has not authenticated since the gateway started, so nothing is known of what it may do";
        Answer::error(409, format!("client {client_id:?} {why}"))
    })?;
    let presence = subject.presence.as_ref();
    let case = Case {
        identity: Arc::new(subject.rights.identity),
        permissions,
        connecting: presence.and_then(|presence| presence.connecting.clone()),
        memory: presence.map(|presence| presence.memory.clone()).unwrap_or_default(),
        screen: presence.and_then(|presence| desk.screens.get(&*presence.listener)).cloned(),
    };
    let decisions = decide(desk, case, planned).await?;
    let limits = limits(&subject.rights.limits);
    Ok(Answer::ok(json!({ "client": client_id, "limits": limits, "decisions": decisions })))
}

async fn dry(desk: &Desk, stranger: Stranger, planned: Vec<Planned>) -> Result<Answer, Answer> {
    let chain = desk.chains.get(&stranger.connecting.listener).ok_or_else(|| {
        let names: Vec<&str> = desk.chains.keys().map(String::as_str).collect();
        let names = names.join(", ");
        Answer::error(
            404,
            format!("there is no listener {:?}; there are {names}", stranger.connecting.listener),
        )
    })?;
    let Stranger { connecting, password, until } = stranger;
    let connecting = Arc::new(connecting);
    match chain.admit(&connecting, password.as_deref(), until).await {
        Err(refusal) => {
            let connect = refused(&desk.extensions, &connecting, &refusal);
            Ok(Answer::ok(json!({ "connect": connect, "decisions": [] })))
        }
        Ok(standing) => {
            let connect = accepted(&desk.extensions, &connecting, &standing);
            let Standing { identity, permissions, .. } = standing;
            let memory = Memory::default();
            let screen = desk.screens.get(&connecting.listener).cloned();
            let case = Case { identity, permissions, connecting: Some(connecting), memory, screen };
            let decisions = decide(desk, case, planned).await?;
            Ok(Answer::ok(json!({ "connect": connect, "decisions": decisions })))
        }
    }
}

async fn decide(desk: &Desk, case: Case, planned: Vec<Planned>) -> Result<Vec<Value>, Answer> {
    let extensions = Arc::clone(&desk.extensions);
    aside(move || {
        let each = |planned: &Planned| {
            let began = Instant::now();
            let finding = case.find(&extensions, planned);
            let interceptors = case.interceptors(planned, finding.allowed);
            let mut shown = finding.shown(&extensions, planned, micros(began.elapsed()));
            shown["interceptors"] = interceptors;
            shown
        };
        planned.iter().map(each).collect()
    })
    .await
}

impl Planned {
    fn read(mut fields: Fields) -> Result<Self, Answer> {
        let word = fields.required("action")?;
        let action = Action::of(&word).ok_or_else(|| {
            bad(format!("action {word:?} is none of publish, subscribe, receive"))
        })?;
        let topic = fields.required("topic")?;
        let fault = match action {
            Action::Subscribe => TopicFilter::new(&topic).err(),
            Action::Publish | Action::Receive => TopicName::new(&topic).err(),
        };
        if let Some(fault) = fault {
            return Err(bad(format!("topic {topic:?}: {fault}")));
        }
        let qos: Option<u8> = fields.number("qos")?;
        let qos = qos.map_or(Some(QoS::AtMostOnce), QoS::from_u8);
        let planned = Self {
            action,
            topic,
            qos: qos.ok_or_else(|| bad("qos is not 0, 1 or 2"))?,
            retain: fields.flag("retain")?,
            payload_bytes: fields.number("payload_bytes")?.unwrap_or(0),
        };
        fields.finish()?;
        Ok(planned)
    }
}

impl Action {
    const ALL: [Self; 3] = [Self::Publish, Self::Subscribe, Self::Receive];

    fn name(self) -> &'static str {
        match self {
            Self::Publish => "publish",
            Self::Subscribe => "subscribe",
            Self::Receive => "receive",
        }
    }

    fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.name() == name)
    }
}

impl Case {
    /// As the broker decides, in the same order: the gateway's own rules, the permission set, the extension.
    fn find(&self, extensions: &Extensions, planned: &Planned) -> Finding {
        let Planned { topic, qos, retain, .. } = planned;
        let (topic, qos, retain) = (topic.as_str(), *qos, *retain);
        let act = match (planned.action, TopicFilter::new(topic)) {
            (Action::Publish, _) => Act::Publish { topic, qos, retain },
            (Action::Receive, _) => Act::Receive { topic },
            (Action::Subscribe, Ok(filter)) => Act::Subscribe { filter, qos },
            (Action::Subscribe, Err(fault)) => return Finding::ours(fault.to_string()),
        };
        match broker::ground(&self.permissions, &self.identity, act) {
            Ground::Reserved(why) => Finding::ours(why.to_owned()),
            Ground::Set(trace) if trace.decision == Decision::Ask => self.ask(extensions, planned),
            Ground::Set(trace) => self.by_set(trace, qos),
        }
    }

    fn by_set(&self, trace: Trace, qos: QoS) -> Finding {
        let set = &self.permissions;
        let rule = trace.rule.and_then(|rule| Some((rule, set.rule_name(rule)?)));
        let (allowed, reason, granted) = match trace.decision {
            Decision::Allow { max_qos } => {
                let reason = match &rule {
                    Some((_, name)) => format!("{}: {name}", set.source()),
                    None => {
                        format!("{}: everything is allowed that no rule mentions", set.source())
                    }
                };
                (true, reason, Some(max_qos.min(qos)))
            }
            Decision::Deny(why) => (false, set.explain(why), None),
            Decision::Ask => (false, "the extension is to be asked".to_owned(), None),
        };
        let code = (!allowed).then_some(ReasonCode::NotAuthorized);
        let by = Arc::clone(&set.permissions().source);
        Finding { by, code, granted, rule, ..Finding::of(allowed, reason) }
    }

    fn ask(&self, extensions: &Extensions, planned: &Planned) -> Finding {
        let source = self.permissions.source();
        let name = source.split_once('@').map_or(source, |(name, _)| name);
        let Some(authority) = extensions.find(name) else {
            return Finding::ours(format!("{source} wants to be asked and is not there"));
        };
        if let Some(finding) = self.recall(authority, planned) {
            return finding;
        }
        let Some(connecting) = &self.connecting else {
            return Finding::ours(format!(
                "{source} wants to be asked, and can be only about a client that is connected"
            ));
        };
        let (by, verdict) = asked(authority, &self.identity, connecting, planned);
        let refusal = |code, reason| Finding {
            by: Arc::clone(&by),
            code: Some(code),
            asked: true,
            ..Finding::of(false, reason)
        };
        match verdict {
            Ok(Verdict::Allow { reason, .. }) => {
                let reason = reason.unwrap_or_else(|| "allowed without a reason".to_owned());
                let granted = Some(planned.qos);
                Finding {
                    allowed: true,
                    code: None,
                    granted,
                    ..refusal(ReasonCode::Success, reason)
                }
            }
            Ok(Verdict::Deny { code, reason, .. }) => {
                refusal(code, reason.unwrap_or_else(|| "denied without a reason".to_owned()))
            }
            Ok(Verdict::Abstain) => {
                refusal(ReasonCode::NotAuthorized, "the extension abstained".to_owned())
            }
            Err(failure) => {
                let told = verdict::failed(&by, Duration::ZERO, &failure.to_string());
                Finding { asked: true, ..self.told(told, planned.qos) }
            }
        }
    }

    /// What the broker makes of what it is told.
    fn told(&self, verdict: broker::Verdict, qos: QoS) -> Finding {
        let by = || Arc::clone(&self.permissions.permissions().source);
        match verdict {
            broker::Verdict::Allow => Finding {
                by: by(),
                granted: Some(qos),
                ..Finding::of(true, "allowed for a while when it was asked".to_owned())
            },
            broker::Verdict::Deny { code, why } => {
                let by = why.asked.map_or_else(by, |asked| asked.by);
                let said = why.why.strip_prefix(&*by).and_then(|rest| rest.strip_prefix(": "));
                let reason = said.unwrap_or(&why.why).to_owned();
                Finding { by, code: Some(code), ..Finding::of(false, reason) }
            }
        }
    }

    /// The versions that the message would be shown next, if it is allowed, in their order. Null where there is no message, or
    /// it is not known whose interceptors would see it. They are not asked: what they say depends on the message itself.
    fn interceptors(&self, planned: &Planned, allowed: bool) -> Value {
        let (Some(screen), Ok(topic)) = (&self.screen, TopicName::new(&planned.topic)) else {
            return Value::Null;
        };
        let who = match planned.action {
            Action::Publish if allowed => screen.who_sees_published(topic),
            Action::Receive if allowed => screen.who_sees_delivered(topic),
            _ => return Value::Null,
        };
        json!(who.iter().map(|version| &**version).collect::<Vec<_>>())
    }
}

impl Case {
    /// What the extension has said before and the gateway acts on until it ends, without asking again.
    fn recall(&self, authority: &Extension, planned: &Planned) -> Option<Finding> {
        let Planned { action, topic, qos, retain, .. } = planned;
        if *action != Action::Publish {
            return None;
        }
        let (revision, now) = (authority.revision(), Instant::now());
        let ruling = self.memory.recall_of(revision, topic, *qos, *retain, now)?;
        let finding = self.told(ruling.verdict, *qos);
        Some(Finding { cached_for_ms: Some(ruling.valid_ms), ..finding })
    }
}

/// What the extension says, and which version of it.
fn asked(
    authority: &Extension,
    who: &Arc<Identity>,
    connecting: &Arc<Connecting>,
    planned: &Planned,
) -> (Arc<str>, Result<Verdict, Failure>) {
    let Planned { topic, qos, retain, payload_bytes, .. } = planned;
    if let (Action::Subscribe, Ok(filter)) = (planned.action, TopicFilter::new(topic)) {
        let (filter, share_group) = (filter.matcher(), filter.share_group());
        let entry = SubscriptionRequest { filter, share_group, qos: *qos };
        let answer = authority.authorize_subscribe(who, connecting, &[entry]);
        let verdict = answer.result.map(|verdicts| verdicts.into_iter().next());
        return (answer.by, verdict.map(|verdict| verdict.unwrap_or(Verdict::Abstain)));
    }
    let what = Publication { topic, qos: *qos, retain: *retain, payload_len: *payload_bytes };
    let answer = authority.authorize_publish(who, connecting, &what);
    (answer.by, answer.result)
}

impl Finding {
    /// What no extension decided.
    fn ours(reason: String) -> Self {
        Self { code: Some(ReasonCode::NotAuthorized), ..Self::of(false, reason) }
    }

    fn of(allowed: bool, reason: String) -> Self {
        Self {
            allowed,
            by: GATEWAY.into(),
            reason,
            code: None,
            granted: None,
            rule: None,
            asked: false,
            cached_for_ms: None,
        }
    }

    fn shown(self, extensions: &Extensions, planned: &Planned, took_us: u64) -> Value {
        let mut shown = decided_by(extensions, &self.by);
        shown["action"] = json!(planned.action.name());
        shown["topic"] = json!(planned.topic);
        shown["qos"] = json!(planned.qos.as_u8());
        shown["retain"] = json!(planned.retain);
        shown["outcome"] = json!(if self.allowed { "allowed" } else { "denied" });
        shown["granted_qos"] = json!(self.granted.map(QoS::as_u8));
        shown["code"] = json!(self.code.map(ReasonCode::as_u8));
        shown["rule"] = self.rule.map_or(
            Value::Null,
            |(number, name)| json!({ "number": u32::from(number) + 1, "name": name }),
        );
        shown["reason"] = json!(self.reason);
        shown["asked"] = json!(self.asked);
        shown["cached"] = json!(self.cached_for_ms.is_some());
        shown["cached_for_ms"] = json!(self.cached_for_ms);
        shown["took_us"] = json!(took_us);
        shown
    }
}

fn accepted(extensions: &Extensions, connecting: &Connecting, standing: &Standing) -> Value {
    let mut shown = decided_by(extensions, &standing.authenticated_by);
    shown["outcome"] = json!("accepted");
    shown["client"] = json!(connecting.client_id);
    shown["principal"] = json!(&*standing.identity.principal);
    let attributes = standing.identity.attributes.iter();
    let attributes: Map<_, _> =
        attributes.map(|(name, value)| (name.clone(), json!(value))).collect();
    shown["attributes"] = Value::Object(attributes);
    shown["permissions_by"] = json!(standing.permissions.source());
    shown["rules"] = json!(standing.permissions.permissions().rules.len());
    shown["valid_for_ms"] = json!(standing.valid_for_ms);
    shown["limits"] = limits(&standing.limits);
    shown["took_us"] = json!(micros(standing.took));
    shown
}

fn refused(extensions: &Extensions, connecting: &Connecting, refusal: &Refusal) -> Value {
    let mut shown = decided_by(extensions, refusal.by.as_deref().unwrap_or(GATEWAY));
    shown["outcome"] = json!("refused");
    shown["client"] = json!(connecting.client_id);
    shown["code"] = json!(refusal.code.as_u8());
    shown["reason"] = json!(refusal.why);
    shown["took_us"] = json!(micros(refusal.took));
    shown
}

/// The extension, the version of it, and the hash of its component if that is still there.
fn decided_by(extensions: &Extensions, by: &str) -> Value {
    let name = by.split_once('@').map(|(name, _)| name);
    let hash = name.and_then(|name| extensions.find(name)).and_then(|e| e.hash_of(by));
    json!({ "extension": name.unwrap_or(GATEWAY), "version": name.map(|_| by), "sha256": hash.as_deref() })
}
