//! Commits: what may become of one, and what every record must be worth when it becomes durable.

use changehook_core::engine::Batch;
use changehook_core::event::fingerprint;
use changehook_core::ledger::{Entries, Fact, Record};
use changehook_core::object::{Digest, ObjectKey};
use changehook_core::plan::{Change, ChangeTypes};

use crate::brief;
use crate::durable::{Folding, Outcome, Put};
use crate::endpoint::{self, Declared, number_of};
use crate::schedule::Fate;
use crate::world::World;

/// While a commit takes longer than this nothing may be sent.
pub const LONGEST_COMMIT: u64 = 5_000;
/// An acknowledgement may wait this long for company.
const PATIENCE: u64 = 2_000;

impl World {
    /// The leader wants these records durable.
    pub fn begin_commit(&mut self, at: usize, batch: Batch) {
        self.counts.commits += 1;
        if at + 1 == self.leaders.len() {
            self.inform_of_batch(&batch);
        }
        let leader = &mut self.leaders[at];
        assert!(leader.queued.is_none(), "two commits at once");
        leader.committing_since = Some(self.now.mono);
        if leader.put.is_some() {
            leader.queued = Some(batch);
        } else {
            leader.put = Some(self.durable.begin(&mut leader.hold, Some(batch), None));
        }
    }

    pub fn begin_fold(&mut self, at: usize) {
        let leader = &mut self.leaders[at];
        assert!(leader.folding.is_none(), "two folds at once");
        if let Some(fold) = leader.hold.keeper.begin_fold() {
            let (parts, folded) = fold.into_parts();
            leader.folding = Some(Folding::Begun(parts, folded));
        } else {
            // What is damaged has to be on record first.
            let usage = self.durable.usage(&leader.hold);
            leader.engine.folded(self.now, true, usage);
        }
    }

    /// A fold under way goes on by one step.
    pub fn fold(&mut self, old: bool) {
        let Some(at) = self.leader(old) else { return };
        let leader = &mut self.leaders[at];
        match leader.folding.take() {
            Some(Folding::Begun(parts, folded)) => {
                leader.folding = Some(Folding::Stored(self.durable.fold(parts, folded)));
            }
            Some(Folding::Stored(folded)) if leader.put.is_none() => {
                self.counts.folds += 1;
                leader.put = Some(self.durable.begin(&mut leader.hold, None, Some(folded)));
            }
            other => leader.folding = other,
        }
    }

    /// No acknowledgement waits longer than promised, unless a commit is under way.
    pub fn check_patience(&self, at: usize) {
        let leader = &self.leaders[at];
        if leader.put.is_none()
            && let Some((number, object, sequence, since)) = leader.unsaved.first()
        {
            let age = self.now.mono - since;
            assert!(age < PATIENCE, "the answer to #{sequence} ({number}, uid {object}) is {age} ms old, not durable");
        }
    }

    /// The commit under way goes on: if its outcome is unknown, it is read first whether it was applied; if it was not,
    /// the same write goes out again.
    pub fn commit(&mut self, old: bool, fate: Fate) {
        let Some(at) = self.leader(old) else { return };
        let Some(put) = self.leaders[at].put.clone() else { return };
        match self.durable.read(&put) {
            Outcome::Applied => return self.committed(at, &put),
            Outcome::NotApplied => {}
            Outcome::Fenced => return self.fenced(at, &put),
        }
        self.counts.fates[fate as usize] += 1;
        match fate {
            Fate::Lands => {
                assert!(self.land(&put), "refused, although nobody else wrote");
                self.committed(at, &put);
            }
            Fate::LandsUnheard => assert!(self.land(&put), "refused, although nobody else wrote"),
            Fate::Fails => {}
            Fate::Strays => {
                if self.strays.len() < 4 {
                    self.strays.push(put);
                }
            }
        }
    }

    fn committed(&mut self, at: usize, put: &Put) {
        let leader = &mut self.leaders[at];
        leader.put = None;
        let usage = self.durable.landed(&mut leader.hold);
        match &put.batch {
            Some(batch) => {
                leader.committing_since = None;
                leader.engine.stored(self.now, usage);
                leader.engine.committed(self.now, batch.number);
            }
            None => leader.engine.folded(self.now, true, usage),
        }
        if let Some(batch) = leader.queued.take() {
            leader.put = Some(self.durable.begin(&mut leader.hold, Some(batch), None));
        }
        self.pump(at);
    }

    /// Somebody else has the ledger: the operator stops at once. What it had under way may still arrive.
    fn fenced(&mut self, at: usize, put: &Put) {
        assert!(at + 1 < self.leaders.len(), "the present leader is fenced");
        assert!(!self.land(put), "a write from before the claim was applied");
        self.tell(|| format!("leader {at} finds out that the ledger is another's, and exits"));
        self.counts.fenced += 1;
        let leader = self.leaders.remove(at);
        for attempt in leader.requests.into_iter().chain(leader.leftovers) {
            self.give_up(attempt);
        }
    }

    /// A write that its sender knows nothing about arrives.
    pub fn land_stray(&mut self, pick: u8) {
        if !self.strays.is_empty() {
            let put = self.strays.swap_remove(usize::from(pick) % self.strays.len());
            if self.land(&put) {
                self.counts.strays_applied += 1;
            } else {
                self.counts.strays_refused += 1;
            }
        }
    }

    /// A write of the Head arrives; false if it is refused.
    pub fn land(&mut self, put: &Put) -> bool {
        let mut durable = std::mem::take(&mut self.durable);
        let applied = durable.land(put, |entries, record| self.about_to_be_durable(entries, record));
        self.durable = durable;
        applied
    }

    fn about_to_be_durable(&mut self, entries: &Entries, record: &Record) {
        self.tell(|| format!("durable: {}", brief::record(record)));
        assert!(record.seq > entries.seq, "the journal goes backwards");
        let Some(number) = self.number_of(&record.subscription) else {
            let of_all = matches!(record.fact, Fact::Forget | Fact::Lost { .. } | Fact::Rewind);
            assert!(of_all, "a stranger is remembered: {record:?}");
            return;
        };
        let book = entries.books.get(&record.subscription);
        let entry = |object: &ObjectKey| book.and_then(|book| book.entries.get(object));
        let is_open = |object: &ObjectKey| book.and_then(|book| book.marks.get(&object.kind)).filter(|mark| mark.open);
        let usual = self.setup.changes == ChangeTypes::ALL && !self.setup.change_types && self.setup.losses.is_none();
        let resync = book.map_or(0, |book| book.resync);
        if let Some(referee) = &mut self.referee {
            referee.reads(number, record);
        }
        match &record.fact {
            Fact::Sending { object, change, rv, fp, .. } => {
                assert!(is_open(object).is_none(), "declared while its baseline is open");
                let end = *change == Change::Removed;
                let needless = *change == Change::Updated && self.has_it(number, object, *rv, entry(object), resync);
                assert!(!needless, "told again, and the endpoint has acknowledged just that");
                let not_shown = self.overlooked.contains(&number_of(&object.uid));
                let there = self.was_always_selected(number, object) && !not_shown;
                assert!(!end || !there, "told to be gone, and always was there");
                if let Some(entry) = entry(object) {
                    let same = |sending: &changehook_core::ledger::Sending| {
                        // What was declared before everything was asked for again is declared again.
                        let asked_again = fp.0 != 0 && sending.seq < resync;
                        sending.change == *change && (sending.fp == *fp || fp.0 == 0) && !asked_again
                    };
                    assert!(!entry.sending.as_ref().is_some_and(same), "the same state is declared as another event");
                    let known = entry.acked.is_some_and(|acked| acked.fp == *fp && acked.seq >= resync);
                    assert!(!known || entry.sending.is_some(), "declared although it is acknowledged");
                }
                let track = self.endpoints[number].track(number_of(&object.uid));
                assert!(track.declared.last().is_none_or(|last| last.seq < record.seq), "a sequence goes backwards");
                track.declared.push(Declared {
                    seq: record.seq,
                    change: *change,
                    fate: endpoint::Fate::Unsent,
                    settled: false,
                    discarded: false,
                    failed: None,
                    told: None,
                });
            }
            Fact::Ack { object, of, .. } | Fact::Drop { object, of } => {
                let object = number_of(&object.uid);
                if let Some(declared) = self.endpoints[number].track(object).event(*of) {
                    declared.settled = true;
                    declared.discarded = self.setup.discard && declared.fate == endpoint::Fate::Failed;
                }
                if let Some(leader) = self.leaders.last_mut() {
                    leader.unsaved.retain(|(n, o, sequence, _)| (*n, *o, *sequence) != (number, object, *of));
                }
            }
            Fact::Adopt { object, rv, fp, .. } => {
                assert!(!self.setup.notify || !usual, "adopted, although it should be told");
                let told = self.endpoints[number].track(number_of(&object.uid)).lost;
                assert!(!told || !self.is_as_it_was(number), "adopted, although it was told before it was lost");
                if usual {
                    assert!(entry(object).is_none(), "adopted although it is known");
                    let mark = is_open(object).expect("adopted after the baseline was closed");
                    assert!(*rv <= mark.rv, "adopted although it is newer than the baseline");
                }
                let known = entry(object).is_some();
                // What a list leaves out is not owed any more, and may be back before the baseline is closed.
                let noted = self.setup.room == u64::MAX && !self.overlooked.contains(&number_of(&object.uid));
                let track = self.endpoints[number].track(number_of(&object.uid));
                // What is kept out for want of room cannot be noted as owed either.
                assert!(known || !usual || !noted || !track.promised, "it was owed as New, and adopted");
                track.adopted = Some((record.seq, fp.0));
                track.silenced = track.silenced.filter(|since| *since >= record.seq);
            }
            Fact::Park { .. }
            | Fact::Release { .. }
            | Fact::Owe { .. }
            | Fact::Mark { .. }
            | Fact::Unmark { .. }
            | Fact::Resync { .. }
            | Fact::Recipe { .. }
            | Fact::Rewind
            | Fact::Lost { .. }
            | Fact::Forget => {}
        }
    }

    /// The fingerprint that a subscription's ledger has for this content.
    pub fn fingerprint(&self, number: usize, content: u8) -> u64 {
        fingerprint(&self.plans[number].id.uid, Digest([content; 16])).0.max(2)
    }
}
