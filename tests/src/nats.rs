use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::PATIENCE;
use crate::server::{Server, wait_for_port};
use crate::site::{Site, free_port};
use crate::tools;

/// Nodes of a cluster: with three, one may be away.
pub const NATS_NODES: usize = 3;

/// A cluster of three NATS servers with JetStream, each with an MQTT listener that wants client certificates of a site's
/// authority. What MQTT clients leave behind has three copies. All are killed when this value goes.
#[derive(Debug)]
pub struct NatsCluster<'a> {
    site: &'a Site,
    nodes: [Node; NATS_NODES],
}

#[derive(Debug)]
struct Node {
    /// NATS' own protocol.
    nats: u16,
    /// Between the nodes.
    route: u16,
    mqtt: u16,
    server: Option<Server>,
}

impl<'a> NatsCluster<'a> {
    /// Starts it, in the folder `nats` of the site, and waits until it has a leader.
    pub fn start(site: &'a Site) -> Self {
        let node =
            || Node { nats: free_port(), route: free_port(), mqtt: free_port(), server: None };
        let mut cluster = Self { site, nodes: [node(), node(), node()] };
        for number in 0..NATS_NODES {
            let folder = cluster.folder(number);
            fs::create_dir_all(&folder).expect("a folder");
            let text = cluster.configuration(number);
            fs::write(folder.join("nats.conf"), text).expect("it is written");
        }
        (0..NATS_NODES).for_each(|number| cluster.launch(number));
        (0..NATS_NODES).for_each(|number| cluster.wait(number));
        cluster
    }

    /// The MQTT port of a node.
    pub fn mqtt(&self, node: usize) -> u16 {
        self.nodes[node].mqtt
    }

    /// The port of a node for clients of NATS; on loopback, without TLS.
    pub fn nats(&self, node: usize) -> u16 {
        self.nodes[node].nats
    }

    /// What `urls` of a bridge say: every node, beginning with this one.
    pub fn urls(&self, first: usize) -> Vec<String> {
        let nodes = (0..NATS_NODES).map(|step| (first + step) % NATS_NODES);
        nodes.map(|node| format!("mqtts://127.0.0.1:{}", self.mqtt(node))).collect()
    }

    /// `kill -9` for a node.
    pub fn kill(&mut self, node: usize) {
        self.nodes[node].server = None;
    }

    /// Starts a node again, on what it has on disk.
    pub fn restart(&mut self, node: usize) {
        self.kill(node);
        self.launch(node);
        self.wait(node);
    }

    fn launch(&mut self, node: usize) {
        let mut command = Command::new(tools::nats_server());
        command.arg("-c").arg(self.folder(node).join("nats.conf"));
        self.nodes[node].server = Some(Server::start(&mut command));
    }

    fn wait(&mut self, node: usize) {
        let node = &mut self.nodes[node];
        let server = node.server.as_mut().expect("it was started");
        // Of itself it says "Self is new", of another one "cluster new".
        server.wait_for("metadata leader", PATIENCE);
        wait_for_port(node.mqtt, PATIENCE);
    }

    fn configuration(&self, number: usize) -> String {
        let Node { nats, route, mqtt, .. } = &self.nodes[number];
        let pki = |name: &str| self.site.path(format!("pki/{name}"));
        let (cert, key, ca) = (pki("server.pem"), pki("server.key"), pki("ca.pem"));
        let routes: Vec<_> =
            self.nodes.iter().map(|it| format!("nats://127.0.0.1:{}", it.route)).collect();
        format!(
            "server_name: node-{number}\nlisten: 127.0.0.1:{nats}\n\
             jetstream {{ store_dir: {:?}, max_mem: 64M, max_file: 512M }}\n\
             cluster {{ name: portcullis, listen: 127.0.0.1:{route}, routes: {routes:?} }}\n\
             mqtt {{\n  listen: 127.0.0.1:{mqtt}\n  stream_replicas: {NATS_NODES}\n\
             tls {{ cert_file: {cert:?}, key_file: {key:?}, ca_file: {ca:?}, verify: true }}\n}}\n",
            self.folder(number).join("jetstream"),
        )
    }

    fn folder(&self, number: usize) -> PathBuf {
        self.site.path(format!("nats/{number}"))
    }
}
