//! Taking the ledger over: a Head of one's own, before anything else is read.
//!
//! Touches nothing. Invariants: the claimed Head keeps everything the former one reaches, but names another holder and a
//! later term, so that the former leader's next write fails; a Head that a newer version wrote is left alone.

use super::codec::{self, CodecError};
use super::name::Name;
use crate::ledger::Loss;
use crate::ledger::form::{Form, Head};
use crate::proof::{Mark, Rule, broken, passed};

/// Who claims.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimant {
    /// The uid of the cluster's Namespace kube-system.
    pub cluster: String,
    /// The uid of the object the Head is stored in.
    pub own: String,
    /// A random number.
    pub holder: u64,
}

/// Why a ledger is not claimed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A newer version has written it.
    #[error(
        "failed to read the ledger: it has format {found}, this version reads up to {known}; run the newer version again, \
         or delete the DeliveryLedger objects to start anew"
    )]
    Newer {
        /// Its format.
        found: u32,
        /// The newest format that can be read here.
        known: u32,
    },
}

/// The Head to write in place of the one that was found (`None` if there is none), and whether what it reached is lost.
/// `names` is what else is stored.
pub fn claim(
    found: Option<&[u8]>,
    claimant: &Claimant,
    names: impl IntoIterator<Item = Name>,
) -> Result<(Head, Option<Loss>), Refusal> {
    let stored = names.into_iter().filter_map(|name| name.term()).max();
    let (head, loss) = match found {
        // Forms without a Head: somebody deleted it. None at all: the first start, or everything was deleted.
        None => (Head::default(), stored.map(|_| Loss::Missing)),
        Some(bytes) => match codec::decode(bytes) {
            Ok(Form::Head(head)) if is_foreign(&head, claimant) => {
                passed(Mark::ClaimForeign);
                (Head { term: head.term, ..Head::default() }, Some(Loss::Foreign))
            }
            Ok(Form::Head(head)) => (head, None),
            Err(CodecError::Newer { found, known }) => return Err(Refusal::Newer { found, known }),
            Ok(Form::Segment(_) | Form::Directory(_) | Form::Index(_) | Form::Shard(_)) | Err(_) => corrupt(),
        },
    };
    let Claimant { cluster, own, holder } = claimant.clone();
    let term = if broken(Rule::ClaimRaisesTerm) { head.term } else { head.term.max(stored.unwrap_or(0)) + 1 };
    let loss = loss.or(head.loss);
    Ok((Head { cluster, own, holder, term, commit: head.commit + 1, loss, ..head }, loss))
}

fn corrupt() -> (Head, Option<Loss>) {
    passed(Mark::ClaimCorrupt);
    (Head::default(), Some(Loss::Corrupt))
}

/// A Head without the uid of its object was created a moment ago, and its leader did not live to learn the uid.
fn is_foreign(head: &Head, claimant: &Claimant) -> bool {
    head.cluster != claimant.cluster || !(head.own.is_empty() || head.own == claimant.own)
}
