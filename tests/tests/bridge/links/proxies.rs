//! Through proxies that others have made: tinyproxy for HTTP, microsocks for SOCKS5.

use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use portcullis_tests::{Gateway, PATIENCE, Site, free_port};

use super::{configure, exchange};
use crate::downstream::{counters, wait_until_connected};

/// A program on a port of loopback, killed when this value goes.
struct Proxy {
    child: Child,
    port: u16,
}

impl Proxy {
    fn start(mut command: Command, port: u16) -> Self {
        let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().expect("the proxy is installed; `cargo xtask test` does that");
        let proxy = Self { child, port };
        let until = Instant::now() + PATIENCE;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            assert!(Instant::now() < until, "the proxy does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        proxy
    }

    /// `allowed` are the only ports that it lets connections to pass.
    fn http(site: &Site, [one, other]: [u16; 2]) -> Self {
        let port = free_port();
        let file = site.path("tinyproxy.conf");
        let text = format!(
            "Port {port}\nListen 127.0.0.1\nTimeout 600\nMaxClients 20\nAllow 127.0.0.1\nBasicAuth gateway s3cret\n\
             ConnectPort {one}\nConnectPort {other}\n"
        );
        fs::write(&file, text).expect("the configuration is written");
        let mut command = Command::new("tinyproxy");
        command.arg("-d").arg("-c").arg(&file);
        Self::start(command, port)
    }

    fn socks5() -> Self {
        let port = free_port();
        let mut command = Command::new("microsocks");
        command.args(["-i", "127.0.0.1", "-p", &port.to_string(), "-u", "gateway", "-P", "s3cret"]);
        Self::start(command, port)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const NAMED: &str = "proxy-username = \"gateway\"\nproxy-password-file = \"proxy.password\"";

/// Starts a gateway whose bridge goes by `proxy` to `url`, and gives what it says of its failure.
fn fails(site: &Site, upstream: &Site, url: &str, proxy: &str) -> String {
    configure(site, upstream, &format!("url = \"{url}\"\n{proxy}"));
    let gateway = Gateway::start(site);
    let told = gateway.log.wait(0, PATIENCE, |event| event["message"] == "bridge not connected");
    let told = told.unwrap_or_else(|| panic!("{}", gateway.log.text()));
    assert_eq!(counters(&gateway)["connections"].as_u64(), Some(0));
    told["cause"].as_str().unwrap_or_default().to_owned()
}

fn passes(scheme: &str, proxy: &Proxy, site: &Site, upstream: &Site, web: u16) {
    fs::write(site.path("proxy.password"), "s3cret\n").expect("the password is written");
    let by = format!("proxy = \"{scheme}://127.0.0.1:{}\"\n{NAMED}", proxy.port);
    let there = Gateway::start_with(upstream, 3);
    let urls =
        [format!("mqtts://localhost:{}", upstream.tls), format!("wss://localhost:{web}/mqtt")];
    for url in &urls {
        configure(site, upstream, &format!("url = \"{url}\"\n{by}"));
        let mut gateway = Gateway::start(site);
        wait_until_connected(&gateway, 1);
        exchange(&gateway, &mut there.client("onlooker"), 70_000);
        assert_eq!(counters(&gateway)["failures"].as_u64(), Some(0), "{url}");
        gateway.assert_sound();
    }
    let [url, _] = &urls;
    let anonymous = by.replace(NAMED, "");
    let cause = fails(site, upstream, url, &anonymous);
    assert!(cause.contains("set proxy-username and proxy-password-file"), "{cause}");
    fs::write(site.path("proxy.password"), "guessed").expect("the password is written");
    let cause = fails(site, upstream, url, &by);
    assert!(cause.contains("check proxy-username"), "{cause}");
    fs::write(site.path("proxy.password"), "s3cret").expect("the password is written");
}

fn upstream() -> (Site, u16) {
    let (upstream, web) = (Site::new(), free_port());
    upstream.configure(&format!(
        "[listeners.web]\nbind = \"127.0.0.1:{web}\"\ntransport = \"wss\"\ntls.cert = \"pki/server.pem\"\n\
         tls.key = \"pki/server.key\"\nchain = [\"password\", \"acl\"]\n"
    ));
    (upstream, web)
}

#[test]
fn tls_and_websockets_pass_through_an_http_proxy() {
    let (site, (upstream, web)) = (Site::new(), upstream());
    let proxy = Proxy::http(&site, [upstream.tls, web]);
    passes("http", &proxy, &site, &upstream, web);
    let by = format!("proxy = \"http://127.0.0.1:{}\"\n{NAMED}", proxy.port);
    let cause = fails(&site, &upstream, &format!("mqtts://localhost:{}", free_port()), &by);
    assert!(cause.contains("have that allowed there"), "{cause}");
}

#[test]
fn tls_and_websockets_pass_through_a_socks5_proxy() {
    let (site, (upstream, web)) = (Site::new(), upstream());
    let proxy = Proxy::socks5();
    passes("socks5", &proxy, &site, &upstream, web);
    let by = format!("proxy = \"socks5://127.0.0.1:{}\"\n{NAMED}", proxy.port);
    let cause = fails(&site, &upstream, &format!("mqtts://localhost:{}", free_port()), &by);
    assert!(cause.contains("upstream takes no connection"), "{cause}");
    let by = by.replace("socks5://", "http://");
    let cause = fails(&site, &upstream, &format!("mqtts://localhost:{web}"), &by);
    assert!(cause.contains("check scheme and port of proxy"), "{cause}");
}
