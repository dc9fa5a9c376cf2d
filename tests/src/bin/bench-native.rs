//! The program of `cargo xtask bench ecm --native`; everything it does is in [`outboard_tests::native`].

use std::process::ExitCode;

fn main() -> ExitCode {
    outboard_tests::native::main()
}
