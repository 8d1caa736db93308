//! The keys that belong to one tenant: in a schema name, out an exact half-open key range.
//!
//! A range that is one byte too wide shows one tenant's Secrets to another (CVE-2024-42480), so the
//! arithmetic lives alone and is tested against its neighbours.

/// All keys from `key` up to, not including, `end`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRange {
    /// First key of the range.
    pub key: Vec<u8>,
    /// First key after the range.
    pub end: Vec<u8>,
}

impl KeyRange {
    /// The range of the prefix `/<schema>/`: the closing slash keeps `/ab/…` out of the range of `/a/…`. The schema has
    /// no slash of its own (`validate::store_name_mistake`), or `/a/b/…` would lie in the range of `/a/…`.
    #[must_use]
    pub fn of_schema(schema: &str) -> Self {
        let key = format!("/{schema}/").into_bytes();
        let mut end = key.clone();
        // The last byte is always `/`, so its successor exists and no carry is needed.
        if let Some(last) = end.last_mut() {
            *last += 1;
        }
        Self { key, end }
    }

    /// Whether `key` lies in the range, as etcd compares: byte by byte.
    #[must_use]
    pub fn contains(&self, key: &[u8]) -> bool {
        key >= self.key.as_slice() && key < self.end.as_slice()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn range_covers_the_prefix_and_ends_before_its_neighbours() {
        let range = KeyRange::of_schema("team-a");
        assert_eq!(range.key, b"/team-a/");
        assert_eq!(range.end, b"/team-a0");
        for inside in ["/team-a/", "/team-a/registry/secrets/x", "/team-a/\u{ff}"] {
            assert!(range.contains(inside.as_bytes()), "{inside}");
        }
        for outside in [
            "/team-a",
            "/team-a0",
            "/team-ab/registry",
            "/team-b/",
            "/team-a-b/",
            "/",
        ] {
            assert!(!range.contains(outside.as_bytes()), "{outside}");
        }
    }

    proptest! {
        #[test]
        fn no_tenant_sees_another_tenants_keys(
            mine in "[A-Za-z0-9_.-]{1,40}", other in "[A-Za-z0-9_.-]{1,40}", rest in "[ -~]{0,40}",
        ) {
            prop_assume!(mine != other);
            let (range, theirs) = (KeyRange::of_schema(&mine), KeyRange::of_schema(&other));
            prop_assert!(range.end <= theirs.key || theirs.end <= range.key);
            prop_assert!(!range.key.starts_with(&theirs.key));
            let key = format!("/{other}/{rest}");
            prop_assert!(!KeyRange::of_schema(&mine).contains(key.as_bytes()));
            prop_assert!(KeyRange::of_schema(&other).contains(key.as_bytes()));
        }
    }
}
