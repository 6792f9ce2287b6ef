//! The ledger as it is stored: core's own keeper and codec on a disk that is written by compare-and-swap, and not always
//! heard from.
//!
//! Beside the bytes it keeps what they must add up to: a leader that claims has to read just that.

use std::sync::Arc;

use changehook_core::engine::Batch;
use changehook_core::ledger::form::Form;
use changehook_core::ledger::keeper::{Claimant, Done, Folded, Found, Keeper, Loaded, Name, Part, Stored, Writes};
use changehook_core::ledger::{Entries, Fact, Named, Record, Usage, codec, keeper};
use changehook_core::object::{Gvk, ObjectKey};
use changehook_core::plan::SubscriptionId;
use changehook_core::proof::{Rule, broken};

use crate::schedule::Damage;

#[derive(Default)]
pub struct Durable {
    /// What all records so far add up to.
    pub entries: Entries,
    disk: Found,
    /// The Head's resourceVersion.
    version: u64,
    /// How often the Head was moved to another object.
    copies: u32,
    /// What is stored is not what was written.
    damaged: bool,
    /// The last leader found something missing; until a fold makes up for it, every leader does.
    pub is_lossy: bool,
}

/// What a leader knows of the ledger: what it wrote last.
pub struct Hold {
    pub keeper: Keeper,
    /// The Head's resourceVersion, after its own last write.
    version: u64,
}

/// One write of the Head, on its way. A repetition is the same bytes on the same condition.
#[derive(Clone)]
pub struct Put {
    base: u64,
    head: Vec<u8>,
    /// What becomes durable with it; none with a fold.
    pub batch: Option<Batch>,
}

/// What a consistent read of the Head says about a write of unknown outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Applied,
    NotApplied,
    /// Somebody else has written.
    Fenced,
}

/// A fold that a leader is making.
pub enum Folding {
    Begun(Vec<Part>, Folded),
    /// Its forms are stored, and no Head names them yet.
    Stored(Folded),
}

impl Durable {
    /// A new leader takes the ledger. Whatever was on its way before is refused from here on.
    pub fn claim(&mut self, holder: u64) -> (Hold, Entries) {
        let claimant = Claimant { cluster: "cluster".to_owned(), own: format!("head-{}", self.copies), holder };
        let names = self.disk.keys().copied().filter(|name| *name != Name::Head);
        let found = self.disk.get(&Name::Head).map(Vec::as_slice);
        let (head, loss) = keeper::claim(found, &claimant, names).expect("no newer version has written it");
        assert!(loss.is_none() || self.damaged || self.is_lossy, "the Head is lost, and nothing was done to it");
        self.disk.insert(Name::Head, codec::encode(&Form::Head(head.clone())));
        self.version += 1;
        let Loaded { keeper, entries, missing: _ } = keeper::load(head, loss, &self.disk);
        self.is_lossy = entries.loss.is_some() || entries.books.values().any(|book| book.loss.is_some());
        let mut read = entries.clone();
        read.loss = None;
        read.books.values_mut().for_each(|book| book.loss = None);
        if std::mem::take(&mut self.damaged) {
            self.entries = read;
        } else {
            assert_eq!(read, self.entries, "what is read back is not what was written");
        }
        for garbage in keeper.garbage(self.disk.keys().copied().collect::<Vec<_>>()) {
            self.disk.remove(&garbage);
        }
        (Hold { keeper, version: self.version }, entries)
    }

    /// What the leader writes so that this is durable. All but the Head is stored at once.
    pub fn begin(&mut self, hold: &mut Hold, batch: Option<Batch>, fold: Option<Folded>) -> Put {
        let sources = batch.as_ref().map(|batch| batch.sources.clone());
        let records = batch.as_ref().map(|batch| batch.records.clone()).unwrap_or_default();
        let Writes { creates, head } = hold.keeper.prepare(records, sources, fold);
        for stored in creates {
            self.store(stored);
        }
        Put { base: hold.version, head, batch }
    }

    fn store(&mut self, stored: Stored) {
        let Stored { name, bytes } = stored;
        let same = self.disk.get(&name).is_none_or(|before| *before == bytes);
        assert!(same, "{name} means two contents");
        self.disk.insert(name, bytes);
    }

    /// The write arrives; false if somebody else was there first. `before` sees each record ahead of its being applied.
    pub fn land(&mut self, put: &Put, mut before: impl FnMut(&Entries, &Record)) -> bool {
        if put.base != self.version && !broken(Rule::ClaimFences) {
            return false;
        }
        self.version += 1;
        self.disk.insert(Name::Head, put.head.clone());
        if let Some(batch) = &put.batch {
            for record in &batch.records {
                before(&self.entries, record);
                self.entries.apply(record);
            }
            self.entries.sources = batch.sources.iter().cloned().collect();
        }
        true
    }

    /// A consistent read tells what became of a write.
    pub fn read(&self, put: &Put) -> Outcome {
        if self.disk[&Name::Head] == put.head {
            Outcome::Applied
        } else if self.version == put.base {
            Outcome::NotApplied
        } else {
            Outcome::Fenced
        }
    }

    /// The leader knows that its write was applied; what nothing reaches any more is deleted.
    pub fn landed(&mut self, hold: &mut Hold) -> Usage {
        hold.version += 1;
        for name in hold.keeper.landed() {
            assert!(self.disk.remove(&name).is_some(), "{name} was not there");
        }
        let (segments, segment_bytes) = hold.keeper.segments();
        Usage { bytes: self.disk[&Name::Head].len() as u64, segments, segment_bytes }
    }

    /// Stores what the fold has made of what is stored.
    pub fn fold(&mut self, parts: Vec<Part>, mut folded: Folded) -> Folded {
        for part in parts {
            let found: Found = part.reads().into_iter().map(|name| (name, self.disk[&name].clone())).collect();
            let (stored, done): (Vec<Stored>, Done) = part.write(&found).expect("nothing is lost");
            for stored in stored {
                self.store(stored);
            }
            folded.add(done);
        }
        folded
    }
}

impl Durable {
    /// A part of what is stored is lost, or not what it was.
    /// Folds cannot go on without a shard that is lost, so where there are folds only segments are.
    pub fn damage(&mut self, how: Damage, pick: u8, folds: bool) {
        let may_be_lost = |name: &Name| matches!(name, Name::Segment(_)) || (!folds && *name != Name::Head);
        let mut parts: Vec<Name> = self.disk.keys().copied().filter(may_be_lost).collect();
        parts.sort_unstable();
        let part = parts.get(usize::from(pick) % parts.len().max(1)).copied();
        match (how, part) {
            (Damage::Deleted, Some(part)) => drop(self.disk.remove(&part)),
            (Damage::Flipped, Some(part)) => self.flip(part, pick),
            (Damage::HeadFlipped, _) => self.flip(Name::Head, pick),
            (Damage::HeadDeleted, _) => drop(self.disk.remove(&Name::Head)),
            (Damage::Copied, _) => self.copies += 1,
            (Damage::AllDeleted, _) => self.disk.clear(),
            (Damage::Deleted | Damage::Flipped, None) => return,
        }
        // Whatever a former leader has on its way is for another object.
        self.version += 1;
        self.damaged = true;
    }

    fn flip(&mut self, name: Name, pick: u8) {
        let Some(bytes) = self.disk.get_mut(&name) else { return };
        // Not in what says that it is a form of this version: that would be another one's.
        let at = 8 + usize::from(pick) * 7 % (bytes.len() - 8);
        bytes[at] ^= 1 << (pick % 8);
    }

    /// A ledger that is full of subscriptions that were deleted since.
    pub fn of_strangers(count: u64) -> Self {
        let mut durable = Self::default();
        let (mut hold, _) = durable.claim(0);
        let records: Vec<Record> = (1..=count).map(stranger).collect();
        for (number, records) in [(1, records), (2, Vec::new())] {
            let fold = hold.keeper.begin_fold().map(|begun| {
                let (parts, folded) = begun.into_parts();
                durable.fold(parts, folded)
            });
            let put = durable.begin(&mut hold, Some(Batch { number, records, sources: Vec::new() }), fold);
            assert!(durable.land(&put, |_, _| ()), "nobody else is there");
            durable.landed(&mut hold);
        }
        durable
    }
}

/// What is known of an object of a subscription that nobody has heard of.
fn stranger(seq: u64) -> Record {
    let gvk = Gvk::new("v1", "ConfigMap");
    let object = ObjectKey { kind: Arc::new(gvk.group_kind()), uid: format!("strange-{seq}").into() };
    let named = Named { gvk: Arc::new(gvk), namespace: None, name: format!("strange-{seq}").into() };
    let subscription = SubscriptionId { uid: format!("stranger-{seq}").into() };
    Record { seq, subscription, fact: Fact::Owe { object, named } }
}
