//! `portcullis:gateway/types`: the connection that a call is about.

use wasmtime::component::Resource;

use super::{ConnectionHandle, Guest};
use crate::bindings::portcullis::gateway::types;

impl types::Host for Guest {}

impl types::HostConnection for Guest {
    fn protocol_level(&mut self, _: Resource<ConnectionHandle>) -> wasmtime::Result<u8> {
        self.read(|c| c.version.level())
    }

    fn transport(&mut self, _: Resource<ConnectionHandle>) -> wasmtime::Result<String> {
        self.read(|c| c.transport.to_string())
    }

    fn listener(&mut self, _: Resource<ConnectionHandle>) -> wasmtime::Result<String> {
        self.read(|c| c.listener.clone())
    }

    fn peer_address(&mut self, _: Resource<ConnectionHandle>) -> wasmtime::Result<String> {
        self.read(|c| c.peer_address.to_string())
    }

    fn server_name(&mut self, _: Resource<ConnectionHandle>) -> wasmtime::Result<Option<String>> {
        self.read(|c| c.server_name.clone())
    }

    fn alpn(&mut self, _: Resource<ConnectionHandle>) -> wasmtime::Result<Option<String>> {
        self.read(|c| c.alpn.clone())
    }

    fn keep_alive(&mut self, _: Resource<ConnectionHandle>) -> wasmtime::Result<u16> {
        self.read(|c| c.keep_alive)
    }

    fn clean_start(&mut self, _: Resource<ConnectionHandle>) -> wasmtime::Result<bool> {
        self.read(|c| c.clean_start)
    }

    fn session_expiry(&mut self, _: Resource<ConnectionHandle>) -> wasmtime::Result<u32> {
        self.read(|c| c.session_expiry)
    }

    fn user_properties(
        &mut self,
        _: Resource<ConnectionHandle>,
    ) -> wasmtime::Result<Vec<(String, String)>> {
        self.read(|c| c.user_properties.clone())
    }

    fn will_topic(&mut self, _: Resource<ConnectionHandle>) -> wasmtime::Result<Option<String>> {
        self.read(|c| c.will_topic.clone())
    }

    fn peer_certificate(
        &mut self,
        _: Resource<ConnectionHandle>,
    ) -> wasmtime::Result<Option<types::Certificate>> {
        self.read(|c| c.certificate.as_ref().map(certificate))
    }

    fn certificate_chain(
        &mut self,
        _: Resource<ConnectionHandle>,
    ) -> wasmtime::Result<Vec<Vec<u8>>> {
        self.read(|c| c.certificates.clone())
    }

    fn attribute(
        &mut self,
        _: Resource<ConnectionHandle>,
        name: String,
    ) -> wasmtime::Result<Option<String>> {
        let identity = self.subject.identity.as_ref();
        Ok(identity.and_then(|i| i.attribute(&name)).map(str::to_owned))
    }

    fn connection_id(&mut self, _: Resource<ConnectionHandle>) -> wasmtime::Result<u64> {
        self.read(|c| c.connection_id)
    }

    fn client_id(&mut self, _: Resource<ConnectionHandle>) -> wasmtime::Result<String> {
        self.read(|c| c.client_id.clone())
    }

    fn username(&mut self, _: Resource<ConnectionHandle>) -> wasmtime::Result<Option<String>> {
        self.read(|c| c.username.clone())
    }

    fn principal(&mut self, _: Resource<ConnectionHandle>) -> wasmtime::Result<Option<String>> {
        let identity = self.subject.identity.as_ref();
        Ok(identity.map(|identity| identity.principal.to_string()))
    }

    fn drop(&mut self, _: Resource<ConnectionHandle>) -> wasmtime::Result<()> {
        Ok(())
    }
}

fn certificate(c: &crate::CertificateInfo) -> types::Certificate {
    types::Certificate {
        sha256: c.sha256.clone(),
        subject: c.subject.clone(),
        common_name: c.common_name.clone(),
        issuer: c.issuer.clone(),
        serial: c.serial.clone(),
        not_after: c.not_after_unix_s,
        san_dns: c.san_dns.clone(),
        san_uri: c.san_uri.clone(),
        san_email: c.san_email.clone(),
        san_ip: c.san_ip.clone(),
    }
}
