//! What a whole run stands on: the programs under test, certificates, endpoints, and a folder that goes with the run.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use crate::bench::certificates;
use crate::bench::child::Child;
use crate::bench::contestant::Contestant;
use crate::bench::part::sink::Addresses;
use crate::command::Invocation;
use crate::error::{Error, Result};

/// The flag that chooses the wire, on both our programs.
const MODE_FLAG: &str = "--tunnel-mode";
const SOON: Duration = Duration::from_secs(20);

/// A server's and an agent's program.
#[derive(Debug, Clone)]
pub struct Programs {
    /// konnectivity-server.
    pub server: PathBuf,
    /// konnectivity-agent.
    pub agent: PathBuf,
}

impl Programs {
    /// Ours; those beside this program, where no others are named.
    pub fn ours(server: Option<PathBuf>, agent: Option<PathBuf>) -> Result<Self> {
        let own = std::env::current_exe().map_err(Error::file("find", "this program"))?;
        Ok(Self {
            server: server.unwrap_or_else(|| own.with_file_name("konnectivity-server")),
            agent: agent.unwrap_or_else(|| own.with_file_name("konnectivity-agent")),
        })
    }
}

/// What is measured, and with what.
#[derive(Debug)]
pub struct Subjects {
    /// Our programs.
    pub ours: Programs,
    /// The reference's, when both are named.
    pub reference: Option<Programs>,
    /// The Go client, when there is something to compare it with.
    pub go_client: Option<PathBuf>,
}

/// The standing parts of a run. Dropping it ends them and removes its folder.
#[derive(Debug)]
pub struct Rig {
    subjects: Subjects,
    has_modes: bool,
    logs: PathBuf,
    /// Endpoints of transfers.
    pub bulk: Addresses,
    /// Endpoints of dials and round trips, in another process, so that transfers do not hold them up.
    pub quick: Addresses,
    _endpoints: [Child; 2],
    folder: TempDir,
}

impl Rig {
    /// Makes certificates, starts the endpoints and looks what our programs can do.
    pub async fn start(subjects: Subjects, logs: PathBuf) -> Result<Self> {
        crate::place::create_directory(&logs)?;
        // A socket's path may have no more than 107 bytes, so the folder is not below the clone.
        let folder = tempfile::tempdir().map_err(Error::file("create", "a temporary folder"))?;
        certificates::make(folder.path())?;
        let mut bulk = Child::part("endpoints-bulk", words(["sink"]), &logs)?;
        let mut quick = Child::part("endpoints-quick", words(["sink"]), &logs)?;
        let ours = &subjects.ours;
        let has_modes = knows_modes(&ours.server).await? && knows_modes(&ours.agent).await?;
        Ok(Self {
            subjects,
            has_modes,
            logs,
            bulk: bulk.line(SOON).await?,
            quick: quick.line(SOON).await?,
            _endpoints: [bulk, quick],
            folder,
        })
    }

    /// Why this contestant cannot be measured here.
    pub fn lacks(&self, contestant: Contestant) -> Option<String> {
        match contestant {
            Contestant::TcpRelay | Contestant::TlsRelay | Contestant::Legacy => None,
            Contestant::Native if self.has_modes => None,
            Contestant::Native => Some(format!("our programs have no {MODE_FLAG}")),
            Contestant::Reference | Contestant::OurServer | Contestant::OurAgent => {
                let unnamed = "KONNECTIVITY_REFERENCE_SERVER and KONNECTIVITY_REFERENCE_AGENT name no programs";
                self.subjects
                    .reference
                    .is_none()
                    .then(|| unnamed.to_owned())
            }
        }
    }

    /// The programs of a contestant; `None` for relays, which are this program.
    pub(super) fn programs(&self, contestant: Contestant) -> Option<Programs> {
        let (ours, reference) = (self.subjects.ours.clone(), self.subjects.reference.clone());
        match contestant {
            Contestant::TcpRelay | Contestant::TlsRelay => None,
            Contestant::Legacy | Contestant::Native => Some(ours),
            Contestant::Reference => reference,
            Contestant::OurServer => reference.map(|reference| Programs {
                server: ours.server,
                agent: reference.agent,
            }),
            Contestant::OurAgent => reference.map(|reference| Programs {
                server: reference.server,
                agent: ours.agent,
            }),
        }
    }

    /// What chooses the wire of a contestant whose halves are both ours.
    pub(super) fn mode(&self, contestant: Contestant) -> Option<String> {
        let mode = match contestant {
            Contestant::Native => "native",
            Contestant::Legacy => "legacy",
            _ => return None,
        };
        self.has_modes.then(|| format!("{MODE_FLAG}={mode}"))
    }

    /// The Go client, when it was built.
    pub fn go_client(&self) -> Option<&Path> {
        self.subjects.go_client.as_deref()
    }

    /// Certificates and sockets.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Where every process writes.
    pub fn logs(&self) -> &Path {
        &self.logs
    }
}

async fn knows_modes(program: &Path) -> Result<bool> {
    let help = Invocation::new([program]).args(["--help"]).run().await?;
    Ok(help.contains(MODE_FLAG))
}

/// A command line.
pub(super) fn words<S: Into<OsString>, const COUNT: usize>(words: [S; COUNT]) -> Vec<OsString> {
    words.map(Into::into).into()
}
