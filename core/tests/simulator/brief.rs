//! What is told of a run, in few words.

use changehook_core::ledger::{Fact, Record};
use changehook_core::object::SourceEvent;
use changehook_core::plan::Plan;
use changehook_core::select::Seen;

pub fn event(event: &SourceEvent) -> String {
    match event {
        SourceEvent::Upsert(row) => {
            let labels: String = row.labels.keys().map(|label| &**label).collect();
            format!("{} is {} with {labels:?} (uid {}, rv {})", &row.name[..1], row.digest.0[0], row.uid, row.rv)
        }
        SourceEvent::Deleted { uid, rv, .. } => format!("uid {uid} is gone (rv {rv})"),
        SourceEvent::Unreadable(name) => format!("{} cannot be read", &name.name[..1]),
        SourceEvent::ListStarted => "a list".to_owned(),
        SourceEvent::ListEnded { rv, unreadable } => format!("the list ends (rv {rv}, {unreadable:?})"),
        SourceEvent::KindAbsent => "it is not installed".to_owned(),
    }
}

pub fn seen(seen: &Seen) -> String {
    match seen {
        Seen::Selected(row) => format!("selected, {} (rv {})", row.digest.0[0], row.rv),
        Seen::Deselected(row) => format!("deselected (rv {})", row.rv),
        Seen::Gone { rv } => format!("gone (rv {rv})"),
        Seen::Unknown => "unknown".to_owned(),
    }
}

pub fn plan(plan: &Plan) -> String {
    let interests = plan.interests.iter().map(|interest| {
        let labels: String = interest.selector.labels.match_labels.keys().map(String::as_str).collect();
        format!("{}[{labels}]", interest.gvk.kind)
    });
    let interests: Vec<String> = interests.collect();
    let stopped = if plan.suspended || plan.held { ", stopped" } else { "" };
    format!("{} wants {}{stopped}, configuration {}", plan.id.uid, interests.join(" "), plan.config_hash)
}

pub fn record(record: &Record) -> String {
    let fact = match &record.fact {
        Fact::Sending { object, change, rv, fp, .. } => {
            format!("Sending {change:?} of uid {} (rv {rv}, fp {:04x})", object.uid, fp.0 & 0xffff)
        }
        Fact::Ack { object, of, rv } => format!("Ack of #{of}, uid {} (rv {rv})", object.uid),
        Fact::Drop { object, of } => format!("Drop of #{of}, uid {}", object.uid),
        Fact::Park { object, of, class, .. } => format!("Park of #{of}, uid {} ({class:?})", object.uid),
        Fact::Release { object } => format!("Release of uid {}", object.uid),
        Fact::Adopt { object, rv, fp, .. } => {
            format!("Adopt of uid {} (rv {rv}, fp {:04x})", object.uid, fp.0 & 0xffff)
        }
        Fact::Owe { object, .. } => format!("Owe of uid {}", object.uid),
        Fact::Mark { kind, rv, open } => format!("Mark of {} (rv {rv}, open {open})", kind.kind),
        other => format!("{other:?}"),
    };
    format!("#{} {}: {fact}", record.seq, record.subscription.uid)
}
