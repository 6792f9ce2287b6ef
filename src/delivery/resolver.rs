//! The vetting resolver: the second of the three gates between a subscription and the network.
//!
//! Touches the system's resolver (through [`Lookup`]). Invariants: an address that leaves here was allowed by the
//! policy, together with every other address of the same answer; one bad address rejects the answer; what is dialled is
//! what was vetted, there is no second look-up. Literal addresses never come here (the first gate has them).
//!
//! A look-up cannot be called off once the system's resolver has it, so the number of look-ups under way is bounded,
//! and one name has at most one: a name that hangs costs one place, however many attempts ask for it.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use changehook_core::address::{AddressPolicy, Refused};
use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::sync::Semaphore;

/// Look-ups under way at once. They run on the runtime's blocking threads, of which there are 512.
const LOOKUPS: usize = 128;

/// Addresses of one answer that are tried; the connect timeout is divided between them.
const DIALLED: usize = 8;

/// Turns a name into addresses.
pub trait Lookup: Send + Sync + 'static {
    /// All addresses of `host`.
    fn lookup(&self, host: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>>;
}

/// The system's resolver, with the search domains and hosts file that cluster names need.
#[derive(Clone, Copy, Debug)]
pub struct SystemLookup;

impl Lookup for SystemLookup {
    fn lookup(&self, host: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        async move { Ok(tokio::net::lookup_host((host, 0)).await?.map(|address| address.ip()).collect()) }.boxed()
    }
}

/// Why a name was not turned into addresses; found again in the client's error by its type.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ResolveError {
    /// An address of the answer may not be dialled.
    #[error("failed to allow an address of the name")]
    Refused(#[source] Refused),
    /// There was no answer. The system's error is kept as its kind: its text is the platform's, and never needed.
    #[error("failed to resolve the name: {0}")]
    Lookup(io::ErrorKind),
    /// The answer had no address.
    #[error("failed to resolve the name: it has no address")]
    Empty,
}

type Answer = Shared<BoxFuture<'static, Result<Arc<[IpAddr]>, ResolveError>>>;
type UnderWay = Arc<Mutex<HashMap<String, Answer>>>;

/// Takes a look-up off the list when it ends, whatever way it ends.
struct Done {
    all: UnderWay,
    name: String,
}

impl Drop for Done {
    fn drop(&mut self) {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.name);
    }
}

/// Resolves names for the client and vets every address.
#[derive(Clone)]
pub struct VettingResolver {
    policy: Arc<AddressPolicy>,
    lookup: Arc<dyn Lookup>,
    permits: Arc<Semaphore>,
    under_way: UnderWay,
}

impl fmt::Debug for VettingResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VettingResolver(…)")
    }
}

impl VettingResolver {
    /// A resolver that answers only what `policy` allows.
    pub fn new(policy: Arc<AddressPolicy>, lookup: Arc<dyn Lookup>) -> Self {
        Self { policy, lookup, permits: Arc::new(Semaphore::new(LOOKUPS)), under_way: Arc::default() }
    }

    /// One that answers what another policy allows, and shares the look-ups with this one.
    #[must_use]
    pub fn under(&self, policy: Arc<AddressPolicy>) -> Self {
        Self { policy, ..self.clone() }
    }

    /// The look-up of `host` that is under way, or a new one.
    fn answer(&self, host: &str) -> Answer {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(answer) = under_way.get(host) {
            return answer.clone();
        }
        let (lookup, permits, name) = (self.lookup.clone(), self.permits.clone(), host.to_owned());
        let all = self.under_way.clone();
        // A task of its own: the permit is given back when the system's resolver is done, not when nobody waits for it
        // any more.
        let task = tokio::spawn(async move {
            let _done = Done { all, name: name.clone() };
            let answer = match permits.acquire().await {
                Ok(_permit) => lookup.lookup(name).await,
                Err(_closed) => Err(io::ErrorKind::Interrupted.into()),
            };
            match answer {
                Ok(addresses) if addresses.is_empty() => Err(ResolveError::Empty),
                Ok(addresses) => Ok(Arc::from(addresses)),
                Err(error) => Err(ResolveError::Lookup(error.kind())),
            }
        });
        let answer =
            task.map(|joined| joined.unwrap_or(Err(ResolveError::Lookup(io::ErrorKind::Interrupted)))).boxed().shared();
        under_way.insert(host.to_owned(), answer.clone());
        answer
    }

    async fn vetted(self, host: String) -> Result<Vec<SocketAddr>, ResolveError> {
        let addresses = self.answer(&host).await?;
        if let Err(refused) = self.policy.check_all(&addresses) {
            tracing::debug!(host, %refused, "an endpoint's address is refused");
            return Err(ResolveError::Refused(refused));
        }
        Ok(addresses.iter().take(DIALLED).map(|ip| SocketAddr::new(*ip, 0)).collect())
    }
}

/// Answers one name with one address, which has been vetted already, and nothing else.
#[derive(Clone, Debug)]
pub struct Pinned {
    /// The name.
    pub host: String,
    /// The address.
    pub address: IpAddr,
}

impl Resolve for Pinned {
    fn resolve(&self, name: Name) -> Resolving {
        let address = (name.as_str() == self.host).then_some(SocketAddr::new(self.address, 0));
        Box::pin(async move {
            let address = address.ok_or(ResolveError::Empty)?;
            Ok(Box::new(std::iter::once(address)) as Addrs)
        })
    }
}

/// Answers one name with the vetted addresses of another, and nothing else.
#[derive(Clone, Debug)]
pub struct Alias {
    /// The name that is asked for.
    pub host: String,
    /// The one it stands for.
    pub name: String,
    /// Looks that one up.
    pub names: VettingResolver,
}

impl Resolve for Alias {
    fn resolve(&self, name: Name) -> Resolving {
        let vetted = (name.as_str() == self.host).then(|| self.names.clone().vetted(self.name.clone()));
        Box::pin(async move {
            let addresses = vetted.ok_or(ResolveError::Empty)?.await?;
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

impl Resolve for VettingResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let vetted = self.clone().vetted(name.as_str().to_owned());
        Box::pin(async move {
            let addresses = vetted.await?;
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}
