//! How much one connection may have on its way: enough for the distance, and not more.
//!
//! Pure: what came during one round trip goes in; the window that every stream should have comes out. A window that is
//! smaller than what the path holds starves a distant peer; a larger one lets a bulk transfer stand in front of a
//! keystroke. So it follows the rate times the *shortest* round trip ever seen: waiting in queues, which a larger window
//! would only lengthen, does not count as distance.

use std::time::Duration;

/// Windows begin here; on a path of less than a millisecond nothing larger is of use.
pub const SMALLEST: u32 = 256 * 1024;
/// No stream has a larger one: 40 MB/s over 100 ms.
pub const LARGEST: u32 = 4 * 1024 * 1024;
/// What all streams of a connection may hold together when each is as full as it can be, unless every window is the
/// smallest.
const TOGETHER: u32 = 256 * 1024 * 1024;

/// The window of the streams of one connection.
#[derive(Clone, Debug)]
pub struct Window {
    size: u32,
    shortest: Duration,
}

impl Default for Window {
    fn default() -> Self {
        Self {
            size: SMALLEST,
            shortest: Duration::MAX,
        }
    }
}

impl Window {
    /// What it is now, in bytes.
    pub fn size(&self) -> u32 {
        self.size
    }

    /// So many bytes came during a round trip, with so many streams open. Says when the window changes.
    pub fn sample(&mut self, bytes: u64, round_trip: Duration, streams: usize) -> Option<u32> {
        self.shortest = self.shortest.min(round_trip);
        let share = u32::try_from(streams).map_or(0, |streams| TOGETHER / streams.max(1));
        let most = LARGEST.min(share).max(SMALLEST);
        let held = held(bytes, round_trip, self.shortest);
        // A path that holds most of the window would hold more.
        let wanted = if held > u64::from(self.size) / 3 * 2 {
            u32::try_from(held.saturating_mul(2)).unwrap_or(LARGEST)
        } else {
            self.size
        };
        let size = wanted.clamp(SMALLEST, most);
        (size != self.size).then(|| {
            self.size = size;
            size
        })
    }
}

/// What is on its way when nothing waits: the rate times the shortest round trip.
fn held(bytes: u64, round_trip: Duration, shortest: Duration) -> u64 {
    let round_trip = round_trip.as_micros().max(1);
    let held = u128::from(bytes) * shortest.as_micros() / round_trip;
    u64::try_from(held).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn distant_peer_gets_what_the_path_holds() {
        let mut window = Window::default();
        let mut trips = 0;
        // As fast as the window allows, at 100 ms.
        while window.sample(window.size().into(), 100 * MS, 1).is_some() {
            trips += 1;
        }
        assert_eq!(window.size(), LARGEST);
        assert_eq!(trips, 4, "each doubles it");
    }

    #[test]
    fn queue_that_a_transfer_makes_is_no_distance() {
        let mut window = Window::default();
        window.sample(0, MS / 10, 1);
        // 1 GB/s for a millisecond, nine tenths of it spent waiting.
        assert_eq!(window.sample(1_000_000, MS, 1), None);
        assert_eq!(window.size(), SMALLEST);
    }

    #[test]
    fn many_streams_share_what_there_is() {
        let mut window = Window::default();
        while window.sample(u64::MAX, 100 * MS, 1).is_some() {}
        assert_eq!(window.size(), LARGEST);
        assert_eq!(window.sample(0, 100 * MS, 128), Some(LARGEST / 2));
        assert_eq!(window.sample(0, 100 * MS, 100_000), Some(SMALLEST));
    }

    proptest! {
        #[test]
        fn window_stays_within_its_bounds(
            samples in proptest::collection::vec((any::<u64>(), 0_u64..10_000, 0_usize..100_000), 0..50),
        ) {
            let mut window = Window::default();
            for (bytes, micros, streams) in samples {
                let before = window.size();
                let changed = window.sample(bytes, Duration::from_micros(micros), streams);
                prop_assert_eq!(changed.unwrap_or(before), window.size());
                prop_assert!((SMALLEST..=LARGEST).contains(&window.size()));
            }
        }
    }
}
