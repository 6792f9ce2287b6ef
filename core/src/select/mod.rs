//! Which subscriptions want a row.

/// Which objects of a kind an interest covers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector {}
