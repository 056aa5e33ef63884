//! Archives that are the same wherever they are made.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::quietly;
use crate::failure::Failure;

/// Makes `NAME.tar.gz` of the folder `name` in `above`, beside it. The same files make the same archive, whoever owns them and
/// whenever they were written: `moment`, in seconds since 1970, is the time of all.
pub(crate) fn pack(above: &Path, name: &str, moment: u64) -> Result<PathBuf, Failure> {
    let tar = above.join(format!("{name}.tar"));
    let mut command = Command::new("tar");
    command.args(["--create", "--sort=name", "--format=gnu", "--owner=0", "--group=0"]);
    command.args(["--numeric-owner", "--mode=u=rwX,go=rX", &format!("--mtime=@{moment}")]);
    command.arg("--file").arg(&tar).arg("--directory").arg(above).arg(name);
    quietly(&mut command)?;
    quietly(Command::new("gzip").args(["--no-name", "--best", "--force"]).arg(&tar))?;
    Ok(tar.with_extension("tar.gz"))
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File, Permissions};
    use std::os::unix::fs::PermissionsExt;
    use std::time::{Duration, SystemTime};

    use super::*;

    /// A folder of two files in a folder that has this name, as one machine has them, in an archive.
    fn archive(of: &str, names: [&str; 2], mode: u32, moment: u64) -> Vec<u8> {
        let place = format!("portcullis-archive-{}-{of}", std::process::id());
        let above = std::env::temp_dir().join(place);
        let folder = above.join("p-1.0.0/sub");
        fs::create_dir_all(&folder).unwrap();
        for name in names {
            let path = folder.join(name);
            fs::write(&path, name).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let age = Duration::from_secs(u64::from(mode));
            File::open(&path).unwrap().set_modified(SystemTime::now() - age).unwrap();
        }
        let packed = pack(&above, "p-1.0.0", moment).unwrap();
        assert!(packed.ends_with("p-1.0.0.tar.gz"));
        let bytes = fs::read(packed).unwrap();
        fs::remove_dir_all(above).unwrap();
        bytes
    }

    #[test]
    fn the_same_files_make_the_same_archive() {
        let one = archive("one", ["a", "b"], 0o644, 1_000_000);
        assert_eq!(archive("two", ["b", "a"], 0o600, 1_000_000), one);
        assert_ne!(archive("three", ["b", "a"], 0o600, 1_000_001), one);
        assert_ne!(
            archive("four", ["a", "b"], 0o744, 1_000_000),
            one,
            "what is a program stays one"
        );
    }
}
