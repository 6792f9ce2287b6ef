//! `cargo manifests`: writes what is committed and comes from the charts. Run it after a change in `crds/` or `charts/`.

use std::process::ExitCode;

use testbed::{plain, program::checkout};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match write().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:?}");
            ExitCode::FAILURE
        }
    }
}

async fn write() -> testbed::Result<()> {
    // the second part renders a chart that holds the first
    save(plain::chart_crds()?)?;
    save(plain::manifests().await?)
}

fn save(files: Vec<(String, String)>) -> testbed::Result<()> {
    for (name, text) in files {
        let path = checkout().join(&name);
        let failed = |error: std::io::Error| testbed::Error::caused(format!("failed to write {name}"), error);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        std::fs::write(&path, text).map_err(failed)?;
        println!("{name}");
    }
    Ok(())
}
