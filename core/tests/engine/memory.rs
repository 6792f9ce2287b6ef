use std::sync::Arc;

use changehook_core::select::Seen;

use crate::rig::{Rig, S, config_map, no_connection, retry_after};

/// Everything the engine remembers, written out.
fn size(rig: &Rig) -> usize {
    format!("{:?}", rig.engine).len()
}

#[test]
fn objects_that_come_and_go_while_nothing_is_sent_leave_nothing_behind() {
    let mut rig = Rig::new();
    rig.edit(S, |plan| plan.suspended = true);
    let churn = |rig: &mut Rig, times: usize| {
        for _ in 0..times {
            rig.show("a", 1);
            rig.gone("a");
        }
        rig.run_for(2_000);
    };
    churn(&mut rig, 10);
    let before = size(&rig);
    churn(&mut rig, 1_000);
    assert!(size(&rig) < before + 1_000, "{} grew to {}", before, size(&rig));
}

#[test]
fn retries_that_come_to_nothing_leave_no_alarm_behind() {
    let mut rig = Rig::new();
    let fail = |rig: &mut Rig, times: usize| {
        for n in 0..times {
            let uid = format!("o{}", n % 3);
            rig.show(&uid, 1);
            rig.answer(&uid, retry_after(3_000));
            rig.edit(S, |plan| plan.changes.removed = false);
            rig.gone(&uid);
            rig.edit(S, |plan| {
                plan.changes.removed = true;
                plan.config_hash += 1;
            });
        }
        rig.run_for(2_000);
    };
    fail(&mut rig, 3);
    let before = size(&rig);
    fail(&mut rig, 300);
    assert!(size(&rig) < before + 1_000, "{} grew to {}", before, size(&rig));
}

#[test]
fn a_row_is_held_no_longer_than_its_request_is_under_way() {
    let mut rig = Rig::new();
    let row = rig.row(&config_map(), "a", "a", 1);
    rig.see(S, &config_map(), "a", Seen::Selected(row.clone()));
    rig.show("a", 2);
    assert!(Arc::strong_count(&row) > 1, "what is under way may be needed again by its sender");
    rig.answer("a", no_connection());
    assert_eq!(Arc::strong_count(&row), 1);
}

#[test]
fn of_objects_that_are_gone_the_last_thousand_are_remembered() {
    let mut rig = Rig::new();
    rig.edit(S, |plan| plan.suspended = true);
    let churn = |rig: &mut Rig, uids: std::ops::Range<usize>| {
        for n in uids {
            rig.show(&format!("{n:05}"), 1);
            rig.gone(&format!("{n:05}"));
        }
        rig.run_for(2_000);
    };
    churn(&mut rig, 0..1_000);
    let before = size(&rig);
    churn(&mut rig, 1_000..3_000);
    assert!(size(&rig) < before + 1_000, "{} grew to {}", before, size(&rig));
}
