//! Silence is noticed in time, and only silence.

use proptest::prelude::*;

use super::*;

const EVERY: Duration = Duration::from_secs(5);

fn start() -> Instant {
    tokio::time::Instant::now().into_std()
}

#[test]
fn answered_pings_follow_each_other() {
    let start = start();
    let mut liveness = Liveness::new(EVERY, start);
    assert_eq!(liveness.due(start), Due::Ping(1));
    assert_eq!(liveness.due(start), Due::Nothing(start + EVERY));
    liveness.pong(1);
    assert_eq!(liveness.due(start + EVERY), Due::Ping(2));
}

#[test]
fn pong_of_another_ping_saves_nobody() {
    let start = start();
    let mut liveness = Liveness::new(EVERY, start);
    assert_eq!(liveness.due(start), Due::Ping(1));
    liveness.pong(7);
    assert_eq!(liveness.due(start + EVERY), Due::Dead);
}

proptest! {
    #[test]
    fn silence_is_noticed_within_twice_the_distance(
        answered in 0_u32..20,
        late in 0_u64..5_000,
    ) {
        let mut now = start();
        let mut liveness = Liveness::new(EVERY, now);
        for _ in 0..answered {
            let Due::Ping(nonce) = liveness.due(now) else { panic!("no ping") };
            liveness.pong(nonce);
            now += EVERY;
        }
        let Due::Ping(nonce) = liveness.due(now) else { panic!("no ping") };
        let silent = now + Duration::from_millis(late);
        liveness.pong(nonce);
        let mut due = Due::Nothing(silent);
        while let Due::Nothing(until) = due {
            now = until;
            due = liveness.due(now);
            if let Due::Ping(_) = due {
                due = Due::Nothing(now);
            }
        }
        prop_assert_eq!(due, Due::Dead);
        prop_assert!(now - silent <= 2 * EVERY);
    }
}
