//! Who waits, for how long, and what is written in all.

use proptest::prelude::*;

use super::*;

const SMALL: Allowance = Allowance { rate: 1_000, burst: 4_000 };

fn namespace(name: &str) -> Arc<str> {
    name.into()
}

fn spend(shares: &mut Shares, mono: u64, bytes: u64, of: &[(&str, u64)]) {
    let of: Vec<_> = of.iter().map(|(name, told)| (namespace(name), Written { told: *told, noted: 0 })).collect();
    let all = Written { told: of.iter().map(|(_, written)| written.told).sum(), noted: 0 };
    shares.spend(mono, bytes, all, of.iter().map(|(name, written)| (name, *written)));
}

/// Records that cannot wait.
fn note(shares: &mut Shares, mono: u64, bytes: u64, name: &str) {
    let (name, written) = (namespace(name), Written { told: 0, noted: 1 });
    shares.spend(mono, bytes, written, std::iter::once((&name, written)));
}

fn waits(shares: &Shares, mono: u64, name: &str) -> Option<u64> {
    shares.waits_until(mono, &namespace(name))
}

#[test]
fn whoever_used_up_all_there_is_waits_and_nobody_else_does() {
    let mut shares = Shares::new(SMALL);
    spend(&mut shares, 0, 6_000, &[("noisy", 1)]);
    assert_eq!(waits(&shares, 0, "quiet"), None);
    assert_eq!(shares.spacing(0, Some(&namespace("quiet"))), 0);
    // its own share is overdrawn by 4,000 bytes, at 500 a second; all there is by 2,000, at 1,000 a second
    assert_eq!(waits(&shares, 0, "noisy"), Some(2_001));
    assert_eq!(shares.spacing(0, Some(&namespace("noisy"))), 1_000);
    assert_eq!(waits(&shares, 2_001, "noisy"), None);
}

#[test]
fn what_is_written_for_several_is_counted_by_their_records() {
    let mut shares = Shares::new(SMALL);
    spend(&mut shares, 0, 4_900, &[("noisy", 48), ("quiet", 1)]);
    assert_eq!(shares.spare(0, &namespace("quiet")), 2_000 - 100 - 225);
    assert!(shares.spare(0, &namespace("noisy")) < 0);
}

#[test]
fn the_more_is_overdrawn_the_more_of_its_share_a_namespace_needs_to_have_left() {
    let mut shares = Shares::new(SMALL);
    spend(&mut shares, 0, 1_000, &[("half", 1)]);
    spend(&mut shares, 0, 6_000, &[("noisy", 1)]);
    assert_eq!(waits(&shares, 0, "half"), None, "3,000 of 8,000 are overdrawn");
    spend(&mut shares, 0, 2_000, &[("noisy", 1)]);
    assert!(waits(&shares, 0, "half").is_some(), "5,000 of 8,000 are overdrawn");
    assert_eq!(waits(&shares, 0, "quiet"), None);
    spend(&mut shares, 0, 3_001, &[("noisy", 1)]);
    assert_eq!(waits(&shares, 0, "quiet"), Some(1), "all that may be is overdrawn, and a byte more");
    assert_eq!(shares.spacing(0, Some(&namespace("quiet"))), 1_000);
}

#[test]
fn what_cannot_wait_uses_up_what_is_left_and_makes_nobody_else_wait_however_much_it_is() {
    let mut shares = Shares::new(SMALL);
    for _ in 0..100 {
        note(&mut shares, 0, 1_000_000, "noisy");
        shares.spend_on_fold(0, 1_000_000);
    }
    assert_eq!((shares.all.balance(0), shares.own[&namespace("noisy")].balance(0)), (0, -2_000));
    assert_eq!((waits(&shares, 0, "quiet"), shares.spacing(0, Some(&namespace("quiet")))), (None, 0));
    assert_eq!(waits(&shares, 0, "noisy"), Some(1));
}

#[test]
fn records_that_are_nobodys_are_held_against_nobody() {
    let mut shares = Shares::new(SMALL);
    let name = namespace("quiet");
    let of = std::iter::once((&name, Written { told: 1, noted: 0 }));
    shares.spend(0, 5_000, Written { told: 1, noted: 49 }, of);
    assert_eq!((shares.all.balance(0), shares.own[&name].balance(0)), (0, 2_000 - 100));
}

#[test]
fn whoever_had_all_for_hours_has_its_share_soon_after_others_want_theirs() {
    let mut shares = Shares::new(SMALL);
    for second in 0..36_000 {
        spend(&mut shares, second * 1_000, 1_000, &[("first", 1)]);
    }
    let start = 36_000_000;
    let mut written = [0; 3];
    for mono in (start..start + 60_000).step_by(10) {
        for (who, written) in ["second", "third", "first"].iter().zip(&mut written) {
            if waits(&shares, mono, who).is_none() {
                spend(&mut shares, mono, 100, &[(who, 1)]);
                *written += 100;
            }
        }
    }
    // a minute at 1,000 bytes a second, and what may be overdrawn; it had used up its share once
    assert!(written.iter().all(|written| *written > 10_000), "{written:?}");
}

#[test]
fn a_share_that_is_whole_again_is_not_kept() {
    let mut shares = Shares::new(SMALL);
    for n in 0..1_000 {
        spend(&mut shares, n * 1_000, 100, &[(&n.to_string(), 1)]);
    }
    assert!(shares.own.len() <= 2, "{}", shares.own.len());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whoever wants something writes as soon as it may: what is written is bounded whatever their number.
    #[test]
    fn over_any_hour_no_more_is_declared_than_three_bursts_and_the_rate(
        namespaces in 1_u64..40, bytes in 1_u64..1_500, eager in 1_u64..40,
    ) {
        let mut shares = Shares::new(SMALL);
        let (mut written, mut mono) = (0, 0);
        while mono < 3_600_000 {
            let mut next = mono + 1_000;
            for n in 0..namespaces.min(eager) {
                let name = n.to_string();
                match waits(&shares, mono, &name) {
                    None => {
                        spend(&mut shares, mono, bytes, &[(&name, 1)]);
                        written += bytes;
                        next = mono + 1;
                    }
                    Some(until) => {
                        prop_assert!(until > mono);
                        next = next.min(until);
                    }
                }
            }
            mono = next;
        }
        prop_assert!(written <= 3 * 4_000 + 3_600 * 1_000 + bytes, "{written}");
        prop_assert!(written >= 3_600 * 900, "{written}");
    }

    /// What it waits for is not said to be later than it is, but for what rounding makes of it, nor much earlier.
    #[test]
    fn nobody_waits_longer_than_needed_or_looks_for_it_often(spent in prop::collection::vec((0_u64..3, 1_u64..3_000, 0_u64..2_000), 1..20)) {
        let mut shares = Shares::new(SMALL);
        let mut mono = 0;
        for (who, bytes, pause) in spent {
            spend(&mut shares, mono, bytes, &[(&who.to_string(), 1)]);
            mono += pause;
        }
        for who in ["0", "1", "2", "other"] {
            let mut looks = 0;
            let mut at = mono;
            while let Some(until) = waits(&shares, at, who) {
                (at, looks) = (until, looks + 1);
            }
            prop_assert!(looks <= 4, "{who} looks {looks} times");
            let Some(until) = waits(&shares, mono, who) else { continue };
            for earlier in (mono..until.saturating_sub(5)).step_by(7) {
                prop_assert!(waits(&shares, earlier, who).is_some(), "{who} may at {earlier}, not at {until}");
            }
        }
    }
}
