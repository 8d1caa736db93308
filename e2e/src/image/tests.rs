//! Images as the system's own `tar` reads them.

use std::path::Path;
use std::process::Command;

use super::Image;
use super::layer::Layer;

fn written(folder: &Path, name: &str) -> Vec<u8> {
    let layer = Layer::builder()
        .text("/etc/motd", "hello\n")
        .link("/bin/greet", "/etc/motd")
        .scratch("/tmp")
        .build();
    let archive = folder.join(name);
    let image = Image::new(vec![layer])
        .entry_point(&["/bin/greet"])
        .user("65532");
    image
        .write(&["docker.io/a/b:1", "docker.io/a/c:1"], &archive)
        .expect("a writable folder");
    std::fs::read(archive).expect("what was just written")
}

fn tar(arguments: &[&str]) -> String {
    let output = Command::new("tar")
        .args(arguments)
        .output()
        .expect("tar is on every Debian");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("names are ASCII")
}

#[test]
fn equal_input_gives_equal_bytes() {
    let folder = tempfile::tempdir().expect("a folder");
    assert_eq!(written(folder.path(), "one"), written(folder.path(), "two"));
}

#[test]
fn the_layer_holds_parents_files_links_and_a_scratch_directory() {
    let folder = tempfile::tempdir().expect("a folder");
    let layer = Layer::builder()
        .text("/etc/motd", "hello\n")
        .link("/bin/greet", "/etc/motd")
        .scratch("/tmp")
        .build();
    let file = folder.path().join("layer.tar");
    std::fs::write(&file, layer.bytes()).expect("a writable folder");
    let listing = tar(&["--numeric-owner", "-tvf", &file.display().to_string()]);
    let entries: Vec<_> = listing
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .collect();
    let seen: Vec<_> = entries
        .iter()
        .map(|entry| (entry[0], entry[5..].join(" ")))
        .collect();
    assert_eq!(
        seen,
        [
            ("drwxr-xr-x", "etc/".to_owned()),
            ("-rw-r--r--", "etc/motd".to_owned()),
            ("drwxr-xr-x", "bin/".to_owned()),
            ("lrwxrwxrwx", "bin/greet -> /etc/motd".to_owned()),
            ("drwxrwxrwt", "tmp/".to_owned()),
        ]
    );
}

#[test]
fn the_index_names_the_image_twice() {
    let folder = tempfile::tempdir().expect("a folder");
    written(folder.path(), "image.tar");
    let archive = folder.path().join("image.tar").display().to_string();
    let index: serde_json::Value =
        serde_json::from_str(&tar(&["-xOf", &archive, "index.json"])).expect("JSON");
    let name = |at: usize| {
        index
            .pointer(&format!(
                "/manifests/{at}/annotations/io.containerd.image.name"
            ))
            .cloned()
    };
    assert_eq!(name(0), Some("docker.io/a/b:1".into()));
    assert_eq!(name(1), Some("docker.io/a/c:1".into()));
    let digest = index
        .pointer("/manifests/0/digest")
        .and_then(serde_json::Value::as_str)
        .expect("a digest");
    let blob = digest.replace("sha256:", "blobs/sha256/");
    assert!(tar(&["-xOf", &archive, &blob]).contains("application/vnd.oci.image.config.v1+json"));
}
