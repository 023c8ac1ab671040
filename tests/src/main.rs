//! The `watchfire` program once more, in the package whose tests run it.

fn main() -> std::process::ExitCode {
    watchfire_node::main_entry()
}
