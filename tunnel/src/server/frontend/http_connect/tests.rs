//! The reference's replies, byte for byte. Whole requests are tested over sockets in `tests/it`.

use super::*;

#[test]
fn replies_are_those_of_the_reference() {
    let refused = |text: &str| DialError::Refused(text.to_owned());
    for (error, reply) in [
        (
            DialError::NoAgent,
            "HTTP/1.1 500 Internal Server Error: No agent available\r\nContent-Type: text/plain\r\n\r\n\
             currently no tunnels available: No agent available",
        ),
        (
            DialError::TimedOut,
            "HTTP/1.1 504 Gateway Timeout: timed out waiting for backend dial\r\nConnection: close\r\n\
             Content-Type: text/plain; charset=utf-8\r\n\r\n\
             Backend dial timeout: timed out waiting for backend dial\r\n",
        ),
        (
            refused("dial tcp 10.0.0.1:1: connect: connection refused"),
            "HTTP/1.1 502 Bad Gateway: dial tcp 10.0.0.1:1: connect: connection refused\r\nConnection: close\r\n\
             Content-Type: text/plain; charset=utf-8\r\n\r\n\
             dial tcp 10.0.0.1:1: connect: connection refused",
        ),
    ] {
        assert_eq!(failure(&error), reply);
    }
}

#[test]
fn words_of_the_agent_choose_the_status() {
    for (text, status) in [
        (
            "dial tcp 198.18.0.254:1234: i/o timeout",
            "504 Gateway Timeout",
        ),
        ("context deadline exceeded", "504 Gateway Timeout"),
        ("socket: too many open files", "503 Service Unavailable"),
        ("dial tcp: lookup nowhere: no such host", "502 Bad Gateway"),
    ] {
        assert_eq!(status_of(text), status, "{text}");
    }
}

#[test]
fn other_methods_are_refused_in_the_words_of_the_reference() {
    let reply = refusal(HeadError::NotConnect);
    assert!(
        reply.starts_with("HTTP/1.1 405 Method Not Allowed\r\n"),
        "{reply}"
    );
    assert!(
        reply.ends_with("\r\n\r\nthis proxy only supports CONNECT passthrough\n"),
        "{reply}"
    );
}
