//! The Unix socket of a frontend: claims the path, opens it to owner and group only, removes it at the end.
//! In: a path and what to do with a file that is already there. Out: a listener and the guard of its file.
//! It removes sockets and nothing else, and never a socket that somebody else put there meanwhile.

use std::fs::{Metadata, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use socket2::{Domain, SockAddr, Socket, Type};
use tokio::net::UnixListener;

/// What the reference's umask of 0007 leaves of a socket's mode.
const MODE: u32 = 0o770;
/// As many clients may wait for `accept` as the kernel's usual upper limit says.
const BACKLOG: i32 = 4096;

/// What happens to a socket that a former run left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leftover {
    /// `--delete-existing-uds-file`: it goes.
    Remove,
    /// `--delete-existing-uds-file=false`: it is an error.
    Keep,
}

/// Why the socket could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum UnixSocketError {
    /// Something that is no socket has the name.
    #[error("--uds-name={} exists and is {kind}, not a socket: remove it or choose another path", path.display())]
    NotASocket {
        /// The path as given.
        path: PathBuf,
        /// What lies there.
        kind: &'static str,
    },
    /// A socket lies there and may not be removed.
    #[error("--uds-name={} exists: remove it, or set --delete-existing-uds-file=true", path.display())]
    Exists {
        /// The path as given.
        path: PathBuf,
    },
    /// The system refused.
    #[error("cannot {verb} --uds-name={}", path.display())]
    Io {
        /// The step that failed.
        verb: &'static str,
        /// The path as given.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

/// Removes the socket's file when dropped, if it is still the one that was made here.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let ours = std::fs::symlink_metadata(&self.path)
            .is_ok_and(|found| (found.dev(), found.ino()) == self.identity);
        if ours && let Err(error) = std::fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "cannot remove the Unix socket");
        }
    }
}

/// Opens `path` for clients. Nobody can connect before the mode is set: the socket listens last.
pub(crate) fn listen(
    path: &Path,
    leftover: Leftover,
) -> Result<(UnixListener, SocketFile), UnixSocketError> {
    let io = |verb| {
        move |source| UnixSocketError::Io {
            verb,
            path: path.to_path_buf(),
            source,
        }
    };
    make_room(path, leftover)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None).map_err(io("create"))?;
    socket
        .bind(&SockAddr::unix(path).map_err(io("name"))?)
        .map_err(io("bind"))?;
    std::fs::set_permissions(path, Permissions::from_mode(MODE)).map_err(io("set the mode of"))?;
    let made = std::fs::symlink_metadata(path).map_err(io("inspect"))?;
    let file = SocketFile {
        path: path.to_path_buf(),
        identity: (made.dev(), made.ino()),
    };
    socket.listen(BACKLOG).map_err(io("listen on"))?;
    socket.set_nonblocking(true).map_err(io("listen on"))?;
    let listener = UnixListener::from_std(socket.into()).map_err(io("listen on"))?;
    Ok((listener, file))
}

fn make_room(path: &Path, leftover: Leftover) -> Result<(), UnixSocketError> {
    let io = |verb| {
        move |source| UnixSocketError::Io {
            verb,
            path: path.to_path_buf(),
            source,
        }
    };
    let found = match std::fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(io("inspect")(error)),
    };
    if !found.file_type().is_socket() {
        return Err(UnixSocketError::NotASocket {
            path: path.to_path_buf(),
            kind: kind(&found),
        });
    }
    match leftover {
        Leftover::Keep => Err(UnixSocketError::Exists {
            path: path.to_path_buf(),
        }),
        Leftover::Remove => std::fs::remove_file(path).map_err(io("remove the old")),
    }
}

fn kind(found: &Metadata) -> &'static str {
    let file_type = found.file_type();
    if file_type.is_dir() {
        "a directory"
    } else if file_type.is_symlink() {
        "a symbolic link"
    } else if file_type.is_file() {
        "a file"
    } else {
        "something else"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path)
            .expect("the socket is there")
            .permissions()
            .mode()
            & 0o777
    }

    #[tokio::test]
    async fn socket_is_open_to_owner_and_group_and_gone_at_the_end() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("server.socket");
        let (listener, file) = listen(&path, Leftover::Remove).expect("a free path");
        assert_eq!(mode(&path), 0o770);
        drop((listener, file));
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn socket_of_a_former_run_is_replaced_only_when_asked() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("server.socket");
        drop(std::os::unix::net::UnixListener::bind(&path).expect("the former run"));
        let refused = listen(&path, Leftover::Keep).expect_err("must not be replaced");
        assert!(
            refused
                .to_string()
                .contains("--delete-existing-uds-file=true"),
            "{refused}"
        );
        listen(&path, Leftover::Remove).expect("replaced");
    }

    #[tokio::test]
    async fn file_that_is_no_socket_is_never_removed() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("notes.txt");
        std::fs::write(&path, "keep me").expect("a file");
        let refused = listen(&path, Leftover::Remove).expect_err("must not be replaced");
        assert!(
            refused.to_string().contains("is a file, not a socket"),
            "{refused}"
        );
        assert_eq!(
            std::fs::read_to_string(&path).expect("still there"),
            "keep me"
        );
    }

    #[tokio::test]
    async fn socket_that_a_successor_made_survives_the_predecessor() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("server.socket");
        let first = listen(&path, Leftover::Remove).expect("a free path");
        let second = listen(&path, Leftover::Remove).expect("taken over");
        drop(first);
        assert!(path.exists());
        drop(second);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn missing_directory_is_named_in_the_error() {
        let refused = listen(Path::new("/nowhere/at/all.socket"), Leftover::Remove)
            .expect_err("no such directory");
        assert!(
            refused.to_string().contains("/nowhere/at/all.socket"),
            "{refused}"
        );
    }
}
