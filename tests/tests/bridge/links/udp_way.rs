use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// The way of a client's datagrams to a server, as a router makes it: the server sees them come from an address that can change,
/// and they can be lost. It ends with this value.
pub(crate) struct UdpWay {
    shared: Arc<Shared>,
    /// Where the client is to send to.
    pub(crate) port: u16,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    front: UdpSocket,
    /// What the server hears from.
    back: Mutex<Arc<UdpSocket>>,
    server: SocketAddr,
    clients: Mutex<Clients>,
    /// The last byte of the address that the server hears from.
    host: AtomicU8,
    closed: AtomicBool,
    ended: AtomicBool,
}

#[derive(Default)]
struct Clients {
    /// All addresses that clients have sent from, the last one last.
    seen: Vec<SocketAddr>,
    /// From this many on those that were there before are not served any more.
    first: usize,
}

const LOOK: Duration = Duration::from_millis(20);

fn socket(host: u8) -> UdpSocket {
    let socket = UdpSocket::bind((Ipv4Addr::new(127, 0, 0, host), 0)).expect("a port");
    socket.set_read_timeout(Some(LOOK)).expect("a time-out");
    socket
}

impl UdpWay {
    pub(crate) fn to(port: u16) -> Self {
        let front = socket(1);
        let own_port = front.local_addr().expect("an address").port();
        let shared = Arc::new(Shared {
            front,
            back: Mutex::new(Arc::new(socket(1))),
            server: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            clients: Mutex::default(),
            host: AtomicU8::new(1),
            closed: AtomicBool::new(false),
            ended: AtomicBool::new(false),
        });
        let run = |job: fn(&Shared)| {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || job(&shared))
        };
        let threads = vec![run(Shared::carry_there), run(Shared::carry_back)];
        Self { shared, port: own_port, threads }
    }

    /// From now on the server hears from another address and port.
    pub(crate) fn move_away(&self) {
        let host = self.shared.host.fetch_add(1, Ordering::Relaxed) + 1;
        *lock(&self.shared.back) = Arc::new(socket(host));
    }

    /// Whether everything is lost.
    pub(crate) fn close(&self, closed: bool) {
        self.shared.closed.store(closed, Ordering::Relaxed);
    }

    /// Loses everything from and to the address that the client has sent from so far.
    pub(crate) fn forget(&self) {
        let mut clients = lock(&self.shared.clients);
        clients.first = clients.seen.len();
    }

    /// How many addresses clients have sent from.
    pub(crate) fn clients(&self) -> usize {
        lock(&self.shared.clients).seen.len()
    }
}

impl Shared {
    fn carry_there(&self) {
        let mut datagram = [0; 65_536];
        while !self.ended.load(Ordering::Relaxed) {
            let Ok((len, from)) = self.front.recv_from(&mut datagram) else { continue };
            if self.closed.load(Ordering::Relaxed) {
                continue;
            }
            let serves = {
                let mut clients = lock(&self.clients);
                if !clients.seen.contains(&from) {
                    clients.seen.push(from);
                }
                clients.seen.iter().position(|seen| *seen == from) >= Some(clients.first)
            };
            if serves {
                let back = Arc::clone(&lock(&self.back));
                // A datagram may be lost.
                let _ = back.send_to(&datagram[..len], self.server);
            }
        }
    }

    fn carry_back(&self) {
        let mut datagram = [0; 65_536];
        while !self.ended.load(Ordering::Relaxed) {
            let back = Arc::clone(&lock(&self.back));
            let Ok((len, _)) = back.recv_from(&mut datagram) else { continue };
            let client = {
                let clients = lock(&self.clients);
                clients.seen.get(clients.first..).and_then(|served| served.last().copied())
            };
            if let Some(client) = client.filter(|_| !self.closed.load(Ordering::Relaxed)) {
                // A datagram may be lost.
                let _ = self.front.send_to(&datagram[..len], client);
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for UdpWay {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // Should it have panicked, the test fails for what it has not carried.
            let _ = thread.join();
        }
    }
}
