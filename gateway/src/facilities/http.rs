use std::collections::BTreeMap;
use std::time::Duration;

use connections::{
    HttpConnection, HttpFailure, HttpSettings, is_header_name, is_header_value, is_reserved_header,
};
use extension_host::{HttpFault, HttpRequest, HttpResponse};

use crate::failure::Failure;

/// A server that one extension may use.
#[derive(Debug)]
pub(super) struct Server(HttpConnection);

impl Server {
    /// `secrets` has the values of headers that are in files, by connection and name.
    pub(super) fn new(
        extension: &str,
        stated: &config::HttpConnection,
        secrets: &BTreeMap<(String, String), String>,
    ) -> Result<Self, Failure> {
        let failure = |why: String| {
            let name = &stated.name;
            Failure::Extension(format!("extension \"{extension}\": connection \"{name}\": {why}"))
        };
        let mut headers: Vec<(String, String)> =
            stated.headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        for name in stated.secret_headers.keys() {
            let value = secrets.get(&(stated.name.clone(), name.clone())).cloned();
            headers.push((name.clone(), value.unwrap_or_default()));
        }
        for (name, value) in &headers {
            if !is_header_name(name) {
                return Err(failure(format!("{name:?} is no name of a header")));
            }
            if is_reserved_header(name) {
                return Err(failure(format!("header \"{name}\" is set by the gateway; remove it")));
            }
            if !is_header_value(value) {
                let why = "has a value that is not printable ASCII, which no header can say";
                return Err(failure(format!("header \"{name}\" {why}")));
            }
        }
        let settings = HttpSettings {
            base: stated.url.clone(),
            authorities: stated.ca.clone(),
            headers,
            time: stated.timeout,
            connect_time: stated.connect_timeout,
            max_concurrent: stated.max_concurrent as usize,
            max_bytes: stated.max_response,
        };
        HttpConnection::new(settings).map(Self).map_err(|error| failure(error.to_string()))
    }
}

impl extension_host::HttpConnection for Server {
    fn send(&self, request: HttpRequest, wait: Duration) -> Result<HttpResponse, HttpFault> {
        let HttpRequest { method, path, headers, body } = request;
        let request = connections::HttpRequest { method, path, headers, body };
        match self.0.send(&request, wait) {
            Ok(connections::HttpResponse { status, headers, body }) => {
                Ok(HttpResponse { status, headers, body })
            }
            Err(failure) => Err(fault(&failure)),
        }
    }
}

fn fault(failure: &HttpFailure) -> HttpFault {
    let why = failure.to_string();
    match failure {
        HttpFailure::Invalid(_) => HttpFault::Invalid(why),
        HttpFailure::Timeout { .. } => HttpFault::Timeout(why),
        HttpFailure::Unreachable(_) => HttpFault::Unreachable(why),
        HttpFailure::Tls(_) => HttpFault::Tls(why),
        HttpFailure::TooLarge { .. } => HttpFault::TooLarge(why),
        HttpFailure::Busy { .. } => HttpFault::Busy(why),
        HttpFailure::Protocol(_) => HttpFault::Protocol(why),
    }
}
