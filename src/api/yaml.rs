//! The CRDs as text: what `changehook crds` prints and what is committed under `crds/`.
//!
//! Writes files only in [`write_to`]. Invariant: the same types give the same bytes.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::{Number, Value};

use super::crds;

/// The CRDs could not be written.
#[derive(Debug, thiserror::Error)]
#[error("failed to write {path}")]
pub struct WriteError {
    /// The file or folder.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub source: io::Error,
}

/// All CRDs in one stream.
pub fn crds_yaml() -> String {
    crd_files().into_iter().fold(String::new(), |mut all, (_, text)| {
        write!(all, "---\n{text}").expect("writing to a String cannot fail");
        all
    })
}

/// Each CRD's file name and text.
pub fn crd_files() -> Vec<(String, String)> {
    crds().iter().map(|crd| (format!("{}.yaml", crd.spec.names.plural), document(crd))).collect()
}

/// Writes one file for each CRD into `folder`.
pub fn write_to(folder: &Path) -> Result<(), WriteError> {
    let failed = |path: &Path, source| WriteError { path: path.to_owned(), source };
    std::fs::create_dir_all(folder).map_err(|source| failed(folder, source))?;
    for (name, text) in crd_files() {
        let path = folder.join(name);
        std::fs::write(&path, text).map_err(|source| failed(&path, source))?;
    }
    Ok(())
}

fn document(crd: &CustomResourceDefinition) -> String {
    serde_saphyr::to_string(&value(crd)).expect("JSON is YAML")
}

/// A CRD as JSON, as people would write it.
pub(super) fn value(crd: &CustomResourceDefinition) -> Value {
    let mut value = serde_json::to_value(crd).expect("a CRD is JSON");
    whole_numbers(&mut value);
    value
}

/// The schema types hold bounds as floating point numbers; people and diffs want `30`, not `30.0`.
fn whole_numbers(value: &mut Value) {
    match value {
        Value::Number(number) if !number.is_i64() => {
            if let Some(float) = number.as_f64().filter(|f| f.fract() == 0.0 && f.abs() <= 9_007_199_254_740_991.0) {
                *number = Number::from(float as i64);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(whole_numbers),
        Value::Object(members) => members.values_mut().for_each(whole_numbers),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
