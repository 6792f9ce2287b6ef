//! Which read of an object may be used again, and for how long.
//!
//! Touches nothing; the time comes in. Invariants: nothing is used [`OLDEST`] after its read began; readers of one
//! object join the read that is under way; what nobody asked for during [`OLDEST`] is forgotten, and a secret wiped.
//!
//! The lifetime grows with the number of objects in use, so that their reads together stay near [`READS_PER_SECOND`],
//! from [`YOUNGEST`] for a few to [`OLDEST`] for 250 and more. (Beyond that, freshness wins over the number of reads.)

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};

/// The shortest time between two reads of one object.
pub(super) const YOUNGEST: Duration = Duration::from_millis(100);

/// The oldest a value gets.
pub(super) const OLDEST: Duration = Duration::from_secs(5);

/// What all reads together are kept near.
const READS_PER_SECOND: u32 = 50;

/// A read that failed is not repeated sooner, or an API server in trouble would get more of it.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// An object's namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct ObjectName {
    pub(super) namespace: String,
    pub(super) name: String,
}

impl ObjectName {
    /// Whether an object can have this name (RFC 1123 subdomain), in such a namespace. Anything else must not become part
    /// of a request's path.
    pub(super) fn is_possible(&self) -> bool {
        is_object_name(&self.namespace) && is_object_name(&self.name)
    }
}

fn is_object_name(name: &str) -> bool {
    let inner = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-' || c == b'.';
    let edge = |c: Option<&u8>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    let bytes = name.as_bytes();
    bytes.len() <= 253 && edge(bytes.first()) && edge(bytes.last()) && bytes.iter().all(|c| inner(*c))
}

/// Why a read failed.
pub(super) trait ReadError: Clone {
    /// Whether the API server had no answer, so that asking soon would only add to its trouble.
    fn is_unanswered(&self) -> bool;
}

/// What a read ends with.
pub(super) type ReadResult<T, E> = Result<Arc<T>, E>;

/// A read that any number of readers wait for; whoever is left goes on with it when others give up.
pub(super) type Read<T, E> = Shared<BoxFuture<'static, ReadResult<T, E>>>;

struct Entry<T, E: Clone> {
    /// What was read may have changed from here on.
    began: Instant,
    /// When somebody last asked for it.
    used: Instant,
    /// It may be out of date.
    suspect: bool,
    read: Read<T, E>,
}

impl<T, E: ReadError> Entry<T, E> {
    fn usable(&self, now: Instant, lifetime: Duration) -> bool {
        let limit = match self.read.peek() {
            _ if self.suspect => YOUNGEST,
            None => OLDEST,
            Some(Err(error)) if error.is_unanswered() => lifetime.max(AFTER_FAILURE),
            Some(Ok(_) | Err(_)) => lifetime,
        };
        now.saturating_duration_since(self.began) < limit
    }
}

/// The reads that may still be used.
pub(super) struct Cache<K, T, E: Clone> {
    entries: HashMap<K, Entry<T, E>>,
    swept: Option<Instant>,
}

impl<K, T, E: Clone> Default for Cache<K, T, E> {
    fn default() -> Self {
        Self { entries: HashMap::new(), swept: None }
    }
}

impl<K: Clone + Eq + Hash, T, E: ReadError> Cache<K, T, E> {
    /// The read of `name` to wait for: one that may still be used, or the one that `fetch` starts.
    pub(super) fn read(
        &mut self,
        name: &K,
        now: Instant,
        fetch: impl FnOnce() -> BoxFuture<'static, ReadResult<T, E>>,
    ) -> Read<T, E> {
        self.sweep(now);
        let lifetime = self.lifetime();
        if let Some(entry) = self.entries.get_mut(name) {
            entry.used = now;
            if entry.usable(now, lifetime) {
                return entry.read.clone();
            }
        }
        let read = fetch().shared();
        self.entries.insert(name.clone(), Entry { began: now, used: now, suspect: false, read: read.clone() });
        read
    }

    /// The object may have changed since it was read.
    pub(super) fn suspect(&mut self, name: &K) {
        if let Some(entry) = self.entries.get_mut(name) {
            entry.suspect = true;
        }
    }

    fn lifetime(&self) -> Duration {
        let active = u32::try_from(self.entries.len()).unwrap_or(u32::MAX);
        (Duration::from_secs(1) / READS_PER_SECOND).saturating_mul(active).clamp(YOUNGEST, OLDEST)
    }

    /// Forgets what nobody uses, looking at most every [`YOUNGEST`].
    fn sweep(&mut self, now: Instant) {
        if self.swept.is_some_and(|swept| now.saturating_duration_since(swept) < YOUNGEST) {
            return;
        }
        self.swept = Some(now);
        self.entries.retain(|_, entry| now.saturating_duration_since(entry.used) < OLDEST);
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    #[derive(Clone)]
    struct Failed {
        unanswered: bool,
    }

    impl ReadError for Failed {
        fn is_unanswered(&self) -> bool {
            self.unanswered
        }
    }

    fn name(number: usize) -> ObjectName {
        ObjectName { namespace: "shop".into(), name: format!("secret-{number}") }
    }

    fn unavailable() -> ReadResult<(), Failed> {
        Err(Failed { unanswered: true })
    }

    struct Bench {
        cache: Cache<ObjectName, (), Failed>,
        start: Instant,
        reads: usize,
    }

    impl Bench {
        fn new() -> Self {
            Self { cache: Cache::default(), start: Instant::now(), reads: 0 }
        }

        /// Reads at `ms` after the start, with an answer at once.
        fn read_as(&mut self, number: usize, ms: u64, result: ReadResult<(), Failed>) -> ReadResult<(), Failed> {
            let reads = &mut self.reads;
            let read = self.cache.read(&name(number), self.start + Duration::from_millis(ms), || {
                *reads += 1;
                ready(result).boxed()
            });
            read.now_or_never().unwrap()
        }

        fn read(&mut self, number: usize, ms: u64) {
            assert!(self.read_as(number, ms, Ok(Arc::new(()))).is_ok());
        }
    }

    #[test]
    fn one_busy_secret_is_read_ten_times_a_second() {
        let mut bench = Bench::new();
        for ms in 0..10_000 {
            bench.read(0, ms);
        }
        assert_eq!(bench.reads, 100);
    }

    #[test]
    fn up_to_250_busy_secrets_together_stay_near_fifty_reads_a_second() {
        for secrets in [5, 50, 250] {
            let mut bench = Bench::new();
            for ms in (0..30_000).step_by(20) {
                for secret in 0..secrets {
                    bench.read(secret, ms);
                }
            }
            // The first reads come all at once, and the lifetime only grows with them.
            let allowed = 50 * 30 + 2 * secrets;
            assert!(bench.reads <= allowed, "{} reads of {secrets} secrets in 30 s", bench.reads);
        }
    }

    #[test]
    fn no_value_is_used_five_seconds_after_its_read_began_however_many_secrets_there_are() {
        let mut bench = Bench::new();
        for secret in 0..1000 {
            bench.read(secret, 0);
        }
        for secret in 0..1000 {
            bench.read(secret, 4_999);
        }
        assert_eq!(bench.reads, 1000);
        for secret in 0..1000 {
            bench.read(secret, 5_000);
        }
        assert_eq!(bench.reads, 2000);
    }

    #[test]
    fn what_nobody_asks_for_is_forgotten() {
        let mut bench = Bench::new();
        for secret in 0..1000 {
            bench.read(secret, 0);
        }
        bench.read(0, 5_000);
        assert_eq!(bench.cache.entries.len(), 1);
    }

    #[test]
    fn readers_join_a_read_under_way_until_it_is_too_old_to_be_of_use() {
        let mut cache = Cache::<ObjectName, (), Failed>::default();
        let start = Instant::now();
        let mut reads = 0;
        for ms in [0, 500, 4_999, 5_000] {
            let _read = cache.read(&name(0), start + Duration::from_millis(ms), || {
                reads += 1;
                pending().boxed()
            });
        }
        assert_eq!(reads, 2);
    }

    #[test]
    fn a_suspect_value_is_read_again_but_not_more_often_than_any_other() {
        let mut bench = Bench::new();
        for secret in 0..250 {
            bench.read(secret, 0);
        }
        bench.cache.suspect(&name(7));
        bench.read(7, 99);
        assert_eq!(bench.reads, 250);
        bench.read(7, 100);
        assert_eq!(bench.reads, 251);
        bench.read(7, 300);
        assert_eq!(bench.reads, 251);
    }

    #[test]
    fn a_missing_secret_is_looked_for_as_often_as_one_that_is_there_and_an_unreachable_one_less_often() {
        let missing = || Err(Failed { unanswered: false });
        let mut bench = Bench::new();
        for ms in [0, 99, 100] {
            assert!(bench.read_as(0, ms, missing()).is_err());
        }
        assert_eq!(bench.reads, 2);
        let mut bench = Bench::new();
        for ms in [0, 100, 999, 1_000] {
            assert!(bench.read_as(0, ms, unavailable()).is_err());
        }
        assert_eq!(bench.reads, 2);
    }
}
