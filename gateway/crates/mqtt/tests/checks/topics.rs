use portcullis_mqtt::{TopicFilter, TopicFilterBuf, TopicName, TopicNameBuf};

/// Three lines: a topic name and two topic filters. Each is judged by rules written a second time,
/// for being read rather than for speed.
pub(crate) fn topic(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let mut lines = text.split('\n');
    let mut line = || lines.next().unwrap_or("");
    let (name, wide, narrow) = (line(), line(), line());
    let (topic, wide, narrow) = (check_name(name), check_filter(wide), check_filter(narrow));
    for filter in [wide, narrow].into_iter().flatten() {
        assert!(filter.covers(filter), "{filter} covers itself");
        if let Some(topic) = topic {
            assert_eq!(filter.matches(topic), matches(filter, topic), "{filter} on {topic}");
        }
    }
    if let (Some(topic), Some(wide), Some(narrow)) = (topic, wide, narrow) {
        let broken = wide.covers(narrow) && narrow.matches(topic) && !wide.matches(topic);
        assert!(!broken, "{wide} covers {narrow} but not {topic}");
    }
}

fn check_name(text: &str) -> Option<TopicName<'_>> {
    let good = !text.is_empty() && text.len() <= 65_535 && !text.contains(['\0', '+', '#']);
    let name = TopicName::new(text);
    assert_eq!(name.is_ok(), good, "{text:?}");
    assert_eq!(TopicNameBuf::new(text).ok().as_ref().map(TopicNameBuf::as_topic), name.ok());
    name.ok()
}

fn check_filter(text: &str) -> Option<TopicFilter<'_>> {
    let filter = TopicFilter::new(text);
    let (group, matcher) = match text.strip_prefix("$share/").map(|rest| rest.split_once('/')) {
        None => (None, text),
        Some(Some((group, matcher))) => (Some(group), matcher),
        Some(None) => (Some(""), ""),
    };
    let levels = matcher.split('/').collect::<Vec<_>>();
    let last = levels.len() - 1;
    let level = |(at, level): (usize, &&str)| match *level {
        "+" => true,
        "#" => at == last,
        text => !text.contains(['+', '#']),
    };
    let good = !matcher.is_empty()
        && text.len() <= 65_535
        && !text.contains('\0')
        && levels.iter().enumerate().all(level)
        && group.is_none_or(|group| !group.is_empty() && !group.contains(['+', '#']));
    assert_eq!(filter.is_ok(), good, "{text:?}");
    assert_eq!(TopicFilterBuf::new(text).ok().as_ref().map(TopicFilterBuf::as_filter), filter.ok());
    let filter = filter.ok()?;
    assert_eq!((filter.share_group(), filter.matcher()), (group, matcher));
    assert_eq!(filter.has_wildcards(), levels.iter().any(|level| ["+", "#"].contains(level)));
    Some(filter)
}

fn matches(filter: TopicFilter<'_>, topic: TopicName<'_>) -> bool {
    fn walk(filter: &[&str], topic: &[&str]) -> bool {
        match (filter, topic) {
            (["#"], _) => true,
            (["+", filter @ ..], [_, topic @ ..]) => walk(filter, topic),
            ([level, filter @ ..], [name, topic @ ..]) => level == name && walk(filter, topic),
            (filter, topic) => filter.is_empty() && topic.is_empty(),
        }
    }
    let filter_levels = filter.matcher().split('/').collect::<Vec<_>>();
    let topic_levels = topic.as_str().split('/').collect::<Vec<_>>();
    let hidden = topic.as_str().starts_with('$') && ["+", "#"].contains(&filter_levels[0]);
    !hidden && walk(&filter_levels, &topic_levels)
}
