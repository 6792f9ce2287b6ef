//! The bodies of Head, Segment, Directory and Index.
//!
//! Touches nothing. Invariant: a list of records comes before everything that has numbers, so that it has the same bytes in
//! a Head and in a Segment.

use super::CodecError;
use super::records;
use super::shared::{Reader, Writer, loss_code, loss_of};
use crate::ledger::form::{Directory, Head, Index, IndexRef, Indexes, Label, Segment, ShardRef};
use crate::ledger::{Mark, Recipe};
use crate::object::SourceId;
use crate::plan::SubscriptionId;

/// The fewest bytes of each thing in a list: every number and every text has one at least.
const LEAST_SOURCE: usize = 3;
const LEAST_LABEL: usize = 2;
const LEAST_INDEX: usize = 3;
const LEAST_MARK: usize = 3;
const LEAST_RECIPE: usize = 3;
const LEAST_BUCKET: usize = 1;

pub(super) fn write_head<'a>(writer: &mut Writer<'a>, head: &'a Head) {
    let Head { cluster, own, holder, term, commit, seq, sources, segments, indexes, loss, tail } = head;
    writer.out.text(cluster);
    writer.out.text(own);
    writer.out.eight(*holder);
    for number in [*term, *commit, *seq] {
        writer.out.number(number);
    }
    writer.out.byte(loss_code(*loss));
    records::write(writer, tail);
    writer.out.length(segments.len());
    for label in segments {
        writer.label(*label);
    }
    match indexes {
        Indexes::Inline(indexes) => {
            writer.out.flag(false);
            write_index_refs(writer, indexes);
        }
        Indexes::Elsewhere(label) => {
            writer.out.flag(true);
            writer.label(*label);
        }
    }
    writer.out.length(sources.len());
    for (source, rv) in sources {
        writer.gvk(&source.gvk);
        writer.optional_text(source.namespace.as_deref());
        writer.rv(*rv);
    }
}

pub(super) fn read_head(reader: &mut Reader<'_>) -> Result<Head, CodecError> {
    let (cluster, own, holder) = (reader.input.text()?, reader.input.text()?, reader.input.eight()?);
    let (term, commit, seq) = (reader.input.number()?, reader.input.number()?, reader.input.number()?);
    let loss = loss_of(reader.input.byte()?)?;
    let tail = records::read(reader)?;
    let segments = reader.list(LEAST_LABEL, Reader::label)?;
    let indexes = if reader.input.flag()? {
        Indexes::Elsewhere(reader.label()?)
    } else {
        Indexes::Inline(read_index_refs(reader)?)
    };
    let sources = reader.list(LEAST_SOURCE, |reader| {
        let (gvk, namespace) = (reader.gvk()?, reader.optional_text()?);
        let source =
            SourceId { gvk: (*gvk).clone(), namespace: namespace.map(|namespace| namespace.as_ref().to_owned()) };
        Ok((source, reader.rv()?))
    })?;
    Ok(Head { cluster, own, holder, term, commit, seq, sources, segments, indexes, loss, tail })
}

pub(super) fn write_segment<'a>(writer: &mut Writer<'a>, segment: &'a Segment) {
    writer.label(segment.label);
    records::write(writer, &segment.records);
}

pub(super) fn read_segment(reader: &mut Reader<'_>) -> Result<Segment, CodecError> {
    Ok(Segment { label: reader.label()?, records: records::read(reader)? })
}

pub(super) fn write_directory<'a>(writer: &mut Writer<'a>, directory: &'a Directory) {
    writer.label(directory.label);
    write_index_refs(writer, &directory.indexes);
}

pub(super) fn read_directory(reader: &mut Reader<'_>) -> Result<Directory, CodecError> {
    Ok(Directory { label: reader.label()?, indexes: read_index_refs(reader)? })
}

fn write_index_refs<'a>(writer: &mut Writer<'a>, indexes: &'a [IndexRef]) {
    writer.out.length(indexes.len());
    for IndexRef { subscription, label } in indexes {
        writer.text(&subscription.uid);
        writer.label(*label);
    }
}

fn read_index_refs(reader: &mut Reader<'_>) -> Result<Vec<IndexRef>, CodecError> {
    reader.list(LEAST_INDEX, |reader| {
        Ok(IndexRef { subscription: SubscriptionId { uid: reader.text()? }, label: reader.label()? })
    })
}

pub(super) fn write_index<'a>(writer: &mut Writer<'a>, index: &'a Index) {
    let Index { label, subscription, through, marks, resync, requests, recipes, loss, buckets } = index;
    writer.label(*label);
    writer.text(&subscription.uid);
    writer.out.number(*through);
    writer.seqs_follow(*through);
    writer.out.length(marks.len());
    for (kind, mark) in marks {
        writer.kind(kind);
        writer.rv(mark.rv);
        writer.out.flag(mark.open);
    }
    writer.out.number(*resync);
    records::write_requests(writer, requests);
    writer.out.length(recipes.len());
    for (seq, recipe) in recipes {
        writer.seq(*seq);
        writer.out.number(u64::from(recipe.scheme));
        writer.out.flag(recipe.constant);
    }
    writer.out.byte(loss_code(*loss));
    writer.out.length(buckets.len());
    for bucket in buckets {
        match bucket {
            None => writer.out.number(0),
            Some(ShardRef { label, count }) => {
                writer.out.number(u64::from(*count) + 1);
                writer.label(*label);
            }
        }
    }
}

pub(super) fn read_index(reader: &mut Reader<'_>) -> Result<Index, CodecError> {
    let (label, subscription) = (reader.label()?, SubscriptionId { uid: reader.text()? });
    let through = reader.input.number()?;
    reader.seqs_follow(through);
    let marks = reader.list(LEAST_MARK, |reader| {
        let kind = reader.kind()?;
        Ok((kind, Mark { rv: reader.rv()?, open: reader.input.flag()? }))
    })?;
    let (resync, requests) = (reader.input.number()?, records::read_requests(reader)?);
    let recipes = reader.list(LEAST_RECIPE, |reader| {
        Ok((reader.seq()?, Recipe { scheme: reader.input.small()?, constant: reader.input.flag()? }))
    })?;
    let loss = loss_of(reader.input.byte()?)?;
    let buckets = reader.list(LEAST_BUCKET, read_bucket)?;
    Ok(Index { label, subscription, through, marks, resync, requests, recipes, loss, buckets })
}

fn read_bucket(reader: &mut Reader<'_>) -> Result<Option<ShardRef>, CodecError> {
    match reader.input.number()? {
        0 => Ok(None),
        more => {
            let count = u32::try_from(more - 1).map_err(|_| CodecError::Invalid("a shard has too many entries"))?;
            let label: Label = reader.label()?;
            Ok(Some(ShardRef { label, count }))
        }
    }
}
