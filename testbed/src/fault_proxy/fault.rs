//! Which requests a fault is for, and what happens to them.

use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use serde_json::json;

use super::{Hold, Moment, Seen};

/// Chooses requests. Everything that is set must fit; nothing set fits all.
#[derive(Clone, Debug, Default)]
pub struct Matcher {
    method: Option<String>,
    path_prefix: Option<String>,
    contains: Vec<String>,
    watch: Option<bool>,
    writes: bool,
    user_agent: Option<String>,
}

impl Matcher {
    /// Fits every request.
    pub fn any() -> Self {
        Self::default()
    }

    /// Lists of a resource (GET of a path that ends in the plural, no watch), in any namespace.
    pub fn lists(plural: &str) -> Self {
        let matcher = Self::any().method("GET").containing(&format!("/{plural}?"));
        Self { watch: Some(false), ..matcher }
    }

    /// Watches of a resource, in any namespace; streaming lists are watches too.
    pub fn watches(plural: &str) -> Self {
        let matcher = Self::any().method("GET").containing(&format!("/{plural}?"));
        Self { watch: Some(true), ..matcher }
    }

    /// Everything that changes a resource, in any namespace.
    pub fn writes(plural: &str) -> Self {
        let matcher = Self::any().containing(&format!("/{plural}"));
        Self { writes: true, ..matcher }
    }

    /// Only this method.
    #[must_use]
    pub fn method(mut self, method: &str) -> Self {
        self.method = Some(method.to_owned());
        self
    }

    /// Only paths that begin so.
    #[must_use]
    pub fn path_prefix(mut self, prefix: &str) -> Self {
        self.path_prefix = Some(prefix.to_owned());
        self
    }

    /// Only requests with this text in `path?query` (the `?` is there even if the query is empty).
    #[must_use]
    pub fn containing(mut self, text: &str) -> Self {
        self.contains.push(text.to_owned());
        self
    }

    /// Only clients whose User-Agent contains this.
    #[must_use]
    pub fn user_agent(mut self, text: &str) -> Self {
        self.user_agent = Some(text.to_owned());
        self
    }

    /// Whether a request is meant.
    pub fn fits(&self, request: &Seen) -> bool {
        let target = format!("{}?{}", request.path, request.query);
        self.method.as_ref().is_none_or(|method| *method == request.method)
            && self.path_prefix.as_ref().is_none_or(|prefix| request.path.starts_with(prefix))
            && self.contains.iter().all(|text| target.contains(text))
            && (!self.writes || !matches!(request.method.as_str(), "GET" | "HEAD"))
            && self.watch.is_none_or(|watch| watch == request.is_watch())
            && self.user_agent.as_ref().is_none_or(|text| request.user_agent.contains(text))
    }
}

/// What is done with one line of a watch stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// Forwarded.
    Keep,
    /// Left out.
    Drop,
    /// These bytes instead (without the newline).
    Replace(Vec<u8>),
    /// The connection breaks here.
    Cut,
}

/// Looks at a line of a watch stream.
pub type LineRule = Arc<dyn Fn(&[u8]) -> Line + Send + Sync>;
/// Changes the body of an answer.
pub type BodyRule = Arc<dyn Fn(Vec<u8>) -> Vec<u8> + Send + Sync>;

/// What happens to a request that fits.
#[derive(Clone)]
pub enum Fault {
    /// This HTTP status with a Kubernetes Status as JSON; the API server is not asked.
    Status(u16),
    /// This HTTP status with plain text, as an absent API group or a load balancer answers.
    PlainStatus(u16, String),
    /// 200, then one ERROR event with this code (410: expired), then the end of the stream.
    WatchError(u16),
    /// The stream breaks (no proper end) after this many lines; 0: before the first.
    CutAfterLines(usize),
    /// The stream ends properly after this many lines, as at a watch's timeout.
    EndAfterLines(usize),
    /// Each line is looked at, in streams already open as well; `times` counts lines that were not kept.
    Lines(LineRule),
    /// The whole answer, changed. Not for watches.
    EditBody(BodyRule),
    /// The last answer to the same path and query from before this fault was injected: time stands still.
    Stale,
    /// Forwarded to another API server with the same keys.
    Elsewhere(SocketAddr),
    /// Forwarded, late.
    Delay(Duration),
    /// Never answered.
    Hang,
    /// The connection is closed without an answer.
    Close,
    /// Forwarded and done, but this HTTP status is the answer.
    DoneThenStatus(u16),
    /// Forwarded and done, but never answered.
    DoneThenHang,
    /// Forwarded and done, but the connection is closed without an answer.
    DoneThenClose,
    /// Held; see [`super::FaultProxy::stop_at`].
    Hold(Moment, Hold),
}

impl Fault {
    /// The next line that contains `text` gets lost. Inject it once to lose exactly one.
    pub fn drop_line(text: &str) -> Self {
        Self::line(text, Line::Drop)
    }

    /// A line that contains `text` becomes these bytes: no JSON, or an object that cannot be decoded.
    pub fn replace_line(text: &str, bytes: impl Into<Vec<u8>>) -> Self {
        Self::line(text, Line::Replace(bytes.into()))
    }

    /// The next event of this type (`DELETED`) about an object of this name gets lost.
    pub fn drop_event(event: &str, name: &str) -> Self {
        let (event, name) = (event.to_owned(), name.to_owned());
        Self::Lines(Arc::new(move |line| {
            let parsed: Option<serde_json::Value> = serde_json::from_slice(line).ok();
            let meant = parsed.is_some_and(|it| it["type"] == *event && it["object"]["metadata"]["name"] == *name);
            if meant { Line::Drop } else { Line::Keep }
        }))
    }

    fn line(text: &str, action: Line) -> Self {
        let text = text.as_bytes().to_vec();
        Self::Lines(Arc::new(move |line| {
            let found = line.windows(text.len().max(1)).any(|window| window == text);
            if found { action.clone() } else { Line::Keep }
        }))
    }

    /// In an answer that is not a watch, every `from` becomes `to`.
    pub fn replace_text(from: &str, to: &str) -> Self {
        let (from, to) = (from.to_owned(), to.to_owned());
        Self::EditBody(Arc::new(move |body| String::from_utf8_lossy(&body).replace(&from, &to).into_bytes()))
    }
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(code) => write!(f, "Status({code})"),
            Self::PlainStatus(code, _) => write!(f, "PlainStatus({code})"),
            Self::WatchError(code) => write!(f, "WatchError({code})"),
            Self::CutAfterLines(count) => write!(f, "CutAfterLines({count})"),
            Self::EndAfterLines(count) => write!(f, "EndAfterLines({count})"),
            Self::Lines(_) => f.write_str("Lines"),
            Self::EditBody(_) => f.write_str("EditBody"),
            Self::Stale => f.write_str("Stale"),
            Self::Elsewhere(address) => write!(f, "Elsewhere({address})"),
            Self::Delay(delay) => write!(f, "Delay({delay:?})"),
            Self::Hang => f.write_str("Hang"),
            Self::Close => f.write_str("Close"),
            Self::DoneThenStatus(code) => write!(f, "DoneThenStatus({code})"),
            Self::DoneThenHang => f.write_str("DoneThenHang"),
            Self::DoneThenClose => f.write_str("DoneThenClose"),
            Self::Hold(moment, _) => write!(f, "Hold({moment:?})"),
        }
    }
}

/// How often a fault happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times {
    /// To the next one that fits.
    Once,
    /// To the next so many.
    Count(usize),
    /// Until it is cleared.
    Always,
}

/// A Status as the API server writes it.
pub(super) fn status(code: u16, message: &str) -> serde_json::Value {
    let reason = match code {
        400 => "BadRequest",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "NotFound",
        405 => "MethodNotAllowed",
        409 => "Conflict",
        410 => "Expired",
        422 => "Invalid",
        429 => "TooManyRequests",
        503 => "ServiceUnavailable",
        504 => "Timeout",
        _ => "InternalError",
    };
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "code": code,
    })
}

/// The ERROR event of a watch stream, without its newline.
pub(super) fn error_event(code: u16) -> Vec<u8> {
    json!({ "type": "ERROR", "object": status(code, "injected by the fault proxy") }).to_string().into_bytes()
}
