//! What the two ends tell each other in gRPC headers, with the reference's rules and error texts.
//!
//! In: header values as text. Out: typed values, or the text the reference's server would end the
//! call with. Keys are lower case on the wire.

use std::fmt;

use url::form_urlencoded;

/// Request header of an agent: its id, exactly one value, may be empty.
pub const AGENT_ID: &str = "agentid";
/// Request header of an agent: [`Identifiers`], at most one value.
pub const AGENT_IDENTIFIERS: &str = "agentidentifiers";
/// Response header of a server: its id.
pub const SERVER_ID: &str = "serverid";
/// Response header of a server: how many servers there are.
pub const SERVER_COUNT: &str = "servercount";
/// Request header of an agent with a token: [`BEARER`] and the token.
pub const AUTHORIZATION: &str = "authorization";
/// What stands in front of the token.
pub const BEARER: &str = "Bearer ";

/// What an agent can reach, as it says itself: `ipv4=1.2.3.4&host=node1&default-route=true`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identifiers {
    /// Destinations by IPv4 address.
    pub ipv4: Vec<String>,
    /// Destinations by IPv6 address.
    pub ipv6: Vec<String>,
    /// Destinations by host name.
    pub host: Vec<String>,
    /// Networks; kept, though no strategy of the reference asks for them.
    pub cidr: Vec<String>,
    /// Whether the agent takes what nobody else does.
    pub default_route: bool,
}

/// Why metadata cannot be used. The texts are the reference's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetadataError {
    /// None or several.
    #[error("expected one agent ID in the context, got [{}]", .0.join(" "))]
    AgentId(Vec<String>),
    /// Several.
    #[error("expected at most one set of agent identifiers in the context, got [{}]", .0.join(" "))]
    ManyIdentifiers(Vec<String>),
    /// Not URL-encoded.
    #[error("fail to parse url encoded string: {0}")]
    Identifiers(#[from] QueryError),
    /// A key that no agent may use.
    #[error("unknown address type: {0}")]
    Unknown(String),
}

/// What Go says about a query string that it cannot parse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueryError {
    /// `%` without two hexadecimal digits.
    Escape(String),
    /// `;` separates nothing any more.
    Semicolon,
}

impl fmt::Display for QueryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Escape(at) => write!(f, "invalid URL escape {at:?}"),
            Self::Semicolon => f.write_str("invalid semicolon separator in query"),
        }
    }
}

impl std::error::Error for QueryError {}

impl Identifiers {
    /// Parses what an agent sent; unknown keys are ignored, as agents may be newer than we are.
    ///
    /// # Errors
    /// [`MetadataError::Identifiers`].
    pub fn parse(text: &str) -> Result<Self, MetadataError> {
        Ok(Self::with_unknown(text)?.0)
    }

    /// Parses what a person wrote for an agent; unknown keys are mistakes.
    ///
    /// # Errors
    /// [`MetadataError::Identifiers`] or [`MetadataError::Unknown`].
    pub fn parse_strictly(text: &str) -> Result<Self, MetadataError> {
        match Self::with_unknown(text)? {
            (identifiers, None) => Ok(identifiers),
            (_, Some(key)) => Err(MetadataError::Unknown(key)),
        }
    }

    fn with_unknown(text: &str) -> Result<(Self, Option<String>), MetadataError> {
        check(text)?;
        let mut identifiers = Self::default();
        let mut unknown = None;
        let mut default_route = None;
        for (key, value) in form_urlencoded::parse(text.as_bytes()) {
            let value = value.into_owned();
            match key.as_ref() {
                "ipv4" => identifiers.ipv4.push(value),
                "ipv6" => identifiers.ipv6.push(value),
                "host" => identifiers.host.push(value),
                "cidr" => identifiers.cidr.push(value),
                "default-route" => default_route = default_route.or(Some(value)),
                "uid" => {}
                other => unknown = unknown.or_else(|| Some(other.to_owned())),
            }
        }
        identifiers.default_route = default_route.is_some_and(|value| is_true(&value));
        Ok((identifiers, unknown))
    }
}

/// Go's `strconv.ParseBool`; what it refuses is false.
fn is_true(value: &str) -> bool {
    matches!(value, "1" | "t" | "T" | "TRUE" | "true" | "True")
}

/// What Go's parser of queries refuses and ours does not.
fn check(text: &str) -> Result<(), QueryError> {
    if text.contains(';') {
        return Err(QueryError::Semicolon);
    }
    for (at, _) in text.match_indices('%') {
        let escape: String = text
            .chars()
            .skip(text.get(..at).map_or(0, |s| s.chars().count()))
            .take(3)
            .collect();
        let is_hex =
            escape.len() == 3 && escape.bytes().skip(1).all(|byte| byte.is_ascii_hexdigit());
        if !is_hex {
            return Err(QueryError::Escape(escape));
        }
    }
    Ok(())
}

/// The agent's id among the values of [`AGENT_ID`].
///
/// # Errors
/// [`MetadataError::AgentId`].
pub fn agent_id<'a>(values: impl IntoIterator<Item = &'a str>) -> Result<String, MetadataError> {
    let values: Vec<&str> = values.into_iter().collect();
    match values.as_slice() {
        [one] => Ok((*one).to_owned()),
        _ => Err(MetadataError::AgentId(
            values.into_iter().map(str::to_owned).collect(),
        )),
    }
}

/// The agent's identifiers among the values of [`AGENT_IDENTIFIERS`].
///
/// # Errors
/// [`MetadataError::ManyIdentifiers`] or [`MetadataError::Identifiers`].
pub fn agent_identifiers<'a>(
    values: impl IntoIterator<Item = &'a str>,
) -> Result<Identifiers, MetadataError> {
    let values: Vec<&str> = values.into_iter().collect();
    match values.as_slice() {
        [] => Ok(Identifiers::default()),
        [one] => Identifiers::parse(one),
        _ => Err(MetadataError::ManyIdentifiers(
            values.into_iter().map(str::to_owned).collect(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_a_query() {
        let text = "ipv4=1.2.3.4&ipv4=5.6.7.8&ipv6=%3A%3A1&host=node1&cidr=10.0.0.0/8&uid=x\
                    &default-route=true&new=thing";
        let identifiers = Identifiers::parse(text).unwrap();
        assert_eq!(identifiers.ipv4, ["1.2.3.4", "5.6.7.8"]);
        assert_eq!(identifiers.ipv6, ["::1"]);
        assert_eq!(identifiers.host, ["node1"]);
        assert_eq!(identifiers.cidr, ["10.0.0.0/8"]);
        assert!(identifiers.default_route);
        let strict = Identifiers::parse_strictly(text).unwrap_err();
        assert_eq!(strict.to_string(), "unknown address type: new");
    }

    #[test]
    fn default_route_is_the_first_value_as_go_reads_it() {
        for (text, expected) in [
            ("", false),
            ("default-route=T", true),
            ("default-route=yes", false),
        ] {
            assert_eq!(
                Identifiers::parse(text).unwrap().default_route,
                expected,
                "{text}"
            );
        }
        let first = Identifiers::parse("default-route=0&default-route=1").unwrap();
        assert!(!first.default_route);
    }

    #[test]
    fn errors_have_the_references_words() {
        let text = |result: Result<Identifiers, MetadataError>| result.unwrap_err().to_string();
        assert_eq!(
            text(Identifiers::parse("host=%zz")),
            "fail to parse url encoded string: invalid URL escape \"%zz\""
        );
        assert_eq!(
            text(agent_identifiers(["a", "b"])),
            "expected at most one set of agent identifiers in the context, got [a b]"
        );
        assert_eq!(
            agent_id([]).unwrap_err().to_string(),
            "expected one agent ID in the context, got []"
        );
        assert_eq!(agent_id([""]), Ok(String::new()));
        assert_eq!(agent_identifiers([]), Ok(Identifiers::default()));
    }
}
