//! `portcullis:host/http`

use std::time::Instant;

use serde_json::json;

use super::Guest;
use crate::bindings::portcullis::host::connections::ConnectionError;
use crate::bindings::portcullis::host::http;
use crate::facilities::{HttpFault, HttpRequest};
use crate::tape::{SEND, bytes};

impl http::Host for Guest {
    fn send(
        &mut self,
        connection: String,
        request: http::Request,
    ) -> Result<http::Response, ConnectionError> {
        let arguments = self.is_taped().then(|| {
            let name =
                |(name, value): &(String, String)| (name.to_ascii_lowercase(), value.clone());
            let headers: Vec<_> = request.headers.iter().map(name).collect();
            json!([request.method, request.path, connection, headers, bytes(&request.body)])
        });
        let send = |guest: &mut Self| guest.send_now(&connection, request);
        self.outside(&SEND, arguments, send, |why| Err(ConnectionError::Unreachable(why)))
    }
}

impl Guest {
    fn send_now(
        &self,
        connection: &str,
        request: http::Request,
    ) -> Result<http::Response, ConnectionError> {
        let Some(server) = self.services.facilities.http.get(connection) else {
            return Err(ConnectionError::UnknownConnection);
        };
        let http::Request { method, path, headers, body } = request;
        let request = HttpRequest { method, path, headers, body };
        let (counters, began) = (&self.services.counters, Instant::now());
        let answer = server.send(request, self.clock.may_wait());
        counters.http_requests.count();
        counters.http_us.add(u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX));
        let answer = answer.map_err(|fault| {
            counters.http_failures.count();
            failed(fault)
        })?;
        Ok(http::Response { status: answer.status, headers: answer.headers, body: answer.body })
    }
}

fn failed(fault: HttpFault) -> ConnectionError {
    match fault {
        HttpFault::Invalid(why) => ConnectionError::Invalid(why),
        HttpFault::Timeout(why) => ConnectionError::Timeout(why),
        HttpFault::Unreachable(why) => ConnectionError::Unreachable(why),
        HttpFault::Tls(why) => ConnectionError::Tls(why),
        HttpFault::TooLarge(why) => ConnectionError::TooLarge(why),
        HttpFault::Busy(why) => ConnectionError::Busy(why),
        HttpFault::Protocol(why) => ConnectionError::Protocol(why),
    }
}
