//! No write without a Lease: what stands between every room and the API server.
//!
//! Touches requests on their way out. Invariant: once the Lease is over, nothing but GET leaves, each request asked about
//! right before it goes. A replica that was paused and wakes up writes no status of the past over its successor's.

use http::{Method, Request};
use tower::filter::FilterLayer;

use super::lease::Lease;

/// The Lease was over when a write was about to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("failed to write: this replica does not hold the Lease any more")]
pub struct NotLeading;

/// A layer for the API server's client that lets writes pass only while `lease` is valid.
pub fn layer<B>(
    lease: Lease,
) -> FilterLayer<impl FnMut(Request<B>) -> Result<Request<B>, NotLeading> + Clone + Send + 'static> {
    FilterLayer::new(
        move |request: Request<B>| {
            if *request.method() == Method::GET || lease.is_valid() { Ok(request) } else { Err(NotLeading) }
        },
    )
}
