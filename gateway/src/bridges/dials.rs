use config::{Bridge, BridgeProxy, BridgeProxyKind, BridgeTls, Carrier, Upstream};
use transport::{
    CertificateFiles, DialProxy, DialProxyUser, DialSettings, DialTls, DialWay, DialWeb, ProxyKind,
};

/// What MQTT is called inside a WebSocket (MQTT 5, 6), and by a server of QUIC.
const MQTT: &str = "mqtt";

/// How each address of a bridge is dialled.
pub(super) fn dials(bridge: &Bridge) -> Vec<DialSettings> {
    bridge.upstreams.iter().map(|upstream| dial(bridge, upstream)).collect()
}

fn dial(bridge: &Bridge, upstream: &Upstream) -> DialSettings {
    let tls = || tls(&bridge.tls);
    let tcp = |web| DialWay::Tcp {
        tls: upstream.encrypts.then(tls),
        web,
        proxy: bridge.proxy.as_ref().map(proxy),
    };
    let way = match &upstream.carrier {
        Carrier::Tcp => tcp(None),
        Carrier::Web { path } => {
            tcp(Some(DialWeb { path: path.clone(), subprotocol: MQTT.to_owned() }))
        }
        Carrier::Quic => {
            let mut tls = tls();
            if tls.alpn.is_empty() {
                tls.alpn.push(MQTT.into());
            }
            DialWay::Quic { tls }
        }
    };
    DialSettings { host: upstream.host.clone(), port: upstream.port, way }
}

fn tls(tls: &BridgeTls) -> DialTls {
    let files = tls.identity.as_ref();
    DialTls {
        ca: tls.ca.clone(),
        identity: files
            .map(|files| CertificateFiles { cert: files.cert.clone(), key: files.key.clone() }),
        server_name: tls.server_name.clone(),
        alpn: tls.alpn.iter().map(|name| name.as_bytes().to_vec()).collect(),
    }
}

fn proxy(proxy: &BridgeProxy) -> DialProxy {
    DialProxy {
        kind: match proxy.kind {
            BridgeProxyKind::Http => ProxyKind::Http,
            BridgeProxyKind::Socks5 => ProxyKind::Socks5,
        },
        host: proxy.host.clone(),
        port: proxy.port,
        user: proxy
            .username
            .clone()
            .map(|name| DialProxyUser { name, password_file: proxy.password_file.clone() }),
    }
}
