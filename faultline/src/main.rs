//! The binary: twenty lines that hand over to the library.
use clap::Parser;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match faultline::command::run(faultline::cli::Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            faultline::render::error(&*error);
            ExitCode::from(2)
        }
    }
}
