//! A machine of the lab: network, mount, pid and host name of its own, in one process tree.
//!
//! All its processes descend from one init; killing that ends them, and with the last of them its mounts go.
//! Files are reached from outside below `/proc/<init>/root`.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use crate::command::Invocation;
use crate::error::{Error, Result};
use crate::network;
use crate::place::{Place, create_directory, write};
use crate::process::Process;
use crate::programs::Programs;
use crate::wait::{Seen, until};

/// A running machine.
#[derive(Debug, Clone)]
pub struct Machine {
    name: String,
    init: Process,
    directory: PathBuf,
    programs: Programs,
}

impl Machine {
    /// Boots a machine in the network namespace of its name, which must be there.
    pub async fn boot(place: &Place, programs: &Programs, name: &str) -> Result<Self> {
        let directory = place.machine(name);
        create_directory(&directory.join("logs"))?;
        write(
            &directory.join("resolv.conf"),
            format!("nameserver {}\n", network::NOWHERE),
        )?;
        let script = directory.join("init.sh");
        write(&script, include_str!("machine/init.sh"))?;
        let log = std::fs::File::create(directory.join("logs/init.log"))
            .map_err(Error::file("create", &directory))?;
        let namespace = format!("--net=/run/netns/{name}");
        let errors = log.try_clone().map_err(Error::file("open", &directory))?;
        tokio::process::Command::new("nsenter")
            .args([
                &namespace, "unshare", "--mount", "--pid", "--uts", "--ipc", "--fork", "sh",
            ])
            .args([
                script.as_path(),
                directory.as_path(),
                Path::new(name),
                &programs.path("pause")?,
            ])
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .process_group(0)
            .spawn()
            .map_err(|source| Error::Start {
                program: "nsenter".into(),
                source,
            })?;
        let pid_file = directory.join("pid");
        let init = until(
            &format!("machine {name} is up"),
            Duration::from_secs(20),
            async || {
                let pid = std::fs::read_to_string(&pid_file)
                    .ok()
                    .and_then(|text| text.trim().parse().ok());
                match pid.and_then(Process::find) {
                    Some(init) => Ok(Seen::Yes(init)),
                    None => Ok(Seen::NotYet(crate::place::read(
                        &directory.join("logs/init.log"),
                    )?)),
                }
            },
        )
        .await?;
        init.record(&directory.join("init"))?;
        Ok(Self {
            name: name.to_owned(),
            init,
            directory,
            programs: programs.clone(),
        })
    }

    /// The machine that an earlier run booted, when it is still alive.
    pub fn attach(place: &Place, programs: &Programs, name: &str) -> Result<Option<Self>> {
        let directory = place.machine(name);
        let init = Process::recorded(&directory.join("init"))?.filter(|init| init.is_alive());
        Ok(init.map(|init| Self {
            name: name.to_owned(),
            init,
            directory,
            programs: programs.clone(),
        }))
    }

    /// Its name, which is its node's name too.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A path of the machine as it is reached from outside.
    pub fn path(&self, inside: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{inside}", self.init.pid()))
    }

    /// Where its daemons' logs are, from outside.
    pub fn logs(&self) -> PathBuf {
        self.directory.join("logs")
    }

    /// Writes a file of the machine.
    pub fn write(&self, inside: &str, content: impl AsRef<[u8]>) -> Result<()> {
        write(&self.path(inside), content)
    }

    /// A program run in the machine.
    pub fn command<'a>(&self, argv: impl IntoIterator<Item = &'a str>) -> Invocation {
        let target = self.init.pid().to_string();
        Invocation::new([
            "nsenter", "--target", &target, "--net", "--mount", "--pid", "--uts", "--ipc", "--",
        ])
        .args(argv)
        .env("PATH", self.programs.search_path())
        .env("KUBECACHEDIR", "/run/kube-cache")
    }

    /// Starts a daemon that outlives us; its output goes to `logs/<unit>.log`.
    pub async fn start(&self, unit: &str, argv: &[&str]) -> Result<()> {
        const SCRIPT: &str = r#"unit=$1; shift
mkdir -p /run/units
setsid "$@" </dev/null >>"/run/node/logs/$unit.log" 2>&1 &
echo $! >"/run/units/$unit""#;
        self.command(["sh", "-c", SCRIPT, "start", unit])
            .args(argv)
            .run()
            .await?;
        Ok(())
    }

    /// Whether a daemon runs.
    pub async fn is_running(&self, unit: &str) -> Result<bool> {
        let script = format!("kill -0 $(cat /run/units/{unit})");
        Ok(self
            .command(["sh", "-c", &script])
            .finish()
            .await?
            .status
            .success())
    }

    /// The daemons that were started in it.
    pub fn units(&self) -> Result<Vec<String>> {
        let folder = self.path("/run/units");
        let entries = std::fs::read_dir(&folder).map_err(Error::file("read", &folder))?;
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut names: Vec<_> = names.collect();
        names.sort();
        Ok(names)
    }

    /// Ends a daemon with SIGTERM and waits for its end.
    pub async fn stop(&self, unit: &str) -> Result<()> {
        let script = format!("kill $(cat /run/units/{unit}) 2>/dev/null || true");
        self.command(["sh", "-c", &script]).run().await?;
        until(
            &format!("{unit} of {} ends", self.name),
            Duration::from_secs(30),
            async || {
                Ok(if self.is_running(unit).await? {
                    Seen::NotYet("running".into())
                } else {
                    Seen::Yes(())
                })
            },
        )
        .await
    }

    /// The last lines of a daemon's log.
    pub fn log_tail(&self, unit: &str) -> String {
        let log =
            std::fs::read_to_string(self.logs().join(format!("{unit}.log"))).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines
            .iter()
            .skip(lines.len().saturating_sub(15))
            .copied()
            .collect::<Vec<_>>()
            .join("\n")
    }

    /// Ends everything in it.
    pub async fn halt(&self) -> Result<()> {
        self.init.kill().await
    }
}
