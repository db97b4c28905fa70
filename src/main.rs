use std::process::ExitCode;

fn main() -> ExitCode {
    faafo::names::use_built_in();
    faafo::cli::main()
}
