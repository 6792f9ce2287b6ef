//! What a careful receiver knows: of each object the newest state it was told, and how that compares with the cluster.
//!
//! The recipe of the contract in code that shares nothing with the sender's: check the signature over the raw bytes,
//! then ignore what has no higher sequence than what is known. Invariant: a request that does not verify changes nothing.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{
    error::{Error, Result},
    receiver::{Request, verify},
};

const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// One endpoint's knowledge.
#[derive(Debug)]
pub struct Mirror {
    key: Vec<u8>,
    known: BTreeMap<String, Known>,
}

/// The newest that is known of an object.
#[derive(Debug)]
struct Known {
    name: String,
    sequence: u64,
    // none once it was removed
    object: Option<Value>,
}

/// What a verified request said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// `new`, `updated` or `removed`.
    pub change: String,
    /// `ConfigMap/greeting`.
    pub name: String,
    /// Of the event.
    pub sequence: u64,
    /// Whether the sequence is higher than what was known of the object: else the request was ignored.
    pub news: bool,
}

impl Mirror {
    /// One that knows nothing and checks signatures with this key.
    pub fn new(key: impl Into<Vec<u8>>) -> Self {
        Self { key: key.into(), known: BTreeMap::new() }
    }

    /// Verifies a request and takes in what it says.
    pub fn take(&mut self, request: &Request) -> Result<Told> {
        let body = verify(request, &self.key)?;
        let change = &body["change"];
        let resource = &change["resource"];
        let text = |value: &Value, what: &str| {
            let text = value.as_str().filter(|text| !text.is_empty());
            text.map(str::to_owned).ok_or_else(|| Error::new(format!("failed to read a delivery: it has no {what}")))
        };
        let uid = text(&resource["uid"], "change.resource.uid")?;
        let name = format!("{}/{}", text(&resource["kind"], "kind")?, text(&resource["name"], "name")?);
        let told = text(&change["change_type"], "change.change_type")?;
        let sequence = change["sequence"].as_u64();
        let sequence = sequence.ok_or_else(|| Error::new("failed to read a delivery: it has no change.sequence"))?;
        let object = match told.as_str() {
            "removed" => None,
            _ => Some(change.get("object").cloned().unwrap_or(Value::Null)),
        };
        let news = self.known.get(&uid).is_none_or(|known| known.sequence < sequence);
        if news {
            self.known.insert(uid, Known { name: name.clone(), sequence, object });
        }
        Ok(Told { change: told, name, sequence, news })
    }

    /// How many objects are known to exist.
    pub fn objects(&self) -> usize {
        self.known.values().filter(|known| known.object.is_some()).count()
    }

    /// What is known otherwise than it is in the cluster, one line each: nothing if all was delivered. `cluster` is every
    /// object that is subscribed to, as the API server has it.
    pub fn differences(&self, cluster: &[Value]) -> Vec<String> {
        let mut differences = Vec::new();
        let mut left: BTreeMap<&str, &Known> = self.known.iter().map(|(uid, known)| (uid.as_str(), known)).collect();
        for object in cluster {
            let metadata = &object["metadata"];
            let name = format!("{}/{}", text(&object["kind"]), text(&metadata["name"]));
            match left.remove(text(&metadata["uid"])) {
                None => differences.push(format!("{name} exists, and the endpoint was never told")),
                Some(Known { object: None, .. }) => {
                    differences.push(format!("{name} exists, and the endpoint was told that it was removed"));
                }
                Some(Known { object: Some(known), .. }) if normalised(known) != normalised(object) => {
                    differences.push(format!("{name} is not in the state that the endpoint was told last"));
                }
                Some(_) => {}
            }
        }
        let gone = left.values().filter(|known| known.object.is_some());
        differences.extend(gone.map(|known| format!("{} is gone, and the endpoint was not told", known.name)));
        differences
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Without what the payload leaves out: the server's bookkeeping, and what kubectl keeps for itself.
pub(crate) fn normalised(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.remove("managedFields");
        metadata.remove("resourceVersion");
        if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
            annotations.remove(LAST_APPLIED);
            if annotations.is_empty() {
                metadata.remove("annotations");
            }
        }
    }
    object
}

#[cfg(test)]
mod tests {
    use std::time::{Instant, SystemTime};

    use serde_json::json;

    use super::*;
    use crate::receiver::sign;

    fn request(key: &str, change: &str, name: &str, sequence: u64, data: &Value) -> Request {
        let mut body = json!({"change": {
            "change_type": change, "sequence": sequence,
            "resource": {"kind": "ConfigMap", "name": name, "uid": format!("uid-{name}")},
        }});
        if change != "removed" {
            body["change"]["object"] = object(name, data);
        }
        let body = body.to_string();
        Request {
            index: 0,
            connection: 0,
            arrived: Instant::now(),
            arrived_at: SystemTime::now(),
            finished: None,
            status: None,
            method: "POST".to_owned(),
            target: "/".to_owned(),
            headers: vec![("X-Signature-256".to_owned(), sign(body.as_bytes(), key.as_bytes()).into())],
            body: body.into(),
            complete: true,
        }
    }

    fn object(name: &str, data: &Value) -> Value {
        json!({"kind": "ConfigMap", "metadata": {"name": name, "uid": format!("uid-{name}")}, "data": data})
    }

    /// As the API server has it: with bookkeeping.
    fn stored(name: &str, data: &Value) -> Value {
        let mut object = object(name, data);
        object["metadata"]["resourceVersion"] = json!("7");
        object["metadata"]["managedFields"] = json!([{"manager": "kubectl"}]);
        object["metadata"]["annotations"] = json!({LAST_APPLIED: "{}"});
        object
    }

    #[test]
    fn what_was_delivered_equals_the_cluster_whatever_the_order_of_arrival() {
        let mut mirror = Mirror::new("key");
        assert!(mirror.take(&request("key", "updated", "a", 2, &json!({"n": "2"}))).unwrap().news);
        assert!(!mirror.take(&request("key", "new", "a", 1, &json!({"n": "1"}))).unwrap().news);
        mirror.take(&request("key", "new", "b", 3, &json!({}))).unwrap();
        mirror.take(&request("key", "removed", "b", 4, &json!({}))).unwrap();
        assert_eq!(mirror.differences(&[stored("a", &json!({"n": "2"}))]), Vec::<String>::new());
        assert_eq!(mirror.objects(), 1);
    }

    #[test]
    fn everything_that_was_not_delivered_is_named() {
        let mut mirror = Mirror::new("key");
        for (change, name) in [("new", "old-state"), ("removed", "back"), ("new", "gone")] {
            mirror.take(&request("key", change, name, 1, &json!({"n": "1"}))).unwrap();
        }
        let newer = json!({"n": "2"});
        let cluster = ["untold", "back", "old-state"].map(|name| stored(name, &newer));
        assert_eq!(
            mirror.differences(&cluster),
            [
                "ConfigMap/untold exists, and the endpoint was never told",
                "ConfigMap/back exists, and the endpoint was told that it was removed",
                "ConfigMap/old-state is not in the state that the endpoint was told last",
                "ConfigMap/gone is gone, and the endpoint was not told",
            ]
        );
    }

    #[test]
    fn a_request_that_does_not_verify_changes_nothing() {
        let mut mirror = Mirror::new("key");
        mirror.take(&request("other key", "new", "a", 1, &json!({}))).unwrap_err();
        assert_eq!(mirror.objects(), 0);
    }
}
