//! A node's data directory: what lies where, and who may look.
//!
//! ```text
//! <home>/            0700
//!   keys/            0700
//!     root.key       the member's offline key; on the machine that ran `init`, then moved away
//!     signing.key    signs what this node publishes
//!     transport.key  what this node's peer id is made from
//!   own.card         what this member offers to be admitted by; public
//!   own.request      what a node without a card or certificate asks its root for; public
//!   genesis          the federation this node belongs to; public
//!   joining          which federation a person compared, until this node is admitted
//!   certificates/    certificates that came by file; public
//!   revocations/     revocations that came by file; public
//!   store/           the database, see `disk`
//!   control.sock     where the command line talks to the running node
//!   lock             who uses this directory now
//! ```
//!
//! `keys/` is the mark of a directory that `watchfire init` has made. A socket's
//! path is bounded by the operating system; where the home is too deep,
//! [`Home::control_socket`] says where it is instead.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use watchfire_crypto::Sha256Stream;

use crate::disk::lock::{LockError, PidLock, pid_text};
use crate::keystore::own_uid;

/// The longest path of a Unix socket, in bytes: `sun_path` has 108 on Linux,
/// the last one for the zero that ends it.
pub const SOCKET_PATH_BYTES_MAX: usize = 107;

const MODE_DIR: u32 = 0o700;

/// A data directory that exists and that only this user may enter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home {
    root: PathBuf,
}

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// `watchfire init` has not run there. The command line exits with 10.
    #[error("{} is not initialised; run \"watchfire init\", or name the right directory with --data-dir", path.display())]
    NotInitialised {
        /// The directory.
        path: PathBuf,
    },
    /// [`Home::create`] found something there already.
    #[error("will not initialise {}: it is not empty; choose another directory, or move its content away", path.display())]
    NotEmpty {
        /// The directory.
        path: PathBuf,
    },
    /// Others may enter a directory that holds keys.
    #[error("{} is open to others (mode {:04o}); run \"chmod 700 {}\"", path.display(), mode, path.display())]
    Exposed {
        /// The directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Another user owns it, and could exchange the keys.
    #[error("{} belongs to user {owner}, and this process runs as user {expected}; run as that user", path.display())]
    WrongOwner {
        /// The directory.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Who we are.
        expected: u32,
    },
    /// Something else stands where a directory should.
    #[error("{} is not a directory; move it away", path.display())]
    NotADirectory {
        /// The path.
        path: PathBuf,
    },
    /// Another process works there. The command line exits with 11.
    #[error("{} is in use by process {}; stop that process, or ask it through its control socket", path.display(), pid_text(*pid))]
    InUse {
        /// The directory.
        path: PathBuf,
        /// The process, where the lock file tells.
        pid: Option<u32>,
    },
    /// Neither `$XDG_DATA_HOME` nor `$HOME` is set.
    #[error(
        "no place for the data directory: neither XDG_DATA_HOME nor HOME is set; name one with --data-dir"
    )]
    NoDefault,
    /// No directory has a path short enough for a socket.
    #[error("no place for the control socket: {} is longer than {SOCKET_PATH_BYTES_MAX} bytes; set XDG_RUNTIME_DIR or TMPDIR to a shorter path", path.display())]
    SocketPathTooLong {
        /// The shortest path tried.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("could not {operation} {}: {cause}", path.display())]
    Io {
        /// What was being done.
        operation: &'static str,
        /// The path.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        cause: io::Error,
    },
}

impl HomeError {
    fn io(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |cause| Self::Io {
            operation,
            path,
            cause,
        }
    }
}

impl Home {
    /// Where the data directory is when nobody names one:
    /// `$XDG_DATA_HOME/watchfire`, else `~/.local/share/watchfire` (XDG Base
    /// Directory Specification; a relative path there counts as unset).
    ///
    /// # Errors
    /// [`HomeError::NoDefault`].
    pub fn default_path(env: impl Fn(&str) -> Option<OsString>) -> Result<PathBuf, HomeError> {
        let absolute = |name| {
            env(name)
                .map(PathBuf::from)
                .filter(|path| path.is_absolute())
        };
        absolute("XDG_DATA_HOME")
            .or_else(|| absolute("HOME").map(|home| home.join(".local/share")))
            .map(|data| data.join("watchfire"))
            .ok_or(HomeError::NoDefault)
    }

    /// Makes a data directory. What `init` left after being interrupted before
    /// it wrote a key counts as empty.
    ///
    /// # Errors
    /// [`HomeError::NotEmpty`] when anything else is there; [`HomeError::Io`].
    pub fn create(path: &Path) -> Result<Self, HomeError> {
        let home = Self {
            root: path.to_owned(),
        };
        if let Some(parent) = path.parent() {
            // What lies above is not ours to close: the umask decides.
            fs::create_dir_all(parent).map_err(HomeError::io("create", parent))?;
        }
        make_dir(path)?;
        for entry in fs::read_dir(path).map_err(HomeError::io("list", path))? {
            let name = entry.map_err(HomeError::io("list", path))?.file_name();
            if name != "keys" && name != "lock" {
                return Err(HomeError::NotEmpty {
                    path: path.to_owned(),
                });
            }
        }
        let keys = home.keys();
        make_dir(&keys)?;
        if fs::read_dir(&keys)
            .map_err(HomeError::io("list", &keys))?
            .next()
            .is_some()
        {
            return Err(HomeError::NotEmpty {
                path: path.to_owned(),
            });
        }
        // An empty directory that was there before may have been open to others.
        for dir in [path, &keys] {
            fs::set_permissions(dir, Permissions::from_mode(MODE_DIR))
                .map_err(HomeError::io("close to others", dir))?;
            fs::File::open(dir)
                .and_then(|dir| dir.sync_all())
                .map_err(HomeError::io("flush", dir))?;
        }
        Self::open(path)
    }

    /// Opens a data directory that [`Home::create`] made.
    ///
    /// # Errors
    /// [`HomeError::NotInitialised`] where there is none,
    /// [`HomeError::Exposed`] or [`HomeError::WrongOwner`] where others could
    /// read or exchange the keys.
    pub fn open(path: &Path) -> Result<Self, HomeError> {
        let home = Self {
            root: path.to_owned(),
        };
        for dir in [path, &home.keys()] {
            match check_private(dir) {
                Err(HomeError::Io { cause, .. }) if cause.kind() == io::ErrorKind::NotFound => {
                    return Err(HomeError::NotInitialised {
                        path: path.to_owned(),
                    });
                }
                checked => checked?,
            }
        }
        Ok(home)
    }

    /// Takes the directory for this process until the lock is dropped. The
    /// store has a lock of its own; this one also covers keys and cards.
    ///
    /// # Errors
    /// [`HomeError::InUse`] or [`HomeError::Io`].
    pub fn lock(&self) -> Result<PidLock, HomeError> {
        let path = self.root.join("lock");
        PidLock::acquire(&path).map_err(|refused| match refused {
            LockError::Held { pid } => HomeError::InUse {
                path: self.root.clone(),
                pid,
            },
            LockError::Io(cause) => HomeError::Io {
                operation: "lock",
                path,
                cause,
            },
        })
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// The directory of the keys.
    pub fn keys(&self) -> PathBuf {
        self.root.join("keys")
    }

    /// The member's root key; absent on a node whose root key is kept offline,
    /// as it should be.
    pub fn root_key(&self) -> PathBuf {
        self.keys().join("root.key")
    }

    /// The key that signs what this node publishes.
    pub fn signing_key(&self) -> PathBuf {
        self.keys().join("signing.key")
    }

    /// The key of this node's connections.
    pub fn transport_key(&self) -> PathBuf {
        self.keys().join("transport.key")
    }

    /// This member's card.
    pub fn own_card(&self) -> PathBuf {
        self.root.join("own.card")
    }

    /// What this node asks its member's root for, as long as it has nothing
    /// to show yet.
    pub fn own_request(&self) -> PathBuf {
        self.root.join("own.request")
    }

    /// The directory of certificates that came by file; it may be absent.
    pub fn certificates(&self) -> PathBuf {
        self.root.join("certificates")
    }

    /// As [`Home::certificates`], made where it is absent.
    ///
    /// # Errors
    /// [`HomeError::NotADirectory`] or [`HomeError::Io`].
    pub fn make_certificates(&self) -> Result<PathBuf, HomeError> {
        let dir = self.certificates();
        make_dir(&dir)?;
        Ok(dir)
    }

    /// The directory of revocations that came by file; it may be absent.
    pub fn revocations(&self) -> PathBuf {
        self.root.join("revocations")
    }

    /// As [`Home::revocations`], made where it is absent.
    ///
    /// # Errors
    /// [`HomeError::NotADirectory`] or [`HomeError::Io`].
    pub fn make_revocations(&self) -> Result<PathBuf, HomeError> {
        let dir = self.revocations();
        make_dir(&dir)?;
        Ok(dir)
    }

    /// The genesis document of the federation.
    pub fn genesis(&self) -> PathBuf {
        self.root.join("genesis")
    }

    /// The store's directory.
    pub fn store(&self) -> PathBuf {
        self.root.join("store")
    }

    /// The control socket: `control.sock` in the home, where its path is short
    /// enough for a socket; else `$XDG_RUNTIME_DIR/watchfire-<hash>.sock`; else
    /// `control.sock` in `watchfire-<user>-<hash>/` under the system's
    /// temporary directory, which is made (mode 0700) or checked to be ours.
    ///
    /// The hash is of the home's real path, so node and command line agree as
    /// long as both see the same `XDG_RUNTIME_DIR` and `TMPDIR`. Both must come
    /// through here: in a directory where anyone may write, a socket is only
    /// as good as the check of who made it.
    ///
    /// # Errors
    /// [`HomeError::SocketPathTooLong`] when none is short enough;
    /// [`HomeError::Exposed`] or [`HomeError::WrongOwner`] when someone else
    /// made the fallback; [`HomeError::Io`].
    pub fn control_socket(
        &self,
        env: impl Fn(&str) -> Option<OsString>,
    ) -> Result<PathBuf, HomeError> {
        let inside = self.root.join("control.sock");
        if fits(&inside) {
            return Ok(inside);
        }
        let real = fs::canonicalize(&self.root).map_err(HomeError::io("resolve", &self.root))?;
        let mut hash = Sha256Stream::new();
        hash.update(real.as_os_str().as_bytes());
        // Sixteen digits tell apart the homes of one machine.
        let name: String = hex::encode(hash.finish()).chars().take(16).collect();
        let absolute = |name| {
            env(name)
                .map(PathBuf::from)
                .filter(|path: &PathBuf| path.is_absolute())
        };
        if let Some(runtime) = absolute("XDG_RUNTIME_DIR") {
            let socket = runtime.join(format!("watchfire-{name}.sock"));
            if fits(&socket) && check_private(&runtime).is_ok() {
                return Ok(socket);
            }
        }
        let uid = own_uid().map_err(HomeError::io(
            "find out this process's user for",
            &self.root,
        ))?;
        let temporary = absolute("TMPDIR").unwrap_or_else(|| PathBuf::from("/tmp"));
        let dir = temporary.join(format!("watchfire-{uid}-{name}"));
        let socket = dir.join("control.sock");
        if !fits(&socket) {
            return Err(HomeError::SocketPathTooLong { path: socket });
        }
        make_dir(&dir)?;
        check_private(&dir)?;
        Ok(socket)
    }
}

fn fits(socket: &Path) -> bool {
    socket.as_os_str().len() <= SOCKET_PATH_BYTES_MAX
}

/// Makes one directory for us alone, unless something is there.
fn make_dir(path: &Path) -> Result<(), HomeError> {
    match DirBuilder::new().mode(MODE_DIR).create(path) {
        Ok(()) => Ok(()),
        Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => {
            let found = fs::metadata(path).map_err(HomeError::io("look at", path))?;
            if found.is_dir() {
                Ok(())
            } else {
                Err(HomeError::NotADirectory {
                    path: path.to_owned(),
                })
            }
        }
        Err(cause) => Err(HomeError::Io {
            operation: "create",
            path: path.to_owned(),
            cause,
        }),
    }
}

/// Whether `path` is a directory, itself and not a link to one, that belongs
/// to this user and that nobody else may enter.
fn check_private(path: &Path) -> Result<(), HomeError> {
    let found = fs::symlink_metadata(path).map_err(HomeError::io("look at", path))?;
    if !found.is_dir() {
        return Err(HomeError::NotADirectory {
            path: path.to_owned(),
        });
    }
    let expected = own_uid().map_err(HomeError::io("find out this process's user for", path))?;
    if found.uid() != expected {
        return Err(HomeError::WrongOwner {
            path: path.to_owned(),
            owner: found.uid(),
            expected,
        });
    }
    let mode = found.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(HomeError::Exposed {
            path: path.to_owned(),
            mode,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
