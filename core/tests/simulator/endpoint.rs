//! One subscription's endpoint: what it believes, by the recipe of the README (what is not higher than seen is ignored),
//! and what the oracle has to remember of each object beside that.

use std::sync::Arc;

use changehook_core::engine::Attempt;
use changehook_core::event::Subject;
use changehook_core::object::{ObjectKey, Row};
use changehook_core::plan::Change;

use crate::cluster::{KINDS, NAMES, content};
use crate::schedule::Answer;

/// What became of a declared event, as far as the present leader can know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Unsent,
    UnderWay,
    Failed,
    Delivered,
}

/// One Sending record that became durable.
#[derive(Clone, Copy, Debug)]
pub struct Declared {
    pub seq: u64,
    pub change: Change,
    pub fate: Fate,
    /// Its acknowledgement is durable.
    pub settled: bool,
    /// It was given up for good.
    pub discarded: bool,
    /// Number and time of its last failed attempt by the present leader.
    pub failed: Option<(u32, u64)>,
    /// What requests told; every one of them the same.
    pub told: Option<(Change, Option<u8>)>,
}

/// One object, for one subscription.
#[derive(Clone, Default)]
pub struct Track {
    /// The highest sequence that arrived.
    pub highest: u64,
    /// What the endpoint holds.
    pub holds: Option<u8>,
    /// Kind and name.
    pub called: Option<(usize, usize)>,
    pub declared: Vec<Declared>,
    /// Adopted: the sequence, and the content's fingerprint.
    pub adopted: Option<(u64, u64)>,
    /// Must never be adopted: an edit met it selected, and left it so.
    pub promised: bool,
    /// It was told, and then what was known of it was lost.
    pub lost: bool,
    /// Records of it up to that sequence may have been lost.
    pub lost_until: u64,
    /// Taken out of the selection by an edit at that sequence: the endpoint is not told.
    pub silenced: Option<u64>,
    /// Its Removed was tried and failed.
    pub removed_failed: bool,
}

pub struct Endpoint {
    /// By object.
    pub tracks: Vec<Track>,
    /// What a receiver believes that knows objects by kind and name alone, and not even sequences: the object, and its
    /// content.
    pub names: [[Option<(usize, u8)>; NAMES.len()]; KINDS],
    /// The same of one that ignores what is not higher than the sequence last seen for that name.
    pub ordered_names: [[(u64, Option<(usize, u8)>); NAMES.len()]; KINDS],
    /// How it answers, whatever the step says.
    pub answers: Answer,
    /// Kinds of changes that arrived: New, Updated, Removed.
    pub said: [bool; 3],
}

impl Endpoint {
    pub fn new() -> Self {
        Self {
            tracks: Vec::new(),
            names: Default::default(),
            ordered_names: Default::default(),
            answers: Answer::Fine,
            said: [false; 3],
        }
    }

    pub fn track(&mut self, object: usize) -> &mut Track {
        if self.tracks.len() <= object {
            self.tracks.resize(object + 1, Track::default());
        }
        &mut self.tracks[object]
    }

    /// A request arrives.
    pub fn receive(&mut self, attempt: &Attempt) {
        let event = &attempt.event;
        let About { object, content, kind, name, .. } = about(attempt);
        assert_eq!(content.is_none(), event.change == Change::Removed);
        self.said[event.change as usize] = true;
        let held = content.map(|content| (object, content));
        self.names[kind][name] = held;
        let (highest, ordered) = &mut self.ordered_names[kind][name];
        if event.sequence > *highest {
            (*highest, *ordered) = (event.sequence, held);
        }
        let track = self.track(object);
        if event.sequence <= track.highest {
            return;
        }
        track.highest = event.sequence;
        track.called = Some((kind, name));
        track.holds = content;
    }
}

impl Track {
    /// What was told last was given up for good; what was declared since then, and dropped before it was told, is nothing.
    pub fn is_discarded(&self) -> bool {
        let told = |declared: &&Declared| declared.fate != Fate::Unsent || !declared.settled;
        self.declared.iter().rev().find(told).is_some_and(|declared| declared.discarded)
    }

    pub fn event(&mut self, sequence: u64) -> Option<&mut Declared> {
        self.declared.iter_mut().rev().find(|event| event.seq == sequence)
    }
}

/// What an attempt is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct About {
    pub object: usize,
    /// If it tells one.
    pub content: Option<u8>,
    pub kind: usize,
    pub name: usize,
}

pub fn about(attempt: &Attempt) -> About {
    let (gvk, uid, content, name) = match &attempt.event.subject {
        Subject::Present(row) => (&row.gvk, &row.uid, Some(content(row)), &row.name),
        Subject::Absent(identity) => (&identity.gvk, &identity.uid, None, &identity.name),
    };
    let kind = usize::from(gvk.kind == "Widget");
    About { object: number_of(uid), content, kind, name: name_number(name) }
}

pub fn key(attempt: &Attempt) -> ObjectKey {
    let (gvk, uid) = match &attempt.event.subject {
        Subject::Present(row) => (&row.gvk, &row.uid),
        Subject::Absent(identity) => (&identity.gvk, &identity.uid),
    };
    ObjectKey { kind: Arc::new(gvk.group_kind()), uid: uid.clone() }
}

pub fn name_of(row: &Row) -> usize {
    name_number(&row.name)
}

pub fn name_number(name: &str) -> usize {
    usize::from(name.as_bytes()[0] - b'a')
}

/// Objects are numbered in order of creation, and their uid is that number.
pub fn number_of(uid: &str) -> usize {
    uid.parse().unwrap()
}
