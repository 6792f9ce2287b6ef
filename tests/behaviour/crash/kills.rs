//! Kill -9 under load, at moments of chance: `cargo soak` does the same for hours.

use testbed::rounds::{self, Plan};

use crate::world::binary;

#[tokio::test]
async fn after_each_of_two_hundred_kills_the_endpoint_becomes_what_the_cluster_is() {
    // the same chance each time; that no two runs are the same is the doing of the machine
    let plan = Plan { binary: binary(), settings: Vec::new(), seed: 4, kills: 200 };
    let report = rounds::run(&plan, |_| {}).await.unwrap_or_else(|error| panic!("{error:?}"));
    println!("{report}");
    assert!(report.kills >= 200 && report.losses == 0 && report.repeats <= report.bound, "{report}");
    assert!(report.events > 2_000, "there was load: {report}");
}
