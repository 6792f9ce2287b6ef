//! The storage of a control plane as it was some time ago: what a restore from a backup of etcd brings back, byte for byte.
//!
//! Invariant: etcd does not run while its files are copied.

use std::fs;
use std::path::{Path, PathBuf};

use crate::{
    ControlPlane,
    error::{Context, Error, Result},
};

/// All that etcd knew.
#[derive(Debug)]
pub struct Backup(PathBuf);

impl ControlPlane {
    /// Stops API server and etcd, and starts both again.
    pub async fn back_up_storage(&self) -> Result<Backup> {
        self.stop_storage().await?;
        let backup = self.storage().with_extension("backup");
        copy(&self.storage(), &backup)?;
        self.start_storage().await?;
        Ok(Backup(backup))
    }

    /// Everything becomes as it was, and whoever asks is told so.
    pub async fn restore_storage(&self, Backup(backup): &Backup) -> Result<()> {
        self.stop_storage().await?;
        let storage = self.storage();
        fs::remove_dir_all(&storage).context("failed to remove etcd's data")?;
        copy(backup, &storage)?;
        self.start_storage().await
    }

    async fn stop_storage(&self) -> Result<()> {
        if self.pids().len() < 2 {
            return Err(Error::new("failed to copy etcd's data: the control plane does not run"));
        }
        self.stop_api_server().await?;
        self.stop_etcd().await
    }

    async fn start_storage(&self) -> Result<()> {
        self.start_etcd().await?;
        self.start_api_server().await
    }
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let what = || format!("failed to copy {}", from.display());
    if from.is_dir() {
        fs::create_dir_all(to).context(what())?;
        for entry in fs::read_dir(from).context(what())? {
            let entry = entry.context(what())?;
            copy(&entry.path(), &to.join(entry.file_name()))?;
        }
        return Ok(());
    }
    fs::copy(from, to).map(drop).context(what())
}
