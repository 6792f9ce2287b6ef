//! `changehook crds`: the CustomResourceDefinitions, printed or as files, or the page that documents them.
//!
//! Touches standard output or the given directory. Invariant: what is printed and what is written come from the same
//! types, so neither can be edited by hand and stay.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::config::CrdsConfig;
use crate::api;

/// The definitions could not be put where they were wanted.
#[derive(Debug, thiserror::Error)]
pub enum CrdsError {
    /// Standard output.
    #[error("failed to print the definitions")]
    Print(#[source] io::Error),
    /// A file or its directory.
    #[error("failed to write {}", path.display())]
    Write {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Prints the definitions, or writes them into the given directory.
pub fn run(config: &CrdsConfig) -> Result<(), CrdsError> {
    let CrdsConfig { dir, markdown } = config;
    match dir {
        Some(dir) => write(dir),
        None if *markdown => print(&api::markdown::reference(), &mut io::stdout().lock()),
        None => print(&api::crds_yaml(), &mut io::stdout().lock()),
    }
}

fn print(text: &str, out: &mut impl Write) -> Result<(), CrdsError> {
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // whoever reads has seen enough
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.map_err(CrdsError::Print),
    }
}

fn write(dir: &Path) -> Result<(), CrdsError> {
    std::fs::create_dir_all(dir).map_err(|source| CrdsError::Write { path: dir.to_owned(), source })?;
    for (name, text) in api::crd_files() {
        let path = dir.join(name);
        std::fs::write(&path, text).map_err(|source| CrdsError::Write { path, source })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_definition_is_written_to_its_file_in_a_directory_that_need_not_exist() {
        let dir = tempfile::tempdir().unwrap();
        let crds = dir.path().join("new/crds");
        run(&CrdsConfig { dir: Some(crds.clone()), markdown: false }).unwrap();
        let files = api::crd_files();
        assert_eq!(std::fs::read_dir(&crds).unwrap().count(), files.len());
        for (name, text) in files {
            assert_eq!(std::fs::read_to_string(crds.join(name)).unwrap(), text);
        }
    }

    #[test]
    fn a_directory_that_cannot_be_written_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = run(&CrdsConfig { dir: Some(file.path().join("crds")), markdown: false }).unwrap_err().to_string();
        assert_eq!(error, format!("failed to write {}", file.path().join("crds").display()));
    }

    #[test]
    fn a_closed_pipe_is_no_failure_and_a_full_disk_is() {
        struct Refuses(io::ErrorKind);
        impl Write for Refuses {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(self.0.into())
            }

            fn flush(&mut self) -> io::Result<()> {
                Err(self.0.into())
            }
        }
        assert!(print("text", &mut Refuses(io::ErrorKind::BrokenPipe)).is_ok());
        assert!(print("text", &mut Refuses(io::ErrorKind::StorageFull)).is_err());
    }
}
