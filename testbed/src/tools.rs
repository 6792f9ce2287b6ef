//! The programs of the control plane: etcd, kube-apiserver, kubectl. Looked up in `KUBEBUILDER_ASSETS`, then on `PATH`,
//! then in a cache of this user's; what is still missing is built once with Go from `testbed/tools/go.mod`.
//!
//! The cache is outside the checkout's `target`, so `cargo clean` keeps it, and has one folder per content of go.mod and
//! go.sum. A file lock makes test processes that start together build once; a program gets its name only when it is
//! complete. Where Go fetches modules from is the user's own setting. Blocks: call it from a blocking task.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs::File,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use sha2::{Digest as _, Sha256};

use crate::{
    error::{Context, Error, Result},
    process::Child,
};

const GO_MOD: &str = include_str!("../tools/go.mod");
const GO_SUM: &str = include_str!("../tools/go.sum");

/// Program and the Go package it is built from, quickest first.
const PROGRAMS: [(&str, &str); 3] = [
    ("etcd", "go.etcd.io/etcd/server/v3"),
    ("kubectl", "k8s.io/kubernetes/cmd/kubectl"),
    ("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"),
];

const WAYS_OUT: &str = "install Go 1.26 or newer, or set KUBEBUILDER_ASSETS to a folder with etcd, kube-apiserver and \
                        kubectl, or put these three on PATH";

/// Where the programs are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tools {
    /// etcd 3.6 or newer (older ones serve no streaming lists).
    pub etcd: PathBuf,
    /// The API server.
    pub kube_apiserver: PathBuf,
    /// The command line client.
    pub kubectl: PathBuf,
}

impl Tools {
    /// Finds the programs or builds them; the first build takes about ten minutes on two cores and says so on stderr.
    pub fn locate() -> Result<Self> {
        let variables = std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value)));
        Search { variables: variables.collect(), report_every: Duration::from_secs(15) }.locate()
    }
}

/// One search; the environment comes in as an argument so that tests have their own.
struct Search {
    variables: BTreeMap<String, OsString>,
    report_every: Duration,
}

impl Search {
    fn locate(&self) -> Result<Tools> {
        let mut found = BTreeMap::new();
        for (program, _) in PROGRAMS {
            if let Some(path) = self.look_up(program) {
                found.insert(program, path);
            }
        }
        if found.len() < PROGRAMS.len() {
            let cache = self.cache_folder()?;
            let _lock = lock(&cache)?;
            for (number, (program, package)) in PROGRAMS.iter().enumerate() {
                if !found.contains_key(program) {
                    let path = cache.join(program);
                    if !is_program(&path) {
                        self.build(number + 1, program, package, &cache)?;
                    }
                    found.insert(program, path);
                }
            }
        }
        let mut take = |program| {
            found.remove(program).ok_or_else(|| Error::new(format!("failed to find {program}; this is a fault here")))
        };
        Ok(Tools { etcd: take("etcd")?, kube_apiserver: take("kube-apiserver")?, kubectl: take("kubectl")? })
    }

    /// `KUBEBUILDER_ASSETS`, then `PATH`, then the cache as it is.
    fn look_up(&self, program: &str) -> Option<PathBuf> {
        let assets = self.set("KUBEBUILDER_ASSETS").map(|dir| PathBuf::from(dir).join(program));
        let cached = self.cache_folder().ok().map(|dir| dir.join(program));
        assets
            .filter(|path| is_program(path))
            .or_else(|| self.on_path(program))
            .or(cached.filter(|path| is_program(path)))
    }

    fn on_path(&self, program: &str) -> Option<PathBuf> {
        let path = self.set("PATH")?;
        std::env::split_paths(path).map(|dir| dir.join(program)).find(|path| path.is_absolute() && is_program(path))
    }

    /// A variable that is set and not empty.
    fn set(&self, name: &str) -> Option<&OsString> {
        self.variables.get(name).filter(|value| !value.is_empty())
    }

    fn cache_folder(&self) -> Result<PathBuf> {
        let root = if let Some(dir) = self.set("CHANGEHOOK_CACHE") {
            PathBuf::from(dir)
        } else if let Some(dir) = self.set("XDG_CACHE_HOME") {
            PathBuf::from(dir).join("changehook")
        } else if let Some(home) = self.set("HOME") {
            PathBuf::from(home).join(".cache").join("changehook")
        } else {
            return Err(Error::new("failed to find a cache folder: set CHANGEHOOK_CACHE, XDG_CACHE_HOME or HOME"));
        };
        Ok(root.join(versions()))
    }

    fn build(&self, number: usize, program: &str, package: &str, cache: &Path) -> Result<()> {
        let Some(go) = self.on_path("go") else {
            return Err(Error::new(format!("failed to build {program}, because there is no Go toolchain: {WAYS_OUT}")));
        };
        // built in a folder of its own, so that neither the checkout's place nor a go.work around it matters
        let module = tempfile::tempdir_in(cache).context("failed to create a folder to build in")?;
        for (name, text) in [("go.mod", GO_MOD), ("go.sum", GO_SUM)] {
            std::fs::write(module.path().join(name), text).context(format!("failed to write {name}"))?;
        }
        let unfinished = module.path().join(program);
        let mut command = Command::new(go);
        command
            .current_dir(module.path())
            .env_clear()
            .envs(&self.variables)
            .env("CGO_ENABLED", "0")
            .env("GOWORK", "off")
            .args(["build", "-trimpath", "-ldflags", "-s -w", "-o"])
            .arg(&unfinished)
            .arg(package);
        let step = format!("{program} ({number} of {})", PROGRAMS.len());
        say(&format!("building {step} with Go; once, then kept in {}", cache.display()));
        let started = Instant::now();
        let child = Child::spawn("go build", command, &module.path().join("log"))?;
        let status = loop {
            match child.wait_blocking(self.report_every) {
                Some(status) => break status,
                None => say(&format!("still building {step}, {} s so far", started.elapsed().as_secs())),
            }
        };
        if !status.success() {
            let what = format!("failed to build {program}. If this cannot be mended: {WAYS_OUT}. go build");
            return Err(child.error(&what));
        }
        std::fs::rename(&unfinished, cache.join(program)).context(format!("failed to move {program} to the cache"))?;
        say(&format!("built {step} in {} s", started.elapsed().as_secs()));
        Ok(())
    }
}

/// The cache's sub-folder: what is pinned in go.mod and go.sum.
fn versions() -> String {
    let digest = Sha256::new().chain_update(GO_MOD).chain_update(GO_SUM).finalize();
    crate::hex(&digest[..8])
}

/// Held while building; the kernel lets go of it when the process ends, however it ends.
fn lock(cache: &Path) -> Result<File> {
    std::fs::create_dir_all(cache).context(format!("failed to create {}", cache.display()))?;
    let path = cache.join("lock");
    let file = File::create(&path).context(format!("failed to create {}", path.display()))?;
    if file.try_lock().is_err() {
        say("waiting for another process that builds the control plane's programs");
        file.lock().context(format!("failed to lock {}", path.display()))?;
    }
    Ok(file)
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

fn say(text: &str) {
    eprintln!("testbed: {text}");
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn program(dir: &Path, name: &str, script: &str) -> PathBuf {
        let path = dir.join(name);
        std::fs::create_dir_all(dir).unwrap();
        std::fs::write(&path, script).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    fn search(variables: &[(&str, &Path)]) -> Search {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), value.as_os_str().to_owned()));
        Search { variables: variables.collect(), report_every: Duration::from_millis(5) }
    }

    #[test]
    fn assets_come_before_path_and_path_before_the_cache() {
        let dir = tempfile::tempdir().unwrap();
        let (assets, path, cache) = (dir.path().join("assets"), dir.path().join("path"), dir.path().join("cache"));
        let cached = cache.join(versions());
        let first = program(&assets, "etcd", "");
        program(&path, "etcd", "");
        let second = program(&path, "kubectl", "");
        program(&cached, "kubectl", "");
        let third = program(&cached, "kube-apiserver", "");
        let tools = search(&[("KUBEBUILDER_ASSETS", &assets), ("PATH", &path), ("CHANGEHOOK_CACHE", &cache)]).locate();
        assert_eq!(tools.unwrap(), Tools { etcd: first, kubectl: second, kube_apiserver: third });
    }

    #[test]
    fn without_go_one_sentence_names_the_three_ways_out() {
        let dir = tempfile::tempdir().unwrap();
        let error = search(&[("PATH", dir.path()), ("XDG_CACHE_HOME", dir.path())]).locate().unwrap_err();
        assert_eq!(
            error.to_string(),
            "failed to build etcd, because there is no Go toolchain: install Go 1.26 or newer, or set \
             KUBEBUILDER_ASSETS to a folder with etcd, kube-apiserver and kubectl, or put these three on PATH"
        );
    }

    #[test]
    fn searches_at_the_same_time_build_each_program_once_into_the_cache() {
        let dir = tempfile::tempdir().unwrap();
        // a Go that takes a moment, counts its runs and writes the program it is asked for
        let script = format!(
            "#!/bin/sh\n/bin/sleep 0.05\nwhile [ \"$1\" != -o ]; do shift; done\necho \"$3\" >> {0}/runs\n\
             /bin/cp {0}/bin/go \"$2\"\n",
            dir.path().display()
        );
        let bin = dir.path().join("bin");
        program(&bin, "go", &script);
        let locate = || search(&[("PATH", &bin), ("HOME", dir.path())]).locate();
        let (one, two) = std::thread::scope(|scope| {
            let (one, two) = (scope.spawn(locate), scope.spawn(locate));
            (one.join().unwrap().unwrap(), two.join().unwrap().unwrap())
        });
        assert_eq!(one, two);
        let cache = dir.path().join(".cache/changehook").join(versions());
        assert_eq!(one.etcd, cache.join("etcd"));
        let runs = std::fs::read_to_string(dir.path().join("runs")).unwrap();
        assert_eq!(runs.lines().collect::<Vec<_>>(), PROGRAMS.map(|(_, package)| package));
        let mut left: Vec<_> = std::fs::read_dir(&cache).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["etcd", "kube-apiserver", "kubectl", "lock"]);
    }

    #[test]
    fn a_failed_build_shows_what_go_said_and_leaves_no_program() {
        let dir = tempfile::tempdir().unwrap();
        program(dir.path(), "go", "#!/bin/sh\necho go.mod requires go 1.26.0 >&2; exit 1\n");
        let error = search(&[("PATH", dir.path()), ("CHANGEHOOK_CACHE", dir.path())]).locate().unwrap_err().to_string();
        assert!(error.contains("go.mod requires go 1.26.0") && error.contains(WAYS_OUT), "{error}");
        assert!(!dir.path().join(versions()).join("etcd").exists());
    }
}
