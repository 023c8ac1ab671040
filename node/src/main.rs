//! The `watchfire` program; everything it does is in the library.

fn main() -> std::process::ExitCode {
    watchfire_node::main_entry()
}
