//! What is spelled out once in a blob and numbered from then on, and what is written as a difference from the one before.
//!
//! Touches nothing. Invariants: writer and reader number the same things in the same order and remember the same ones
//! before; what has a number is shared in memory after reading, so that many mentions cost one allocation.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::CodecError;
use super::bytes::{Input, Output, utf8};
use crate::ledger::Loss;
use crate::ledger::form::Label;
use crate::object::{GroupKind, Gvk};
use crate::outcome::Class;
use crate::plan::Change;

/// Longer texts and kinds get no number: a source copies what it refers to, so a few bytes must not stand for many.
/// Nothing in Kubernetes that could be numbered is longer.
const LONGEST_NUMBERED: usize = 255;

/// As many bytes as a name shares with the one before, at most: a few bytes must not stand for many.
const LONGEST_PREFIX: usize = 127;

/// Numbers from 1 in order of first mention; 0 announces a first mention.
struct Numbers<K>(BTreeMap<K, u64>);

impl<K> Default for Numbers<K> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Ord> Numbers<K> {
    /// The number of what was mentioned before; 0, and a number for the next time, for what was not.
    fn mention(&mut self, key: K) -> u64 {
        let next = self.0.len() as u64 + 1;
        match *self.0.entry(key).or_insert(next) {
            number if number == next => 0,
            number => number,
        }
    }
}

fn known<T: Clone>(all: &[T], number: u64) -> Result<T, CodecError> {
    let item = number.checked_sub(1).and_then(|at| all.get(usize::try_from(at).ok()?));
    item.cloned().ok_or(CodecError::Invalid("a number stands for nothing"))
}

/// A blob being written.
#[derive(Default)]
pub(super) struct Writer<'a> {
    pub out: Output,
    texts: Numbers<&'a str>,
    kinds: Numbers<&'a GroupKind>,
    gvks: Numbers<&'a Gvk>,
    places: Numbers<(&'a Gvk, Option<&'a str>)>,
    hashes: Numbers<u64>,
    name: &'a str,
    label: (u64, u64),
    seq: u64,
    rv: u64,
}

impl<'a> Writer<'a> {
    pub fn text(&mut self, text: &'a str) {
        self.text_from(text, 0);
    }

    /// 0 for none, else as [`Self::text`] with its first number one higher.
    pub fn optional_text(&mut self, text: Option<&'a str>) {
        match text {
            None => self.out.number(0),
            Some(text) => self.text_from(text, 1),
        }
    }

    fn text_from(&mut self, text: &'a str, first: u64) {
        let number = if text.len() <= LONGEST_NUMBERED { self.texts.mention(text) } else { 0 };
        self.out.number(first + number);
        if number == 0 {
            self.out.text(text);
        }
    }

    pub fn kind(&mut self, kind: &'a GroupKind) {
        let number = self.kinds.mention(kind);
        self.out.number(number);
        if number == 0 {
            self.out.bytes(kind.group.as_bytes());
            self.out.bytes(kind.kind.as_bytes());
        }
    }

    pub fn gvk(&mut self, gvk: &'a Gvk) {
        let number = if gvk_len(gvk) <= LONGEST_NUMBERED { self.gvks.mention(gvk) } else { 0 };
        self.out.number(number);
        if number == 0 {
            self.out.bytes(gvk.group.as_bytes());
            self.out.bytes(gvk.version.as_bytes());
            self.out.bytes(gvk.kind.as_bytes());
        }
    }

    /// A kind with its version, and a namespace.
    pub fn place(&mut self, gvk: &'a Gvk, namespace: Option<&'a str>) {
        let number = self.places.mention((gvk, namespace));
        self.out.number(number);
        if number == 0 {
            self.gvk(gvk);
            self.optional_text(namespace);
        }
    }

    pub fn hash(&mut self, hash: u64) {
        let number = self.hashes.mention(hash);
        self.out.number(number);
        if number == 0 {
            self.out.eight(hash);
        }
    }

    /// How many bytes are as in the name before, and the rest.
    pub fn name(&mut self, name: &'a str) {
        let pairs = name.bytes().zip(self.name.bytes()).take(LONGEST_PREFIX);
        let same = pairs.take_while(|(one, other)| one == other).count();
        self.out.byte(same as u8);
        self.out.bytes(&name.as_bytes()[same..]);
        self.name = name;
    }

    pub fn label(&mut self, label: Label) {
        self.out.near(label.term, self.label.0);
        self.out.near(label.number, self.label.1);
        self.label = (label.term, label.number);
    }

    /// A sequence that the next one is compared with.
    pub fn seq(&mut self, seq: u64) {
        self.out.near(seq, self.seq);
        self.seq = seq;
    }

    /// A sequence that the next one is not compared with.
    pub fn of(&mut self, of: u64) {
        self.out.near(of, self.seq);
    }

    pub fn seqs_follow(&mut self, seq: u64) {
        self.seq = seq;
    }

    pub fn rv(&mut self, rv: u64) {
        self.out.near(rv, self.rv);
        self.rv = rv;
    }
}

/// A blob being read.
pub(super) struct Reader<'a> {
    pub input: Input<'a>,
    texts: Vec<Arc<str>>,
    kinds: Vec<Arc<GroupKind>>,
    gvks: Vec<Arc<Gvk>>,
    places: Vec<Place>,
    hashes: Vec<u64>,
    name: Arc<str>,
    /// Where a name is put together.
    whole: Vec<u8>,
    label: (u64, u64),
    seq: u64,
    rv: u64,
}

/// A kind with its version, and a namespace.
pub(super) type Place = (Arc<Gvk>, Option<Arc<str>>);

impl<'a> Reader<'a> {
    pub fn new(body: &'a [u8]) -> Self {
        Self {
            input: Input::new(body),
            texts: Vec::new(),
            kinds: Vec::new(),
            gvks: Vec::new(),
            places: Vec::new(),
            hashes: Vec::new(),
            name: Arc::from(""),
            whole: Vec::new(),
            label: (0, 0),
            seq: 0,
            rv: 0,
        }
    }

    pub fn text(&mut self) -> Result<Arc<str>, CodecError> {
        let number = self.input.number()?;
        self.text_of(number)
    }

    pub fn optional_text(&mut self) -> Result<Option<Arc<str>>, CodecError> {
        match self.input.number()? {
            0 => Ok(None),
            more => self.text_of(more - 1).map(Some),
        }
    }

    fn text_of(&mut self, number: u64) -> Result<Arc<str>, CodecError> {
        if number != 0 {
            return known(&self.texts, number);
        }
        let text: Arc<str> = self.input.text()?;
        if text.len() <= LONGEST_NUMBERED {
            self.texts.push(Arc::clone(&text));
        }
        Ok(text)
    }

    pub fn kind(&mut self) -> Result<Arc<GroupKind>, CodecError> {
        match self.input.number()? {
            0 => {
                let kind = Arc::new(GroupKind { group: self.owned()?, kind: self.owned()? });
                self.kinds.push(Arc::clone(&kind));
                Ok(kind)
            }
            number => known(&self.kinds, number),
        }
    }

    pub fn gvk(&mut self) -> Result<Arc<Gvk>, CodecError> {
        let number = self.input.number()?;
        if number != 0 {
            return known(&self.gvks, number);
        }
        let gvk = Arc::new(Gvk { group: self.owned()?, version: self.owned()?, kind: self.owned()? });
        if gvk_len(&gvk) <= LONGEST_NUMBERED {
            self.gvks.push(Arc::clone(&gvk));
        }
        Ok(gvk)
    }

    fn owned(&mut self) -> Result<String, CodecError> {
        Ok(utf8(self.input.bytes()?)?.to_owned())
    }

    pub fn place(&mut self) -> Result<Place, CodecError> {
        match self.input.number()? {
            0 => {
                let place = (self.gvk()?, self.optional_text()?);
                self.places.push(place.clone());
                Ok(place)
            }
            number => known(&self.places, number),
        }
    }

    pub fn hash(&mut self) -> Result<u64, CodecError> {
        match self.input.number()? {
            0 => {
                let hash = self.input.eight()?;
                self.hashes.push(hash);
                Ok(hash)
            }
            number => known(&self.hashes, number),
        }
    }

    pub fn name(&mut self) -> Result<Arc<str>, CodecError> {
        let same = usize::from(self.input.byte()?);
        let before = self.name.as_bytes().get(..same).filter(|_| same <= LONGEST_PREFIX);
        let before = before.ok_or(CodecError::Invalid("a name shares more with the one before than that has"))?;
        let rest = self.input.bytes()?;
        if !rest.is_empty() || same < self.name.len() {
            self.whole.clear();
            self.whole.extend_from_slice(before);
            self.whole.extend_from_slice(rest);
            self.name = Arc::from(utf8(&self.whole)?);
        }
        Ok(Arc::clone(&self.name))
    }

    pub fn label(&mut self) -> Result<Label, CodecError> {
        let (term, number) = (self.input.near(self.label.0)?, self.input.near(self.label.1)?);
        self.label = (term, number);
        Ok(Label { term, number })
    }

    pub fn seq(&mut self) -> Result<u64, CodecError> {
        self.seq = self.input.near(self.seq)?;
        Ok(self.seq)
    }

    pub fn of(&mut self) -> Result<u64, CodecError> {
        self.input.near(self.seq)
    }

    pub fn seqs_follow(&mut self, seq: u64) {
        self.seq = seq;
    }

    pub fn rv(&mut self) -> Result<u64, CodecError> {
        self.rv = self.input.near(self.rv)?;
        Ok(self.rv)
    }

    /// A list of things of which each takes at least `least` bytes.
    pub fn list<T>(
        &mut self,
        least: usize,
        mut read: impl FnMut(&mut Self) -> Result<T, CodecError>,
    ) -> Result<Vec<T>, CodecError> {
        let count = self.input.count(least)?;
        let mut list = Vec::with_capacity(count);
        for _ in 0..count {
            list.push(read(self)?);
        }
        Ok(list)
    }
}

fn gvk_len(gvk: &Gvk) -> usize {
    gvk.group.len() + gvk.version.len() + gvk.kind.len()
}

pub(super) fn change_code(change: Change) -> u8 {
    match change {
        Change::New => 0,
        Change::Updated => 1,
        Change::Removed => 2,
    }
}

pub(super) fn change_of(code: u8) -> Result<Change, CodecError> {
    match code {
        0 => Ok(Change::New),
        1 => Ok(Change::Updated),
        2 => Ok(Change::Removed),
        _ => Err(CodecError::Invalid("there is no such change")),
    }
}

pub(super) fn class_code(class: Class) -> u8 {
    match class {
        Class::Endpoint => 0,
        Class::Event => 1,
    }
}

pub(super) fn class_of(code: u8) -> Result<Class, CodecError> {
    match code {
        0 => Ok(Class::Endpoint),
        1 => Ok(Class::Event),
        _ => Err(CodecError::Invalid("there is no such class")),
    }
}

pub(super) fn loss_code(loss: Option<Loss>) -> u8 {
    match loss {
        None => 0,
        Some(Loss::Missing) => 1,
        Some(Loss::Corrupt) => 2,
        Some(Loss::Foreign) => 3,
        Some(Loss::Outdated) => 4,
    }
}

pub(super) fn loss_of(code: u8) -> Result<Option<Loss>, CodecError> {
    match code {
        0 => Ok(None),
        1 => Ok(Some(Loss::Missing)),
        2 => Ok(Some(Loss::Corrupt)),
        3 => Ok(Some(Loss::Foreign)),
        4 => Ok(Some(Loss::Outdated)),
        _ => Err(CodecError::Invalid("there is no such loss")),
    }
}
