//! Who must be told by all means, and who need not be, where an edit of the subscription may silence both.

use crate::cluster::{Cluster, Edit, Object};
use crate::setup::Setup;

/// When an edit happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Moment {
    /// No baseline is open: whatever comes is told.
    pub ready: bool,
    /// A leader has something still to hear, so that to it the order of changes may look different.
    pub unheard: bool,
    /// An edit of the subscription among it.
    pub plan_unheard: bool,
}

/// Notes what the edit means for who has to be told.
pub fn note(setup: &Setup, before: &Cluster, after: &mut Cluster, edit: Edit, moment: Moment) {
    if setup.blurs() {
        let there = |uid: u8| after.objects().any(|object| object.uid == uid && setup.selects(after.plan, object));
        let departed: Vec<u8> = (1..=after.uids).filter(|uid| !there(*uid)).collect();
        after.departed.extend(departed);
    }
    if !setup.adopts {
        return;
    }
    let selects = |cluster: &Cluster, object: &Object| cluster.namespace && setup.selects(cluster.plan, object);
    let by_plan = matches!(edit, Edit::Plan(_));
    let objects: Vec<Object> = after.objects().copied().collect();
    for object in objects {
        let uid = object.uid;
        let was = before.objects().any(|old| old.uid == uid && selects(before, old));
        match (was, selects(after, &object)) {
            (false, true) if by_plan || !moment.ready => {
                after.adoptable.insert(uid);
                after.duties.remove(&uid);
            }
            // Who may have been adopted once, and went and came back unnoticed, is still adopted.
            (false, true) if after.adoptable.contains(&uid) => {}
            (false, true) => {
                after.duties.insert(uid);
            }
            (true, false) => {
                after.duties.remove(&uid);
                if by_plan || moment.plan_unheard {
                    after.silenced.insert(uid);
                }
            }
            (true, true) | (false, false) => {}
        }
    }
    if by_plan && moment.unheard || moment.plan_unheard {
        // Who hears of the edit first takes it for what silenced them.
        let gone =
            (1..=after.uids).filter(|uid| !after.objects().any(|object| object.uid == *uid && selects(after, object)));
        let gone: Vec<u8> = gone.collect();
        after.silenced.extend(gone);
    }
}
