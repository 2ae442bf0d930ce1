//! Stub
use crate::cli::Shell;
/// x
pub fn completions(_: Shell) -> String {
    String::new()
}
/// y
pub fn page() -> String {
    String::new()
}
