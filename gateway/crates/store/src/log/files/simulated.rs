mod inode;
mod random;

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use inode::Inode;
use random::Random;

use super::{Files, Listed, OpenFile};

/// Files in memory, of a machine whose power can be cut and whose disk fails on demand: for tests.
///
/// Clones are the same machine.
#[derive(Clone, Debug, Default)]
pub struct SimulatedFiles {
    world: Arc<Mutex<World>>,
}

/// What a power cut leaves of what was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Everything: only the process ended.
    Process,
    /// Nothing.
    Drop,
    /// Some pieces of so many bytes, some names, and some length between.
    Pieces(usize),
    /// Everything but the last write, and a part of that.
    Torn,
}

/// What is done to a file, as far as it can be made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names of the file operations")]
pub enum Operation {
    Create,
    Open,
    Write,
    Read,
    SetLen,
    Allocate,
    SyncData,
    SyncDir,
    Rename,
    Remove,
    List,
}

/// Which operations fail, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What is done; `None` for anything.
    pub operation: Option<Operation>,
    /// What the path contains.
    pub path: String,
    /// So many go well before.
    pub skip: u64,
    /// So many fail.
    pub times: u64,
    /// The operating system's number: 5 is EIO, 28 ENOSPC, 30 EROFS.
    pub errno: i32,
    /// Of a write: so many of 256 parts of it are done all the same. Of a sync: if it is not 0,
    /// the kernel forgets what it could not write and takes it for written.
    pub partly: u8,
}

impl Failure {
    /// The next operation of this kind fails, once, and nothing of it is done.
    #[must_use]
    pub fn once(operation: Operation, errno: i32) -> Self {
        let path = String::new();
        Self { operation: Some(operation), path, skip: 0, times: 1, errno, partly: 0 }
    }
}

#[derive(Debug, Default)]
struct World {
    names: BTreeMap<PathBuf, usize>,
    /// The names that survive a power cut.
    names_on_disk: BTreeMap<PathBuf, usize>,
    inodes: Vec<Inode>,
    failures: Vec<Failure>,
    /// Room for all files, if it is limited.
    capacity: Option<u64>,
    operations: u64,
    /// Operations after which all fail.
    stop_at: Option<u64>,
    secrets: u64,
}

impl SimulatedFiles {
    /// An empty machine.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The machine after its power was cut now and came back; this one runs on. Failures,
    /// limits and counts are not taken over.
    #[must_use]
    pub fn cut(&self, seed: u64, how: Cut) -> Self {
        let world = self.world();
        let mut random = Random(seed);
        let names = if how == Cut::Process || how == Cut::Torn {
            world.names.clone()
        } else {
            let mut names = world.names_on_disk.clone();
            let paths: BTreeSet<_> = world.names.keys().chain(names.keys()).cloned().collect();
            for path in paths {
                if how != Cut::Drop && random.below(2) == 0 {
                    match world.names.get(&path) {
                        Some(inode) => names.insert(path, *inode),
                        None => names.remove(&path),
                    };
                }
            }
            names
        };
        let mut inodes = world.inodes.clone();
        inodes.iter_mut().for_each(|inode| inode.cut(how, &mut random));
        let secrets = world.secrets + 1000;
        let names_on_disk = names.clone();
        let world = World { names, names_on_disk, inodes, secrets, ..World::default() };
        Self { world: Arc::new(Mutex::new(world)) }
    }

    /// Makes operations fail; the failure that was asked for first applies first.
    pub fn fail(&self, failure: Failure) {
        self.world().failures.push(failure);
    }

    /// Nothing fails any more, and there is room again.
    pub fn heal(&self) {
        let mut world = self.world();
        world.failures.clear();
        world.capacity = None;
        world.stop_at = None;
    }

    /// All files together may grow to so many bytes; `None` for any number.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.world().capacity = bytes;
    }

    /// All files together may grow by so many bytes.
    pub fn leave_room(&self, bytes: u64) {
        let mut world = self.world();
        world.capacity = Some(world.used() + bytes);
    }

    /// Operations until now.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.world().operations
    }

    /// After so many operations in all, everything fails: the machine is off.
    pub fn stop_at(&self, operations: Option<u64>) {
        self.world().stop_at = operations;
    }

    /// A file's bytes.
    #[must_use]
    pub fn contents(&self, path: &Path) -> Option<Vec<u8>> {
        let world = self.world();
        world.names.get(path).map(|inode| world.inodes[*inode].live.clone())
    }

    /// Puts a file there, durably.
    pub fn put(&self, path: &Path, bytes: &[u8]) {
        let mut world = self.world();
        let inode = Inode::durable(bytes);
        world.inodes.push(inode);
        let number = world.inodes.len() - 1;
        world.names.insert(path.to_owned(), number);
        world.names_on_disk.insert(path.to_owned(), number);
    }

    /// The paths of all files.
    #[must_use]
    pub fn paths(&self) -> Vec<PathBuf> {
        self.world().names.keys().cloned().collect()
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn file(&self, path: &Path, inode: usize) -> Box<dyn OpenFile> {
        let files = self.clone();
        Box::new(SimulatedFile { files, path: path.to_owned(), inode })
    }
}

impl World {
    /// Counts an operation; the failure that it meets.
    fn meet(&mut self, operation: Operation, path: &Path) -> Option<Failure> {
        self.operations += 1;
        if self.stop_at.is_some_and(|stop| self.operations > stop) {
            return Some(Failure::once(operation, 5));
        }
        let path = path.to_string_lossy();
        for failure in &mut self.failures {
            let meant = failure.operation.is_none_or(|it| it == operation)
                && path.contains(&failure.path)
                && failure.times > 0;
            if meant && failure.skip > 0 {
                failure.skip -= 1;
            } else if meant {
                failure.times -= 1;
                return Some(failure.clone());
            }
        }
        None
    }

    fn check(&mut self, operation: Operation, path: &Path) -> io::Result<()> {
        self.meet(operation, path).map_or(Ok(()), |failure| Err(error(failure.errno)))
    }

    fn lookup(&self, path: &Path) -> io::Result<usize> {
        self.names.get(path).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn used(&self) -> u64 {
        let used = |inode: &usize| self.inodes[*inode].written as u64;
        self.names.values().map(used).sum()
    }

    /// Bytes by which a file may grow.
    fn room(&self) -> u64 {
        self.capacity.map_or(u64::MAX, |capacity| capacity.saturating_sub(self.used()))
    }
}

fn error(errno: i32) -> io::Error {
    io::Error::from_raw_os_error(errno)
}

const NO_SPACE: i32 = 28;

impl Files for SimulatedFiles {
    fn create_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Listed>> {
        let mut world = self.world();
        world.check(Operation::List, dir)?;
        let inside = world.names.iter().filter(|(path, _)| path.parent() == Some(dir));
        let listed = inside.filter_map(|(path, inode)| {
            let name = path.file_name()?.to_str()?.to_owned();
            Some(Listed { name, bytes: world.inodes[*inode].live.len() as u64 })
        });
        Ok(listed.collect())
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn OpenFile>> {
        let mut world = self.world();
        world.check(Operation::Create, path)?;
        let inode = match world.names.get(path).copied() {
            Some(inode) => {
                world.inodes[inode].set_len(0);
                inode
            }
            None => {
                world.inodes.push(Inode::default());
                let inode = world.inodes.len() - 1;
                world.names.insert(path.to_owned(), inode);
                inode
            }
        };
        drop(world);
        Ok(self.file(path, inode))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn OpenFile>> {
        let mut world = self.world();
        world.check(Operation::Open, path)?;
        let inode = world.lookup(path)?;
        drop(world);
        Ok(self.file(path, inode))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.check(Operation::Rename, from)?;
        let inode = world.lookup(from)?;
        world.names.remove(from);
        world.names.insert(to.to_owned(), inode);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.check(Operation::Remove, path)?;
        world.lookup(path)?;
        world.names.remove(path);
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.check(Operation::SyncDir, dir)?;
        let inside = |path: &PathBuf| path.parent() == Some(dir);
        let world = &mut *world;
        world.names_on_disk.retain(|path, _| !inside(path));
        let names = world.names.iter().filter(|(path, _)| inside(path));
        world.names_on_disk.extend(names.map(|(path, inode)| (path.clone(), *inode)));
        Ok(())
    }

    fn secret(&self) -> u64 {
        let mut world = self.world();
        world.secrets += 1;
        Random(world.secrets).next()
    }
}

#[derive(Debug)]
struct SimulatedFile {
    files: SimulatedFiles,
    path: PathBuf,
    inode: usize,
}

impl OpenFile for SimulatedFile {
    fn size(&self) -> io::Result<u64> {
        Ok(self.files.world().inodes[self.inode].live.len() as u64)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut world = self.files.world();
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        let room = world.room();
        let taken = world.inodes[self.inode].written;
        let (done, result) = match world.meet(Operation::Write, &self.path) {
            Some(failure) => {
                let done = bytes.len() * usize::from(failure.partly) / 256;
                (done, Err(error(failure.errno)))
            }
            None => {
                let grows = (offset + bytes.len()).saturating_sub(taken) as u64;
                let missing = usize::try_from(grows.saturating_sub(room)).unwrap_or(usize::MAX);
                let result = if missing == 0 { Ok(()) } else { Err(error(NO_SPACE)) };
                (bytes.len().saturating_sub(missing), result)
            }
        };
        if done > 0 {
            world.inodes[self.inode].write(&bytes[..done], offset);
        }
        result
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut world = self.files.world();
        world.check(Operation::Read, &self.path)?;
        let live = &world.inodes[self.inode].live;
        let rest = live.get(usize::try_from(offset).unwrap_or(usize::MAX)..).unwrap_or_default();
        let read = rest.len().min(into.len());
        into[..read].copy_from_slice(&rest[..read]);
        Ok(read)
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        let mut world = self.files.world();
        world.check(Operation::SetLen, &self.path)?;
        world.inodes[self.inode].set_len(usize::try_from(bytes).unwrap_or(usize::MAX));
        Ok(())
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        let mut world = self.files.world();
        world.check(Operation::Allocate, &self.path)?;
        let inode = &world.inodes[self.inode];
        let len = usize::try_from(bytes).unwrap_or(usize::MAX).max(inode.live.len());
        if (len - inode.written) as u64 > world.room() {
            return Err(error(NO_SPACE));
        }
        let inode = &mut world.inodes[self.inode];
        inode.set_len(len);
        inode.written = len;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut world = self.files.world();
        if let Some(failure) = world.meet(Operation::SyncData, &self.path) {
            if failure.partly != 0 {
                // The length is the journal's, not the page cache's: it stays to be written.
                world.inodes[self.inode].dirty.clear();
            }
            return Err(error(failure.errno));
        }
        world.inodes[self.inode].sync();
        Ok(())
    }
}
