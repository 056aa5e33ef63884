//! The segment files that are there.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use super::{
    files::{Files, OpenFile},
    group::{GROUP_HEAD, Head},
    header::{HEADER_LEN, Header, Salt},
};
use crate::StoreError;

/// What is known of a segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment {
    /// `None` if the header is damaged and nothing tells what it was.
    pub(super) salt: Option<Salt>,
    /// Whether the header is right.
    pub(super) sound: bool,
    /// Number of the first group that is in it, or was to be; if known.
    pub(super) first: Option<u64>,
    /// Bytes that groups and header take.
    pub(super) bytes: u64,
}

impl Segment {
    pub(super) fn begun(header: &Header) -> Self {
        let bytes = u64::from(HEADER_LEN);
        Self { salt: Some(header.salt()), sound: true, first: Some(header.first), bytes }
    }
}

pub(super) fn path(dir: &Path, segment: u32) -> PathBuf {
    dir.join(format!("{segment:08}.seg"))
}

/// The number of the segment whose file has this name.
pub(crate) fn number(name: &str) -> Option<u32> {
    let digits = name.strip_suffix(".seg")?;
    digits.parse().ok().filter(|number| format!("{number:08}") == digits)
}

/// Lists the segments in `dir` and the log's secret, if any of them tells it.
pub(super) fn list(
    files: &dyn Files,
    dir: &Path,
) -> Result<(BTreeMap<u32, Segment>, Option<u64>), StoreError> {
    let mut secret = None;
    let mut segments = BTreeMap::new();
    for listed in files.list(dir).map_err(StoreError::io("list", dir))? {
        let Some(number) = number(&listed.name).filter(|number| *number < u32::MAX) else {
            continue;
        };
        let path = path(dir, number);
        let start = match files.open_to_read(&path) {
            Ok(file) => start(&*file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(StoreError::io("open", path)(error)),
        };
        let header = Header::decode(&start, number);
        secret = header.map(|header| header.secret).or(secret);
        let head = Head::at(&start, HEADER_LEN as usize);
        segments.insert(number, (header, head, listed.bytes));
    }
    // Where a header is damaged, the others tell; where there is no other, the first group does,
    // which nobody outside can have placed there.
    let known = |(number, (header, head, bytes)): (u32, (Option<Header>, Option<Head>, u64))| {
        let derived = secret.map(|secret| Salt::new(secret, number));
        let salt = header.map(|header| header.salt()).or(derived);
        let salt = salt.or(head.as_ref().map(|head| head.salt));
        let head = head.filter(|head| Some(head.salt) == salt);
        let first = header.map(|header| header.first).or(head.map(|head| head.number));
        (number, Segment { salt, sound: header.is_some(), first, bytes })
    };
    Ok((segments.into_iter().map(known).collect(), secret))
}

/// The bytes of the header and of the first group's head, as far as they can be read.
fn start(file: &dyn OpenFile) -> Vec<u8> {
    let mut start = vec![0; HEADER_LEN as usize + GROUP_HEAD];
    let read = file.read_at(&mut start, 0).unwrap_or(0);
    start.truncate(read);
    start
}
