//! helm 4, as a user runs it: renders the charts, and installs them into a control plane.
//!
//! Values are given as JSON on standard input; nothing of the user's own helm settings is used.

use std::{path::Path, process::Command};

use serde_json::Value;

use crate::{
    ControlPlane,
    error::{Context, Error, Result},
    process::{self, Output},
    program::checkout,
    tools,
};

/// What `helm template` makes of a chart in `charts/`.
pub async fn template(chart: &str, release: &str, namespace: &str, values: &Value) -> Result<String> {
    let chart = checkout().join("charts").join(chart);
    let args = ["template", release, &chart.display().to_string(), "--namespace", namespace, "--values", "-"];
    only_success(&args, run(&args, values, None).await?)
}

/// Runs helm without a cluster.
pub async fn offline(args: &[&str]) -> Result<Output> {
    run(args, &Value::Null, None).await
}

impl ControlPlane {
    /// Runs helm as admin; with `--values -` among the arguments these are `values`.
    pub async fn helm(&self, args: &[&str], values: &Value) -> Result<Output> {
        run(args, values, Some(self.kubeconfig_path())).await
    }

    /// The same; its standard output, or an error if it fails.
    pub async fn helm_ok(&self, args: &[&str], values: &Value) -> Result<String> {
        only_success(args, self.helm(args, values).await?)
    }
}

async fn run(args: &[&str], values: &Value, kubeconfig: Option<&Path>) -> Result<Output> {
    let helm = tokio::task::spawn_blocking(tools::helm).await.context("failed to look for helm")??;
    // its caches and its list of repositories
    let home = tempfile::tempdir().context("failed to create a folder for helm")?;
    let mut command = Command::new(helm);
    command
        .env_clear()
        .env("HOME", home.path())
        // no kubeconfig of the user's either
        .env("KUBECONFIG", kubeconfig.unwrap_or(&home.path().join("none")))
        .args(args);
    process::run(command, values.to_string().into_bytes()).await
}

fn only_success(args: &[&str], output: Output) -> Result<String> {
    if output.status.success() {
        return Ok(output.stdout);
    }
    Err(Error::new(format!("failed to helm {}: {}", args.join(" "), output.stderr.trim())))
}
