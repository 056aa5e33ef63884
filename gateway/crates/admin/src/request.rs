//! What is asked for.

use serde_json::Value;

/// A request, read whole.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// What is to be done.
    pub method: Method,
    /// The parts of the path between its slashes, decoded: `/v1/clients/a%2Fb` is `["v1", "clients", "a/b"]`.
    pub path: Vec<String>,
    /// What stands behind the question mark, decoded, in its order. `+` is itself: topic filters have it.
    pub query: Vec<(String, String)>,
    /// The body; none if it is empty.
    pub body: Option<Value>,
    /// User of the process at the other end, if the kernel says.
    pub user: Option<u32>,
}

/// What is to be done with what a path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Tell about it.
    Get,
    /// Do something with it.
    Post,
}

impl Method {
    /// Its name in HTTP.
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
        }
    }

    pub(crate) fn of(name: &str) -> Option<Self> {
        [Self::Get, Self::Post].into_iter().find(|method| method.name() == name)
    }
}

impl Request {
    /// The first value of a name in the query.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// The parts of a path. A path that begins with no slash has none.
pub(crate) fn path_of(text: &str) -> Result<Vec<String>, String> {
    let inside = text.strip_prefix('/').unwrap_or_default();
    let inside = inside.strip_suffix('/').unwrap_or(inside);
    if inside.is_empty() {
        return Ok(Vec::new());
    }
    inside.split('/').map(decoded).collect()
}

/// The names and values of a query.
pub(crate) fn query_of(text: &str) -> Result<Vec<(String, String)>, String> {
    let pair = |part: &str| {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        Ok((decoded(name)?, decoded(value)?))
    };
    text.split('&').filter(|part| !part.is_empty()).map(pair).collect()
}

/// A part of an address as it was before `%` and two hexadecimal digits took the place of its bytes.
fn decoded(part: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|byte| char::from(byte).to_digit(16));
        let (Some(high), Some(low)) = (digit(), digit()) else {
            return Err(format!(
                "\"{part}\" has a % without two hexadecimal digits; write % as %25"
            ));
        };
        bytes.push(u8::try_from(high * 16 + low).unwrap_or_default());
    }
    String::from_utf8(bytes).map_err(|_| format!("\"{part}\" is not UTF-8 when it is decoded"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slash_in_a_name_does_not_divide_the_path() {
        let path = path_of("/v1/clients/line%2F1%20%c3%a4/disconnect/").unwrap();
        assert_eq!(path, ["v1", "clients", "line/1 ä", "disconnect"]);
        assert_eq!(path_of("/").unwrap(), Vec::<String>::new());
        assert_eq!(path_of("*").unwrap(), Vec::<String>::new());
        assert_eq!(path_of("/a//b").unwrap(), ["a", "", "b"]);
    }

    #[test]
    fn a_query_keeps_the_plus_of_a_filter() {
        let query = query_of("topic=a/+/b&after=x%3D%26&bare&&").unwrap();
        let query: Vec<_> = query.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(query, [("topic", "a/+/b"), ("after", "x=&"), ("bare", "")]);
    }

    #[test]
    fn what_cannot_be_decoded_is_refused() {
        for part in ["%", "%4", "%zz", "a%2", "%+1"] {
            assert!(decoded(part).unwrap_err().contains("hexadecimal"), "{part}");
        }
        assert!(decoded("%ff").unwrap_err().contains("UTF-8"));
    }
}
