//! The program that runs inside the kernel lab's guest; everything it does is in [`outboard_tests::lab`].

use std::process::ExitCode;

fn main() -> ExitCode {
    outboard_tests::lab::main()
}
