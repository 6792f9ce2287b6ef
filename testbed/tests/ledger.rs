//! The operator's records as tests get at them; any blob will do.

use std::path::Path;

use serde_json::json;
use testbed::ControlPlane;

#[tokio::test]
async fn records_are_damaged_deleted_and_brought_back() {
    let control_plane = ControlPlane::shared().await;
    control_plane.apply_crds(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../crds")).await.unwrap();
    let namespace = control_plane.namespace("ledger").await.unwrap();
    let blob = |name: &str, role: &str, data: &str| {
        json!({"apiVersion": "changehook.dev/v1alpha1", "kind": "DeliveryLedger", "metadata": {"name": name},
            "spec": {"role": role, "format": 1, "data": data}})
        .to_string()
    };
    let manifest = [blob("head", "Head", "aGVhZA=="), blob("1-1", "Segment", "c2VnbWVudA==")].join("\n---\n");
    control_plane.apply_yaml(&manifest, &namespace).await.unwrap();
    let ledger = control_plane.ledger(&namespace).await.unwrap();
    let copy = ledger.list().await.unwrap();
    let segment = ledger.the("Segment").await.unwrap();
    assert_eq!((copy.len(), segment.name(), segment.data().unwrap()), (2, "1-1", b"segment".to_vec()));

    ledger.put(&segment.clone().with_bit_flipped(-1).unwrap()).await.unwrap();
    assert_eq!(ledger.the("Segment").await.unwrap().data().unwrap(), b"segmenu");
    ledger.put(&segment.truncated(3).unwrap().with_format(1000)).await.unwrap();
    let damaged = ledger.the("Segment").await.unwrap();
    assert_eq!(damaged.data().unwrap(), b"seg");
    assert_eq!(damaged.object().unwrap()["spec"]["format"], 1000);

    control_plane.apply_yaml(&blob("1-2", "Shard", "aGVhZA=="), &namespace).await.unwrap();
    ledger.delete("head").await.unwrap();
    ledger.restore(&copy).await.unwrap();
    let names = async || {
        let list = ledger.list().await.unwrap();
        list.iter().map(|one| (one.name().to_owned(), one.data().unwrap())).collect::<Vec<_>>()
    };
    assert_eq!(names().await, [("1-1".to_owned(), b"segment".to_vec()), ("head".to_owned(), b"head".to_vec())]);
    ledger.clear().await.unwrap();
    assert!(names().await.is_empty() && ledger.the("Head").await.is_err());
}
