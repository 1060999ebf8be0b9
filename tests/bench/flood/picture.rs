//! x
use super::figures::Figures;
use super::machine::Machine;
use std::io;
use std::path::Path;
/// x
pub fn draw(_path: &Path, _figures: &Figures, _machine: &Machine) -> io::Result<()> {
    Ok(())
}
