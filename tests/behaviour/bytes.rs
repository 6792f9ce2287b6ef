//! Bytes that survive a parser: the contract's own sample hashes what it parsed and wrote again.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::PostParams;
use serde_json::json;
use testbed::receiver::Request;

use crate::payload::{sprocket, world_of_sprockets};
use crate::world::{KEY, World, told, verified};

/// The contract's own sample, which hashes what it parsed and wrote again.
const NODE: &str = r"
const crypto = require('crypto');
const lines = require('fs').readFileSync(0, 'latin1').split('\n').filter(Boolean);
for (const line of lines) {
  const [signature, hex] = line.split(' ');
  const bytes = Buffer.from(hex, 'hex');
  const again = JSON.stringify(JSON.parse(bytes.toString('utf8')));
  const expected = 'sha256=' + crypto.createHmac('sha256', process.env.KEY).update(again).digest('hex');
  const same = Buffer.from(again).equals(bytes);
  const verified = crypto.timingSafeEqual(Buffer.from(signature), Buffer.from(expected));
  console.log(same && verified ? 'ok' : again);
}";

/// Has Node parse and write each body; the error shows what it wrote instead.
fn survive_node(requests: &[Request]) {
    let mut input = String::new();
    for request in requests {
        input += request.header("x-signature-256").expect("it is signed");
        input.push(' ');
        for byte in &request.body {
            write!(input, "{byte:02x}").expect("text takes text");
        }
        input.push('\n');
    }
    let mut node = Command::new("node")
        .args(["-e", NODE])
        .env("KEY", KEY)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("node starts; install Node.js to run this test");
    node.stdin.take().expect("it is piped").write_all(input.as_bytes()).expect("node reads");
    let output = node.wait_with_output().expect("node ends");
    assert!(output.status.success());
    let lines: Vec<String> = String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), requests.len());
    for (line, request) in lines.iter().zip(requests) {
        assert_eq!(line, "ok", "it was sent as {}", String::from_utf8_lossy(&request.body));
    }
}

/// Applies a Sprocket with this text as its spec, which nothing but kubectl and the API server reads on its way.
async fn write(world: &World, name: &str, spec: &str) {
    let mut object = sprocket(name, &json!("SPEC"));
    object["metadata"]["namespace"] = json!(world.namespace);
    let output = world.plane().kubectl_apply(&object.to_string().replace("\"SPEC\"", spec)).await;
    let output = output.expect("kubectl runs");
    assert!(output.status.success(), "{}", output.stderr);
}

#[tokio::test]
async fn every_body_survives_the_contracts_node_sample() {
    let world = world_of_sprockets("node", json!({})).await;
    let maps = json!({"resources": [{"apiVersion": "v1", "kind": "ConfigMap"}], "endpoint": {"url": world.receiver.url("/node")}});
    world.subscribe("maps", maps).await;
    let data = json!({".env": "A=1\nB=2\r\n", "10": "ten", "9": "nine", "-": "dash", "_": "low", "__proto__": "p", "01": "padded",
        "constructor": "c", "toJSON": "j", "4294967295": "no index", "4294967294": "index",
        "text": "\"\\\u{8}\u{c}\t\u{0}\u{1f}\u{7f}\u{2028}\u{2029}\u{feff} é 日本 😀 </script>&"});
    // as JSON: YAML has no place for some of these characters
    let odd: ConfigMap = serde_json::from_value(json!({"metadata": {"name": "odd"}, "data": data})).expect("it is one");
    let api: Api<ConfigMap> = Api::namespaced(world.plane().client().await.expect("a client"), &world.namespace);
    api.create(&PostParams::default(), &odd).await.expect("it can be created");
    let specs = [
        r#"{"2":{"10":1,"9":2},"1":[],"":"empty","$":{},"%":null,"a b":true,"toJSON":"x","__proto__":{"a":1},"é":"ü"}"#,
        r#"{"n":[0,-1,0.1,1.5,1e-7,0.000001,1e21,1e20,123456789012345680000,1.7976931348623157e308,5e-324,-0.0,1.0,9007199254740991]}"#,
        r#"{"constructor":{"prototype":{"x":1}},"hasOwnProperty":1,"length":2,"valueOf":"v","-1":0,"1.5":0,"+1":0," 1":0,"01":0,"4294967294":0,"4294967295":0}"#,
    ];
    for (number, spec) in specs.iter().enumerate() {
        write(&world, &format!("odd-{number}"), spec).await;
    }
    let deep = (0..100).fold(json!("bottom"), |inner, _| json!({"7": inner}));
    write(&world, "deep", &deep.to_string()).await;
    let requests = world.requests("node", 5).await;
    survive_node(&requests);
    let odd = requests.iter().find(|request| told(request).1 == "odd").expect("it came");
    let body = String::from_utf8_lossy(&odd.body).into_owned();
    assert!(body.contains(r#""data":{"9":"nine","10":"ten","4294967294":"index","#), "{body}");
    assert!(body.contains("\u{2028}\u{2029}\u{feff} é 日本 😀 </script>&"), "{body}");
    assert!(body.contains(r#""__proto__":"p""#) && body.contains(r#"".env":"A=1\nB=2\r\n""#), "{body}");
}

#[tokio::test]
async fn an_integer_that_a_double_cannot_hold_keeps_its_digits() {
    let world = world_of_sprockets("big", json!({})).await;
    let spec = json!({"big": 9_007_199_254_740_993_i64, "max": i64::MAX, "min": i64::MIN});
    world.apply(&sprocket("big", &spec).to_string()).await;
    let request = world.requests("big", 1).await.remove(0);
    let body = String::from_utf8_lossy(&request.body).into_owned();
    let digits = r#"{"big":9007199254740993,"max":9223372036854775807,"min":-9223372036854775808}"#;
    assert!(body.contains(digits), "{body}");
    assert_eq!(verified(&request)["change"]["object"]["spec"], spec);
}
