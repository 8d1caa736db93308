//! Holds `budget.rs` to what it promises.

#![expect(
    clippy::disallowed_methods,
    reason = "any instant will do to count from"
)]

use proptest::prelude::*;

use super::*;

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn meter() -> (Meter, Instant) {
    let now = Instant::now();
    (Meter::new(Limits::default(), now), now)
}

#[test]
fn little_may_wait_for_ever_unless_the_process_is_crowded() {
    let (mut meter, start) = meter();
    assert_eq!(meter.pushed(SOFT - 1, start), Level::Low);
    assert_eq!(
        meter.stalled(start + Duration::from_hours(1), Crowd::Sparse),
        None
    );
    assert_eq!(meter.stalled(start + ms(1_999), Crowd::Full), None);
    assert!(meter.stalled(start + ms(2_000), Crowd::Full).is_some());
}

#[test]
fn more_than_a_mebibyte_may_stand_for_two_seconds() {
    let (mut meter, start) = meter();
    meter.pushed(10, start);
    let later = start + Duration::from_mins(1);
    assert_eq!(meter.pushed(SOFT, later), Level::Watched);
    assert_eq!(meter.stalled(later + ms(1_999), Crowd::Sparse), None);
    let stalled = meter.stalled(later + ms(2_000), Crowd::Sparse).unwrap();
    assert_eq!(
        stalled.to_string(),
        "stalled: 1048586 bytes waited and none was taken for 2s"
    );
}

#[test]
fn full_one_may_stand_for_half_a_second() {
    let (mut meter, start) = meter();
    assert_eq!(meter.pushed(HARD, start), Level::Full);
    assert_eq!(meter.stalled(start + ms(499), Crowd::Sparse), None);
    assert!(meter.stalled(start + ms(500), Crowd::Sparse).is_some());
}

proptest! {
    #[test]
    fn one_that_moves_is_never_stalled(steps in prop::collection::vec((0_usize..SOFT, 1_u64..499), 1..200)) {
        let (mut meter, mut now) = meter();
        for (push, wait) in steps {
            meter.pushed(push, now);
            now += ms(wait);
            prop_assert_eq!(meter.stalled(now, Crowd::Full), None);
            meter.taken(1.min(meter.waiting()), now);
        }
    }

    #[test]
    fn what_was_pushed_and_taken_leaves_nothing(
        pushes in prop::collection::vec(1_usize..3 * SOFT, 0..30),
        still in 0_u64..5_000,
    ) {
        let (mut meter, start) = meter();
        for push in &pushes {
            meter.pushed(*push, start);
        }
        let total: usize = pushes.iter().sum();
        prop_assert_eq!(meter.waiting(), total);
        let stalled = meter.stalled(start + ms(still), Crowd::Sparse).is_some();
        let expected = total >= SOFT && still >= 2_000 || total >= HARD && still >= 500;
        prop_assert_eq!(stalled, expected);
        for push in pushes {
            meter.taken(push, start);
        }
        prop_assert_eq!(meter.waiting(), 0);
        prop_assert_eq!(meter.deadline(Crowd::Full), None);
    }
}
