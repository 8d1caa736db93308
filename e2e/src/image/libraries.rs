//! The shared libraries a program of this machine needs, for images of programs that are not static.

use std::path::{Path, PathBuf};

use crate::command::Invocation;
use crate::error::Result;
use crate::image::layer::LayerBuilder;

/// Adds a program under the path it has here, with every library it is linked with.
pub async fn add_program(layer: LayerBuilder, program: &Path) -> Result<LayerBuilder> {
    let inside = program.display().to_string();
    add_libraries(layer.file(program, &inside)?, program).await
}

/// Adds the libraries a program or library is linked with; nothing for a static one.
pub async fn add_libraries(mut layer: LayerBuilder, program: &Path) -> Result<LayerBuilder> {
    let listing = Invocation::new([Path::new("ldd"), program])
        .finish()
        .await?;
    for library in listing.stdout.lines().filter_map(library) {
        // Where it is asked for, not where it lies: /lib and /usr/lib may be the same here, and are not there.
        layer = layer.file(&library, &library.display().to_string())?;
    }
    Ok(layer)
}

/// `libm.so.6 => /lib/libm.so.6 (0x…)`, or the loader's line, which has the path alone.
fn library(line: &str) -> Option<PathBuf> {
    let path = line.split_whitespace().find(|word| word.starts_with('/'))?;
    Some(PathBuf::from(path))
}
