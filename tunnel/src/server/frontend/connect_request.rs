//! The head of a CONNECT request: the bytes a client sends before the tunnel starts.
//! In: what has arrived so far. Out: the authority it wants and where the tunnel's own bytes begin, or the refusal.
//! Pure and bounded: it looks at no more than [`LIMIT`] bytes and copies one string.

/// A head longer than this is refused.
pub const LIMIT: usize = 8 * 1024;

/// A complete head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectRequest {
    /// `host:port` as in the request line; the `Host` header does not count.
    pub authority: String,
    /// Bytes of the head: whatever follows belongs to the tunnel.
    pub head: usize,
}

/// Why a head is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// Another method.
    #[error("this proxy only supports CONNECT passthrough")]
    NotConnect,
    /// Not HTTP/1.
    #[error("malformed HTTP request")]
    Malformed,
    /// Some other major version.
    #[error("unsupported protocol version")]
    Version,
    /// More than [`LIMIT`] bytes without an end.
    #[error("request header is longer than 8 KiB")]
    TooLong,
}

impl HeadError {
    /// The status line's code and phrase.
    pub fn status(self) -> &'static str {
        match self {
            Self::NotConnect => "405 Method Not Allowed",
            Self::Malformed => "400 Bad Request",
            Self::Version => "505 HTTP Version Not Supported",
            Self::TooLong => "431 Request Header Fields Too Large",
        }
    }
}

/// Reads a head; `Ok(None)` means that more bytes are needed.
pub fn parse(received: &[u8]) -> Result<Option<ConnectRequest>, HeadError> {
    let Some(head) = head_length(received) else {
        return if received.len() >= LIMIT {
            Err(HeadError::TooLong)
        } else {
            early(received)
        };
    };
    if head > LIMIT {
        return Err(HeadError::TooLong);
    }
    let text = received.get(..head).unwrap_or_default();
    let mut lines = text
        .split(|byte| *byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let authority = request_line(lines.next().unwrap_or_default())?;
    if lines.any(|line| !line.is_empty() && !is_header(line)) {
        return Err(HeadError::Malformed);
    }
    Ok(Some(ConnectRequest { authority, head }))
}

/// Refuses what can no longer become a request, without waiting for its end.
fn early(received: &[u8]) -> Result<Option<ConnectRequest>, HeadError> {
    const METHOD: &[u8] = b"CONNECT ";
    if received.contains(&b'\n') {
        let line = received
            .split(|byte| *byte == b'\n')
            .next()
            .unwrap_or_default();
        request_line(line.strip_suffix(b"\r").unwrap_or(line))?;
    } else if received
        .iter()
        .any(|byte| !(b' '..=b'~').contains(byte) && *byte != b'\r')
    {
        // A TLS handshake or other binary on a plain port.
        return Err(HeadError::Malformed);
    } else if received.len() >= METHOD.len()
        && !received.starts_with(METHOD)
        && !received.contains(&b' ')
        && received.len() > 32
    {
        return Err(HeadError::Malformed);
    }
    Ok(None)
}

/// Length of the head with its empty line, if that has arrived.
fn head_length(received: &[u8]) -> Option<usize> {
    let mut start = 0;
    for (at, byte) in received.iter().enumerate() {
        if *byte != b'\n' {
            continue;
        }
        let line = received.get(start..at).unwrap_or_default();
        if line.is_empty() || line == b"\r" {
            return Some(at + 1);
        }
        start = at + 1;
    }
    None
}

fn request_line(line: &[u8]) -> Result<String, HeadError> {
    let text = std::str::from_utf8(line).map_err(|_not_text| HeadError::Malformed)?;
    let mut words = text.split(' ');
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(HeadError::Malformed);
    };
    match version.strip_prefix("HTTP/") {
        Some("1.1" | "1.0") => {}
        Some(_) => return Err(HeadError::Version),
        None => return Err(HeadError::Malformed),
    }
    let token = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    if !token(method) || !token(target) {
        return Err(HeadError::Malformed);
    }
    if method != "CONNECT" {
        return Err(HeadError::NotConnect);
    }
    Ok(target.to_owned())
}

fn is_header(line: &[u8]) -> bool {
    let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
    name.len() < line.len() && !name.is_empty() && name.iter().all(u8::is_ascii_graphic)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KUBE_APISERVER: &[u8] = b"CONNECT 10.0.0.7:10250 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";

    #[test]
    fn request_of_kube_apiserver_is_read_from_its_request_line() {
        let request = parse(KUBE_APISERVER).expect("legal").expect("complete");
        assert_eq!(request.authority, "10.0.0.7:10250");
        assert_eq!(request.head, KUBE_APISERVER.len());
    }

    #[test]
    fn bytes_behind_the_head_are_left_alone() {
        let mut received = KUBE_APISERVER.to_vec();
        received.extend_from_slice(b"\x16\x03\x01\r\n\r\n");
        let request = parse(&received).expect("legal").expect("complete");
        assert_eq!(
            received.get(request.head..),
            Some(b"\x16\x03\x01\r\n\r\n".as_slice())
        );
    }

    #[test]
    fn head_that_comes_byte_by_byte_is_read_once_complete() {
        for end in 0..KUBE_APISERVER.len() {
            assert_eq!(parse(&KUBE_APISERVER[..end]), Ok(None), "after {end} bytes");
        }
    }

    #[test]
    fn refusals_have_the_statuses_of_the_reference() {
        for (head, error) in [
            ("GET / HTTP/1.1\r\n\r\n", HeadError::NotConnect),
            ("CONNECT x:1\r\n\r\n", HeadError::Malformed),
            ("CONNECT  x:1 HTTP/1.1\r\n\r\n", HeadError::Malformed),
            ("CONNECT x:1 HTTP/2.0\r\n\r\n", HeadError::Version),
            (
                "CONNECT x:1 HTTP/1.1\r\nno colon\r\n\r\n",
                HeadError::Malformed,
            ),
            ("\u{16}\u{3}\u{1}", HeadError::Malformed),
        ] {
            assert_eq!(parse(head.as_bytes()), Err(error), "{head:?}");
        }
    }

    #[test]
    fn head_without_end_is_refused_at_the_limit() {
        let mut received = b"CONNECT x:1 HTTP/1.1\r\nA: ".to_vec();
        received.resize(LIMIT - 1, b'a');
        assert_eq!(parse(&received), Ok(None));
        received.push(b'a');
        assert_eq!(parse(&received), Err(HeadError::TooLong));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(received in proptest::collection::vec(any::<u8>(), 0..9000)) {
            let _outcome = parse(&received);
        }

        #[test]
        fn head_ends_inside_what_was_received(tail in proptest::collection::vec(any::<u8>(), 0..64)) {
            let mut received = KUBE_APISERVER.to_vec();
            received.extend_from_slice(&tail);
            let request = parse(&received).expect("legal").expect("complete");
            prop_assert_eq!(request.head, KUBE_APISERVER.len());
        }
    }
}
