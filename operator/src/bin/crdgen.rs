//! Writes the `CustomResourceDefinition`s as YAML: `crdgen` prints all of them, `crdgen DIR` keeps
//! one file per kind there. Used by `make crds`.

use std::io::{self, Write as _};
use std::path::PathBuf;

use operator::api::schema;

fn main() -> io::Result<()> {
    let directory = std::env::args_os().nth(1).map(PathBuf::from);
    for file in schema::files() {
        match &directory {
            Some(directory) => std::fs::write(directory.join(&file.name), &file.text)?,
            None => io::stdout().lock().write_all(file.text.as_bytes())?,
        }
    }
    Ok(())
}
