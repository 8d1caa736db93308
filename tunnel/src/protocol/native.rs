//! The native mode's words: what two ends of ours say on reverse HTTP/2, pure.
//!
//! TLS chose [`ALPN`] on the connection that the agent opened. From then on the roles are swapped:
//! the server speaks as HTTP/2's client, the agent as its server.
//!
//! ```text
//!  server ── POST /knp/v1/hello, who it is ───────────► agent     the first stream
//!         ◄── 200, who it is, its token ───────────────
//!         ◄═══ control messages in both bodies ═══════►           Admitted or Refused comes first
//!         ── CONNECT host:port ────────────────────────►          a stream for each connection
//!         ◄── 200, or 4xx/5xx with the reason ─────────
//!         ◄═══ the connection's bytes, windows of its own ═══►
//! ```
//!
//! The end of a body is the end of that direction; an end that is not in order says why in
//! trailers, if it still can. A reset ends both directions. Unknown headers, features and control
//! messages are ignored: that is where extensions find room.

use http::header::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, CONTROLS, percent_decode, utf8_percent_encode};

pub mod control;
pub mod dial;
pub mod hello;
pub mod liveness;
pub mod mode;
pub mod window;

/// The application protocol of TLS that means all this.
pub const ALPN: &[u8] = b"knp-rh2/1";
/// What both ends say in [`hello::VERSION`].
pub const VERSION: &str = "1";
/// Why a dial failed, in the answer's head, or why a direction ended, in trailers.
pub const ERROR: HeaderName = HeaderName::from_static("knp-error");

/// Letters of an error's text that travel; the rest is cut off.
const LONGEST_ERROR: usize = 1024;
/// What a header cannot carry as it is, and what says so.
const ESCAPED: &AsciiSet = &CONTROLS.add(b'%');

/// A text as the value of [`ERROR`]: percent-encoded where a header cannot carry it.
pub fn error_value(text: &str) -> HeaderValue {
    let short: String = text.chars().take(LONGEST_ERROR).collect();
    let escaped = utf8_percent_encode(&short, ESCAPED).to_string();
    HeaderValue::try_from(escaped).unwrap_or_else(|_impossible| HeaderValue::from_static("error"))
}

/// The text that [`ERROR`] carries, if it is there.
pub fn error_text(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(ERROR)?;
    Some(
        percent_decode(value.as_bytes())
            .decode_utf8_lossy()
            .into_owned(),
    )
}

/// The trailers of a direction that did not end in order.
pub fn error_trailers(text: &str) -> HeaderMap {
    HeaderMap::from_iter([(ERROR, error_value(text))])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn plain_words_travel_as_they_are() {
        let text = "dial tcp 10.0.0.1:1: connect: connection refused";
        assert_eq!(error_value(text), text);
        assert_eq!(error_value("50 %\n"), "50 %25%0A");
        assert_eq!(error_text(&HeaderMap::new()), None);
    }

    proptest! {
        #[test]
        fn every_text_arrives(text in "\\PC{0,200}|.{0,200}") {
            let trailers = error_trailers(&text);
            prop_assert_eq!(error_text(&trailers), Some(text));
        }

        #[test]
        fn every_value_is_a_text(value in proptest::collection::vec(32_u8..127, 0..64)) {
            let value = HeaderValue::from_bytes(&value).unwrap();
            let headers = HeaderMap::from_iter([(ERROR, value)]);
            prop_assert!(error_text(&headers).is_some());
        }
    }
}
