use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::run;
use crate::failure::Failure;

/// Makes a package of a tree: the same one of the same files, whoever has written them with whatever mask, whenever, and on
/// however many processors. `moment`, in seconds since 1970, is the time of all.
pub(super) fn pack(stage: &Path, package: &Path, moment: u64) -> Result<(), Failure> {
    for (path, mode) in entries(stage)? {
        let mode = match mode {
            _ if path.is_dir() => 0o755,
            mode if mode & 0o100 == 0 => 0o644,
            _ => 0o755,
        };
        let change = Failure::file("change", &path);
        fs::set_permissions(&path, Permissions::from_mode(mode)).map_err(change)?;
    }
    run(Command::new("dpkg-deb")
        .env("SOURCE_DATE_EPOCH", moment.to_string())
        .env("DPKG_DEB_THREADS_MAX", "1")
        .args(["--root-owner-group", "-Zxz", "--build"])
        .args([stage, package]))
}

/// What an installation takes on disk, in KiB, as Debian counts: whole ones of each file, and one of anything else.
pub(super) fn installed_kib(stage: &Path) -> Result<u64, Failure> {
    let control = stage.join("DEBIAN");
    let mut sum = 0;
    for (path, _) in entries(stage)?.into_iter().filter(|(path, _)| !path.starts_with(&control)) {
        let about = fs::symlink_metadata(&path).map_err(Failure::file("read", &path))?;
        sum += if about.is_file() { about.len().div_ceil(1024) } else { 1 };
    }
    Ok(sum)
}

/// Everything in a folder, the folder itself included, with its mode.
fn entries(folder: &Path) -> Result<Vec<(PathBuf, u32)>, Failure> {
    let mut found = Vec::new();
    let mut ahead = vec![folder.to_owned()];
    while let Some(path) = ahead.pop() {
        let about = fs::symlink_metadata(&path).map_err(Failure::file("read", &path))?;
        if about.is_dir() {
            for entry in fs::read_dir(&path).map_err(Failure::file("read", &path))? {
                ahead.push(entry.map_err(Failure::file("read", &path))?.path());
            }
        }
        found.push((path, about.permissions().mode()));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use crate::packages;

    use super::super::TOOLS;
    use super::*;

    /// A package of three files that were written with this mask, in this order.
    fn packed(of: &str, mask: u32, names: [&str; 3]) -> Vec<u8> {
        let place = format!("portcullis-pack-{}-{of}", std::process::id());
        let above = std::env::temp_dir().join(place);
        let stage = above.join("tree");
        for name in names {
            let path = stage.join(name);
            let folder = path.parent().unwrap();
            fs::create_dir_all(folder).unwrap();
            fs::set_permissions(folder, Permissions::from_mode(0o777 & !mask)).unwrap();
            fs::write(&path, CONTROL).unwrap();
            let mode = if name == "usr/bin/p" { 0o777 } else { 0o666 };
            fs::set_permissions(&path, Permissions::from_mode(mode & !mask)).unwrap();
        }
        assert_eq!(installed_kib(&stage).unwrap(), 6, "two files, and four folders");
        let package = above.join("p.deb");
        pack(&stage, &package, 1_000_000).unwrap();
        let bytes = fs::read(&package).unwrap();
        fs::remove_dir_all(above).unwrap();
        bytes
    }

    const CONTROL: &str =
        "Package: p\nVersion: 1\nArchitecture: all\nMaintainer: p <p@localhost>\nDescription: p\n";

    #[test]
    fn the_same_tree_makes_the_same_package() {
        packages::ensure(&TOOLS[..1], "a Debian package").unwrap();
        let names = ["DEBIAN/control", "usr/bin/p", "usr/lib/q"];
        let one = packed("one", 0o022, names);
        let two = packed("two", 0o007, [names[2], names[1], names[0]]);
        assert!(one == two, "{} bytes and {}", one.len(), two.len());
    }
}
