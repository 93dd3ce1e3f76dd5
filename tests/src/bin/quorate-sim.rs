//! Runs seeds of the simulator.

fn main() -> std::process::ExitCode {
    quorate_tests::sim::command::main()
}
