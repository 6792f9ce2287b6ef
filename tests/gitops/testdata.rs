//! The test data beside the health script, in the layout that Argo CD's own repository wants, made from what the operator
//! gave: `WRITE_TESTDATA=1 cargo test --test gitops the_committed` writes it anew.
//!
//! What differs from run to run (names of the run, times, ids, ports) is put in place by [`steady`]; the conditions are
//! as they were.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::judge::{CUSTOMIZATION, Health, folder, judge, read};
use crate::rows::TABLE;
use crate::scenes::Play;

const HEAD: &str = "# Captured from the operator; see docs/gitops.md.\n";

/// The file of a row, below `testdata/`.
fn file(row: &str) -> String {
    let (.., argo, _, _) = TABLE.iter().find(|line| line.0 == row).expect("every scene is a row of the table");
    let argo = argo.to_lowercase();
    if row.starts_with(&argo) { format!("{row}.yaml") } else { format!("{argo}_{row}.yaml") }
}

/// The same object as if it had been seen somewhere else at another time.
fn steady(object: &Value) -> Value {
    let url = object["spec"]["endpoint"]["url"].as_str().expect("a URL").to_owned();
    let namespace = object["metadata"]["namespace"].as_str().expect("a namespace").to_owned();
    let mut steady = object.clone();
    if let Some(metadata) = steady["metadata"].as_object_mut() {
        metadata.remove("managedFields");
    }
    settle("", &mut steady, &|text| {
        let host = url.trim_start_matches("http://").split('/').next().unwrap_or_default();
        let local = text.replace(&url, "https://hooks.example.com/orders").replace(host, "hooks.example.com");
        local.replace("127.0.0.1", "hooks.example.com").replace(&namespace, "shop")
    });
    steady
}

fn settle(key: &str, value: &mut Value, text: &impl Fn(&str) -> String) {
    match value {
        Value::Object(members) => members.iter_mut().for_each(|(key, value)| settle(key, value, text)),
        Value::Array(items) => items.iter_mut().for_each(|item| settle(key, item, text)),
        Value::String(found) => {
            *found = match key {
                "uid" => "0b4e2c1a-6f1d-4f7e-9d0c-3a5b7c9d1e2f".to_owned(),
                "resourceVersion" => "4711".to_owned(),
                "eventID" => format!("chg_{}", "0123456789abcdef".repeat(2)),
                _ if found.parse::<jiff::Timestamp>().is_ok() => "2026-01-05T10:30:00Z".to_owned(),
                _ => text(found),
            }
        }
        Value::Number(_) if key == "sequence" => *value = json!(3_731_590_134_923_271_u64),
        Value::Number(_) | Value::Bool(_) | Value::Null => {}
    }
}

/// What is judged.
fn shape(object: &Value) -> Value {
    let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let condition = |one: &Value| {
        let word = |field: &str| one[field].as_str().unwrap_or_default().to_owned();
        format!("{}={}({}) of {}", word("type"), word("status"), word("reason"), one["observedGeneration"])
    };
    json!({
        "generation": object["metadata"]["generation"],
        "observedGeneration": object["status"]["observedGeneration"],
        "conditions": conditions.iter().map(condition).collect::<Vec<_>>(),
    })
}

fn parsed(path: &str) -> Value {
    serde_saphyr::from_str(&read(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// What `health_test.yaml` says: health by file.
fn expectations() -> BTreeMap<String, Health> {
    let tests = parsed(&format!("{CUSTOMIZATION}/health_test.yaml"))["tests"].take();
    let of = |test: &Value| {
        let path = test["inputPath"].as_str().expect("a path").to_owned();
        (path, serde_json::from_value(test["healthStatus"].clone()).expect("a health"))
    };
    tests.as_array().expect("a list").iter().map(of).collect()
}

async fn write(play: &Play) {
    let here = folder().join(CUSTOMIZATION);
    let _ = std::fs::remove_dir_all(here.join("testdata"));
    std::fs::create_dir(here.join("testdata")).expect("the folder can be made");
    let objects: Vec<_> = play.scenes.iter().map(|scene| steady(&scene.object)).collect();
    let verdicts = judge(&objects.iter().collect::<Vec<_>>()).await;
    let mut tests = Vec::new();
    for ((scene, object), verdict) in play.scenes.iter().zip(&objects).zip(verdicts) {
        let path = format!("testdata/{}", file(scene.row));
        let yaml = serde_saphyr::to_string(object).expect("an object is YAML");
        std::fs::write(here.join(&path), HEAD.to_owned() + &yaml).expect("the file can be written");
        let Health { status, message } = verdict.argo();
        tests.push(json!({"healthStatus": {"status": status, "message": message}, "inputPath": path}));
    }
    let yaml = serde_saphyr::to_string(&json!({"tests": tests})).expect("it is YAML");
    std::fs::write(here.join("health_test.yaml"), HEAD.to_owned() + &yaml).expect("the file can be written");
}

#[tokio::test]
async fn the_committed_testdata_has_the_shape_of_what_the_operator_gives_now() {
    let play = Play::seen().await;
    if std::env::var_os("WRITE_TESTDATA").is_some() {
        write(play).await;
    }
    let committed = |row: &str| parsed(&format!("{CUSTOMIZATION}/testdata/{}", file(row)));
    for scene in &play.scenes {
        assert_eq!(shape(&committed(scene.row)), shape(&scene.object), "{}", scene.row);
    }
    let mut files: Vec<_> = std::fs::read_dir(folder().join(CUSTOMIZATION).join("testdata"))
        .expect("the folder can be read")
        .map(|entry| entry.expect("it can be read").file_name().into_string().expect("a name in ASCII"))
        .collect();
    files.sort();
    let mut expected: Vec<_> = play.scenes.iter().map(|scene| file(scene.row)).collect();
    expected.sort();
    assert_eq!(files, expected);
}

#[tokio::test]
async fn the_health_script_passes_the_test_that_argo_cd_would_run() {
    let expectations = expectations();
    assert_eq!(expectations.len(), TABLE.len());
    let objects: Vec<_> = expectations.keys().map(|path| parsed(&format!("{CUSTOMIZATION}/{path}"))).collect();
    let verdicts = judge(&objects.iter().collect::<Vec<_>>()).await;
    for ((path, expected), verdict) in expectations.iter().zip(&verdicts) {
        assert_eq!(verdict.argo(), expected, "{path}");
    }
}

#[tokio::test]
async fn the_action_asks_for_a_resync_and_changes_nothing_else() {
    let object = parsed(&format!("{CUSTOMIZATION}/testdata/{}", file("delivering")));
    let verdicts = judge(&[&object]).await;
    assert_eq!(verdicts[0].action("discovery"), &json!({"resync": {"disabled": false}}));
    let mut after = verdicts[0].action("resync").clone();
    let annotations = after["metadata"].as_object_mut().expect("metadata").remove("annotations").expect("annotations");
    let asked = annotations["changehook.dev/resync-requested-at"].as_str().expect("the annotation");
    assert!(asked.parse::<jiff::Timestamp>().is_ok(), "{asked}");
    assert_eq!(annotations.as_object().map(serde_json::Map::len), Some(1));
    for part in ["apiVersion", "kind", "metadata", "spec"] {
        // every number is a floating point number to Lua
        assert_eq!(after[part].to_string().replace(".0", ""), object[part].to_string(), "{part}");
    }
}
