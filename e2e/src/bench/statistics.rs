//! What many samples come to. In: numbers. Out: median, spread, quantiles. Pure.

use serde::Serialize;

/// The middle of some samples and how far they lie apart, in the samples' own unit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    /// The median; of an even number, the mean of the two in the middle.
    pub median: f64,
    /// The smallest.
    pub least: f64,
    /// The largest.
    pub most: f64,
}

impl Spread {
    /// Of these samples; `None` of none.
    pub fn of(samples: &[f64]) -> Option<Self> {
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        let upper = *sorted.get(middle)?;
        let median = if sorted.len().is_multiple_of(2) {
            f64::midpoint(*sorted.get(middle.checked_sub(1)?)?, upper)
        } else {
            upper
        };
        Some(Self {
            median,
            least: *sorted.first()?,
            most: *sorted.last()?,
        })
    }
}

/// The smallest sample that at least `percent` of all do not exceed; `None` of none.
pub fn percentile(samples: &[f64], percent: usize) -> Option<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied()
}

/// A count as the number that ratios are made of.
#[expect(
    clippy::cast_precision_loss,
    reason = "bytes and calls of a few seconds, far below 2^53"
)]
pub fn number(count: u64) -> f64 {
    count as f64
}

/// As short as a person reads it: three digits that count.
pub fn short(value: f64) -> String {
    match value.abs() {
        large if large >= 99.95 => format!("{value:.0}"),
        middle if middle >= 9.995 => format!("{value:.1}"),
        small if small >= 0.1 || small == 0.0 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}

#[cfg(test)]
mod tests {
    use super::{Spread, percentile, short};

    #[test]
    fn one_disturbed_round_does_not_move_the_median() {
        let spread = Spread::of(&[1.0, 900.0, 3.0, 2.0, 2.0]).expect("samples");
        assert_eq!(
            (spread.median, spread.least, spread.most),
            (2.0, 1.0, 900.0)
        );
    }

    #[test]
    fn an_even_number_of_rounds_has_its_median_between_two() {
        assert_eq!(
            Spread::of(&[4.0, 1.0]).map(|spread| spread.median),
            Some(2.5)
        );
        assert_eq!(Spread::of(&[]), None);
    }

    #[test]
    fn a_percentile_is_a_sample_and_never_beyond_the_last() {
        let hundred: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert_eq!(percentile(&hundred, 50), Some(50.0));
        assert_eq!(percentile(&hundred, 99), Some(99.0));
        assert_eq!(percentile(&[7.0], 99), Some(7.0));
        assert_eq!(percentile(&[], 99), None);
    }

    #[test]
    fn numbers_are_as_short_as_they_are_exact() {
        let shown: Vec<_> = [1234.4, 12.34, 1.234, 0.0123, 0.0].map(short).into();
        assert_eq!(shown, ["1234", "12.3", "1.23", "0.0123", "0.00"]);
    }
}
