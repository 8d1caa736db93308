//! A person's mistakes, and listeners that are not ours.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;
use crate::admin::{self, Pages};
use crate::metrics::Registry;
use crate::status::document::Connections;

fn words(line: &str) -> Vec<String> {
    line.split(' ').map(str::to_owned).collect()
}

#[test]
fn only_the_first_word_asks_for_it() {
    assert!(is_asked(&words("konnectivity-server status -o json")));
    for line in [
        "konnectivity-server",
        "konnectivity-server --mode=grpc status",
        "konnectivity-server --server-id status",
        "status",
    ] {
        assert!(!is_asked(&words(line)), "{line}");
    }
}

#[test]
fn each_program_has_its_own_default_address() {
    for (program, address) in [
        (Program::Server, "127.0.0.1:8095"),
        (Program::Agent, "127.0.0.1:8094"),
    ] {
        let args = parse(program, &words("program status")).unwrap();
        assert_eq!(args.admin_address, address);
        assert!(matches!(args.output, Output::Table));
    }
    let line = words("program status --admin-address 127.0.0.1:8133 -o json");
    let args = parse(Program::Server, &line).unwrap();
    assert_eq!(args.admin_address, "127.0.0.1:8133");
    assert!(matches!(args.output, Output::Json));
    let refused = parse(Program::Server, &words("program status -o yaml")).unwrap_err();
    assert_eq!(refused.exit_code(), 2);
    assert!(
        refused
            .to_string()
            .contains("[possible values: table, json]")
    );
    let help = parse(Program::Agent, &words("program status --help")).unwrap_err();
    assert!(
        help.to_string()
            .contains("Usage: konnectivity-agent status")
    );
}

/// What is said when a listener answers every connection with `answer`.
async fn said_of(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let served = async {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut request = [0; 1024];
        assert!(socket.read(&mut request).await.unwrap() > 0);
        socket.write_all(answer.as_bytes()).await.unwrap();
    };
    let (asked, ()) = tokio::join!(ask(Program::Server, &address), served);
    chain(&asked.unwrap_err()).replace(&address, "ADDRESS")
}

#[tokio::test]
async fn what_is_no_status_is_told_with_a_remedy() {
    let wrong_path = said_of("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(
        wrong_path,
        "http://ADDRESS/status answers 404 Not Found and no status: is this the port of --admin-port, \
         and the program as new as this one?"
    );
    let text = said_of("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    assert!(
        text.starts_with("http://ADDRESS/status answers 200 OK and no status: ")
            && text.contains(": expected"),
        "{text}"
    );
    let alien = said_of("SSH-2.0-OpenSSH_9.2p1\r\n").await;
    assert!(
        alien.starts_with("what listens at ADDRESS does not speak HTTP, or hung up: is this the port of --admin-port?"),
        "{alien}"
    );
}

#[tokio::test]
async fn nobody_there_is_told_with_a_remedy() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let error = ask(Program::Agent, &address).await.unwrap_err();
    let text = chain(&error).replace(&address, "ADDRESS");
    assert!(
        text.starts_with(
            "nobody answers at ADDRESS: is konnectivity-agent running here? \
             Give --admin-address=HOST:PORT the port of its --admin-server-port: "
        ),
        "{text}"
    );
}

#[tokio::test]
async fn the_page_and_the_command_understand_each_other() {
    let status = Status {
        program: Program::Agent,
        version: "0.1.0".to_owned(),
        id: "agent-1".to_owned(),
        uptime_ms: 1,
        draining: true,
        pending_dials: None,
        known_servers: 3,
        agents: Vec::new(),
        servers: Vec::new(),
        connections: Connections {
            open: 0,
            truncated: 0,
            listed: Vec::new(),
        },
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let said = status.clone();
    let pages = Pages::new()
        .with_metrics(Registry::new("x_"))
        .with_status(move || said.clone());
    tokio::select! {
        () = admin::serve(listener, pages) => panic!("serve never ends"),
        asked = ask(Program::Agent, &address) => assert_eq!(asked.unwrap(), status),
    }
}
