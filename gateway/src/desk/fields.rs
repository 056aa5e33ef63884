use admin::Answer;
use serde_json::{Map, Value};

/// The fields of a JSON object, each asked for once; what nobody asks for is a mistake.
pub(super) struct Fields {
    /// What messages put before a name.
    prefix: String,
    fields: Map<String, Value>,
}

impl Fields {
    /// Those of a request's body. No body has none.
    pub(super) fn of(body: Option<&Value>) -> Result<Self, Answer> {
        match body {
            None => Ok(Self { prefix: String::new(), fields: Map::new() }),
            Some(value) => Self::named(String::new(), value.clone()),
        }
    }

    fn named(prefix: String, value: Value) -> Result<Self, Answer> {
        match value {
            Value::Object(fields) => Ok(Self { prefix, fields }),
            other => {
                let what =
                    if prefix.is_empty() { "the body" } else { prefix.trim_end_matches('.') };
                Err(bad(format!("{what} is {}; it must be an object", kind(&other))))
            }
        }
    }

    pub(super) fn text(&mut self, name: &str) -> Result<Option<String>, Answer> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(self.wrong(name, &other, "a text")),
        }
    }

    pub(super) fn required(&mut self, name: &str) -> Result<String, Answer> {
        self.text(name)?.ok_or_else(|| bad(format!("{}{name} is missing", self.prefix)))
    }

    pub(super) fn number<T: TryFrom<u64>>(&mut self, name: &str) -> Result<Option<T>, Answer> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let number = value.as_u64().and_then(|number| T::try_from(number).ok());
        match number {
            Some(number) => Ok(Some(number)),
            None => {
                let bits = 8 * size_of::<T>();
                Err(self.wrong(name, &value, &format!("a whole number of at most {bits} bits")))
            }
        }
    }

    pub(super) fn flag(&mut self, name: &str) -> Result<bool, Answer> {
        match self.take(name) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(flag),
            Some(other) => Err(self.wrong(name, &other, "true or false")),
        }
    }

    /// A list of texts.
    pub(super) fn texts(&mut self, name: &str) -> Result<Vec<String>, Answer> {
        let values = self.list(name)?;
        let text = |value: Value| match value {
            Value::String(text) => Ok(text),
            other => Err(self.wrong(name, &other, "a list of texts")),
        };
        values.into_iter().map(text).collect()
    }

    /// A list of pairs of texts.
    pub(super) fn pairs(&mut self, name: &str) -> Result<Vec<(String, String)>, Answer> {
        let values = self.list(name)?;
        let pair = |value: Value| match value.as_array().map(Vec::as_slice) {
            Some([Value::String(one), Value::String(other)]) => Ok((one.clone(), other.clone())),
            _ => Err(self.wrong(name, &value, "a list of pairs of texts, [[\"name\", \"value\"]]")),
        };
        values.into_iter().map(pair).collect()
    }

    /// A list of objects.
    pub(super) fn objects(&mut self, name: &str) -> Result<Vec<Self>, Answer> {
        let values = self.list(name)?;
        let prefix = |at: usize| format!("{}{name}[{at}].", self.prefix);
        let objects = values.into_iter().enumerate();
        objects.map(|(at, value)| Self::named(prefix(at), value)).collect()
    }

    pub(super) fn object(&mut self, name: &str) -> Result<Option<Self>, Answer> {
        let prefix = format!("{}{name}.", self.prefix);
        self.take(name).map(|value| Self::named(prefix, value)).transpose()
    }

    /// Complains about what nobody asked for.
    pub(super) fn finish(self) -> Result<(), Answer> {
        match self.fields.keys().next() {
            None => Ok(()),
            Some(name) => Err(bad(format!("{}{name} has no meaning here", self.prefix))),
        }
    }

    fn list(&mut self, name: &str) -> Result<Vec<Value>, Answer> {
        match self.take(name) {
            None => Ok(Vec::new()),
            Some(Value::Array(values)) => Ok(values),
            Some(other) => Err(self.wrong(name, &other, "a list")),
        }
    }

    /// A field that is null is as one that is not there.
    fn take(&mut self, name: &str) -> Option<Value> {
        self.fields.remove(name).filter(|value| !value.is_null())
    }

    fn wrong(&self, name: &str, value: &Value, wanted: &str) -> Answer {
        bad(format!("{}{name} is {}; it must be {wanted}", self.prefix, kind(value)))
    }
}

pub(super) fn bad(sentence: impl Into<String>) -> Answer {
    Answer::error(400, sentence)
}

/// Without the value: it may be a password.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use admin::Body;
    use serde_json::json;

    use super::*;

    fn said(answer: Answer) -> String {
        match answer.body {
            Body::Json(document) => document["error"].as_str().unwrap_or_default().to_owned(),
            Body::Text { text, .. } => text,
        }
    }

    #[test]
    fn values_are_read_and_mistakes_named() {
        let body =
            json!({"a": "x", "n": 300, "f": true, "p": [["k", "v"]], "o": {"z": 1}, "nil": null});
        let fields = || Fields::of(Some(&body)).unwrap();
        assert_eq!(fields().text("a"), Ok(Some("x".to_owned())));
        assert_eq!(fields().text("nil"), Ok(None));
        assert_eq!(fields().number::<u16>("n"), Ok(Some(300)));
        assert_eq!(fields().pairs("p"), Ok(vec![("k".to_owned(), "v".to_owned())]));
        assert_eq!(fields().flag("f"), Ok(true));
        let wrong = said(fields().number::<u8>("n").unwrap_err());
        assert_eq!(wrong, "n is a number; it must be a whole number of at most 8 bits");
        assert_eq!(said(fields().text("f").unwrap_err()), "f is a boolean; it must be a text");
        assert_eq!(said(fields().required("b").unwrap_err()), "b is missing");
        let mut inner = fields().object("o").unwrap().unwrap();
        assert_eq!(said(inner.text("z").unwrap_err()), "o.z is a number; it must be a text");
        assert_eq!(said(fields().finish().unwrap_err()), "a has no meaning here");
        assert_eq!(
            said(Fields::of(Some(&json!([1]))).err().unwrap()),
            "the body is a list; it must be an object"
        );
        assert!(Fields::of(None).unwrap().finish().is_ok());
    }
}
