//! Temporary folders that do not pile up: removed on drop, at a normal exit of the process even when a static holds
//! them, and, after a SIGKILL, by the next run (each folder holds a lock file whose lock dies with its owner).

use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::{Mutex, Once, PoisonError},
};

use tempfile::TempDir;

use crate::{
    error::{Context, Result},
    process,
};

const PREFIX: &str = "changehook-testbed-";
const LOCK: &str = "owner.lock";

/// Folders that are to be removed when the process exits without dropping them.
static ALIVE: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// A temporary folder of this process.
#[derive(Debug)]
pub struct Scratch {
    dir: TempDir,
    // held, never read: tells other runs that the folder is in use
    _lock: File,
}

impl Scratch {
    /// A fresh, empty folder, readable by this user only.
    pub fn new() -> Result<Self> {
        static SWEEP: Once = Once::new();
        SWEEP.call_once(|| {
            sweep();
            process::at_exit(remove_all);
        });
        let dir = tempfile::Builder::new().prefix(PREFIX).tempdir().context("failed to create a temporary folder")?;
        // locked before it gets its name, so that no other run's sweep sees it unlocked
        let unnamed = dir.path().join("owner.new");
        let lock = File::create(&unnamed).context("failed to create a lock file")?;
        lock.lock().context("failed to lock a temporary folder")?;
        std::fs::rename(&unnamed, dir.path().join(LOCK)).context("failed to name a lock file")?;
        ALIVE.lock().unwrap_or_else(PoisonError::into_inner).push(dir.path().to_owned());
        Ok(Self { dir, _lock: lock })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Writes a file into it and gives its path.
    pub fn write(&self, name: &str, contents: impl AsRef<[u8]>) -> Result<PathBuf> {
        let path = self.path().join(name);
        std::fs::write(&path, contents).context(format!("failed to write {}", path.display()))?;
        Ok(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        ALIVE.lock().unwrap_or_else(PoisonError::into_inner).retain(|path| path != self.dir.path());
    }
}

fn remove_all() {
    // never waits: another thread may have been stopped while it held the lock
    if let Ok(alive) = ALIVE.try_lock() {
        for path in alive.iter() {
            let _ = std::fs::remove_dir_all(path);
        }
    }
}

/// Removes folders whose owner died without cleaning up.
fn sweep() {
    let Ok(entries) = std::fs::read_dir(std::env::temp_dir()) else { return };
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with(PREFIX) && is_orphan(&entry.path()) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// Only a folder whose lock file exists and can be locked; one without it is just being created.
fn is_orphan(dir: &Path) -> bool {
    File::open(dir.join(LOCK)).is_ok_and(|file| file.try_lock().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_in_use_is_no_orphan_and_is_gone_after_drop() {
        let scratch = Scratch::new().unwrap();
        let path = scratch.path().to_owned();
        assert!(!is_orphan(&path));
        drop(scratch);
        assert!(!path.exists());
    }

    #[test]
    fn a_folder_whose_owner_is_gone_is_an_orphan_but_one_just_created_is_not() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!is_orphan(dir.path()));
        File::create(dir.path().join(LOCK)).unwrap();
        assert!(is_orphan(dir.path()));
    }
}
