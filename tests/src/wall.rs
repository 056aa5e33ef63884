use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::site::Site;

/// The clock on the wall, for a gateway that is started with its environment: the test says what it shows, and changes that while
/// the gateway runs. It goes at the usual pace, and time that does not come from a wall is not touched.
#[derive(Debug)]
pub struct Wall {
    library: PathBuf,
    file: PathBuf,
}

impl Wall {
    /// One that shows this many seconds since 1970.
    pub fn new(site: &Site, unix_s: u64) -> Self {
        let folders = ["x86_64", "aarch64", "arm"].map(|machine| {
            let system = if machine == "arm" { "linux-gnueabihf" } else { "linux-gnu" };
            PathBuf::from(format!("/usr/lib/{machine}-{system}/faketime/libfaketime.so.1"))
        });
        let library = folders.into_iter().find(|path| path.exists());
        let library = library.expect("libfaketime is installed; `cargo xtask test` does that");
        let wall = Self { library, file: site.path("wall") };
        wall.shows(unix_s);
        wall
    }

    /// From now on it shows this many seconds since 1970, and goes on from there.
    pub fn shows(&self, unix_s: u64) {
        let real = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970");
        let ahead = unix_s as f64 - real.as_secs_f64();
        // It is read at any moment.
        let aside = self.file.with_extension("new");
        fs::write(&aside, format!("{ahead:+.3}\n")).expect("the clock is set");
        fs::rename(&aside, &self.file).expect("the clock is set");
    }

    /// What a gateway is started with that goes by it.
    pub fn environment(&self) -> [(&str, &OsStr); 6] {
        let one = OsStr::new("1");
        [
            ("LD_PRELOAD", self.library.as_os_str()),
            ("FAKETIME_TIMESTAMP_FILE", self.file.as_os_str()),
            ("FAKETIME_NO_CACHE", one),
            ("FAKETIME_DONT_FAKE_MONOTONIC", one),
            ("DONT_FAKE_MONOTONIC", one),
            ("NO_FAKE_STAT", one),
        ]
    }

    /// The start of the day after today, in UTC: later than anything that a gateway may know to have been.
    pub fn tomorrow() -> u64 {
        let real = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970");
        (real.as_secs() / 86_400 + 1) * 86_400
    }
}
