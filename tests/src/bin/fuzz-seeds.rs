//! Writes the fuzz targets' seeds where libFuzzer finds them: `fuzz-seeds FOLDER` makes `FOLDER/TARGET/N`. `cargo xtask fuzz` calls it.

use std::path::PathBuf;
use std::{env, fs};

use anyhow::{Context, Result};
use outboard_tests::fuzz::TARGETS;

fn main() -> Result<()> {
    let folder = PathBuf::from(env::args_os().nth(1).context("usage: fuzz-seeds FOLDER")?);
    for target in TARGETS {
        let folder = folder.join(target.name);
        fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
        for (n, seed) in (target.seeds)().iter().enumerate() {
            let path = folder.join(n.to_string());
            fs::write(&path, seed).with_context(|| format!("write {}", path.display()))?;
        }
    }
    Ok(())
}
