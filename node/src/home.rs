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
//!   certificates/    certificates that came by file; public
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
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

    use std::os::unix::net::UnixListener;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    fn close(path: &Path) {
        fs::set_permissions(path, Permissions::from_mode(0o700)).unwrap();
    }

    fn nothing(_: &str) -> Option<OsString> {
        None
    }

    #[test]
    fn a_home_is_made_closed_and_opens_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/er/home");
        let home = Home::create(&path).unwrap();
        assert_eq!((mode(&path), mode(&home.keys())), (0o700, 0o700));
        assert_eq!(Home::open(&path).unwrap(), home);
        assert_eq!(home.signing_key(), path.join("keys/signing.key"));
        Home::create(&path).expect("nothing was written there yet");
    }

    #[test]
    fn what_is_not_empty_is_not_initialised_over() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("letter"), b"").unwrap();
        assert!(matches!(
            Home::create(dir.path()),
            Err(HomeError::NotEmpty { .. })
        ));
        let path = dir.path().join("home");
        let home = Home::create(&path).unwrap();
        fs::write(home.root_key(), b"sealed").unwrap();
        assert!(matches!(
            Home::create(&path),
            Err(HomeError::NotEmpty { .. })
        ));
        assert_eq!(fs::read(home.root_key()).unwrap(), b"sealed");
        fs::write(dir.path().join("file"), b"").unwrap();
        assert!(matches!(
            Home::create(&dir.path().join("file")),
            Err(HomeError::NotADirectory { .. })
        ));
    }

    #[test]
    fn an_empty_directory_open_to_others_is_closed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("home");
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        Home::create(&path).unwrap();
        assert_eq!(mode(&path), 0o700);
    }

    #[test]
    fn attack_20_a_missing_home_is_refused_and_not_made() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("home");
        let text = Home::open(&path).unwrap_err().to_string();
        assert!(text.contains("watchfire init"), "{text}");
        assert!(!path.exists());
        fs::create_dir(&path).unwrap();
        close(&path);
        assert!(
            matches!(Home::open(&path), Err(HomeError::NotInitialised { .. })),
            "a directory without keys"
        );
    }

    #[test]
    fn a_home_that_others_may_enter_is_refused_with_the_remedy() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("home");
        let home = Home::create(&path).unwrap();
        for exposed in [path.clone(), home.keys()] {
            for mode in [0o750, 0o701, 0o720] {
                fs::set_permissions(&exposed, Permissions::from_mode(mode)).unwrap();
                let text = Home::open(&path).unwrap_err().to_string();
                assert!(
                    text.contains(&format!("chmod 700 {}\"", exposed.display())),
                    "{text}"
                );
            }
            close(&exposed);
        }
        Home::open(&path).unwrap();
    }

    #[test]
    fn keys_behind_a_link_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("home");
        let home = Home::create(&path).unwrap();
        let elsewhere = dir.path().join("elsewhere");
        fs::rename(home.keys(), &elsewhere).unwrap();
        std::os::unix::fs::symlink(&elsewhere, home.keys()).unwrap();
        assert!(matches!(
            Home::open(&path),
            Err(HomeError::NotADirectory { .. })
        ));
    }

    #[test]
    fn one_process_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::create(&dir.path().join("home")).unwrap();
        let held = home.lock().unwrap();
        let text = home.lock().unwrap_err().to_string();
        assert!(
            text.contains(&format!("in use by process {}", std::process::id())),
            "{text}"
        );
        drop(held);
        home.lock().unwrap();
    }

    #[test]
    fn the_default_follows_xdg_then_home() {
        let env = |set: &'static [(&str, &str)]| {
            Home::default_path(move |name| {
                set.iter()
                    .find(|(key, _)| *key == name)
                    .map(|(_, value)| OsString::from(value))
            })
        };
        assert_eq!(
            env(&[("XDG_DATA_HOME", "/data"), ("HOME", "/home/a")]).unwrap(),
            Path::new("/data/watchfire")
        );
        assert_eq!(
            env(&[("HOME", "/home/a")]).unwrap(),
            Path::new("/home/a/.local/share/watchfire")
        );
        assert_eq!(
            env(&[("XDG_DATA_HOME", "relative"), ("HOME", "/home/a")]).unwrap(),
            Path::new("/home/a/.local/share/watchfire")
        );
        assert!(matches!(env(&[]), Err(HomeError::NoDefault)));
    }

    #[test]
    fn the_socket_is_inside_where_it_fits_and_binds_there() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::create(&dir.path().join("home")).unwrap();
        let socket = home.control_socket(nothing).unwrap();
        assert_eq!(socket, home.path().join("control.sock"));
        UnixListener::bind(socket).unwrap();
    }

    #[test]
    fn a_deep_home_has_its_socket_elsewhere_and_it_binds() {
        let dir = tempfile::tempdir().unwrap();
        let deep = Home::create(&dir.path().join("d".repeat(100)).join("home")).unwrap();
        let other = Home::create(&dir.path().join("d".repeat(100)).join("other")).unwrap();
        let runtime = dir.path().join("run");
        fs::create_dir(&runtime).unwrap();
        close(&runtime);
        let temporary = dir.path().join("tmp");
        fs::create_dir(&temporary).unwrap();
        let both = |name: &str| match name {
            "XDG_RUNTIME_DIR" => Some(runtime.clone().into_os_string()),
            "TMPDIR" => Some(temporary.clone().into_os_string()),
            _ => None,
        };
        let only_tmp = |name: &str| both(name).filter(|_| name == "TMPDIR");
        for env in [&both as &dyn Fn(&str) -> Option<OsString>, &only_tmp] {
            let socket = deep.control_socket(env).unwrap();
            assert!(socket.as_os_str().len() <= SOCKET_PATH_BYTES_MAX);
            assert_eq!(
                socket,
                deep.control_socket(env).unwrap(),
                "the same when asked again"
            );
            assert_ne!(
                socket,
                other.control_socket(env).unwrap(),
                "each home its own"
            );
            UnixListener::bind(socket).unwrap();
        }
        assert!(deep.control_socket(both).unwrap().starts_with(&runtime));
        let fallback = deep.control_socket(only_tmp).unwrap();
        assert_eq!(mode(fallback.parent().unwrap()), 0o700);

        // Someone else was there first, or opened it.
        fs::set_permissions(fallback.parent().unwrap(), Permissions::from_mode(0o777)).unwrap();
        assert!(matches!(
            deep.control_socket(only_tmp),
            Err(HomeError::Exposed { .. })
        ));

        let long = |name: &str| (name == "TMPDIR").then(|| deep.path().as_os_str().to_owned());
        assert!(matches!(
            deep.control_socket(long),
            Err(HomeError::SocketPathTooLong { .. })
        ));
    }
}
