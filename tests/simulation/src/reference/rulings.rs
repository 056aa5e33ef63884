use broker::{Answer, Ruling, Timestamp, Verdict};
use mqtt::{Publish, QoS};

/// What guests allowed a client beyond the publish that they were asked about.
#[derive(Debug, Default)]
pub(crate) struct Rulings(Vec<Ruled>);

#[derive(Debug)]
struct Ruled {
    topic: String,
    qos: QoS,
    retain: bool,
    until: Timestamp,
}

impl Rulings {
    /// A publish was handled, with what a guest said about it.
    pub(crate) fn handled(
        &mut self,
        publish: &Publish<'_>,
        topic: &str,
        answer: Option<&Answer>,
        at: Timestamp,
    ) {
        match answer {
            Some(Answer::Publish(Ruling { verdict: Verdict::Allow, valid_ms })) => {
                let ruled = Ruled {
                    topic: topic.to_owned(),
                    qos: publish.qos,
                    retain: publish.retain,
                    until: at.after(std::time::Duration::from_millis((*valid_ms).into())),
                };
                self.0.push(ruled);
            }
            Some(_) => {}
            None => assert!(
                self.0.iter().any(|ruled| ruled.covers(publish, topic, at)),
                "no guest was asked about {topic} {publish:?}, of {:?}",
                self.0
            ),
        }
    }

    pub(crate) fn forget(&mut self) {
        self.0.clear();
    }
}

impl Ruled {
    fn covers(&self, publish: &Publish<'_>, topic: &str, at: Timestamp) -> bool {
        let same = self.topic == topic && self.qos == publish.qos && self.retain == publish.retain;
        same && at < self.until
    }
}
