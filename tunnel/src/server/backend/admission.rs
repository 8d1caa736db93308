//! An agent says who it is, proves it, and becomes a backend until its stream ends.
//! In: one `AgentService.Connect` request, or what a native hello says. Out: a backend for strategies to choose; to a
//! reference agent its response headers at once and a status at the end.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::{HeaderMap, Request};
use tokio::sync::watch;

use super::reference::driver::DriveError;
use super::reference::{Stream, driver};
use super::{Backend, Wire};
use crate::drain::Watcher;
use crate::fault::Fault;
use crate::grpc::{self, PacketReader, PacketWriter, Status};
use crate::protocol::budget::Limits;
use crate::protocol::metadata::{self, Identifiers, MetadataError};
use crate::protocol::packet::FromAgent;
use crate::server::auth::{Pass, Proof};
use crate::server::backends::{Backends, Membership};
use crate::server::metrics::Metrics;

/// What every agent needs to be let in.
#[derive(Debug)]
pub(crate) struct Gate {
    /// Our name.
    pub(crate) server_id: String,
    /// How many servers agents are told of: never fewer than the flag, than the live leases, than those connected.
    pub(crate) server_count: usize,
    /// Live servers by their leases; 0 when leases are off.
    pub(crate) live: watch::Receiver<usize>,
    /// The other servers that are connected to this one.
    pub(crate) siblings: watch::Receiver<Vec<String>>,
    /// How agents prove themselves.
    pub(crate) proof: Proof,
    /// Where they go.
    pub(crate) backends: Arc<Backends>,
    /// Budget of their connections.
    pub(crate) limits: Limits,
    /// Time between pings to a native agent, and for it to answer one.
    pub(crate) native_keepalive: Duration,
    /// Whether this server leaves.
    pub(crate) drain: Watcher,
    /// What is counted.
    pub(crate) metrics: Metrics,
}

/// Who an agent says it is.
pub(crate) struct Claim {
    /// Its name.
    pub(crate) agent: String,
    /// What it can reach.
    pub(crate) identifiers: Identifiers,
    /// Values of the header that proves it.
    pub(crate) authorization: Vec<String>,
}

impl Gate {
    /// Serves one stream of an agent's connection.
    pub(crate) async fn connect(
        self: Arc<Self>,
        request: Request<RecvStream>,
        mut respond: SendResponse<Bytes>,
    ) {
        if let Err(status) = grpc::check(&request, "AgentService", "Connect") {
            return grpc::refuse(&mut respond, &status);
        }
        let (parts, body) = request.into_parts();
        let (claim, pass) = match self.admit(&parts.headers).await {
            Ok(admitted) => admitted,
            Err(error) => {
                let fault = Fault::Agent.as_str();
                tracing::warn!(error, fault, "an agent is refused");
                return grpc::refuse(&mut respond, &Status::unknown(error));
            }
        };
        let headers = [
            (metadata::SERVER_ID, self.server_id.clone()),
            (metadata::SERVER_COUNT, self.count().to_string()),
        ];
        match grpc::accept(&mut respond, &headers) {
            Ok(stream) => {
                let wire = (PacketReader::new(body), PacketWriter::new(stream));
                self.drive(claim, pass, wire).await;
            }
            Err(error) => tracing::debug!(%error, "an agent left before it was answered"),
        }
    }

    async fn admit(&self, headers: &HeaderMap) -> Result<(Claim, Pass), String> {
        let claim = Claim::read(headers)?;
        let pass = self.prove(&claim).await?;
        Ok((claim, pass))
    }

    /// What lets the agent in, whose pass may end before its stream; else the reference's words.
    pub(crate) async fn prove(&self, claim: &Claim) -> Result<Pass, String> {
        let checked = self
            .proof
            .check(&claim.authorization, &claim.identifiers)
            .await;
        checked.map_err(|error| error.to_string())
    }

    /// How many servers agents are told of.
    pub(crate) fn count(&self) -> usize {
        let known = self.siblings.borrow().len() + 1;
        self.server_count.max(*self.live.borrow()).max(known)
    }

    /// The servers that are known by name, this one first.
    pub(crate) fn members(&self) -> Vec<String> {
        let siblings = self.siblings.borrow();
        std::iter::once(&self.server_id)
            .chain(siblings.iter())
            .cloned()
            .collect()
    }

    async fn drive(
        &self,
        claim: Claim,
        pass: Pass,
        (reader, mut writer): (PacketReader<FromAgent>, PacketWriter),
    ) {
        let stream = Stream::new(claim.agent.clone(), self.limits, self.metrics.clone());
        let who = (claim.agent, claim.identifiers);
        let wire = Wire::Reference(Arc::clone(&stream));
        let backend = Backend::new(who, wire, self.metrics.clone());
        let stay = Stay::begin(self, Arc::clone(&backend));
        let ended = tokio::select! {
            ended = driver::read(backend, Arc::clone(&stream), reader) => ended,
            ended = driver::write(&stream, &mut writer) => ended,
            reason = pass.revoked() => Err(DriveError::Revoked(reason)),
        };
        stay.end(&ended);
        let status = ended.map_or_else(|error| error.status(), |()| Status::ok());
        drop(writer.finish(&status));
    }
}

/// An agent's time with us. Whatever ends it, it leaves the list first and then everybody who waits for it is told.
pub(crate) struct Stay<'a> {
    membership: Option<Membership>,
    backend: Arc<Backend>,
    metrics: &'a Metrics,
}

impl<'a> Stay<'a> {
    /// From now on strategies may choose it.
    pub(crate) fn begin(gate: &'a Gate, backend: Arc<Backend>) -> Self {
        gate.metrics.connect_streams.inc();
        let membership = gate.backends.admit(Arc::clone(&backend));
        tracing::info!(
            agent = backend.agent(),
            wire = backend.wire_name(),
            agents = gate.backends.len(),
            "agent connected"
        );
        Self {
            membership: Some(membership),
            backend,
            metrics: &gate.metrics,
        }
    }

    /// It is over; one line says how.
    pub(crate) fn end<E: Error>(self, ended: &Result<(), E>) {
        let backend = Arc::clone(&self.backend);
        drop(self);
        let agent = backend.agent();
        match ended {
            Ok(()) => tracing::info!(agent, "agent left"),
            Err(error) => {
                let cause = error.source().map(ToString::to_string);
                let fault = Fault::Agent.as_str();
                tracing::warn!(agent, %error, cause, fault, "agent lost");
            }
        }
    }
}

impl Drop for Stay<'_> {
    fn drop(&mut self) {
        drop(self.membership.take());
        self.backend.lose();
        self.metrics.connect_streams.dec();
    }
}

impl Claim {
    fn read(headers: &HeaderMap) -> Result<Self, String> {
        let text = |error: MetadataError| error.to_string();
        let agents = values(headers, metadata::AGENT_ID);
        let identifiers = values(headers, metadata::AGENT_IDENTIFIERS);
        Ok(Self {
            agent: metadata::agent_id(agents.iter().map(String::as_str)).map_err(text)?,
            identifiers: metadata::agent_identifiers(identifiers.iter().map(String::as_str))
                .map_err(text)?,
            authorization: values(headers, metadata::AUTHORIZATION),
        })
    }
}

fn values(headers: &HeaderMap, name: &str) -> Vec<String> {
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    headers.get_all(name).iter().map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                (
                    http::HeaderName::from_static(name),
                    http::HeaderValue::from_static(value),
                )
            })
            .collect()
    }

    fn refusal(pairs: &[(&'static str, &'static str)]) -> String {
        Claim::read(&headers(pairs))
            .map(drop)
            .expect_err("must be refused")
    }

    #[test]
    fn agent_says_who_it_is() {
        let claim = Claim::read(&headers(&[
            ("agentid", "a1"),
            ("agentidentifiers", "host=n1&ipv4=10.0.0.1"),
            ("authorization", "Bearer x"),
        ]))
        .expect("legal");
        assert_eq!(claim.agent, "a1");
        assert_eq!(claim.identifiers.ipv4, ["10.0.0.1"]);
        assert_eq!(claim.authorization, ["Bearer x"]);
    }

    #[test]
    fn name_may_be_empty_but_not_absent_or_doubled() {
        assert!(Claim::read(&headers(&[("agentid", "")])).is_ok());
        assert_eq!(refusal(&[]), "expected one agent ID in the context, got []");
        assert_eq!(
            refusal(&[("agentid", "a"), ("agentid", "b")]),
            "expected one agent ID in the context, got [a b]"
        );
    }

    #[test]
    fn at_most_one_set_of_identifiers_is_taken() {
        let refused = refusal(&[
            ("agentid", "a"),
            ("agentidentifiers", "host=x"),
            ("agentidentifiers", "host=y"),
        ]);
        assert!(
            refused.starts_with("expected at most one set of agent identifiers"),
            "{refused}"
        );
    }
}
