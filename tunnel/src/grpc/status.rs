//! gRPC's way to say how a call ended: a code and a text, in the trailers.

use std::borrow::Cow;
use std::fmt;

use h2::Reason;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::protocol::framing::FramingError;

const STATUS: &str = "grpc-status";
const MESSAGE: &str = "grpc-message";

/// The codes, in the order of their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the documentation of gRPC")]
pub enum Code {
    Ok,
    Canceled,
    Unknown,
    InvalidArgument,
    DeadlineExceeded,
    NotFound,
    AlreadyExists,
    PermissionDenied,
    ResourceExhausted,
    FailedPrecondition,
    Aborted,
    OutOfRange,
    Unimplemented,
    Internal,
    Unavailable,
    DataLoss,
    Unauthenticated,
}

const CODES: [(Code, &str); 17] = [
    (Code::Ok, "OK"),
    (Code::Canceled, "Canceled"),
    (Code::Unknown, "Unknown"),
    (Code::InvalidArgument, "InvalidArgument"),
    (Code::DeadlineExceeded, "DeadlineExceeded"),
    (Code::NotFound, "NotFound"),
    (Code::AlreadyExists, "AlreadyExists"),
    (Code::PermissionDenied, "PermissionDenied"),
    (Code::ResourceExhausted, "ResourceExhausted"),
    (Code::FailedPrecondition, "FailedPrecondition"),
    (Code::Aborted, "Aborted"),
    (Code::OutOfRange, "OutOfRange"),
    (Code::Unimplemented, "Unimplemented"),
    (Code::Internal, "Internal"),
    (Code::Unavailable, "Unavailable"),
    (Code::DataLoss, "DataLoss"),
    (Code::Unauthenticated, "Unauthenticated"),
];

impl Code {
    /// grpc-go's name for it, which the reference uses as a label.
    pub fn name(self) -> &'static str {
        CODES
            .iter()
            .find(|(code, _)| *code == self)
            .map_or("Unknown", |(_, name)| name)
    }

    /// A code that is unknown counts as [`Code::Unknown`].
    pub fn of_number(number: usize) -> Self {
        CODES.get(number).map_or(Self::Unknown, |(code, _)| *code)
    }

    fn number(self) -> usize {
        CODES
            .iter()
            .position(|(code, _)| *code == self)
            .unwrap_or(2)
    }
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The kind.
    pub code: Code,
    /// For people.
    pub message: String,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.name(), self.message)
    }
}

impl std::error::Error for Status {}

impl Status {
    /// A status of that kind.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    /// The call went well.
    pub const fn ok() -> Self {
        Self {
            code: Code::Ok,
            message: String::new(),
        }
    }

    /// What becomes of a plain Go error that a handler returns: most of the reference's errors.
    pub fn unknown(message: impl Into<String>) -> Self {
        Self::new(Code::Unknown, message)
    }

    /// grpc-go's name of the code.
    pub fn code_name(&self) -> &'static str {
        self.code.name()
    }

    /// Checks the head of a response; it may be all there is of it.
    ///
    /// # Errors
    /// Why the call failed.
    pub fn of_head(status: StatusCode, headers: &HeaderMap) -> Result<(), Self> {
        if headers.contains_key(STATUS) {
            return Self::of_trailers(headers);
        }
        if status != StatusCode::OK {
            let message = format!("unexpected HTTP status code received from server: {status}");
            return Err(Self::new(of_http_status(status), message));
        }
        match headers.get(CONTENT_TYPE) {
            Some(value) if value.as_bytes().starts_with(b"application/grpc") => Ok(()),
            other => Err(Self::unknown(format!(
                "unexpected content-type {other:?}: not a gRPC server"
            ))),
        }
    }

    /// Reads the trailers of a response.
    ///
    /// # Errors
    /// Why the call failed.
    pub fn of_trailers(trailers: &HeaderMap) -> Result<(), Self> {
        let text = |name| {
            trailers
                .get(name)
                .map(|value: &HeaderValue| value.as_bytes())
        };
        let number = text(STATUS).and_then(|value| std::str::from_utf8(value).ok()?.parse().ok());
        match number.map(Code::of_number) {
            Some(Code::Ok) => Ok(()),
            Some(code) => Err(Self::new(code, unescape(text(MESSAGE).unwrap_or_default()))),
            None => Err(Self::new(
                Code::Internal,
                "trailers without a legal grpc-status",
            )),
        }
    }

    /// What an error of HTTP/2 means, as grpc-go has it.
    pub(super) fn of_http2(error: &h2::Error) -> Self {
        let code = match error.reason() {
            Some(Reason::CANCEL) if !error.is_go_away() => Code::Canceled,
            Some(Reason::FLOW_CONTROL_ERROR | Reason::ENHANCE_YOUR_CALM) => Code::ResourceExhausted,
            Some(Reason::INADEQUATE_SECURITY) => Code::PermissionDenied,
            Some(Reason::REFUSED_STREAM) | None => Code::Unavailable,
            Some(_) if error.is_go_away() => Code::Unavailable,
            Some(_) => Code::Internal,
        };
        Self::new(code, error.to_string())
    }

    pub(super) fn of_framing(error: &FramingError) -> Self {
        let code = match error {
            FramingError::TooLarge(_) => Code::ResourceExhausted,
            FramingError::Compressed => Code::Unimplemented,
            FramingError::Flag(_) | FramingError::Packet(_) | FramingError::Truncated => {
                Code::Internal
            }
        };
        Self::new(code, error.to_string())
    }

    pub(super) fn trailers(&self) -> HeaderMap {
        let mut trailers = HeaderMap::new();
        trailers.insert(STATUS, HeaderValue::from(self.code.number()));
        if !self.message.is_empty()
            && let Ok(message) = HeaderValue::from_str(&escape(&self.message))
        {
            trailers.insert(MESSAGE, message);
        }
        trailers
    }
}

fn of_http_status(status: StatusCode) -> Code {
    match status.as_u16() {
        400 => Code::Internal,
        401 => Code::Unauthenticated,
        403 => Code::PermissionDenied,
        404 => Code::Unimplemented,
        429 | 502..=504 => Code::Unavailable,
        _ => Code::Unknown,
    }
}

/// Percent-encodes what is not printable ASCII, and the percent sign.
fn escape(message: &str) -> Cow<'_, str> {
    let is_plain = |byte: u8| (b' '..=b'~').contains(&byte) && byte != b'%';
    if message.bytes().all(is_plain) {
        return message.into();
    }
    message
        .bytes()
        .map(|byte| {
            if is_plain(byte) {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect::<String>()
        .into()
}

fn unescape(message: &[u8]) -> String {
    let mut bytes = Vec::with_capacity(message.len());
    let mut rest = message;
    while let Some((&first, tail)) = rest.split_first() {
        let digits = tail
            .get(..2)
            .and_then(|digits| std::str::from_utf8(digits).ok());
        let escaped = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match escaped {
            Some(byte) if first == b'%' => {
                bytes.push(byte);
                rest = tail.get(2..).unwrap_or_default();
            }
            _ => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_survives_the_trailers() {
        for message in ["", "plain", "100 % größer\nnext", "%zz"] {
            let status = Status::new(Code::Unavailable, message);
            assert_eq!(Status::of_trailers(&status.trailers()), Err(status));
        }
        assert_eq!(Status::of_trailers(&Status::ok().trailers()), Ok(()));
    }

    #[test]
    fn numbers_are_grpcs() {
        for (index, (code, _)) in CODES.iter().enumerate() {
            assert_eq!((code.number(), Code::of_number(index)), (index, *code));
        }
        assert_eq!(Code::of_number(99), Code::Unknown);
        assert_eq!(Code::Unauthenticated.number(), 16);
    }

    #[test]
    fn head_that_is_no_grpc_is_an_error() {
        let head = |status, content_type: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            if let Some(value) = content_type {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static(value));
            }
            Status::of_head(status, &headers).map_err(|status| status.code)
        };
        assert_eq!(head(StatusCode::OK, Some("application/grpc")), Ok(()));
        assert_eq!(head(StatusCode::OK, Some("text/html")), Err(Code::Unknown));
        assert_eq!(head(StatusCode::OK, None), Err(Code::Unknown));
        assert_eq!(
            head(StatusCode::UNAUTHORIZED, None),
            Err(Code::Unauthenticated)
        );
        assert_eq!(head(StatusCode::BAD_GATEWAY, None), Err(Code::Unavailable));
    }
}
