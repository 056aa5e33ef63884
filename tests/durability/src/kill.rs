//! `kill -9` at random moments under load, many times, on the same store.

use std::fmt;
use std::thread;
use std::time::{Duration, Instant};

use crate::cast::Cast;
use crate::clock::Clock;
use crate::fault::Faults;
use crate::judge::judge;
use crate::random::Random;
use crate::retained;
use crate::session::Surroundings;
use crate::stage::Stage;

/// How long a gateway lives under load, in milliseconds.
const LIFE: (u64, u64) = (100, 900);

/// Of so many lives, one begins with a look at what is retained.
const LOOK_EVERY: u64 = 8;

/// Evidence that is shown.
const SHOWN: usize = 20;

/// What is to be done.
#[derive(Clone, Copy, Debug)]
pub struct Kills {
    /// Kills.
    pub cycles: u64,
    /// Decides what clients do, and when the gateway is killed. When exactly a thread runs it does not decide.
    pub seed: u64,
}

/// What came of it.
#[derive(Debug)]
pub struct Report {
    kills: Kills,
    time: Duration,
    counts: Counts,
    /// Broken promises.
    pub faults: Faults,
}

#[derive(Debug, Default)]
struct Counts {
    published: usize,
    promised: usize,
    repeated: u64,
    delivered: usize,
    redelivered: u64,
    sessions: usize,
    resumed: u64,
    subscriptions: usize,
    wills: usize,
    wills_published: usize,
    refused: usize,
}

impl Kills {
    /// Does it. A gateway that does not start or answer is a panic, with its last words.
    pub fn run(self) -> Report {
        let begin = Instant::now();
        let mut random = Random::new(self.seed);
        let (stage, clock, mut cast) = (Stage::new(), Clock::default(), Cast::new());
        let (mut faults, mut killed) = (Faults::default(), Vec::new());
        {
            let gateway = stage.start();
            cast.settle(&Surroundings::new(stage.port, &clock));
            gateway.kill();
        }
        for cycle in 0..self.cycles {
            let mut gateway = stage.start();
            let place = Surroundings::new(stage.port, &clock);
            if cycle % LOOK_EVERY == 0 {
                retained::check(&place, &cast.publishers, &mut faults)
                    .expect("nobody kills the gateway yet");
            }
            let life = Duration::from_millis(random.between(LIFE.0, LIFE.1));
            cast.perform(&place, &mut random, || {
                thread::sleep(life);
                gateway.assert_sound();
                gateway.kill();
            });
            killed.push(clock.tick());
            if cycle % 50 == 49 {
                eprintln!("{} kills, {} s", cycle + 1, begin.elapsed().as_secs());
            }
        }
        let mut gateway = stage.start();
        let place = Surroundings::new(stage.port, &clock);
        cast.finish(&place);
        retained::check(&place, &cast.publishers, &mut faults).expect("nobody kills the gateway");
        gateway.assert_sound();
        faults.extend(judge(&cast));
        cast.wills.judge(&cast, &killed, &mut faults);
        Report { kills: self, time: begin.elapsed(), counts: Counts::of(&cast), faults }
    }
}

impl Counts {
    fn of(cast: &Cast) -> Self {
        let sent = || cast.publishers.iter().flat_map(|it| &it.sent);
        let sessions = || {
            let publishers = cast.publishers.iter().map(|it| &it.session);
            publishers.chain(cast.subscribers.iter().map(|it| &it.session))
        };
        let subscribers = &cast.subscribers;
        let got = subscribers.iter().flat_map(|it| &it.got);
        let wills = got.filter(|got| got.key.publisher == cast.wills.index);
        Self {
            published: sent().count(),
            promised: sent().filter(|sent| sent.promised.is_some()).count(),
            refused: sent().filter(|sent| sent.refused).count(),
            repeated: cast.publishers.iter().map(|it| it.repeated).sum(),
            delivered: subscribers.iter().map(|it| it.got.len()).sum(),
            redelivered: subscribers.iter().map(|it| it.repeats).sum(),
            sessions: sessions().map(|it| it.epochs.len()).sum(),
            resumed: sessions().map(|it| it.resumed).sum(),
            subscriptions: subscribers.iter().map(|it| it.subscriptions.len()).sum(),
            wills: cast.wills.left.len(),
            wills_published: wills.count(),
        }
    }
}

impl Report {
    /// Messages that the gateway had promised to keep.
    pub fn promised(&self) -> usize {
        self.counts.promised
    }
}

impl fmt::Display for Report {
    /// Evidence, counts and the verdict, which is the last line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Kills { cycles, seed } = self.kills;
        let Counts { published, promised, refused, repeated, delivered, redelivered, .. } =
            self.counts;
        let Counts { sessions, resumed, subscriptions, wills, wills_published, .. } = self.counts;
        write!(f, "{}", self.faults.evidence(SHOWN))?;
        writeln!(
            f,
            "kill seed={seed} cycles={cycles} s={} published={published} promised={promised} \
             refused={refused} sent_again={repeated} delivered={delivered} \
             repeated_before_release={redelivered} sessions={sessions} resumed={resumed} \
             subscriptions={subscriptions} wills_left={wills} wills_published={wills_published}",
            self.time.as_secs(),
        )?;
        write!(f, "{cycles} kills, {promised} promises: {}", self.faults)?;
        if !self.faults.is_empty() {
            write!(f, "\nagain: cargo xtask kill --cycles {cycles} --seed {seed}")?;
        }
        Ok(())
    }
}
