//! Prometheus' text format exactly as Go's client writes it: same order, same escapes, and numbers
//! in `strconv`'s shortest `g` form (`1e-06`, `+Inf`), which the Rust encoder does not produce.

use std::fmt::Write as _;

use prometheus::proto::{LabelPair, Metric, MetricFamily, MetricType};

/// Writes families in the order they come, which is by name when they were gathered.
pub fn encode(families: &[MetricFamily]) -> String {
    let mut page = String::new();
    for family in families {
        let (name, kind) = (family.name(), family.get_field_type());
        header(&mut page, name, family.help(), word(kind));
        for metric in family.get_metric() {
            match kind {
                MetricType::COUNTER => {
                    let value = metric.get_counter().get_value();
                    sample(&mut page, name, &labels(metric, None), value);
                }
                MetricType::GAUGE => {
                    let value = metric.get_gauge().get_value();
                    sample(&mut page, name, &labels(metric, None), value);
                }
                MetricType::HISTOGRAM => histogram(&mut page, name, metric),
                // This crate makes no others.
                MetricType::SUMMARY | MetricType::UNTYPED => {}
            }
        }
    }
    page
}

/// The two comment lines above a family.
pub(super) fn header(page: &mut String, name: &str, help: &str, kind: &str) {
    let help = help.replace('\\', r"\\").replace('\n', r"\n");
    let _ = writeln!(page, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

/// One line; `labels` is empty or ready with its braces.
pub(super) fn sample(page: &mut String, name: &str, labels: &str, value: f64) {
    let _ = writeln!(page, "{name}{labels} {}", number(value));
}

#[expect(
    clippy::cast_precision_loss,
    reason = "Go converts the counts the same way"
)]
fn histogram(page: &mut String, name: &str, metric: &Metric) {
    let data = metric.get_histogram();
    let count = data.get_sample_count() as f64;
    let bucket_name = format!("{name}_bucket");
    for bucket in data.get_bucket() {
        let bound = number(bucket.upper_bound());
        let labels = labels(metric, Some(&bound));
        sample(
            page,
            &bucket_name,
            &labels,
            bucket.cumulative_count() as f64,
        );
    }
    sample(page, &bucket_name, &labels(metric, Some("+Inf")), count);
    sample(
        page,
        &format!("{name}_sum"),
        &labels(metric, None),
        data.get_sample_sum(),
    );
    sample(page, &format!("{name}_count"), &labels(metric, None), count);
}

fn labels(metric: &Metric, bound: Option<&str>) -> String {
    let pairs = metric
        .get_label()
        .iter()
        .map(|pair: &LabelPair| (pair.name(), pair.value()));
    let pairs: Vec<String> = pairs
        .chain(bound.map(|bound| ("le", bound)))
        .map(|(name, value)| {
            let value = value
                .replace('\\', r"\\")
                .replace('\n', r"\n")
                .replace('"', r#"\""#);
            format!("{name}=\"{value}\"")
        })
        .collect();
    if pairs.is_empty() {
        String::new()
    } else {
        format!("{{{}}}", pairs.join(","))
    }
}

fn word(kind: MetricType) -> &'static str {
    match kind {
        MetricType::COUNTER => "counter",
        MetricType::GAUGE => "gauge",
        MetricType::HISTOGRAM => "histogram",
        MetricType::SUMMARY => "summary",
        MetricType::UNTYPED => "untyped",
    }
}

/// A float as Go's `strconv.FormatFloat(value, 'g', -1, 64)` has it.
pub fn number(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let scientific = format!("{value:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else {
        return scientific;
    };
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if (-4..6).contains(&exponent) {
        return format!("{value}");
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn numbers_are_written_as_strconv_does() {
        for (value, text) in [
            (0.0, "0"),
            (1.0, "1"),
            (-2.5, "-2.5"),
            (1e-6, "1e-06"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (86_400.0, "86400"),
            (1_234_567.0, "1.234567e+06"),
            (1e21, "1e+21"),
            (0.1 + 0.2, "0.30000000000000004"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(number(value), text);
        }
    }
}
