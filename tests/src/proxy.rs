//! A proxy on loopback that does to connections what bad networks do.

mod course;

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::watch;

use course::{Broken, Course};

/// One of the two directions of a connection, as whoever connects sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// To the server behind the proxy.
    Up,
    /// From it.
    Down,
}

/// Something that a proxy does to connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Resets those that there are.
    Reset,
    /// Ends a direction of those that there are; the other goes on.
    HalfClose(Way),
    /// Resets the next connection, or one that there is, when so many bytes more have passed.
    CutAfter(Way, u64),
    /// Reads and forgets what comes, until [`Proxy::heal`].
    Swallow(Way),
    /// Holds up each piece for so long, until [`Proxy::heal`].
    Delay(Way, Duration),
    /// Passes so many bytes a second, until [`Proxy::heal`].
    Throttle(Way, u32),
    /// Resets those that there are, and new ones as soon as they come, until [`Proxy::heal`].
    Refuse,
}

/// A TCP proxy on loopback, in threads of its own; it goes away with this value.
#[derive(Debug)]
pub struct Proxy {
    /// Where it listens.
    pub port: u16,
    weather: Arc<watch::Sender<Weather>>,
    passed: Arc<Passed>,
    // Dropped last, and all connections with it.
    runtime: Option<Runtime>,
}

/// What is done to connections at present, and how often something was done to those that there were.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Weather {
    resets: u64,
    refuses: bool,
    ways: [OneWay; 2],
}

#[derive(Clone, Copy, Debug, Default)]
struct OneWay {
    half_closes: u64,
    /// Bytes after which a connection is reset, and the number of that order.
    cut: (u64, Option<u64>),
    swallows: bool,
    delay: Duration,
    bytes_per_second: Option<u32>,
}

/// Bytes that were passed on, in each direction.
#[derive(Debug, Default)]
struct Passed([AtomicU64; 2]);

impl Way {
    fn index(self) -> usize {
        match self {
            Self::Up => 0,
            Self::Down => 1,
        }
    }
}

impl Proxy {
    /// In front of this port of loopback.
    pub fn to(server: u16) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("proxy")
            .enable_all()
            .build()
            .expect("the system gives threads");
        let weather = Arc::new(watch::Sender::new(Weather::default()));
        let listening = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)));
        let listener = listening.expect("a port of loopback is free");
        let port = listener.local_addr().expect("it has an address").port();
        let passed = Arc::new(Passed::default());
        runtime.spawn(accept(listener, server, Arc::clone(&weather), Arc::clone(&passed)));
        Self { port, weather, passed, runtime: Some(runtime) }
    }

    /// Begins with a fault, or does it at once.
    pub fn inflict(&self, fault: Fault) {
        self.weather.send_modify(|weather| weather.suffer(fault));
    }

    /// Ends all that goes on. A connection that has lost bytes is reset: TCP has no way to have them again.
    pub fn heal(&self) {
        self.weather.send_modify(Weather::clear);
    }

    /// Bytes that were passed on so far.
    pub fn passed(&self, way: Way) -> u64 {
        self.passed.0[way.index()].load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Weather {
    fn suffer(&mut self, fault: Fault) {
        match fault {
            Fault::Reset => self.resets += 1,
            Fault::Refuse => (self.refuses, self.resets) = (true, self.resets + 1),
            Fault::HalfClose(way) => self.ways[way.index()].half_closes += 1,
            Fault::CutAfter(way, bytes) => {
                let cut = &mut self.ways[way.index()].cut;
                *cut = (cut.0 + 1, Some(bytes));
            }
            Fault::Swallow(way) => self.ways[way.index()].swallows = true,
            Fault::Delay(way, time) => self.ways[way.index()].delay = time,
            Fault::Throttle(way, bytes) => {
                self.ways[way.index()].bytes_per_second = Some(bytes.max(1));
            }
        }
    }

    fn clear(&mut self) {
        self.refuses = false;
        for way in &mut self.ways {
            way.cut.1 = None;
            (way.swallows, way.delay, way.bytes_per_second) = (false, Duration::ZERO, None);
        }
    }
}

async fn accept(
    listener: TcpListener,
    server: u16,
    weather: Arc<watch::Sender<Weather>>,
    passed: Arc<Passed>,
) {
    loop {
        // A connection that was gone before it was taken is none.
        let Ok((client, _)) = listener.accept().await else { continue };
        let (weather, passed) = (Arc::clone(&weather), Arc::clone(&passed));
        tokio::spawn(async move {
            // Whoever is behind it may not be there; the client sees its connection end.
            let _ = connect(client, server, &weather, &passed).await;
        });
    }
}

async fn connect(
    mut client: TcpStream,
    server: u16,
    weather: &watch::Sender<Weather>,
    passed: &Passed,
) -> io::Result<()> {
    if weather.borrow().refuses {
        return client.set_zero_linger();
    }
    let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, server)).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let ended = {
        let ((from_client, to_client), (from_server, to_server)) = (client.split(), server.split());
        let up = Course::new(Way::Up, weather, &passed.0[0]);
        let down = Course::new(Way::Down, weather, &passed.0[1]);
        tokio::try_join!(up.run(from_client, to_server), down.run(from_server, to_client))
    };
    if let Err(Broken) = ended {
        client.set_zero_linger()?;
        server.set_zero_linger()?;
    }
    Ok(())
}
