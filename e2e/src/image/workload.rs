//! The images of others that the clusters ask for, made from the lab's own programs under the names the manifests use.

use std::path::{Path, PathBuf};

use crate::command::Invocation;
use crate::error::Result;
use crate::image::layer::{Layer, LayerBuilder};
use crate::image::{Image, libraries};
use crate::place::Place;
use crate::programs::{KUBERNETES, Programs, files_below, hex};

/// The image with busybox and the test application that scenarios run.
pub const TEST_IMAGE: &str = "docker.io/warren/test:latest";

const COMPONENTS: [&str; 4] = [
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kube-proxy",
];

/// Archives of everything a node of the lab may be asked to run, from the cache when they are there.
pub async fn archives(place: &Place, programs: &Programs) -> Result<Vec<PathBuf>> {
    use sha2::Digest as _;
    let recipe = hex(&sha2::Sha256::digest(include_str!("workload.rs")));
    let recipe: String = recipe.chars().take(8).collect();
    let mut archives = Vec::new();
    for name in ["pause", "coredns", "etcd", "kubernetes", "test"] {
        let program = programs.path(if name == "test" { "testapp" } else { name })?;
        // The program's folder is named after its content, and so the archive is; it changes with this file too.
        let folder = program
            .parent()
            .and_then(Path::file_name)
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let archive = place
            .cache()
            .join("images")
            .join(format!("{name}-{folder}-{recipe}.tar"));
        if !archive.exists() {
            write(name, programs, &archive).await?;
        }
        archives.push(archive);
    }
    Ok(archives)
}

async fn write(name: &str, programs: &Programs, archive: &Path) -> Result<()> {
    let unfinished = archive.with_extension("unfinished");
    match name {
        "pause" => {
            let image = Image::new(vec![
                Layer::builder()
                    .file(&programs.path("pause")?, "/pause")?
                    .build(),
            ]);
            image
                .entry_point(&["/pause"])
                .user("65535")
                .write(&["registry.k8s.io/pause:3.10"], &unfinished)?;
        }
        "coredns" => {
            let image = Image::new(vec![
                Layer::builder()
                    .file(&programs.path("coredns")?, "/coredns")?
                    .build(),
            ]);
            image
                .entry_point(&["/coredns"])
                .write(&["registry.k8s.io/coredns/coredns:v1.12.0"], &unfinished)?;
        }
        "etcd" => {
            let layer = Layer::builder()
                .file(&programs.path("etcd")?, "/usr/local/bin/etcd")?
                .link("/usr/local/bin/etcdctl", "etcd");
            let names = ["registry.k8s.io/etcd:3.6.4-0"];
            Image::new(vec![layer.build()])
                .entry_point(&["/usr/local/bin/etcd"])
                .write(&names, &unfinished)?;
        }
        "kubernetes" => kubernetes(programs, &unfinished).await?,
        _ => test(programs, &unfinished).await?,
    }
    std::fs::rename(&unfinished, archive).map_err(crate::error::Error::file("rename", &unfinished))
}

/// One image under the names of all components: they are one program.
async fn kubernetes(programs: &Programs, archive: &Path) -> Result<()> {
    let mut layer =
        Layer::builder().file(&programs.path("kubernetes")?, "/usr/local/bin/kubernetes")?;
    for component in COMPONENTS {
        layer = layer.link(&format!("/usr/local/bin/{component}"), "kubernetes");
    }
    let tools = packet_filter(Layer::builder().scratch("/tmp").link("/var/run", "/run")).await?;
    let names: Vec<_> = COMPONENTS
        .iter()
        .map(|component| format!("registry.k8s.io/{component}:{KUBERNETES}"))
        .collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    Image::new(vec![layer.build(), tools.build()])
        .write(&names, archive)
        .map(drop)
}

/// What kube-proxy calls: iptables with its extensions, and conntrack.
async fn packet_filter(mut layer: LayerBuilder) -> Result<LayerBuilder> {
    let program = std::fs::canonicalize("/usr/sbin/iptables")
        .map_err(crate::error::Error::file("find", "/usr/sbin/iptables"))?;
    layer = libraries::add_program(layer, &program).await?;
    for family in ["iptables", "ip6tables"] {
        for verb in ["", "-save", "-restore"] {
            layer = layer.link(
                &format!("/usr/sbin/{family}{verb}"),
                &program.display().to_string(),
            );
        }
    }
    let found = Invocation::new([
        "sh",
        "-c",
        "ls -d /usr/lib/*/xtables /usr/lib/xtables 2>/dev/null || true",
    ])
    .run()
    .await?;
    for directory in found.lines() {
        for extension in files_below(Path::new(directory))? {
            layer = libraries::add_program(layer, &extension).await?;
        }
    }
    libraries::add_program(layer, Path::new("/usr/sbin/conntrack")).await
}

async fn test(programs: &Programs, archive: &Path) -> Result<()> {
    let busybox = Path::new("/bin/busybox");
    let mut layer = Layer::builder()
        .file(busybox, "/bin/busybox")?
        .file(&programs.path("testapp")?, "/bin/testapp")?
        .scratch("/tmp");
    for applet in Invocation::new(["/bin/busybox", "--list"])
        .run()
        .await?
        .lines()
        .filter(|&applet| applet != "busybox")
    {
        layer = layer.link(&format!("/bin/{applet}"), "busybox");
    }
    Image::new(vec![layer.build()])
        .entry_point(&["/bin/sleep", "1d"])
        .write(&[TEST_IMAGE], archive)
        .map(drop)
}
