use mqtt::{
    ConnAckProperties, Connect, Publish, QoS, ReasonCode, Subscribe, TopicFilter, TopicName,
    UserProperties,
};

use crate::{Broker, Closing, Limit, Settings};

/// What the operator has made available and how much of it (MQTT 5, 3.2.2.3): told in CONNACK, and
/// held to.
impl Broker {
    /// What CONNACK says about what is not available. What it does not say, is.
    pub(crate) fn announced(&self) -> ConnAckProperties<'static> {
        let settings = &self.settings;
        let unless = |available: bool| (!available).then_some(false);
        ConnAckProperties {
            receive_maximum: Some(settings.receive_maximum),
            maximum_packet_size: Some(settings.max_packet_size),
            topic_alias_maximum: Some(settings.topic_alias_maximum).filter(|max| *max > 0),
            maximum_qos: Some(settings.maximum_qos).filter(|qos| *qos < QoS::ExactlyOnce),
            retain_available: unless(settings.retain_available),
            wildcard_available: unless(settings.wildcards_available),
            subscription_ids_available: unless(settings.subscription_ids_available),
            shared_available: unless(settings.shared_available),
            ..ConnAckProperties::default()
        }
    }

    /// Whether a CONNECT asks for no more than there is.
    pub(crate) fn check_connect(&self, connect: &Connect<'_>) -> Result<(), Closing> {
        self.check_user_properties(connect.properties.user)?;
        let Some(will) = &connect.will else { return Ok(()) };
        self.check_user_properties(will.properties.user())?;
        self.check_qos(will.qos, "MQTT-3.2.2-12")?;
        self.check_retain(will.retain, "MQTT-3.2.2-13")?;
        self.check_topic(will.topic)?;
        if self.settings.validate_payload_format && !will.properties.admits(will.payload) {
            let why = "the will says that it is UTF-8 and is not (3.1.3.2.3)";
            return Err(Closing::new(ReasonCode::PayloadFormatInvalid, why));
        }
        Ok(())
    }

    /// Whether a PUBLISH asks for no more than CONNACK said there is.
    pub(crate) fn check_publish(&self, publish: &Publish<'_>) -> Result<(), Closing> {
        self.check_qos(publish.qos, "MQTT-3.2.2-11")?;
        self.check_retain(publish.retain, "MQTT-3.2.2-14")?;
        if publish.properties.is_empty() {
            return Ok(());
        }
        self.check_user_properties(publish.properties.user())
    }

    /// Whether a SUBSCRIBE asks for no more than CONNACK said there is. Its QoS does not count: the
    /// server grants less (MQTT-3.2.2-10).
    pub(crate) fn check_subscribe(&self, subscribe: &Subscribe<'_>) -> Result<(), Closing> {
        self.check_user_properties(subscribe.user)?;
        let Settings { wildcards_available, shared_available, subscription_ids_available, .. } =
            self.settings;
        let refuse = |code, what| {
            let why = format!("{what} was sent although CONNACK said that there are none");
            Err(Closing::new(code, why))
        };
        if subscribe.subscription_id.is_some() && !subscription_ids_available {
            let code = ReasonCode::SubscriptionIdentifiersNotSupported;
            return refuse(code, "a Subscription Identifier");
        }
        let any = |what: fn(TopicFilter<'_>) -> bool| {
            subscribe.filters.iter().any(|(filter, _)| what(filter))
        };
        if !shared_available && any(|filter| filter.share_group().is_some()) {
            let code = ReasonCode::SharedSubscriptionsNotSupported;
            return refuse(code, "a shared subscription");
        }
        if !wildcards_available && any(|filter| filter.has_wildcards()) {
            let code = ReasonCode::WildcardSubscriptionsNotSupported;
            return refuse(code, "a filter with wildcards");
        }
        Ok(())
    }

    /// Whether a topic is not too long and not too deep.
    pub(crate) fn check_topic(&self, topic: TopicName<'_>) -> Result<(), Closing> {
        let Settings { max_topic_bytes, max_topic_levels, .. } = self.settings;
        let invalid =
            |limit, why| Err(Closing::new(ReasonCode::TopicNameInvalid, why).because_of(limit));
        if topic.len() > max_topic_bytes {
            let why = format!(
                "a topic has {} bytes, the limit `max-topic-bytes` is {max_topic_bytes}",
                topic.len()
            );
            return invalid(Limit::TopicBytes, why);
        }
        // Counting separators is cheap only because topics are short; so look at the length first.
        if topic.len() > max_topic_levels && topic.level_count() > max_topic_levels {
            let why = format!(
                "a topic has more than {max_topic_levels} levels, the limit `max-topic-levels`"
            );
            return invalid(Limit::TopicLevels, why);
        }
        Ok(())
    }

    /// Whether a payload is what it says to be, as far as anybody wants to know.
    pub(crate) fn is_well_formed(&self, publish: &Publish<'_>) -> bool {
        !self.settings.validate_payload_format || publish.properties.admits(publish.payload)
    }

    /// Whether a packet has no more user properties than one may have.
    pub(crate) fn check_user_properties(&self, user: UserProperties<'_>) -> Result<(), Closing> {
        let max = self.settings.max_user_properties;
        if user.count() <= max {
            return Ok(());
        }
        let why = format!(
            "a packet has more than {max} user properties, the limit `max-user-properties`"
        );
        Err(Closing::new(ReasonCode::QuotaExceeded, why).because_of(Limit::UserProperties))
    }

    fn check_qos(&self, qos: QoS, statement: &str) -> Result<(), Closing> {
        let max = self.settings.maximum_qos;
        if qos <= max {
            return Ok(());
        }
        let why = format!("a message has {qos} although the Maximum QoS is {max} ({statement})");
        Err(Closing::new(ReasonCode::QosNotSupported, why))
    }

    fn check_retain(&self, retain: bool, statement: &str) -> Result<(), Closing> {
        if !retain || self.settings.retain_available {
            return Ok(());
        }
        let why = format!("a message is to be retained, which is not available ({statement})");
        Err(Closing::new(ReasonCode::RetainNotSupported, why))
    }
}
