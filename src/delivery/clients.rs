//! The HTTP clients beside the shared one: each for one place, or one content of TLS settings.
//!
//! Touches nothing itself. Invariants: a client for a Service never reaches another address than the one it was made for, so
//! that a connection to its former address is not used for its present one; none uses settings that have changed; clients are bounded in number, and one that
//! nobody used for a while is dropped with its connections.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use changehook_core::address::Policies;
use reqwest::Client;

use super::client::{self, ClientError};
use super::resolver::{SystemLookup, VettingResolver};
use super::tls::{Fingerprint, Texts, TlsError};

/// More places than this at once cost a new client now and then, which is some milliseconds.
const MOST: usize = 512;

/// An idle connection lives for seconds; what is kept longer is the client alone.
const UNUSED: Duration = Duration::from_mins(1);

/// Where a client goes, and with which settings.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// Which hosts it finds.
    pub reach: Reach,
    /// Whether TLS is spoken; without it no certificates are loaded.
    pub tls: bool,
    /// The content of its TLS settings.
    pub settings: Option<Fingerprint>,
}

/// Which hosts a client finds. The host in the URL is what the certificate has to be for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Reach {
    /// Every name, as far as the address policy lets its addresses pass.
    Names {
        /// The namespace, if it has a policy of its own.
        own: Option<Arc<str>>,
    },
    /// One host, which is at this vetted address.
    Address(String, IpAddr),
    /// One host, which stands for another name, whose addresses are vetted.
    Alias {
        /// The host.
        host: String,
        /// What it stands for.
        name: String,
        /// See [`Reach::Names`].
        own: Option<Arc<str>>,
    },
}

/// All clients; clones share them.
#[derive(Clone, Debug)]
pub struct Clients {
    shared: Client,
    names: VettingResolver,
    policies: Arc<Policies>,
    made: Arc<Mutex<HashMap<Place, Made>>>,
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum NoClient {
    /// The settings are of no use.
    #[error(transparent)]
    Settings(#[from] TlsError),
    /// It could not be built.
    #[error(transparent)]
    Client(ClientError),
}

#[derive(Debug)]
struct Made {
    client: Client,
    used: Instant,
}

impl Clients {
    /// `shared` is for all that need no client of their own; the others go where `policies` allow, too.
    pub fn new(shared: Client, policies: Arc<Policies>) -> Self {
        let names = VettingResolver::new(Arc::clone(policies.everybodys()), Arc::new(SystemLookup));
        Self { shared, names, policies, made: Arc::default() }
    }

    /// The one for every name that everybody's address policy lets pass.
    pub fn shared(&self) -> &Client {
        &self.shared
    }

    /// The one for a place; `texts` are the place's settings.
    pub fn to(&self, place: &Place, texts: Option<&Texts>, now: Instant) -> Result<Client, NoClient> {
        if let Some(client) = self.known(place, now) {
            return Ok(client);
        }
        // not under the lock: others need not wait. Two may be built at once; the last one stays
        let material = texts.map(Texts::material).transpose()?;
        let names = match &place.reach {
            Reach::Names { own: Some(own) } | Reach::Alias { own: Some(own), .. } => {
                self.names.under(Arc::clone(self.policies.of(own)))
            }
            Reach::Names { own: None } | Reach::Alias { own: None, .. } | Reach::Address(..) => self.names.clone(),
        };
        let client = client::build_for(place, material, names).map_err(NoClient::Client)?;
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        make_room(&mut made, now);
        made.insert(place.clone(), Made { client: client.clone(), used: now });
        Ok(client)
    }

    fn known(&self, place: &Place, now: Instant) -> Option<Client> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let known = made.get_mut(place)?;
        known.used = now;
        Some(known.client.clone())
    }
}

/// Drops what nobody uses, and the longest unused of the rest if that is not enough.
fn make_room(made: &mut HashMap<Place, Made>, now: Instant) {
    made.retain(|_, made| now.saturating_duration_since(made.used) < UNUSED);
    if made.len() >= MOST {
        let oldest = made.iter().min_by_key(|(_, made)| made.used).map(|(place, _)| place.clone());
        oldest.map(|place| made.remove(&place));
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{everybodys, http_client, loopback};
    use super::*;

    fn clients() -> Clients {
        Clients::new(http_client(loopback(), SystemLookup), everybodys(&loopback()))
    }

    fn place(number: usize) -> Place {
        let reach = Reach::Address(format!("a{number}.shop.svc"), "127.0.0.1".parse().unwrap());
        Place { reach, tls: false, settings: None }
    }

    fn count(clients: &Clients) -> usize {
        clients.made.lock().unwrap().len()
    }

    #[test]
    fn one_place_has_one_client_and_what_is_unused_for_a_minute_is_dropped() {
        let (clients, start) = (clients(), Instant::now());
        for _ in 0..3 {
            clients.to(&place(0), None, start).unwrap();
        }
        assert_eq!(count(&clients), 1);
        clients.to(&place(1), None, start + UNUSED).unwrap();
        assert_eq!(count(&clients), 1);
    }

    #[test]
    fn there_are_never_more_than_the_most() {
        let (clients, start) = (clients(), Instant::now());
        for number in 0..MOST + 5 {
            clients.to(&place(number), None, start + Duration::from_millis(number as u64)).unwrap();
        }
        assert_eq!(count(&clients), MOST);
        let kept = clients.made.lock().unwrap().contains_key(&place(MOST + 4));
        assert!(kept && !clients.made.lock().unwrap().contains_key(&place(0)));
    }
}
