//! Real sockets, spoken to by hand.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::drain;

async fn ask(address: std::net::SocketAddr, request: &str) -> String {
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    answer
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: node:8094\r\nConnection: close\r\n\r\n")
}

#[tokio::test]
async fn pages_answer_and_the_rest_is_refused_with_a_reason() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let pages = Pages::new()
        .with_liveness()
        .with_metrics(Registry::new("x_"))
        .at("/moved", |request| moved_to_port(request, 8093))
        .at("/readyz", |_| {
            text(StatusCode::INTERNAL_SERVER_ERROR, "no connection")
        });
    let scenario = async {
        let alive = ask(address, &get("/healthz")).await;
        assert!(
            alive.starts_with("HTTP/1.1 200 OK") && alive.ends_with("\r\n\r\nok"),
            "{alive}"
        );
        assert!(
            ask(address, &get("/readyz"))
                .await
                .starts_with("HTTP/1.1 500")
        );
        assert!(
            ask(address, &get("/metrics"))
                .await
                .contains("version=0.0.4")
        );
        assert!(
            ask(address, &get("/moved"))
                .await
                .contains("location: http://node:8093/moved")
        );
        assert!(
            ask(address, &get("/else"))
                .await
                .starts_with("HTTP/1.1 404")
        );
        let profile = ask(address, &get("/debug/pprof/profile")).await;
        assert!(profile.starts_with("HTTP/1.1 404") && profile.contains("perf record"));
        let posted = ask(address, "POST /healthz HTTP/1.0\r\n\r\n").await;
        assert!(posted.contains(" 405 "), "{posted}");
        assert!(ask(address, "nonsense\r\n\r\n").await.contains(" 400 "));
    };
    tokio::select! {
        () = serve(listener, pages) => panic!("serve never ends"),
        () = scenario => {}
    }
}

#[tokio::test]
async fn a_port_in_use_is_not_fatal() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (_trigger, watcher) = drain::channel();
    listen("admin", address, Pages::new(), watcher).await;
}

#[test]
fn bind_addresses_cover_every_interface_and_both_families() {
    assert_eq!(listen_address("", 1), "[::]:1");
    assert_eq!(listen_address("127.0.0.1", 2), "127.0.0.1:2");
    assert_eq!(listen_address("::1", 3), "[::1]:3");
    assert_eq!(listen_address("[::1]", 4), "[::1]:4");
}
