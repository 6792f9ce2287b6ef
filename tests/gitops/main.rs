//! What the tools of GitOps make of a subscription: kstatus, Flux, Argo CD, Helm 4, `kubectl wait`, all with their own code,
//! of objects as the real operator and the real API server give them.

mod examples;
mod helm;
mod judge;
mod kubectl;

mod rows;
mod scenes;
mod testdata;

#[path = "../behaviour/history.rs"]
#[expect(dead_code, reason = "the behaviours need more of it")]
mod history;
#[path = "../behaviour/world.rs"]
#[expect(dead_code, reason = "the behaviours need more of it")]
mod world;
