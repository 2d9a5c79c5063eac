//! Files that are written whole or not at all.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

/// Links that lead to links before this is called a circle, as on Linux.
const LINKS: usize = 40;

/// Writes a file: into a new one beside it, which takes its place once it is complete.
///
/// A link is followed, and what it leads to is replaced. The permissions of a file that was there
/// are kept, and it must be writable; a new one has those that the system gives new files. What is
/// no regular file, a pipe, is written to directly.
///
/// # Errors
/// If the system refuses; the file that was there is as it was.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let target = linked(path)?;
    let before = match fs::metadata(&target) {
        Ok(before) if !before.is_file() => return fs::write(&target, bytes),
        Ok(before) => {
            // Asks for the right to write, and leaves the file as it is.
            OpenOptions::new().write(true).open(&target)?;
            Some(before)
        }
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let (file, temporary) = create_beside(&target)?;
    let written = fill(file, bytes, before).and_then(|()| fs::rename(&temporary, &target));
    if written.is_err() {
        // The first error is the one to tell.
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// What a path leads to, link by link; the last need not exist.
fn linked(path: &Path) -> io::Result<PathBuf> {
    let mut target = path.to_path_buf();
    for _ in 0..LINKS {
        let Ok(next) = fs::read_link(&target) else { return Ok(target) };
        target = target.parent().map_or(next.clone(), |folder| folder.join(&next));
    }
    Err(io::Error::new(ErrorKind::InvalidInput, "too many links that lead to links"))
}

/// A new file in the folder of another.
fn create_beside(target: &Path) -> io::Result<(File, PathBuf)> {
    let mut number = 0u64;
    loop {
        let name = format!(".vivit-{}-{number}.part", std::process::id());
        let path = target.with_file_name(name);
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(file) => return Ok((file, path)),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => number += 1,
            Err(error) => return Err(error),
        }
    }
}

/// Fills a new file, and gives it the permissions of the one that it replaces.
fn fill(mut file: File, bytes: &[u8], before: Option<Metadata>) -> io::Result<()> {
    file.write_all(bytes)?;
    if let Some(before) = before {
        file.set_permissions(before.permissions())?;
    }
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_folder::Folder;

    fn entries(folder: &Folder) -> usize {
        fs::read_dir(folder.path()).unwrap().count()
    }

    #[test]
    fn a_file_is_replaced_and_nothing_is_left_beside_it() {
        let folder = Folder::new("whole");
        let path = folder.path().join("file");
        for bytes in [&b"first"[..], b"2"] {
            write_whole(&path, bytes).unwrap();
            assert_eq!(fs::read(&path).unwrap(), bytes);
            assert_eq!(entries(&folder), 1);
        }
    }

    #[test]
    fn what_cannot_be_written_stays_as_it_is() {
        let folder = Folder::new("refused");
        assert!(write_whole(folder.path(), b"x").is_err());
        assert!(write_whole(&folder.path().join("absent/file"), b"x").is_err());
        assert_eq!(entries(&folder), 0);
    }

    #[cfg(unix)]
    mod unix {
        use std::os::unix::fs::{PermissionsExt, symlink};

        use super::*;

        fn mode(path: &Path) -> u32 {
            fs::metadata(path).unwrap().permissions().mode() & 0o777
        }

        #[test]
        fn permissions_are_those_of_other_tools() {
            let folder = Folder::new("modes");
            let (plain, ours) = (folder.path().join("plain"), folder.path().join("ours"));
            fs::write(&plain, b"").unwrap();
            write_whole(&ours, b"x").unwrap();
            assert_eq!(mode(&ours), mode(&plain), "a new file");
            for kept in [0o664, 0o600, 0o640] {
                fs::set_permissions(&ours, fs::Permissions::from_mode(kept)).unwrap();
                write_whole(&ours, b"y").unwrap();
                assert_eq!(mode(&ours), kept);
            }
        }

        #[test]
        fn links_are_followed() {
            let folder = Folder::new("links");
            let [target, near, far] =
                ["target", "near", "far"].map(|name| folder.path().join(name));
            symlink("target", &near).unwrap();
            symlink(&near, &far).unwrap();
            // The target does not exist at first.
            for bytes in [&b"first"[..], b"2"] {
                write_whole(&far, bytes).unwrap();
                assert_eq!(fs::read(&target).unwrap(), bytes);
                assert_eq!(fs::read_link(&near).unwrap(), Path::new("target"));
                assert_eq!(fs::read_link(&far).unwrap(), near);
                assert_eq!(entries(&folder), 3);
            }
        }

        #[test]
        fn a_circle_of_links_is_an_error() {
            let folder = Folder::new("circle");
            let [one, two] = ["one", "two"].map(|name| folder.path().join(name));
            symlink(&two, &one).unwrap();
            symlink(&one, &two).unwrap();
            assert!(write_whole(&one, b"x").is_err());
            assert_eq!(entries(&folder), 2);
        }
    }
}
