//! Log lines on standard error, as text or JSON, panics among them.
//!
//! Touches standard error and the process's panic hook. Invariant: kube_client's warnings, which quote answers of the
//! API server that it could not decode (a malformed Secret, say), are written only if the filter names `kube_client`.

use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::error::Error;
use std::io::{self, IsTerminal};

use tracing::Subscriber;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::{LevelFilter, ParseError};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use super::config::LogFormat;

/// What is logged unless the configuration says otherwise.
pub const DEFAULT_FILTER: &str = "warn,changehook=info,kube_client=error";
const CAPPED_TARGET: &str = "kube_client";

/// Starts logging and turns panics into log lines.
pub fn init(format: LogFormat, filter: &str) -> Result<(), TelemetryError> {
    let filter = parse_filter(filter)?;
    let colours = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    subscriber(format, filter, colours, io::stderr).try_init()?;
    std::panic::set_hook(Box::new(log_panic));
    Ok(())
}

/// Reads a filter and caps what must not be logged by accident.
pub fn parse_filter(text: &str) -> Result<EnvFilter, ParseError> {
    let builder = EnvFilter::builder().with_default_directive(LevelFilter::ERROR.into());
    if text.contains(CAPPED_TARGET) {
        builder.parse(text)
    } else if text.trim().is_empty() {
        builder.parse(format!("{CAPPED_TARGET}=error"))
    } else {
        builder.parse(format!("{text},{CAPPED_TARGET}=error"))
    }
}

/// An error and everything that caused it, on one line; a cause that its effect has already told is not repeated.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let why = error.to_string();
        if !text.ends_with(&why) {
            text.push_str(": ");
            text.push_str(&why);
        }
        cause = error.source();
    }
    text
}

/// What a panic said, if it said it in text.
pub fn panic_text(payload: &(dyn Any + Send)) -> &str {
    payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic without a text")
}

fn log_panic(info: &std::panic::PanicHookInfo<'_>) {
    let text = panic_text(info.payload());
    let location = info.location().map(ToString::to_string).unwrap_or_default();
    let thread = std::thread::current().name().unwrap_or_default().to_owned();
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        tracing::error!(text, location, thread, %backtrace, "panic");
    } else {
        tracing::error!(text, location, thread, "panic");
    }
}

fn subscriber<W>(format: LogFormat, filter: EnvFilter, colours: bool, writer: W) -> Box<dyn Subscriber + Send + Sync>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    match format {
        LogFormat::Text => Box::new(lines.with_ansi(colours).finish()),
        LogFormat::Json => Box::new(lines.json().flatten_event(true).with_current_span(false).finish()),
    }
}

/// Logging could not be started.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter is not valid.
    #[error("failed to read the log filter")]
    Filter(#[from] ParseError),
    /// Something else has already started logging in this process.
    #[error("failed to start logging")]
    Init(#[from] TryInitError),
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: LogFormat, filter: &str, what: impl FnOnce()) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = subscriber(format, parse_filter(filter).unwrap(), false, move || writer.clone());
        tracing::subscriber::with_default(subscriber, what);
        let bytes = lines.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn json_lines_are_flat_objects_with_their_fields() {
        let text = logged(LogFormat::Json, DEFAULT_FILTER, || {
            tracing::info!(target: "changehook::test", address = %"127.0.0.1:1", "listening");
        });
        let line: serde_json::Value = serde_json::from_str(text.trim()).unwrap();
        assert_eq!(line["message"], "listening");
        assert_eq!(line["address"], "127.0.0.1:1");
        assert_eq!(line["level"], "INFO");
        assert_eq!(line["target"], "changehook::test");
    }

    #[test]
    fn text_lines_carry_message_and_fields_without_colours() {
        let text = logged(LogFormat::Text, DEFAULT_FILTER, || {
            tracing::info!(target: "changehook::test", address = %"127.0.0.1:1", "listening");
            tracing::debug!(target: "changehook::test", "not by default");
            tracing::info!(target: "hyper", "not by default either");
        });
        assert!(text.trim_end().ends_with("INFO changehook::test: listening address=127.0.0.1:1"), "{text}");
        assert_eq!(text.lines().count(), 1, "{text}");
    }

    #[test]
    fn answers_that_kube_client_quotes_are_logged_only_on_request() {
        let quote = || tracing::warn!(target: "kube_client::client", "quoted answer");
        for filter in ["debug", "trace,changehook=info", "", DEFAULT_FILTER] {
            assert_eq!(logged(LogFormat::Text, filter, quote), "", "{filter}");
        }
        assert!(logged(LogFormat::Text, "info,kube_client=warn", quote).contains("quoted answer"));
        let failure = || tracing::error!(target: "kube_client::client", "failed with status 503");
        assert!(logged(LogFormat::Text, "debug", failure).contains("503"));
    }

    #[test]
    fn an_error_chain_reads_from_what_was_tried_to_why_it_failed() {
        let error = TelemetryError::Filter(parse_filter("changehook=loud").unwrap_err());
        let cause = error.source().unwrap().to_string();
        assert_eq!(chain(&error), format!("failed to read the log filter: {cause}"));
    }

    #[test]
    fn an_error_chain_tells_nothing_twice() {
        #[derive(Debug, thiserror::Error)]
        #[error("failed to connect: {0}")]
        struct Tells(#[source] io::Error);
        assert_eq!(chain(&Tells(io::Error::other("refused"))), "failed to connect: refused");
    }

    #[test]
    fn a_panic_is_shown_by_its_text() {
        let said = std::panic::catch_unwind(|| std::panic::resume_unwind(Box::new("static"))).unwrap_err();
        assert_eq!(panic_text(said.as_ref()), "static");
        let said = std::panic::catch_unwind(|| std::panic::resume_unwind(Box::new(format!("{}", 7)))).unwrap_err();
        assert_eq!(panic_text(said.as_ref()), "7");
        let said = std::panic::catch_unwind(|| std::panic::resume_unwind(Box::new(7))).unwrap_err();
        assert_eq!(panic_text(said.as_ref()), "a panic without a text");
    }
}
