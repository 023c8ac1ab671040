//! What a data directory must refuse, and where its socket is.

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
