//! One Go module: its programs are looked up in `KUBEBUILDER_ASSETS`, then on `PATH` (if any version will do), then in a
//! cache of this user's; what is still missing is built.
//!
//! The cache is outside the checkout's `target`, so `cargo clean` keeps it, and has one folder per content of the
//! module's files. A file lock makes test processes that start together build once; a program gets its name only when
//! it is complete. Where Go fetches modules from is the user's own setting.

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

/// A folder in `testbed/tools/`.
pub(super) struct Module {
    /// The folder's name.
    pub(super) name: &'static str,
    /// All its files: name and text. go.mod, go.sum, and sources of its own if it has any.
    pub(super) files: &'static [(&'static str, &'static str)],
    /// Program and the Go package it is built from; `.` is the module's own.
    pub(super) programs: &'static [(&'static str, &'static str)],
    /// Whether the user's own program will do.
    pub(super) on_path: bool,
    /// What a user can do who has no Go.
    pub(super) ways_out: &'static str,
}

impl Module {
    /// The cache's sub-folder: a hash of the files, which pin everything.
    fn version(&self) -> String {
        let digest = self.files.iter().fold(Sha256::new(), |hash, (_, text)| hash.chain_update(text)).finalize();
        crate::hex(&digest[..8])
    }
}

/// One search; the environment comes in as an argument so that tests have their own.
pub(super) struct Search {
    variables: BTreeMap<String, OsString>,
    report_every: Duration,
}

impl Search {
    /// With the environment of this process.
    pub(super) fn of_this_process() -> Self {
        let variables = std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value)));
        Self { variables: variables.collect(), report_every: Duration::from_secs(15) }
    }

    /// Every program of the module and its path.
    pub(super) fn locate(&self, module: &Module) -> Result<BTreeMap<&'static str, PathBuf>> {
        let mut found = BTreeMap::new();
        for (program, _) in module.programs {
            if let Some(path) = self.look_up(module, program) {
                found.insert(*program, path);
            }
        }
        if found.len() < module.programs.len() {
            let cache = self.cache_folder(module)?;
            let _lock = lock(&cache, module)?;
            for (number, (program, _)) in module.programs.iter().enumerate() {
                if !found.contains_key(program) {
                    let path = cache.join(program);
                    if !is_program(&path) {
                        self.build(module, number, &cache)?;
                    }
                    found.insert(*program, path);
                }
            }
        }
        Ok(found)
    }

    /// `KUBEBUILDER_ASSETS`, then `PATH`, then the cache as it is.
    fn look_up(&self, module: &Module, program: &str) -> Option<PathBuf> {
        let assets = self.set("KUBEBUILDER_ASSETS").map(|dir| PathBuf::from(dir).join(program));
        let cached = self.cache_folder(module).ok().map(|dir| dir.join(program));
        assets
            .filter(|path| is_program(path))
            .or_else(|| if module.on_path { self.on_path(program) } else { None })
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

    fn cache_folder(&self, module: &Module) -> Result<PathBuf> {
        let root = if let Some(dir) = self.set("CHANGEHOOK_CACHE") {
            PathBuf::from(dir)
        } else if let Some(dir) = self.set("XDG_CACHE_HOME") {
            PathBuf::from(dir).join("changehook")
        } else if let Some(home) = self.set("HOME") {
            PathBuf::from(home).join(".cache").join("changehook")
        } else {
            return Err(Error::new("failed to find a cache folder: set CHANGEHOOK_CACHE, XDG_CACHE_HOME or HOME"));
        };
        Ok(root.join(module.version()))
    }

    fn build(&self, module: &Module, number: usize, cache: &Path) -> Result<()> {
        let (program, package) = module.programs[number];
        let Some(go) = self.on_path("go") else {
            return Err(Error::new(format!(
                "failed to build {program}, because there is no Go toolchain: {}",
                module.ways_out
            )));
        };
        // built in a folder of its own, so that neither the checkout's place nor a go.work around it matters
        let folder = tempfile::tempdir_in(cache).context("failed to create a folder to build in")?;
        for (name, text) in module.files {
            std::fs::write(folder.path().join(name), text).context(format!("failed to write {name}"))?;
        }
        let unfinished = folder.path().join(program);
        let mut command = Command::new(go);
        command
            .current_dir(folder.path())
            .env_clear()
            .envs(&self.variables)
            .env("CGO_ENABLED", "0")
            .env("GOWORK", "off")
            .args(["build", "-trimpath", "-ldflags", "-s -w", "-o"])
            .arg(&unfinished)
            .arg(package);
        let step = format!("{program} ({} of {})", number + 1, module.programs.len());
        say(&format!("building {step} with Go; once, then kept in {}", cache.display()));
        let started = Instant::now();
        let child = Child::spawn("go build", command, &folder.path().join("log"))?;
        let status = loop {
            match child.wait_blocking(self.report_every) {
                Some(status) => break status,
                None => say(&format!("still building {step}, {} s so far", started.elapsed().as_secs())),
            }
        };
        if !status.success() {
            let what = format!("failed to build {program}. If this cannot be mended: {}. go build", module.ways_out);
            return Err(child.error(&what));
        }
        std::fs::rename(&unfinished, cache.join(program)).context(format!("failed to move {program} to the cache"))?;
        say(&format!("built {step} in {} s", started.elapsed().as_secs()));
        Ok(())
    }
}

/// Held while building; the kernel lets go of it when the process ends, however it ends.
fn lock(cache: &Path, module: &Module) -> Result<File> {
    std::fs::create_dir_all(cache).context(format!("failed to create {}", cache.display()))?;
    let path = cache.join("lock");
    let file = File::create(&path).context(format!("failed to create {}", path.display()))?;
    if file.try_lock().is_err() {
        say(&format!("waiting for another process that builds the programs of testbed/tools/{}", module.name));
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

    use super::{super::CONTROL_PLANE, *};

    const OURS: Module = Module {
        name: "ours",
        files: &[("go.mod", "module ours"), ("main.go", "package main")],
        programs: &[("ours", ".")],
        on_path: false,
        ways_out: "install Go",
    };

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
        let cached = cache.join(CONTROL_PLANE.version());
        let first = program(&assets, "etcd", "");
        program(&path, "etcd", "");
        let second = program(&path, "kubectl", "");
        program(&cached, "kubectl", "");
        let third = program(&cached, "kube-apiserver", "");
        let search = search(&[("KUBEBUILDER_ASSETS", &assets), ("PATH", &path), ("CHANGEHOOK_CACHE", &cache)]);
        let expected = [("etcd", first), ("kubectl", second), ("kube-apiserver", third)];
        assert_eq!(search.locate(&CONTROL_PLANE).unwrap(), BTreeMap::from(expected));
    }

    #[test]
    fn a_program_whose_version_matters_is_not_taken_from_path() {
        let dir = tempfile::tempdir().unwrap();
        let (assets, path, cache) = (dir.path().join("assets"), dir.path().join("path"), dir.path().join("cache"));
        program(&path, "ours", "");
        let cached = program(&cache.join(OURS.version()), "ours", "");
        let found = search(&[("PATH", &path), ("CHANGEHOOK_CACHE", &cache)]).locate(&OURS).unwrap();
        assert_eq!(found["ours"], cached);
        let given = program(&assets, "ours", "");
        let found = search(&[("KUBEBUILDER_ASSETS", &assets), ("CHANGEHOOK_CACHE", &cache)]).locate(&OURS).unwrap();
        assert_eq!(found["ours"], given);
    }

    #[test]
    fn without_go_one_sentence_names_the_three_ways_out() {
        let dir = tempfile::tempdir().unwrap();
        let search = search(&[("PATH", dir.path()), ("XDG_CACHE_HOME", dir.path())]);
        assert_eq!(
            search.locate(&CONTROL_PLANE).unwrap_err().to_string(),
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
        let locate = || search(&[("PATH", &bin), ("HOME", dir.path())]).locate(&CONTROL_PLANE);
        let (one, two) = std::thread::scope(|scope| {
            let (one, two) = (scope.spawn(locate), scope.spawn(locate));
            (one.join().unwrap().unwrap(), two.join().unwrap().unwrap())
        });
        assert_eq!(one, two);
        let cache = dir.path().join(".cache/changehook").join(CONTROL_PLANE.version());
        assert_eq!(one["etcd"], cache.join("etcd"));
        let runs = std::fs::read_to_string(dir.path().join("runs")).unwrap();
        let packages: Vec<_> = CONTROL_PLANE.programs.iter().map(|(_, package)| *package).collect();
        assert_eq!(runs.lines().collect::<Vec<_>>(), packages);
        let mut left: Vec<_> = std::fs::read_dir(&cache).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["etcd", "kube-apiserver", "kubectl", "lock"]);
    }

    #[test]
    fn a_module_with_sources_of_its_own_is_built_from_all_of_them_and_anew_when_one_changes() {
        let dir = tempfile::tempdir().unwrap();
        // a Go whose program is what lies beside it
        let script = "#!/bin/sh\nwhile [ \"$1\" != -o ]; do shift; done\n\
                      { /bin/cat go.mod main.go; echo \"$3\"; } > \"$2\"; /bin/chmod +x \"$2\"\n";
        let bin = dir.path().join("bin");
        program(&bin, "go", script);
        let found = search(&[("PATH", &bin), ("HOME", dir.path())]).locate(&OURS).unwrap();
        assert_eq!(std::fs::read_to_string(&found["ours"]).unwrap(), "module ourspackage main.\n");
        let changed = Module { files: &[("go.mod", "module ours"), ("main.go", "package main // 2")], ..OURS };
        assert_ne!(OURS.version(), changed.version());
    }

    #[test]
    fn a_failed_build_shows_what_go_said_and_leaves_no_program() {
        let dir = tempfile::tempdir().unwrap();
        program(dir.path(), "go", "#!/bin/sh\necho go.mod requires go 1.26.0 >&2; exit 1\n");
        let search = search(&[("PATH", dir.path()), ("CHANGEHOOK_CACHE", dir.path())]);
        let error = search.locate(&CONTROL_PLANE).unwrap_err().to_string();
        assert!(error.contains("go.mod requires go 1.26.0") && error.contains(CONTROL_PLANE.ways_out), "{error}");
        assert!(!dir.path().join(CONTROL_PLANE.version()).join("etcd").exists());
    }
}
