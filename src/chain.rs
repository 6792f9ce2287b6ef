//! An error with its sources, on one line, for the log.
//!
//! Touches nothing.

use std::error::Error;

/// `failed to do this: failed to do that: why`
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Some libraries repeat their source in their own text.
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("failed to knock")]
    struct Knock(#[source] Door);

    #[derive(Debug, thiserror::Error)]
    #[error("the door is open")]
    struct Door;

    #[test]
    fn every_cause_is_named_once() {
        assert_eq!(chain(&Knock(Door)), "failed to knock: the door is open");
    }
}
