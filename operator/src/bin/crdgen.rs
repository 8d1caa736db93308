//! Writes the `CustomResourceDefinition`s as YAML: `crdgen` prints all of them, `crdgen DIR…` keeps
//! one file per kind in each directory. Used by `make crds`.

use std::io::{self, Write as _};
use std::path::PathBuf;

use operator::api::schema;

fn main() -> io::Result<()> {
    let directories: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    for file in schema::files() {
        if directories.is_empty() {
            io::stdout().lock().write_all(file.text.as_bytes())?;
        }
        for directory in &directories {
            std::fs::write(directory.join(&file.name), &file.text)?;
        }
    }
    Ok(())
}
